//! The one place where randomness is drawn.

use uuid::Uuid;

/// Fills an array from the system's source of randomness.
#[expect(clippy::disallowed_methods, reason = "this is the one place that draws randomness")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("invariant: the operating system provides randomness");
    bytes
}

/// Draws a random UUID (version 4).
pub fn uuid() -> Uuid {
    uuid::Builder::from_random_bytes(bytes()).into_uuid()
}
