//! Single values of CleverTap's payloads, in every way in which they are written: a number as text, a text as a number, `null`
//! for nothing, words in any spelling.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// Beyond it a number that is not whole, or does not fit into 64 bits, loses digits.
const EXACT_NUMBER_MAX: f64 = 9_007_199_254_740_992.0;

/// Something that stands as a word in the document.
pub(super) trait FromWord {
    fn from_word(word: &str) -> Self;
}

/// The meaning of a word without regard to case and separators: `copy_code` and `quickReply` stand side by
/// side in one sample.
pub(super) fn pick<T, const N: usize>(word: &str, known: [(&str, T); N]) -> Option<T> {
    let plain = || word.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    known.into_iter().find(|(name, _)| plain().eq(name.bytes())).map(|(_, meaning)| meaning)
}

pub(super) fn word<'de, D: Deserializer<'de>, T: FromWord>(deserializer: D) -> Result<T, D::Error> {
    struct WordVisitor<T>(PhantomData<T>);

    impl<T: FromWord> Visitor<'_> for WordVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word")
        }

        fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
            Ok(T::from_word(word))
        }

        fn visit_unit<E: Error>(self) -> Result<T, E> {
            Ok(T::from_word(""))
        }
    }

    deserializer.deserialize_any(WordVisitor(PhantomData))
}

/// Text, also where a number or a truth value stands in its place; `null` is nothing.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct TextVisitor;

    impl Visitor<'_> for TextVisitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text or a number")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_string<E: Error>(self, text: String) -> Result<String, E> {
            Ok(text)
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
            if value.abs() > EXACT_NUMBER_MAX {
                return Err(E::custom("a number with so many digits is not kept exactly; send it as text"));
            }
            Ok(value.to_string())
        }

        fn visit_unit<E: Error>(self) -> Result<String, E> {
            Ok(String::new())
        }
    }

    deserializer.deserialize_any(TextVisitor)
}

/// `None` when there is no whole number.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(text(deserializer)?.trim().parse().ok())
}

/// `None` when nothing is said.
pub(super) fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let text = text(deserializer)?;
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.eq_ignore_ascii_case("true") || text == "1"))
}

/// `null` is an empty list.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct ListVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = sequence.next_element()? {
                items.push(item);
            }
            Ok(items)
        }

        fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
    }

    deserializer.deserialize_any(ListVisitor(PhantomData))
}
