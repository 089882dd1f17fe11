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
    pub first: Place,
    pub last: Place,
    /// Only those that were heard from this time on …
    pub since: Option<UnixMillis>,
    /// … and before this one.
    pub until: Option<UnixMillis>,
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
