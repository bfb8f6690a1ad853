//! Working state: what is neither log nor view, and what erasure and time may delete.

pub mod api_keys;
pub mod associations;
pub mod choices;
pub mod flows;
pub mod identities;
pub mod imports;
pub mod leases;
pub mod sessions;

use sha2::{Digest, Sha256};

use crate::random;
use crate::secret::Secret;

/// A fresh secret of 256 bits, as base64url.
pub fn fresh_secret() -> Secret<String> {
    use base64::Engine as _;
    Secret::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random::bytes::<32>()))
}

/// How a secret stands in the database: its SHA-256 as hex. Secrets have 256 bits, so no salt is needed.
fn at_rest(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
