//! Small words for people: the right number of a noun, times as people tell them.

use std::{fmt::Display, time::Duration};

use super::time::UnixMillis;

/// `1 message`, `2 messages`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let noun = if count == N::from(1) { one } else { many };
    format!("{count} {noun}")
}

/// A whole number with its thousands apart: `12,345`.
pub fn thousands(number: impl Display) -> String {
    let number = number.to_string();
    let (sign, digits) = number.split_at(usize::from(number.starts_with('-')));
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The first of many, and how many more there are; `None` when there is none. Each as far as a sentence has room for it.
pub fn few<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const TOLD_MAX: usize = 3;
    const WORD_CHARS_MAX: usize = 60;
    let mut words = words.into_iter();
    let short = |word: &str| word.chars().filter(|letter| !letter.is_control()).take(WORD_CHARS_MAX).collect();
    let told: Vec<String> = words.by_ref().take(TOLD_MAX).map(short).collect();
    let more = words.count();
    match (told.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(told.join(", ")),
        (false, more) => Some(format!("{} and {more} more", told.join(", "))),
    }
}

/// What to do about a word that is none of those that are known: the one that was meant, all of them when they are few, or `where_else`
/// all of them stand.
pub fn not_known(word: &str, known: &[&str], where_else: &str) -> String {
    const TOLD_MAX: usize = 8;
    const LIKE_MIN: f64 = 0.6;
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&word.to_lowercase(), known);
    let nearest = known.iter().map(|known| (likeness(known), *known)).max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest.filter(|(likeness, _)| *likeness >= LIKE_MIN) {
        Some((_, meant)) => format!("is not known here: did you mean {meant}? {where_else} lists all"),
        None if known.is_empty() => "is not known here: remove it".to_owned(),
        None if known.len() <= TOLD_MAX => {
            format!("is not known here: remove it, or use one of {}", known.join(", "))
        }
        None => format!("is not known here: remove it; {where_else} lists all"),
    }
}

/// What is wrong with a receiver that did not take so many requests, one after the other.
pub fn not_taken<N: Display + PartialEq + From<u8>>(failures: N) -> String {
    match failures == N::from(1) {
        true => "the last request was not taken".to_owned(),
        false => format!("{failures} requests in a row were not taken"),
    }
}

/// How long ago something was, in the two largest units.
pub fn ago(since: UnixMillis, now: UnixMillis) -> String {
    let seconds = now.since(since).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86_400.. => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long something takes or is kept, in its largest unit that says it exactly: `32 days`, `15 min`.
pub fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        _ if seconds.is_multiple_of(86_400) => counted(seconds / 86_400, "day", "days"),
        _ if seconds.is_multiple_of(3_600) => counted(seconds / 3_600, "hour", "hours"),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// To the second: people compare it with their clock.
pub fn moment(at: UnixMillis) -> String {
    UnixMillis::from_seconds(at.as_seconds()).to_string().replace(".000Z", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_words_a_few_are_told() {
        assert_eq!(few([]), None);
        assert_eq!(few(["a", "b", "c"]).as_deref(), Some("a, b, c"));
        assert_eq!(few(["a"; 5000]).as_deref(), Some("a, a, a and 4997 more"));
        assert_eq!(few([&*"\u{7}x".repeat(100)]), Some("x".repeat(60)));
    }

    #[test]
    fn times_are_told_as_people_do() {
        let at = |seconds: i64| ago(UnixMillis(0), UnixMillis::from_seconds(seconds));

        assert_eq!([at(5), at(125), at(7500), at(100_000)], ["5 s", "2 min", "2 h 5 min", "1 d 3 h"]);
        assert_eq!(moment(UnixMillis(1_795_000_000_194)), "2026-11-18T11:06:40Z");
    }

    #[test]
    fn ages_are_told_in_the_unit_in_which_they_were_set() {
        let told = [32 * 86_400, 86_400, 6 * 3_600, 900, 90, 0].map(|seconds| lasting(Duration::from_secs(seconds)));
        assert_eq!(told, ["32 days", "1 day", "6 hours", "15 min", "90 s", "0 ms"]);
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([-999, -1_000, i64::MIN].map(thousands), ["-999", "-1,000", "-9,223,372,036,854,775,808"]);
    }

    #[test]
    fn one_request_is_none_in_a_row() {
        assert_eq!(not_taken(1), "the last request was not taken");
        assert_eq!(not_taken(20), "20 requests in a row were not taken");
    }

    #[test]
    fn one_is_not_several_and_neither_is_several_one() {
        let events = |count: u64| counted(count, "event waits", "events wait");
        assert_eq!([0, 1, 2].map(events), ["0 events wait", "1 event waits", "2 events wait"]);
    }
}
