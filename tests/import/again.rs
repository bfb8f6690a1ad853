//! What was done is not done again: not by a dry run, not by a second run, not after a crash.

use domain::command::Command;
use domain::event::Event;
use domain::ids::ProfessionalId;
use domain::words::Role;
use store::Store;

use crate::import::files::{ACCOUNTS, FIRST, PEOPLE, accounts, cli, count, dry_run, import, people, run, told};
use crate::log::bench::{self, Bench};
use crate::log::check::readable;

/// What is told of the rows of [`super::files`] by every later import.
fn later() -> Vec<String> {
    FIRST.iter().map(|told| told.replace("created", "unchanged")).collect()
}

/// An account with twelve people, all invited, who get roles in turn.
fn many() -> (String, String) {
    let plan = "Plan,2020-01-01T00:00:00Z,2099-01-01T00:00:00Z";
    let accounts = format!("{ACCOUNTS}C-1,customer,Meadow Mills,{plan},P-1\nP-1,partner,River Partners,,,,\n");
    let roles = ["billing_contact", "administrator", "shipping_contact;administrator", ""];
    let person = |n: usize| format!("C-1,Person Number {n},n{n}@meadow.example,en,{},true\n", roles[n % 4]);
    (accounts, format!("{PEOPLE}{}", (0..12).map(person).collect::<String>()))
}

async fn somebody_added(store: &Store) -> (domain::ids::AccountId, Vec<ProfessionalId>) {
    let events = readable(store).await;
    let added = events.iter().filter_map(|recorded| match &recorded.event {
        Event::ProfessionalAdded(e) => Some((e.account, e.professional)),
        _ => None,
    });
    let added: Vec<_> = added.collect();
    (added[0].0, added.iter().map(|(_, professional)| *professional).collect())
}

on_both! {
    async fn a_second_run_appends_nothing(bench: &Bench) {
        let store = bench.writer().await;
        assert_eq!(told(&run(&store, &accounts(), &people()).await), FIRST);
        let head = store.head().await.unwrap();
        for store in [&store, &bench.writer().await] {
            assert_eq!(told(&run(store, &accounts(), &people()).await), later());
            assert_eq!(store.head().await.unwrap(), head);
        }
    }

    async fn a_dry_run_tells_what_a_run_would_and_appends_nothing(bench: &Bench) {
        let store = bench.writer().await;
        let decided = dry_run(&store, &accounts(), &people()).await;
        assert_eq!(told(&decided), FIRST);
        assert!(decided.iter().all(|row| row.account.is_none() && row.professional.is_none()), "ids would be made up");
        assert_eq!(store.head().await.unwrap(), 0);
        run(&store, &accounts(), &people()).await;
        let head = store.head().await.unwrap();
        assert_eq!(told(&dry_run(&store, &accounts(), &people()).await), later());
        assert_eq!(store.head().await.unwrap(), head);
    }

    async fn a_run_that_died_anywhere_is_completed_by_the_next(bench: &Bench) {
        let (accounts, people) = many();
        let whole = {
            let bench = Bench::sqlite().await;
            let store = bench.writer().await;
            run(&store, &accounts, &people).await;
            count(&store).await
        };
        assert_eq!((whole["ProfessionalAdded"], whole["InvitationIssued"]), (12, 12));
        // One log: each run dies at a later event than the one before.
        let store = bench.writer().await;
        let all: usize = whole.values().sum();
        for deaths in (1..all).step_by(3) {
            let (import, mut appended) = (import(&store), store.appended());
            let (a, p) = (accounts.clone(), people.clone());
            let running = tokio::spawn(async move { crate::import::files::run_as(&import, &a, &p).await });
            let reached = appended.wait_for(|head| *head >= i64::try_from(deaths).unwrap()).await.map(|head| *head);
            assert!(reached.is_ok());
            running.abort();
            let _ = running.await;
        }
        run(&store, &accounts, &people).await;
        assert_eq!(count(&store).await, whole);
        assert!(told(&run(&store, &accounts, &people).await).iter().all(|told| told.ends_with("unchanged")));
    }

    async fn what_is_missing_is_added_and_told_as_completed(bench: &Bench) {
        let (accounts, people) = many();
        let bare = accounts.replace("Plan,2020-01-01T00:00:00Z,2099-01-01T00:00:00Z,P-1", ",,,");
        let uninvited: String =
            people.replace("true", "false").replace("administrator", "").replace("billing_contact", "");
        let store = bench.writer().await;
        run(&store, &bare, &uninvited).await;
        assert!(!count(&store).await.contains_key("InvitationIssued"));
        let rows = told(&run(&store, &accounts, &people).await);
        assert_eq!(rows[..2], ["accounts 2 completed", "accounts 3 unchanged"]);
        assert!(rows[2..].iter().all(|told| told.ends_with("completed")), "{rows:?}");
        let counts = count(&store).await;
        assert_eq!((counts["InvitationIssued"], counts["ServicePlanSet"], counts["PartnerAssigned"]), (12, 1, 1));
    }

    async fn what_somebody_changed_in_between_stays(bench: &Bench) {
        let (accounts, people) = many();
        let store = bench.writer().await;
        run(&store, &accounts, &people).await;
        let (account, added) = somebody_added(&store).await;
        let opened = store.page(0, 1_000).await.unwrap();
        let partner = opened.iter().find_map(|recorded| match &recorded.event {
            Event::PartnerAssigned(e) => Some(e.partner),
            _ => None,
        });
        let role = Role::BillingContact;
        for command in [
            Command::SetServicePlan { account, plan: None },
            Command::RemovePartner { account, partner: partner.unwrap() },
            Command::GiveRole { account, professional: added[3], role },
            Command::TakeRole { account, professional: added[1], role: Role::Administrator },
        ] {
            bench::run(&store, &cli(), command).await.unwrap();
        }
        let head = store.head().await.unwrap();
        assert!(told(&run(&store, &accounts, &people).await).iter().all(|told| told.ends_with("unchanged")));
        assert_eq!(store.head().await.unwrap(), head);
    }

    async fn two_runs_at_once_do_everything_once(bench: &Bench) {
        let (accounts, people) = many();
        let (one, other) = (bench.writer().await, bench.writer().await);
        // They are there without what the runs will both give them.
        run(&one, &accounts, &people.replace("true", "false").replace("administrator", "")).await;
        let ran = tokio::join!(run(&one, &accounts, &people), run(&other, &accounts, &people));
        for rows in [&ran.0, &ran.1] {
            assert!(rows.iter().all(|row| row.outcome != workers::import::Outcome::Refused), "{:?}", told(rows));
        }
        let counts = count(&one).await;
        assert_eq!((counts["AccountOpened"], counts["ProfessionalAdded"]), (2, 12));
        assert_eq!(counts["InvitationIssued"], 12, "nobody is invited twice");
    }

    async fn two_runs_at_once_into_an_empty_log_add_everybody_once(bench: &Bench) {
        let (accounts, people) = many();
        let (one, other) = (bench.writer().await, bench.writer().await);
        let ran = tokio::join!(run(&one, &accounts, &people), run(&other, &accounts, &people));
        for rows in [&ran.0, &ran.1] {
            assert!(rows.iter().all(|row| row.outcome != workers::import::Outcome::Refused), "{:?}", told(rows));
        }
        let counts = count(&one).await;
        assert_eq!((counts["AccountOpened"], counts["ProfessionalAdded"], counts["InvitationIssued"]), (2, 12, 12));
    }
}
