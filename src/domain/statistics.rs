//! What is counted by the hour, and what the counts of answers say about their time.

use super::outbound::stored;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Messages that were answered with success, each once.
    Accepted,
    /// Requests for the account that were answered with an error: all of its platform, and those without its credentials that are kept.
    Refused,
    Sent,
    Delivered,
    Read,
    /// Messages that failed, by reason and provider's code. In the tables those that were cancelled are among them.
    Failed,
    /// Messages from people.
    Received,
    /// Those among them that quote one of ours.
    Replied,
    /// Requests of the account's platform, by how long the answer took: a place in [`ANSWER_LIMITS_MS`], or beyond its end.
    Answered,
    /// Events that a callback URL took.
    Told,
    /// Callback requests that were not taken.
    NotTold,
    /// Messages that an operator cancelled: told apart when figures are read, never written, because earlier versions know no such
    /// figure.
    Cancelled,
}

stored!(Figure {
    Accepted = 1 "accepted",
    Refused = 2 "refused",
    Sent = 3 "sent",
    Delivered = 4 "delivered",
    Read = 5 "read",
    Failed = 6 "failed",
    Received = 7 "received",
    Replied = 8 "replied",
    Answered = 9 "answered",
    Told = 10 "told",
    NotTold = 11 "not_told",
    Cancelled = 12 "cancelled",
});

/// An answer is counted at the first of these that it kept, in milliseconds.
pub const ANSWER_LIMITS_MS: [u64; 12] = [2, 5, 10, 20, 50, 100, 200, 350, 500, 750, 1_000, 2_000];
/// What the platform waits for an answer before it counts an error.
pub const ANSWER_WANTED_MS: u64 = 1_000;

/// How fast answers were: so many kept each limit and not the one before; the last were slower than all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerTimes {
    counts: [u64; ANSWER_LIMITS_MS.len() + 1],
}

impl AnswerTimes {
    /// At which place an answer is counted.
    pub fn place_of(took_ms: u64) -> i16 {
        i16::try_from(ANSWER_LIMITS_MS.partition_point(|limit| *limit < took_ms)).unwrap_or(i16::MAX)
    }

    /// Counts some more; a place that this version does not know is the slowest.
    pub fn add(&mut self, place: i16, answers: u64) {
        let place = usize::try_from(place).unwrap_or(usize::MAX).min(ANSWER_LIMITS_MS.len());
        self.counts[place] += answers;
    }

    pub fn all(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Answers that came too late for the platform.
    pub fn late(&self) -> u64 {
        self.counts.iter().skip(usize::try_from(Self::place_of(ANSWER_WANTED_MS)).unwrap_or(0) + 1).sum()
    }

    /// The limit that this share of the answers kept, in milliseconds; `None` when it is beyond the last, or there were none.
    pub fn within_ms(&self, share: f64) -> Option<u64> {
        let wanted = (self.all() as f64 * share).ceil() as u64;
        let mut so_far = 0;
        let limits = ANSWER_LIMITS_MS.iter().zip(self.counts);
        (wanted > 0).then_some(())?;
        limits.into_iter().find_map(|(limit, count)| {
            so_far += count;
            (so_far >= wanted).then_some(*limit)
        })
    }

    /// Each limit with its answers; the last has none.
    pub fn each(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        ANSWER_LIMITS_MS.iter().copied().map(Some).chain([None]).zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_answers_kept_the_limit_that_is_told() {
        let mut times = AnswerTimes::default();
        assert_eq!(times.within_ms(0.5), None);
        for (took_ms, answers) in [(1, 90), (20, 8), (1_000, 1), (1_001, 1)] {
            times.add(AnswerTimes::place_of(took_ms), answers);
        }

        assert_eq!(
            (times.within_ms(0.5), times.within_ms(0.95), times.within_ms(0.99)),
            (Some(2), Some(20), Some(1_000))
        );
        assert_eq!((times.all(), times.late()), (100, 1));

        times.add(AnswerTimes::place_of(60_000), 100);
        assert_eq!(times.within_ms(0.99), None, "slower than the last limit");
        assert_eq!(times.late(), 101);
    }
}
