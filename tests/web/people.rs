//! What administrators do with an account and its people, and what guards them.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::cast::{Account, Cast, add, count, history, invite, join, open_account, pages};
use super::client::{Answer, Client};
use super::site::{JO, NOOR, Site, somebody};
use crate::support::{Visitor, mail};

fn path_of(account: &Account, professional: &str) -> String {
    format!("/v1/accounts/{}/professionals/{professional}", account.id)
}

fn role_path(account: &Account, role: &str, professional: &str) -> String {
    format!("/v1/accounts/{}/roles/{role}/{professional}", account.id)
}

async fn delete(api: &Client<'_>, path: &str) -> Answer {
    api.call(Method::DELETE, path, None).await
}

async fn patch(api: &Client<'_>, path: &str, body: Value) -> Answer {
    api.call(Method::PATCH, path, Some(body)).await
}

/// The codes of an answer's warnings.
fn warnings(answer: &Answer) -> Vec<String> {
    let warnings = answer.json()["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().filter_map(|warning| warning["code"].as_str().map(str::to_owned)).collect()
}

/// That a link opens a page that offers no sign-in.
async fn is_dead(link: &str) {
    let page = Visitor::new().open(link).await;
    assert_eq!(page.status, 410, "{}", page.body);
    assert!(!page.body.contains("/invitation/sign-in\""), "a dead link offers no sign-in");
}

/// The profile that `GET /v1/me` shows of an account.
async fn profile_of(api: &Client<'_>, account: &str) -> Option<Value> {
    let me = api.get("/v1/me").await.expect(200).json();
    me["profiles"].as_array().expect("profiles are listed").iter().find(|one| one["account"] == account).cloned()
}

pub async fn r7_an_account_is_renamed_and_closed_and_then_nothing_happens_in_it(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (support, administrator) = (site.api(&cast.support), site.api(&cast.stranger));
    let path = format!("/v1/accounts/{}", cast.meadow.id);
    let link = site.nth_link(&format!("member@{}-m.example", cast.number.to_lowercase()), 1).await;
    let renamed = patch(&support, &path, json!({ "name": "Meadow Trading" })).await.expect(200);
    assert_eq!(renamed.json()["changed"], true);
    assert_eq!(patch(&support, &path, json!({ "name": "Meadow Trading" })).await.expect(200).json()["changed"], false);
    assert_eq!(administrator.get(&path).await.expect(200).json()["name"], "Meadow Trading");
    assert_eq!(support.get(&path).await.json()["closed_at"], Value::Null);

    assert_eq!(support.post(&format!("{path}/close"), json!({})).await.expect(200).json()["changed"], true);
    assert_eq!(support.post(&format!("{path}/close"), json!({})).await.expect(200).json()["changed"], false);
    assert!(support.get(&path).await.json()["closed_at"].is_string());
    is_dead(&link).await;
    let profile = profile_of(&administrator, &cast.meadow.id).await.expect("the profile is listed");
    assert_eq!((&profile["may_enter"], &profile["barred"]["code"]), (&json!(false), &json!("account_closed")));
    patch(&support, &path, json!({ "name": "Again" })).await.expect_problem(409, "account_closed");
    invite(site, &cast.stranger, &cast.meadow.id, "Kim", "kim@t.example").await.expect_problem(409, "account_closed");
    let events = history(site, &cast.auditor, &cast.meadow.id).await;
    assert_eq!(events.last().map(|event| &event["event_type"]), Some(&json!("AccountClosed")));
    assert_eq!((count(&events, "AccountRenamed"), count(&events, "InvitationRevoked")), (1, 1));
}

pub async fn r16_another_address_kills_the_old_link_and_the_old_mailbox_is_told(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let administrator = site.api(&cast.stranger);
    let path = path_of(&cast.meadow, &cast.meadow.member);
    let at = format!("{}-m.example", cast.number.to_lowercase());
    let (old, second, third) = (format!("member@{at}"), format!("second@{at}"), format!("third@{at}"));
    let first_link = site.nth_link(&old, 1).await;
    let same = patch(&administrator, &path, json!({ "name": "Mel Married", "language": "de" })).await.expect(200);
    assert_eq!((&same.json()["changed"], &same.json()["invitation"]), (&json!(true), &Value::Null));
    assert_eq!(Visitor::new().open(&first_link).await.status, 200, "the link outlives another name");

    let moved = patch(&administrator, &path, json!({ "address": second })).await.expect(200);
    assert_eq!(moved.json()["invitation"], Value::Null);
    is_dead(&first_link).await;
    let notice = site.nth_mail(&old, 2).await;
    assert_eq!(mail::link_in(&notice, &site.url("")), None, "the old mailbox gets no link");
    assert!(!mail::plain_text(&notice).contains(&second), "nor the new address");
    let read = administrator.get(&path).await.expect(200).json();
    assert_eq!((&read["name"], &read["address"]), (&json!("Mel Married"), &json!(second)));

    let body = json!({ "address": third, "send_invitation": true });
    let sent = patch(&administrator, &path, body).await.expect(200);
    let link = site.nth_link(&third, 1).await;
    let of_sent = format!("/v1/invitations/{}", sent.text("invitation"));
    assert_eq!(site.api(&cast.support).get(&of_sent).await.expect(200).json()["status"], "open");
    site.nth_mail(&second, 1).await;
    assert_eq!((site.links(&second).len(), site.links(&old).len()), (0, 1), "only the newest mailbox gets a link");
    site.accept(&Visitor::new(), &link, NOOR, &third).await;
    let taken = format!("first@{at}");
    let taken = patch(&administrator, &path, json!({ "address": taken })).await;
    taken.expect_problem(409, "address_already_in_account");
    // The person itself may, an ordinary professional may not touch others.
    let noor = site.api(&cast.member);
    patch(&noor, &path, json!({ "language": "en" })).await.expect(200);
    let other = patch(&noor, &path_of(&cast.meadow, &cast.meadow.administrator), json!({ "name": "X" })).await;
    other.expect_problem(403, "not_administrator");
}

pub async fn r3_r5_roles_are_given_move_and_are_taken_with_warnings(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (account, alex) = (&cast.harbour, &cast.harbour.administrator);
    let administrator = site.api(&cast.administrator);
    let kim = add(site, &cast.administrator, &account.id, "Kim Reed", &format!("kim@{}", cast.at)).await;
    let roles = async |who: &str| administrator.get(&path_of(account, who)).await.expect(200).json()["roles"].clone();
    let give = async |role: &str, who: &str| administrator.put(&role_path(account, role, who), json!({})).await;
    let given = give("billing_contact", &kim).await.expect(200);
    assert_eq!((&given.json()["changed"], warnings(&given)), (&json!(true), Vec::new()));
    assert_eq!(roles(&kim).await, json!(["billing_contact"]));
    assert_eq!(roles(alex).await, json!(["administrator", "customer_care_contact", "shipping_contact"]));
    assert_eq!(give("billing_contact", &kim).await.expect(200).json()["changed"], false);
    give("emperor", &kim).await.expect_problem(404, "not_found");

    let kept = delete(&administrator, &role_path(account, "billing_contact", &kim)).await;
    kept.expect_problem(409, "mandatory_role_unheld");
    assert_eq!(kept.json()["blockers"][0]["command"], "PUT roles/billing_contact/{another professional}");
    assert_eq!(delete(&administrator, &role_path(account, "billing_contact", alex)).await.json()["changed"], false);
    let last = delete(&administrator, &role_path(account, "administrator", alex)).await;
    last.expect_problem(409, "last_administrator");
    assert_eq!(last.json()["blockers"][0]["professional"], **alex);

    let promoted = give("administrator", &kim).await.expect(200);
    assert_eq!(warnings(&promoted), ["administrator_without_identity"]);
    let outside = site.api(&cast.support).put(&role_path(account, "administrator", &account.member), json!({})).await;
    outside.expect_problem(409, "appointment_needed");
    let out_of_reach = delete(&site.api(&cast.support), &role_path(account, "administrator", alex)).await;
    out_of_reach.expect_problem(403, "administrator_out_of_reach");
    let taken = delete(&administrator, &role_path(account, "administrator", alex)).await.expect(200);
    assert_eq!(warnings(&taken), ["no_administrator_with_identity"]);
    give("administrator", &kim).await.expect_problem(403, "not_administrator");
}

pub async fn r4_r5_a_deletion_lists_every_blocker_and_each_command_gets_past_it(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (account, alex) = (&cast.harbour, &cast.harbour.administrator);
    let administrator = site.api(&cast.administrator);
    let blocked = async || {
        let answer = delete(&administrator, &path_of(account, alex)).await;
        answer.expect_problem(409, "deletion_blocked");
        let blockers = answer.json()["blockers"].as_array().expect("blockers are listed").clone();
        let text = |blocker: &Value, name: &str| blocker[name].as_str().unwrap_or_default().to_owned();
        blockers.iter().map(|it| (text(it, "code"), text(it, "command"))).collect::<Vec<_>>()
    };
    let alone = blocked().await;
    assert_eq!(alone.len(), 4, "{alone:?}");
    assert_eq!(alone[0], ("is_administrator".into(), format!("POST professionals/{alex}/hand-over")));
    let promote = role_path(account, "administrator", &account.member);
    administrator.put(&promote, json!({})).await.expect(200);
    let among_two = blocked().await;
    assert_eq!(among_two[0], ("is_administrator".into(), format!("DELETE roles/administrator/{alex}")));
    assert!(among_two[1..].iter().all(|(code, _)| code == "holds_mandatory_role"), "{among_two:?}");
    let colleague = site.api(&cast.member);
    for (n, (_, command)) in among_two.iter().enumerate() {
        let (method, path) = command.split_once(' ').expect("method and path");
        let path = path.replace("{another professional}", &account.member);
        let method: Method = method.parse().expect("a method");
        colleague.call(method, &format!("/v1/accounts/{}/{path}", account.id), Some(json!({}))).await.expect(200);
        let left = delete(&colleague, &path_of(account, alex)).await;
        let blockers = left.json()["blockers"].as_array().map_or(0, Vec::len);
        assert_eq!(blockers, if n == 3 { 0 } else { 3 - n }, "{}", left.body);
    }
    colleague.get(&path_of(account, alex)).await.expect_problem(404, "unknown_professional");
    administrator.get(&format!("/v1/accounts/{}", account.id)).await.expect_problem(404, "unknown_account");
    delete(&colleague, &path_of(account, alex)).await.expect_problem(404, "unknown_professional");

    let last = delete(&colleague, &path_of(account, &account.member)).await;
    last.expect_problem(409, "deletion_blocked");
    assert_eq!(last.json()["blockers"].as_array().map(Vec::len), Some(1), "{}", last.body);
    assert_eq!(
        (&last.json()["blockers"][0]["code"], &last.json()["blockers"][0]["command"]),
        (&json!("last_professional"), &json!("POST close"))
    );
}

pub async fn a_hand_over_gives_every_role_and_deletes_in_one_append(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (account, alex) = (&cast.harbour, &cast.harbour.administrator);
    let administrator = site.api(&cast.administrator);
    let kim = add(site, &cast.administrator, &account.id, "Kim Reed", &format!("kim@{}", cast.at)).await;
    let path = format!("{}/hand-over", path_of(account, alex));
    administrator.post(&path, json!({ "to": alex })).await.expect_problem(422, "hand_over_to_oneself");
    let nobody = store::random::uuid();
    administrator.post(&path, json!({ "to": nobody })).await.expect_problem(404, "unknown_professional");
    let outside = site.api(&cast.support).post(&path, json!({ "to": kim })).await;
    outside.expect_problem(403, "administrator_out_of_reach");
    let done = administrator.post(&path, json!({ "to": kim })).await.expect(200);
    assert_eq!(warnings(&done), ["administrator_without_identity", "no_administrator_with_identity"]);
    let read = site.api(&cast.support).get(&path_of(account, &kim)).await.expect(200).json();
    let all = json!(["administrator", "billing_contact", "customer_care_contact", "shipping_contact"]);
    assert_eq!(read["roles"], all);
    administrator.get(&path_of(account, alex)).await.expect_problem(404, "unknown_professional");
    assert!(profile_of(&administrator, &account.id).await.is_none(), "the identity has no profile there any more");
    let events = history(site, &cast.auditor, &account.id).await;
    let (last, end) = (events.last().expect("events"), done.json()["position"].clone());
    assert_eq!((&last["event_type"], &last["position"]), (&json!("ProfessionalDeleted"), &end));
    let of_request = events.iter().filter(|event| event["request"] == last["request"]).count();
    assert!(of_request >= 7, "{of_request} events of one request");
}

pub async fn who_was_deleted_and_is_added_again_is_somebody_new(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (account, administrator) = (&cast.meadow, site.api(&cast.stranger));
    let address = format!("member@{}-m.example", cast.number.to_lowercase());
    let old_link = site.nth_link(&address, 1).await;
    delete(&administrator, &path_of(account, &account.member)).await.expect(200);
    is_dead(&old_link).await;
    let again = invite(site, &cast.stranger, &account.id, "Mel Again", &address).await.expect(201);
    assert_ne!(again.text("professional"), account.member);
    let link = site.nth_link(&address, 2).await;
    is_dead(&old_link).await;
    site.accept(&Visitor::new(), &link, NOOR, &address).await;
    is_dead(&old_link).await;
    let of_new = administrator.get(&path_of(account, &again.text("professional"))).await.expect(200).json();
    assert_eq!(of_new["is_associated"], true);
    let listed = pages(site, &cast.auditor, &format!("/v1/accounts/{}/professionals", account.id)).await;
    assert_eq!(listed.len(), 2);
}

pub async fn an_identity_that_was_untied_opens_the_profile_no_more(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (account, noor) = (&cast.harbour, site.api(&cast.member));
    let path = path_of(account, &account.member);
    let send = format!("{path}/invitations");
    site.api(&cast.administrator).post(&send, json!({})).await.expect(201);
    let address = format!("member@{}", cast.at);
    let open = site.nth_link(&address, 2).await;
    let untied = delete(&noor, &format!("{path}/association")).await.expect(200);
    assert_eq!((&untied.json()["changed"], warnings(&untied)), (&json!(true), Vec::new()));
    noor.get(&path).await.expect_problem(404, "unknown_professional");
    assert!(profile_of(&noor, &account.id).await.is_none());
    delete(&noor, &format!("{path}/association")).await.expect_problem(404, "unknown_account");
    is_dead(&open).await;
    let administrator = site.api(&cast.administrator);
    assert_eq!(delete(&administrator, &format!("{path}/association")).await.expect(200).json()["changed"], false);
    administrator.post(&send, json!({})).await.expect(201);
    site.accept(&Visitor::new(), &site.nth_link(&address, 3).await, JO, &address).await;
    let own = delete(&administrator, &format!("{}/association", path_of(account, &account.administrator))).await;
    assert_eq!(warnings(&own.expect(200)), ["no_administrator_with_identity"]);
}

pub async fn r3_16_administrators_demote_each_other_at_once_and_one_stays(site: &Arc<Site>) {
    const ADMINISTRATORS: usize = 16;
    let cast = Cast::of(site).await;
    let id = open_account(site, &cast.back_office, &format!("{}-R", cast.number), "Rivals").await;
    let mut rivals = Vec::new();
    for n in 0..ADMINISTRATORS {
        let address = format!("rival{n}@{}", cast.at);
        let person = somebody("personal", &format!("Rival {n}"), &format!("sign-in-{address}"));
        let credential = if n == 0 { cast.back_office.clone() } else { first_bearer(&rivals) };
        let joined = join(site, &credential, &id, person, &address).await;
        if n > 0 {
            let path = format!("/v1/accounts/{id}/roles/administrator/{}", joined.professional);
            site.api(&credential).put(&path, json!({})).await.expect(200);
        }
        rivals.push((joined.professional, joined.bearer));
    }
    let tasks: Vec<_> = (0..ADMINISTRATORS)
        .map(|n| {
            let (site, id, rivals) = (Arc::clone(site), id.clone(), rivals.clone());
            tokio::spawn(async move {
                let mut codes = Vec::new();
                for (other, _) in rivals.iter().cycle().skip(n + 1).take(ADMINISTRATORS - 1) {
                    let path = format!("/v1/accounts/{id}/roles/administrator/{other}");
                    let answer = delete(&site.api(&rivals[n].1), &path).await;
                    codes.push(if answer.status == 200 { "200".into() } else { answer.code() });
                }
                codes
            })
        })
        .collect();
    let mut codes = Vec::new();
    for task in tasks {
        codes.extend(task.await.expect("no request panics"));
    }
    let known = ["200", "not_administrator", "last_administrator"];
    assert!(codes.iter().all(|code| known.contains(&code.as_str())), "{codes:?}");
    let people = pages(site, &cast.auditor, &format!("/v1/accounts/{id}/professionals")).await;
    let is_administrator = |one: &&Value| one["roles"].to_string().contains("administrator");
    assert_eq!((people.len(), people.iter().filter(is_administrator).count()), (ADMINISTRATORS, 1));
    assert_eq!(count(&history(site, &cast.auditor, &id).await, "RoleTaken"), ADMINISTRATORS - 1);
}

fn first_bearer(rivals: &[(String, String)]) -> String {
    rivals[0].1.clone()
}

pub async fn r2_of_two_first_people_at_once_one_is_administrator(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    for n in 0..6 {
        let id = open_account(site, &cast.back_office, &format!("{}-F{n}", cast.number), "First Works").await;
        let path = format!("/v1/accounts/{id}/professionals");
        let body = |who: &str| json!({ "name": who, "address": format!("{who}@{}", cast.at) });
        let api = site.api(&cast.back_office);
        let (one, other) = tokio::join!(api.post(&path, body("one")), api.post(&path, body("other")));
        let roles = |answer: Answer| answer.expect(201).json()["roles"].as_array().map_or(0, Vec::len);
        let mut found = [roles(one), roles(other)];
        found.sort_unstable();
        assert_eq!(found, [0, 4], "both are told what they are");
        assert_eq!(count(&history(site, &cast.auditor, &id).await, "RoleGiven"), 4);
    }
}
