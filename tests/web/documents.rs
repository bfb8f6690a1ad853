//! What the service says about itself.

use super::client::operations;
use super::site::{Site, run};
use crate::support::Visitor;

#[tokio::test]
async fn the_document_is_committed_served_and_browsable_offline() {
    let site = Site::embedded().await;
    let printed = run(site.home(), &[], &["openapi"]).out;
    let committed = include_str!("../../docs/openapi.json");
    assert!(printed == committed, "run: cargo run -- openapi > docs/openapi.json");
    let served = Visitor::new().get(site.url("/openapi.json")).await;
    assert_eq!(served.json(), serde_json::from_str::<serde_json::Value>(&printed).expect("it is JSON"));
    assert_eq!(served.json()["openapi"].as_str().map(|version| version.starts_with("3.1")), Some(true));
    for (method, path) in operations(&served.json()) {
        let operation = &served.json()["paths"][&path][method.as_str().to_lowercase()];
        let has_key = operation["parameters"].to_string().contains("Idempotency-Key");
        assert_eq!(has_key, method != reqwest::Method::GET, "{method} {path}");
        assert!(operation["description"].as_str().is_some_and(|words| words.len() > 20), "{method} {path}");
        assert!(operation["responses"]["default"].is_object(), "{method} {path}");
    }
    let page = Visitor::new().open(site.url("/docs/")).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("https://") && !page.body.contains("src=\"//"), "nothing comes from elsewhere");
}

#[tokio::test]
async fn every_problem_leads_to_its_description() {
    let site = Site::embedded().await;
    let problems = Visitor::new().get(site.url("/docs/problems")).await;
    assert_eq!(problems.status, 200);
    for (path, expected) in [("/v1/me", "unauthenticated"), ("/v1/x", "not_found")] {
        let answer = site.nobody().get(path).await;
        assert_eq!(answer.code(), expected);
        let (page, anchor) = answer.json()["type"]
            .as_str()
            .and_then(|it| it.split_once('#'))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("an address");
        assert_eq!(page, "/docs/problems");
        assert!(problems.body.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
}
