//! After an erasure nothing personal about the person can be read anywhere (R27).

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::{AnyConnection, Connection as _};

use super::authority::query_of;
use super::cast::{Cast, count, history, invite, pages, plan};
use super::client::operations;
use super::leaks::files_below;
use super::site::{Person, Site, csrf, person};
use crate::support::{Visitor, mail};

/// What is personal about the person, in every place that takes it; none of it stands anywhere else.
const SECRETS: [&str; 16] = [
    "Zebulon Quartzwick", // the name at first
    "Zebulina Xylofon",   // and later
    "zq-old-7f3a",        // the address at first
    "zq-new-7f3b",        // and later
    "Zorbax Firstsign",   // the identity that was replaced
    "zq-first-7f3c",
    "Zorbax Lastsign", // the identity
    "zq-last-7f3d",
    "zq-diagnosis-7f3e", // what the mail server said
    "zq-reason-7f3f",    // the grounds of an appointment
    "zq-evidence-7f40",
    "Zwendy Wishful", // a wish to be added elsewhere
    "zq-wish-7f41",
    "zq-typed-7f42",   // what was typed on the association page
    "Zenobia Retried", // a name that was there for a moment
    "zq-retried-7f43", // and an address that an operator corrected
];
/// Those that no answer ever shows: what was typed is looked up and forgotten.
const NEVER_SHOWN: [&str; 1] = ["zq-typed-7f42"];

/// By when a request waits for the lock of the log.
const UNDER_WAY_AFTER: Duration = Duration::from_secs(1);

const FIRST: Person = person("personal", "Zorbax Firstsign", "zq-first-7f3c@home.example");
const LAST: Person = person("personal", "Zorbax Lastsign", "zq-last-7f3d@home.example");

/// The secrets that stand in a text, whatever their case.
fn found(text: &[u8]) -> Vec<&'static str> {
    let text = String::from_utf8_lossy(text).to_lowercase();
    SECRETS.into_iter().filter(|secret| text.contains(&secret.to_lowercase())).collect()
}

/// The person whose life is told everywhere, and then erased.
struct Life {
    cast: Cast,
    professional: String,
    invitation: String,
    access_request: String,
    identities: Vec<String>,
    /// The position at which everything was there.
    position: i64,
    /// A browser that is signed in as the person.
    browser: Visitor,
}

impl Life {
    async fn of(site: &Site) -> Self {
        let cast = Cast::of(site).await;
        let (support, administrator) = (site.api(&cast.support), site.api(&cast.administrator));
        let at = |name: &str| format!("{name}@{}", cast.at);
        let first = Visitor::new();
        let page = site.sign_in(&first, FIRST).await;
        for email in [at("zq-typed-7f42"), at("zq-old-7f3a")] {
            let fields = [("csrf", &*csrf(&page)), ("email", &*email)];
            assert_eq!(first.post(site.url("/associations"), &fields).await.status, 200);
        }
        let wish = json!({ "customer_number": format!("{}-M", cast.number), "name": "Zwendy Wishful",
            "address": at("zq-wish-7f41") });
        site.api(&site.bearer(FIRST).await).post("/v1/access-requests", wish).await.expect(202);
        let wishes = pages(site, &cast.support, &format!("/v1/access-requests?account={}", cast.meadow.id)).await;
        let access_request = wishes[0]["id"].as_str().expect("the wish is listed").to_owned();

        let account = &cast.harbour.id;
        let added = invite(site, &cast.support, account, "Zebulon Quartzwick", &at("zq-old-7f3a")).await.expect(201);
        let (professional, invitation) = (added.text("professional"), added.text("invitation"));
        let path = format!("/v1/accounts/{account}/professionals/{professional}");
        let sent = site.nth_mail(&at("zq-old-7f3a"), 1).await;
        let message = mail::header(&sent, "message-id").expect("a mail has a Message-ID");
        let link = site.nth_link(&at("zq-old-7f3a"), 1).await;
        let visitor = Visitor::new();
        site.accept(&visitor, &link, FIRST, &at("zq-old-7f3a")).await;
        let bounce = json!({ "message_id": message, "recipient": at("zq-old-7f3a"), "diagnosis": "zq-diagnosis-7f3e" });
        let bounced = site.api(&cast.operator).post("/v1/mail-bounces", bounce).await;
        assert_eq!(bounced.status, 200, "{}", bounced.body);

        let renamed = json!({ "name": "Zenobia Retried", "address": at("zq-retried-7f43") });
        administrator.call(Method::PATCH, &path, Some(renamed)).await.expect(200);
        let changed = json!({ "name": "Zebulina Xylofon", "address": at("zq-new-7f3b"), "send_invitation": true });
        administrator.call(Method::PATCH, &path, Some(changed)).await.expect(200);
        let browser = Visitor::new();
        let link = site.nth_link(&at("zq-new-7f3b"), 1).await;
        site.accept(&browser, &link, LAST, &at("zq-new-7f3b")).await;

        let grounds =
            json!({ "professional": professional, "reason": "zq-reason-7f3f", "evidence": "zq-evidence-7f40" });
        let appointments = format!("/v1/accounts/{account}/administrator-appointments");
        support.post(&appointments, grounds).await.expect(201);
        let role = format!("/v1/accounts/{account}/roles/administrator/{professional}");
        administrator.call(Method::DELETE, &role, None).await.expect(200);
        let events = history(site, &cast.auditor, account).await;
        let position = events.last().and_then(|event| event["position"].as_i64()).expect("positions");
        let of_person = events.iter().filter(|event| event["facts"]["professional"] == *professional);
        let identities: Vec<String> = of_person
            .filter_map(|event| event["facts"]["to"].as_str())
            .filter(|to| to.len() == 36)
            .map(str::to_owned)
            .collect();
        assert_eq!(identities.len(), 2, "one replaced the other");
        Self { professional, invitation, access_request, identities, position, cast, browser }
    }

    /// Every answer that anybody gets about the person, from one node.
    async fn answers(&self, site: &Site, base: &str) -> Vec<(String, String)> {
        let cast = &self.cast;
        let mut answers = Vec::new();
        let readers = [&cast.support, &cast.auditor, &cast.operator, &cast.administrator, &cast.stranger];
        let mut paths: Vec<String> = operations(&site.document)
            .into_iter()
            .filter(|(method, _)| *method == Method::GET)
            .map(|(_, template)| format!("{template}{}", query_of(&template)))
            .collect();
        let of_person = "/v1/accounts/{account}/professionals/{professional}";
        paths.push(format!("{of_person}?as_of={}", self.position));
        paths.push("/v1/accounts/{account}/history?limit=500".into());
        paths.push("/v1/history?limit=500&tag=professional:{professional}".into());
        paths.push("/v1/history?limit=500&tag=account:{meadow}".into());
        paths.push("/v1/history/export?tag=account:{account}&format=csv".into());
        paths.push("/v1/history/export?tag=account:{meadow}&format=jsonl".into());
        paths.extend(self.identities.iter().map(|id| format!("/v1/history?limit=500&tag=identity:{id}")));
        paths.push("/v1/access-requests?account={meadow}".into());
        paths.push("/v1/invitations?account={account}&limit=199".into());
        for path in paths {
            let path = path
                .replace("{account}", &cast.harbour.id)
                .replace("{meadow}", &cast.meadow.id)
                .replace("{professional}", &self.professional)
                .replace("{invitation}", &self.invitation);
            for reader in readers {
                let request = site.http.get(format!("{base}{path}")).header("host", site.host()).bearer_auth(reader);
                let body = request.send().await.expect("the node answers").text().await.expect("the body arrives");
                answers.push((path.clone(), body));
            }
        }
        answers
    }
}

/// The secrets that stand in any of these answers.
fn found_in(answers: &[(String, String)]) -> Vec<&'static str> {
    SECRETS.into_iter().filter(|one| answers.iter().any(|(_, body)| found(body.as_bytes()).contains(one))).collect()
}

fn shown() -> Vec<&'static str> {
    SECRETS.into_iter().filter(|secret| !NEVER_SHOWN.contains(secret)).collect()
}

impl Life {
    async fn erase(&self, site: &Site) {
        let (support, account) = (site.api(&self.cast.support), &self.cast.harbour.id);
        let path = format!("/v1/accounts/{account}/professionals/{}/erase", self.professional);
        let erased = support.post(&path, json!({})).await.expect(200);
        assert_eq!((&erased.json()["changed"], &erased.json()["views"]), (&json!(true), &json!("current")));
    }

    /// The history keeps what happened, and no answer says to whom.
    async fn still_tells(&self, site: &Site, before: &[serde_json::Value]) {
        let cast = &self.cast;
        let path = format!("/v1/accounts/{}/professionals/{}/erase", cast.harbour.id, self.professional);
        let again = site.api(&cast.support).post(&path, json!({})).await.expect(200);
        assert_eq!(again.json()["changed"], false);
        let after = history(site, &cast.auditor, &cast.harbour.id).await;
        for (event, before) in after.iter().zip(before) {
            // What happened, when and by whom, all but the words about it, which have names in them.
            for field in ["position", "id", "recorded_at", "event_type", "actor", "request", "tags", "facts"] {
                assert!(!event[field].is_null() && event[field] == before[field], "{field}: {before} became {event}");
            }
        }
        assert!(after.len() > before.len());
        assert_eq!((count(&after, "ProfessionalErased"), count(&after, "ProfessionalDeleted")), (1, 1));
        let of_meadow = history(site, &cast.auditor, &cast.meadow.id).await;
        assert_eq!((count(&of_meadow, "AccessRequested"), count(&of_meadow, "IdentityErased")), (1, 1));

        let answers = self.answers(site, &site.url("")).await;
        for (path, body) in &answers {
            assert_eq!(found(body.as_bytes()), [""; 0], "{path}: {body}");
        }
        let told = site.run(&["export", "--format", "jsonl", "--tag", &format!("account:{}", cast.harbour.id)]);
        assert!(told.success && told.out.contains("ProfessionalErased"), "{told:?}");
        assert_eq!(found(told.out.as_bytes()), [""; 0]);
        let path = format!("/v1/access-requests/{}/approve", self.access_request);
        let gone = site.api(&cast.stranger).post(&path, json!({})).await;
        gone.expect_problem(404, "unknown_access_request");

        let page = self.browser.open(site.url("/profile")).await;
        assert_eq!(page.url.path(), "/sign-in", "the person's sessions have ended: {}", page.body);
        let administrator = Visitor::new();
        site.sign_in(&administrator, super::site::ALEX).await;
        let page = administrator.open(site.url(&format!("/profile/history/{}", cast.harbour.id))).await;
        assert_eq!((page.status, found(page.body.as_bytes())), (200, Vec::new()));
        // The account goes on as if nothing had been.
        let renewed = format!("/v1/accounts/{}/service-plan", cast.harbour.id);
        site.api(&cast.back_office).put(&renewed, plan()).await.expect(200);
        let again = format!("zq-again@{}", cast.at);
        invite(site, &cast.administrator, &cast.harbour.id, "Somebody Else", &again).await.expect(201);
        assert_eq!(found(site.log().as_bytes()), [""; 0], "no trace tells it");
    }
}

#[tokio::test]
async fn r27_t68_t69_after_an_erasure_no_byte_of_the_files_and_no_answer_tells_who_it_was() {
    let site = Site::embedded_with(&[("VINCULUM_LOG", "trace")]).await;
    let life = Life::of(&site).await;
    assert_eq!(found_in(&life.answers(&site, &site.url("")).await), shown(), "before, everything is there to be read");
    assert_eq!(life.browser.open(site.url("/profile")).await.url.path(), "/profile");
    let before = history(&site, &life.cast.auditor, &life.cast.harbour.id).await;
    life.erase(&site).await;
    no_file_tells(&site);
    life.still_tells(&site, &before).await;
    assert!(site.log().contains("TRACE"));
    no_file_tells(&site);
}

fn no_file_tells(site: &Site) {
    let data = site.home().join("data");
    let files = files_below(&data).into_iter().filter(|path| !path.starts_with(data.join("mail")));
    let mut databases = 0;
    for path in files {
        let bytes = std::fs::read(&path).unwrap_or_default();
        databases += usize::from(bytes.starts_with(b"SQLite format 3"));
        assert_eq!(found(&bytes), [""; 0], "{}", path.display());
    }
    assert_eq!(databases, 2, "the log and the views");
}

#[tokio::test]
async fn r27_t68_t69_after_an_erasure_no_backup_and_no_node_that_had_the_keys_tells_who_it_was() {
    let site = Site::production_with(&[("VINCULUM_LOG", "trace")]).await;
    let other = site.another_node();
    let life = Life::of(&site).await;
    let cast = &life.cast;
    assert_eq!(found_in(&life.answers(&site, &other.url("")).await), shown(), "the other node has the keys in memory");
    let before = history(&site, &cast.auditor, &cast.harbour.id).await;
    life.erase(&site).await;
    let answers = life.answers(&site, &other.url("")).await;
    for (path, body) in &answers {
        assert_eq!(found(body.as_bytes()), [""; 0], "the other node, {path}: {body}");
    }
    life.still_tells(&site, &before).await;
    assert_eq!(found(other.log().as_bytes()), [""; 0]);
    let dump = site.database().expect("it has a database").dump();
    assert!(String::from_utf8_lossy(&dump).contains("ProfessionalErased"), "the backup is whole");
    assert_eq!(found(&dump), [""; 0]);
}

/// The erasure looks before the association is committed, and is decided after it.
#[tokio::test]
async fn r27_t68_an_identity_that_is_linked_while_its_person_is_erased_is_erased_too() {
    let site = Site::production().await;
    let cast = Cast::of(&site).await;
    let address = format!("zq-old-7f3a@{}", cast.at);
    let account = &cast.harbour.id;
    let added = invite(&site, &cast.administrator, account, "Zebulon Quartzwick", &address).await.expect(201);
    let visitor = Visitor::new();
    let page = site.open_and_sign_in(&visitor, &site.nth_link(&address, 1).await, LAST).await;
    let page = site.type_code(&visitor, &page, &site.nth_code(&address, 1).await).await;
    assert_eq!(page.url.path(), "/invitation/confirm", "{}", page.body);

    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(site.database().expect("it has a database").url()).await.unwrap();
    sqlx::raw_sql("begin; select log_lock()").execute(&mut database).await.unwrap();
    let confirm = site.press(&visitor, &page, "/invitation/confirm");
    let erase = async {
        tokio::time::sleep(UNDER_WAY_AFTER).await;
        let path = format!("/v1/accounts/{account}/professionals/{}/erase", added.text("professional"));
        site.api(&cast.support).post(&path, json!({})).await
    };
    let unlock = async {
        tokio::time::sleep(2 * UNDER_WAY_AFTER).await;
        sqlx::raw_sql("rollback").execute(&mut database).await.unwrap();
    };
    let (_, erased, ()) = tokio::join!(confirm, erase, unlock);
    erased.expect(200);
    let events = history(&site, &cast.auditor, account).await;
    let linked = events.iter().filter(|event| event["facts"]["professional"] == *added.text("professional"));
    let linked: Vec<_> = linked.filter_map(|event| event["facts"]["to"].as_str()).collect();
    let identity = linked.iter().find(|to| to.len() == 36).expect("the association came first");
    let path = format!("/v1/history?limit=500&tag=identity:{identity}");
    let of_identity = pages(&site, &cast.auditor, &path).await;
    assert_eq!(count(&of_identity, "IdentityErased"), 1);
    assert_eq!(found(serde_json::to_string(&of_identity).unwrap().as_bytes()), [""; 0]);
}
