//! Events at rest: they come back as they were, show nothing personal, and what nobody can read is not skipped.

use domain::command::Command;
use domain::event::Event;
use domain::ids::ProfessionalId;
use domain::mail::MailOutcome;
use domain::tag::{Class, Subject, TagKey};
use domain::time::Timestamp;
use futures::TryStreamExt as _;
use store::envelope::UnreadableEvent;
use store::{ExecuteError, ReadError};

use super::bench::{Bench, code, open_at, queue, request, run, standing_clock, word};
use super::check::readable;
use super::commands::*;

on_both! {
    async fn events_come_back_as_they_were_answered(bench: &Bench) {
        let (store, ended) = bench.open().await.unwrap();
        let (account, professional, invitation) = (fresh_account(), fresh_professional(), fresh_invitation());
        let (link, identity) = (link(account, invitation), fresh_identity());
        let sent = MailOutcome::Sent { reply: "250 2.0.0 robin@harbour.example: queued".into() };
        let wishes = [
            (staff(), open(account, "C-1001")),
            (staff(), set_plan(account, "Enhancement Plan")),
            (staff(), invite(account, professional, "robin@harbour.example", invitation)),
            (worker(), attempt(link)),
            (worker(), record_outcome(link, professional, 1, deferred())),
            (worker(), record_outcome(link, professional, 1, sent)),
            (link_holder(), visit(link)),
            (link_holder(), click(link)),
            (person(identity), register(identity)),
            (person(identity), issue_code(link, identity)),
            (person(identity), accept(link, identity)),
            (staff(), end_plan(account)),
        ];
        let mut answered = Vec::new();
        for (caller, command) in wishes {
            let executed = run(&store, &caller, command).await.unwrap();
            assert_eq!(Some(executed.position), executed.events.last().map(|recorded| recorded.position));
            assert!(executed.events.iter().all(|recorded| recorded.actor == caller.actor));
            answered.extend(executed.events);
        }
        assert_eq!(answered.len(), 17);
        assert!(answered.iter().map(|recorded| recorded.position).eq(1..=17));
        assert_eq!(readable(&store).await, answered);
        let envelopes = bench.outside().await.texts("select envelope from event order by position").await;

        drop(store);
        ended.await.unwrap();
        let restarted = bench.writer().await;
        assert_eq!(readable(&restarted).await, answered, "keys come from the database, too");
        assert_eq!(restarted.page(3, 4).await.unwrap(), answered[3..7]);
        assert_eq!(restarted.page(17, 4).await.unwrap(), []);
        let of_account = restarted.events_about(&Subject::Account(account)).await.unwrap();
        let is_registration = |event: &Event| matches!(event, Event::IdentityRegistered(_));
        assert!(of_account.iter().eq(answered.iter().filter(|recorded| !is_registration(&recorded.event))));
        let of_identity = restarted.events_about(&Subject::Identity(identity)).await.unwrap();
        assert_eq!(
            of_identity.iter().map(|recorded| recorded.event.name()).collect::<Vec<_>>(),
            ["IdentityRegistered", "IdentityAssociated"]
        );
        run(&restarted, &staff(), set_plan(account, "Support Plan")).await.unwrap();
        let now = bench.outside().await.texts("select envelope from event order by position").await;
        assert_eq!(now[..17], envelopes, "byte by byte");
    }

    async fn t68_nothing_personal_is_in_any_column_and_nothing_is_left_without_the_persons_key(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        let (professional, invitation, identity) = (fresh_professional(), fresh_invitation(), fresh_identity());
        let link = link(account, invitation);
        run(&store, &staff(), invite(account, professional, "robin@harbour.example", invitation)).await.unwrap();
        run(&store, &worker(), attempt(link)).await.unwrap();
        run(&store, &worker(), record_outcome(link, professional, 1, deferred())).await.unwrap();
        run(&store, &person(identity), register(identity)).await.unwrap();
        // Also what was tried and refused.
        let refused = run(&store, &staff(), add(account, fresh_professional(), "robin@harbour.example")).await;
        assert_eq!(code(refused), "address_already_in_account");
        let before = readable(&store).await;
        assert_eq!(before.iter().filter(|recorded| recorded.event.personal().is_some()).count(), 3);

        let everything = everything_stored(bench).await;
        assert!(contains(&everything, professional.to_string().as_bytes()), "the search finds what is there");
        for personal in ["Robin", "harbour.example", "mail.example"] {
            assert!(!contains(&everything, personal.as_bytes()), "{personal} is stored in plain text");
        }

        let mut outside = bench.outside().await;
        outside.run(&format!("delete from person_key where person = '{professional}'")).await.unwrap();
        let restarted = bench.writer().await;
        let after = readable(&restarted).await;
        assert_eq!(after.len(), before.len());
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((before.position, before.id), (after.position, after.id));
            assert_eq!(before.event.facts(), after.event.facts());
            let is_identity = matches!(after.event, Event::IdentityRegistered(_));
            assert_eq!(after.event.personal(), before.event.personal().filter(|_| is_identity));
        }
        // The account goes on; the erased address is free, and its mails can still be ended.
        run(&restarted, &staff(), add(account, fresh_professional(), "robin@harbour.example")).await.unwrap();
        run(&restarted, &staff(), revoke(link)).await.unwrap();
    }

    /// Keys of people who came together are read together, as far as that is worth it, and the others one by one.
    async fn whoever_has_no_keys_reads_those_of_all_who_came_at_one_time_and_at_others(bench: &Bench) {
        const PEOPLE: usize = 160;
        let (store, ended) = open_at(bench.location(), standing_clock()).await.unwrap();
        let account = an_account(&store).await;
        let head = store.head().await.unwrap();
        let mut added = Vec::new();
        for number in 0..PEOPLE {
            let professional = match number % 4 {
                0 => fresh_professional(),
                _ => ProfessionalId(store.fresh_id()),
            };
            added.extend(run(&store, &staff(), add(account, professional, &address())).await.unwrap().events);
        }
        drop(store);
        ended.await.unwrap();
        // Far less than all who came in the same millisecond, since the clock stands still; few; all.
        for (skipped, count) in [(0, 50), (PEOPLE - 50, 50), (7, 3), (0, PEOPLE)] {
            let cold = bench.writer().await;
            let page = cold.page(head + skipped as i64, count as i64).await.unwrap();
            assert_eq!(page, added[skipped..skipped + count], "{count} after {skipped}");
        }
        let cold = bench.writer().await;
        let pages: Vec<_> = cold.pages(head, cold.head().await.unwrap()).try_collect().await.unwrap();
        assert_eq!(pages.concat(), added, "copied");
        let personal: Vec<_> = added.iter().filter_map(|recorded| recorded.event.personal()).collect();
        assert_eq!(personal.len(), PEOPLE);
        let erased = [personal[1].0, personal[PEOPLE - 4].0];
        let list = erased.map(|person| format!("'{}'", person.id())).join(", ");
        bench.outside().await.run(&format!("delete from person_key where person in ({list})")).await.unwrap();
        let log = readable(&bench.writer().await).await;
        for (before, after) in added.iter().zip(&log[head as usize..]) {
            assert_eq!(after.event.facts(), before.event.facts());
            assert_eq!(after.event.personal(), before.event.personal().filter(|(of, _)| !erased.contains(of)));
        }
    }

    /// The key of whoever is added and erased by one batch is not kept by it.
    async fn t68_who_comes_and_goes_in_one_batch_leaves_no_key(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        somebody_invited(&store, account).await; // the administrator
        let (professional, other) = (fresh_professional(), fresh_professional());
        let mut outside = bench.outside().await;
        outside.lock().await;
        // The appender waits for the lock with the first of these, and takes all others as one batch.
        let erase = Command::ErasePerson { account, professional, identities: Vec::new() };
        let all = [
            queue(&store, &staff(), set_plan(account, "Support Plan")),
            queue(&store, &staff(), add(account, other, &address())),
            queue(&store, &staff(), add(account, professional, &address())),
            queue(&store, &staff(), erase),
        ];
        outside.unlock().await;
        let mut words = Vec::new();
        for executing in all {
            words.push(word(&executing.await.unwrap()));
        }
        assert_eq!(words, ["ServicePlanSet", "ProfessionalAdded", "ProfessionalAdded", "ProfessionalErased"]);
        let mut keys = async |person| {
            outside.numbers(&format!("select count(*) from person_key where person = '{person}'")).await[0]
        };
        assert_eq!((keys(other).await, keys(professional).await), (1, 0));
        assert_eq!(outside.texts("select person from erased_person").await, [professional.to_string()]);
        let added = readable(&bench.writer().await).await;
        let personal: Vec<_> = added.iter().filter_map(|recorded| recorded.event.personal()).collect();
        assert!(personal.iter().any(|(of, _)| of.id() == other.0));
        assert!(personal.iter().all(|(of, _)| of.id() != professional.0));
    }

    /// An erasure holds the append lock, and neither visitors nor other people make it longer.
    async fn t68_an_erasure_ends_what_the_person_is_in_the_middle_of_and_looks_nowhere_else(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        somebody_invited(&store, account).await; // the administrator
        let (professional, link) = somebody_invited(&store, account).await;
        let (identity, other) = (fresh_identity(), fresh_identity());
        for identity in [identity, other] {
            run(&store, &person(identity), register(identity)).await.unwrap();
        }
        run(&store, &link_holder(), click(link)).await.unwrap();
        run(&store, &person(identity), accept(link, identity)).await.unwrap();
        let expires_at = Timestamp(i64::MAX);
        let mut flows = Vec::new();
        for signed_in in [None, Some(identity), Some(other)] {
            let secret = store.begin_flow(&"begun", expires_at).await.unwrap();
            assert!(store.change_flow(secret.reveal(), &"begun", &"going on", signed_in).await.unwrap());
            flows.push(secret);
        }
        run(&store, &staff(), Command::ErasePerson { account, professional, identities: vec![identity] }).await.unwrap();
        let mut left = Vec::new();
        for secret in &flows {
            left.push(store.flow::<String>(secret.reveal()).await.unwrap().is_some());
        }
        assert_eq!(left, [true, false, true]);

        let mut outside = bench.outside().await;
        let indexes = match bench.server() {
            Some(_) => "select tablename::text from pg_indexes where indexdef like '%(identity%' order by 1",
            None => "select tbl_name from sqlite_master where type = 'index' and sql like '%(identity%' order by 1",
        };
        let tables = outside.texts(indexes).await;
        for table in ["association_request", "flow", "identity_look_up", "session"] {
            assert!(tables.iter().any(|found| found == table), "{table} has an index by identity: {tables:?}");
        }
    }

    /// On SQLite what is erased stays in the write-ahead log as long as somebody reads from there.
    async fn t68_whoever_keeps_erased_bytes_in_a_file_is_told_of(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        somebody_invited(&store, account).await; // the administrator
        let (professional, _) = somebody_invited(&store, account).await;
        let mut reader = bench.outside().await;
        reader.run("begin").await.unwrap();
        reader.numbers("select count(*) from event").await;
        run(&store, &staff(), Command::ErasePerson { account, professional, identities: Vec::new() }).await.unwrap();
        let is_embedded = bench.server().is_none();
        assert_eq!(store.clean_files().await.is_err(), is_embedded);
        reader.run("commit").await.unwrap();
        store.clean_files().await.unwrap();
    }

    /// A key is drawn for every sign-in; only that of the first one is kept, and so only that one may seal and open.
    async fn an_identity_that_signs_in_again_keeps_its_key(bench: &Bench) {
        let writers = bench.writers(2).await;
        let identity = fresh_identity();
        for store in [&writers[0], &writers[1], &writers[0]] {
            run(store, &person(identity), register(identity)).await.unwrap();
        }
        for store in &writers {
            let events = store.events_about(&Subject::Identity(identity)).await.unwrap();
            assert_eq!(events.len(), 1);
            assert!(events[0].event.personal().is_some(), "readable for whoever wrote it or tried to");
        }
    }

    /// Whether a question has an answer must not change what is stored or read afterwards.
    async fn a_question_appends_nothing_and_gives_no_key(bench: &Bench) {
        let store = bench.writer().await;
        let account = an_account(&store).await;
        let (professional, address) = (fresh_professional(), address());
        let command = invite(account, professional, &address, fresh_invitation());
        let head = store.head().await.unwrap();
        for _ in 0..2 {
            let events = store.ask(command.clone(), staff(), request()).await.unwrap();
            assert_eq!(events.len(), 6);
        }
        assert_eq!(store.head().await.unwrap(), head);
        assert!(bench.outside().await.texts("select person from person_key").await.is_empty());
        assert_eq!(run(&store, &staff(), command).await.unwrap().events.len(), 6);
        let added = &store.page(head, 1).await.unwrap()[0];
        assert!(added.event.personal().is_some());
    }

    async fn t76_an_event_of_an_unknown_type_stops_its_readers_and_nobody_else(bench: &Bench) {
        let store = bench.writer().await;
        let (account, other) = (an_account(&store).await, an_account(&store).await);
        let mut outside = bench.outside().await;
        let known = outside.texts("select envelope from event where position = 1").await.remove(0);
        let unknown = known.replace("AccountOpened", "AccountMerged");
        let tag = TagKey::new(&Subject::Account(account), Class::Decision).0;
        let position = outside.append_by_hand(&unknown, &[tag]).await;
        let is_named = |error: &ReadError| match error {
            ReadError::Event(UnreadableEvent::UnknownType { position: at, event_type, version }) => {
                (*at, event_type.as_str(), *version) == (position, "AccountMerged", 1)
            }
            _ => false,
        };
        for error in [
            store.page(0, 100).await.unwrap_err(),
            store.page(position - 1, 1).await.unwrap_err(),
            store.events_about(&Subject::Account(account)).await.unwrap_err(),
        ] {
            assert!(is_named(&error), "{error:?}");
            assert!(error.to_string().contains(&position.to_string()) && error.to_string().contains("AccountMerged"));
        }
        assert_eq!(store.page(0, position - 1).await.unwrap().len(), 4, "what stands before it is readable");

        // Whoever would have to know that event to decide cannot decide, whether the account was in memory or not.
        for writer in [&store, &bench.writer().await] {
            let undecided = run(writer, &staff(), set_plan(account, "Support Plan")).await;
            assert!(matches!(undecided, Err(ExecuteError::Unavailable)), "{undecided:?}");
            run(writer, &staff(), add(other, fresh_professional(), &address())).await.unwrap();
        }
        let tail = store.page(position, 100).await.unwrap();
        assert!(!tail.is_empty(), "what stands after it is readable, for those who can do without it");
    }

    /// T71: what the domain's types let through comes back as it was, at its longest and at its strangest.
    async fn t71_texts_come_back_at_their_longest_and_strangest(bench: &Bench) {
        let store = bench.writer().await;
        let account = fresh_account();
        run(&store, &staff(), open(account, "C-1")).await.unwrap();
        let names = ["\u{1f980}".repeat(40), "ẞ\u{301}'\"\\{}[]%$1".to_owned(), "名".repeat(80)];
        let mut added = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let professional = fresh_professional();
            let mut details = details(&format!("n{place}+\"'tag@harbour.example").replace('"', ""));
            let Ok(name) = domain::name::PersonName::parse(name) else { continue };
            details.name = name;
            let command = domain::command::Command::AddProfessional {
                account,
                professional,
                details,
                language: domain::words::Language::English,
                invitation: None,
            };
            added.extend(run(&store, &staff(), command).await.unwrap().events);
        }
        let caller = domain::caller::Caller {
            actor: domain::caller::Actor::Cli("o'brien \u{0}\\u0000 \"$1\" \u{1f980}".into()),
            ..staff()
        };
        added.extend(run(&store, &caller, set_plan(account, "Plan \\ $1 ' ; --")).await.unwrap().events);
        assert!(added.len() > 5);
        assert_eq!(bench.writer().await.page(1, 100).await.unwrap(), added);
    }
}

/// Every byte of the database that is anybody's.
async fn everything_stored(bench: &Bench) -> Vec<u8> {
    let mut everything = Vec::new();
    if let Some(folder) = bench.folder() {
        for file in std::fs::read_dir(folder).unwrap() {
            everything.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
    }
    if let Some(postgres) = bench.server() {
        let tables = postgres.sql(
            "select format('%I.%I', schemaname, tablename) from pg_tables \
             where schemaname not in ('pg_catalog', 'information_schema')",
        );
        for table in tables.lines() {
            everything.extend(postgres.sql(&format!("select it::text from {table} it")).into_bytes());
        }
    }
    everything
}

fn contains(everything: &[u8], part: &[u8]) -> bool {
    everything.windows(part.len()).any(|window| window == part)
}
