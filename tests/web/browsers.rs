//! Browsers: whose flow it is, whose session, and what another site can make them do.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;

use super::cast::{Cast, count, history};
use super::site::{ALEX, NOOR, ROBIN, ROBIN_AT_WORK, SASHA, Site, csrf, heading};
use crate::support::{Page, Visitor, free_port};

const SESSION: &str = "vinculum_local_session";
const FLOW: &str = "vinculum_local_flow";
const SIGN_IN: &str = "vinculum_local_sign_in";

fn session_of(site: &Site, visitor: &Visitor) -> Option<String> {
    visitor.cookie(&site.url("/"), SESSION)
}

/// Asks for a page with one cookie.
async fn with_cookie(site: &Site, path: &str, name: &str, value: &str) -> (u16, String) {
    let request = site.http.get(site.url(path)).header("cookie", format!("{name}={value}"));
    let response = request.send().await.expect("the service answers");
    let place = response.headers().get("location").map(|it| it.to_str().expect("text").to_owned());
    (response.status().as_u16(), place.unwrap_or_default())
}

async fn is_alive(site: &Site, session: &str) -> bool {
    with_cookie(site, "/profile", SESSION, session).await.0 == 200
}

#[tokio::test]
async fn t23_t25_a_callback_counts_once_and_in_the_browser_that_began_it() {
    let site = Site::embedded().await;
    let auditor = site.key(&["auditor"]);
    let me = site.api(&site.bearer(ALEX).await).get("/v1/me").await.json();
    let account = me["profiles"][0]["account"].as_str().expect("the sample account").to_owned();
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let is_refused = |page: &Page| {
        assert_eq!((page.status, page.body.contains("sign_in_not_begun_here")), (400, true), "{}", page.body);
        assert!(page.headers.get("set-cookie").is_none(), "no session begins");
    };
    let attacker = Visitor::new();
    let page = attacker.open(&link).await;
    let callback = site.begin_sign_in(&attacker, &page, "/invitation/sign-in", SASHA).await;
    let before = history(&site, &auditor, &account).await.len();
    // A victim without anything, one on the sign-in page, one on the same invitation, one at a provider.
    let victims = [Visitor::new(), Visitor::new(), Visitor::new(), Visitor::new()];
    victims[1].open(site.url("/sign-in")).await;
    victims[2].open(&link).await;
    let page = victims[3].open(&link).await;
    site.begin_sign_in(&victims[3], &page, "/invitation/sign-in", ROBIN).await;
    let before_callbacks = history(&site, &auditor, &account).await.len();
    assert!(before_callbacks > before, "visits and the victim's own click are there");
    for victim in &victims {
        is_refused(&victim.get(&callback).await);
        assert_eq!(session_of(&site, victim), None);
    }
    assert_eq!(history(&site, &auditor, &account).await.len(), before_callbacks, "and nothing was recorded");

    // In the right browser, anything that does not fit is refused as well; so is another issuer's callback.
    let state = callback.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let code = callback.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    for (path, query) in [
        ("personal", format!("code={code}&state={state}x")),
        ("personal", format!("code={code}")),
        ("personal", format!("code={code}&state=")),
        ("work", format!("code={code}&state={state}")),
        ("nobody", format!("code={code}&state={state}")),
    ] {
        is_refused(&attacker.get(site.url(&format!("/sign-in/{path}/callback?{query}"))).await);
    }
    let done = attacker.get(&callback).await;
    assert_eq!((done.status, session_of(&site, &attacker).is_some()), (303, true), "{}", done.body);
    is_refused(&attacker.get(&callback).await);
    // The code alone is worth nothing in a new sign-in: it is bound to its verifier, and used up.
    let page = attacker.open(&link).await;
    let second = site.begin_sign_in(&attacker, &page, "/invitation/sign-in", SASHA).await;
    let mut swapped = second.clone();
    let pairs: Vec<(String, String)> = second.query_pairs().into_owned().collect();
    swapped
        .query_pairs_mut()
        .clear()
        .extend_pairs(pairs.iter().map(|(name, value)| (name, if name == "code" { &code } else { value })));
    let page = attacker.get(&swapped).await;
    assert_eq!((page.status, page.body.contains("code_refused")), (400, true), "{}", page.body);
    is_refused(&attacker.get(&second).await);
    // An answer that names another issuer, or none, is refused (RFC 9207).
    for (issuer, expected) in
        [(Some("https://evil.example"), "callback_issuer_mismatch"), (None, "callback_issuer_missing")]
    {
        let page = attacker.open(&link).await;
        let mut callback = site.begin_sign_in(&attacker, &page, "/invitation/sign-in", SASHA).await;
        let pairs: Vec<(String, String)> =
            callback.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
        callback.query_pairs_mut().clear().extend_pairs(pairs).extend_pairs(issuer.map(|issuer| ("iss", issuer)));
        let page = attacker.get(&callback).await;
        assert_eq!((page.status, page.body.contains(expected)), (400, true), "{}", page.body);
    }
    assert!(!history(&site, &auditor, &account).await.iter().any(|event| {
        event["event_type"] == "IdentityAssociated" && event["position"].as_u64() > Some(before as u64 + 10)
    }));
}

#[tokio::test]
async fn t24_a_flow_or_a_session_cannot_be_guessed() {
    let site = Site::embedded().await;
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let visitors: Vec<Visitor> = (0..10).map(|_| Visitor::new()).collect();
    let mut seen = BTreeSet::new();
    for visitor in &visitors {
        for (path, cookie) in [(site.url("/sign-in"), SIGN_IN), (link.clone(), FLOW)] {
            let token = csrf(&visitor.open(path).await);
            let secret = visitor.cookie(&link, cookie).expect("a flow has its cookie");
            assert!(secret.len() >= 43 && token.len() >= 43);
            assert!(seen.insert(secret) && seen.insert(token), "no secret comes twice");
        }
    }
    let good = visitors[0].cookie(&link, FLOW).expect("a flow");
    assert_eq!(with_cookie(&site, "/invitation", FLOW, &good).await.0, 200);
    let mut forged = vec![
        String::new(),
        "x".into(),
        good[1..].into(),
        format!("{good}x"),
        good.to_lowercase(),
        "' or 1=1 --".into(),
    ];
    forged.extend((0..200).map(|_| store::working::fresh_secret().reveal().clone()));
    for secret in forged {
        assert_eq!(with_cookie(&site, "/invitation", FLOW, &secret).await.0, 410, "{secret}");
        assert_eq!(with_cookie(&site, "/profile", SESSION, &secret).await, (303, "/sign-in".into()), "{secret}");
    }
    // One kind of secret is none of the other.
    let sign_in = visitors[0].cookie(&link, SIGN_IN).expect("a flow");
    assert_eq!(with_cookie(&site, "/profile", SESSION, &good).await.0, 303);
    assert_eq!(with_cookie(&site, "/invitation", FLOW, &sign_in).await.0, 410);
}

#[tokio::test]
async fn t29_a_session_has_a_new_id_at_sign_in_and_association_and_ends_at_sign_out() {
    let site = Site::embedded().await;
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let visitor = Visitor::new();
    let planted = "A".repeat(43);
    let sign_in =
        site.http.get(site.url("/sign-in")).header("cookie", format!("{SESSION}={planted}; {SIGN_IN}={planted}"));
    let page = sign_in.send().await.expect("it answers");
    assert!(
        !page.headers()["set-cookie"].to_str().expect("text").contains(&planted),
        "what a browser brings is not taken over"
    );

    site.sign_in(&visitor, ROBIN).await;
    let first = session_of(&site, &visitor).expect("a session");
    assert!(is_alive(&site, &first).await && !is_alive(&site, &planted).await);
    let page = site.open_and_sign_in(&visitor, &link, ROBIN).await;
    let second = session_of(&site, &visitor).expect("a session");
    assert!(first != second && !is_alive(&site, &first).await && is_alive(&site, &second).await);
    let code = site.nth_code(ROBIN_AT_WORK, 1).await;
    let confirm = site.type_code(&visitor, &page, &code).await;
    let linked = site.press(&visitor, &confirm, "/invitation/confirm").await;
    assert_eq!(linked.url.path(), "/invitation/linked");
    let third = session_of(&site, &visitor).expect("a session");
    assert!(second != third && !is_alive(&site, &second).await && is_alive(&site, &third).await);

    let profile = visitor.open(site.url("/profile")).await;
    assert!(profile.body.contains("Harbour Lights Bakery"));
    let wrong = visitor.post(site.url("/sign-out"), &[("csrf", "x")]).await;
    assert_eq!((wrong.status, is_alive(&site, &third).await), (403, true), "another site cannot sign anybody out");
    let out = site.press(&visitor, &profile, "/sign-out").await;
    assert_eq!(out.url.path(), "/sign-in");
    assert!(session_of(&site, &visitor).is_none() && !is_alive(&site, &third).await);
    assert_eq!(visitor.open(site.url("/profile")).await.url.path(), "/sign-in");
}

#[tokio::test]
async fn signing_out_ends_what_the_browser_is_in_the_middle_of() {
    let site = Site::embedded().await;
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let visitor = Visitor::new();
    let page = site.open_and_sign_in(&visitor, &link, ROBIN).await;
    let confirm = site.type_code(&visitor, &page, &site.nth_code(ROBIN_AT_WORK, 1).await).await;
    assert_eq!(confirm.url.path(), "/invitation/confirm");
    let profile = visitor.open(site.url("/profile")).await;
    site.press(&visitor, &profile, "/sign-out").await;
    // Whoever sits at this browser next goes back and confirms.
    let pressed = visitor.post(site.url("/invitation/confirm"), &[("csrf", &csrf(&confirm))]).await;
    assert_ne!(visitor.follow(pressed).await.url.path(), "/invitation/linked", "a signed-out person confirms nothing");
    let me = site.api(&site.bearer(ROBIN).await).get("/v1/me").await.expect(200).json();
    assert_eq!(me["profiles"], json!([]));
}

#[tokio::test]
async fn t35_another_site_cannot_make_a_browser_change_anything() {
    let site = Site::embedded().await;
    let cast = Cast::of(&site).await;
    let address = format!("member@{}-m.example", cast.number.to_lowercase());
    let link = site.nth_link(&address, 1).await;
    let victim = Visitor::new();
    let page = site.open_and_sign_in(&victim, &link, SASHA).await;
    let confirm = site.type_code(&victim, &page, &site.nth_code(&address, 1).await).await;
    assert_eq!(confirm.url.path(), "/invitation/confirm");
    let session = session_of(&site, &victim).expect("a session");
    let flow = victim.cookie(&site.url("/"), FLOW).expect("a flow");
    let cookies = format!("{SESSION}={session}; {FLOW}={flow}");
    let profile = victim.open(site.url("/profile")).await;
    let before = history(&site, &cast.auditor, &cast.meadow.id).await.len();

    let people = format!("/v1/accounts/{}/professionals", cast.meadow.id);
    let api = [
        "/v1/accounts".to_owned(),
        people.clone(),
        format!("{people}/{}/invitations", cast.meadow.member),
        format!("/v1/accounts/{}/service-plan", cast.meadow.id),
        format!("/v1/invitations/{}/revoke", cast.meadow.member_invitation),
    ];
    let forms = [
        "/invitation/sign-in",
        "/invitation/continue",
        "/invitation/code",
        "/invitation/code/again",
        "/invitation/confirm",
        "/invitation/latest",
        "/invitation/other-account",
        "/invitation/cancel",
        "/sign-in",
        "/sign-out",
        "/dev/send-again",
    ];
    let (flow_token, session_token) = (csrf(&confirm), csrf(&profile));
    assert_ne!(flow_token, session_token);
    let bodies = [
        ("application/x-www-form-urlencoded", "csrf=CSRF&issuer=personal&code=1".to_owned()),
        (
            "multipart/form-data; boundary=b",
            "--b\r\ncontent-disposition: form-data; name=\"csrf\"\r\n\r\nCSRF\r\n--b--\r\n".into(),
        ),
        ("text/plain", "csrf=CSRF&issuer=personal&code=1".into()),
        ("application/json", "{\"name\":\"Kim\",\"address\":\"kim@t.example\"}".into()),
    ];
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for path in api.iter().map(String::as_str).chain(forms) {
        let is_api = path.starts_with("/v1");
        for method in &methods {
            for (content_type, body) in &bodies {
                // With the right token from another site; with a wrong one, or another's, from nowhere in particular.
                let right = if path == "/sign-out" { &session_token } else { &flow_token };
                for (cookie, token, fetch_site) in [
                    (true, right.as_str(), Some("cross-site")),
                    (true, right.as_str(), Some("same-site")),
                    (true, "", Some("same-origin")),
                    (true, "wrong", None),
                    (false, right.as_str(), Some("same-origin")),
                ] {
                    if method == Method::GET && token != right {
                        continue;
                    }
                    let mut request =
                        site.http.request(method.clone(), site.url(path)).header("content-type", *content_type);
                    if cookie {
                        request = request.header("cookie", &cookies);
                    }
                    if let Some(fetch_site) = fetch_site {
                        request = request.header("sec-fetch-site", fetch_site).header("origin", "https://evil.example");
                    }
                    let response = request.body(body.replace("CSRF", token)).send().await.expect("it answers");
                    let status = response.status().as_u16();
                    let named = format!("{method} {path} {content_type} {token} {fetch_site:?}: {status}");
                    if is_api {
                        assert!([401, 405].contains(&status), "{named}: a cookie is no credential of the API");
                    } else if method != Method::GET {
                        let is_signed_out_already = path == "/sign-out" && !cookie && status == 303;
                        assert!(status >= 400 || is_signed_out_already, "{named}");
                    }
                }
            }
        }
    }
    assert_eq!(history(&site, &cast.auditor, &cast.meadow.id).await.len(), before, "nothing happened");
    assert_eq!(site.links(ROBIN_AT_WORK).len(), 1, "nothing was sent");
    assert!(is_alive(&site, &session).await);
    let linked = site.press(&victim, &confirm, "/invitation/confirm").await;
    assert_eq!(linked.url.path(), "/invitation/linked", "the page that is open here still works: {}", linked.body);
}

#[tokio::test]
async fn a_restart_is_not_noticed() {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut site = Site::embedded_with(&[("VINCULUM_LISTEN", &listen)]).await;
    let (key, bearer) = (site.key(&["auditor"]), site.bearer(ALEX).await);
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let (signed_in, under_way) = (Visitor::new(), Visitor::new());
    site.sign_in(&signed_in, NOOR).await;
    let page = site.open_and_sign_in(&under_way, &link, ROBIN).await;
    let code = site.nth_code(ROBIN_AT_WORK, 1).await;
    let keys = std::fs::read(site.home().join("data/keys.toml")).expect("the keys are kept");
    let me = site.api(&bearer).get("/v1/me").await.expect(200).json();
    let account = me["profiles"][0]["account"].as_str().expect("the sample account").to_owned();
    let before = history(&site, &key, &account).await;
    let mails = site.mails();
    site.restart();

    assert_eq!(std::fs::read(site.home().join("data/keys.toml")).expect("the keys are kept"), keys);
    assert_eq!(history(&site, &key, &account).await, before, "the key works, and the history is what it was");
    assert_eq!(site.api(&bearer).get("/v1/me").await.expect(200).json(), me);
    let profile = signed_in.open(site.url("/profile")).await;
    assert!(profile.body.contains(NOOR.email), "{}", profile.body);
    let mailbox = signed_in.open(site.url("/dev/mailbox")).await;
    assert_eq!(mailbox.body.matches(ROBIN_AT_WORK).count(), 2, "the mailbox has what it had");
    let confirm = site.type_code(&under_way, &page, &code).await;
    let linked = site.press(&under_way, &confirm, "/invitation/confirm").await;
    assert_eq!((linked.status, linked.url.path()), (200, "/invitation/linked"), "{}", linked.body);
    assert_eq!(heading(&under_way.open(&link).await), "You are already linked");
    assert_eq!(site.mails(), mails, "no mail is sent twice");
    assert_eq!(count(&history(&site, &key, &account).await, "IdentityAssociated"), 2);
}
