//! E-mail addresses: one stored form that mail goes to, and one key that addresses are compared by.
//!
//! An address is personal. It has no `Display` and no serde: it leaves the process only through the module
//! that seals personal texts, by [`EmailAddress::as_str`], and comes back by [`EmailAddress::from_stored`].

use std::borrow::Cow;
use std::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use crate::name::in_nfc;

/// Octets of a local part in UTF-8 (RFC 5321, 4.5.3.1.1).
pub const LOCAL_PART_OCTETS_MAX: usize = 64;
/// Octets of a whole address: an SMTP path has 256, two of them brackets (RFC 5321, 4.5.3.1.3).
pub const ADDRESS_OCTETS_MAX: usize = 254;
/// Octets of a domain in its text form (RFC 1035, 2.3.4: 255 on the wire).
pub const DOMAIN_OCTETS_MAX: usize = 253;
/// Octets of one label of a domain (RFC 1035, 2.3.4).
pub const LABEL_OCTETS_MAX: usize = 63;
/// Octets that are looked at all: a domain of the full length, every character four octets in UTF-8, fits well.
const INPUT_OCTETS_MAX: usize = 2_048;

/// An e-mail address in its stored form. Mail goes to this form, never to a typed one.
///
/// `==` compares stored forms; whether two addresses are one mailbox to the rules is a matter of [`EmailAddress::key`].
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress {
    text: String,
    /// The octet at which the one `@` stands.
    at: usize,
}

impl EmailAddress {
    /// Reads an address as a person typed it; white space around it is cut off, nothing else is repaired.
    ///
    /// The local part is a dot-atom (RFC 5321, 6531) and stays as given, brought to NFC; plus tags and dots are kept.
    /// The domain becomes lower-case ASCII by UTS 46, non-transitional. The result reads to itself.
    ///
    /// # Errors
    /// One for each way in which the text is no address that mail can be sent to: see [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.len() > INPUT_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        if text.chars().any(is_hidden) {
            return Err(AddressError::HiddenCharacter);
        }
        if text.chars().any(char::is_whitespace) {
            return Err(AddressError::WhiteSpace);
        }
        let (local_part, domain) = text.split_once('@').ok_or(AddressError::AtSign)?;
        if domain.contains('@') {
            return Err(AddressError::AtSign);
        }
        let local_part = local_part_stored(local_part)?;
        let domain = domain_stored(domain)?;
        let at = local_part.len();
        if at + 1 + domain.len() > ADDRESS_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        Ok(Self { text: [&*local_part, "@", &*domain].concat(), at })
    }

    /// Reads a text that [`EmailAddress::as_str`] gave. It is checked again, so that a spoilt store cannot reach SMTP.
    ///
    /// # Errors
    /// The text is no address.
    pub fn from_stored(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }

    /// The stored form: local part in NFC, `@`, domain in lower-case ASCII. No control character, no white space.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The domain: lower-case ASCII, at least two labels, no dot at the end.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The key by which addresses are compared.
    ///
    /// Invariant: two keys are equal only if the domains are equal and the local parts differ in the case of ASCII
    /// letters at most. So the local part is not brought to NFC again after lowering: `H` with a line below has no
    /// composed form and `h` has one, and these two must stay apart.
    pub fn key(&self) -> AddressKey {
        AddressKey(self.text.to_ascii_lowercase())
    }
}

/// Redacted: an address never reaches a log by accident.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

/// What addresses are compared by: equal keys are one mailbox to the rules. Never mailed to and never shown; as personal
/// as the address itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(String);

impl AddressKey {
    /// The text to look up or to hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Redacted: a key is as personal as its address.
impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

/// Why a text is not accepted as an e-mail address. No message contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `@`, or more than one.
    #[error("an e-mail address has exactly one @")]
    AtSign,
    /// The whole address is too long.
    #[error("the e-mail address is longer than {} octets", ADDRESS_OCTETS_MAX)]
    TooLong,
    /// A control, bidi or invisible character stands anywhere in it.
    #[error("the e-mail address contains a control or invisible character")]
    HiddenCharacter,
    /// White space stands inside it.
    #[error("the e-mail address contains white space")]
    WhiteSpace,
    /// Nothing stands before the `@`.
    #[error("the e-mail address has nothing before the @")]
    LocalPartEmpty,
    /// The local part begins or ends with a dot or has two in a row.
    #[error("a dot before the @ stands at an edge or beside another dot")]
    LocalPartDots,
    /// The local part is quoted.
    #[error("quotes before the @ are not accepted")]
    LocalPartQuoted,
    /// The local part has a character that no dot-atom has, or a look-alike of one that would become ASCII on its way.
    #[error("a character before the @ is not accepted")]
    LocalPartCharacter,
    /// The local part is too long.
    #[error("the part before the @ is longer than {} octets", LOCAL_PART_OCTETS_MAX)]
    LocalPartTooLong,
    /// The domain is an IP address, in brackets or not.
    #[error("an IP address in place of a domain is not accepted")]
    IpAddress,
    /// The domain is no domain name: an empty label, a character or punycode that IDNA refuses.
    #[error("the part after the @ is not a domain name")]
    Domain,
    /// The domain has one label only.
    #[error("the domain has no dot")]
    DomainSingleLabel,
    /// The domain or one of its labels is too long.
    #[error("the domain is longer than {} octets or a part of it than {}", DOMAIN_OCTETS_MAX, LABEL_OCTETS_MAX)]
    DomainTooLong,
}

impl AddressError {
    /// The stable word for it in answers; `snake_case`, never changed once released.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AtSign => "address_at_sign",
            Self::TooLong => "address_too_long",
            Self::HiddenCharacter => "address_hidden_character",
            Self::WhiteSpace => "address_white_space",
            Self::LocalPartEmpty => "address_local_part_empty",
            Self::LocalPartDots => "address_local_part_dots",
            Self::LocalPartQuoted => "address_local_part_quoted",
            Self::LocalPartCharacter => "address_local_part_character",
            Self::LocalPartTooLong => "address_local_part_too_long",
            Self::IpAddress => "address_ip_address",
            Self::Domain => "address_domain",
            Self::DomainSingleLabel => "address_domain_single_label",
            Self::DomainTooLong => "address_domain_too_long",
        }
    }
}

/// Whether a character has no business in a text of one line: control characters (NUL, CR and LF among them), line and
/// paragraph separators, everything that Unicode calls bidi control or default-ignorable (zero-width characters, soft
/// hyphen, fillers, variation selectors, tags), annotation marks, the blank Braille pattern, and noncharacters.
///
/// Sources: Unicode 17 `DerivedCoreProperties` (Default_Ignorable_Code_Point) and `PropList` (Bidi_Control).
pub(crate) fn is_hidden(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    character.is_control()
        || matches!(
            character,
            '\u{00AD}'
                | '\u{034F}'
                | '\u{061C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{FDD0}'..='\u{FDEF}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1BCA0}'..='\u{1BCA3}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
        || u32::from(character) & 0xFFFE == 0xFFFE
}

/// The local part in NFC, when it is a dot-atom.
fn local_part_stored(typed: &str) -> Result<Cow<'_, str>, AddressError> {
    if typed.contains('"') {
        return Err(AddressError::LocalPartQuoted);
    }
    if !typed.chars().all(|character| character == '.' || is_atom_character(character)) {
        return Err(AddressError::LocalPartCharacter);
    }
    let stored = in_nfc(typed);
    if stored.is_empty() {
        return Err(AddressError::LocalPartEmpty);
    }
    if stored.split('.').any(str::is_empty) {
        return Err(AddressError::LocalPartDots);
    }
    if stored.len() > LOCAL_PART_OCTETS_MAX {
        return Err(AddressError::LocalPartTooLong);
    }
    Ok(stored)
}

/// `atext` of RFC 5322, 3.2.3, widened to UTF-8 by RFC 6531, 3.3, less what would turn into ASCII on its way.
fn is_atom_character(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character);
    }
    // The Kelvin sign is `K` in NFC: accepted, it would make two typed addresses one.
    let is_ascii_in_nfc = character.nfc().any(|part| part.is_ascii());
    // A full-width `@`, comma or bracket is one again for a server that reads NFKC. Full-width letters stay themselves.
    let hides_punctuation = character.nfkc().any(|part| part.is_ascii() && !part.is_ascii_alphanumeric());
    !is_ascii_in_nfc && !hides_punctuation
}

/// The domain in lower-case ASCII, when it is a host name of two or more labels.
fn domain_stored(typed: &str) -> Result<Cow<'_, str>, AddressError> {
    if typed.starts_with('[') {
        return Err(AddressError::IpAddress);
    }
    // STD 3 leaves letters, digits and hyphens. Hyphens in third and fourth place are old but real: `ab--c.example`.
    // Lengths are checked below, where each has an error of its own.
    let stored = Uts46::new()
        .to_ascii(typed.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map_err(|_| AddressError::Domain)?;
    if stored.split('.').any(str::is_empty) {
        return Err(AddressError::Domain);
    }
    if stored.len() > DOMAIN_OCTETS_MAX || stored.split('.').any(|label| label.len() > LABEL_OCTETS_MAX) {
        return Err(AddressError::DomainTooLong);
    }
    let Some((_, last_label)) = stored.rsplit_once('.') else {
        return Err(AddressError::DomainSingleLabel);
    };
    if is_number(last_label) {
        return Err(AddressError::IpAddress);
    }
    Ok(stored)
}

/// Whether resolvers read a last label as the end of an IPv4 address: decimal, octal or hexadecimal (WHATWG URL, 3.5).
fn is_number(label: &str) -> bool {
    let is_hexadecimal = label.strip_prefix("0x").is_some_and(|digits| digits.chars().all(|d| d.is_ascii_hexdigit()));
    is_hexadecimal || label.chars().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    /// T50 asks for at least this many pairs that are both addresses.
    const PAIRS_MIN: u32 = 10_000;

    fn stored(text: &str) -> String {
        EmailAddress::parse(text).unwrap().as_str().to_owned()
    }

    fn refusal(text: &str) -> AddressError {
        EmailAddress::parse(text).unwrap_err()
    }

    fn have_one_key(left: &str, right: &str) -> bool {
        EmailAddress::parse(left).unwrap().key() == EmailAddress::parse(right).unwrap().key()
    }

    #[test]
    fn an_address_is_stored_as_typed_but_for_its_domain() {
        for (typed, expected) in [
            ("ada@example.com", "ada@example.com"),
            ("  Ada.Lovelace+Lists@Example.COM\r\n", "Ada.Lovelace+Lists@example.com"),
            ("m@MÜLLER.de", "m@xn--mller-kva.de"),
            ("m@XN--MLLER-KVA.de", "m@xn--mller-kva.de"),
            ("m@straße.de", "m@xn--strae-oqa.de"),
            ("m@example。jp", "m@example.jp"),
            ("m@ｅｘａｍｐｌｅ.com", "m@example.com"),
            ("u\u{308}@example.com", "ü@example.com"),
            ("ß@example.com", "ß@example.com"),
            ("o'neil/x=y!#$%&*?^_`{|}~-@example.com", "o'neil/x=y!#$%&*?^_`{|}~-@example.com"),
            ("a@ab--c.example", "a@ab--c.example"),
            ("a@1and1.com", "a@1and1.com"),
        ] {
            assert_eq!(stored(typed), expected, "{typed:?}");
        }
        assert_eq!(EmailAddress::parse("Ada@MÜLLER.de").unwrap().domain(), "xn--mller-kva.de");
    }

    #[test]
    fn a_text_that_is_no_address_is_refused_for_its_reason() {
        use AddressError as E;
        for (typed, expected) in [
            ("", E::AtSign),
            ("ada", E::AtSign),
            ("a@b@example.com", E::AtSign),
            ("ada＠example.com", E::AtSign),
            ("@example.com", E::LocalPartEmpty),
            (".a@example.com", E::LocalPartDots),
            ("a.@example.com", E::LocalPartDots),
            ("a..b@example.com", E::LocalPartDots),
            ("\"a\"@example.com", E::LocalPartQuoted),
            ("a\\@example.com", E::LocalPartCharacter),
            ("a(c)@example.com", E::LocalPartCharacter),
            ("<a@example.com>", E::LocalPartCharacter),
            ("a,b@example.com", E::LocalPartCharacter),
            ("mailto:a@example.com", E::LocalPartCharacter),
            ("a b@example.com", E::WhiteSpace),
            ("a\u{3000}b@example.com", E::WhiteSpace),
            ("a@exam ple.com", E::WhiteSpace),
            ("a@[127.0.0.1]", E::IpAddress),
            ("a@[IPv6:::1]", E::IpAddress),
            ("a@127.0.0.1", E::IpAddress),
            ("a@127.0.0.0x1", E::IpAddress),
            ("a@１２７.0.0.１", E::IpAddress),
            ("a@", E::Domain),
            ("a@.com", E::Domain),
            ("a@example..com", E::Domain),
            ("a@example.com.", E::Domain),
            ("a@-example.com", E::Domain),
            ("a@exa_mple.com", E::Domain),
            ("a@xn--a.com", E::Domain),
            ("a@example.com＠evil.com", E::Domain),
            ("a@example.com/evil", E::Domain),
            ("a@example.com>", E::Domain),
            ("a@localhost", E::DomainSingleLabel),
        ] {
            assert_eq!(refusal(typed), expected, "{typed:?}");
        }
    }

    #[test]
    fn t51_a_line_break_or_control_character_inside_an_address_is_refused() {
        for hostile in [
            "a@example.com\r\nRCPT TO:<b@evil.example>",
            "a@example.com\nBcc: b",
            "a\r@example.com",
            "a\0@example.com",
            "a@exam\0ple.com",
            "a\t@example.com",
            "a\u{7f}@example.com",
            "a\u{85}b@example.com",
            "a\u{2028}b@example.com",
            "a\u{202e}moc.elpmaxe@evil.com",
            "a\u{200b}@example.com",
            "a@exam\u{ad}ple.com",
            "a@exam\u{200d}ple.com",
            "\u{feff}a@example.com",
            "a\u{e0061}@example.com",
            "a\u{fe0f}@example.com",
            "a\u{3164}@example.com",
            "a\u{ffff}@example.com",
        ] {
            assert_eq!(refusal(hostile), AddressError::HiddenCharacter, "{hostile:?}");
        }
    }

    #[test]
    fn t71_every_length_is_accepted_to_its_limit_and_refused_beyond() {
        let local_part = "l".repeat(LOCAL_PART_OCTETS_MAX);
        assert!(EmailAddress::parse(&format!("{local_part}@example.com")).is_ok());
        assert_eq!(refusal(&format!("{local_part}l@example.com")), AddressError::LocalPartTooLong);
        assert_eq!(refusal(&format!("{}@example.com", "ü".repeat(33))), AddressError::LocalPartTooLong);

        let label = "d".repeat(LABEL_OCTETS_MAX);
        assert!(EmailAddress::parse(&format!("a@{label}.com")).is_ok());
        assert_eq!(refusal(&format!("a@{label}d.com")), AddressError::DomainTooLong);

        let rest = DOMAIN_OCTETS_MAX - 3 * (LABEL_OCTETS_MAX + 1);
        let domain = format!("{label}.{label}.{label}.{}", "d".repeat(rest));
        assert_eq!(domain.len(), DOMAIN_OCTETS_MAX);
        assert_eq!(refusal(&format!("a@{domain}")), AddressError::TooLong);
        assert_eq!(stored(&format!("a@{}", &domain[1..])).len(), ADDRESS_OCTETS_MAX);
        assert_eq!(refusal(&format!("a@{domain}d")), AddressError::DomainTooLong);

        assert_eq!(refusal(&"a".repeat(10_000_000)), AddressError::TooLong);
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_address() {
        let address = EmailAddress::parse("secret.name@example.com").unwrap();
        assert_eq!(format!("{address:?} {:?}", address.key()), "EmailAddress(…) AddressKey(…)");
        for hostile in ["secret name@example.com", "secret@", "secret", "secret@[secret]", "\"secret\"@secret.com"] {
            let error = refusal(hostile);
            assert!(!format!("{error} {error:?} {}", error.code()).contains("secret"), "{hostile:?}");
        }
    }

    #[test]
    fn a_stored_form_is_read_back_and_a_spoilt_one_is_refused() {
        let address = EmailAddress::parse("Mü@Müller.de").unwrap();
        assert!(EmailAddress::from_stored(address.as_str()) == Ok(address));
        assert!(EmailAddress::from_stored("a@b.com\r\nDATA").is_err());
    }

    #[test]
    fn addresses_that_differ_in_ascii_case_or_in_the_spelling_of_the_domain_have_one_key() {
        assert!(have_one_key("ADA@example.com", "ada@EXAMPLE.com"));
        assert!(have_one_key("a@müller.de", "a@xn--mller-kva.de"));
        assert!(have_one_key("mü@example.com", "mu\u{308}@example.com"));
    }

    #[test]
    fn t50_no_look_alike_shares_the_key_of_another_address() {
        for (left, right) in [
            ("mike@example.com", "mıke@example.com"),
            ("mike@example.com", "mİke@example.com"),
            ("mike@example.com", "ｍｉｋｅ@example.com"),
            ("strasse@example.com", "straße@example.com"),
            ("STRASSE@example.com", "STRAẞE@example.com"),
            ("files@example.com", "ſiles@example.com"),
            ("fi@example.com", "ﬁ@example.com"),
            ("ada@example.com", "аda@example.com"),
            ("MÜ@example.com", "mü@example.com"),
            ("ΟΣ@example.com", "ος@example.com"),
            ("H\u{331}@example.com", "ẖ@example.com"),
            ("a@strasse.de", "a@straße.de"),
            ("a@apple.com", "a@аpple.com"),
            ("a@github.com", "a@gıthub.com"),
            ("a.b@example.com", "ab@example.com"),
            ("a+b@example.com", "a@example.com"),
        ] {
            assert!(!have_one_key(left, right), "{left} {right}");
        }
    }

    #[test]
    fn t50_a_character_that_would_become_ascii_in_the_local_part_is_refused() {
        for typed in ["\u{212a}im@example.com", "a\u{37e}b@example.com", "a\u{1fef}@example.com", "a＠b@example.com"] {
            assert_eq!(refusal(typed), AddressError::LocalPartCharacter, "{typed:?}");
        }
        // In a domain the Kelvin sign is harmless: the resolver is asked for the same name.
        assert_eq!(stored("a@\u{212a}im.com"), "a@kim.com");
    }

    /// Pieces that fold, compose, map or merely look alike, each beside its twin.
    fn local_part() -> impl Strategy<Value = String> {
        let tricky = proptest::sample::select(vec![
            "i",
            "I",
            "ı",
            "İ",
            "k",
            "K",
            "\u{212a}",
            "s",
            "S",
            "ſ",
            "ß",
            "ẞ",
            "ss",
            "SS",
            "a",
            "A",
            "ａ",
            "Ａ",
            "а",
            "А",
            "ä",
            "Ä",
            "a\u{308}",
            "A\u{308}",
            "å",
            "\u{212b}",
            "h\u{331}",
            "H\u{331}",
            "ẖ",
            "fi",
            "ﬁ",
            "σ",
            "ς",
            "Σ",
            "1",
            "１",
            "¹",
            "+",
            ".",
            "-",
            "가",
            "\u{1100}\u{1161}",
            "क\u{93c}",
            "\u{958}",
        ]);
        prop_oneof![
            8 => proptest::collection::vec(tricky, 1..5).prop_map(|pieces| pieces.concat()),
            1 => "[a-zA-Z0-9.+]{1,6}",
            1 => "\\PC{1,4}",
        ]
    }

    fn domain() -> impl Strategy<Value = String> {
        proptest::sample::select(vec![
            "example.com",
            "EXAMPLE.com",
            "ｅxample.com",
            "exаmple.com",
            "xn--exmple-4nf.com",
            "straße.de",
            "strasse.de",
            "xn--strae-oqa.de",
            "STRASSE.DE",
            "kim.de",
            "\u{212a}im.de",
            "kım.de",
            "müller.de",
            "mu\u{308}ller.de",
            "xn--mller-kva.de",
            "XN--MLLER-KVA.de",
            "muller.de",
            "example。com",
            "faß.de",
            "fass.de",
        ])
        .prop_map(str::to_owned)
    }

    /// Two typed addresses: the second is unrelated, or the first written differently.
    fn pair() -> impl Strategy<Value = (String, String)> {
        let respelt = (local_part(), domain(), domain(), 0..6_u8).prop_map(|(local_part, one, other, how)| {
            let second = match how {
                0 => local_part.to_ascii_uppercase(),
                1 => local_part.to_uppercase(),
                2 => local_part.to_lowercase(),
                3 => local_part.nfd().collect(),
                4 => local_part.nfkc().collect(),
                _ => local_part.clone(),
            };
            (format!("{local_part}@{one}"), format!("{second}@{}", if how % 2 == 0 { one.clone() } else { other }))
        });
        let unrelated = (local_part(), domain(), local_part(), domain())
            .prop_map(|(a, b, c, d)| (format!("{a}@{b}"), format!("{c}@{d}")));
        prop_oneof![2 => respelt, 1 => unrelated]
    }

    #[test]
    fn t50_equal_keys_mean_equal_domains_and_local_parts_equal_but_for_ascii_case() {
        let compared = Cell::new(0_u32);
        let equal = Cell::new(0_u32);
        let config = Config { cases: 3 * PAIRS_MIN, source_file: Some(file!()), ..Config::default() };
        TestRunner::new(config)
            .run(&pair(), |(left, right)| {
                let (Ok(a), Ok(b)) = (EmailAddress::parse(&left), EmailAddress::parse(&right)) else { return Ok(()) };
                compared.set(compared.get() + 1);
                // What was typed, not what was stored: no folding hides in between.
                let typed = |text: &str| text.trim().split('@').next().unwrap().nfc().collect::<String>();
                let same = a.domain() == b.domain() && typed(&left).eq_ignore_ascii_case(&typed(&right));
                prop_assert_eq!(a.key() == b.key(), same, "{:?} {:?}", left, right);
                equal.set(equal.get() + u32::from(same));
                Ok(())
            })
            .unwrap();
        assert!(compared.get() >= PAIRS_MIN, "only {} pairs were addresses", compared.get());
        assert!(equal.get() >= PAIRS_MIN / 20, "only {} pairs were equal", equal.get());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn parse_is_idempotent(local_part in local_part(), domain in prop_oneof![domain(), "\\PC{1,8}\\.[a-z]{2,3}"]) {
            if let Ok(address) = EmailAddress::parse(&format!(" {local_part}@{domain} ")) {
                prop_assert!(EmailAddress::parse(address.as_str()) == Ok(address.clone()), "{:?}", address.as_str());
                prop_assert!(address.domain().is_ascii() && address.as_str().len() <= ADDRESS_OCTETS_MAX);
                prop_assert!(!address.as_str().chars().any(|c| c.is_whitespace() || is_hidden(c)));
                prop_assert_eq!(address.as_str().matches('@').count(), 1);
            }
        }

        #[test]
        fn no_text_makes_parse_panic(text in any::<String>()) {
            let _ = EmailAddress::parse(&text);
        }
    }
}
