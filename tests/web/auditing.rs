//! Histories for auditors: filters, tags, the record of every reading, the past, exports.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use super::cast::{Cast, count, history, invite, open_account, pages, plan};
use super::client::Answer;
use super::site::{ALEX, NOOR, Site};
use crate::support::{Visitor, eventually};

fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn ids(events: &[Value]) -> Vec<&Value> {
    events.iter().map(|event| &event["id"]).collect()
}

/// The readings of an account's history that are recorded, by who read.
async fn readings(site: &Site, auditor: &str, account: &str) -> Vec<(String, String)> {
    let all = pages(site, auditor, &format!("/v1/accounts/{account}/history?type=AuditRead&limit=500")).await;
    let text = |event: &Value, at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    all.iter().map(|event| (text(event, "/actor"), text(event, "/facts/tag"))).collect()
}

/// The actor that a key or a person is in the log.
fn actor_of(key: &str) -> String {
    let id = key.split('_').nth(1).expect("a key names its id");
    format!("key:{}", id.parse::<uuid::Uuid>().expect("an id is a UUID"))
}

/// Waits until nothing happens in the account any more: every mail has been sent.
async fn settled(site: &Site, credential: &str, account: &str) {
    let sent = async || {
        let all = site.api(credential).get(&format!("/v1/invitations?account={account}&limit=200")).await.json();
        let items = all["items"].as_array()?;
        items.iter().all(|one| one["delivery"]["state"] == "sent").then_some(())
    };
    eventually("every mail", sent).await;
}

pub async fn a_history_is_filtered_by_type_actor_and_time(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let account = &cast.harbour.id;
    settled(site, &cast.operator, account).await;
    let path = format!("/v1/accounts/{account}/history");
    let whole = history(site, &cast.auditor, account).await;
    let filtered = async |filter: &str| pages(site, &cast.auditor, &format!("{path}?limit=3&{filter}")).await;
    let of = |wanted: &dyn Fn(&Value) -> bool| whole.iter().filter(|event| wanted(event)).cloned().collect::<Vec<_>>();

    let roles = filtered("type=RoleGiven").await;
    assert_eq!((roles.len(), &roles), (4, &of(&|event| event["event_type"] == "RoleGiven")));
    let both = filtered("type=RoleGiven,%20ProfessionalAdded").await;
    assert_eq!(both, of(&|event| event["event_type"] == "RoleGiven" || event["event_type"] == "ProfessionalAdded"));
    let back_office = actor_of(&cast.back_office);
    let by_key = filtered(&format!("actor={back_office}")).await;
    assert_eq!(by_key, of(&|event| event["actor"] == back_office.as_str()));
    assert!(!by_key.is_empty() && by_key.len() < whole.len());
    assert_eq!(filtered("actor=worker:mail").await, of(&|event| event["actor"] == "worker:mail"));

    let middle = whole[whole.len() / 2]["recorded_at"].as_str().expect("a time").to_owned();
    let is_before = |event: &Value| {
        let at = |text: &str| domain::time::Timestamp::parse(text).expect("a time");
        at(event["recorded_at"].as_str().expect("a time")) < at(&middle)
    };
    let (until, from) =
        (filtered(&format!("until={middle}")).await, filtered(&format!("from={middle}&type=LinkClicked")).await);
    assert_eq!(until, of(&is_before));
    assert_eq!(from, of(&|event| event["event_type"] == "LinkClicked" && !is_before(event)));
    let elsewhere = percent(
        &domain::time::Timestamp::parse(&middle).map(|at| at.to_string().replace('Z', "+00:00")).expect("a time"),
    );
    assert_eq!(filtered(&format!("until={elsewhere}")).await, until);

    let added = whole.iter().find(|event| event["event_type"] == "ProfessionalAdded").expect("somebody was added");
    assert_eq!(added["personal"]["name"], ALEX.name);
    assert_eq!(added["personal"]["address"], format!("first@{}", cast.at));
    assert_eq!(whole[0]["personal"], Value::Null);

    let auditor = site.api(&cast.auditor);
    for (filter, code) in [
        ("type=RoleGifted", "event_type_unknown"),
        ("type=", "event_type_unknown"),
        ("actor=Kim", "actor_invalid"),
        ("from=yesterday", "time_invalid"),
        ("until=2026-01-01", "time_invalid"),
    ] {
        auditor.get(&format!("{path}?{filter}")).await.expect_problem(422, code);
    }
}

pub async fn every_reading_is_recorded_and_paging_ends_before_it(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let account = &cast.harbour.id;
    settled(site, &cast.operator, account).await;
    assert_eq!(readings(site, &cast.auditor, account).await, []);
    let path = format!("/v1/accounts/{account}/history");
    let (auditor, tag) = (actor_of(&cast.auditor), format!("account:{account}"));
    let whole = site.api(&cast.auditor).get(&format!("{path}?limit=500")).await.expect(200).json();
    let whole = whole["items"].as_array().expect("a page has items").clone();
    assert_eq!(count(&whole, "AuditRead"), 1, "the reading before; not the one that shows it");
    let paged = pages(site, &cast.auditor, &format!("{path}?limit=1")).await;
    assert_eq!(paged.len(), whole.len() + 1, "each page is a reading, and none of them is on a later page");
    assert_eq!(ids(&paged)[..whole.len()], ids(&whole));

    let before = readings(site, &cast.auditor, account).await.len();
    site.api(&cast.administrator).get(&path).await.expect(200);
    site.api(&cast.support).get(&format!("/v1/history?tag={tag}")).await.expect(200);
    site.api(&cast.auditor).get(&format!("/v1/history/export?tag={tag}")).await.expect(200);
    site.api(&cast.auditor).get(&format!("/v1/accounts/{account}?as_of=1")).await;
    for refused in [&cast.member, &cast.stranger, &cast.operator] {
        assert!(site.api(refused).get(&path).await.status >= 400);
    }
    let person = Visitor::new();
    site.sign_in(&person, ALEX).await;
    assert_eq!(person.open(site.url(&format!("/profile/history/{account}"))).await.status, 200);
    let read = readings(site, &cast.auditor, account).await;
    let me = site.api(&cast.administrator).get("/v1/me").await.json();
    let administrator = format!("identity:{}", me["identity"].as_str().expect("an id"));
    let expected = [&auditor, &administrator, &actor_of(&cast.support), &auditor, &administrator];
    let expected: Vec<_> = expected.into_iter().map(|actor| (actor.clone(), tag.clone())).collect();
    assert_eq!(read[before..], expected, "the reading of the readings, then one for each that was answered");
}

pub async fn the_history_of_a_tag_is_what_carries_it(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let harbour = &cast.harbour;
    settled(site, &cast.operator, &harbour.id).await;
    let of_tag = async |tag: &str| pages(site, &cast.auditor, &format!("/v1/history?limit=4&tag={tag}")).await;
    let whole = of_tag(&format!("account:{}", harbour.id)).await;
    let number = format!("customer-number:{}-H", cast.number);
    for (tag, least) in [
        (format!("professional:{}", harbour.member), 5),
        (format!("invitation:{}", harbour.member_invitation), 4),
        (number.clone(), 1),
        (number.to_lowercase(), 1),
    ] {
        let events = of_tag(&tag).await;
        let carries = |event: &&Value| event["tags"].to_string().to_lowercase().contains(&tag.to_lowercase());
        let expected: Vec<_> = whole.iter().filter(carries).cloned().collect();
        assert!(events.len() >= least, "{tag}: {}", events.len());
        assert_eq!(events, expected, "{tag}");
    }
    let read: BTreeSet<String> =
        readings(site, &cast.auditor, &harbour.id).await.into_iter().map(|(_, tag)| tag).collect();
    assert!(read.contains(&number) && read.contains(&format!("professional:{}", harbour.member)), "{read:?}");

    let linked = whole.iter().find(|event| event["event_type"] == "IdentityAssociated").expect("somebody was linked");
    let identity = linked["facts"]["to"].as_str().expect("an identity").to_owned();
    let events = of_tag(&format!("identity:{identity}")).await;
    assert!(events.contains(linked), "in the same words: {events:#?}");
    assert_eq!(events[0]["event_type"], "IdentityRegistered");
    let again = of_tag(&format!("identity:{identity}")).await;
    assert!(count(&again, "AuditRead") > 0, "recorded about the identity");

    // What nothing is about is not there, whatever it looks like.
    let auditor = site.api(&cast.auditor);
    let nowhere = store::random::uuid();
    for (tag, code) in [
        (format!("account:{nowhere}"), "unknown_account"),
        (format!("account:{}", harbour.member), "unknown_account"),
        (format!("professional:{nowhere}"), "unknown_professional"),
        (format!("invitation:{}", harbour.id), "unknown_invitation"),
        (format!("identity:{nowhere}"), "unknown_identity"),
        (format!("customer-number:{}-NONE", cast.number), "unknown_account"),
    ] {
        auditor.get(&format!("/v1/history?tag={tag}")).await.expect_problem(404, code);
        auditor.get(&format!("/v1/history/export?tag={tag}")).await.expect_problem(404, code);
    }
    for tag in ["", "account", "account:", "account:1", "mail:1", "customer-number:", "log"] {
        auditor.get(&format!("/v1/history?tag={tag}")).await.expect_problem(422, "tag_invalid");
        auditor.get(&format!("/v1/history/export?tag={tag}")).await.expect_problem(422, "tag_invalid");
    }
    auditor.get("/v1/history").await.expect_problem(400, "invalid_query");
    auditor.get(&format!("/v1/history/export?tag={number}&format=xml")).await.expect_problem(400, "invalid_query");
}

pub async fn what_was_shown_then_is_shown_again(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let account = &cast.harbour.id;
    let (path, person) =
        (format!("/v1/accounts/{account}"), format!("/v1/accounts/{account}/professionals/{}", cast.harbour.member));
    let read = async |path: &str| site.api(&cast.auditor).get(path).await;
    let (then, person_then) = (read(&path).await.json(), read(&person).await.json());
    let whole = history(site, &cast.auditor, account).await;
    let head = whole.last().and_then(|event| event["position"].as_i64()).expect("something has happened");
    let ended = json!({ "service_plan": null });
    let changed = site.api(&cast.back_office).put(&format!("{path}/service-plan"), ended).await.expect(200).json();
    let send = format!("{person}/invitations");
    site.api(&cast.back_office).put(&format!("{path}/service-plan"), plan()).await.expect(200);
    let sent = site.api(&cast.administrator).post(&send, json!({})).await.expect(201).json();

    assert_eq!(read(&format!("{path}?as_of={head}")).await.expect(200).json(), then);
    assert_eq!(read(&format!("{person}?as_of={head}")).await.expect(200).json(), person_then);
    let without = read(&format!("{path}?as_of={}", changed["position"])).await.expect(200).json();
    assert_eq!((&without["plan_allows_entry"], &without["service_plan"]), (&json!(false), &Value::Null));
    let now = read(&format!("{person}?as_of={}", sent["position"])).await.expect(200).json();
    assert_eq!(now, read(&person).await.json());
    assert_ne!(now["invitation"], Value::Null);

    let opened = whole[0]["recorded_at"].as_str().expect("a time");
    let at_first = read(&format!("{path}?as_of={}", percent(opened))).await.expect(200).json();
    assert_eq!(at_first["opened_at"], opened);
    let before = whole[0]["position"].as_i64().expect("a position") - 1;
    for (path, code) in [(&path, "unknown_account"), (&person, "unknown_professional")] {
        read(&format!("{path}?as_of={before}")).await.expect_problem(404, code);
        read(&format!("{path}?as_of=0")).await.expect_problem(404, code);
        read(&format!("{path}?as_of=2020-01-01T00:00:00Z")).await.expect_problem(404, code);
        for odd in ["", "-1", "now", "999999999", "2999-01-01T00:00:00Z", "2026-01-01"] {
            read(&format!("{path}?as_of={odd}")).await.expect_problem(422, "as_of_invalid");
        }
        read(&format!("{path}?as=1")).await.expect_problem(400, "invalid_query");
    }
    read(&format!("{person}?as_of={}", whole[0]["position"])).await.expect_problem(404, "unknown_professional");

    // Only those who may read the history.
    for path in [&path, &person] {
        let asked = format!("{path}?as_of={head}");
        site.api(&cast.administrator).get(&asked).await.expect(200);
        site.api(&cast.support).get(&asked).await.expect(200);
        site.api(&cast.member).get(&asked).await.expect_problem(403, "not_administrator");
        site.api(&cast.stranger).get(&asked).await.expect_problem(404, "unknown_account");
        site.api(&cast.operator).get(&asked).await.expect_problem(403, "scope_missing");
        site.nobody().get(&asked).await.expect_problem(401, "unauthenticated");
    }
}

fn rows(csv: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv);
    reader.records().map(|row| row.expect("it is CSV").iter().map(ToOwned::to_owned).collect()).collect()
}

fn lines(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// A name that a spreadsheet would calculate.
const HOSTILE: &str = "=SUM(A1:A9)*cmd";

pub async fn t54_an_export_holds_the_whole_history_and_no_formula(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let account = &cast.harbour.id;
    invite(site, &cast.administrator, account, HOSTILE, &format!("kim@{}", cast.at)).await.expect(201);
    settled(site, &cast.operator, account).await;
    let auditor = site.api(&cast.auditor);
    let path = format!("/v1/history/export?tag=account:{account}");
    let whole = history(site, &cast.auditor, account).await;
    let without_reads = |mut entries: Vec<Value>| {
        entries.retain(|entry| entry["event_type"] != "AuditRead");
        entries
    };
    let jsonl: Answer = auditor.get(&path).await.expect(200);
    assert!(jsonl.header("content-disposition").contains("history.jsonl"));
    assert_eq!(without_reads(lines(&jsonl.body)), whole);
    let roles = auditor.get(&format!("{path}&type=RoleGiven&format=jsonl")).await.expect(200);
    assert_eq!(lines(&roles.body).len(), 4);

    let csv = auditor.get(&format!("{path}&format=csv")).await.expect(200);
    assert!(
        csv.header("content-type").starts_with("text/csv") && csv.header("content-disposition").contains("history.csv")
    );
    let rows = rows(csv.body.as_bytes());
    assert_eq!(rows[0][..5], ["position", "id", "recorded_at", "event_type", "words"]);
    let of_events: Vec<_> = rows[1..].iter().filter(|row| row[3] != "AuditRead").collect();
    assert_eq!(of_events.len(), whole.len());
    let formula = |cell: &String| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    for (row, event) in of_events.iter().zip(&whole) {
        assert!(!row.iter().any(formula), "{row:?}");
        assert_eq!(
            (row[0].clone(), json!(row[4].trim_start_matches('\''))),
            (event["position"].to_string(), event["words"].clone())
        );
        let facts: Value = serde_json::from_str(&row[9]).expect("facts are JSON");
        assert_eq!(facts, event["facts"]);
    }
    assert!(
        of_events.iter().any(|row| row[4] == format!("'{HOSTILE} was added.")),
        "the name is in a cell's beginning"
    );
    let nothing = auditor.get(&format!("{path}&format=csv&until=2020-01-01T00:00:00Z")).await.expect(200);
    assert_eq!(self::rows(nothing.body.as_bytes()).len(), 1, "the headings");
}

pub async fn the_command_line_exports_a_history_or_the_whole_log(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let account = &cast.meadow.id;
    invite(site, &cast.stranger, account, HOSTILE, "kim@meadow.example").await.expect(201);
    settled(site, &cast.operator, account).await;
    let whole = history(site, &cast.auditor, account).await;
    let without_reads = |mut entries: Vec<Value>| {
        entries.retain(|entry| entry["event_type"] != "AuditRead");
        entries
    };
    let tag = format!("account:{account}");
    let ran = site.run(&["export", "--format", "jsonl", "--tag", &tag]);
    assert!(ran.success, "{ran:?}");
    assert_eq!(without_reads(lines(&ran.out)), whole);
    let file = format!("export-{}.csv", cast.number);
    let exported = site.run(&["export", "--format", "csv", "--out", &file]);
    assert!(exported.success && exported.out.is_empty(), "{exported:?}");
    let place = site.home().join(&file);
    let mode = std::fs::metadata(&place).expect("the file is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner reads it");
    let of_log = rows(&std::fs::read(&place).expect("the file can be read"));
    let positions = of_log[1..].iter().map(|row| row[0].parse::<usize>().expect("a position"));
    assert!(positions.eq(1..of_log.len()), "every event of the log, in order");
    let formula = |cell: &String| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    assert!(of_log.iter().flatten().all(|cell| !formula(cell)));
    assert!(of_log.iter().any(|row| row[4] == format!("'{HOSTILE} was added.")));
    let again = site.run(&["export", "--format", "csv", "--out", &file]);
    assert!(!again.success && again.err.contains("cannot be made"), "a file is never overwritten: {again:?}");

    let professional = format!("professional:{}", cast.meadow.member);
    let ran = site.run(&["export", "--format", "jsonl", "--tag", &professional, "--until", "2999-01-01T00:00:00Z"]);
    assert!(ran.success && lines(&ran.out).iter().all(|entry| entry["tags"].to_string().contains(&professional)));
    assert!(lines(&ran.out).len() >= 2, "{ran:?}");
    let read = readings(site, &cast.auditor, account).await;
    let at_command_line = |(actor, _): &&(String, String)| actor == "cli:unknown"; // no user is in its environment
    let tags: Vec<&str> = read.iter().filter(at_command_line).map(|(_, tag)| tag.as_str()).collect();
    assert_eq!(tags, [tag.as_str(), professional.as_str()]);
    let reads = |row: &&Vec<String>| row[3] == "AuditRead" && row[4] == "The whole log was read.";
    let of_log = site.run(&["export", "--format", "csv"]);
    assert!(
        rows(of_log.out.as_bytes()).iter().filter(reads).count() >= 1,
        "reading the whole log is in it the next time"
    );

    let nowhere = format!("professional:{}", store::random::uuid());
    for wrong in [
        ["export", "--format", "xml"].as_slice(),
        &["export"],
        &["export", "--format", "csv", "--tag", "mail:1"],
        &["export", "--format", "csv", "--from", "yesterday"],
        &["export", "--format", "csv", "--tag", &nowhere],
    ] {
        let ran = site.run(wrong);
        assert!(!ran.success && ran.out.is_empty() && !ran.err.is_empty(), "{wrong:?}: {ran:?}");
    }
}

/// A reading that cannot be recorded is not answered.
#[tokio::test]
async fn what_cannot_be_recorded_is_not_shown() {
    let site = Site::embedded().await;
    let key = site.key(&["back_office", "auditor"]);
    let account = open_account(&site, &key, "T-950", "Harbour Works").await;
    let log = site.home().join("data/log.db");
    let mut database = SqliteConnection::connect(&format!("sqlite://{}", log.display())).await.expect("it opens");
    let mut run = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&mut database).await.expect("the database obeys");
    };
    let path = format!("/v1/accounts/{account}/history");
    let of_tag = format!("/v1/history?tag=account:{account}");
    let export = format!("/v1/history/export?tag=account:{account}");
    run("create trigger full before insert on event begin select raise(abort, 'no room'); end").await;
    for path in [&path, &of_tag, &export] {
        site.api(&key).get(path).await.expect_problem(503, "unavailable");
    }
    run("drop trigger full").await;
    for path in [&path, &of_tag, &export] {
        site.api(&key).get(path).await.expect(200);
    }
    assert_eq!(readings(&site, &key, &account).await.len(), 3);
    let noor = site.bearer(NOOR).await;
    site.api(&noor).get(&path).await.expect_problem(404, "unknown_account");
}
