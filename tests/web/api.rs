//! Every endpoint does what its description says, and refuses in one shape.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::cast::{Cast, Partner, add, history, invite, open_account, pages, plan};
use super::client::operations;
use super::site::{ALEX, NOOR, Site};
use crate::support::eventually;

pub async fn accounts_are_opened_entitled_and_read(site: &Arc<Site>) {
    let key = site.key(&["back_office"]);
    let api = site.api(&key);
    let body = json!({ "customer_number": "t-900", "kind": "partner", "name": "Quay Partners" });
    let opened = api.post("/v1/accounts", body).await.expect(201);
    assert_eq!(opened.json()["changed"], true);
    let read = api.get(opened.header("location")).await.expect(200);
    let events = history(site, &site.key(&["auditor"]), &opened.text("account")).await;
    assert_eq!(read.header("etag"), events[0]["id"].to_string(), "the event that changed it last");
    let account = read.json();
    assert_eq!((&account["customer_number"], &account["kind"]), (&json!("T-900"), &json!("partner")));
    assert_eq!((&account["plan_allows_entry"], &account["service_plan"]), (&json!(true), &Value::Null));
    let of_partner = format!("/v1/accounts/{}/service-plan", opened.text("account"));
    api.put(&of_partner, plan()).await.expect_problem(409, "plan_not_for_partners");

    let account = open_account(site, &key, "T-901", "Harbour Works").await;
    let (path, plan_path) = (format!("/v1/accounts/{account}"), format!("/v1/accounts/{account}/service-plan"));
    let before = api.get(&path).await.expect(200);
    assert_eq!(before.json()["service_plan"], plan()["service_plan"]);
    assert_eq!(api.put(&plan_path, plan()).await.expect(200).json()["changed"], false);
    assert_eq!(api.get(&path).await.header("etag"), before.header("etag"));
    assert_eq!(api.put(&plan_path, json!({ "service_plan": null })).await.expect(200).json()["changed"], true);
    let after = api.get(&path).await.expect(200);
    assert_eq!(after.json()["plan_allows_entry"], false);
    assert_ne!(after.header("etag"), before.header("etag"), "the ETag tells that it changed");
    let uninvited = invite(site, &key, &account, "Robin Rivers", "robin@t-901.example").await;
    uninvited.expect_problem(409, "no_service_plan");
    let taken = json!({ "customer_number": "T-901", "kind": "customer", "name": "Another" });
    api.post("/v1/accounts", taken).await.expect_problem(409, "customer_number_taken");
}

pub async fn people_are_added_listed_and_read(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (administrator, account) = (site.api(&cast.administrator), &cast.harbour.id);
    let people = format!("/v1/accounts/{account}/professionals");
    let me = administrator.get("/v1/me").await.expect(200).json();
    assert_eq!((&me["name"], &me["address"], &me["issuer"]), (&json!(ALEX.name), &json!(ALEX.email), &json!("work")));
    let profiles = me["profiles"].as_array().expect("profiles are listed");
    let profile = profiles.iter().find(|profile| profile["account"] == *account).expect("the profile is listed");
    assert_eq!(
        profile["roles"],
        json!(["administrator", "billing_contact", "customer_care_contact", "shipping_contact"])
    );
    assert_eq!((&profile["may_enter"], &profile["barred"]), (&json!(true), &Value::Null));

    let body =
        json!({ "name": "Kim Reed", "address": format!("Kim.Reed@{}", cast.at.to_uppercase()), "language": "de" });
    let added = administrator.post(&people, body).await.expect(201);
    assert_eq!((&added.json()["roles"], &added.json()["invitation"]), (&json!([]), &Value::Null));
    let read = administrator.get(added.header("location")).await.expect(200);
    let events = history(site, &cast.auditor, account).await;
    let addition = events.iter().find(|event| event["facts"]["professional"] == added.json()["professional"]);
    assert_eq!(read.header("etag"), addition.expect("it stands in the history")["id"].to_string());
    let kim = read.json();
    assert_eq!((&kim["address"], &kim["language"]), (&json!(format!("Kim.Reed@{}", cast.at)), &json!("de")));
    assert_eq!((&kim["is_associated"], &kim["invitation"]), (&json!(false), &Value::Null));
    let again = invite(site, &cast.administrator, account, "Kim Again", &format!("kim.reed@{}", cast.at)).await;
    again.expect_problem(409, "address_already_in_account");
    assert_eq!(again.json()["blockers"][0]["professional"], kim["id"]);

    let listed = pages(site, &cast.auditor, &format!("{people}?limit=2")).await;
    let mut ids: Vec<&str> = listed.iter().filter_map(|one| one["id"].as_str()).collect();
    assert!(ids.is_sorted() && ids.contains(&cast.harbour.member.as_str()), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 3);
    let of_member = format!("{people}/{}", cast.harbour.member);
    assert_eq!(site.api(&cast.member).get(&of_member).await.expect(200).json()["is_associated"], true);

    let ended = json!({ "service_plan": null });
    site.api(&cast.back_office).put(&format!("/v1/accounts/{account}/service-plan"), ended).await.expect(200);
    let me = site.api(&cast.member).get("/v1/me").await.expect(200).json();
    let profile = me["profiles"].as_array().and_then(|all| all.iter().find(|one| one["account"] == *account));
    let profile = profile.expect("the profile is listed");
    assert_eq!((&me["name"], &profile["may_enter"]), (&json!(NOOR.name), &json!(false)));
    assert_eq!(profile["barred"]["code"], "no_service_plan");
}

pub async fn a_change_needs_the_state_that_was_read(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (support, account) = (site.api(&cast.support), format!("/v1/accounts/{}", cast.harbour.id));
    let partner = Partner::of(site, &cast, "quay").await;
    let mut conditional = 0;
    for (method, template) in operations(&site.document) {
        let operation = &site.document["paths"][&template][method.as_str().to_lowercase()];
        if !operation["parameters"].to_string().contains("If-Match") || template.ends_with("/close") {
            continue; // closing ends everything; below
        }
        let number = format!("{}-{conditional}", cast.at);
        let kim = add(site, &cast.support, &cast.harbour.id, "Kim Reed", &format!("kim@{number}")).await;
        let lee = add(site, &cast.support, &cast.harbour.id, "Lee Reed", &format!("lee@{number}")).await;
        let of_kim = format!("{account}/professionals/{kim}");
        let read = if template.contains("{professional}") { &of_kim } else { &account };
        let path = template.replace("{account}", &cast.harbour.id).replace("{professional}", &kim);
        let path = path.replace("{role}", "billing_contact").replace("{partner}", &partner.id);
        let body = match (method.as_str(), template.rsplit('/').next()) {
            ("PATCH", _) => Some(json!({ "name": "Renamed" })),
            (_, Some("hand-over")) => Some(json!({ "to": lee })),
            _ => None,
        };
        let current = support.get(read).await.expect(200).header("etag").to_owned();
        let ask = async |tag: &str| support.with("if-match", tag).call(method.clone(), &path, body.clone()).await;
        for other in [format!("\"{}\"", store::random::uuid()), "\"x\"".into(), "x".into(), format!("W/{current}")] {
            let refused = ask(&other).await;
            refused.expect_problem(412, "changed_since_read");
            assert_eq!(support.get(read).await.header("etag"), current, "{method} {template}: it had no effect");
        }
        let done = ask(&current).await;
        assert_eq!(done.status, 200, "{method} {template}: {}", done.body);
        conditional += 1;
    }
    assert!(conditional >= 10, "{conditional} operations take If-Match");
    let (before, close) = (support.get(&account).await.expect(200), format!("{account}/close"));
    support.call(Method::PATCH, &account, Some(json!({ "name": "Renamed again" }))).await.expect(200);
    let ask = async |tag: &str| support.with("if-match", tag).post(&close, json!({})).await;
    ask(before.header("etag")).await.expect_problem(412, "changed_since_read");
    ask("*").await.expect(200);
}

pub async fn invitations_are_sent_listed_and_revoked(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (operator, account) = (site.api(&cast.operator), &cast.meadow.id);
    let send = format!("/v1/accounts/{account}/professionals/{}/invitations", cast.meadow.member);
    let sent = operator.post(&send, json!({ "lifetime_hours": 1 })).await.expect(201);
    assert_eq!(
        (&sent.json()["generation"], sent.text("invitation")),
        (&json!(2), cast.meadow.member_invitation.clone())
    );
    let path = sent.header("location");
    let read = eventually("the mail", async || {
        let read = operator.get(path).await.expect(200);
        (read.json()["delivery"]["state"] == "sent").then_some(read)
    });
    let read = read.await;
    assert!(!read.header("etag").is_empty());
    let invitation = read.json();
    assert_eq!((&invitation["status"], &invitation["generation"]), (&json!("open"), &json!(2)));
    assert_eq!((&invitation["delivery"]["attempts"], &invitation["visits"]), (&json!(1), &json!(0)));
    assert_eq!(invitation["issued_by"].as_str().map(|by| by.starts_with("key:")), Some(true));
    let empty = operator.call(Method::POST, &send, None).await.expect(201);
    assert_eq!(empty.json()["generation"], 3, "a body is not needed");

    let of_account = pages(site, &cast.support, &format!("/v1/invitations?account={account}&limit=1")).await;
    assert_eq!(of_account.len(), 2);
    assert!(of_account.iter().all(|one| one["account"] == *account));
    let parked = operator.get("/v1/invitations?delivery=parked").await.expect(200).json();
    assert_eq!(parked["items"], json!([]));

    let revoke = format!("{path}/revoke");
    assert_eq!(operator.post(&revoke, json!({})).await.expect(200).json()["changed"], true);
    assert_eq!(operator.post(&revoke, json!({})).await.expect(200).json()["changed"], false);
    assert_eq!(operator.get(path).await.json()["status"], "revoked");
    let accepted = format!("/v1/invitations/{}/revoke", cast.meadow.invitation);
    operator.post(&accepted, json!({})).await.expect_problem(403, "administrator_out_of_reach");
    let out_of_reach = format!("/v1/accounts/{account}/professionals/{}/invitations", cast.meadow.administrator);
    operator.post(&out_of_reach, json!({})).await.expect_problem(403, "administrator_out_of_reach");

    let events = history(site, &cast.auditor, account).await;
    let positions: Vec<_> = events.iter().filter_map(|event| event["position"].as_i64()).collect();
    assert!(positions.is_sorted() && events[0]["event_type"] == "AccountOpened", "{positions:?}");
    assert!(events.iter().all(|event| event["words"].as_str().is_some_and(|words| words.len() > 10)));
    let by_two = pages(site, &cast.auditor, &format!("/v1/accounts/{account}/history?limit=2")).await;
    let ids = |events: &[Value]| events.iter().map(|event| event["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&by_two)[..events.len()], ids(&events), "pages are whole, in order, and never twice");
}

#[tokio::test]
async fn lists_of_any_length_page_completely_without_duplicates() {
    let site = Site::embedded().await;
    let key = site.key(&["back_office", "support", "auditor"]);
    let account = open_account(&site, &key, "T-300", "Long List").await;
    for n in 0..8 {
        invite(&site, &key, &account, "Kim Reed", &format!("kim{n}@t-300.example")).await.expect(201);
    }
    let settled = async || {
        let all = site.api(&key).get(&format!("/v1/invitations?account={account}")).await.json();
        let items = all["items"].as_array()?;
        items.iter().all(|one| one["delivery"]["state"] == "sent").then_some(())
    };
    eventually("every mail", settled).await;
    for path in [
        format!("/v1/accounts/{account}/professionals"),
        format!("/v1/invitations?account={account}"),
        format!("/v1/accounts/{account}/history?type=AccountOpened,ProfessionalAdded,RoleGiven"),
        format!("/v1/history?tag=account:{account}&type=AccountOpened,ProfessionalAdded,RoleGiven"),
    ] {
        let joint = if path.contains('?') { '&' } else { '?' };
        let whole = pages(&site, &key, &path).await;
        for limit in 1..=9 {
            let paged = pages(&site, &key, &format!("{path}{joint}limit={limit}")).await;
            let ids = |items: &[Value]| items.iter().map(|item| item["id"].clone()).collect::<Vec<_>>();
            assert_eq!(ids(&paged), ids(&whole), "{path} by {limit}");
        }
        let all = site.api(&key).get(&format!("{path}{joint}limit=8")).await.expect(200).json();
        let is_last = all["items"].as_array().map(Vec::len) < Some(8) || whole.len() == 8;
        assert_eq!(all["next"].is_null(), is_last, "{path}: next is null on the last page");
        let none = site.api(&key).get(&format!("{path}{joint}limit=0")).await.expect(200).json();
        assert_eq!(none["items"].as_array().map(Vec::len), Some(1), "{path}: a page has one item at least");
        for odd in ["limit=-1", "limit=x", "unknown=1", "cursor="] {
            let answer = site.api(&key).get(&format!("{path}{joint}{odd}")).await;
            assert!(answer.status < 500, "{path} {odd}: {}", answer.body);
        }
        for cursor in ["%21", "bm90IG91cnM", "_____"] {
            let answer = site.api(&key).get(&format!("{path}{joint}cursor={cursor}")).await;
            answer.expect_problem(400, "cursor_invalid");
        }
        site.api(&key).get(&format!("{path}{joint}limit=x")).await.expect_problem(400, "invalid_query");
        site.api(&key).get(&format!("{path}{joint}unknown=1")).await.expect_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn t42_t70_t71_what_a_body_must_not_be_is_refused_by_code_and_never_repeated() {
    let site = Site::embedded().await;
    let cast = Cast::of(&site).await;
    let before = history(&site, &cast.auditor, &cast.harbour.id).await.len();
    let (api, account) = (site.api(&cast.back_office), &cast.harbour.id);
    let people = format!("/v1/accounts/{account}/professionals");
    let send = format!("{people}/{}/invitations", cast.harbour.member);
    let plan_path = format!("/v1/accounts/{account}/service-plan");
    let revoke = format!("/v1/invitations/{}/revoke", cast.harbour.member_invitation);

    let whole: [(Method, &str, Value); 5] = [
        (Method::POST, "/v1/accounts", json!({ "customer_number": "T-400", "kind": "customer", "name": "Kim Works" })),
        (Method::POST, &people, json!({ "name": "Kim Reed", "address": "kim@t-100.example" })),
        (Method::POST, &send, json!({})),
        (Method::PUT, &plan_path, plan()),
        (Method::POST, &revoke, json!({})),
    ];
    for (method, path, body) in &whole {
        for extra in ["role", "roles", "admin", "account", "account_id", "id", "professional", "scopes", "marker_7f3a"]
        {
            let mut body = body.clone();
            body[extra] = json!("administrator");
            let answer = api.call(method.clone(), path, Some(body)).await;
            answer.expect_problem(422, "invalid_body");
            assert!(!answer.body.contains("marker_7f3a"), "{}", answer.body);
        }
        let text = body.to_string();
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
            let content_type = Some(content_type).filter(|it| !it.is_empty());
            let answer = api.send(method.clone(), path, content_type, text.clone().into_bytes()).await;
            answer.expect_problem(415, "content_type");
        }
        for malformed in ["{", "{]", "{:1}", "nul", "\u{feff}{}", &format!("{text} {{}}"), "{'a':1}"] {
            let answer = api.send(method.clone(), path, Some("application/json"), malformed.into()).await;
            answer.expect_problem(400, "malformed_json");
        }
        let not_utf8 = api.send(method.clone(), path, Some("application/json"), vec![b'{', b'"', 0xff, b'"']).await;
        not_utf8.expect_problem(400, "malformed_json");
        let mut large = text.clone().into_bytes();
        large.resize(64 * 1024 + 1, b' ');
        let large = api.send(method.clone(), path, Some("application/json"), large).await;
        large.expect_problem(413, "body_too_large");
        for deep in ["[".repeat(30_000), format!("{{\"name\":{}", "[".repeat(30_000)), "{\"a\":".repeat(10_000)] {
            let answer = api.send(method.clone(), path, Some("application/json"), deep.into()).await;
            assert!([400, 422].contains(&answer.status), "{}", answer.body);
        }
        for wrong in [json!([]), json!("marker_7f3a"), json!(1), json!({ "name": { "marker_7f3a": 1 } })] {
            let answer = api.call(method.clone(), path, Some(wrong)).await;
            answer.expect_problem(422, "invalid_body");
            assert!(!answer.body.contains("marker_7f3a"), "{}", answer.body);
        }
    }
    let texts: [(&str, Value, &str); 12] = [
        ("/v1/accounts", json!({ "customer_number": "T 400", "kind": "customer", "name": "K" }), "customer_number"),
        ("/v1/accounts", json!({ "customer_number": "T-400", "kind": "customer", "name": "" }), "name"),
        ("/v1/accounts", json!({ "customer_number": "T-400", "kind": "customer", "name": "a\u{0}b" }), "name"),
        ("/v1/accounts", json!({ "customer_number": "T-400", "kind": "marker_7f3a", "name": "K" }), "invalid_body"),
        (&people, json!({ "name": "Kim", "address": "marker_7f3a" }), "address"),
        (&people, json!({ "name": "Kim", "address": "k\u{0}@t.example" }), "address"),
        (&people, json!({ "name": "www.marker_7f3a.com", "address": "kim@t.example" }), "name"),
        (&people, json!({ "name": "K".repeat(81), "address": "kim@t.example" }), "name"),
        (&people, json!({ "name": "Kim", "address": "kim@t.example", "language": "marker_7f3a" }), "invalid_body"),
        (
            &people,
            json!({ "name": "Kim", "address": "kim@t.example", "lifetime_hours": 721 }),
            "lifetime_out_of_bounds",
        ),
        (&send, json!({ "lifetime_hours": 0 }), "lifetime_out_of_bounds"),
        (&send, json!({ "lifetime_hours": i64::MAX }), "lifetime_out_of_bounds"),
    ];
    for (path, body, code) in texts {
        let answer = api.post(path, body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.body);
        assert!(answer.code().contains(code), "{body}: {}", answer.body);
        assert!(!answer.body.contains("marker_7f3a"), "{}", answer.body);
    }
    let times =
        ["", "yesterday", "2026-01-01", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", "-0001-01-01T00:00:00Z"];
    for time in times {
        let body = json!({ "service_plan": { "name": "P", "starts_at": "2020-01-01T00:00:00Z", "ends_at": time } });
        api.put(&plan_path, body).await.expect_problem(422, "time_invalid");
    }
    let backwards = json!({ "name": "P", "starts_at": "2021-01-01T00:00:00Z", "ends_at": "2020-01-01T00:00:00Z" });
    let backwards = api.put(&plan_path, json!({ "service_plan": backwards })).await;
    backwards.expect_problem(422, "plan_ends_before_it_starts");

    api.put(&plan_path, json!({})).await.expect_problem(422, "invalid_body");
    let empty = api.call(Method::PUT, &plan_path, None).await;
    empty.expect_problem(422, "invalid_body");

    api.get("/v1/nothing").await.expect_problem(404, "not_found");
    api.get("/v1/accounts/not-an-id").await.expect_problem(404, "not_found");
    for (method, path) in [(Method::DELETE, people.as_str()), (Method::PUT, "/v1/me"), (Method::PATCH, "/v1/accounts")]
    {
        let answer = api.call(method, path, None).await;
        answer.expect_problem(405, "method_not_allowed");
        assert!(!answer.header("allow").is_empty(), "{path}: the answer tells what may be asked");
    }
    assert_eq!(history(&site, &cast.auditor, account).await.len(), before, "nothing had an effect");
    let charset = api.send(Method::PUT, &plan_path, Some("Application/JSON; charset=utf-8"), plan().to_string().into());
    charset.await.expect(200);
}
