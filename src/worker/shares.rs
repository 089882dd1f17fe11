//! Who should have how much of the work. Arithmetic only: every instance judges for itself, from what all can see.
//!
//! Of each kind (numbers, subscriptions) everybody has about as many: the difference is one at most. Two rules make it so.
//! **What is free goes to those who have fewest**, as water fills the lowest places first. **Whoever has most gives** when
//! somebody has at least two fewer: one instance at a time, and a part of what is too much.
//!
//! What should go to somebody who does not take it, because he knows less of the configuration or hangs, is taken by whoever
//! sees it lie for too long; and who handed it over hands nothing more over for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::store::leases::LeaseKind;

/// What somebody must own.
pub(super) type LeaseItem = (LeaseKind, i32);

/// Of what an instance has too many, the number that it hands over at once: what moves rests for a second or two.
const AT_ONCE_SHARE: usize = 4;
const AT_ONCE_MAX: usize = 16;
/// After something was handed over in vain: this many leases long.
const RESTS_LEASES: u32 = 3;

/// How one kind of work is spread, as this instance sees it.
pub(super) struct Shares<'a> {
    /// This instance's name.
    pub(super) instance: &'a str,
    pub(super) mine: usize,
    pub(super) others: Vec<Other<'a>>,
}

pub(super) struct Other<'a> {
    pub(super) instance: &'a str,
    pub(super) items: usize,
    /// It has run for a while. One that starts and dies again and again takes what is free, and is handed nothing.
    pub(super) settled: bool,
}

impl Shares<'_> {
    /// How many this instance may take of so many that are free.
    pub(super) fn room(&self, free: usize) -> usize {
        let counts: Vec<usize> = self.others.iter().map(|other| other.items).chain([self.mine]).collect();
        let fewest = counts.iter().copied().min().unwrap_or_default();
        let poured = |level: usize| counts.iter().map(|count| level.saturating_sub(*count)).sum::<usize>();
        let level = (fewest..fewest + free).find(|level| poured(*level) >= free).unwrap_or(fewest + free);
        level.saturating_sub(self.mine).min(free)
    }

    /// How many this instance should hand over now.
    pub(super) fn hand_over(&self) -> usize {
        let takers: Vec<usize> = self.others.iter().filter(|other| other.settled).map(|other| other.items).collect();
        let Some(fewest) = takers.iter().copied().min() else { return 0 };
        // Of several that have as many, one gives: the first by name.
        let most =
            |other: &Other| other.items < self.mine || (other.items == self.mine && self.instance < other.instance);
        if self.mine < fewest + 2 || !self.others.iter().all(most) {
            return 0;
        }
        let fair = (takers.iter().sum::<usize>() + self.mine).div_ceil(takers.len() + 1);
        let too_many = (self.mine - fair).max(1);
        too_many.div_ceil(AT_ONCE_SHARE).min(AT_ONCE_MAX)
    }
}

/// What an instance remembers from one look at the leases to the next.
#[derive(Default)]
pub(super) struct Memory {
    /// Since when it has seen nobody own what somebody must own.
    free_since: BTreeMap<LeaseItem, Instant>,
    /// Given away by this instance, and with nobody yet.
    handed_over: BTreeSet<LeaseItem>,
    /// Nothing is handed over until then.
    rests_until: Option<Instant>,
}

impl Memory {
    /// This is free now, and nothing else. Gives back what lies for so long that this instance takes it, whosever it should
    /// be; leases last so long.
    pub(super) fn see_free(
        &mut self,
        free: &BTreeSet<LeaseItem>,
        now: Instant,
        lasts: Duration,
    ) -> BTreeSet<LeaseItem> {
        self.free_since.retain(|item, _| free.contains(item));
        self.handed_over.retain(|item| free.contains(item));
        let mut lying = BTreeSet::new();
        for item in free {
            let since = *self.free_since.entry(*item).or_insert(now);
            let handed_over = self.handed_over.contains(item);
            // Whoever gave it away sees first that nobody wants it.
            let patience = if handed_over { lasts / 2 } else { lasts };
            if now.duration_since(since) >= patience {
                lying.insert(*item);
                if handed_over {
                    self.rests_until = Some(now + RESTS_LEASES * lasts);
                }
            }
        }
        lying
    }

    /// Given back so that somebody else may have it.
    pub(super) fn note_handed_over(&mut self, item: LeaseItem, now: Instant) {
        self.handed_over.insert(item);
        self.free_since.insert(item, now);
    }

    /// What was handed over has found its owner, and none of it came back lately.
    pub(super) fn may_hand_over(&self, now: Instant) -> bool {
        self.handed_over.is_empty() && self.rests_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(20);
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    /// As the one of these places sees it.
    fn seen_by(place: usize, counts: &[usize], settled: &[bool]) -> Shares<'static> {
        let others = (0..counts.len()).filter(|other| *other != place);
        let other = |it: usize| Other { instance: NAMES[it], items: counts[it], settled: settled[it] };
        Shares { instance: NAMES[place], mine: counts[place], others: others.map(other).collect() }
    }

    fn room(mine: usize, others: &[usize], free: usize) -> usize {
        let counts: Vec<usize> = [&[mine], others].concat();
        seen_by(0, &counts, &[true; 6]).room(free)
    }

    fn hand_over(mine: usize, others: &[usize]) -> usize {
        let counts: Vec<usize> = [&[mine], others].concat();
        seen_by(0, &counts, &[true; 6]).hand_over()
    }

    #[test]
    fn what_is_free_goes_to_those_who_have_fewest() {
        assert_eq!(room(0, &[], 7), 7, "who is alone takes all");
        assert_eq!(room(0, &[0], 1), 1, "either takes it, and the database decides");
        assert_eq!(room(0, &[0, 0], 4), 2, "nothing waits for somebody to be behind");
        assert_eq!((room(10, &[10], 10), room(10, &[0], 10), room(0, &[10], 10)), (5, 0, 10));
        assert_eq!((room(2, &[1, 0], 1), room(1, &[2, 0], 1), room(0, &[2, 1], 1)), (0, 0, 1));
        assert_eq!(room(3, &[5], 0), 0);
    }

    #[test]
    fn whoever_has_most_hands_over_a_part_when_somebody_has_at_least_two_fewer() {
        assert_eq!(hand_over(7, &[]), 0, "there is nobody to take it");
        assert_eq!((hand_over(2, &[0]), hand_over(1, &[0]), hand_over(3, &[2])), (1, 0, 0));
        assert_eq!((hand_over(8, &[0]), hand_over(10, &[0]), hand_over(1000, &[0])), (1, 2, AT_ONCE_MAX));
        assert_eq!(hand_over(3, &[5, 0]), 0, "another has more");
        assert_eq!(
            (seen_by(0, &[2, 2, 0], &[true; 3]).hand_over(), seen_by(1, &[2, 2, 0], &[true; 3]).hand_over()),
            (1, 0)
        );
    }

    #[test]
    fn an_instance_that_has_just_started_is_handed_nothing_and_takes_what_is_free() {
        assert_eq!(seen_by(0, &[4, 0], &[true, false]).hand_over(), 0);
        assert_eq!(seen_by(0, &[4, 0, 2], &[true, false, true]).hand_over(), 1, "to the one that has run for a while");
        assert_eq!(seen_by(0, &[4, 0], &[true, false]).room(1), 0, "what is free is for the new one");
    }

    /// Everybody looks in turn until nobody does anything; gives back how often something was handed over.
    fn settle(counts: &mut [usize], mut free: usize) -> usize {
        let (settled, total, mut moved) = ([true; 6], counts.iter().sum::<usize>() + free, 0);
        for _ in 0..1_000 {
            let before = (counts.to_vec(), free);
            for place in 0..counts.len() {
                let taken = seen_by(place, counts, &settled).room(free);
                counts[place] += taken;
                free -= taken;
                let given = if free == 0 { seen_by(place, counts, &settled).hand_over() } else { 0 };
                counts[place] -= given;
                free += given;
                moved += given;
                assert_eq!(counts.iter().sum::<usize>() + free, total);
            }
            if before == (counts.to_vec(), free) {
                break;
            }
        }
        moved
    }

    #[test]
    fn it_ends_with_everybody_having_as_many_and_moves_hardly_more_than_it_must() {
        for (mut counts, free, moved_max) in [
            (vec![2, 0], 0, 1),
            (vec![100, 0], 0, 50),
            (vec![2, 2, 0], 0, 1),
            (vec![4, 0, 0], 0, 3),
            (vec![10; 5].into_iter().chain([0]).collect(), 0, 8),
            (vec![3, 3, 3, 0], 0, 3),
            (vec![0, 0, 0], 100, 0),
            (vec![30, 1, 0], 2, 19),
        ] {
            let start = counts.clone();
            let moved = settle(&mut counts, free);
            let (fewest, most) = (counts.iter().min().copied(), counts.iter().max().copied());
            assert!(most <= fewest.map(|fewest| fewest + 1), "{start:?} with {free} free ended as {counts:?}");
            assert!(moved <= moved_max, "{start:?}: {moved} were moved");
            assert_eq!(settle(&mut counts, 0), 0, "and it stays so");
        }
    }

    #[test]
    fn what_nobody_takes_is_taken_back_first_by_who_handed_it_over_and_then_nothing_is_handed_over_for_a_while() {
        let (mut giver, mut another, start) = (Memory::default(), Memory::default(), Instant::now());
        let item = (LeaseKind::Sender, 7);
        let free = BTreeSet::from([item]);
        giver.note_handed_over(item, start);

        assert!(giver.see_free(&free, start, LASTS).is_empty() && another.see_free(&free, start, LASTS).is_empty());
        assert!(!giver.may_hand_over(start), "the next only when this one has found its owner");
        let later = start + LASTS / 2;
        assert_eq!(
            (giver.see_free(&free, later, LASTS), another.see_free(&free, later, LASTS).len()),
            (free.clone(), 0)
        );
        giver.see_free(&BTreeSet::new(), later, LASTS);
        assert!(!giver.may_hand_over(later));
        assert!(giver.may_hand_over(later + RESTS_LEASES * LASTS));
        assert_eq!(another.see_free(&free, start + LASTS, LASTS), free, "in the end anybody takes it");
    }

    #[test]
    fn what_was_handed_over_and_taken_is_forgotten() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.note_handed_over((LeaseKind::Sender, 7), now);

        memory.see_free(&BTreeSet::new(), now + LASTS, LASTS);

        assert!(memory.may_hand_over(now + LASTS));
    }
}
