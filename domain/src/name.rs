//! Names and other short texts of one line, which cannot be wrong once they have their type.
//!
//! They stand in mails, so none can break a line, hide a character or (names) become a link. A [`PersonName`] is
//! personal and has neither `Display` nor serde, like [`crate::address::EmailAddress`]; the others are not personal.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::address::is_hidden;

/// Characters (Unicode scalar values) of a name: one line in a mail, too short for a story.
pub const NAME_CHARS_MAX: usize = 80;
/// Characters of a reason: a few sentences.
pub const REASON_CHARS_MAX: usize = 500;
/// Characters of a customer number at least; shorter ones are typing errors.
pub const CUSTOMER_NUMBER_CHARS_MIN: usize = 3;
/// Characters of a customer number at most.
pub const CUSTOMER_NUMBER_CHARS_MAX: usize = 32;
/// Octets that are looked at all: a reason in characters of four octets, twice over for what NFC takes away.
const INPUT_OCTETS_MAX: usize = 4_096;

/// The name of a person: 1 to [`NAME_CHARS_MAX`] characters in NFC, one line, no link. Personal.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// Reads a name as it was typed: NFC, cut at the edges, every run of spaces one space.
    ///
    /// Something that a mail client would make a link of is refused: `@`, `//`, `\\`, `www.`, `mailto:`, `tel:` and
    /// their like, a dotted quad, and a dot with something right before it and two letters right after it, as in
    /// `evil.com`. A top-level domain has at least two letters, so initials pass (`A.B. Data`), and so does a dot
    /// before a space (`St. Mary's`); `J.Smith` is to be written `J. Smith`. Full-width and other compatibility forms
    /// are read as what they look like.
    ///
    /// # Errors
    /// Empty, too long, a hidden character (zero-width joiners and variation selectors included), or a link.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        name_stored(text).map(Self)
    }

    /// Reads a text that [`PersonName::as_str`] gave. It is checked again, so that a spoilt store cannot reach a mail.
    ///
    /// # Errors
    /// The text is no name.
    pub fn from_stored(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Redacted: a name never reaches a log by accident.
impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonName(…)")
    }
}

/// `Display` and the way through serde, checked on the way in, of a text that is not personal.
macro_rules! open_text {
    ($name:ident, $error:ident) => {
        impl $name {
            /// The stored form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The name of an organisation, under the same rule as [`PersonName::parse`]. Not personal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

impl AccountName {
    /// Reads a name as it was typed.
    ///
    /// # Errors
    /// As [`PersonName::parse`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        name_stored(text).map(Self)
    }
}

open_text!(AccountName, NameError);

/// The vendor's number of a customer: [`CUSTOMER_NUMBER_CHARS_MIN`] to [`CUSTOMER_NUMBER_CHARS_MAX`] characters of
/// `A` to `Z`, `0` to `9` and `-`. Not personal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CustomerNumber(String);

impl CustomerNumber {
    /// Reads a number as it was typed: cut at the edges, in upper case.
    ///
    /// # Errors
    /// Too short, too long, or another character in it.
    pub fn parse(text: &str) -> Result<Self, CustomerNumberError> {
        let text = text.trim();
        if !text.chars().all(|character| character.is_ascii_alphanumeric() || character == '-') {
            return Err(CustomerNumberError::Character);
        }
        if !(CUSTOMER_NUMBER_CHARS_MIN..=CUSTOMER_NUMBER_CHARS_MAX).contains(&text.len()) {
            return Err(CustomerNumberError::Length);
        }
        Ok(Self(text.to_ascii_uppercase()))
    }
}

open_text!(CustomerNumber, CustomerNumberError);

/// Why somebody did something, in their words: 1 to [`REASON_CHARS_MAX`] characters in NFC, one line. Links are
/// allowed: it stands in histories, never in a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// Reads a reason as it was typed: NFC, cut at the edges.
    ///
    /// # Errors
    /// Empty, too long, or a hidden character, line breaks and tabs included.
    pub fn parse(text: &str) -> Result<Self, ReasonError> {
        let text = text.trim();
        if text.len() > INPUT_OCTETS_MAX {
            return Err(ReasonError::TooLong);
        }
        if text.chars().any(is_hidden) {
            return Err(ReasonError::HiddenCharacter);
        }
        let stored = in_nfc(text);
        match stored.chars().count() {
            0 => Err(ReasonError::Empty),
            1..=REASON_CHARS_MAX => Ok(Self(stored.into_owned())),
            _ => Err(ReasonError::TooLong),
        }
    }
}

open_text!(Reason, ReasonError);

/// Why a text is not accepted as a name. No message contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left of it but spaces.
    #[error("the name is empty")]
    Empty,
    /// It is too long.
    #[error("the name is longer than {} characters", NAME_CHARS_MAX)]
    TooLong,
    /// A control, bidi or invisible character stands in it.
    #[error("the name contains a control or invisible character")]
    HiddenCharacter,
    /// A mail client would make a link of a part of it.
    #[error("the name contains something that looks like a link: leave a space after a dot and leave out @ and //")]
    Link,
}

impl NameError {
    /// The stable word for it in answers; `snake_case`, never changed once released.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "name_empty",
            Self::TooLong => "name_too_long",
            Self::HiddenCharacter => "name_hidden_character",
            Self::Link => "name_link",
        }
    }
}

/// Why a text is not accepted as a customer number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomerNumberError {
    /// It is too short or too long.
    #[error("a customer number has {} to {} characters", CUSTOMER_NUMBER_CHARS_MIN, CUSTOMER_NUMBER_CHARS_MAX)]
    Length,
    /// A character is no ASCII letter, no digit and no hyphen.
    #[error("a customer number has letters, digits and hyphens only")]
    Character,
}

impl CustomerNumberError {
    /// The stable word for it in answers; `snake_case`, never changed once released.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Length => "customer_number_length",
            Self::Character => "customer_number_character",
        }
    }
}

/// Why a text is not accepted as a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    /// Nothing is left of it but spaces.
    #[error("the reason is empty")]
    Empty,
    /// It is too long.
    #[error("the reason is longer than {} characters", REASON_CHARS_MAX)]
    TooLong,
    /// A control, bidi or invisible character stands in it.
    #[error("the reason contains a control or invisible character")]
    HiddenCharacter,
}

impl ReasonError {
    /// The stable word for it in answers; `snake_case`, never changed once released.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "reason_empty",
            Self::TooLong => "reason_too_long",
            Self::HiddenCharacter => "reason_hidden_character",
        }
    }
}

/// A text in NFC. ASCII is in it already, and most texts are ASCII.
pub(crate) fn in_nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { text.into() } else { text.nfc().collect() }
}

/// The stored form of a name of either kind; the rule stands at [`PersonName::parse`].
fn name_stored(typed: &str) -> Result<String, NameError> {
    let typed = typed.trim();
    if typed.len() > INPUT_OCTETS_MAX {
        return Err(NameError::TooLong);
    }
    // Before the white space goes: a tab or a line break inside is white space too.
    if typed.chars().any(is_hidden) {
        return Err(NameError::HiddenCharacter);
    }
    let in_nfc = in_nfc(typed);
    let mut stored = String::with_capacity(in_nfc.len());
    for word in in_nfc.split_whitespace() {
        stored.extend((!stored.is_empty()).then_some(' '));
        stored.push_str(word);
    }
    if stored.is_empty() {
        return Err(NameError::Empty);
    }
    if stored.chars().count() > NAME_CHARS_MAX {
        return Err(NameError::TooLong);
    }
    if looks_like_link(&stored) {
        return Err(NameError::Link);
    }
    Ok(stored)
}

/// Beginnings that mail clients link without `//`; they count at the start of a word.
const LINK_SCHEMES: [&str; 8] = ["tel:", "sms:", "callto:", "skype:", "sip:", "xmpp:", "news:", "javascript:"];

/// Whether a mail client could make a link of a part of the name.
fn looks_like_link(name: &str) -> bool {
    // No mark of a link below does without one of these, and most names do.
    if name.is_ascii() && !name.contains(['.', ':', '@', '/', '\\']) {
        return false;
    }
    // As it looks: full-width `ｅｖｉｌ` is `evil`, the ideographic full stop separates labels, a mark saves no link.
    let seen: Vec<char> = if name.is_ascii() {
        name.chars().map(|character| character.to_ascii_lowercase()).collect()
    } else {
        name.nfkc()
            .filter(|character| !is_combining_mark(*character))
            .flat_map(char::to_lowercase)
            .map(|character| if character == '。' { '.' } else { character })
            .collect()
    };
    let text: String = seen.iter().collect();
    let has_scheme = || {
        let mut words = text.split(|character: char| !character.is_alphanumeric() && character != ':');
        words.any(|word| LINK_SCHEMES.iter().any(|scheme| word.starts_with(scheme)))
    };
    let has_host = || {
        seen.windows(4).any(|four| {
            matches!(four, [before, '.', first, second]
                if !before.is_whitespace() && first.is_alphabetic() && second.is_alphanumeric())
        })
    };
    // Three dots between digits in one name are an IPv4 address; `Studio 2.0` and `1.2.3` are not.
    let has_dotted_quad = || {
        let dots = seen
            .windows(3)
            .filter(|three| matches!(three, [before, '.', after] if before.is_ascii_digit() && after.is_ascii_digit()));
        dots.count() >= 3
    };
    ["@", "//", "\\\\", "www.", "mailto:"].iter().any(|mark| text.contains(mark))
        || has_scheme()
        || has_host()
        || has_dotted_quad()
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::address::{AddressKey, EmailAddress};

    fn stored(text: &str) -> String {
        PersonName::parse(text).unwrap().as_str().to_owned()
    }

    fn refusal(text: &str) -> NameError {
        PersonName::parse(text).unwrap_err()
    }

    #[test]
    fn the_names_of_real_people_and_organisations_pass_unchanged() {
        for name in [
            "J. R. Müller",
            "J.R.R. Tolkien",
            "St. Mary's",
            "O'Neil & Sons",
            "Smith, Jones & Co.",
            "A.B. Data",
            "Müller GmbH & Co. KG",
            "Dr. h.c. Anna-Lena Groß",
            "Ph.D. Office",
            "Martin Luther King, Jr.",
            "U.S.A. Imports Inc.",
            ".NET Foundation",
            "No.1 Traders",
            "Studio 2.0 (Berlin)",
            "24/7 Service",
            "A/S Dampskibsselskabet",
            "Hotel: Adler",
            "re:publica GmbH",
            "李小龍",
            "Владимир Иванов",
            "محمد علي",
            "משה כהן",
            "भारत सिंह",
            "Nguyễn Văn A",
            "X Æ A-12",
            "!?",
        ] {
            assert_eq!(stored(name), name);
            assert_eq!(AccountName::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_name_is_brought_to_nfc_and_its_spaces_to_single_ones() {
        assert_eq!(stored("  Ada \u{a0}\u{3000} Lovelace\r\n"), "Ada Lovelace");
        assert_eq!(stored("Mu\u{308}ller"), "Müller");
    }

    #[test]
    fn a_name_of_nothing_is_refused() {
        for nothing in ["", " ", "\u{a0}\u{3000}", "\r\n\t"] {
            assert_eq!(refusal(nothing), NameError::Empty, "{nothing:?}");
        }
    }

    #[test]
    fn t71_a_name_is_accepted_to_its_limit_and_refused_beyond() {
        assert_eq!(stored(&"𝔄".repeat(NAME_CHARS_MAX)).chars().count(), NAME_CHARS_MAX);
        assert_eq!(stored(&"u\u{308}".repeat(NAME_CHARS_MAX)).chars().count(), NAME_CHARS_MAX);
        assert_eq!(refusal(&"a".repeat(NAME_CHARS_MAX + 1)), NameError::TooLong);
        assert_eq!(refusal(&"a".repeat(10_000_000)), NameError::TooLong);
    }

    #[test]
    fn t51_a_hidden_character_in_a_name_is_refused() {
        for hostile in [
            "Ada\r\nBcc: b",
            "Ada\nLovelace",
            "Ada\rLovelace",
            "Ada\tLovelace",
            "Ada\0",
            "Ada\u{1b}[31m",
            "Ada\u{85}b",
            "Ada\u{2028}b",
            "Ada \u{202e}ecalevoL",
            "Ada\u{2066}b\u{2069}",
            "Ada\u{200b}",
            "\u{feff}Ada",
            "A\u{ad}da",
            "\u{3164}",
            "\u{2800}",
            "Ada\u{e0041}",
            "Ada\u{fffe}",
        ] {
            assert_eq!(refusal(hostile), NameError::HiddenCharacter, "{hostile:?}");
            assert!(Reason::parse(&format!("x{hostile}x")).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn t52_a_name_that_a_mail_client_would_link_is_refused() {
        for link in [
            "Click http://evil",
            "https://evil.com/x",
            "ftp://x",
            "//evil",
            "\\\\evil\\share",
            "www.evil",
            "WWW.EVIL.COM",
            "ask ada@example.com",
            "C@fe",
            "evil.com",
            "Evil.Com",
            "visit evil.com now",
            "(evil.com)",
            "t.co",
            "evil.co.uk",
            "1.de",
            "bit.ly/abc",
            "evil.xn--p1ai",
            "пример.рф",
            "例え.テスト",
            "💩.la",
            "mailto:ada",
            "Amailto:",
            "call tel:0900123",
            "ｅｖｉｌ．ｃｏｍ",
            "evil。com",
            "evil｡com",
            "evil\u{2024}com",
            "ada＠example",
            "http:／／evil",
            "evil.c\u{308}om",
            "⒈com",
            "10.0.0.1",
            "see 1.2.3.4/login",
        ] {
            assert_eq!(refusal(link), NameError::Link, "{link:?}");
            assert_eq!(AccountName::parse(link), Err(NameError::Link), "{link:?}");
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_a_persons_name() {
        assert_eq!(format!("{:?}", PersonName::parse("Ada Lovelace").unwrap()), "PersonName(…)");
        let error = refusal("ada.lovelace");
        assert!(!format!("{error} {error:?} {}", error.code()).contains("lovelace"));
    }

    #[test]
    fn a_stored_name_is_read_back_and_a_spoilt_one_is_refused() {
        let name = PersonName::parse("Jörg Groß").unwrap();
        assert!(PersonName::from_stored(name.as_str()) == Ok(name));
        assert!(PersonName::from_stored("Ada\r\nBcc: b").is_err());
    }

    #[test]
    fn a_customer_number_is_stored_in_upper_case() {
        assert_eq!(CustomerNumber::parse(" ab-12 ").unwrap().as_str(), "AB-12");
        assert_eq!(CustomerNumber::parse(&"9".repeat(32)).unwrap().as_str().len(), CUSTOMER_NUMBER_CHARS_MAX);
        for (text, expected) in [
            ("", CustomerNumberError::Length),
            ("A1", CustomerNumberError::Length),
            ("123456789012345678901234567890123", CustomerNumberError::Length),
            ("AB 12", CustomerNumberError::Character),
            ("AB_12", CustomerNumberError::Character),
            ("ÄB-12", CustomerNumberError::Character),
            ("AB\u{212a}12", CustomerNumberError::Character),
            ("AB\u{661}12", CustomerNumberError::Character),
            ("AB\u{0}12", CustomerNumberError::Character),
        ] {
            assert_eq!(CustomerNumber::parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn a_reason_is_one_line_of_limited_length_and_may_hold_a_link() {
        assert_eq!(Reason::parse(" see https://x.example/1 ").unwrap().as_str(), "see https://x.example/1");
        assert_eq!(Reason::parse(" "), Err(ReasonError::Empty));
        assert!(Reason::parse(&"𝔄".repeat(REASON_CHARS_MAX)).is_ok());
        assert_eq!(Reason::parse(&"a".repeat(REASON_CHARS_MAX + 1)), Err(ReasonError::TooLong));
        assert_eq!(Reason::parse("one\ntwo"), Err(ReasonError::HiddenCharacter));
    }

    #[test]
    fn a_text_is_checked_when_it_is_deserialised() {
        let name: AccountName = serde_json::from_str(r#"" Smith,  Jones & Co. ""#).unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), r#""Smith, Jones & Co.""#);
        let number: CustomerNumber = serde_json::from_str(r#""ab-12""#).unwrap();
        assert_eq!(serde_json::to_string(&number).unwrap(), r#""AB-12""#);
        assert!(serde_json::from_str::<AccountName>(r#""evil.com""#).is_err());
        assert!(serde_json::from_str::<CustomerNumber>(r#""a b""#).is_err());
        assert!(serde_json::from_str::<Reason>(r#""a\u0000b""#).is_err());
    }

    /// Asks the compiler whether a type has a trait: the constant beside a bound that holds wins over the trait's.
    struct Probe<T>(PhantomData<T>);

    trait Otherwise {
        const SERIALIZES: bool = false;
        const DESERIALIZES: bool = false;
        const DISPLAYS: bool = false;
    }

    impl<T> Otherwise for Probe<T> {}

    impl<T: Serialize> Probe<T> {
        const SERIALIZES: bool = true;
    }

    impl<T: DeserializeOwned> Probe<T> {
        const DESERIALIZES: bool = true;
    }

    impl<T: fmt::Display> Probe<T> {
        const DISPLAYS: bool = true;
    }

    #[test]
    fn personal_texts_have_neither_serde_nor_display() {
        macro_rules! ways_out {
            ($name:ty) => {
                [Probe::<$name>::SERIALIZES, Probe::<$name>::DESERIALIZES, Probe::<$name>::DISPLAYS]
            };
        }
        assert_eq!(ways_out!(EmailAddress), [false; 3]);
        assert_eq!(ways_out!(AddressKey), [false; 3]);
        assert_eq!(ways_out!(PersonName), [false; 3]);
        assert_eq!(ways_out!(AccountName), [true; 3]); // the probe itself works
    }

    /// A linkifier of another make than the rule: a token that ends in a known domain or begins as an address does.
    fn is_linked(name: &str) -> bool {
        let text = name.nfkc().collect::<String>().to_lowercase().replace('。', ".");
        let has_known_domain = text.split(|c: char| c.is_whitespace() || "/()<>,;\"".contains(c)).any(|token| {
            let token = token.trim_matches('.');
            [".com", ".de", ".co", ".io", ".рф"].iter().any(|end| token.len() > end.len() && token.ends_with(end))
        });
        has_known_domain || ["://", "//", "www.", "@", "mailto:"].iter().any(|mark| text.contains(mark))
    }

    fn hostile_name() -> impl Strategy<Value = String> {
        let piece = proptest::sample::select(vec![
            "evil",
            "com",
            "de",
            "co",
            "рф",
            "io",
            "www",
            "mailto",
            "http",
            ".",
            ".",
            "．",
            "。",
            "\u{2024}",
            "/",
            "/",
            "／",
            ":",
            "@",
            "＠",
            " ",
            " ",
            "A",
            "J",
            "Müller",
            "ｃｏｍ",
            ",",
            "(",
            ")",
            "'",
            "-",
            "1",
        ]);
        prop_oneof![
            4 => proptest::collection::vec(piece, 1..9).prop_map(|pieces| pieces.concat()),
            1 => "\\PC{0,90}",
            1 => any::<String>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn t51_t52_whatever_passes_is_one_short_line_without_a_link_and_reads_to_itself(text in hostile_name()) {
            if let Ok(name) = PersonName::parse(&text) {
                let name = name.as_str();
                prop_assert!(!is_linked(name), "{:?}", name);
                prop_assert!((1..=NAME_CHARS_MAX).contains(&name.chars().count()));
                prop_assert!(!name.chars().any(|c| is_hidden(c) || (c.is_whitespace() && c != ' ')));
                prop_assert!(!name.contains("  ") && name.trim() == name);
                prop_assert_eq!(stored(name), name);
            }
            if let Ok(reason) = Reason::parse(&text) {
                prop_assert_eq!(Reason::parse(reason.as_str()), Ok(reason.clone()));
            }
        }
    }
}
