//! Small words for people: the right number of a noun.

use std::fmt::Display;

/// `1 message`, `2 messages`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let noun = if count == N::from(1) { one } else { many };
    format!("{count} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several_and_neither_is_several_one() {
        let events = |count: u64| counted(count, "event waits", "events wait");
        assert_eq!([0, 1, 2].map(events), ["0 events wait", "1 event waits", "2 events wait"]);
    }
}
