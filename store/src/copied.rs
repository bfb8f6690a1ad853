//! Pages of the log as PostgreSQL's `copy` gives them, in its binary format: a message for each row, and one for the end.

use domain::event::Position;

/// What stands before the first row: a signature, and two numbers that say nothing here.
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

/// What comes of a page, message by message, each of which is a row.
#[derive(Default)]
pub(crate) struct Copied {
    has_begun: bool,
    has_ended: bool,
}

impl Copied {
    /// Reads a message as a position and an envelope; the last one is none.
    ///
    /// # Errors
    /// The bytes are not what the database gives for [`select_page`].
    pub fn row<'a>(&mut self, message: &'a [u8]) -> Result<Option<(Position, &'a str)>, sqlx::Error> {
        let header = if std::mem::replace(&mut self.has_begun, true) { 0 } else { HEADER_BYTES };
        let message = message.get(header..).ok_or_else(unreadable)?;
        self.has_ended = message == END;
        if self.has_ended {
            return Ok(None);
        }
        match row(message) {
            Some((row, [])) => Ok(Some(row)),
            _ => Err(unreadable()),
        }
    }

    /// Makes sure that nothing is missing.
    ///
    /// # Errors
    /// The last message did not come.
    pub fn end(self) -> Result<(), sqlx::Error> {
        if self.has_ended { Ok(()) } else { Err(unreadable()) }
    }
}

fn unreadable() -> sqlx::Error {
    sqlx::Error::Protocol("a copied page is not readable".into())
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

    fn read(messages: &[impl AsRef<[u8]>]) -> Result<Vec<(Position, String)>, sqlx::Error> {
        let (mut copied, mut rows) = (Copied::default(), Vec::new());
        for message in messages {
            rows.extend(copied.row(message.as_ref())?.map(|(position, envelope)| (position, envelope.to_owned())));
        }
        copied.end().map(|()| rows)
    }

    #[test]
    fn a_copy_that_ends_early_is_an_error() {
        let row = [&[0, 2, 0, 0, 0, 8][..], &7_i64.to_be_bytes(), &[0, 0, 0, 2], b"{}"].concat();
        let first = [&[0; HEADER_BYTES][..], &row].concat();
        let messages = [&first[..], &row, &END];
        assert_eq!(read(&messages).unwrap(), [(7, "{}".to_owned()), (7, "{}".to_owned())]);
        assert_eq!(read(&[[&[0; HEADER_BYTES][..], &END].concat()]).unwrap(), []);
        for (count, last) in messages.iter().enumerate() {
            for length in 0..last.len() {
                let cut = [&messages[..count], &[&last[..length]]].concat();
                assert!(read(&messages[..count]).is_err() && read(&cut).is_err(), "{count} {length}");
            }
        }
    }
}
