//! Secrets stay where they belong: in mails, cookies and the memory of the service.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use super::authority::query_of;
use super::cast::{Cast, pages};
use super::client::operations;
use super::site::{ALEX, NOOR, ROBIN, ROBIN_AT_WORK, SASHA, Site, csrf, token_of};
use crate::support::{Visitor, mail};

#[tokio::test]
async fn t7_no_answer_of_any_reader_holds_a_link_or_a_code() {
    let site = Site::embedded().await;
    let cast = Cast::of(&site).await;
    let open = site.nth_link(ROBIN_AT_WORK, 1).await;
    let visitor = Visitor::new();
    let page = site.open_and_sign_in(&visitor, &open, ROBIN).await;
    site.nth_code(ROBIN_AT_WORK, 1).await;
    let send = format!("/v1/accounts/{}/professionals/{}/invitations", cast.meadow.id, cast.meadow.member);
    let sent = site.api(&cast.operator).with("idempotency-key", "k").post(&send, json!({})).await.expect(201);
    let replayed = site.api(&cast.operator).with("idempotency-key", "k").post(&send, json!({})).await.expect(201);
    site.nth_link(&format!("member@{}-m.example", cast.number.to_lowercase()), 2).await;

    let mut secrets: Vec<String> = Vec::new();
    for mail in site.mails() {
        if let Some(link) = mail::link_in(&mail, &site.url("/i/")) {
            let token = token_of(&link).to_owned();
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(&token).expect("a token is base64url");
            let mac = &bytes[bytes.len() - 32..];
            secrets.push(mac.iter().map(|byte| format!("{byte:02x}")).collect());
            secrets.push(BASE64_URL_SAFE_NO_PAD.encode(mac));
            secrets.push(token[token.len() - 40..].to_owned());
            secrets.push(token);
        }
    }
    let codes: Vec<String> =
        ["first@", "member@"].iter().flat_map(|who| site.codes(who)).chain(site.codes(ROBIN_AT_WORK)).collect();
    assert!(secrets.len() >= 24 && codes.len() >= 4, "{} {}", secrets.len(), codes.len());

    let mut answers = vec![sent.body, replayed.body, page.body];
    let me = site.api(&cast.administrator).get("/v1/me").await.json();
    let sample =
        me["profiles"].as_array().and_then(|all| all.iter().find(|one| one["account_name"] == "Harbour Lights Bakery"));
    let sample = sample.and_then(|profile| profile["account"].as_str()).expect("the sample account").to_owned();
    let readers = [&cast.back_office, &cast.support, &cast.operator, &cast.auditor, &cast.administrator, &cast.member];
    for (method, template) in operations(&site.document) {
        if method != reqwest::Method::GET {
            continue;
        }
        for account in [&cast.harbour, &cast.meadow] {
            let path = format!("{template}{}", query_of(&template))
                .replace("{account}", &account.id)
                .replace("{professional}", &account.member)
                .replace("{invitation}", &account.member_invitation);
            for reader in readers {
                answers.push(site.api(reader).get(&path).await.body);
            }
        }
    }
    answers.push(
        json!(pages(&site, &cast.auditor, &format!("/v1/accounts/{sample}/history?limit=500")).await).to_string(),
    );
    answers.push(json!(pages(&site, &cast.operator, "/v1/invitations?limit=200").await).to_string());
    let administrator = Visitor::new();
    site.sign_in(&administrator, ALEX).await;
    for path in ["/profile", &format!("/profile/history/{sample}"), "/dev/history", "/", "/docs/problems"] {
        let page = administrator.open(site.url(path)).await;
        assert_eq!(page.status, 200, "{path}");
        answers.push(page.body);
    }
    assert!(answers.iter().any(|body| body.contains("\"event_type\":\"InvitationIssued\"")), "histories were read");
    for answer in &answers {
        for secret in &secrets {
            assert!(!answer.contains(secret.as_str()), "{secret} stands in {answer}");
        }
        for code in &codes {
            assert!(!holds_code(answer.as_bytes(), code), "{code} stands in {answer}");
        }
    }
    assert!(
        holds_code(b"your code 1234 5678.", "12345678") && !holds_code(b"123456789", "12345678"),
        "the search finds"
    );
}

/// Whether a code stands there: its digits alone or in two groups, and no other digit beside them.
fn holds_code(text: &[u8], code: &str) -> bool {
    [code.to_owned(), format!("{} {}", &code[..4], &code[4..])].iter().any(|form| {
        let form = form.as_bytes();
        text.windows(form.len()).enumerate().filter(|(_, window)| *window == form).any(|(at, _)| {
            let before = at.checked_sub(1).and_then(|at| text.get(at));
            let after = text.get(at + form.len());
            ![before, after].into_iter().flatten().any(|sign| sign.is_ascii_alphanumeric())
        })
    })
}

fn holds(text: &[u8], secret: &str) -> bool {
    text.windows(secret.len()).any(|window| window == secret.as_bytes())
}

pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn t15_neither_the_log_at_its_loudest_nor_the_data_folder_holds_a_secret() {
    let site = Site::embedded_with(&[("VINCULUM_LOG", "trace")]).await;
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let mut secrets: Vec<(&str, String)> = vec![("link", token_of(&link).into())];
    let (visitor, coworker) = (Visitor::new(), Visitor::new());
    let keep = |secrets: &mut Vec<(&'static str, String)>, visitor: &Visitor| {
        for cookie in ["vinculum_local_session", "vinculum_local_flow"] {
            secrets.extend(visitor.cookie(&link, cookie).map(|secret| ("cookie", secret)));
        }
    };
    // A coworker tries and fails; the owner types a wrong code, then the right one.
    let page = coworker.open(&link).await;
    keep(&mut secrets, &coworker);
    let callback = site.begin_sign_in(&coworker, &page, "/invitation/sign-in", SASHA).await;
    let page = coworker.open(&callback).await;
    for (name, value) in callback.query_pairs().filter(|(name, _)| name == "code") {
        assert_eq!(name, "code");
        secrets.push(("authorization code", value.into_owned()));
    }
    keep(&mut secrets, &coworker);
    site.type_code(&coworker, &page, "73190264").await;
    secrets.push(("typed code", "73190264".into()));
    coworker.get(callback).await;
    let page = visitor.open(&link).await;
    keep(&mut secrets, &visitor);
    let callback = site.begin_sign_in(&visitor, &page, "/invitation/sign-in", ROBIN).await;
    let page = visitor.open(&callback).await;
    secrets.extend(
        callback
            .query_pairs()
            .filter(|(name, _)| name == "code")
            .map(|(_, code)| ("authorization code", code.into_owned())),
    );
    keep(&mut secrets, &visitor);
    let confirm = site.type_code(&visitor, &page, &site.nth_code(ROBIN_AT_WORK, 2).await).await;
    site.press(&visitor, &confirm, "/invitation/confirm").await;
    keep(&mut secrets, &visitor);
    visitor.open(&link).await;
    // Mutated links, unknown paths and refused bodies are logged by nobody either.
    visitor.get(format!("{link}x")).await;
    visitor.get(format!("{}/nowhere?token={}", site.url(""), token_of(&link))).await;
    let (key, bearer) = (site.key(&["auditor", "operator", "back_office"]), site.bearer(NOOR).await);
    secrets.push(("key", key.splitn(3, '_').nth(2).expect("a secret").into())); // it may hold underscores itself
    secrets.push(("bearer", bearer.rsplit('.').next().expect("a signature").into()));
    site.api(&bearer).get("/v1/me").await.expect(200);
    site.api(&format!("{bearer}x")).get("/v1/me").await.expect(401);
    site.api(&key).get("/v1/invitations").await.expect(200);
    site.api(&format!("{key}x")).get("/v1/invitations").await.expect(401);
    let body = json!({ "customer_number": "T-1", "kind": "customer", "name": token_of(&link) });
    site.api(&key).post("/v1/accounts", body).await.expect(422);
    let profile = visitor.open(site.url("/profile")).await;
    secrets.push(("form token", csrf(&profile)));
    site.press(&visitor, &profile, "/sign-out").await;
    let codes: Vec<String> = site.codes(ROBIN_AT_WORK);
    assert!(secrets.len() >= 12 && codes.len() == 2, "{secrets:?}");

    let log = site.log();
    assert!(log.contains("TRACE") && log.contains("DEBUG") && log.len() > 10_000, "{} bytes", log.len());
    let mut places = vec![(PathBuf::from("the log"), log.into_bytes())];
    let data = site.home().join("data");
    let kept = files_below(&data).into_iter().filter(|path| !path.starts_with(data.join("mail")));
    places.extend(kept.map(|path| (path.clone(), std::fs::read(&path).unwrap_or_default())));
    let is_database = |place: &Path| place.to_string_lossy().contains("log.db");
    let has_events = |(place, bytes): &(PathBuf, Vec<u8>)| is_database(place) && holds(bytes, "InvitationIssued");
    assert!(places.iter().any(has_events), "the database is read");
    for (place, bytes) in &places {
        for (kind, secret) in &secrets {
            // A form's token has to be kept as it is; it is worthless without its cookie. It is in no log.
            let is_kept = *kind == "form token" && place != Path::new("the log");
            assert!(is_kept || !holds(bytes, secret), "a {kind} stands in {}", place.display());
        }
        for code in &codes {
            assert!(!holds_code(bytes, code), "a code stands in {}", place.display());
        }
    }
}
