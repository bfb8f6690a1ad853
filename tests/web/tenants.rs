//! Accounts know nothing of each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::authority::nothing_to_import;
use super::cast::{Account, Cast, Partner, add, count, history, invite, pages, plan};
use super::client::{Answer, operations};
use super::site::{NOOR, Site, somebody};
use crate::support::Visitor;

/// Everything that a caller sees of an answer, but for what differs from one request to the next.
fn seen(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    (answer.status, headers.collect(), answer.body.clone())
}

fn body_of(method: &Method, template: &str, n: usize) -> Option<Value> {
    let id = "00000000-0000-4000-8000-000000000001";
    Some(match template.rsplit('/').next() {
        _ if [Method::GET, Method::DELETE].contains(method) => return None,
        _ if *method == Method::PATCH => json!({ "name": "Kim Reed" }),
        Some("professionals") => json!({ "name": "Kim Reed", "address": format!("kim{n}@t.example") }),
        Some("service-plan") => plan(),
        Some("hand-over") => json!({ "to": id }),
        Some("administrator-appointments") => json!({ "professional": id, "reason": "Gone.", "evidence": "Seen." }),
        Some("decide") => json!({ "decision": "reject" }),
        _ => json!({}),
    })
}

/// Somebody asks to be added; support sees the wish.
async fn wish(site: &Site, cast: &Cast, account: &str, number: &str) -> String {
    let body = json!({ "customer_number": number, "name": "Wendy Wish", "address": format!("wish@{}", cast.at) });
    let asker = site.bearer(somebody("personal", "Wendy Wish", &format!("sign-in-wish@{}", cast.at))).await;
    site.api(&asker).post("/v1/access-requests", body).await.expect(202);
    let wishes = pages(site, &cast.support, &format!("/v1/access-requests?account={account}")).await;
    wishes[0]["id"].as_str().expect("the wish is listed").to_owned()
}

/// A partner appoints somebody, and waits for objections.
async fn appointment(site: &Site, partner: &Partner, account: &Account) -> String {
    let path = format!("/v1/accounts/{}/administrator-appointments", account.id);
    let body = json!({ "professional": account.member, "reason": "Gone.", "evidence": "Seen." });
    site.api(&partner.administrator.bearer).post(&path, body).await.expect(201).text("appointment")
}

/// Everything in an account that a path can name.
struct Things {
    account: Account,
    access_request: String,
    appointment: String,
    partner: String,
    departed: String,
    identity: String,
    import: String,
}

impl Things {
    async fn of(site: &Site, cast: &Cast, account: &Account, end: &str) -> Self {
        let partner = Partner::of(site, cast, &format!("of-{end}")).await;
        partner.serve(site, cast, &account.id).await;
        let departed = add(site, &cast.support, &account.id, "Dee Parted", &format!("gone@{}", cast.at)).await;
        let path = format!("/v1/accounts/{}/professionals/{departed}", account.id);
        site.api(&cast.support).call(Method::DELETE, &path, None).await.expect(200);
        Self {
            access_request: wish(site, cast, &account.id, &format!("{}-{end}", cast.number)).await,
            appointment: appointment(site, &partner, account).await,
            identity: site.api(&partner.administrator.bearer).get("/v1/me").await.expect(200).text("identity"),
            import: site.api(&cast.back_office).post("/v1/imports", nothing_to_import()).await.expect(202).text("id"),
            partner: partner.id,
            account: account.clone(),
            departed,
        }
    }

    fn named(&self, template: &str, name: &str) -> String {
        match name {
            "account" => self.account.id.clone(),
            "professional" => self.account.member.clone(),
            "invitation" => self.account.member_invitation.clone(),
            "access_request" => self.access_request.clone(),
            "appointment" => self.appointment.clone(),
            "partner" => self.partner.clone(),
            "identity" => self.identity.clone(),
            "import" => self.import.clone(),
            _ => panic!("{template}: {name} is new; say whose it may be"),
        }
    }
}

pub async fn t38_what_is_foreign_and_what_is_nowhere_cannot_be_told_apart(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let nowhere = || store::random::uuid().to_string();
    let mine = Things::of(site, &cast, &cast.meadow, "M").await;
    let theirs = Things::of(site, &cast, &cast.harbour, "H").await;
    let mut compared = 0;
    for (method, template) in operations(&site.document) {
        let with_role = template.replace("{role}", "billing_contact");
        let names: Vec<&str> = with_role.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        for (n, name) in names.iter().enumerate() {
            // What comes before is the caller's own, or is foreign as well; what comes after goes with it.
            for before_is_foreign in [false, true] {
                let mut answers = Vec::new();
                let mut choices = vec![Some(theirs.named(&template, name)), None, Some(nowhere())];
                if *name == "professional" {
                    choices.push(Some(theirs.departed.clone()));
                }
                for choice in choices {
                    let is_nowhere = choice.is_none();
                    let mut path = with_role.clone();
                    for (m, other) in names.iter().enumerate() {
                        let id = match m.cmp(&n) {
                            std::cmp::Ordering::Less if before_is_foreign => theirs.named(&template, other),
                            std::cmp::Ordering::Less => mine.named(&template, other),
                            std::cmp::Ordering::Equal => choice.clone().unwrap_or_else(nowhere),
                            std::cmp::Ordering::Greater if is_nowhere => nowhere(),
                            std::cmp::Ordering::Greater => theirs.named(&template, other),
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
    assert!(compared >= 60, "{compared} routes were compared");

    // Ids in a body and in a query are told apart no more than those in a path.
    let stranger = site.api(&cast.stranger);
    let own = format!("/v1/accounts/{}", mine.account.id);
    let from = add(site, &cast.support, &mine.account.id, "Kim Reed", &format!("from@{}", cast.at)).await;
    let hand_over = format!("{own}/professionals/{from}/hand-over");
    let filters = ["/v1/access-requests?account="];
    let mut answers = vec![Vec::new(); 1 + filters.len()];
    for foreign in [&theirs.account.member, &theirs.departed, &nowhere()] {
        answers[0].push(seen(&stranger.post(&hand_over, json!({ "to": foreign })).await));
    }
    for account in [&theirs.account.id, &nowhere()] {
        for (n, filter) in filters.iter().enumerate() {
            answers[n + 1].push(seen(&stranger.get(&format!("{filter}{account}")).await));
        }
    }
    assert_eq!((answers[0][0].0, answers[1][0].0), (404, 200));
    assert!(answers.iter().all(|of_one| of_one.iter().all(|answer| *answer == of_one[0])), "{answers:#?}");

    // An ordinary professional learns nothing of the others of its own account either.
    let people = format!("/v1/accounts/{}/professionals", theirs.account.id);
    let member = site.api(&cast.member);
    let (edit, to) = (json!({ "name": "Kim Reed" }), json!({ "to": theirs.account.member }));
    for (method, end, body) in [
        (Method::GET, "", None),
        (Method::PATCH, "", Some(edit)),
        (Method::DELETE, "", None),
        (Method::POST, "/hand-over", Some(to)),
        (Method::DELETE, "/association", None),
        (Method::POST, "/erase", None),
        (Method::POST, "/invitations", None),
    ] {
        let of =
            async |who: &str| seen(&member.call(method.clone(), &format!("{people}/{who}{end}"), body.clone()).await);
        let of_nobody = of(&nowhere()).await;
        assert_eq!(of(&theirs.account.administrator).await, of_nobody, "{method} {end}");
        assert_eq!(of(&theirs.departed).await, of_nobody, "{method} {end}");
    }
    let invitations = "/v1/invitations";
    let own = member.get(&format!("{invitations}/{}", theirs.account.member_invitation)).await;
    let of_nobody = member.get(&format!("{invitations}/{}", nowhere())).await;
    assert_eq!(seen(&own), seen(&of_nobody));
    assert_eq!(
        count(&history(site, &cast.auditor, &theirs.account.id).await, "ProfessionalAdded"),
        3,
        "nothing was added"
    );
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
