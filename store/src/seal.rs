//! Sealing: personal data under one person's key, and that key under a key of the configuration.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): its 192-bit nonce may be random. A sealed text is base64 of nonce
//! and ciphertext; what it belongs to is bound as associated data, so that parts cannot change places.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use uuid::Uuid;
use zeroize::Zeroize as _;

use crate::generations::Generations;
use crate::random;
use crate::secret::Secret;

/// The length of every key, in bytes.
pub const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Opened keys kept in memory: enough for the people of a busy hour.
const KEYS_IN_MEMORY_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("invariant: the constant is not zero");

/// One person's key.
pub type PersonKey = Secret<[u8; KEY_BYTES]>;

/// A sealed text cannot be opened: another key, other associated data, or changed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed part cannot be opened with the keys at hand")]
pub struct CannotOpen;

/// A named key of the configuration.
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// Stands before what it wraps; letters, digits, `-` and `_`.
    pub id: String,
    /// The key.
    pub key: Secret<[u8; KEY_BYTES]>,
}

/// Seals `plain` under `key`, bound to `belongs_to`.
pub fn seal(key: &PersonKey, belongs_to: &[u8], plain: &[u8]) -> String {
    let nonce: [u8; NONCE_BYTES] = random::bytes();
    let mut bytes = Vec::with_capacity(NONCE_BYTES + plain.len() + CHACHA20_POLY1305.tag_len());
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(plain);
    let (subkey, short_nonce) = derive(key, &nonce);
    let tag = subkey
        .seal_in_place_separate_tag(short_nonce, Aad::from(belongs_to), &mut bytes[NONCE_BYTES..])
        .expect("invariant: a personal part is far below the cipher's limit of 256 GiB");
    bytes.extend_from_slice(tag.as_ref());
    BASE64.encode(bytes)
}

/// Opens what [`seal`] made.
///
/// # Errors
/// It was sealed under another key, for something else, or was changed.
pub fn open(key: &PersonKey, belongs_to: &[u8], sealed: &str) -> Result<Vec<u8>, CannotOpen> {
    open_bytes(key, belongs_to, decode(sealed)?)
}

/// What a sealed text says, still sealed.
pub(crate) fn decode(sealed: &str) -> Result<Vec<u8>, CannotOpen> {
    BASE64.decode(sealed).map_err(|_| CannotOpen)
}

/// Opens what [`decode`] gave.
pub(crate) fn open_bytes(key: &PersonKey, belongs_to: &[u8], mut bytes: Vec<u8>) -> Result<Vec<u8>, CannotOpen> {
    let (subkey, short_nonce) = derive(key, bytes.first_chunk().ok_or(CannotOpen)?);
    let plain = subkey.open_within(short_nonce, Aad::from(belongs_to), &mut bytes, NONCE_BYTES..);
    let length = plain.map_err(|_| CannotOpen)?.len();
    bytes.truncate(length);
    Ok(bytes)
}

/// XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key that follows from the first 16 bytes of the nonce, with the other 8
/// as its nonce. Ring's is several times as fast on short texts as one made for long ones.
fn derive(key: &PersonKey, nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
    let (first, rest) = nonce.split_first_chunk::<16>().expect("invariant: a nonce has 24 bytes");
    let mut subkey = hchacha::<R20>(key.reveal().into(), first.into());
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, &subkey).expect("invariant: a key has 32 bytes");
    subkey.zeroize();
    let mut short_nonce = [0; ring::aead::NONCE_LEN];
    short_nonce[4..].copy_from_slice(rest);
    (LessSafeKey::new(unbound), Nonce::assume_unique_for_key(short_nonce))
}

/// The configuration's sealing keys, and the persons' keys that were opened lately.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<NamedKey>,
    opened: Mutex<Generations<Uuid, PersonKey>>,
    forgotten: AtomicU64,
}

impl KeyRing {
    /// A ring of sealing keys: the first wraps, all unwrap.
    ///
    /// # Panics
    /// If there is no key at all; the configuration is checked before.
    pub fn new(keys: Vec<NamedKey>) -> Self {
        assert!(!keys.is_empty(), "invariant: the configuration has at least one sealing key");
        Self { keys, opened: Mutex::new(Generations::new(KEYS_IN_MEMORY_MAX)), forgotten: AtomicU64::new(0) }
    }

    /// Makes a new person's key.
    pub fn fresh(&self) -> PersonKey {
        Secret::new(random::bytes())
    }

    /// Wraps a person's key for storage: `id:base64`.
    pub fn wrap(&self, person: Uuid, key: &PersonKey) -> String {
        let wrapping = &self.keys[0];
        format!("{}:{}", wrapping.id, seal(&wrapping.key, person.as_bytes(), key.reveal()))
    }

    /// Unwraps a stored key.
    ///
    /// # Errors
    /// Its wrapping key is not configured, or it was changed.
    pub fn unwrap(&self, person: Uuid, wrapped: &str) -> Result<PersonKey, CannotOpen> {
        let (id, sealed) = wrapped.split_once(':').ok_or(CannotOpen)?;
        let wrapping = self.keys.iter().find(|key| key.id == id).ok_or(CannotOpen)?;
        let key: [u8; KEY_BYTES] =
            open(&wrapping.key, person.as_bytes(), sealed)?.try_into().map_err(|_| CannotOpen)?;
        Ok(Secret::new(key))
    }

    /// The person's key, if it was used lately.
    pub fn remembered(&self, person: Uuid) -> Option<PersonKey> {
        self.lock().get(&person).cloned()
    }

    /// The keys of these persons that were used lately.
    pub fn remembered_of(&self, persons: &[Uuid]) -> HashMap<Uuid, PersonKey> {
        let mut opened = self.lock();
        persons.iter().filter_map(|person| Some((*person, opened.get(person)?.clone()))).collect()
    }

    /// Keeps persons' keys at hand, unless any has been forgotten since `forgotten` were: it may be one of these, read just
    /// before it was destroyed.
    pub fn remember(&self, keys: impl IntoIterator<Item = (Uuid, PersonKey)>, forgotten: u64) {
        let mut opened = self.lock();
        if self.forgotten() == forgotten {
            keys.into_iter().for_each(|(person, key)| opened.insert(person, key));
        }
    }

    /// Forgets a person's key: it was destroyed.
    pub fn forget(&self, person: Uuid) {
        self.forgotten.fetch_add(1, Ordering::AcqRel); // first: who remembers meanwhile either sees it or is undone
        self.lock().remove(&person);
    }

    /// How many keys were forgotten: another number means that somebody may have been erased.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Seals a short text of the working state under the newest key: `id:base64`.
    pub fn seal_text(&self, belongs_to: Uuid, text: &str) -> String {
        let sealing = &self.keys[0];
        format!("{}:{}", sealing.id, seal(&sealing.key, belongs_to.as_bytes(), text.as_bytes()))
    }

    /// Opens what [`KeyRing::seal_text`] sealed.
    ///
    /// # Errors
    /// Its key is not configured, or it was changed.
    pub fn open_text(&self, belongs_to: Uuid, sealed: &str) -> Result<String, CannotOpen> {
        let (id, sealed) = sealed.split_once(':').ok_or(CannotOpen)?;
        let sealing = self.keys.iter().find(|key| key.id == id).ok_or(CannotOpen)?;
        String::from_utf8(open(&sealing.key, belongs_to.as_bytes(), sealed)?).map_err(|_| CannotOpen)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<Uuid, PersonKey>> {
        self.opened.lock().expect("invariant: nobody panics while holding the keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(id: &str, byte: u8) -> KeyRing {
        KeyRing::new(vec![NamedKey { id: id.into(), key: Secret::new([byte; KEY_BYTES]) }])
    }

    #[test]
    fn a_sealed_part_opens_only_where_it_belongs() {
        let key = ring("a", 1).fresh();
        let sealed = seal(&key, b"event 1", b"robin");
        assert_eq!(open(&key, b"event 1", &sealed).unwrap(), b"robin");
        assert_eq!(open(&key, b"event 2", &sealed), Err(CannotOpen));
        assert_eq!(open(&Secret::new([9; KEY_BYTES]), b"event 1", &sealed), Err(CannotOpen));
        assert_eq!(open(&key, b"event 1", "AAAA"), Err(CannotOpen));
    }

    #[test]
    fn the_example_of_the_draft_opens() {
        const SEALED: &str = "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXvW0XnT6D1DuVdleUk8DpOVcqFwAlK/rMvtKQLCE5bLtzHH8bC0qmRAvzqC9O\
            2n45rmTGcIxUwhbLlrcuEhO0Ui+Mm6QNtdlFsRtpuYLBu54/P6wrw2lIj3ayODVl0//5IflmTJdjfal2iBL2FcaLE7Uu\
            wIdZJMHHmHlH3q/YeArPSQ==";
        let key = Secret::new(std::array::from_fn(|n| 0x80 + n as u8));
        let belongs_to = b"PQRS\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7";
        let plain = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                     sunscreen would be it.";
        assert_eq!(open(&key, belongs_to, SEALED).unwrap(), plain.as_bytes());
    }

    #[test]
    fn t68_a_key_that_was_read_before_somebody_was_erased_is_not_remembered_after_it() {
        let (ring, person) = (ring("a", 1), Uuid::from_u128(1));
        let read = |forgotten| ring.remember([(person, ring.fresh())], forgotten);
        let before = ring.forgotten();
        read(before);
        assert!(ring.remembered(person).is_some());
        ring.forget(person);
        read(before);
        assert!(ring.remembered(person).is_none());
        read(ring.forgotten());
        assert!(ring.remembered(person).is_some());
    }

    #[test]
    fn a_wrapped_key_belongs_to_one_person_and_one_wrapping_key() {
        let (ring_a, person) = (ring("a", 1), Uuid::from_u128(1));
        let key = ring_a.fresh();
        let wrapped = ring_a.wrap(person, &key);
        assert_eq!(ring_a.unwrap(person, &wrapped).unwrap().reveal(), key.reveal());
        assert!(ring_a.unwrap(Uuid::from_u128(2), &wrapped).is_err());
        assert!(ring("b", 1).unwrap(person, &wrapped).is_err());
        assert!(ring("a", 2).unwrap(person, &wrapped).is_err());
    }
}
