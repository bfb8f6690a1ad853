//! Accounts know nothing of each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::cast::{Cast, count, history, invite, plan};
use super::client::{Answer, operations};
use super::site::{NOOR, Site};
use crate::support::Visitor;

/// Everything that a caller sees of an answer, but for what differs from one request to the next.
fn seen(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    (answer.status, headers.collect(), answer.body.clone())
}

fn body_of(method: &Method, template: &str, n: usize) -> Option<Value> {
    match template.rsplit('/').next() {
        _ if method == Method::GET => None,
        Some("professionals") => Some(json!({ "name": "Kim Reed", "address": format!("kim{n}@t.example") })),
        Some("service-plan") => Some(plan()),
        _ => Some(json!({})),
    }
}

pub async fn t38_what_is_foreign_and_what_is_nowhere_cannot_be_told_apart(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let nowhere = || store::random::uuid().to_string();
    let (mine, theirs) = (&cast.meadow, &cast.harbour);
    let mut compared = 0;
    for (method, template) in operations(&site.document) {
        let names: Vec<&str> = template.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let of = |foreign: bool, name: &str| match (name, foreign) {
            ("account", true) => theirs.id.clone(),
            ("account", false) => mine.id.clone(),
            ("professional", true) => theirs.member.clone(),
            ("professional", false) => mine.member.clone(),
            ("invitation", true) => theirs.member_invitation.clone(),
            ("invitation", false) => mine.member_invitation.clone(),
            _ => panic!("{template}: {name} is new; say whose it may be"),
        };
        for (n, name) in names.iter().enumerate() {
            // What comes before is the caller's own, or is foreign as well; what comes after goes with it.
            for before_is_foreign in [false, true] {
                let mut answers = Vec::new();
                for choice in [Some(of(true, name)), None, Some(nowhere())] {
                    let is_nowhere = choice.is_none();
                    let mut path = template.clone();
                    for (m, other) in names.iter().enumerate() {
                        let id = match m.cmp(&n) {
                            std::cmp::Ordering::Less => of(before_is_foreign, other),
                            std::cmp::Ordering::Equal => choice.clone().unwrap_or_else(nowhere),
                            std::cmp::Ordering::Greater if is_nowhere => nowhere(),
                            std::cmp::Ordering::Greater => of(true, other),
                        };
                        path = path.replace(&format!("{{{other}}}"), &id);
                    }
                    let body = body_of(&method, &template, answers.len());
                    answers.push(seen(&site.api(&cast.stranger).call(method.clone(), &path, body).await));
                }
                let status = answers[0].0;
                assert!([403, 404].contains(&status), "{method} {template}: {:?}", answers[0]);
                assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {template}: {answers:#?}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 20, "{compared} routes were compared");

    // An ordinary professional learns nothing of the others of its own account either.
    let people = format!("/v1/accounts/{}/professionals", theirs.id);
    let member = site.api(&cast.member);
    for (method, end) in [(Method::GET, ""), (Method::POST, "/invitations")] {
        let of_another = member.call(method.clone(), &format!("{people}/{}{end}", theirs.administrator), None).await;
        let of_nobody = member.call(method.clone(), &format!("{people}/{}{end}", nowhere()), None).await;
        assert_eq!(seen(&of_another), seen(&of_nobody));
    }
    let invitations = "/v1/invitations";
    let own = member.get(&format!("{invitations}/{}", theirs.member_invitation)).await;
    let of_nobody = member.get(&format!("{invitations}/{}", nowhere())).await;
    assert_eq!(seen(&own), seen(&of_nobody));
    assert_eq!(count(&history(site, &cast.auditor, &theirs.id).await, "ProfessionalAdded"), 2, "nothing was added");
}

pub async fn t39_t47_the_same_address_in_two_accounts_is_silent_and_links_one_profile_only(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let kim = format!("kim@{}", cast.at);
    let shape = |answer: &Answer| {
        let body = answer.json();
        let names: Vec<String> = body.as_object().expect("an object").keys().cloned().collect();
        (
            answer.status,
            names,
            body["changed"].clone(),
            body["replayed"].clone(),
            body["roles"].clone(),
            answer.body.len(),
        )
    };
    let first = invite(site, &cast.administrator, &cast.harbour.id, "Kim Reed", &kim).await.expect(201);
    let second = invite(site, &cast.stranger, &cast.meadow.id, "Kim Reed", &kim).await.expect(201);
    let fresh =
        invite(site, &cast.stranger, &cast.meadow.id, "Kim Reed", &format!("new@{}", cast.at)).await.expect(201);
    let (second_shape, fresh_shape) = (shape(&second), shape(&fresh));
    assert_eq!(second_shape, fresh_shape, "an address that another account has answers as a new one");

    site.nth_link(&kim, 2).await;
    let links = site.links(&kim);
    let mut linked = None;
    for link in links {
        let page = Visitor::new().open(&link).await;
        if page.body.contains("Meadow Mills") {
            linked = Some(link);
        }
    }
    site.accept(&Visitor::new(), &linked.expect("one link is Meadow's"), NOOR, &kim).await;
    let read = async |credential: &str, account: &str, answer: &Answer| {
        let path = format!("/v1/accounts/{account}/professionals/{}", answer.text("professional"));
        site.api(credential).get(&path).await.expect(200).json()["is_associated"].clone()
    };
    assert_eq!(read(&cast.stranger, &cast.meadow.id, &second).await, true);
    assert_eq!(read(&cast.administrator, &cast.harbour.id, &first).await, false);
}
