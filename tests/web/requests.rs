//! One effect for each caller and `Idempotency-Key`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cast::{Cast, count, history, plan};
use super::client::Answer;
use super::site::Site;
use crate::support::free_port;

fn without_replayed(answer: &Answer) -> Value {
    let mut body = answer.json();
    body.as_object_mut().expect("an object").remove("replayed");
    body
}

pub async fn t61_a_request_that_is_sent_again_has_one_effect(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let api = site.api(&cast.back_office);
    let account = &cast.meadow.id;
    let people = format!("/v1/accounts/{account}/professionals");
    let send = format!("{people}/{}/invitations", cast.meadow.member);
    let plan_path = format!("/v1/accounts/{account}/service-plan");
    let mut other_plan = plan();
    other_plan["service_plan"]["name"] = json!("Support Plan");
    let open = json!({ "customer_number": format!("{}-N", cast.number), "kind": "customer", "name": "Kim Works" });
    let add = json!({ "name": "Kim Reed", "address": "kim@t.example", "send_invitation": true });
    let before = history(site, &cast.auditor, account).await.len();
    let mut answers = Vec::new();
    for (n, (method, path, body)) in [
        ("POST", "/v1/accounts", open),
        ("POST", people.as_str(), add.clone()),
        ("POST", send.as_str(), json!({})),
        ("PUT", plan_path.as_str(), other_plan),
    ]
    .into_iter()
    .enumerate()
    {
        let keyed = api.with("idempotency-key", &format!("of a test {n}"));
        let method: reqwest::Method = method.parse().expect("a method");
        let first = keyed.call(method.clone(), path, Some(body.clone())).await;
        assert!(first.status < 300, "{path}: {}", first.body);
        assert_eq!((&first.json()["replayed"], &first.json()["changed"]), (&json!(false), &json!(true)));
        for _ in 0..3 {
            let again = keyed.call(method.clone(), path, Some(body.clone())).await.expect(first.status);
            assert_eq!(again.json()["replayed"], true, "{path}");
            assert_eq!(without_replayed(&again), without_replayed(&first), "{path}");
            assert_eq!(again.header("location"), first.header("location"), "{path}");
        }
        let spaced = format!(" {body}").into_bytes();
        let other = keyed.send(method.clone(), path, Some("application/json"), spaced).await;
        other.expect_problem(422, "idempotency_key_reused");
        answers.push(first);
    }
    let other_route = api.with("idempotency-key", "of a test 1").post("/v1/accounts", add.clone()).await;
    other_route.expect_problem(422, "invalid_body");
    let other_route = api.with("idempotency-key", "of a test 2").put(&plan_path, json!({ "service_plan": null })).await;
    other_route.expect_problem(422, "idempotency_key_reused");
    // A refusal is no effect: the same key may try again.
    let retried = api.with("idempotency-key", "refused first");
    let taken = json!({ "name": "Kim Reed", "address": "kim@t.example" });
    retried.post(&people, taken.clone()).await.expect_problem(409, "address_already_in_account");
    retried.post(&people, json!({ "name": "Kim Reed", "address": "kim2@t.example" })).await.expect(201);
    // Another caller's key of the same text is another key.
    let stranger = site.api(&cast.stranger).with("idempotency-key", "of a test 2");
    let of_stranger = stranger.post(&send, json!({})).await.expect(201);
    assert_eq!((&of_stranger.json()["replayed"], &of_stranger.json()["generation"]), (&json!(false), &json!(3)));
    for key in ["", &"k".repeat(256), "k\u{e9}y"] {
        let odd = api.with("idempotency-key", key).post(&send, json!({})).await;
        odd.expect_problem(422, "idempotency_key_invalid");
    }
    let events = history(site, &cast.auditor, account).await;
    let sum = |name| count(&events, name) - count(&events[..before], name);
    assert_eq!((sum("ProfessionalAdded"), sum("InvitationIssued"), sum("ServicePlanSet")), (2, 3, 1));
}

pub async fn t61_32_at_once_have_one_effect(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let people = format!("/v1/accounts/{}/professionals", cast.harbour.id);
    let body = json!({ "name": "Kim Reed", "address": "kim@t.example", "send_invitation": true });
    let answers = at_once(site, &cast.administrator, Some("at once"), &people, &body).await;
    let first = without_replayed(&answers[0]);
    assert!(answers.iter().all(|answer| answer.status == 201 && without_replayed(answer) == first), "{answers:#?}");
    let effects = answers.iter().filter(|answer| answer.json()["replayed"] == false).count();
    assert_eq!(effects, 1, "{answers:#?}");
    let events = history(site, &cast.auditor, &cast.harbour.id).await;
    let of_kim = |event: &&Value| event["facts"]["professional"] == first["professional"];
    let added = events.iter().filter(of_kim).filter(|event| event["event_type"] == "ProfessionalAdded").count();
    assert_eq!(added, 1);

    // Without a key, one of 32 adds the address and the others are told that it is there.
    let body = json!({ "name": "Lee Reed", "address": "lee@t.example" });
    let answers = at_once(site, &cast.administrator, None, &people, &body).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    answers.iter().filter(|answer| answer.status != 201).for_each(|answer| {
        answer.expect_problem(409, "address_already_in_account");
    });
}

/// Sends one request 32 times at once.
async fn at_once(site: &Arc<Site>, credential: &str, key: Option<&str>, path: &str, body: &Value) -> Vec<Answer> {
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (site, credential, key) = (Arc::clone(site), credential.to_owned(), key.map(str::to_owned));
            let (path, body) = (path.to_owned(), body.clone());
            tokio::spawn(async move {
                let client = site.api(&credential);
                let client = key.map_or(client.clone(), |key| client.with("idempotency-key", &key));
                client.post(&path, body).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("no request panics"));
    }
    answers
}

#[tokio::test]
async fn t61_a_request_is_remembered_over_a_restart() {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut site = Site::embedded_with(&[("VINCULUM_LISTEN", &listen)]).await;
    let key = site.key(&["back_office"]);
    let body = json!({ "customer_number": "T-600", "kind": "customer", "name": "Kim Works" });
    let first = site.api(&key).with("idempotency-key", "once").post("/v1/accounts", body.clone()).await.expect(201);
    site.restart();
    let again = site.api(&key).with("idempotency-key", "once").post("/v1/accounts", body).await.expect(201);
    assert_eq!((without_replayed(&again), &again.json()["replayed"]), (without_replayed(&first), &json!(true)));
}
