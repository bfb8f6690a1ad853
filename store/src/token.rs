//! Secrets that are derived, never stored: the token of a link and the code for a mailbox.
//!
//! Nothing in the database, the log, a backup or a trace opens anything; a retry sends the same link.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use domain::ids::{AccountId, FlowId, InvitationId};
use domain::invitation::Link;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::seal::NamedKey;
use crate::secret::Secret;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
/// The longest id of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 16;
/// The longest token that is looked at, in characters.
const TOKEN_CHARS_MAX: usize = 200;
/// A mailbox code has 8 digits (T8).
pub const CODE_DIGITS: usize = 8;

/// What a derived secret is for. It stands under the MAC, so that a secret of one purpose is unknown to every other.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Invitation,
    MailboxCode,
}

impl Purpose {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Invitation => b"vinculum invitation link v1",
            Self::MailboxCode => b"vinculum mailbox code v1",
        }
    }
}

/// The configuration's keys for links and codes: the first derives, all verify.
#[derive(Clone, Debug)]
pub struct LinkKeys(Vec<NamedKey>);

impl LinkKeys {
    /// A ring of keys.
    ///
    /// # Panics
    /// If there is none; the configuration is checked before.
    pub fn new(keys: Vec<NamedKey>) -> Self {
        assert!(!keys.is_empty(), "invariant: the configuration has at least one link key");
        Self(keys)
    }

    /// The id of the key that new links are derived with.
    pub fn newest(&self) -> &str {
        &self.0[0].id
    }

    /// The token of a link; none if its key has retired.
    pub fn token(&self, key_id: &str, link: Link) -> Option<Secret<String>> {
        let key = self.find(key_id)?;
        let mut bytes = vec![VERSION, u8::try_from(key.id.len()).ok()?];
        bytes.extend_from_slice(key.id.as_bytes());
        bytes.extend_from_slice(link.account.0.as_bytes());
        bytes.extend_from_slice(link.invitation.0.as_bytes());
        bytes.extend_from_slice(&link.generation.to_be_bytes());
        let mac = mac(key, Purpose::Invitation, &[&bytes]).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        Some(Secret::new(BASE64.encode(bytes)))
    }

    /// Reads a token; none for anything that we did not derive. Compares in constant time.
    pub fn read(&self, token: &str) -> Option<Link> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let bytes = BASE64.decode(token).ok()?;
        let (body, tag) = bytes.split_last_chunk::<MAC_BYTES>()?;
        let (&[version, id_length], rest) = body.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_at_checked(usize::from(id_length))?;
        let (account, rest) = rest.split_first_chunk::<16>()?;
        let (invitation, rest) = rest.split_first_chunk::<16>()?;
        let generation: [u8; 4] = rest.try_into().ok()?;
        let key = self.find(std::str::from_utf8(id).ok()?)?;
        if version != VERSION {
            return None;
        }
        mac(key, Purpose::Invitation, &[body]).verify_slice(tag).ok()?;
        Some(Link {
            account: AccountId(Uuid::from_bytes(*account)),
            invitation: InvitationId(Uuid::from_bytes(*invitation)),
            generation: u32::from_be_bytes(generation),
        })
    }

    /// The code that goes to the mailbox for the `number`th request of a flow; none if its key has retired.
    pub fn code(&self, key_id: &str, flow: FlowId, number: u32) -> Option<Secret<String>> {
        let key = self.find(key_id)?;
        let mac = mac(key, Purpose::MailboxCode, &[flow.0.as_bytes(), &number.to_be_bytes()]).finalize().into_bytes();
        let (first, _) = mac.split_first_chunk::<8>()?;
        // 2^64 is so much more than 10^8 that the remainder's bias is below 10^-11.
        let code = u64::from_be_bytes(*first) % 10_u64.pow(CODE_DIGITS as u32);
        Some(Secret::new(format!("{code:0width$}", width = CODE_DIGITS)))
    }

    fn find(&self, id: &str) -> Option<&NamedKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

fn mac(key: &NamedKey, purpose: Purpose, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.key.reveal()).expect("invariant: HMAC takes a key of any length");
    mac.update(purpose.as_bytes());
    mac.update(&[0]);
    parts.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: &[(&str, u8)]) -> LinkKeys {
        LinkKeys::new(ids.iter().map(|(id, b)| NamedKey { id: (*id).into(), key: Secret::new([*b; 32]) }).collect())
    }

    fn link() -> Link {
        Link { account: AccountId(Uuid::from_u128(1)), invitation: InvitationId(Uuid::from_u128(2)), generation: 3 }
    }

    #[test]
    fn a_token_leads_to_its_link_and_a_retired_key_to_none() {
        let old = keys(&[("2025", 1)]);
        let token = old.token("2025", link()).unwrap();
        assert_eq!(old.read(token.reveal()), Some(link()));
        assert_eq!(keys(&[("2026", 2), ("2025", 1)]).read(token.reveal()), Some(link()));
        assert_eq!(keys(&[("2026", 2)]).read(token.reveal()), None);
        assert_eq!(keys(&[("2025", 2)]).read(token.reveal()), None);
    }

    #[test]
    fn t6_no_mutated_and_no_random_token_is_read() {
        let keys = keys(&[("k", 7)]);
        let good = BASE64.decode(keys.token("k", link()).unwrap().reveal()).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.read(&BASE64.encode(&bad)), None, "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(keys.read(&BASE64.encode(&good[..length])), None);
        }
        for _ in 0..100_000 {
            let mut bytes = good.clone();
            let tail: [u8; 32] = crate::random::bytes();
            let start = bytes.len() - 32;
            bytes[start..].copy_from_slice(&tail);
            assert_eq!(keys.read(&BASE64.encode(&bytes)), None);
        }
        assert_eq!(keys.read(&"A".repeat(10_000)), None);
    }

    #[test]
    fn t12_a_code_is_eight_digits_and_belongs_to_one_flow_and_one_request() {
        let keys = keys(&[("k", 7)]);
        let (flow, other) = (FlowId(Uuid::from_u128(1)), FlowId(Uuid::from_u128(2)));
        let code = keys.code("k", flow, 1).unwrap();
        assert!(code.reveal().len() == 8 && code.reveal().bytes().all(|b| b.is_ascii_digit()));
        assert_ne!(code, keys.code("k", flow, 2).unwrap());
        assert_ne!(code, keys.code("k", other, 1).unwrap());
        assert_eq!(keys.read(code.reveal()), None);
    }
}
