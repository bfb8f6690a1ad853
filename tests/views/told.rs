//! How the log is told to auditors: names of others than the account's own people, pages, and the record of the reading.

use api::told::{Filter, HistoryEntry, Source, Telling, record_reading};
use domain::caller::{Actor, Caller, Request};
use domain::command::Command;
use domain::event::{Event, Position};
use domain::ids::AccountId;
use domain::name::AccountName;
use domain::tag::{Subject, Tag};
use domain::words::AccountKind;
use projections::as_of::{self, Moment};
use projections::professionals::Professionals;
use store::Store;

use crate::log::bench::{Bench, run};
use crate::log::check::readable;
use crate::log::commands::*;

async fn tell(store: &Store, source: Source, filter: Filter, after: Position, end: Position) -> Vec<HistoryEntry> {
    let mut telling = Telling::new(store.clone(), source, filter, after, end);
    let mut entries = Vec::new();
    while let Some(page) = telling.next().await.unwrap() {
        entries.extend(page);
    }
    entries
}

async fn of_account(store: &Store, account: AccountId) -> Vec<HistoryEntry> {
    tell(store, Source::Subject(Subject::Account(account)), Filter::default(), 0, Position::MAX).await
}

fn words(entries: &[HistoryEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.words.as_str()).collect()
}

fn request() -> Request {
    Request { id: store::random::uuid(), key: None, body: None, if_match: None }
}

async fn rename(store: &Store, account: AccountId, name: &str) {
    let command = Command::RenameAccount { account, name: AccountName::parse(name).unwrap() };
    run(store, &staff(), command).await.unwrap();
}

on_both! {
    async fn a_partner_has_the_name_that_it_had_then(bench: &Bench) {
        let store = bench.writer().await;
        let (account, partner) = (an_account(&store).await, fresh_account());
        run(&store, &staff(), open_as(partner, &number(), AccountKind::Partner)).await.unwrap();
        rename(&store, partner, "Quay Partners").await;
        run(&store, &staff(), Command::AssignPartner { account, partner }).await.unwrap();
        rename(&store, partner, "Pier Partners").await;
        run(&store, &staff(), Command::RemovePartner { account, partner }).await.unwrap();

        let entries = of_account(&store, account).await;
        let told = words(&entries);
        let begun = "The partner Quay Partners began to serve the account.";
        let ended = "The partner Pier Partners serves the account no longer.";
        assert!(told.contains(&begun) && told.contains(&ended), "{told:#?}");
    }

    async fn an_identitys_history_names_the_people_it_was_linked_to(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        let (_, link) = somebody_invited(&store, account).await;
        let identity = fresh_identity();
        run(&store, &person(identity), register(identity)).await.unwrap();
        run(&store, &person(identity), accept(link, identity)).await.unwrap();

        let source = Source::Subject(Subject::Identity(identity));
        let entries = tell(&store, source, Filter::default(), 0, Position::MAX).await;
        let told = words(&entries);
        let linked = "Robin Rivers is now linked to the personal identity of Robin Private at microsoft, proved by a code \
                      from the registered mailbox.";
        let registered = "The personal identity of Robin Private at microsoft signed in for the first time.";
        assert_eq!(told, [registered, linked]);
        assert_eq!(entries[0].personal.as_ref().unwrap()["address"], "robin@mail.example");
        // The account's own history tells the same, and who did it by the profile.
        let of_account = of_account(&store, account).await;
        let last = of_account.iter().find(|entry| entry.event_type == "IdentityAssociated").unwrap();
        assert_eq!((last.words.as_str(), last.actor_words.as_str()), (linked, "Robin Rivers"));
    }

    async fn what_is_told_in_pages_of_the_log_or_of_one_account_is_the_same(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        let other = an_account(&store).await;
        for n in 0..130 {
            let command = add(account, fresh_professional(), &address());
            run(&store, &staff(), command).await.unwrap();
            if n % 3 == 0 {
                somebody_invited(&store, other).await;
            }
            let plan = ["Support Plan", "Enhancement Plan"][n % 2];
            run(&store, &staff(), set_plan(account, plan)).await.unwrap();
            run(&store, &staff(), end_plan(account)).await.unwrap();
            run(&store, &staff(), set_plan(account, plan)).await.unwrap();
        }
        let whole = of_account(&store, account).await;
        assert!(whole.len() > 500, "more than one page: {}", whole.len());
        assert!(whole.is_sorted_by_key(|entry| entry.position));
        let filter = || Filter { tag: Some(Tag::Account(account)), ..Filter::default() };
        let head = store.head().await.unwrap();
        let of_log = tell(&store, Source::Log, filter(), 0, head).await;
        let data = |entries: &[HistoryEntry]| serde_json::to_value(entries).unwrap();
        assert_eq!(data(&of_log), data(&whole));
        let (first, last) = (whole[200].position, whole[520].position);
        let part = tell(&store, Source::Subject(Subject::Account(account)), filter(), first, last).await;
        assert_eq!(data(&part), data(&whole[201..=520]));
        // A page is as long as asked for, and none is only at the end.
        let subject = Subject::Account(account);
        let (mut after, mut positions) = (0, Vec::new());
        loop {
            let page = store.page_about(&subject, after, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.position;
            assert!(page.len() == 7 || positions.len() + page.len() == whole.len());
            positions.extend(page.iter().map(|recorded| recorded.position));
        }
        assert!(positions.iter().eq(whole.iter().map(|entry| &entry.position)));
    }

    async fn what_was_personal_is_told_until_it_is_erased(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        let (professional, link) = somebody_invited(&store, account).await;
        let identity = fresh_identity();
        run(&store, &person(identity), register(identity)).await.unwrap();
        run(&store, &person(identity), accept(link, identity)).await.unwrap();
        run(&store, &worker(), attempt(link)).await.unwrap();
        let (subject, head) = (Subject::Account(account), store.head().await.unwrap());
        let key = professional.to_string();
        let told = async |store: &Store| {
            let entries = tell(store, Source::Log, Filter::default(), 0, head).await;
            let row = as_of::read::<Professionals>(store, &subject, &key, Moment::Position(head)).await.unwrap();
            (serde_json::to_string(&entries).unwrap(), entries, row.unwrap())
        };
        let (text, entries, row) = told(&store).await;
        let personal = |entries: &[HistoryEntry]| entries.iter().filter_map(|it| it.personal.clone()).collect::<Vec<_>>();
        let names: Vec<_> = personal(&entries).iter().map(|it| it["name"].clone()).collect();
        assert_eq!(names, ["Robin Rivers", "Robin Private"]);
        assert!(text.contains("Robin Rivers was added.") && row.name.as_deref() == Some("Robin Rivers"));

        bench.outside().await.run("delete from person_key").await.unwrap();
        let (text, entries, row) = told(&bench.writer().await).await;
        assert!(personal(&entries).is_empty() && !text.contains("Robin") && !text.contains(".example"), "{text}");
        assert!(text.contains("An erased person was added."), "{text}");
        assert_eq!((row.name, row.address, row.identity), (None, None, Some(identity)));
    }

    async fn every_reading_is_recorded_where_it_belongs(bench: &Bench) {
        let store = bench.writer().await;
        let (account, identity) = (an_account(&store).await, fresh_identity());
        run(&store, &person(identity), register(identity)).await.unwrap();
        let caller = Caller::new(Actor::Cli("kim".into()));
        let (account_tag, identity_tag) = (Tag::Account(account), Tag::Identity(identity));
        for (tag, source) in [
            (Some(account_tag.clone()), Source::Subject(Subject::Account(account))),
            (Some(identity_tag.clone()), Source::Subject(Subject::Identity(identity))),
            (None, Source::Log),
            (None, Source::Log),
        ] {
            record_reading(&store, tag, &source, caller.clone(), request()).await.unwrap();
        }
        let log = readable(&store).await;
        let reads: Vec<(Vec<Tag>, &str)> = log
            .iter()
            .filter_map(|recorded| match &recorded.event {
                Event::AuditRead(e) => Some((recorded.event.tags(), e.tag.as_str())),
                _ => None,
            })
            .collect();
        let (about_account, about_identity) = (account_tag.to_string(), identity_tag.to_string());
        let expected = [
            (vec![account_tag], about_account.as_str()),
            (vec![identity_tag], about_identity.as_str()),
            (vec![], "log"),
            (vec![], "log"),
        ];
        assert_eq!(reads, expected);
        let entries = tell(&store, Source::Log, Filter::default(), 0, Position::MAX).await;
        let last = entries.last().unwrap();
        assert_eq!((last.words.as_str(), last.actor_words.as_str()), ("The whole log was read.", "kim at the command line"));
        // Whoever may read nothing records nothing either.
        let source = Source::Subject(Subject::Account(account));
        record_reading(&store, Some(Tag::Account(account)), &source, worker(), request()).await.unwrap_err();
    }
}
