//! The command line.

use std::path::Path;

use super::site::{Ran, Site, run};

fn check_config(home: &Path, environment: &[(&str, &str)]) -> Ran {
    run(home, environment, &["check-config"])
}

#[test]
fn t73_check_config_and_serve_tell_every_mistake_at_once() {
    let home = tempfile::tempdir().expect("a folder can be made");
    let fine = check_config(home.path(), &[]);
    assert!(fine.success && fine.out.contains("in order: the embedded default"), "{fine:?}");

    let short = "c2hvcnQtbWFya2VyLTdmM2E=";
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let (sealing, links) = (format!("s1:{short}"), format!("l1:{zeros}"));
    let environment = [
        ("DATABASE_URL", "mysql://user:marker-7f3a@127.0.0.1/db"),
        ("VINCULUM_LISTEN", "everywhere"),
        ("VINCULUM_BASE_URL", "http://id.example.com"),
        ("VINCULUM_SMTP_URL", "smtp+plain://user:marker-7f3a@mail.example.com"),
        ("VINCULUM_MAIL_FROM", "nobody"),
        ("VINCULUM_SEALING_KEYS", &sealing),
        ("VINCULUM_LINK_KEYS", &links),
        ("VINCULUM_DATA", "data"),
    ];
    let told = [
        "database_url:",
        "listen:",
        "base_url:",
        "mail_from:",
        "sealing_keys:",
        "link_keys:",
        "look_up_key:",
        "issuers:",
        "data:",
    ];
    for command in ["check-config", "serve", "migrate"] {
        let wrong = run(home.path(), &environment, &[command]);
        assert!(!wrong.success, "{command}: {wrong:?}");
        for setting in told {
            assert!(wrong.err.contains(&format!("\n  {setting}")), "{command} does not tell {setting} {}", wrong.err);
        }
        assert!(wrong.err.contains(&format!("has {} mistakes", wrong.err.matches("\n  ").count())), "{}", wrong.err);
        assert!(!wrong.err.contains("marker-7f3a") && !wrong.err.contains(short), "a secret is told: {}", wrong.err);
    }
    // The relay can be judged only beside a sender.
    let environment =
        environment.map(|(name, value)| (name, if name == "VINCULUM_MAIL_FROM" { "a@b.example" } else { value }));
    assert!(check_config(home.path(), &environment).err.contains("\n  smtp_url:"));
    let one = check_config(home.path(), &[("VINCULUM_LISTEN", "0.0.0.0:80")]);
    assert!(!one.success && one.err.contains("has 1 mistake:") && one.err.contains("loopback"), "{one:?}");
    let unknown = home.path().join("wrong.toml");
    std::fs::write(&unknown, "base_url = \"https://x.example\"\nlook_up_key = marker-7f3a\n")
        .expect("the folder takes files");
    let unknown = run(home.path(), &[], &["check-config", "--config", &unknown.display().to_string()]);
    assert!(!unknown.success && unknown.err.contains("line 2") && !unknown.err.contains("marker-7f3a"), "{unknown:?}");
    assert!(!run(home.path(), &[], &["check-config", "--config", "nowhere.toml"]).success);
    assert!(!home.path().join("data").exists(), "nothing was made on the way");
}

#[test]
fn secrets_are_fresh_and_make_a_configuration() {
    let home = tempfile::tempdir().expect("a folder can be made");
    let (first, second) = (run(home.path(), &[], &["secrets"]), run(home.path(), &[], &["secrets"]));
    assert!(first.success && first.out != second.out, "{first:?}");
    let file = home.path().join("vinculum.toml");
    let text = "base_url = \"https://id.example.com\"\nsmtp_url = \"smtp://mail.example.com\"\nmail_from = \"a@b.example\"\n\
        [[issuers]]\nkey = \"personal\"\nkind = \"personal\"\nissuer = \"https://login.example.com\"\nclient_id = \"v\"\n";
    std::fs::write(&file, text).expect("the folder takes files");
    let file = file.display().to_string();
    let mut environment: Vec<(&str, &str)> = first.out.lines().filter_map(|line| line.split_once('=')).collect();
    environment.extend([("DATABASE_URL", "postgres://127.0.0.1/x"), ("VINCULUM_CONFIG", &file)]);
    assert_eq!(environment.len(), 5, "three secrets: {}", first.out);
    let fine = check_config(home.path(), &environment);
    assert!(fine.success && fine.out.contains("https://id.example.com/, issuers personal"), "{fine:?}");
    environment.remove(0);
    let missing = check_config(home.path(), &environment);
    assert!(!missing.success && missing.err.contains("sealing_keys: is missing"), "{missing:?}");
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked() {
    let site = Site::embedded().await;
    let made = site.run(&["keys", "create", "night audit", "--scope", "auditor", "--scope", "operator"]);
    assert!(made.success && made.out.starts_with("vk_") && made.out.trim().lines().count() == 1, "{made:?}");
    let key = made.out.trim();
    let list = || site.run(&["keys", "list"]);
    let listed = list();
    let line = listed.out.lines().find(|line| line.contains("night audit")).expect("the key is listed").to_owned();
    assert!(line.contains("auditor") && line.contains("operator") && line.ends_with("works"), "{line}");
    let (id, secret) = (line.split_whitespace().next().expect("an id"), key.rsplit('_').next().expect("a secret"));
    assert!(made.err.contains(id) && !listed.out.contains(secret) && !made.err.contains(secret));
    site.api(key).get("/v1/invitations").await.expect(200);

    let revoked = site.run(&["keys", "revoke", id]);
    assert!(revoked.success && revoked.out.contains(id), "{revoked:?}");
    site.api(key).get("/v1/invitations").await.expect_problem(401, "api_key_unknown");
    assert!(list().out.lines().any(|line| line.contains(id) && line.contains("revoked 20")));
    assert!(!site.run(&["keys", "revoke", id]).success, "a key is revoked once");
    assert!(!site.run(&["keys", "revoke", &store::random::uuid().to_string()]).success);
    let unknown = site.run(&["keys", "create", "x", "--scope", "god"]);
    assert!(
        !unknown.success && unknown.err.contains("known scopes: back_office, support, operator, auditor"),
        "{unknown:?}"
    );
    assert!(!site.run(&["keys", "create", "x"]).success, "a key without a scope is none");
    assert!(!site.run(&["keys", "revoke", "x"]).success);
}
