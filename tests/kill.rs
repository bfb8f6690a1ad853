//! Nodes that are killed under load, many times: nothing that was acknowledged is lost, nothing happens twice.
//!
//! Reading order: `nodes` are the services that die and come back, `load` asks them for things and remembers what they
//! acknowledged, `sink` is the mail server, `audit` looks for what was promised.

mod support;

mod kill {
    pub mod nodes;
    pub mod load;
    pub mod sink;
    pub mod audit;
}

use std::time::Duration;

use kill::audit::Audit;
use kill::load::{Acknowledged, Load};
use kill::nodes::Nodes;
use kill::sink::Sink;
use support::{Clock, Postgres, Production, Vinculum, free_port};

/// In the middle of the load.
const MEANWHILE_AFTER: Duration = Duration::from_secs(6);
/// Longer than a claim of a mail lives whose worker has died.
const PAST_DEAD_CLAIMS_SECONDS: u32 = 6 * 60;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_on_postgresql_are_killed_one_after_the_other_under_load() {
    let (sink, clock) = (Sink::start(), Clock::start());
    let ports = [free_port(), free_port(), free_port()];
    let mut production = Production::prepare(&configuration(ports[0], sink.port()));
    let hosts = ports.map(|port| format!("127.0.0.1:{port}"));
    production.set("VINCULUM_OTHER_HOSTS", &hosts.join(","));
    production.migrate();
    let key = production.key("load", &["back_office", "support", "auditor", "operator"]);
    let nodes = Nodes::start(3, Duration::from_millis(700), |number, home| {
        let mut more = clock.environment().to_vec();
        more.push(("VINCULUM_LISTEN".into(), hosts[number].clone()));
        production.serve_in(home, &more)
    });

    let load = Load::new(&key, 64, Duration::from_secs(20), 10);
    let rebuild = || assert_views_are_equal(&production.succeed(&["rebuild"]));
    let (acknowledged, kills) = kill_under(&load, &nodes, rebuild);
    eprintln!("{} commands acknowledged, {} of them after a retry; {kills} kills", acknowledged.len(), load.retried());

    rebuild();
    clock.move_ahead(PAST_DEAD_CLAIMS_SECONDS);
    let audit = Audit::of(&nodes, &key, &acknowledged).await;
    audit.every_command_had_its_effect_once();
    audit.every_mail_ended_and_none_was_copied_needlessly(|mail| sink.copies(mail));
    audit.positions_have_no_gaps(&positions(production.database()));
    rebuild();
    nodes.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_default_is_killed_under_load() {
    let (clock, home) = (Clock::start(), tempfile::tempdir().expect("there is room for a folder"));
    let listen = format!("127.0.0.1:{}", free_port());
    let mut environment = clock.environment().to_vec();
    environment.push(("VINCULUM_LISTEN".into(), listen));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let command = |arguments: &[&str]| {
        let output = Vinculum::command(home.path(), &environment).args(arguments).output().expect("the binary starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    let nodes = Nodes::start(1, Duration::from_millis(2200), |_, _| Vinculum::serve(home.path(), &environment));
    let scopes = ["back_office", "support", "auditor", "operator"].map(|scope| ["--scope", scope]).concat();
    let key = command(&[&["keys", "create", "load"][..], &scopes].concat());

    let load = Load::new(&key, 32, Duration::from_secs(15), 5);
    let rebuild = || assert_views_are_equal(&command(&["rebuild"]));
    let (acknowledged, kills) = kill_under(&load, &nodes, rebuild);
    eprintln!("{} commands acknowledged, {} of them after a retry; {kills} kills", acknowledged.len(), load.retried());

    rebuild();
    clock.move_ahead(PAST_DEAD_CLAIMS_SECONDS);
    let audit = Audit::of(&nodes, &key, &acknowledged).await;
    audit.every_command_had_its_effect_once();
    let mails = home.path().join("data/mail");
    audit.every_mail_ended_and_none_was_copied_needlessly(|mail| u32::from(mails.join(format!("{mail}.eml")).exists()));
    nodes.stop();
    audit.positions_have_no_gaps(&kill::audit::positions_in(&home.path().join("data")).await);
}

/// Kills on a thread of its own, since starting a node again blocks, and does something else meanwhile.
fn kill_under(load: &Load, nodes: &Nodes<'_>, meanwhile: impl Fn() + Sync) -> (Vec<Acknowledged>, u32) {
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| nodes.kill_until(load));
        let other = scope.spawn(|| {
            std::thread::sleep(MEANWHILE_AFTER);
            meanwhile();
        });
        let asking = load.run(nodes);
        let acknowledged = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asking));
        other.join().expect("what is done meanwhile succeeds");
        (acknowledged, killer.join().expect("the nodes start again"))
    })
}

fn configuration(base: u16, relay: u16) -> String {
    format!(
        r#"
        base_url = "http://127.0.0.1:{base}"
        mail_from = "no-reply@mail.test"
        smtp_url = "smtp+plain://127.0.0.1:{relay}"
        [[issuers]]
        key = "personal"
        kind = "personal"
        issuer = "http://127.0.0.1:9"
        client_id = "vinculum"
        "#
    )
}

fn positions(database: &Postgres) -> Vec<i64> {
    let head: i64 = database.sql("select position from log_head").parse().expect("the head is a number");
    let rows = database.sql("select position from event order by position");
    let positions: Vec<i64> = rows.lines().map(|row| row.parse().expect("a position is a number")).collect();
    assert_eq!(positions.last(), Some(&head), "the head is the newest event");
    positions
}

fn assert_views_are_equal(rebuilt: &str) {
    assert!(rebuilt.lines().count() >= 5, "{rebuilt}");
    for line in rebuilt.lines() {
        assert!(line.ends_with("equal to the one before"), "{rebuilt}");
    }
}
