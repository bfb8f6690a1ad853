//! The keys of the embedded default: generated at the first start, kept in the data folder, readable by their owner
//! only.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use store::random;
use store::seal::{KEY_BYTES, NamedKey};
use store::secret::Secret;

use super::provider::generate_signing_key_pem;
use crate::config::Keys;

/// The id of the generated keys.
const KEY_ID: &str = "local";

/// The generated keys cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The data folder cannot be used.
    #[error("the data folder {} cannot be used", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// The file was changed by somebody else.
    #[error("{} is not as it was generated", .0.display())]
    Malformed(PathBuf),
}

/// What is generated.
#[derive(Debug)]
pub struct Generated {
    /// The keys of the service.
    pub keys: Keys,
    /// The signing key of the development provider.
    pub provider_key_pem: Secret<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sealing: String,
    links: String,
    look_up: String,
    provider: String,
}

/// Reads the keys, or makes them at the first start.
///
/// # Errors
/// The folder cannot be used, or the file is not as it was generated.
pub fn load_or_make(folder: &Path) -> Result<Generated, KeysError> {
    let path = folder.join("keys.toml");
    let cannot = |error| KeysError::Folder(folder.to_path_buf(), error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).ok_or(KeysError::Malformed(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = make();
            let draft = folder.join(".keys.toml");
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)
                .map_err(cannot)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)?;
            fs::rename(&draft, &path).map_err(cannot)?;
            parse(&text).ok_or(KeysError::Malformed(path))
        }
        Err(error) => Err(cannot(error)),
    }
}

fn make() -> String {
    let fresh = || BASE64.encode(random::bytes::<KEY_BYTES>());
    let provider = generate_signing_key_pem().reveal().clone();
    let file = File { sealing: fresh(), links: fresh(), look_up: fresh(), provider };
    let toml = toml::to_string(&file).expect("invariant: a struct of texts is TOML");
    format!("# Generated for this data folder. Whoever has these keys can read the personal data in it.\n{toml}")
}

fn parse(text: &str) -> Option<Generated> {
    let file: File = toml::from_str(text).ok()?;
    let key = |text: &str| -> Option<Secret<[u8; KEY_BYTES]>> {
        Some(Secret::new(BASE64.decode(text).ok()?.try_into().ok()?))
    };
    let named = |text: &str| Some(vec![NamedKey { id: KEY_ID.into(), key: key(text)? }]);
    Some(Generated {
        keys: Keys { sealing: named(&file.sealing)?, links: named(&file.links)?, look_up: key(&file.look_up)? },
        provider_key_pem: Secret::new(file.provider),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_survive_and_only_their_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let made = load_or_make(folder.path()).unwrap();
        let found = load_or_make(folder.path()).unwrap();
        assert_eq!(made.keys.look_up, found.keys.look_up);
        assert_eq!(made.provider_key_pem, found.provider_key_pem);
        let mode = fs::metadata(folder.path().join("keys.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_changed_file_is_refused_rather_than_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys.toml"), "sealing = 1").unwrap();
        assert!(matches!(load_or_make(folder.path()), Err(KeysError::Malformed(_))));
        assert_eq!(fs::read_to_string(folder.path().join("keys.toml")).unwrap(), "sealing = 1");
    }
}
