//! The one place where randomness is drawn.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use domain::time::Timestamp;
use uuid::Uuid;
use zeroize::Zeroize as _;

/// Bytes drawn from the system at once: a command needs about a hundred in six places, and each call of the system
/// costs as much as sealing a name.
const DRAWN_BYTES: usize = 1_024;

/// Bytes that were drawn and not yet given away, from `given` on. What was given is wiped.
struct Drawn {
    bytes: [u8; DRAWN_BYTES],
    given: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; DRAWN_BYTES], given: DRAWN_BYTES }) };
}

/// Fills an array from the system's source of randomness.
pub fn bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= DRAWN_BYTES) };
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.given + N > DRAWN_BYTES {
            draw(&mut drawn.bytes);
            drawn.given = 0;
        }
        let mut bytes = [0; N];
        let source = &mut drawn.bytes[drawn.given..drawn.given + N];
        bytes.copy_from_slice(source);
        source.zeroize();
        drawn.given += N;
        bytes
    })
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that draws randomness")]
fn draw(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("invariant: the operating system provides randomness");
}

/// Draws a random UUID (version 4).
pub fn uuid() -> Uuid {
    uuid::Builder::from_random_bytes(bytes()).into_uuid()
}

/// Draws a UUID that begins with the time (version 7, RFC 9562): 74 random bits, and whatever has such an id lands at
/// the end of an index and not on a page of its own.
pub fn ordered_uuid(now: Timestamp) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(now.0.unsigned_abs(), &bytes()).into_uuid()
}

/// The least and the greatest UUID that [`ordered_uuid`] draws between two times.
pub(crate) fn ordered_uuids(from: Timestamp, to: Timestamp) -> RangeInclusive<Uuid> {
    let at =
        |time: Timestamp, bytes| uuid::Builder::from_unix_timestamp_millis(time.0.unsigned_abs(), bytes).into_uuid();
    at(from, &[0; 10])..=at(to, &[0xff; 10])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_given_twice_across_draws_and_threads() {
        let draw_many = || (0..1_000).map(|_| bytes::<24>()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw_many)).collect();
        let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert!(all.iter().all(|bytes| bytes.iter().any(|byte| *byte != 0)));
    }

    #[test]
    fn ordered_ids_follow_the_clock_and_differ_within_a_millisecond() {
        let (early, late) = (ordered_uuid(Timestamp(1_000)), ordered_uuid(Timestamp(1_001)));
        assert!(early < late);
        assert_ne!(early, ordered_uuid(Timestamp(1_000)));
        assert_eq!(early.get_version_num(), 7);
        let second = ordered_uuids(Timestamp(1_000), Timestamp(1_000));
        assert!(second.contains(&early) && !second.contains(&late));
    }
}
