//! From outside: over the API of a running service, and at the command line beside it.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::files::{FIRST, accounts, people};
use crate::support::{Vinculum, eventually, http};

/// The embedded default, with what asks it.
struct Service {
    home: TempDir,
    service: Vinculum,
    http: reqwest::Client,
}

impl Service {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let service = Vinculum::serve(home.path(), &[]);
        Self { home, service, http: http() }
    }

    /// Makes an API key.
    fn key(&self, scope: &str) -> String {
        let made = run(self.home.path(), &["keys", "create", "of a test", "--scope", scope]);
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    async fn post(&self, key: &str, idempotency_key: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(self.service.url("/v1/imports")).bearer_auth(key);
        answer(request.header("idempotency-key", idempotency_key).json(body)).await
    }

    async fn get(&self, key: &str, path: &str) -> (u16, Value) {
        answer(self.http.get(self.service.url(&format!("/v1/imports/{path}"))).bearer_auth(key)).await
    }

    /// Waits for the end of an import.
    async fn ended(&self, key: &str, id: &str) -> Value {
        eventually("an import that has ended", async || {
            let (status, body) = self.get(key, id).await;
            assert_eq!(status, 200, "{body}");
            (body["status"] != "running").then_some(body)
        })
        .await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    Vinculum::command(home, &[("USER", "tester")]).args(arguments).output().unwrap()
}

fn told(item: &Value) -> String {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    format!("{} {} {} {}", text("file"), item["line"], text("outcome"), text("code")).trim().to_owned()
}

#[tokio::test]
async fn an_import_over_the_api_is_told_row_by_row() {
    let service = Service::start();
    let (key, body) =
        (service.key("back_office"), json!({ "accounts": accounts(), "professionals": people(), "dry_run": true }));
    let (status, begun) = service.post(&key, "one", &body).await;
    assert_eq!((status, &begun["dry_run"], &begun["items"]), (202, &json!(true), &json!([])), "{begun}");
    let dry = service.ended(&key, begun["id"].as_str().unwrap()).await;
    assert_eq!(dry["items"].as_array().unwrap().iter().map(told).collect::<Vec<_>>(), FIRST);
    assert!(dry["items"].as_array().unwrap().iter().all(|item| item["account"].is_null()), "{dry}");

    let body = json!({ "accounts": accounts(), "professionals": people() });
    let (_, begun) = service.post(&key, "two", &body).await;
    let id = begun["id"].as_str().unwrap().to_owned();
    let done = service.ended(&key, &id).await;
    assert_eq!(done["counts"], json!({ "created": 6, "completed": 0, "unchanged": 2, "refused": 6 }));
    assert!(!done.to_string().contains("Robin") && !done.to_string().contains(".example"), "{done}");
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = service.get(&key, &format!("{id}?limit=4{cursor}")).await;
        items.extend(page["items"].as_array().unwrap().iter().map(told));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(items, FIRST);
    let (_, refused) = service.get(&key, &format!("{id}?outcome=refused")).await;
    assert_eq!(refused["items"].as_array().unwrap().len(), 6);
    // The person who was created can be read where everybody reads people.
    let person = &done["items"][6];
    let path = format!("/v1/accounts/{}/professionals/{}", ids(person, "account"), ids(person, "professional"));
    let read = eventually("the views follow the import", async || {
        let (status, read) = answer(service.http.get(service.service.url(&path)).bearer_auth(&key)).await;
        (status == 200).then_some(read)
    })
    .await;
    assert_eq!(read["name"], "Robin Rivers");

    assert_eq!(service.post(&key, "two", &body).await.1["id"], id, "the same request is the same import");
    let (status, reused) = service.post(&key, "two", &json!({ "accounts": "", "professionals": "" })).await;
    assert_eq!((status, &reused["code"]), (422, &json!("idempotency_key_reused")));
    let (_, again) = service.post(&key, "three", &body).await;
    let again = service.ended(&key, again["id"].as_str().unwrap()).await;
    assert_eq!(again["counts"], json!({ "created": 0, "completed": 0, "unchanged": 8, "refused": 6 }));
}

fn ids(item: &Value, name: &str) -> String {
    item[name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn t66_t70_imports_are_for_the_back_office_and_their_bodies_have_a_limit() {
    let service = Service::start();
    let key = service.key("back_office");
    let body = json!({ "accounts": accounts(), "professionals": people() });
    for scope in ["support", "operator", "auditor"] {
        let other = service.key(scope);
        let (status, refused) = service.post(&other, "x", &body).await;
        assert_eq!((status, &refused["code"]), (403, &json!("scope_missing")), "{scope}");
        let (status, refused) = service.get(&other, &store::random::uuid().to_string()).await;
        assert_eq!((status, &refused["code"]), (403, &json!("scope_missing")), "{scope}");
    }
    assert_eq!(service.post("vk_nobody", "x", &body).await.0, 401);
    for unknown in [store::random::uuid().to_string(), "x".into()] {
        assert_eq!(service.get(&key, &unknown).await.0, 404);
    }
    let (status, unknown) = service.post(&key, "x", &json!({ "accounts": "", "professionals": "", "role": 1 })).await;
    assert_eq!((status, &unknown["code"]), (422, &json!("invalid_body")));
    // What is far too large for other routes is taken here, and what is too large for this one is not.
    // A line end is two bytes of JSON. Barely too large: whoever sends on after the answer finds the connection closed.
    let padded = |bytes: usize| json!({ "accounts": accounts(), "professionals": people() + &"\n".repeat(bytes) });
    assert_eq!(service.post(&key, "large", &padded(1024 * 1024)).await.0, 202);
    let (status, refused) = service.post(&key, "larger", &padded(2 * 1024 * 1024)).await;
    assert_eq!((status, &refused["code"]), (413, &json!("body_too_large")));
    let elsewhere = service.http.post(service.service.url("/v1/accounts")).bearer_auth(&key);
    assert_eq!(answer(elsewhere.json(&padded(33 * 1024))).await.0, 413);
}

#[tokio::test]
async fn the_command_line_imports_beside_a_running_service() {
    let service = Service::start();
    let home = service.home.path();
    std::fs::write(home.join("a.csv"), accounts()).unwrap();
    std::fs::write(home.join("p.csv"), people()).unwrap();
    let lines = |text: &[u8]| {
        let mut reader = csv_lines(text);
        reader.remove(0);
        reader
    };
    let dry = run(home, &["import", "a.csv", "p.csv", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(1), "a row was refused");
    assert_eq!(lines(&dry.stdout), FIRST);
    let said = String::from_utf8(dry.stderr).unwrap();
    assert!(said.contains("Dry run, nothing was appended. 14 rows: 6 created"), "{said}");
    assert!(said.contains("6 rows were refused"), "{said}");

    let ran = run(home, &["import", "a.csv", "p.csv", "--results", "r.csv"]);
    assert!(ran.status.code() == Some(1) && ran.stdout.is_empty(), "{ran:?}");
    let results = std::fs::read(home.join("r.csv")).unwrap();
    assert!(results.starts_with(b"file,line,outcome,code,message,account,professional\n"));
    assert_eq!(lines(&results), FIRST);

    // Without the rows that cannot be, it is a success, and appends nothing.
    let keep = |text: String, lines: &[usize]| {
        let kept = text.lines().enumerate().filter(|(n, _)| !lines.contains(&(n + 1)));
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    std::fs::write(home.join("a.csv"), keep(accounts(), &[3, 5, 6])).unwrap();
    std::fs::write(home.join("p.csv"), keep(people(), &[4, 8, 9])).unwrap();
    let again = run(home, &["import", "a.csv", "p.csv"]);
    assert!(again.status.success(), "{again:?}");
    assert!(lines(&again.stdout).iter().all(|told| told.ends_with("unchanged")), "{again:?}");

    // The service sees it, and the history names who did it.
    let auditor = service.key("auditor");
    let account = String::from_utf8(results).unwrap().lines().nth(1).unwrap().split(',').nth(5).unwrap().to_owned();
    eventually("a history with the import", async || {
        let path = service.service.url(&format!("/v1/accounts/{account}/history"));
        let (status, history) = answer(service.http.get(path).bearer_auth(&auditor)).await;
        (status == 200 && history.to_string().contains("cli:tester")).then_some(())
    })
    .await;
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_taken_is_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("a.csv"), accounts()).unwrap();
    std::fs::write(home.path().join("p.csv"), "number;name\n").unwrap();
    let missing = run(home.path(), &["import", "a.csv", "nowhere.csv"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot read nowhere.csv"), "{missing:?}");
    let odd = run(home.path(), &["import", "a.csv", "p.csv"]);
    let said = String::from_utf8_lossy(&odd.stderr).into_owned();
    assert!(odd.status.code() == Some(1) && said.contains("professionals: line 1: column 1 of the header"), "{said}");
    let unwritable = run(home.path(), &["import", "a.csv", "a.csv", "--results", "nowhere/r.csv"]);
    assert!(String::from_utf8_lossy(&unwritable.stderr).contains("cannot write nowhere/r.csv"), "{unwritable:?}");
}

/// File, line, outcome and code of each line.
fn csv_lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    text.lines().map(|line| line.split(',').take(4).collect::<Vec<_>>().join(" ").trim().to_owned()).collect()
}
