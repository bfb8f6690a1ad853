//! Two accounts with people in them, and somebody with each right.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::client::Answer;
use super::site::{ALEX, JO, NOOR, Person, Site, somebody};
use crate::support::Visitor;

/// Everybody whom a test may need.
pub struct Cast {
    pub back_office: String,
    pub support: String,
    pub operator: String,
    pub auditor: String,
    /// Administers `harbour`, as a person ([`ALEX`]).
    pub administrator: String,
    /// An ordinary professional of `harbour` ([`NOOR`]).
    pub member: String,
    /// Administers `meadow` and has nothing to do with `harbour` ([`JO`]).
    pub stranger: String,
    pub harbour: Account,
    pub meadow: Account,
    /// Customer numbers that begin with this are this cast's own.
    pub number: String,
    /// The domain of `harbour`'s addresses.
    pub at: String,
}

/// An account whose first professional is associated.
#[derive(Clone)]
pub struct Account {
    pub id: String,
    pub administrator: String,
    /// The administrator's accepted invitation.
    pub invitation: String,
    /// An ordinary professional with an open invitation (`harbour`: accepted by [`NOOR`]).
    pub member: String,
    pub member_invitation: String,
}

/// A plan that is current.
pub fn plan() -> Value {
    json!({ "service_plan": { "name": "Enhancement Plan", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z" } })
}

impl Cast {
    /// Makes everybody, through the front door.
    pub async fn of(site: &Site) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = format!("T-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let key = |scope| site.key(&[scope]);
        let back_office = key("back_office");
        let harbour = account(site, &back_office, &format!("{number}-H"), "Harbour Works", ALEX).await;
        let meadow = account(site, &back_office, &format!("{number}-M"), "Meadow Mills", JO).await;
        let at = format!("{}-h.example", number.to_lowercase());
        let address = format!("member@{at}");
        site.accept(&Visitor::new(), &site.nth_link(&address, 1).await, NOOR, &address).await;
        Self {
            at,
            number,
            support: key("support"),
            operator: key("operator"),
            auditor: key("auditor"),
            administrator: site.bearer(ALEX).await,
            member: site.bearer(NOOR).await,
            stranger: site.bearer(JO).await,
            back_office,
            harbour,
            meadow,
        }
    }
}

/// Somebody who joined an account.
pub struct Joined {
    pub professional: String,
    /// The person's token for the API.
    pub bearer: String,
}

/// Invites somebody at an address, and accepts as that person.
pub async fn join(site: &Site, credential: &str, account: &str, person: Person, address: &str) -> Joined {
    let added = invite(site, credential, account, person.name, address).await.expect(201);
    let link = site.nth_link(address, site.links(address).len().max(1)).await;
    site.accept(&Visitor::new(), &link, person, address).await;
    Joined { professional: added.text("professional"), bearer: site.bearer(person).await }
}

/// A partner account whose administrator has joined it.
pub struct Partner {
    pub id: String,
    pub administrator: Joined,
    /// An ordinary professional.
    pub member: Joined,
}

impl Partner {
    /// Opens it under a name of its own, such as `quay`.
    pub async fn of(site: &Site, cast: &Cast, name: &str) -> Self {
        let number = format!("{}-{name}", cast.number);
        let body = json!({ "customer_number": number, "kind": "partner", "name": format!("Partner {name}") });
        let id = site.api(&cast.back_office).post("/v1/accounts", body).await.expect(201).text("account");
        let at = |who: &str| format!("{who}@{}.example", number.to_lowercase());
        let someone = |who: &str| somebody("work", &format!("{who} {name}"), &at(&format!("sign-in-{who}")));
        let administrator = join(site, &cast.back_office, &id, someone("pat"), &at("pat")).await;
        let member = join(site, &cast.back_office, &id, someone("lee"), &at("lee")).await;
        Self { id, administrator, member }
    }

    /// Lets it serve an account.
    pub async fn serve(&self, site: &Site, cast: &Cast, account: &str) {
        let path = format!("/v1/accounts/{account}/partners/{}", self.id);
        site.api(&cast.back_office).put(&path, json!({})).await.expect(200);
    }
}

/// Adds somebody without an invitation and returns the professional.
pub async fn add(site: &Site, credential: &str, account: &str, name: &str, address: &str) -> String {
    let body = json!({ "name": name, "address": address });
    let path = format!("/v1/accounts/{account}/professionals");
    site.api(credential).post(&path, body).await.expect(201).text("professional")
}

/// Opens a customer account with a current plan.
pub async fn open_account(site: &Site, back_office: &str, number: &str, name: &str) -> String {
    let body = json!({ "customer_number": number, "kind": "customer", "name": name });
    let id = site.api(back_office).post("/v1/accounts", body).await.expect(201).text("account");
    site.api(back_office).put(&format!("/v1/accounts/{id}/service-plan"), plan()).await.expect(200);
    id
}

/// Adds and invites somebody.
pub async fn invite(site: &Site, credential: &str, account: &str, name: &str, address: &str) -> Answer {
    let body = json!({ "name": name, "address": address, "send_invitation": true });
    site.api(credential).post(&format!("/v1/accounts/{account}/professionals"), body).await
}

async fn account(site: &Site, back_office: &str, number: &str, name: &str, first: Person) -> Account {
    let id = open_account(site, back_office, number, name).await;
    let at = number.to_lowercase();
    let address = format!("first@{at}.example");
    let added = invite(site, back_office, &id, first.name, &address).await.expect(201);
    site.accept(&Visitor::new(), &site.nth_link(&address, 1).await, first, &address).await;
    let member = invite(site, back_office, &id, "Mel Ordinary", &format!("member@{at}.example")).await.expect(201);
    Account {
        id,
        administrator: added.text("professional"),
        invitation: added.text("invitation"),
        member: member.text("professional"),
        member_invitation: member.text("invitation"),
    }
}

/// Every event of an account, read page by page; but that somebody read them.
pub async fn history(site: &Site, auditor: &str, account: &str) -> Vec<Value> {
    let mut events = pages(site, auditor, &format!("/v1/accounts/{account}/history?limit=500")).await;
    events.retain(|event| event["event_type"] != "AuditRead");
    events
}

/// Every item of a list, read page by page.
pub async fn pages(site: &Site, credential: &str, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = site.api(credential).get(&format!("{path}{cursor}")).await.expect(200).json();
        items.extend(page["items"].as_array().expect("a page has items").clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("{}cursor={next}", if path.contains('?') { '&' } else { '?' }),
            None => return items,
        }
    }
}

/// How often an event type stands in a history.
pub fn count(events: &[Value], event_type: &str) -> usize {
    events.iter().filter(|event| event["event_type"] == event_type).count()
}
