//! Events as they were first released decode for ever.
//!
//! A file `golden/{EventName}.v{n}.json` holds facts of one event type as some release wrote them: a list, so that it
//! can show every word and every field with and without a value. No file is ever edited. What the newest file of a type
//! holds is what this version writes; a change of the facts is a new file beside the old ones.
//! `golden/personal/` holds the same for personal parts: the bytes that were sealed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use domain::event::Event;
use domain::personal::Personal;
use serde_json::Value;

/// The files of a folder by name and version; the newest version of a name comes last.
fn golden(folder: &str) -> BTreeMap<String, BTreeMap<u32, PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files = BTreeMap::<String, BTreeMap<u32, PathBuf>>::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let file = path.file_name().unwrap().to_str().unwrap();
        let (name, version) =
            file.strip_suffix(".json").and_then(|stem| stem.split_once(".v")).expect("{name}.v{n}.json");
        files.entry(name.into()).or_default().insert(version.parse().unwrap(), path);
    }
    files
}

fn samples(path: &Path) -> Vec<Value> {
    let Value::Array(samples) = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap() else {
        panic!("{}: expected a list of facts", path.display())
    };
    assert!(!samples.is_empty(), "{}", path.display());
    samples
}

#[test]
fn every_event_type_has_a_golden_file_and_every_file_its_type() {
    let files = golden("golden");
    let without: Vec<_> = Event::NAMES.iter().filter(|name| !files.contains_key(**name)).collect();
    assert!(without.is_empty(), "no golden file: {without:?}");
    // An event type is never taken away: whatever was released is in some log.
    let unknown: Vec<_> = files.keys().filter(|name| !Event::NAMES.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "no event type: {unknown:?}");
}

#[test]
fn golden_events_decode_for_ever() {
    for (name, versions) in golden("golden") {
        for path in versions.values() {
            for facts in samples(path) {
                let event = Event::from_facts(&name, &facts)
                    .unwrap_or_else(|error| panic!("{}: {error}: {facts}", path.display()))
                    .expect("a known name");
                assert_eq!(event.name(), name);
                assert!(event.personal().is_none(), "{}: facts hold nothing personal", path.display());
            }
        }
    }
}

#[test]
fn the_newest_golden_file_is_what_this_version_writes() {
    for (name, versions) in golden("golden") {
        let (_, newest) = versions.last_key_value().unwrap();
        for facts in samples(newest) {
            let event = Event::from_facts(&name, &facts).unwrap().unwrap();
            let written: Value = serde_json::from_str(&event.facts()).unwrap();
            assert_eq!(written, facts, "{}: a change of the facts is a new file", newest.display());
        }
    }
}

#[test]
fn golden_personal_parts_decode_for_ever() {
    let files = golden("golden/personal");
    assert_eq!(files.keys().collect::<Vec<_>>(), ["address", "grounds", "identity", "professional", "reply"]);
    for (name, versions) in files {
        let newest = *versions.last_key_value().unwrap().0;
        for (version, path) in versions {
            for sealed in samples(&path) {
                let personal = Personal::from_bytes(sealed.to_string().as_bytes());
                let personal = personal.unwrap_or_else(|error| panic!("{}: {error}: {sealed}", path.display()));
                let kind = match &personal {
                    Personal::Professional(_) => "professional",
                    Personal::Identity(_) => "identity",
                    Personal::Reply(_) => "reply",
                    Personal::Address(_) => "address",
                    Personal::Grounds(_) => "grounds",
                };
                assert_eq!(kind, name);
                let written: Value = serde_json::from_slice(&personal.to_bytes()).unwrap();
                assert!(version < newest || written == sealed, "{}: a change is a new file", path.display());
            }
        }
    }
}
