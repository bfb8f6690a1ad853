//! One result for each row; the rows become what the rules say.

use domain::account::Account;
use domain::caller::{Actor, Caller};
use domain::tag::Subject;
use domain::words::{Language, Role, Scope};
use store::Store;
use workers::import::{Counts, Import};

use crate::import::files::{FIRST, PEOPLE, accounts, count, csv, dry_run, import, people, run, run_as, told};
use crate::log::bench::Bench;
use crate::log::check::readable;

/// An account as it stands in the log.
async fn account(store: &Store, number: &str) -> Account {
    let number = Subject::CustomerNumber(domain::name::CustomerNumber::parse(number).unwrap());
    let opened = store.events_about(&number).await.unwrap();
    let id = opened.iter().find_map(|recorded| recorded.event.about().account).unwrap();
    let mut account = Account::default();
    store.events_about(&Subject::Account(id)).await.unwrap().iter().for_each(|recorded| account.evolve(recorded));
    account
}

fn living(account: &Account, address: &str) -> domain::ids::ProfessionalId {
    account.by_address[&domain::address::EmailAddress::parse(address).unwrap().key()]
}

on_both! {
    async fn every_row_has_its_result_and_its_effect(bench: &Bench) {
        let store = bench.writer().await;
        let rows = run(&store, &accounts(), &people()).await;
        assert_eq!(told(&rows), FIRST);
        assert_eq!(Counts::of(&rows).total(), 14);
        let (meadow, harbour, river) =
            (account(&store, "C-1").await, account(&store, "c-2").await, account(&store, "P-1").await);
        assert_eq!(meadow.name.as_ref().map(|name| name.as_str()), Some("Meadow Mills"), "the first row opened it");
        assert!(meadow.plan.is_some() && meadow.professionals.len() == 2);
        assert_eq!(meadow.partners.iter().copied().collect::<Vec<_>>(), [river.id.unwrap()]);
        assert_eq!(harbour.partners, meadow.partners, "one unknown partner does not keep the other away");
        assert_eq!(harbour.professionals.len(), 1, "R20: who cannot be invited is not added either");

        let (robin, sam) = (living(&meadow, "robin@meadow.example"), living(&meadow, "sam@meadow.example"));
        assert_eq!(meadow.standing.roles_of(sam), [Role::Administrator, Role::BillingContact]);
        let rest = [Role::Administrator, Role::CustomerCareContact, Role::ShippingContact];
        assert_eq!(meadow.standing.roles_of(robin), rest, "the first person holds what nobody else was given");
        assert_eq!(meadow.invitations.len(), 2);
        let alex = living(&river, "alex@river.example");
        assert_eq!(river.professionals[&alex].language, Some(Language::German));
        assert!(river.professionals[&alex].invitation.is_some(), "a partner account needs no plan");

        let created = &rows[6];
        assert_eq!((created.account, created.professional), (meadow.id, Some(robin)));
        for recorded in readable(&store).await {
            assert_eq!(recorded.actor, Actor::Cli("tester".into()));
        }
    }

    async fn results_repeat_no_name_and_no_address(bench: &Bench) {
        let store = bench.writer().await;
        let text = csv(&run(&store, &accounts(), &people()).await);
        assert_eq!(text.lines().count(), 15);
        for personal in ["Robin", "Rivers", "meadow", "pat", "evil", "Kim", ".example"] {
            assert!(!text.contains(personal), "{personal} is told: {text}");
        }
    }

    async fn an_import_may_do_what_its_caller_may_and_no_more(bench: &Bench) {
        let store = bench.writer().await;
        let caller = |scope| Caller::with_scopes(Actor::Key(store::random::uuid()), [scope]);
        let by = |scope| Import { caller: caller(scope), ..import(&store) };
        let refused = run_as(&by(Scope::Support), &accounts(), PEOPLE).await.unwrap();
        assert_eq!(told(&refused)[0], "accounts 2 refused scope_missing");
        assert!(readable(&store).await.is_empty());
        assert_eq!(told(&run_as(&by(Scope::BackOffice), &accounts(), &people()).await.unwrap()), FIRST);
        let new = format!("{PEOPLE}C-1,Kim Hill,kim@meadow.example,en,,false\n");
        let nobody = crate::import::files::ACCOUNTS;
        let by_operator = run_as(&by(Scope::Operator), nobody, &new).await.unwrap();
        assert_eq!(told(&by_operator), ["professionals 2 refused scope_missing"]);
        assert_eq!(told(&run_as(&by(Scope::Support), nobody, &new).await.unwrap()), ["professionals 2 created"]);
    }

    async fn generated_files_are_imported_whole(bench: &Bench) {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().display().to_string();
        let arguments = ["sample", "--accounts", "60", "--professionals", "500", "--seed", "7", "--out", &folder];
        assert!(crate::support::Vinculum::command(out.path(), &[]).args(arguments).status().unwrap().success());
        let read = |name: &str| std::fs::read_to_string(out.path().join(name)).unwrap();
        let (accounts, people) = (read("accounts.csv"), read("professionals.csv"));
        let store = bench.writer().await;
        let decided = Counts::of(&dry_run(&store, &accounts, &people).await);
        assert_eq!(decided, Counts { created: 560, ..Counts::default() });
        assert_eq!(Counts::of(&run(&store, &accounts, &people).await), decided);
        let counts = count(&store).await;
        assert_eq!((counts["AccountOpened"], counts["ProfessionalAdded"]), (60, 500));
        assert!(counts["PartnerAssigned"] > 10 && counts["InvitationIssued"] > 100 && counts["ServicePlanSet"] > 40);
        let head = store.head().await.unwrap();
        assert_eq!(Counts::of(&run(&store, &accounts, &people).await).unchanged, 560);
        assert_eq!(store.head().await.unwrap(), head, "a second run appends nothing");
        let wanted = people.lines().filter(|line| line.ends_with(",true")).count();
        assert_eq!(counts["InvitationIssued"], wanted, "whoever was to be invited was");
    }
}
