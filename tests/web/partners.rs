//! Partners at work in their customers' accounts, and how an administrator who has gone is replaced.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::cast::{Cast, Partner, add, count, history, invite, pages};
use super::site::{NOOR, Site};
use crate::support::{Visitor, mail};

pub async fn r22_a_partner_works_in_an_account_only_while_it_serves_it(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let quay = Partner::of(site, &cast, "quay").await;
    let partner = site.api(&quay.administrator.bearer);
    let account = format!("/v1/accounts/{}", cast.harbour.id);
    partner.get(&account).await.expect_problem(404, "unknown_account");
    let serves = async || {
        let me = partner.get("/v1/me").await.expect(200).json();
        let profiles = me["profiles"].as_array().expect("profiles are listed");
        let of_partner = profiles.iter().find(|one| one["account"] == *quay.id).expect("the partner's profile");
        of_partner["serves"].clone()
    };
    assert_eq!(serves().await, json!([]));
    quay.serve(site, &cast, &cast.harbour.id).await;
    let served = json!([{ "account": cast.harbour.id, "account_name": "Harbour Works",
        "customer_number": format!("{}-H", cast.number) }]);
    assert_eq!(serves().await, served);
    assert_eq!(partner.get(&account).await.expect(200).json()["partners"], json!([quay.id]));
    let as_partner = partner.with("act-as", &quay.administrator.professional);
    assert_eq!(as_partner.get(&account).await.expect(200).json()["name"], "Harbour Works");

    let (kim, lee) = (format!("kim@{}", cast.at), format!("lee@{}", cast.at));
    let added = invite(site, &quay.administrator.bearer, &cast.harbour.id, "Kim Reed", &kim).await.expect(201);
    let of_invitation = format!("/v1/invitations/{}", added.text("invitation"));
    assert_eq!(partner.get(&of_invitation).await.expect(200).json()["by"], "partner");
    invite(site, &quay.administrator.bearer, &cast.harbour.id, "Lee Reed", &lee).await.expect(201);
    let (of_kim, of_lee) = (site.nth_link(&kim, 1).await, site.nth_link(&lee, 1).await);
    site.accept(&Visitor::new(), &of_lee, NOOR_ELSEWHERE, &lee).await;
    let administrator = format!("{account}/professionals/{}", cast.harbour.administrator);
    let edit = partner.call(Method::PATCH, &administrator, Some(json!({ "address": "pat@taken.example" }))).await;
    edit.expect_problem(403, "administrator_out_of_reach");
    let promote = format!("{account}/roles/administrator/{}", added.text("professional"));
    partner.put(&promote, json!({})).await.expect_problem(409, "appointment_needed");

    let remove = format!("{account}/partners/{}", quay.id);
    assert_eq!(site.api(&cast.support).call(Method::DELETE, &remove, None).await.expect(200).json()["changed"], true);
    assert_eq!(site.api(&cast.support).call(Method::DELETE, &remove, None).await.expect(200).json()["changed"], false);
    partner.get(&account).await.expect_problem(404, "unknown_account");
    partner.get(&of_invitation).await.expect_problem(404, "unknown_invitation");
    invite(site, &quay.administrator.bearer, &cast.harbour.id, "Ida", "ida@t.example")
        .await
        .expect_problem(404, "unknown_account");
    let revoked = site.api(&cast.support).get(&of_invitation).await.expect(200).json();
    assert_eq!((&revoked["status"], &revoked["revoked_for"]), (&json!("revoked"), &json!("partner_removed")));
    assert_eq!(Visitor::new().open(&of_kim).await.status, 410);
    let people = pages(site, &cast.auditor, &format!("{account}/professionals")).await;
    assert_eq!(people.len(), 4, "whom it added stays");

    let not_a_partner = format!("{account}/partners/{}", cast.meadow.id);
    site.api(&cast.support).put(&not_a_partner, json!({})).await.expect_problem(409, "not_a_partner");
    let nobody = format!("{account}/partners/{}", store::random::uuid());
    site.api(&cast.support).put(&nobody, json!({})).await.expect_problem(404, "unknown_account");
}

/// Another person than the cast's, so that the account may have both.
const NOOR_ELSEWHERE: super::site::Person = super::site::person("work", NOOR.name, NOOR.email);

/// The newest appointment as it is listed.
async fn listed(site: &Site, credential: &str, account: &str) -> Value {
    let path = format!("/v1/accounts/{account}/administrator-appointments");
    let items = site.api(credential).get(&path).await.expect(200).json()["items"].clone();
    items[0].clone()
}

pub async fn r21_support_appoints_at_once_and_everybody_concerned_is_told(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (account, support) = (&cast.harbour, site.api(&cast.support));
    let path = format!("/v1/accounts/{}/administrator-appointments", account.id);
    let body = |professional: &str, replaces: Value| {
        json!({ "professional": professional, "replaces": replaces,
            "reason": "The administrator has left.", "evidence": "Letter 77 of the board." })
    };
    let wrong = support.post(&path, body(&account.member, json!(account.member))).await;
    wrong.expect_problem(409, "replaced_is_no_administrator");
    let already = support.post(&path, body(&account.administrator, Value::Null)).await;
    already.expect_problem(409, "already_administrator");
    let done = support.post(&path, body(&account.member, json!(account.administrator))).await.expect(201);
    assert_eq!((&done.json()["status"], &done.json()["window_ends_at"]), (&json!("carried_out"), &Value::Null));
    let shown = listed(site, &cast.member, &account.id).await;
    assert_eq!((&shown["id"], &shown["status"]), (&done.json()["appointment"], &json!("carried_out")));
    assert_eq!(
        (&shown["reason"], &shown["evidence"], &shown["partner"]),
        (&json!("The administrator has left."), &json!("Letter 77 of the board."), &Value::Null)
    );
    let roles = async |who: &str| {
        let path = format!("/v1/accounts/{}/professionals/{who}", account.id);
        support.get(&path).await.expect(200).json()["roles"].clone()
    };
    assert_eq!(roles(&account.member).await, json!(["administrator"]));
    assert!(!roles(&account.administrator).await.to_string().contains("administrator"));
    site.api(&cast.administrator).get(&path).await.expect_problem(403, "not_administrator");
    let first = format!("first@{}-h.example", cast.number.to_lowercase());
    let notice = site.nth_mail(&first, 3).await; // after the invitation and its code
    assert_eq!(mail::link_in(&notice, &site.url("")), None, "a notice has no link");
}

pub async fn r21_an_objection_hands_a_partners_appointment_to_support(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (account, support) = (&cast.harbour, site.api(&cast.support));
    let quay = Partner::of(site, &cast, "quay").await;
    quay.serve(site, &cast, &account.id).await;
    let partner = site.api(&quay.administrator.bearer);
    let path = format!("/v1/accounts/{}/administrator-appointments", account.id);
    let propose = async |professional: &str, n: u32| {
        let body = json!({ "professional": professional, "replaces": account.administrator,
            "reason": format!("Reason {n}"), "evidence": format!("Evidence {n}") });
        partner.post(&path, body).await
    };
    let proposed = propose(&account.member, 1).await.expect(201);
    assert_eq!(proposed.text("status"), "waiting", "the administrator was seen lately");
    assert!(proposed.json()["window_ends_at"].is_string());
    propose(&account.member, 2).await.expect_problem(409, "appointment_waits");
    let at = |end: &str| format!("{path}/{}/{end}", proposed.text("appointment"));
    let first = format!("first@{}-h.example", cast.number.to_lowercase());
    let notice = mail::plain_text(&site.nth_mail(&first, 3).await);
    assert!(notice.contains("Noor Vale") || notice.contains("Mel Ordinary"), "{notice}");

    let early = support.post(&at("decide"), json!({ "decision": "carry_out" })).await;
    early.expect_problem(409, "appointment_not_due");
    support.post(&at("decide"), json!({ "decision": "maybe" })).await.expect_problem(422, "invalid_body");
    partner.post(&at("object"), json!({})).await.expect_problem(403, "not_administrator");
    let administrator = site.api(&cast.administrator);
    assert_eq!(administrator.post(&at("object"), json!({})).await.expect(200).json()["changed"], true);
    assert_eq!(administrator.post(&at("object"), json!({})).await.expect(200).json()["changed"], false);
    let shown = listed(site, &cast.administrator, &account.id).await;
    assert_eq!((&shown["status"], &shown["partner"]), (&json!("objected"), &json!(quay.id)));
    assert_eq!(shown["objected_by"], *account.administrator);
    partner.post(&at("decide"), json!({ "decision": "carry_out" })).await.expect_problem(403, "scope_missing");
    support.post(&at("decide"), json!({ "decision": "reject" })).await.expect(200);
    assert_eq!(listed(site, &cast.administrator, &account.id).await["status"], "rejected");
    support.post(&at("decide"), json!({ "decision": "carry_out" })).await.expect_problem(409, "appointment_ended");

    let kim = add(site, &quay.administrator.bearer, &account.id, "Kim Reed", &format!("kim@{}", cast.at)).await;
    let second = propose(&kim, 3).await.expect(201).text("appointment");
    administrator.post(&format!("{path}/{second}/object"), json!({})).await.expect(200);
    support.post(&format!("{path}/{second}/decide"), json!({ "decision": "carry_out" })).await.expect(200);
    let people = format!("/v1/accounts/{}/professionals/{kim}", account.id);
    assert_eq!(support.get(&people).await.expect(200).json()["roles"], json!(["administrator"]));
    administrator.get(&path).await.expect_problem(403, "not_administrator");

    let third = propose(&account.member, 4).await;
    third.expect_problem(409, "replaced_is_no_administrator");
    let body = json!({ "professional": account.member, "reason": "R", "evidence": "E" });
    let waiting = partner.post(&path, body).await.expect(201);
    assert_eq!(waiting.text("status"), "waiting", "who was administrator counts as seen");
    let remove = format!("/v1/accounts/{}/partners/{}", account.id, quay.id);
    support.call(Method::DELETE, &remove, None).await.expect(200);
    let events = history(site, &cast.auditor, &account.id).await;
    assert_eq!((count(&events, "AppointmentProposed"), count(&events, "AppointmentEnded")), (3, 3));
    let last = events.iter().rev().find(|event| event["event_type"] == "AppointmentEnded").expect("it has ended");
    assert_eq!(last["facts"]["outcome"], "withdrawn");
}
