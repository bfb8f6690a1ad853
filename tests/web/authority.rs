//! Who may ask for what: credentials, and a table of every route and every kind of caller.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::cast::{Cast, plan};
use super::client::{Answer, operations};
use super::site::{ALEX, JO, Site};

/// In the order of the table's columns: nobody, the four scopes, the administrator of the account, an ordinary
/// professional of it, the administrator of another account.
const CALLERS: [&str; 8] =
    ["nobody", "back_office", "support", "operator", "auditor", "administrator", "member", "stranger"];

/// What an operation answers to each caller: a status, or the code of a refusal. `account` and its people are those of
/// the administrator; `professional` and `invitation` are the ordinary member's own.
const TABLE: [(&str, &str, [&str; 8]); 16] = [
    ("GET", "/v1/me", [NO, PERSON, PERSON, PERSON, PERSON, "200", "200", "200"]),
    ("POST", "/v1/accounts", [NO, "201", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/accounts/{account}", [NO, "200", "200", "200", "200", "200", "200", ACCOUNT]),
    ("PUT", "/v1/accounts/{account}/service-plan", [NO, "200", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/accounts/{account}/professionals", [NO, "200", "200", "200", "200", "200", ADMIN, ACCOUNT]),
    ("POST", "/v1/accounts/{account}/professionals", [NO, "201", "201", SCOPE, SCOPE, "201", ADMIN, ACCOUNT]),
    (
        "GET",
        "/v1/accounts/{account}/professionals/{professional}",
        [NO, "200", "200", "200", "200", "200", "200", "unknown_professional"],
    ),
    (
        "POST",
        "/v1/accounts/{account}/professionals/{professional}/invitations",
        [NO, "201", "201", "201", SCOPE, "201", "201", ACCOUNT],
    ),
    ("GET", "/v1/invitations", [NO, SCOPE, "200", "200", SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/invitations/{invitation}", [NO, "200", "200", "200", "200", "200", INVITATION, INVITATION]),
    ("POST", "/v1/invitations/{invitation}/revoke", [NO, "200", "200", "200", SCOPE, "200", INVITATION, INVITATION]),
    ("POST", "/v1/imports", [NO, "202", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/imports/{import}", [NO, "200", SCOPE, SCOPE, SCOPE, SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/accounts/{account}/history", [NO, SCOPE, "200", SCOPE, "200", "200", ADMIN, ACCOUNT]),
    ("GET", "/v1/history", [NO, SCOPE, "200", SCOPE, "200", SCOPE, SCOPE, SCOPE]),
    ("GET", "/v1/history/export", [NO, SCOPE, "200", SCOPE, "200", SCOPE, SCOPE, SCOPE]),
];
const NO: &str = "unauthenticated";
const PERSON: &str = "person_needed";
const SCOPE: &str = "scope_missing";
const ADMIN: &str = "not_administrator";
const ACCOUNT: &str = "unknown_account";
const INVITATION: &str = "unknown_invitation";

pub async fn t66_every_route_lets_in_whom_the_table_says_and_nobody_else(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    // The table speaks of the member's open invitation; revoking takes it away, so each caller gets a new one.
    let send = format!("/v1/accounts/{}/professionals/{}/invitations", cast.harbour.id, cast.harbour.member);
    let import = site.api(&cast.back_office).post("/v1/imports", nothing_to_import()).await.expect(202).text("id");
    let operations = operations(&site.document);
    assert_eq!(operations.len(), TABLE.len(), "a route that is gone still stands in the table");
    for (method, template) in operations {
        let row = TABLE.iter().find(|(of, path, _)| *of == method.as_str() && *path == template);
        let (_, _, expected) = row.unwrap_or_else(|| panic!("{method} {template} is not in the table"));
        for (n, caller) in CALLERS.into_iter().enumerate() {
            let invitation = site.api(&cast.support).post(&send, json!({})).await.expect(201).text("invitation");
            let path = format!("{template}{}", query_of(&template))
                .replace("{account}", &cast.harbour.id)
                .replace("{professional}", &cast.harbour.member)
                .replace("{invitation}", &invitation)
                .replace("{import}", &import);
            let api = credential(&cast, caller).map_or_else(|| site.nobody(), |credential| site.api(credential));
            let body = body_of(&cast, method.as_str(), &template, n);
            let answer = api.call(method.clone(), &path, body).await;
            assert_eq!(outcome(&answer), expected[n], "{caller}: {method} {template}: {}", answer.body);
        }
    }
}

fn credential<'a>(cast: &'a Cast, caller: &str) -> Option<&'a str> {
    Some(match caller {
        "back_office" => &cast.back_office,
        "support" => &cast.support,
        "operator" => &cast.operator,
        "auditor" => &cast.auditor,
        "administrator" => &cast.administrator,
        "member" => &cast.member,
        "stranger" => &cast.stranger,
        _ => return None,
    })
}

/// What the history is about, where the path does not say it.
pub fn query_of(template: &str) -> &'static str {
    if template.starts_with("/v1/history") { "?tag=account:{account}" } else { "" }
}

/// A body that succeeds, another one for each caller.
fn body_of(cast: &Cast, method: &str, template: &str, n: usize) -> Option<Value> {
    match (method, template.rsplit('/').next().unwrap_or_default()) {
        ("GET", _) => None,
        (_, "accounts") => {
            Some(json!({ "customer_number": format!("{}-{n}", cast.number), "kind": "customer", "name": "New" }))
        }
        (_, "professionals") => Some(json!({ "name": "Kim Reed", "address": format!("kim{n}@{}", cast.at) })),
        (_, "service-plan") => Some(plan()),
        (_, "imports") => Some(nothing_to_import()),
        _ => Some(json!({})),
    }
}

/// Two files with a header each.
fn nothing_to_import() -> Value {
    json!({
        "accounts": "customer_number,kind,name,plan_name,plan_starts_at,plan_ends_at,partners\n",
        "professionals": "customer_number,name,address,language,roles,send_invitation\n",
    })
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
