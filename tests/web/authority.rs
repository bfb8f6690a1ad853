//! Who may ask for what: credentials, and a table of every route and every kind of caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::cast::{Cast, Joined, Partner, add, invite, join, open_account, plan};
use super::client::{Answer, Client, operations};
use super::site::{ALEX, JO, Site, somebody};

/// In the order of the table's columns: nobody, the four scopes, the administrator of the account, an ordinary
/// professional of it, an administrator of the partner that serves it, the administrator of another account.
const CALLERS: [&str; 9] =
    ["nobody", "back_office", "support", "operator", "auditor", "administrator", "member", "partner", "stranger"];
/// Who is let in as a stranger is: an ordinary professional of the serving partner, the administrator of a partner that
/// does not serve the account, who was deleted from it, and the administrator of a closed account.
const STRANGERS: [&str; 4] = ["partner_member", "foreign_partner", "departed", "of_closed"];

type Row = (&'static str, &'static str, [&'static str; 9]);

/// What an operation answers to each caller: a status, or the code of a refusal. The account is the administrator's; the
/// professional is the ordinary member where somebody may do it to oneself, else somebody new, as is everything else.
const TABLE: [Row; 41] = [
    ("GET", "/v1/me", [NO, PERSON, PERSON, PERSON, PERSON, "200", "200", "200", "200"]),
    ("POST", "/v1/me/associations", [NO, PERSON, PERSON, PERSON, PERSON, "202", "202", "202", "202"]),
    ("POST", "/v1/accounts", [NO, "201", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/accounts/{account}", [NO, "200", "200", "200", "200", "200", "200", "200", ACCOUNT]),
    ("PATCH", "/v1/accounts/{account}", BACK_OFFICE_AND_SUPPORT),
    ("POST", "/v1/accounts/{account}/close", SUPPORT),
    ("PUT", "/v1/accounts/{account}/service-plan", [NO, "200", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("PUT", "/v1/accounts/{account}/partners/{partner}", BACK_OFFICE_AND_SUPPORT),
    ("DELETE", "/v1/accounts/{account}/partners/{partner}", BACK_OFFICE_AND_SUPPORT),
    ("GET", "/v1/accounts/{account}/professionals", READERS),
    ("POST", "/v1/accounts/{account}/professionals", [NO, "201", "201", SCOPE, SCOPE, "201", ADMIN, "201", ACCOUNT]),
    (
        "GET",
        "/v1/accounts/{account}/professionals/{professional}",
        [NO, "200", "200", "200", "200", "200", "200", "200", "unknown_professional"],
    ),
    (
        "PATCH",
        "/v1/accounts/{account}/professionals/{professional}",
        [NO, "200", "200", SCOPE, SCOPE, "200", "200", "200", ACCOUNT],
    ),
    ("DELETE", "/v1/accounts/{account}/professionals/{professional}", MANAGERS),
    ("POST", "/v1/accounts/{account}/professionals/{professional}/hand-over", MANAGERS),
    ("DELETE", "/v1/accounts/{account}/professionals/{professional}/association", MANAGERS),
    ("POST", "/v1/accounts/{account}/professionals/{professional}/erase", SUPPORT),
    (
        "POST",
        "/v1/accounts/{account}/professionals/{professional}/invitations",
        [NO, "201", "201", "201", SCOPE, "201", "201", "201", ACCOUNT],
    ),
    ("PUT", "/v1/accounts/{account}/roles/{role}/{professional}", MANAGERS),
    ("DELETE", "/v1/accounts/{account}/roles/{role}/{professional}", MANAGERS),
    ("GET", "/v1/access-requests", [NO, "200", "200", SCOPE, SCOPE, "200", "200", "200", "200"]),
    ("POST", "/v1/access-requests", [NO, PERSON, PERSON, PERSON, PERSON, "202", "202", "202", "202"]),
    ("POST", "/v1/access-requests/{access_request}/approve", ANSWERERS),
    ("POST", "/v1/access-requests/{access_request}/decline", ANSWERERS),
    ("GET", "/v1/accounts/{account}/administrator-appointments", READERS),
    (
        "POST",
        "/v1/accounts/{account}/administrator-appointments",
        [NO, SCOPE, "201", SCOPE, SCOPE, "give_the_role", ADMIN, "201", ACCOUNT],
    ),
    (
        "POST",
        "/v1/accounts/{account}/administrator-appointments/{appointment}/object",
        [NO, SCOPE, SCOPE, SCOPE, SCOPE, "200", ADMIN, ADMIN, ACCOUNT],
    ),
    ("POST", "/v1/accounts/{account}/administrator-appointments/{appointment}/decide", SUPPORT),
    ("GET", "/v1/invitations", OPERATORS),
    ("GET", "/v1/invitations/{invitation}", [NO, "200", "200", "200", "200", "200", INVITATION, "200", INVITATION]),
    (
        "POST",
        "/v1/invitations/{invitation}/revoke",
        [NO, "200", "200", "200", SCOPE, "200", INVITATION, "200", INVITATION],
    ),
    (
        "GET",
        "/v1/invitations/{invitation}/attempts",
        [NO, "200", "200", "200", "200", "200", INVITATION, "200", INVITATION],
    ),
    ("POST", "/v1/invitations/{invitation}/retry", OPERATORS),
    ("POST", "/v1/invitations/retry", OPERATORS),
    ("POST", "/v1/identities/{identity}/erase", SUPPORT),
    ("POST", "/v1/imports", [NO, "202", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/imports/{import}", [NO, "200", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("POST", "/v1/mail-bounces", [NO, MAIL, MAIL, MAIL, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/accounts/{account}/history", [NO, SCOPE, "200", SCOPE, "200", "200", ADMIN, ADMIN, ACCOUNT]),
    ("GET", "/v1/history", [NO, SCOPE, "200", SCOPE, "200", SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/history/export", [NO, SCOPE, "200", SCOPE, "200", SCOPE, SCOPE, SCOPE, SCOPE]),
];
const SUPPORT: [&str; 9] = [NO, SCOPE, "200", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE];
const BACK_OFFICE_AND_SUPPORT: [&str; 9] = [NO, "200", "200", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE];
const OPERATORS: [&str; 9] = [NO, SCOPE, "200", "200", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE];
const READERS: [&str; 9] = [NO, "200", "200", "200", "200", "200", ADMIN, "200", ACCOUNT];
const MANAGERS: [&str; 9] = [NO, "200", "200", SCOPE, SCOPE, "200", ADMIN, "200", ACCOUNT];
const ANSWERERS: [&str; 9] = [NO, "200", "200", SCOPE, SCOPE, "200", WISH, "200", WISH];
const NO: &str = "unauthenticated";
const PERSON: &str = "person_needed";
const SCOPE: &str = "scope_missing";
const ADMIN: &str = "not_administrator";
const ACCOUNT: &str = "unknown_account";
const INVITATION: &str = "unknown_invitation";
const WISH: &str = "unknown_access_request";
const MAIL: &str = "unknown_mail";

/// Everybody of the table, and what its paths and bodies name.
struct Stage {
    cast: Cast,
    /// Serves the account.
    quay: Partner,
    /// Serves nobody.
    idle: Partner,
    departed: Joined,
    of_closed: Joined,
    /// Wants to be added, again and again.
    asker: String,
    /// Whom the issuer's role claim makes support; nobody in the embedded default.
    staff: Option<String>,
    import: String,
    count: AtomicU32,
}

impl Stage {
    async fn of(site: &Site) -> Self {
        let cast = Cast::of(site).await;
        let (quay, idle) = (Partner::of(site, &cast, "quay").await, Partner::of(site, &cast, "idle").await);
        quay.serve(site, &cast, &cast.harbour.id).await;
        let at = |who: &str| format!("{who}@{}", cast.at);
        let someone = |who: &str| somebody("personal", &format!("Dee {who}"), &at(&format!("sign-in-{who}")));
        let departed = join(site, &cast.support, &cast.harbour.id, someone("departed"), &at("departed")).await;
        let of_departed = format!("/v1/accounts/{}/professionals/{}", cast.harbour.id, departed.professional);
        site.api(&cast.support).call(Method::DELETE, &of_departed, None).await.expect(200);
        let closed = open_account(site, &cast.back_office, &format!("{}-C", cast.number), "Closed Works").await;
        let of_closed = join(site, &cast.support, &closed, someone("closed"), &at("closed")).await;
        site.api(&cast.support).post(&format!("/v1/accounts/{closed}/close"), json!({})).await.expect(200);
        let asker = site.bearer(someone("asker")).await;
        let staff = site.staff_bearer(somebody("work", "Sam Staff", &at("sign-in-staff")), "helpdesk").await;
        let import = site.api(&cast.back_office).post("/v1/imports", nothing_to_import()).await.expect(202).text("id");
        Self { cast, quay, idle, departed, of_closed, asker, staff, import, count: AtomicU32::new(0) }
    }

    fn credential(&self, caller: &str) -> Option<&str> {
        let cast = &self.cast;
        Some(match caller {
            "nobody" => return None,
            "back_office" => &cast.back_office,
            "support" => &cast.support,
            "operator" => &cast.operator,
            "auditor" => &cast.auditor,
            "administrator" => &cast.administrator,
            "member" => &cast.member,
            "partner" => &self.quay.administrator.bearer,
            "partner_member" => &self.quay.member.bearer,
            "foreign_partner" => &self.idle.administrator.bearer,
            "departed" => &self.departed.bearer,
            "of_closed" => &self.of_closed.bearer,
            "stranger" => &cast.stranger,
            "staff" => self.staff.as_ref()?,
            _ => panic!("{caller} is nobody"),
        })
    }

    fn number(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    async fn somebody_new(&self, site: &Site) -> String {
        let address = format!("new{}@{}", self.number(), self.cast.at);
        add(site, &self.cast.support, &self.cast.harbour.id, "Kim Reed", &address).await
    }

    async fn invitation(&self, site: &Site) -> String {
        let address = format!("new{}@{}", self.number(), self.cast.at);
        invite(site, &self.cast.support, &self.cast.harbour.id, "Kim Reed", &address)
            .await
            .expect(201)
            .text("invitation")
    }

    /// The one that is open, or a new one.
    async fn access_request(&self, site: &Site) -> String {
        let path = format!("/v1/access-requests?account={}", self.cast.harbour.id);
        let list = async || site.api(&self.cast.support).get(&path).await.expect(200).json()["items"].clone();
        let is_askers = |wish: &&Value| wish["name"] == "Wendy Wish";
        let found = |items: &Value| items.as_array()?.iter().find(is_askers)?["id"].as_str().map(str::to_owned);
        if let Some(open) = found(&list().await) {
            return open;
        }
        let address = format!("wish{}@{}", self.number(), self.cast.at);
        let number = format!("{}-H", self.cast.number);
        let wish = json!({ "customer_number": number, "name": "Wendy Wish", "address": address });
        site.api(&self.asker).post("/v1/access-requests", wish).await.expect(202);
        found(&list().await).expect("the wish is listed")
    }

    /// A new one that waits for objections.
    async fn appointment(&self, site: &Site) -> String {
        let path = format!("/v1/accounts/{}/administrator-appointments", self.cast.harbour.id);
        let body = grounds(&self.somebody_new(site).await);
        let proposed = site.api(&self.quay.administrator.bearer).post(&path, body).await.expect(201);
        assert_eq!(proposed.text("status"), "waiting", "an administrator has signed in");
        proposed.text("appointment")
    }

    /// One that has signed in and has no profile.
    async fn identity(&self, site: &Site) -> String {
        let n = self.number();
        let visitor = somebody("personal", &format!("Dee Visitor {n}"), &format!("visitor{n}@{}", self.cast.at));
        let bearer = site.bearer(visitor).await;
        // Who asks for something is registered; most access tokens alone tell nothing to register.
        let wish = json!({ "customer_number": "C-0000", "name": "Dee Visitor", "address": "dee@visitor.example" });
        site.api(&bearer).post("/v1/access-requests", wish).await.expect(202);
        site.api(&bearer).get("/v1/me").await.expect(200).text("identity")
    }

    /// The path of an operation, with everything that it names.
    async fn path(&self, site: &Site, method: &str, template: &str) -> String {
        let mut path = format!("{template}{}", query_of(template)).replace("{account}", &self.cast.harbour.id);
        if path.contains("{professional}") {
            let is_for_oneself = matches!(method, "GET" | "PATCH") || template.ends_with("/invitations");
            let who = if is_for_oneself { self.cast.harbour.member.clone() } else { self.somebody_new(site).await };
            path = path.replace("{professional}", &who);
        }
        path = path.replace("{role}", if method == "PUT" { "billing_contact" } else { "administrator" });
        path = path.replace("{partner}", if method == "PUT" { &self.quay.id } else { &self.idle.id });
        if path.contains("{invitation}") {
            path = path.replace("{invitation}", &self.invitation(site).await);
        }
        if path.contains("{access_request}") {
            path = path.replace("{access_request}", &self.access_request(site).await);
        }
        if path.contains("{appointment}") {
            path = path.replace("{appointment}", &self.appointment(site).await);
        }
        if path.contains("{identity}") {
            path = path.replace("{identity}", &self.identity(site).await);
        }
        path.replace("{import}", &self.import)
    }

    /// A body that succeeds.
    async fn body(&self, site: &Site, method: &str, template: &str) -> Option<Value> {
        let (cast, n) = (&self.cast, self.number());
        let address = format!("other{n}@{}", cast.at);
        Some(match (method, template.rsplit('/').next().unwrap_or_default()) {
            ("GET" | "DELETE", _) => return None,
            ("POST", "accounts") => {
                json!({ "customer_number": format!("{}-{n}", cast.number), "kind": "customer", "name": "New" })
            }
            ("POST", "professionals") => json!({ "name": "Kim Reed", "address": address }),
            ("POST", "hand-over") => json!({ "to": self.somebody_new(site).await }),
            ("POST", "administrator-appointments") => grounds(&self.somebody_new(site).await),
            ("POST", "imports") => nothing_to_import(),
            ("POST", "associations") => json!({ "email": address }),
            ("POST", "access-requests") => {
                json!({ "customer_number": format!("{}-X", cast.number), "name": "Kim", "address": address })
            }
            ("POST", "decide") => json!({ "decision": "reject" }),
            ("POST", "mail-bounces") => {
                json!({ "message_id": store::random::uuid().to_string(), "recipient": address })
            }
            ("POST", "retry") if !template.contains('{') => json!({ "invitations": [self.invitation(site).await] }),
            ("PATCH", _) => json!({ "name": format!("Renamed {n}") }),
            ("PUT", "service-plan") => plan(),
            _ => json!({}),
        })
    }

    async fn ask(&self, site: &Site, caller: &str, method: &Method, template: &str) -> Answer {
        let api = self.credential(caller).map_or_else(|| site.nobody(), |credential| site.api(credential));
        self.ask_by(site, &api, method, template).await
    }

    async fn ask_by(&self, site: &Site, api: &Client<'_>, method: &Method, template: &str) -> Answer {
        let path = self.path(site, method.as_str(), template).await;
        let body = self.body(site, method.as_str(), template).await;
        api.call(method.clone(), &path, body).await
    }
}

/// Two files with a header each.
pub fn nothing_to_import() -> Value {
    json!({
        "accounts": "customer_number,kind,name,plan_name,plan_starts_at,plan_ends_at,partners\n",
        "professionals": "customer_number,name,address,language,roles,send_invitation\n",
    })
}

fn grounds(professional: &str) -> Value {
    json!({ "professional": professional, "reason": "The administrator has left.", "evidence": "Letter 1234." })
}

/// What the table says of a caller.
fn expected(row: &Row, caller: &str) -> &'static str {
    let of = |name: &str| row.2[CALLERS.iter().position(|column| *column == name).expect("a column")];
    match caller {
        "staff" if of("support") == PERSON => of("stranger"), // a person as well
        "staff" => of("support"),
        _ if STRANGERS.contains(&caller) => of("stranger"),
        _ => of(caller),
    }
}

pub async fn t66_every_route_lets_in_whom_the_table_says_and_nobody_else(site: &Arc<Site>) {
    let stage = Stage::of(site).await;
    let mut operations = operations(&site.document);
    assert_eq!(operations.len(), TABLE.len(), "a route that is gone still stands in the table");
    // The account is closed last; what follows is about a closed one.
    operations.sort_by_key(|(_, template)| template.ends_with("/close"));
    let callers: Vec<&str> =
        CALLERS.into_iter().chain(STRANGERS).chain(stage.staff.as_ref().map(|_| "staff")).collect();
    for (method, template) in &operations {
        let row = TABLE.iter().find(|(of, path, _)| *of == method.as_str() && path == template);
        let row = row.unwrap_or_else(|| panic!("{method} {template} is not in the table"));
        for caller in &callers {
            let answer = stage.ask(site, caller, method, template).await;
            assert_eq!(outcome(&answer), expected(row, caller), "{caller}: {method} {template}: {}", answer.body);
        }
    }
    let (wish, appointment) = (store::random::uuid().to_string(), store::random::uuid().to_string());
    let of_closed = |template: &str| {
        let path = template.replace("{account}", &stage.cast.harbour.id).replace("{role}", "administrator");
        let path = path.replace("{professional}", &stage.cast.harbour.member).replace("{partner}", &stage.quay.id);
        let path = path.replace("{invitation}", &stage.cast.harbour.member_invitation);
        path.replace("{access_request}", &wish).replace("{appointment}", &appointment)
    };
    let changes = operations.iter().filter(|(method, template)| *method != Method::GET && template.contains('{'));
    for (method, template) in
        changes.filter(|(_, template)| !["/close", "/erase"].iter().any(|it| template.ends_with(it)))
    {
        for caller in &callers {
            let api = stage.credential(caller).map_or_else(|| site.nobody(), |credential| site.api(credential));
            let body = match template.rsplit('/').next() {
                Some("hand-over") => Some(json!({ "to": stage.cast.harbour.administrator })),
                Some("administrator-appointments") => Some(grounds(&stage.cast.harbour.member)),
                _ => match (method.as_str(), template.as_str()) {
                    ("POST", path) if path.ends_with("/professionals") => {
                        Some(json!({ "name": "Kim Reed", "address": format!("late@{}", stage.cast.at) }))
                    }
                    ("POST", path) if path.ends_with("/decide") => Some(json!({ "decision": "reject" })),
                    ("PATCH", _) => Some(json!({ "name": "Renamed" })),
                    ("PUT", path) if path.ends_with("/service-plan") => Some(plan()),
                    _ => None,
                },
            };
            let answer = api.call(method.clone(), &of_closed(template), body).await;
            let row = TABLE.iter().find(|(of, path, _)| *of == method.as_str() && path == template).expect("a row");
            let refusal = expected(row, caller);
            let is_refused = if refusal.starts_with('2') || refusal == "give_the_role" {
                ["account_closed", "unknown_access_request", "unknown_appointment"].contains(&&*outcome(&answer))
            } else {
                outcome(&answer) == refusal || outcome(&answer) == "account_closed"
            };
            assert!(is_refused, "{caller}, closed: {method} {template}: {}", answer.body);
        }
    }
}

pub async fn r18_who_acts_as_one_profile_may_nothing_as_another(site: &Arc<Site>) {
    let stage = Stage::of(site).await;
    let (cast, address) = (&stage.cast, format!("elsewhere@{}", stage.cast.at));
    let elsewhere = open_account(site, &cast.back_office, &format!("{}-E", cast.number), "Elsewhere").await;
    let elsewhere = join(site, &cast.support, &elsewhere, ALEX, &address).await;
    let administrator = site.api(&cast.administrator);
    let (here, there) = (&cast.harbour.administrator, &elsewhere.professional);
    let refusals = [SCOPE, ACCOUNT, INVITATION, WISH, "unknown_professional", "not_your_profile"];
    for (method, template) in operations(&site.document).iter().filter(|(_, template)| template.contains('{')) {
        let as_another = stage.ask_by(site, &administrator.with("act-as", there), method, template).await;
        let code = outcome(&as_another);
        assert!(refusals.contains(&code.as_str()), "{method} {template}: {}", as_another.body);
        if template.ends_with("/close") {
            continue; // nobody of the account may
        }
        let row = TABLE.iter().find(|(of, path, _)| *of == method.as_str() && path == template).expect("a row");
        let as_this = stage.ask_by(site, &administrator.with("act-as", here), method, template).await;
        assert_eq!(outcome(&as_this), expected(row, "administrator"), "{method} {template}: {}", as_this.body);
    }
    stage.access_request(site).await;
    let wishes = format!("/v1/access-requests?account={}", cast.harbour.id);
    let listed = async |profile: &str| administrator.with("act-as", profile).get(&wishes).await.expect(200).json();
    assert_eq!(listed(there).await["items"], json!([]));
    assert_ne!(listed(here).await["items"], json!([]));
}

pub async fn t61_every_change_has_one_effect_for_a_caller_and_key(site: &Arc<Site>) {
    let stage = Stage::of(site).await;
    let mut operations = operations(&site.document);
    operations.sort_by_key(|(_, template)| template.ends_with("/close"));
    let mut refused = 0;
    for (method, template) in operations.iter().filter(|(method, _)| *method != Method::GET) {
        let row = TABLE.iter().find(|(of, path, _)| *of == method.as_str() && path == template).expect("a row");
        let is_let_in = |caller: &&str| expected(row, caller).starts_with('2');
        let Some(caller) = ["support", "back_office", "administrator"].into_iter().find(is_let_in) else {
            assert_eq!(template, "/v1/mail-bounces", "somebody is let in");
            continue;
        };
        let path = stage.path(site, method.as_str(), template).await;
        let body = stage.body(site, method.as_str(), template).await;
        let api = site.api(stage.credential(caller).expect("a credential"));
        let keyed = api.with("idempotency-key", &format!("{method} {template}"));
        let first = keyed.call(method.clone(), &path, body.clone()).await;
        assert!(first.status < 300, "{method} {path}: {}", first.body);
        let again = keyed.call(method.clone(), &path, body.clone()).await;
        let has_effect = first.json()["changed"] == true;
        let of_effect = |answer: &Answer| {
            let mut body = answer.json();
            let members = body.as_object_mut().expect("an object");
            members.remove("replayed");
            if !has_effect {
                members.remove("position"); // nothing was recorded, and the log goes on
            }
            (answer.status, body)
        };
        assert_eq!(of_effect(&again), of_effect(&first), "{method} {path}");
        assert!(!has_effect || again.json()["replayed"] == true, "{method} {path}: {}", again.body);
        let other = format!(" {}", body.unwrap_or_else(|| json!({}))).into_bytes();
        let other = keyed.send(method.clone(), &path, Some("application/json"), other).await;
        if has_effect {
            other.expect_problem(422, "idempotency_key_reused");
            refused += 1;
        }
        assert!(other.status < 500, "{method} {path}: {}", other.body);
    }
    assert!(refused >= 15, "{refused} changes were refused another body");
}

/// What the history is about, where the path does not say it.
pub fn query_of(template: &str) -> &'static str {
    if template.starts_with("/v1/history") { "?tag=account:{account}" } else { "" }
}

fn outcome(answer: &Answer) -> String {
    if answer.status < 400 { answer.status.to_string() } else { answer.code() }
}

#[tokio::test]
async fn a_credential_that_is_not_ours_is_refused_by_its_code() {
    let site = Site::embedded().await;
    let get = async |credential: &str| site.api(credential).get("/v1/me").await;
    site.nobody().get("/v1/me").await.expect_problem(401, "unauthenticated");
    for header in ["Basic dXNlcjpwYXNz", "Bearer", "vk_x", "Digest a=b", ""] {
        let answer = site.nobody().with("authorization", header).get("/v1/me").await;
        answer.expect_problem(401, "unauthenticated");
    }
    for opaque in ["opaque", "a.b", "a.b.c", "a.b.c.d", "....", &"x".repeat(7_000)] {
        get(opaque).await.expect_problem(401, "token_malformed");
    }
    let key = site.key(&["auditor"]);
    get(&key).await.expect_problem(403, "person_needed");
    let id = key.split('_').nth(1).expect("a key names its id").to_owned();
    let mut other = key.clone();
    other.replace_range(key.len() - 1.., if key.ends_with('A') { "B" } else { "A" });
    let unknown = ["vk_", "vk_x_y", &format!("vk_{id}"), &format!("vk_{id}_"), &other, &key[..key.len() - 1]];
    for unknown in unknown {
        get(unknown).await.expect_problem(401, "api_key_unknown");
    }
    assert!(site.run(&["keys", "revoke", &id]).success);
    get(&key).await.expect_problem(401, "api_key_unknown");

    let good = site.bearer(ALEX).await;
    get(&good).await.expect(200);
    let lower = site.nobody().with("authorization", &format!("bearer {good}")).get("/v1/me").await;
    lower.expect(200);
    let past = json!({ "iat": 1_000_000, "exp": 1_000_100 });
    get(&site.bearer_with(ALEX, &past)).await.expect_problem(401, "token_expired");
    let elsewhere = json!({ "aud": "somebody-else" });
    get(&site.bearer_with(ALEX, &elsewhere)).await.expect_problem(401, "token_audience_mismatch");
    let client = json!({ "aud": "vinculum" });
    get(&site.bearer_with(ALEX, &client)).await.expect_problem(401, "token_audience_mismatch");
    let issuer = json!({ "iss": "https://login.example.com" });
    get(&site.bearer_with(ALEX, &issuer)).await.expect_problem(401, "unknown_issuer");
    let none = with_header(&good, &json!({ "alg": "none", "typ": "at+jwt" }));
    get(&format!("{}.", none.rsplit_once('.').expect("three parts").0))
        .await
        .expect_problem(401, "token_algorithm_refused");
    let symmetric = with_header(&good, &json!({ "alg": "HS256", "typ": "at+jwt" }));
    get(&symmetric).await.expect_problem(401, "token_algorithm_refused");
    let parts: Vec<&str> = good.split('.').collect();
    let of_jo = site.bearer(JO).await;
    let claims_of_jo = of_jo.split('.').nth(1).expect("three parts");
    let mixed = format!("{}.{claims_of_jo}.{}", parts[0], parts[2]);
    get(&mixed).await.expect_problem(401, "token_signature_invalid");
}

fn with_header(token: &str, header: &Value) -> String {
    let (_, rest) = token.split_once('.').expect("a token has parts");
    format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test]
async fn acting_as_a_profile_of_somebody_else_is_refused_whoever_has_it() {
    let site = Site::embedded().await;
    let cast = Cast::of(&site).await;
    let administrator = site.api(&cast.administrator);
    administrator.with("act-as", &cast.harbour.administrator).get("/v1/me").await.expect(200);
    let nobody = store::random::uuid().to_string();
    let mut bodies = Vec::new();
    for foreign in [&cast.meadow.administrator, &cast.harbour.member, &nobody, "me", ""] {
        let answer = administrator.with("act-as", foreign).get("/v1/me").await;
        answer.expect_problem(403, "not_your_profile");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "nobody learns which profiles there are");
    // A profile of another account gives no right in this one, and takes none.
    let people = format!("/v1/accounts/{}/professionals", cast.harbour.id);
    let body = json!({ "name": "Kim Reed", "address": "kim@t-100.example" });
    let acting = administrator.with("act-as", &cast.harbour.administrator).post(&people, body).await;
    acting.expect(201);
    let me = administrator.get("/v1/me").await.json();
    let sample = me["profiles"].as_array().and_then(|all| all.iter().find(|one| one["account"] != cast.harbour.id));
    let sample = sample.and_then(|profile| profile["professional"].as_str()).expect("the sample profile").to_owned();
    let body = json!({ "name": "Kim Reed", "address": "kim2@t-100.example" });
    let acting = administrator.with("act-as", &sample).post(&people, body).await;
    acting.expect_problem(403, "not_your_profile");
}
