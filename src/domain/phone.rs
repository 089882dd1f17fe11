//! Telephone numbers, as a person types them and as the network wants them.
//!
//! Numbering plans change and only a maintained table knows them, so the `phonenumber` crate judges.
//! It is given digits and nothing else: it takes letters for keypad digits, and a customer id for a
//! telephone number of somebody else.

use std::fmt;

use phonenumber::{
    Type, country,
    metadata::{DATABASE, Descriptor},
};
use serde::{Deserialize, Serialize};

/// Longer texts are no telephone number, however they are punctuated.
pub const PHONE_TEXT_CHARS_MAX: usize = 40;

/// A number in international form: `+` and 5 to 15 digits. Shown masked; [`PhoneNumber::as_e164`] is the number itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Reads what a person or a platform typed, in international form or, where the account has a
    /// default country (ISO 3166), as one dials there.
    ///
    /// With `+` the country is certain, so a length that exists there suffices: numbering plans grow
    /// faster than our table. Without it every reading is a guess and must be a valid number.
    pub fn parse(text: &str, default_country: Option<&str>) -> Result<Self, PhoneError> {
        let typed = Typed::read(text)?;
        if typed.has_plus {
            return international(&typed.digits).ok_or(PhoneError::Impossible);
        }
        let country = default_country.and_then(|code| code.parse::<country::Id>().ok());
        let as_typed = PhoneNumber::from_international(&typed.digits).filter(|_| is_valid(&typed.digits));
        as_typed.or_else(|| dialled(Some(country?), &typed.digits)).ok_or_else(|| match country {
            Some(country) => PhoneError::InvalidIn { country: country.as_ref().to_owned() },
            None => PhoneError::Invalid,
        })
    }

    /// Unpacks the table of numbering plans, which otherwise the first number pays for: up to half a second that a
    /// platform would have to wait.
    pub fn unpack_plans() {
        const ANY_COUNTRY: u16 = 91;
        drop(DATABASE.region(&ANY_COUNTRY));
    }

    /// A number that is already international: digits with or without `+`. For what providers send
    /// and what we stored; not for what people type.
    pub fn from_international(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let fits = (5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| Self(format!("+{digits}")))
    }

    /// `+` and digits.
    pub fn as_e164(&self) -> &str {
        &self.0
    }

    /// The digits without `+`.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// The digits behind the country code; all of them when no country has it.
    pub fn national(&self) -> &str {
        national_part(self.digits()).map_or(self.digits(), |(_, national)| national)
    }
}

/// Enough to recognise a number one knows, too little to call one that one does not.
impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        let shown = digits.len() / 4;
        write!(f, "+{}{}{}", &digits[..shown], "*".repeat(digits.len() - 2 * shown), &digits[digits.len() - shown..])
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no telephone number. None of them repeats it: they end up in logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    #[error("the phone number is empty")]
    Empty,
    #[error("a phone number has at most {PHONE_TEXT_CHARS_MAX} characters")]
    TooLong,
    #[error("a phone number has digits only, but this one contains {0:?}")]
    NotADigit(char),
    #[error("no phone number has this country code and length; check its digits")]
    Impossible,
    #[error(
        "not a valid phone number with country code, and the account has no default country; \
         write it with + and country code"
    )]
    Invalid,
    #[error("not a valid phone number, neither with country code nor in {country}; write it with + and country code")]
    InvalidIn { country: String },
}

/// A text without its punctuation.
struct Typed {
    has_plus: bool,
    digits: String,
}

impl Typed {
    fn read(text: &str) -> Result<Self, PhoneError> {
        if text.chars().nth(PHONE_TEXT_CHARS_MAX).is_some() {
            return Err(PhoneError::TooLong);
        }
        let text = text.trim();
        let (has_plus, rest) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut digits = String::with_capacity(rest.len());
        for character in rest.chars() {
            match character {
                '0'..='9' => digits.push(character),
                ' ' | '\u{a0}' | '-' | '.' | '/' | '(' | ')' => {}
                other => return Err(PhoneError::NotADigit(other)),
            }
        }
        if digits.is_empty() { Err(PhoneError::Empty) } else { Ok(Self { has_plus, digits }) }
    }
}

/// The kinds of number that a person has.
const PERSONAL_KINDS: &[Type] = &[Type::Mobile, Type::FixedLine, Type::Voip, Type::PersonalNumber];
/// The kinds of number that can be called from abroad at all; their lengths vary so much that they exclude nothing.
const OTHER_KINDS: &[Type] =
    &[Type::TollFree, Type::PremiumRate, Type::SharedCost, Type::Uan, Type::Pager, Type::Voicemail];

/// The digits of a number that was typed with `+`.
fn international(digits: &str) -> Option<PhoneNumber> {
    let as_typed = PhoneNumber::from_international(digits);
    let is_possible = is_possible(digits);
    let has_zero = national_part(digits)?.1.starts_with('0');
    if (is_possible && !has_zero) || is_valid(digits) {
        return as_typed;
    }
    // The zero that is dialled inside the country only, as in +44 (0)20, or some other excess. In a few
    // countries (Italy) the zero belongs to the number.
    dialled(None, &format!("+{digits}")).or(as_typed.filter(|_| is_possible))
}

/// Have people in its country numbers of this length?
fn is_possible(digits: &str) -> bool {
    // The table gives lengths for each kind, but none for all of them together.
    let has_length = |kind: &Descriptor, national: &str| {
        kind.possible_length().iter().any(|length| usize::from(*length) == national.len())
    };
    some_kind(PERSONAL_KINDS, digits, has_length)
}

/// Is it a number that could be given to somebody today?
fn is_valid(digits: &str) -> bool {
    some_kind(PERSONAL_KINDS, digits, Descriptor::is_match) || some_kind(OTHER_KINDS, digits, Descriptor::is_match)
}

fn some_kind(kinds: &[Type], digits: &str, fits: impl Fn(&Descriptor, &str) -> bool) -> bool {
    let Some((code, national)) = national_part(digits) else { return false };
    let regions = DATABASE.by_code(&code).unwrap_or_default();
    let mut kinds = regions.iter().flat_map(|region| kinds.iter().filter_map(|kind| region.descriptors().get(*kind)));
    kinds.any(|kind| fits(kind, national))
}

/// The country that a number with these first digits is of, as a price list has it: the calling code, and the country's
/// ISO 3166 code, `+91 IN`; `+1 US and others` where several share a code.
pub fn country_of(digits: &str) -> String {
    let Some((code, _)) = national_part(digits) else { return format!("+{digits}") };
    let regions = DATABASE.by_code(&code).unwrap_or_default();
    let main = regions.iter().find(|region| region.is_main_country_for_code()).or(regions.first());
    // What is no country's, such as freephone, has a number for a name.
    let name = main.map(|region| region.id()).filter(|id| id.bytes().all(|byte| byte.is_ascii_uppercase()));
    match (name, regions.len()) {
        (None, _) => format!("+{code}"),
        (Some(name), 1) => format!("+{code} {name}"),
        (Some(name), _) => format!("+{code} {name} and others"),
    }
}

/// Splits an international number behind its country code. No code is the beginning of another.
fn national_part(digits: &str) -> Option<(u16, &str)> {
    const COUNTRY_CODE_DIGITS_MAX: usize = 3;
    if digits.starts_with('0') {
        return None;
    }
    (1..=COUNTRY_CODE_DIGITS_MAX).filter_map(|length| digits.split_at_checked(length)).find_map(|(code, national)| {
        let code = code.parse().ok()?;
        DATABASE.region(&code).map(|_| (code, national))
    })
}

/// What is reached by dialling this in the country. The library drops what looks like a trunk prefix even
/// where it is not one (the 8 of St Petersburg), so its reading counts only if it is a number.
fn dialled(country: Option<country::Id>, digits: &str) -> Option<PhoneNumber> {
    let number = phonenumber::parse(country, digits).ok()?;
    let digits = format!("{}{}", number.code().value(), number.national());
    PhoneNumber::from_international(&digits).filter(|_| is_valid(&digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str, country: Option<&str>) -> Result<String, PhoneError> {
        PhoneNumber::parse(text, country).map(|number| number.as_e164().to_owned())
    }

    #[test]
    fn the_first_digits_tell_the_country() {
        for (digits, country) in [
            ("919", "+91 IN"),
            ("491", "+49 DE"),
            ("120", "+1 US and others"),
            ("353", "+353 IE"),
            ("799", "+7 RU and others"),
            ("000", "+000"),
        ] {
            assert_eq!(country_of(digits), country);
        }
    }

    #[test]
    fn a_number_with_plus_is_read_as_typed() {
        for text in ["+919876500001", " +91 98765-00001 ", "+91 (98765) 00001", "+91.98765/00001"] {
            assert_eq!(parse(text, None).as_deref(), Ok("+919876500001"), "{text}");
        }
    }

    #[test]
    fn with_plus_a_possible_length_suffices() {
        // No Indian number begins with 1 today, yet ten digits are possible.
        assert_eq!(parse("+911234567890", None).as_deref(), Ok("+911234567890"));
        assert_eq!(parse("+9198765", None), Err(PhoneError::Impossible));
        assert_eq!(parse("+9198765000011", None), Err(PhoneError::Impossible));
        assert_eq!(parse("+0919876500001", None), Err(PhoneError::Impossible));
        assert_eq!(parse("+999876500001", None), Err(PhoneError::Impossible));
    }

    #[test]
    fn the_zero_that_is_dialled_inside_a_country_is_dropped_where_it_is_not_part_of_the_number() {
        assert_eq!(parse("+44 (0)7912 345678", None).as_deref(), Ok("+447912345678"));
        assert_eq!(parse("+49 0151 23456789", None).as_deref(), Ok("+4915123456789"));
        assert_eq!(parse("+39 02 36618300", None).as_deref(), Ok("+390236618300"));
        assert_eq!(parse("+7 812 345 67 89", None).as_deref(), Ok("+78123456789"));
    }

    #[test]
    fn without_plus_a_number_is_international_first_and_then_of_the_default_country() {
        assert_eq!(parse("919876500001", None).as_deref(), Ok("+919876500001"));
        assert_eq!(parse("919876500001", Some("US")).as_deref(), Ok("+919876500001"));
        assert_eq!(parse("9876500001", Some("IN")).as_deref(), Ok("+919876500001"));
        assert_eq!(parse("09876500001", Some("IN")).as_deref(), Ok("+919876500001"));
        assert_eq!(parse("00919876500001", Some("IN")).as_deref(), Ok("+919876500001"));
        assert_eq!(parse("(650) 253-0000", Some("US")).as_deref(), Ok("+16502530000"));
    }

    #[test]
    fn without_plus_a_number_that_is_valid_nowhere_is_refused() {
        assert_eq!(parse("9876500001", None), Err(PhoneError::Invalid));
        assert_eq!(parse("98765", Some("IN")), Err(PhoneError::InvalidIn { country: "IN".to_owned() }));
        assert_eq!(parse("9876500001", Some("nowhere")), Err(PhoneError::Invalid));
    }

    #[test]
    fn letters_are_never_digits() {
        assert_eq!(parse("98765ABCDE", Some("IN")), Err(PhoneError::NotADigit('A')));
        assert_eq!(parse("+1 800 FLOWERS", None), Err(PhoneError::NotADigit('F')));
        assert_eq!(parse("+91987650000१", None), Err(PhoneError::NotADigit('१')));
        assert_eq!(parse("++919876500001", None), Err(PhoneError::NotADigit('+')));
    }

    #[test]
    fn nothing_is_not_a_number() {
        for text in ["", "  ", "+", "(-)"] {
            assert_eq!(parse(text, Some("IN")), Err(PhoneError::Empty), "{text}");
        }
        assert_eq!(parse(&"9".repeat(PHONE_TEXT_CHARS_MAX + 1), None), Err(PhoneError::TooLong));
    }

    #[test]
    fn an_error_says_what_to_do_and_not_which_number() {
        let error = PhoneNumber::parse("98765", Some("IN")).expect_err("five digits are too few");

        assert_eq!(
            error.to_string(),
            "not a valid phone number, neither with country code nor in IN; write it with + and country code"
        );
    }

    const COUNTRIES: &[&str] = &["", "AR", "BR", "IN", "IT", "MX", "RU", "US", "ZZ"];

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,50}", country in proptest::sample::select(COUNTRIES)) {
            let _ = PhoneNumber::parse(&text, Some(country));
        }

        /// What comes out goes in again: no reading changes a number twice.
        #[test]
        fn a_number_that_was_read_reads_as_itself(
            text in "[+]?[0-9 ()-]{0,45}",
            country in proptest::option::of(proptest::sample::select(COUNTRIES)),
        ) {
            if let Ok(number) = PhoneNumber::parse(&text, country) {
                prop_assert_eq!(PhoneNumber::parse(number.as_e164(), None), Ok(number));
            }
        }
    }
}
