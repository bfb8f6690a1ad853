//! Operators find invitations whose mail failed, see why, and send them again.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cast::{Cast, count, history, invite, pages};
use super::client::Answer;
use super::site::{REFUSED, Site};
use crate::support::{eventually, mail};

/// Somebody whose invitation's mail came to nothing.
struct Failed {
    professional: String,
    invitation: String,
    address: String,
}

/// Where a mail that came to nothing ends: the relay of the production service refuses it, the embedded default's mailbox
/// takes everything, so that there it comes back.
fn state(site: &Site) -> &'static str {
    if site.database().is_some() { "refused" } else { "bounced" }
}

async fn bounce(site: &Site, cast: &Cast, address: &str, message: &str) -> Answer {
    let body = json!({ "message_id": message, "recipient": address, "status": "5.1.1",
        "diagnosis": "550 no such mailbox here" });
    site.api(&cast.operator).post("/v1/mail-bounces", body).await
}

fn message_id(mail: &str) -> String {
    mail::header(mail, "message-id").expect("a mail has a Message-ID")
}

async fn invitation(site: &Site, cast: &Cast, id: &str) -> Value {
    site.api(&cast.operator).get(&format!("/v1/invitations/{id}")).await.expect(200).json()
}

async fn delivered(site: &Site, cast: &Cast, id: &str, state: &str) -> Value {
    eventually(&format!("an invitation that is {state}"), async || {
        let found = invitation(site, cast, id).await;
        (found["delivery"]["state"] == state).then_some(found)
    })
    .await
}

async fn failed(site: &Site, cast: &Cast, n: usize) -> Failed {
    let address = format!("{REFUSED}{n}@{}", cast.at);
    let added = invite(site, &cast.support, &cast.harbour.id, "Kim Reed", &address).await.expect(201);
    let id = added.text("invitation");
    if site.database().is_none() {
        delivered(site, cast, &id, "sent").await;
        let sent = site.nth_mail(&address, 1).await;
        bounce(site, cast, &address, &message_id(&sent)).await.expect(200);
    }
    delivered(site, cast, &id, state(site)).await;
    Failed { professional: added.text("professional"), invitation: id, address }
}

pub async fn failed_invitations_are_found_by_state_reason_and_time(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (first, second) = (failed(site, &cast, 1).await, failed(site, &cast, 2).await);
    let state = state(site);
    let of_account = format!("/v1/invitations?account={}", cast.harbour.id);
    let ids = async |filter: &str| {
        let items = pages(site, &cast.operator, &format!("{of_account}{filter}")).await;
        items.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let both = [second.invitation.clone(), first.invitation.clone()];
    assert_eq!(ids(&format!("&delivery={state}")).await, both, "those that changed last come first");
    assert!(ids("&delivery=parked").await.is_empty());
    assert_eq!(ids("").await.len(), 4);
    let one = invitation(site, &cast, &first.invitation).await;
    let reason = one["delivery"]["reason"].as_str().unwrap_or_default().to_owned();
    if state == "refused" {
        assert_eq!((reason.as_str(), &one["delivery"]["code"]), ("550", &json!(550)));
        assert_eq!(ids("&reason=550").await, both);
    }
    assert!(one["delivery"]["reply"].as_str().is_some_and(|reply| reply.contains("no such mailbox here")), "{one}");
    assert!(ids("&reason=451").await.is_empty());
    let of_second = invitation(site, &cast, &second.invitation).await;
    let since = of_second["delivery"]["changed_at"].as_str().expect("a time").to_owned();
    assert_eq!(ids(&format!("&delivery={state}&since={since}")).await, both[..1]);
    assert_eq!(ids(&format!("&delivery={state}&until={since}")).await, both[1..]);
    let operator = site.api(&cast.operator);
    operator.get(&format!("{of_account}&since=yesterday")).await.expect_problem(422, "time_invalid");
    operator.get(&format!("{of_account}&delivery=lost")).await.expect_problem(400, "invalid_query");

    let attempts = pages(site, &cast.operator, &format!("/v1/invitations/{}/attempts", first.invitation)).await;
    let states: Vec<_> = attempts.iter().filter_map(|one| one["state"].as_str()).collect();
    let expected: &[&str] = if state == "refused" { &["sending", "refused"] } else { &["sending", "sent", "bounced"] };
    assert_eq!(states, expected);
    let last = attempts.last().expect("attempts");
    assert!(last["reply"].as_str().is_some_and(|reply| reply.contains("no such mailbox here")), "{last}");
}

pub async fn a_failed_invitation_is_sent_again_to_the_corrected_address(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let failed = failed(site, &cast, 1).await;
    let operator = site.api(&cast.operator);
    let path = format!("/v1/invitations/{}/retry", failed.invitation);
    let again = operator.post(&path, json!({})).await.expect(200);
    assert_eq!((again.text("invitation"), &again.json()["generation"]), (failed.invitation.clone(), &json!(2)));
    let taken = json!({ "address": format!("member@{}", cast.at) });
    operator.post(&path, taken).await.expect_problem(409, "address_already_in_account");
    let malformed = operator.post(&path, json!({ "address": "nothing" })).await;
    malformed.expect_problem(422, "address_at_sign");
    let late = operator.post(&path, json!({ "lifetime_hours": 0 })).await;
    late.expect_problem(422, "lifetime_out_of_bounds");

    let right = format!("right@{}", cast.at);
    let keyed = operator.with("idempotency-key", "correct");
    let corrected = keyed.post(&path, json!({ "address": right })).await.expect(200);
    let replayed = keyed.post(&path, json!({ "address": right })).await.expect(200);
    assert_eq!(corrected.text("invitation"), replayed.text("invitation"));
    assert_eq!((&corrected.json()["replayed"], &replayed.json()["replayed"]), (&json!(false), &json!(true)));
    assert_ne!(corrected.text("invitation"), failed.invitation, "another address is another invitation");
    site.nth_link(&right, 1).await;
    let sent = delivered(site, &cast, &corrected.text("invitation"), "sent").await;
    assert_eq!(sent["professional"], *failed.professional);
    assert_eq!(invitation(site, &cast, &failed.invitation).await["revoked_for"], "address_changed");
    let of_person = format!("/v1/accounts/{}/professionals/{}", cast.harbour.id, failed.professional);
    assert_eq!(operator.get(&of_person).await.expect(200).json()["address"], *right);
    let associated = format!("/v1/invitations/{}/retry", cast.harbour.member_invitation);
    operator.post(&associated, json!({})).await.expect_problem(409, "already_associated");
    let nowhere = format!("/v1/invitations/{}/retry", store::random::uuid());
    operator.post(&nowhere, json!({})).await.expect_problem(404, "unknown_invitation");
}

pub async fn many_failed_invitations_are_sent_again_with_one_result_each(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let first = failed(site, &cast, 1).await;
    let second = failed(site, &cast, 2).await;
    let operator = site.api(&cast.operator);
    let retry = async |body: Value, key: &str| {
        let answer = operator.with("idempotency-key", key).post("/v1/invitations/retry", body).await.expect(200);
        let results = answer.json()["results"].as_array().expect("results").clone();
        let text = |result: &Value, name: &str| result[name].as_str().unwrap_or_default().to_owned();
        results.iter().map(|it| (text(it, "invitation"), text(it, "outcome"), text(it, "code"))).collect::<Vec<_>>()
    };
    let nobody = store::random::uuid().to_string();
    let named = json!({ "invitations": [first.invitation, cast.harbour.member_invitation, nobody] });
    let expected = vec![
        (first.invitation.clone(), "sent".into(), String::new()),
        (cast.harbour.member_invitation.clone(), "refused".into(), "already_associated".into()),
        (nobody, "refused".into(), "unknown_invitation".into()),
    ];
    assert_eq!(retry(named.clone(), "named").await, expected);
    assert_eq!(retry(named, "named").await, expected, "a replay tells the same");
    let generation = async |of: &Failed| invitation(site, &cast, &of.invitation).await["generation"].clone();
    assert_eq!((generation(&first).await, generation(&second).await), (json!(2), json!(1)), "once, and no other");
    delivered(site, &cast, &first.invitation, if state(site) == "refused" { "refused" } else { "sent" }).await;

    let fitting = json!({ "delivery": state(site), "account": cast.harbour.id, "limit": 1 });
    let results = retry(fitting.clone(), "one").await;
    assert_eq!(results.len(), 1, "no more than the limit");
    assert_eq!(retry(fitting, "one").await, results, "a replay chooses nobody else");
    let other = json!({ "delivery": state(site), "account": cast.harbour.id });
    let reused = operator.with("idempotency-key", "one").post("/v1/invitations/retry", other).await;
    reused.expect_problem(422, "idempotency_key_reused");
    let all = retry(json!({ "delivery": state(site), "account": cast.harbour.id }), "all").await;
    assert!(all.iter().all(|(_, outcome, _)| outcome == "sent"), "{all:?}");
    let none = retry(json!({ "delivery": "parked", "account": cast.harbour.id }), "none").await;
    assert!(none.is_empty());
    operator.post("/v1/invitations/retry", json!({})).await.expect_problem(422, "retry_without_choice");
    let ids: Vec<_> = (0..200).map(|_| store::random::uuid().to_string()).collect();
    let many = operator.post("/v1/invitations/retry", json!({ "invitations": ids })).await;
    many.expect_problem(422, "too_many_invitations");
    assert_eq!(site.mails_to(&second.address).len(), site.links(&second.address).len());
}

pub async fn a_bounce_is_recorded_once_and_the_invitation_stays_valid(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let address = format!("kim@{}", cast.at);
    let added = invite(site, &cast.support, &cast.harbour.id, "Kim Reed", &address).await.expect(201);
    let id = added.text("invitation");
    delivered(site, &cast, &id, "sent").await;
    let message = message_id(&site.nth_mail(&address, 1).await);
    let bare = message.trim_matches(['<', '>']).to_owned();
    let before = history(site, &cast.auditor, &cast.harbour.id).await.len();
    let first = bounce(site, &cast, &address, &message).await.expect(200);
    assert_eq!(first.json()["changed"], true);
    for again in [&message, &bare] {
        let again = bounce(site, &cast, &address.to_uppercase(), again).await.expect(200);
        assert_eq!((&again.json()["changed"], &again.json()["mail"]), (&json!(false), &first.json()["mail"]));
    }
    let events = history(site, &cast.auditor, &cast.harbour.id).await;
    assert_eq!((events.len() - before, count(&events, "MailBounced")), (1, 1));
    for reader in [&cast.operator, &cast.administrator] {
        let seen = site.api(reader).get(&format!("/v1/invitations/{id}")).await.expect(200).json();
        assert_eq!((&seen["status"], &seen["delivery"]["state"]), (&json!("open"), &json!("bounced")));
    }
    let link = site.nth_link(&address, 1).await;
    assert_eq!(crate::support::Visitor::new().open(link).await.status, 200, "the link works");

    bounce(site, &cast, &format!("member@{}", cast.at), &message).await.expect_problem(404, "unknown_mail");
    bounce(site, &cast, "nobody@t.example", &message).await.expect_problem(404, "unknown_mail");
    for odd in ["", "<>", "x@y", "<x@y>", &format!("{}@y", store::random::uuid())] {
        bounce(site, &cast, &address, odd).await.expect_problem(404, "unknown_mail");
    }
    let status = json!({ "message_id": message, "recipient": address, "status": "five" });
    let status = site.api(&cast.operator).post("/v1/mail-bounces", status).await;
    status.expect_problem(422, "bounce_status_invalid");
    let auditor = json!({ "message_id": message, "recipient": address });
    site.api(&cast.auditor).post("/v1/mail-bounces", auditor).await.expect_problem(403, "scope_missing");
}

pub async fn the_command_line_lists_shows_and_retries_invitations(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (first, second) = (failed(site, &cast, 1).await, failed(site, &cast, 2).await);
    let of_account = ["--delivery", state(site), "--account", &cast.harbour.id];
    let list = |more: &[&str]| {
        let ran = site.run(&[&["invitations", "list"], &of_account[..], more].concat());
        assert!(ran.success, "{ran:?}");
        ran.out.lines().map(|line| line[..36].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), [second.invitation.clone(), first.invitation.clone()]);
    assert_eq!(list(&["--limit", "1"]), std::slice::from_ref(&second.invitation));
    assert!(list(&["--since", "2999-01-01T00:00:00Z"]).is_empty());
    let shown = site.run(&["invitations", "show", &first.invitation]);
    assert!(
        shown.success && shown.out.contains("MailAttempted") && shown.out.contains("no such mailbox here"),
        "{shown:?}"
    );

    let right = format!("cli@{}", cast.at);
    let corrected = site.run(&["invitations", "retry", &first.invitation, "--address", &right]);
    assert!(corrected.success && corrected.out.contains("sent again"), "{corrected:?}");
    site.nth_link(&right, 1).await;
    // The first was revoked with its address; each has a result of its own, and one that was refused shows in the end.
    let both = site.run(&["invitations", "retry", &first.invitation, &second.invitation]);
    assert!(!both.success, "{both:?}");
    let results: Vec<&str> = both.out.lines().collect();
    assert!(results[0].contains("refused  invitation_revoked") && results[1].ends_with("sent again"), "{both:?}");
    let account = history(site, &cast.auditor, &cast.harbour.id).await;
    assert!(account.iter().any(|entry| entry["actor"] == "cli:unknown"), "the events name who it was");
    for wrong in [
        ["invitations", "retry"].as_slice(),
        &["invitations", "retry", &first.invitation, &second.invitation, "--address", &right],
        &["invitations", "show", &store::random::uuid().to_string()],
        &["invitations", "list", "--since", "yesterday"],
    ] {
        let ran = site.run(wrong);
        assert!(!ran.success && ran.out.is_empty() && !ran.err.is_empty(), "{wrong:?}: {ran:?}");
    }
}
