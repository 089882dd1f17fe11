//! Telling a platform again what it was told before, or should have been.
//!
//! A replay is a second way through an account's log, beside the cursor of its subscription and never beyond it. What was
//! left behind stands in ranges of places; [`without`] takes those out that have been told after all.

use std::collections::BTreeSet;

use super::{
    ids::{MessageId, Place},
    outbound::stored,
    time::UnixMillis,
};

/// Which events of a stretch of the log are told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplayOf {
    /// Those that the platform refused, or that grew too old while it could not be reached.
    Dead,
    /// Those that the platform's dialect had no words for: another version may have some.
    NotRelayed,
    /// Those that the platform took.
    Delivered,
    All,
}

stored!(ReplayOf { Dead = 1 "dead", NotRelayed = 2 "not_relayed", Delivered = 3 "delivered", All = 4 "all" });

/// The events of one subscription that are wanted again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySelection {
    pub of: ReplayOf,
    /// Only those about this message.
    pub message: Option<MessageId>,
    /// Of what was left behind, only what was answered like that.
    pub because: Because,
    pub first: Place,
    pub last: Place,
    /// Only those that were heard from this time on …
    pub since: Option<UnixMillis>,
    /// … and before this one.
    pub until: Option<UnixMillis>,
}

/// Why events were left behind, as far as somebody chooses among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Because {
    /// The code of the last answer.
    pub answered: Option<i16>,
    /// Stands in the reason, whatever the case.
    pub text: Option<String>,
}

impl Because {
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event that was left behind, or waits, for this reason is one of those.
    pub fn fits(&self, reason: Option<&str>) -> bool {
        let reason = reason.unwrap_or_default();
        // Of one that was tried several times, or told again, that stands first.
        let tried = || reason.strip_prefix("tried ")?.split_once(": ").map(|(_, answer)| answer);
        let answer = reason.strip_prefix("told again in vain: ").or_else(tried).unwrap_or(reason);
        let is_answered = |code| {
            let rest = answer.strip_prefix(&*answer_with(code));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        self.answered.is_none_or(is_answered)
            && self.text.as_ref().is_none_or(|text| reason.to_lowercase().contains(&text.to_lowercase()))
    }

    /// The same as patterns of `LIKE`, one of which the reason has, for the code of the answer.
    pub fn answer_patterns(&self) -> Vec<String> {
        let Some(answer) = self.answered.map(answer_with) else { return vec![] };
        let starts = ["", "tried once: ", "tried % times: ", "told again in vain: "];
        starts.iter().flat_map(|start| [format!("{start}{answer}"), format!("{start}{answer}:%")]).collect()
    }
}

fn answer_with(code: i16) -> String {
    format!("HTTP {code}")
}

/// Ranges of places, both ends included, without some places.
pub fn without(ranges: &[(Place, Place)], gone: &BTreeSet<Place>) -> Vec<(Place, Place)> {
    let mut left = Vec::new();
    for (first, last) in ranges {
        let mut from = first.0;
        for place in gone.range(*first..=*last) {
            if from < place.0 {
                left.push((Place(from), Place(place.0 - 1)));
            }
            from = place.0 + 1;
        }
        if from <= last.0 {
            left.push((Place(from), *last));
        }
    }
    left
}

/// Places as ranges of neighbours, in order.
pub fn ranges_of(places: &BTreeSet<Place>) -> Vec<(Place, Place)> {
    let mut ranges: Vec<(Place, Place)> = Vec::new();
    for place in places {
        match ranges.last_mut() {
            Some((_, last)) if last.0 + 1 == place.0 => *last = *place,
            Some(_) | None => ranges.push((*place, *place)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(first: i64, last: i64) -> (Place, Place) {
        (Place(first), Place(last))
    }

    fn places(of: &[(Place, Place)]) -> BTreeSet<Place> {
        of.iter().flat_map(|(first, last)| (first.0..=last.0).map(Place)).collect()
    }

    #[test]
    fn the_answer_is_found_in_a_reason_wherever_it_was_said() {
        let of = |answered| Because { answered: Some(answered), text: None };
        for reason in ["HTTP 500", "HTTP 500: oh", "tried 3 times: HTTP 500", "told again in vain: HTTP 500: oh"] {
            assert!(of(500).fits(Some(reason)), "{reason}");
        }
        for reason in ["HTTP 5000", "HTTP 400: upstream said HTTP 500", "too old", ""] {
            assert!(!of(500).fits(Some(reason)), "{reason}");
        }
        let text = Because { answered: None, text: Some("Teapot".to_owned()) };
        assert!(text.fits(Some("HTTP 418: I am a teapot")) && !text.fits(None) && Because::default().fits(None));
    }

    #[test]
    fn what_was_told_leaves_a_gap() {
        let gone = [2, 5, 9, 20].map(Place).into();

        assert_eq!(
            without(&[range(1, 5), range(8, 10)], &gone),
            [range(1, 1), range(3, 4), range(8, 8), range(10, 10)]
        );
        assert_eq!(without(&[range(2, 2)], &gone), []);
        assert_eq!(without(&[range(11, 12)], &gone), [range(11, 12)]);
    }

    proptest! {
        #[test]
        fn nothing_else_is_lost(
            left in proptest::collection::btree_set(1i64..60, 0..40),
            gone in proptest::collection::btree_set(1i64..60, 0..40),
        ) {
            let left: BTreeSet<Place> = left.into_iter().map(Place).collect();
            let gone: BTreeSet<Place> = gone.into_iter().map(Place).collect();
            let ranges = ranges_of(&left);
            prop_assert_eq!(places(&ranges), left.clone());
            let rest = without(&ranges, &gone);
            prop_assert_eq!(places(&rest), left.difference(&gone).copied().collect::<BTreeSet<_>>());
        }
    }
}
