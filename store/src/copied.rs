//! Pages of the log as PostgreSQL's `copy` gives them, in its binary format.

use domain::event::Position;

/// What every copy begins with: a signature, and two numbers that say nothing here.
const HEADER_BYTES: usize = 19;
/// What every copy ends with.
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// The statement for a page.
pub(crate) fn select_page(after: Position, limit: i64) -> String {
    let until = after.saturating_add(limit);
    format!(
        "copy (select position, envelope from event where position > {after} and position <= {until} \
         order by position) to stdout (format binary)"
    )
}

/// Reads positions and envelopes out of messages, each of which is a row; the header comes with the first one.
///
/// # Errors
/// The bytes are not what the database gives for [`select_page`].
pub(crate) fn rows(messages: &[impl AsRef<[u8]>]) -> Result<Vec<(Position, &str)>, sqlx::Error> {
    let unreadable = || sqlx::Error::Protocol("a copied page is not readable".into());
    let mut rows = Vec::with_capacity(messages.len());
    let mut messages = messages.iter().map(AsRef::as_ref);
    let mut rest = messages.next().and_then(|first| first.get(HEADER_BYTES..)).ok_or_else(unreadable)?;
    while rest != END {
        if rest.is_empty() {
            rest = messages.next().ok_or_else(unreadable)?;
            continue;
        }
        let (found, after) = row(rest).ok_or_else(unreadable)?;
        rows.push(found);
        rest = after;
    }
    Ok(rows)
}

/// A row is the number of its columns and, for each, a length and as many bytes.
fn row(bytes: &[u8]) -> Option<((Position, &str), &[u8])> {
    let (_columns_and_length, bytes) = bytes.split_first_chunk::<6>()?;
    let (position, bytes) = bytes.split_first_chunk()?;
    let (length, bytes) = bytes.split_first_chunk()?;
    let (envelope, rest) = bytes.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some(((i64::from_be_bytes(*position), str::from_utf8(envelope).ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_ends_early_is_an_error() {
        let row = [&[0, 2, 0, 0, 0, 8][..], &7_i64.to_be_bytes(), &[0, 0, 0, 2], b"{}"].concat();
        let copied = [&[0; HEADER_BYTES][..], &row, &row, &END];
        assert_eq!(rows(&copied).unwrap(), [(7, "{}"), (7, "{}")]);
        for messages in 0..copied.len() {
            assert!(rows(&copied[..messages]).is_err(), "{messages}");
        }
        let copied = copied.concat();
        for length in 0..copied.len() {
            assert!(rows(&[&copied[..length]]).is_err(), "{length}");
        }
    }
}
