//! The main job as a production service does it: PostgreSQL with two roles, two real OpenID providers, a real mail
//! server behind STARTTLS and a password, keys and configuration as an operator makes them.

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::openid::CLIENT_SECRET;
use support::{Clock, Mta, OpenIdProvider, Page, Production, Vinculum, Visitor, eventually, free_port, mail};

/// The audience of a portal's bearer tokens.
const PORTAL: &str = "https://portal.test";
/// How long people may wait until an association can be used.
const USABLE_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_main_job_as_a_service() {
    let mut journey = Journey::begin().await;
    let account = journey.opens_an_account().await;
    journey.invites_and_links_with_another_address(&account).await;
    journey.finds_nothing_of_the_development_parts().await;
    journey.outlives_a_key_rotation().await;
    journey.replaces_the_identity_by_one_of_the_other_issuer(&account).await;
    journey.asks_for_no_code_where_the_issuer_is_trusted(&account).await;
    journey.tells_operators_what_the_mail_server_said(&account).await;
    journey.works_on_while_a_provider_is_down(&account).await;
    journey.kept_its_secrets();
}

#[tokio::test]
async fn the_services_role_appends_and_nothing_else() {
    let mut production = Production::prepare(&configuration(free_port(), "http://127.0.0.1:1", "http://127.0.0.1:2"));
    production.set("VINCULUM_SMTP_URL", "smtp+plain://127.0.0.1:1");
    let unready = run(&production, &["serve"], &[]);
    assert!(unready.contains("migrate"), "a database without a schema is told: {unready}");
    production.migrate();
    production.migrate(); // a second time changes nothing
    for statement in [
        "insert into event (position, envelope) values (1, '{}')",
        "update event set envelope = ''",
        "delete from event",
        "truncate event",
        "delete from event_tag",
        "delete from log_end",
        "drop table event",
        "alter table event disable trigger all",
        "create table public.mine (a text)",
    ] {
        let output = Command::new("psql").args(["-X", "-d", &production.url_of("service"), "-c", statement]).output();
        let output = output.expect("psql is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        let is_refused = said.contains("permission denied") || said.contains("must be owner");
        assert!(!output.status.success() && is_refused, "{statement}: {said}");
    }
    let output = Command::new("psql").args(["-X", "-d", &production.url_of("owner"), "-c", "truncate event"]).output();
    let said = String::from_utf8_lossy(&output.expect("psql is installed").stderr).into_owned();
    assert!(said.contains("append-only"), "not even the owner: {said}");
}

#[test]
fn a_production_start_refuses_what_is_only_for_development() {
    let production = Production::prepare(&configuration(free_port(), "http://127.0.0.1:1", "http://127.0.0.1:2"));
    let relay = ("VINCULUM_SMTP_URL", "smtp://vinculum:of-a-relay@mail.example.com");
    assert_eq!(run(&production, &["check-config"], &[relay]), "");
    let typed = "dHlwZWR0eXBlZHR5cGVkdHlwZWR0eXBlZHR5cGVkdHk=";
    let cases = [
        ("DATABASE_URL", "sqlite://vinculum.db", "database_url"),
        ("DATABASE_URL", "", "needs DATABASE_URL too"),
        ("VINCULUM_DATA", "data", "data: belongs to the embedded default"),
        ("VINCULUM_BASE_URL", "http://id.example.com", "plain http is for loopback only"),
        ("VINCULUM_SMTP_URL", "smtp+plain://mail.example.com", "loopback only"),
        ("VINCULUM_SMTP_URL", "", "smtp_url: is missing"),
        ("VINCULUM_LOOK_UP_KEY", typed, "not random"),
        ("VINCULUM_LOOK_UP_KEY", "c2hvcnQtYnV0LXNlY3JldA==", "expected 32 bytes"),
        ("VINCULUM_SEALING_KEYS", "", "sealing_keys: is missing"),
    ];
    for (name, value, expected) in cases {
        for command in ["check-config", "serve"] {
            let said = run(&production, &[command], &[relay, (name, value)]);
            assert!(said.contains(expected), "{command} with {name}={value}: {said}");
            assert!(!said.contains("of-a-relay") && (value.len() < 24 || !said.contains(value)), "{said}");
        }
    }
}

/// Runs a command of the binary that may fail; gives what it writes to its standard error if it does.
fn run(production: &Production, arguments: &[&str], more: &[(&str, &str)]) -> String {
    let last: BTreeMap<String, String> = more.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let output = production.run_with(arguments, &last.into_iter().collect::<Vec<_>>());
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
}

fn configuration(port: u16, personal: &str, work: &str) -> String {
    format!(
        r#"
        listen = "127.0.0.1:{port}"
        base_url = "http://127.0.0.1:{port}"
        mail_from = "Harbour Portal <no-reply@mail.test>"

        [portals.customer]
        name = "CustomerSource"
        url = "https://customers.portal.test"

        [[issuers]]
        key = "personal"
        display_name = "Home Sign-in"
        kind = "personal"
        issuer = "{personal}"
        client_id = "vinculum"
        bearer_audiences = ["{PORTAL}"]

        [[issuers]]
        key = "work"
        display_name = "Work Sign-in"
        kind = "organizational"
        issuer = "{work}"
        client_id = "vinculum"
        subject_claims = ["tid", "oid"]
        bearer_audiences = ["{PORTAL}"]
        trusted_for = ["mail.test"]
        "#
    )
}

/// The running service with everything around it. The service is dropped before what it needs.
struct Journey {
    service: Vinculum,
    personal: Option<OpenIdProvider>,
    work: OpenIdProvider,
    mta: Mta,
    clock: Clock,
    /// Opens accounts, adds people.
    back_office: String,
    /// Sends invitations with the right to replace an identity.
    support: String,
    /// Reads every history and every delivery.
    auditor: String,
    /// The person whose first link is followed, in one browser all along.
    person: Visitor,
    /// Everything that must not stand in a log.
    secrets: Vec<String>,
    _production: Production,
}

impl Journey {
    async fn begin() -> Self {
        let port = free_port();
        let callback = |issuer: &str| format!("http://127.0.0.1:{port}/sign-in/{issuer}/callback");
        let personal = OpenIdProvider::start("personal", &[&callback("personal")]);
        let work = OpenIdProvider::start("work", &[&callback("work")]);
        let (mta, clock) = (Mta::start(), Clock::start());
        let mut production = Production::prepare(&configuration(port, personal.issuer(), work.issuer()));
        let (user, password) = (mail::USER, mail::PASSWORD);
        production.set("VINCULUM_SMTP_URL", &format!("smtp://{user}:{password}@localhost:{}", mta.port()));
        production.set("VINCULUM_LISTEN", &format!("127.0.0.1:{port}"));
        production.set("SSL_CERT_FILE", &mta.ca_file().display().to_string());
        production.set("VINCULUM_CLIENT_SECRET_PERSONAL", CLIENT_SECRET);
        production.set("VINCULUM_CLIENT_SECRET_WORK", CLIENT_SECRET);
        production.migrate();
        let checked = production.succeed(&["check-config"]);
        assert!(checked.contains("personal, work"), "{checked}");
        let back_office = production.key("back office", &["back_office"]);
        let support = production.key("support", &["support"]);
        let auditor = production.key("audit", &["auditor", "operator"]);
        let service = production.serve_in(production.home(), &clock.environment());
        let secrets =
            vec![back_office.clone(), support.clone(), auditor.clone(), password.into(), CLIENT_SECRET.into()];
        Self {
            service,
            personal: Some(personal),
            work,
            mta,
            clock,
            back_office,
            support,
            auditor,
            person: Visitor::new(),
            secrets,
            _production: production,
        }
    }

    async fn opens_an_account(&self) -> String {
        let body = json!({ "customer_number": "C-2002", "kind": "customer", "name": "Quay Foods" });
        let opened = self.post(&self.back_office, "/v1/accounts", &body).await;
        let account = opened["account"].as_str().expect("an account has an id").to_owned();
        let again = self.post(&self.back_office, "/v1/accounts", &body).await;
        assert_eq!((&again["account"], &again["replayed"]), (&opened["account"], &json!(true)), "the same request");
        let person = json!({ "name": "Robin Rivers", "address": "first@mail.test", "send_invitation": true });
        let people = format!("/v1/accounts/{account}/professionals");
        let refused = self.ask(&self.back_office, reqwest::Method::POST, &people, Some((&person, "no plan yet"))).await;
        assert_eq!((refused.0, &refused.1["code"]), (409, &json!("no_service_plan")), "{}", refused.1);
        let plan = json!({ "service_plan": {
            "name": "Enhancement Plan", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z" } });
        let place = format!("/v1/accounts/{account}/service-plan");
        let set = self.ask(&self.back_office, reqwest::Method::PUT, &place, Some((&plan, "plan"))).await;
        assert_eq!(set.0, 200, "{}", set.1);
        let alex = json!({ "name": "Alex Quay", "address": "fifth@mail.test" });
        let added = self.post(&self.back_office, &people, &alex).await;
        let roles = json!(["administrator", "billing_contact", "customer_care_contact", "shipping_contact"]);
        assert_eq!(
            (&added["roles"], &added["invitation"]),
            (&roles, &Value::Null),
            "the first person holds every role"
        );
        account
    }

    /// The mail goes to one address; the person signs in with another.
    async fn invites_and_links_with_another_address(&mut self, account: &str) {
        self.adds(account, "Robin Rivers", "first@mail.test").await;
        let invitation = self.mta.nth_mail("first@mail.test", 1).await;
        is_whole(&invitation);
        let link = self.link_in(&invitation);

        let bearer = self.personal().access_token("second", PORTAL).await;
        let before = self.me(&bearer).await;
        assert_eq!(before["profiles"], json!([]), "nothing is linked by an invitation alone");

        let page = self.person.open(&link).await;
        assert_eq!((page.status, page.url.path()), (200, "/invitation"), "{}", page.body);
        assert_shows(&page, &["Quay Foods", "Robin Rivers", "Support", "f…t@mail.test", "Continue with Home Sign-in"]);
        assert!(!page.body.contains("first@mail.test"), "the registered address is masked");
        let page = self.signs_in(&self.person, &page, "personal", "second").await;
        assert_eq!(page.url.path(), "/invitation/code");
        let page = self.types_code(&self.person, &page, "first@mail.test", 2).await;
        assert_eq!(page.url.path(), "/invitation/confirm", "{}", page.body);
        assert_shows(&page, &["Second Person", "second@mail.test", "first@mail.test", "Quay Foods", "C-2002"]);
        assert!(!page.body.contains("replaces another sign-in"));
        let confirmed = self.person.submit(&page, &[]).await;
        let since = Instant::now();
        let me = self.me(&bearer).await;
        assert!(since.elapsed() < USABLE_WITHIN, "usable after {:?}", since.elapsed());
        assert_eq!(me["profiles"][0]["account_name"], "Quay Foods", "{me}");
        assert_eq!(me["profiles"][0]["may_enter"], true);
        assert_eq!(me["profiles"][0]["portal_url"], "https://customers.portal.test");
        let page = self.person.follow(confirmed).await;
        assert_shows(&page, &["You are linked", "Go to CustomerSource"]);
        self.secrets.extend([link, bearer]);

        let history = self.history(account).await;
        for words in [
            "The customer account Quay Foods was opened for customer number C-2002.",
            "Alex Quay became administrator.",
            "The mail server took the mail with the link to Robin Rivers over (attempt 1).",
            "Robin Rivers is now linked to the personal identity of Second Person at personal, proved by a code from the \
             registered mailbox.",
        ] {
            assert!(history.iter().any(|told| told == words), "{words}: {history:#?}");
        }
    }

    async fn finds_nothing_of_the_development_parts(&self) {
        for path in ["/", "/dev/mailbox", "/dev/history", "/dev/op/personal/.well-known/openid-configuration"] {
            assert_eq!(Visitor::new().get(self.service.url(path)).await.status, 404, "{path}");
        }
    }

    /// New keys sign at once; the service has read the old ones just now and looks again a minute later.
    async fn outlives_a_key_rotation(&mut self) {
        let old = self.personal().access_token("second", PORTAL).await;
        self.personal().rotate_keys().await;
        let new = self.personal().access_token("second", PORTAL).await;
        assert_eq!(self.me(&old).await["profiles"][0]["account_name"], "Quay Foods", "known keys go on verifying");
        self.clock.move_ahead(61);
        assert_eq!(self.me(&new).await["profiles"][0]["account_name"], "Quay Foods", "new keys are found");
        assert_eq!(self.me(&old).await["profiles"][0]["account_name"], "Quay Foods");
        let page = self.person.open(self.service.url("/profile")).await;
        let page = self.person.submit(&page, &[]).await; // signs out
        let page = self.person.follow(page).await;
        let page = self.signs_in(&self.person, &page, "personal", "second").await;
        assert_shows(&page, &["My profile", "Quay Foods", "Go to CustomerSource"]);
        self.secrets.extend([old, new]);
    }

    async fn replaces_the_identity_by_one_of_the_other_issuer(&mut self, account: &str) {
        let old = self.personal().access_token("second", PORTAL).await;
        let professional =
            self.me(&old).await["profiles"][0]["professional"].as_str().expect("it has an id").to_owned();
        let place = format!("/v1/accounts/{account}/professionals/{professional}/invitations");
        self.post(&self.support, &place, &json!({})).await;
        let link = self.link_in(&self.mta.nth_mail("first@mail.test", 3).await);

        // In the browser in which the old identity is signed in: the page offers the other one.
        let page = self.person.open(&link).await;
        assert_shows(&page, &["You are signed in as", "Second Person", "Or use another account"]);
        let page = self.signs_in(&self.person, &page, "work", "fourth").await;
        // fourth@mail.test is trusted, but is not the registered address.
        assert_eq!(page.url.path(), "/invitation/code", "{}", page.body);
        let page = self.types_code(&self.person, &page, "first@mail.test", 4).await;
        assert_shows(&page, &["This replaces another sign-in", "Fourth Person", "fourth@mail.test"]);
        assert_eq!(self.me(&old).await["profiles"][0]["account_name"], "Quay Foods", "the old one works until then");
        let page = self.person.submit(&page, &[]).await;
        assert_eq!(self.me(&old).await["profiles"], json!([]), "and no longer");
        let page = self.person.follow(page).await;
        assert_shows(&page, &["You are linked", "Fourth Person"]);
        let new = self.work.access_token("fourth", PORTAL).await;
        assert_eq!(self.me(&new).await["profiles"][0]["account_name"], "Quay Foods");
        let told = self.history(account).await.join("\n");
        assert!(told.contains("in place of the personal identity of Second Person"), "{told}");
        // The registered address and those of both identities are told, without a link.
        for (address, number) in [("second@mail.test", 1), ("fourth@mail.test", 1)] {
            let notice = self.mta.nth_mail(address, number).await;
            assert!(notice.contains("was replaced by") && !notice.contains("/i/"), "{notice}");
        }
        let again = Visitor::new();
        let page = again.open(&link).await;
        assert_shows(&page, &["This link has already been used"]);
        self.secrets.extend([link, old, new]);
    }

    async fn asks_for_no_code_where_the_issuer_is_trusted(&mut self, account: &str) {
        self.adds(account, "Noor Vale", "third@mail.test").await;
        let link = self.link_in(&self.mta.nth_mail("third@mail.test", 1).await);
        let noor = Visitor::new();
        let page = noor.open(&link).await;
        let page = self.signs_in(&noor, &page, "work", "third").await;
        assert_eq!(page.url.path(), "/invitation/confirm", "the addresses are equal and the issuer is trusted");
        let page = noor.follow(noor.submit(&page, &[]).await).await;
        assert_shows(&page, &["You are linked", "Third Person"]);
        let told = self.history(account).await.pop().expect("something has happened");
        assert!(told.ends_with("proved by a trusted address."), "{told}");
        assert_eq!(self.mta.mailbox("third@mail.test").len(), 1, "no code was sent");
        assert_eq!(self.mta.mailbox("fifth@mail.test"), Vec::<String>::new(), "nobody asked for an invitation to Alex");
        self.secrets.push(link);
    }

    async fn tells_operators_what_the_mail_server_said(&self, account: &str) {
        let cases = [
            (mail::REFUSED_FOR_NOW, "deferred", 450, "come back later"),
            (mail::REFUSED_FOR_GOOD, "refused", 550, "refused for good"),
        ];
        let mut invitations = Vec::new();
        for (address, state, code, words) in cases {
            let added = self.adds(account, "Sam Okafor", address).await;
            let place = format!("/v1/invitations/{}", added["invitation"].as_str().expect("it was sent"));
            let delivery = self.delivery(&place, state).await;
            assert_eq!(delivery["code"], code, "{delivery}");
            assert!(delivery["reply"].as_str().is_some_and(|reply| reply.contains(words)), "{delivery}");
            assert_eq!(delivery["retry_at"].is_string(), state == "deferred", "{delivery}");
            let list = self.get(&self.auditor, &format!("/v1/invitations?delivery={state}")).await;
            assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
            invitations.push(place);
        }
        self.clock.move_ahead(61 + 40); // the first deferral is for 36 seconds at most
        let what = "a second attempt";
        eventually(what, async || {
            let attempts = &self.get(&self.auditor, &invitations[0]).await["delivery"]["attempts"];
            attempts.as_u64().filter(|attempts| *attempts >= 2)
        })
        .await;
        assert_eq!(self.get(&self.auditor, &invitations[1]).await["delivery"]["attempts"], 1, "for good is for good");
    }

    /// Waits until a mail is in a state; gives the delivery.
    async fn delivery(&self, place: &str, state: &str) -> Value {
        eventually(state, async || {
            let delivery = self.get(&self.auditor, place).await["delivery"].take();
            (delivery["state"] == state).then_some(delivery)
        })
        .await
    }

    async fn works_on_while_a_provider_is_down(&mut self, account: &str) {
        let bearer = self.personal().access_token("first", PORTAL).await;
        assert_eq!(self.me(&bearer).await["profiles"], json!([]));
        let visitor = Visitor::new();
        let page = visitor.open(self.service.url("/sign-in")).await;
        let callback = self.chooses(&visitor, &page, "personal", "first").await;
        drop(self.personal.take());

        let page = visitor.open(&callback).await;
        assert_eq!((page.status, page.media_type()), (503, "text/html"), "{}", page.body);
        assert_shows(&page, &["The sign-in did not succeed", "Nothing was changed.", "Try again"]);
        let request = page.headers["x-request-id"].to_str().expect("an id is text");
        assert!(page.body.contains(request), "support can find the request");
        assert_eq!(visitor.open(self.service.url("/profile")).await.url.path(), "/sign-in", "nobody is signed in");
        assert_eq!(self.me(&bearer).await["profiles"], json!([]), "a key that is known goes on verifying");
        let work = self.work.access_token("fourth", PORTAL).await;
        assert_eq!(self.me(&work).await["profiles"][0]["account"], *account, "the other issuer works");
        self.secrets.extend([bearer, work]);
    }

    /// Nothing that opens anything, and no address, stands in the service's log.
    fn kept_its_secrets(self) {
        let log = self.service.log();
        assert!(log.contains("mail sent"), "the log tells what happened: {log}");
        for secret in &self.secrets {
            let secret = secret.rsplit('/').next().unwrap_or(secret);
            assert!(!log.contains(secret), "{secret} stands in the log");
        }
        assert!(!log.contains("@mail.test"), "an address stands in the log: {log}");
        assert!(self.service.stop().success());
    }

    // --- what people and programs do ---

    fn personal(&self) -> &OpenIdProvider {
        self.personal.as_ref().expect("it runs until the end of the journey")
    }

    async fn adds(&self, account: &str, name: &str, address: &str) -> Value {
        let body = json!({ "name": name, "address": address, "send_invitation": true });
        self.post(&self.back_office, &format!("/v1/accounts/{account}/professionals"), &body).await
    }

    async fn me(&self, bearer: &str) -> Value {
        self.get(bearer, "/v1/me").await
    }

    async fn history(&self, account: &str) -> Vec<String> {
        let page = self.get(&self.auditor, &format!("/v1/accounts/{account}/history?limit=500")).await;
        let entries = page["items"].as_array().expect("a history has items");
        entries.iter().map(|entry| entry["words"].as_str().expect("words are text").to_owned()).collect()
    }

    /// Posts, with a key that follows from what is asked, and expects that something was made.
    async fn post(&self, key: &str, path: &str, body: &Value) -> Value {
        let (status, answer) =
            self.ask(key, reqwest::Method::POST, path, Some((body, &format!("{path} {body}")))).await;
        assert_eq!(status, 201, "{path}: {answer}");
        answer
    }

    async fn get(&self, key: &str, path: &str) -> Value {
        let (status, answer) = self.ask(key, reqwest::Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn ask(&self, key: &str, method: reqwest::Method, path: &str, body: Option<(&Value, &str)>) -> (u16, Value) {
        let mut request = support::http().request(method, self.service.url(path)).bearer_auth(key);
        if let Some((body, idempotency_key)) = body {
            request = request.json(body).header("idempotency-key", idempotency_key);
        }
        let answer = request.send().await.expect("the service answers");
        (answer.status().as_u16(), answer.json().await.expect("it answers JSON"))
    }

    fn link_in(&self, mail: &str) -> String {
        mail::link_in(mail, &self.service.url("/i/")).unwrap_or_else(|| panic!("no link in {mail}"))
    }

    /// Presses an issuer's button and chooses an account there; gives the callback's address.
    async fn chooses(&self, visitor: &Visitor, page: &Page, issuer: &str, login: &str) -> url::Url {
        let (_, hidden) = page.form();
        let csrf = hidden.iter().find(|(name, _)| name == "csrf").map(|(_, value)| value.clone());
        let action = if page.url.path() == "/sign-in" { "/sign-in" } else { "/invitation/sign-in" };
        let csrf = csrf.expect("every form has a token");
        let begun = visitor.post(self.service.url(action), &[("csrf", &csrf), ("issuer", issuer)]).await;
        let authorize = begun.location.unwrap_or_else(|| panic!("{}: {}", begun.status, begun.body));
        let provider = if issuer == "work" { &self.work } else { self.personal() };
        assert!(authorize.as_str().starts_with(provider.issuer()) && authorize.as_str().contains("select_account"));
        provider.sign_in(visitor, &authorize, login).await
    }

    async fn signs_in(&self, visitor: &Visitor, page: &Page, issuer: &str, login: &str) -> Page {
        visitor.open(self.chooses(visitor, page, issuer, login).await).await
    }

    /// Types in the code that the `n`th mail to the address brings.
    async fn types_code(&self, visitor: &Visitor, page: &Page, address: &str, n: usize) -> Page {
        let mail = self.mta.nth_mail(address, n).await;
        let text = mail::plain_text(&mail);
        let line = text.lines().map(str::trim).find(|line| {
            line.chars().filter(char::is_ascii_digit).count() == 8 && line.chars().all(|c| !c.is_alphabetic())
        });
        let code = line.unwrap_or_else(|| panic!("no code in {text}"));
        visitor.follow(visitor.submit(page, &[("code", code)]).await).await
    }
}

/// The mail came over TLS, signed in, under our own id, and says the same as text and as HTML.
fn is_whole(mail: &str) {
    let received = mail::header(mail, "received").expect("the mail server says how it came");
    assert!(received.contains("with ESMTPSA"), "over TLS and signed in: {received}");
    let id = mail::header(mail, "message-id").expect("the mail has an id");
    let (name, domain) = id.trim_matches(['<', '>']).split_once('@').expect("an id has a domain");
    assert_eq!((name.len(), domain), (36, "mail.test"), "{id}");
    assert_eq!(mail::header(mail, "from").as_deref(), Some("\"Harbour Portal\" <no-reply@mail.test>"));
    assert!(mail::header(mail, "content-type").is_some_and(|kind| kind.starts_with("multipart/alternative")));
    assert!(mail.contains("Content-Type: text/plain") && mail.contains("Content-Type: text/html"), "{mail}");
    let text = mail::plain_text(mail);
    assert!(text.contains("Hello Robin Rivers,") && text.contains("“Quay Foods” on CustomerSource"), "{text}");
}

fn assert_shows(page: &Page, words: &[&str]) {
    for word in words {
        assert!(page.body.contains(word), "{} does not show \"{word}\": {}", page.url, page.body);
    }
}
