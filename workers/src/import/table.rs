//! A CSV file as a table whose rows are read by number. It checks the header and the limits; what stands in the fields
//! is `rows`' matter.
//!
//! The bytes are held once, and of each row its place: 100,000 rows are about 10 MB. Whatever the bytes are, nothing
//! here panics and no row is lost: one that makes no sense is a row that will be refused, with its line.

use std::io::Cursor;

use csv::{ByteRecord, Position, Reader, ReaderBuilder};

use super::results::{File, Reason};

/// The largest file, in bytes: well over a million people, and well within the memory of a small machine.
pub const FILE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// The most rows of one file; results are kept in memory until the end.
pub const ROWS_MAX: usize = 1_000_000;
/// The largest field, in bytes: room for the partners of any account.
pub const FIELD_BYTES_MAX: usize = 8 * 1024;
/// What some programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A whole file cannot be taken; nothing of the import was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", file.as_str())]
pub struct FileError {
    /// Which file.
    pub file: File,
    /// `snake_case`, never changed once released.
    pub code: &'static str,
    /// For people; repeats nothing of the file.
    pub message: String,
}

/// A file whose header is in order.
#[derive(Debug)]
pub(super) struct Table {
    file: File,
    reader: Reader<Cursor<Vec<u8>>>,
    /// Where each wanted column stands in a row.
    places: Vec<usize>,
    /// Columns of the file; a row has just as many.
    width: usize,
    /// Where each row begins.
    rows: Vec<Place>,
    record: ByteRecord,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    byte: u32,
    line: u32,
}

impl Table {
    /// Reads a file with these columns, in any order, each exactly once and no other.
    pub fn read(file: File, mut bytes: Vec<u8>, columns: &[&str]) -> Result<Self, FileError> {
        let fail = |code, message: String| FileError { file, code, message };
        if bytes.len() > FILE_BYTES_MAX {
            return Err(fail("file_too_large", format!("the file is larger than {FILE_BYTES_MAX} bytes")));
        }
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(Cursor::new(bytes));
        let (places, rows, record) = (Vec::new(), Vec::new(), ByteRecord::new());
        let mut table = Self { file, reader, places, width: 0, rows, record };
        let end = |_| fail("file_unreadable", "the file cannot be read".into());
        if !table.reader.read_byte_record(&mut table.record).map_err(end)? {
            return Err(fail("header_missing", format!("the file is empty; its header is {}", columns.join(","))));
        }
        table.places = header(&table.record, columns).map_err(|reason| fail(reason.code, reason.message))?;
        table.width = table.record.len();
        table.find_rows().map_err(|reason| fail(reason.code, reason.message))?;
        Ok(table)
    }

    /// Which file it is.
    pub fn file(&self) -> File {
        self.file
    }

    /// How many rows it has, without the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The line at which a row begins.
    pub fn line(&self, row: usize) -> u32 {
        self.rows[row].line
    }

    /// The fields of a row, in the order of the wanted columns.
    pub fn fields(&mut self, row: usize) -> Result<Vec<&str>, Reason> {
        let mut position = Position::new();
        position.set_byte(u64::from(self.rows[row].byte));
        let is_read = self.reader.seek(position).and_then(|()| self.reader.read_byte_record(&mut self.record));
        if !matches!(is_read, Ok(true)) {
            return Err(Reason::new("row_unreadable", "The row cannot be read."));
        }
        let record = &self.record;
        if record.iter().any(|field| field.len() > FIELD_BYTES_MAX) {
            let message = format!("A field is longer than {FIELD_BYTES_MAX} bytes; a quotation mark may be missing.");
            return Err(Reason::new("field_too_long", message));
        }
        if record.len() != self.width {
            let message = format!("The row has {} columns, the header has {}.", record.len(), self.width);
            return Err(Reason::new("row_columns", message));
        }
        let text = |place: &usize| std::str::from_utf8(&record[*place]);
        let fields: Result<Vec<&str>, _> = self.places.iter().map(text).collect();
        fields.map_err(|_| Reason::new("row_not_utf8", "The row is not in UTF-8."))
    }

    /// Goes through the file once and keeps where each row begins. Empty lines are none.
    fn find_rows(&mut self) -> Result<(), Reason> {
        let (mut counted, mut line) = (0, 1);
        loop {
            let from = self.reader.position().byte() as usize;
            let is_row = self.reader.read_byte_record(&mut self.record);
            if !is_row.map_err(|_| Reason::new("file_unreadable", "the file cannot be read"))? {
                return Ok(());
            }
            let bytes = self.reader.get_ref().get_ref();
            let blank = bytes[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            line += lines_in(bytes, counted, from + blank);
            counted = from + blank;
            if self.rows.len() == ROWS_MAX {
                return Err(Reason::new("too_many_rows", format!("the file has more than {ROWS_MAX} rows")));
            }
            // Invariant: a file of FILE_BYTES_MAX has no place, and no line, that 32 bits cannot hold.
            self.rows.push(Place { byte: (from + blank) as u32, line });
        }
    }
}

/// Line ends in a part of the bytes: LF, CR LF, or CR alone, as old programs write it.
fn lines_in(bytes: &[u8], from: usize, to: usize) -> u32 {
    let is_end = |at: &usize| match bytes[*at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    (from..to).filter(is_end).count() as u32
}

/// Where each wanted column stands. Messages tell places, not texts: a file without a header begins with a person.
fn header(record: &ByteRecord, columns: &[&str]) -> Result<Vec<usize>, Reason> {
    let names: Vec<&str> = record.iter().map(|name| std::str::from_utf8(name).unwrap_or_default().trim()).collect();
    if let Some(unknown) = names.iter().position(|name| !columns.contains(name)) {
        let message = format!(
            "line 1: column {} of the header is not one of {}; the separator is a comma",
            unknown + 1,
            columns.join(", ")
        );
        return Err(Reason::new("header_unknown_column", message));
    }
    let mut places = Vec::with_capacity(columns.len());
    for column in columns {
        let mut found = names.iter().enumerate().filter(|(_, name)| *name == column).map(|(place, _)| place);
        let place = found.next().ok_or_else(|| {
            Reason::new("header_missing_column", format!("line 1: the header has no column {column}"))
        })?;
        if found.next().is_some() {
            let message = format!("line 1: the header has the column {column} twice");
            return Err(Reason::new("header_column_twice", message));
        }
        places.push(place);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[&str] = &["number", "name"];

    fn read(text: &[u8]) -> Result<Table, FileError> {
        Table::read(File::Accounts, text.to_vec(), COLUMNS)
    }

    /// Every row as its line and its fields, or the code of its reason.
    fn rows(text: &[u8]) -> Vec<(u32, String)> {
        let mut table = read(text).unwrap();
        (0..table.len())
            .map(|row| {
                let line = table.line(row);
                (line, table.fields(row).map_or_else(|reason| reason.code.into(), |fields| fields.join("|")))
            })
            .collect()
    }

    fn row(line: u32, text: &str) -> (u32, String) {
        (line, text.into())
    }

    #[test]
    fn rows_are_found_with_their_lines_whatever_ends_a_line() {
        let expected = vec![row(2, "1|a"), row(3, "2|b")];
        assert_eq!(rows(b"number,name\n1,a\n2,b\n"), expected);
        assert_eq!(rows(b"number,name\r\n1,a\r\n2,b"), expected);
        assert_eq!(rows(b"number,name\r1,a\r2,b\r"), expected);
        assert_eq!(rows(b"\xef\xbb\xbfnumber,name\n1,a\n2,b\n"), expected);
        assert_eq!(rows(b"name,number\na,1\nb,2\n"), expected, "the order of columns is free");
        assert_eq!(rows(b"number,name\n\n\r\n1,a\n\n2,b\n\n"), vec![row(4, "1|a"), row(6, "2|b")]);
        assert_eq!(rows(b"number,name\n"), vec![]);
        assert_eq!(rows(b"number,name"), vec![]);
    }

    #[test]
    fn quotes_hold_commas_quotes_and_lines() {
        let text = b"number,name\n1,\"a, \"\"b\"\"\"\n2,\"two\nlines\"\n3,c\n";
        assert_eq!(rows(text), vec![row(2, "1|a, \"b\""), row(3, "2|two\nlines"), row(5, "3|c")]);
        let lost = [b"number,name\n1,\"never closed\n2,b\n3,".as_slice(), &b"x".repeat(FIELD_BYTES_MAX)].concat();
        assert_eq!(rows(&lost), vec![row(2, "field_too_long")], "what a missing quote swallows is one refused row");
    }

    #[test]
    fn rows_that_make_no_sense_are_refused_and_the_next_one_is_not() {
        let long = "x".repeat(FIELD_BYTES_MAX + 1);
        let text =
            [b"number,name\n1\n1,2,3\n\xff\xfe,a\n".as_slice(), format!("{long},a\n\0,a\n4,d").as_bytes()].concat();
        let expected = [
            row(2, "row_columns"),
            row(3, "row_columns"),
            row(4, "row_not_utf8"),
            row(5, "field_too_long"),
            row(6, "\0|a"),
            row(7, "4|d"),
        ];
        assert_eq!(rows(&text), expected);
    }

    #[test]
    fn a_header_names_every_column_once_and_no_other() {
        let code = |text: &[u8]| read(text).unwrap_err().code;
        assert_eq!(code(b""), "header_missing");
        assert_eq!(code(b"\xef\xbb\xbf"), "header_missing");
        assert_eq!(code(b"number\n"), "header_missing_column");
        assert_eq!(code(b"number,name,more\n"), "header_unknown_column");
        assert_eq!(code(b"number;name\n"), "header_unknown_column");
        assert_eq!(code(b"number,name,name\n"), "header_column_twice");
        assert_eq!(code(b"\xff\xfen\0u\0"), "header_unknown_column");
        let error = read(b"C-1,Robin Rivers\n").unwrap_err();
        assert!(!error.to_string().contains("Robin"), "a missing header repeats nobody's name: {error}");
    }

    #[test]
    fn files_and_rows_have_limits() {
        let mut text = b"number,name\n".to_vec();
        text.extend(b"1,a\n".repeat(ROWS_MAX + 1));
        assert_eq!(read(&text).unwrap_err().code, "too_many_rows");
        assert_eq!(read(&vec![b'x'; FILE_BYTES_MAX + 1]).unwrap_err().code, "file_too_large");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let parts: [&[u8]; 10] =
            [b"number,name", b"\n", b"\r", b"\"", b",", b"\xff", b"\0", b"1", b"\xef\xbb\xbf", b"'"];
        let mut state = 7_u64;
        for _ in 0..3_000 {
            let mut text = if state.is_multiple_of(3) { Vec::new() } else { b"number,name\n".to_vec() };
            for _ in 0..state % 13 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.extend_from_slice(parts[(state >> 33) as usize % parts.len()]);
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if let Ok(mut table) = read(&text) {
                for row in 0..table.len() {
                    assert!(table.fields(row).is_ok() || table.line(row) > 0);
                }
            }
        }
    }
}
