//! The house keeps its shape: who may import whom, what is banned, which licences come in.
//!
//! Reads `cargo metadata` and the sources, so that a broken arrow names the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// `domain <- store <- projections <- { workers, api }`; the root imports all.
const ARROWS: [(&str, &[&str]); 6] = [
    ("domain", &[]),
    ("store", &["domain"]),
    ("projections", &["domain", "store"]),
    ("workers", &["domain", "store", "projections"]),
    ("api", &["domain", "store", "projections"]),
    ("vinculum", &["domain", "store", "projections", "workers", "api"]),
];

/// Which of our crates may name these crates outside their tests.
const CONFINED: [(&str, &[&str]); 3] =
    [("axum", &["api", "vinculum"]), ("lettre", &["workers"]), ("sqlx", &["store", "projections"])];

/// Async runtimes, input and output: the domain reaches none of them, not even through another crate.
const NOT_BELOW_THE_DOMAIN: [&str; 15] = [
    "tokio",
    "mio",
    "socket2",
    "async-trait",
    "async-std",
    "smol",
    "futures-util",
    "hyper",
    "axum",
    "tower",
    "reqwest",
    "lettre",
    "sqlx",
    "sqlx-core",
    "rustls",
];

/// A second TLS stack. (`openssl-probe` only looks for certificates; it is no OpenSSL.)
const BANNED: [&str; 9] = [
    "openssl",
    "openssl-sys",
    "openssl-src",
    "native-tls",
    "tokio-native-tls",
    "hyper-tls",
    "aws-lc-rs",
    "aws-lc-sys",
    "aws-lc-fips-sys",
];

/// One of each: two versions would be two runtimes, two TLS stacks, two HTTP clients.
const ONCE: [&str; 9] = ["tokio", "rustls", "ring", "reqwest", "hyper", "axum", "sqlx", "time", "uuid"];

/// Licences that ask for no more than a notice.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Licences that bind the files of a crate that only tests or builds use, and that nobody receives.
const LICENCES_OF_TOOLS: [&str; 1] = ["MPL-2.0"];

/// A file longer than this holds more than one thing.
const FILE_LINES_MAX: usize = 1000;

#[test]
fn arrows_between_our_crates_point_down() {
    for (name, allowed) in ARROWS {
        let ours: BTreeSet<_> = ARROWS.iter().map(|(name, _)| *name).collect();
        for dependency in dependencies_of(name).filter(|dependency| ours.contains(dependency)) {
            assert!(allowed.contains(&dependency), "{name} must not import {dependency}");
        }
    }
    assert_eq!(members().count(), ARROWS.len(), "a new crate needs its arrows here and an ADR");
}

#[test]
fn the_domain_is_pure() {
    let below = all_below("domain");
    for name in NOT_BELOW_THE_DOMAIN {
        assert!(!below.contains(name), "domain reaches {name}");
    }
    let impure =
        ["async fn", ".await", "std::fs", "std::net", "std::process", "std::thread", "SystemTime", "Instant::now"];
    for (path, line) in lines_of(&["domain/src"]) {
        for word in impure {
            assert!(!line.contains(word), "{path} holds {word}: {line}");
        }
    }
}

#[test]
fn axum_lettre_and_sqlx_stay_in_their_rooms() {
    for (name, allowed) in CONFINED {
        for member in members().filter(|member| !allowed.contains(member)) {
            assert!(shipped_dependencies_of(member).all(|used| used != name), "{member} must not use {name}");
        }
    }
    let is_http = |path: &str| path.starts_with("src/dev") || ["src/serve.rs", "src/listen.rs"].contains(&path);
    for (path, line) in lines_of(&["src"]).filter(|(path, _)| !is_http(path)) {
        assert!(!line.contains("axum::"), "{path} uses axum outside src/dev, serve and listen: {line}");
    }
}

#[test]
fn the_environment_is_read_in_one_file() {
    for (path, line) in lines_of(&OUR_SOURCES).filter(|(path, _)| path != "src/config.rs") {
        assert!(!line.contains("std::env") && !line.contains("env::var"), "{path} reads the environment: {line}");
    }
}

#[test]
fn no_second_tls_stack_and_one_of_each() {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages() {
        versions.entry(text(package, "name")).or_default().push(text(package, "version"));
    }
    for name in BANNED {
        assert!(!versions.contains_key(name), "{name} came in: `cargo tree --invert {name}` says through whom");
    }
    for name in ONCE {
        assert!(
            versions.get(name).is_none_or(|found| found.len() == 1),
            "{name} is there in versions {:?}",
            versions[name]
        );
    }
}

#[test]
fn every_licence_is_allowed() {
    let shipped = all_below("vinculum");
    for package in packages() {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        let only_tests = !shipped.contains(name) && LICENCES_OF_TOOLS.contains(&licence);
        assert!(only_tests || is_allowed(licence), "{name} is under \"{licence}\", which is not on the list");
    }
    assert!(
        is_allowed("MIT OR GPL-3.0-only")
            && is_allowed("Apache-2.0 WITH LLVM-exception")
            && is_allowed("MIT/Apache-2.0")
    );
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0") && is_allowed("Apache-2.0 OR (GPL-2.0 AND MIT)"));
    assert!(!is_allowed("GPL-3.0-only") && !is_allowed("MIT AND GPL-3.0-only") && !is_allowed(""));
}

#[test]
fn every_crate_comes_from_one_registry_in_a_version_named_once() {
    let mut registries = BTreeSet::new();
    for package in packages() {
        let name = text(package, "name");
        match package["source"].as_str() {
            None => assert!(ARROWS.iter().any(|(ours, _)| *ours == name), "{name} is a path outside the workspace"),
            Some(source) => {
                assert!(source.starts_with("registry+"), "{name} comes from {source}");
                registries.insert(source);
            }
        }
    }
    assert_eq!(registries.len(), 1, "crates come from several registries: {registries:?}");
    for (member, _) in ARROWS {
        let folder = if member == "vinculum" { "" } else { member };
        let manifest =
            std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a member has a manifest");
        let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, dependency) in manifest.get(table).and_then(toml::Value::as_table).into_iter().flatten() {
                let inherits = dependency.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherits, "{member}: {name} must be `{name}.workspace = true`");
            }
        }
    }
}

#[test]
fn no_file_is_too_long_and_no_test_is_switched_off() {
    let switched_off = concat!("#[", "ignore");
    let mut seen = 0;
    for path in files_below(&root()) {
        let name = path.strip_prefix(root()).expect("it is below the root").display().to_string();
        let wanted = ["rs", "sql", "html", "css", "js", "mjs", "sh"];
        if !path.extension().is_some_and(|extension| wanted.iter().any(|each| extension == *each)) {
            continue;
        }
        let content = std::fs::read_to_string(&path).expect("sources are text");
        assert!(content.lines().count() <= FILE_LINES_MAX, "{name} has {} lines", content.lines().count());
        assert!(!content.contains(switched_off), "{name} switches a test off");
        seen += 1;
    }
    assert!(seen > 20, "the sources were found");
}

const OUR_SOURCES: [&str; 6] = ["src", "domain/src", "store/src", "projections/src", "workers/src", "api/src"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let mut command = Command::new(env!("CARGO"));
        command.args(["metadata", "--locked", "--format-version=1"]).current_dir(root());
        let output = command.output().expect("cargo is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("metadata is JSON")
    })
}

/// All packages that a build on any platform can take in, ours included.
fn packages() -> impl Iterator<Item = &'static Value> {
    metadata()["packages"].as_array().expect("packages are listed").iter()
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

fn members() -> impl Iterator<Item = &'static str> {
    packages().filter(|package| package["source"].is_null()).map(|package| text(package, "name"))
}

/// Direct dependencies of one of our crates, of every kind.
fn dependencies_of(member: &str) -> impl Iterator<Item = &'static str> {
    declared_by(member).map(|dependency| text(dependency, "name"))
}

/// Direct dependencies of one of our crates, without those that only its tests have.
fn shipped_dependencies_of(member: &str) -> impl Iterator<Item = &'static str> {
    declared_by(member).filter(|dependency| dependency["kind"] != "dev").map(|dependency| text(dependency, "name"))
}

fn declared_by(member: &str) -> impl Iterator<Item = &'static Value> {
    let package = packages().find(|package| package["source"].is_null() && text(package, "name") == member);
    let package = package.unwrap_or_else(|| panic!("{member} is no crate of the workspace"));
    package["dependencies"].as_array().expect("dependencies are listed").iter()
}

/// Names of everything that the library of one of our crates is built on.
fn all_below(member: &str) -> BTreeSet<&'static str> {
    let nodes = metadata()["resolve"]["nodes"].as_array().expect("the graph is there");
    let names: BTreeMap<_, _> = packages().map(|package| (text(package, "id"), text(package, "name"))).collect();
    let start = packages().find(|package| package["source"].is_null() && text(package, "name") == member);
    let mut waiting = vec![text(start.expect("it is a member"), "id")];
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        let node = nodes.iter().find(|node| text(node, "id") == id).expect("every package is in the graph");
        for dependency in node["deps"].as_array().expect("a node lists what it is built on") {
            let kinds = dependency["dep_kinds"].as_array().expect("a dependency has kinds");
            // Of several platforms' ways to one thing, that of a browser sandbox is not ours.
            let is_ours = |kind: &Value| kind["kind"].is_null() && !text(kind, "target").contains("wasm");
            let is_normal = kinds.iter().any(is_ours);
            if is_normal && seen.insert(text(dependency, "pkg")) {
                waiting.push(text(dependency, "pkg"));
            }
        }
    }
    seen.into_iter().map(|id| names[id]).collect()
}

/// Lines of code, without whole-line comments, each with its path from the root.
fn lines_of(folders: &[&str]) -> impl Iterator<Item = (String, String)> {
    let files: Vec<_> = folders.iter().flat_map(|folder| files_below(&root().join(folder))).collect();
    files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")).flat_map(|path| {
        let name = path.strip_prefix(root()).expect("it is below the root").display().to_string();
        let content = std::fs::read_to_string(&path).expect("sources are text");
        let code: Vec<_> =
            content.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect();
        code.into_iter().map(move |line| (name.clone(), line))
    })
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let skipped = ["target", "node_modules", "data"];
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.path().is_file() {
            files.push(entry.path());
        } else if !name.starts_with('.') && !skipped.contains(&name.as_ref()) {
            files.extend(files_below(&entry.path()));
        }
    }
    files
}

/// An SPDX expression with `OR` above `AND`, parentheses, and the old slash for `OR`. An exception only widens a licence.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = any(&mut words);
    allowed && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>) -> bool {
    let mut allowed = all(words);
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all(words);
    }
    allowed
}

fn all(words: &mut Words<'_>) -> bool {
    let mut allowed = one(words);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut Words<'_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let allowed = any(words);
        return words.next() == Some(")") && allowed;
    }
    let allowed = words.next().is_some_and(|word| LICENCES.contains(&word));
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allowed
}
