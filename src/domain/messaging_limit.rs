//! To how many people a business may write first within a day, counted as WhatsApp counts it.
//!
//! [`CountedPeople`] of one portfolio: everybody to whom a template was sent outside an open window within the last 24 hours,
//! by the last time. A person has a *place* from the moment in which a message is chosen for them: first reserved, then counted
//! when the provider took the message, or given back when it did not. [`OpenWindows`] says who wrote to a number within 24 hours:
//! answering them costs no place.
//!
//! Minutes are exact enough, and err on the safe side: a place becomes free up to a minute late, a window closes up to a
//! minute early. People are eight bytes of a keyed hash. Pure: time comes in.

use std::{collections::HashMap, time::Duration};

use super::{
    ids::{MessageId, SenderKey},
    outbound::stored,
    time::UnixMillis,
};

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// A number wrote to the person first, outside an open window.
    Business,
    /// The person wrote to the number.
    Person,
}

stored!(Contact { Business = 1 "business", Person = 2 "person" });

/// Whose numbers share one limit. WhatsApp has one for each business portfolio and does not say which portfolio a number
/// belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Those of one business account, through whatever connection.
    BusinessAccount,
    /// All of the connection: its business accounts are of one portfolio.
    Connection,
    /// Nobody's: the limit is not counted.
    Off,
}

impl Sharing {
    /// The setting of a connection that says it.
    pub const SETTING: &str = "messaging_limit";
    pub const DEFAULT: &str = "waba";
    /// Its words, as a form names them.
    pub const NAMED: [(&str, &str); 3] = [
        (Self::DEFAULT, "the numbers of a business account"),
        ("connection", "all numbers of this connection"),
        ("off", "nobody: it is not counted"),
    ];

    /// By the setting's word. Without one, which a provider need not have, nothing is counted.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            Self::DEFAULT => Some(Self::BusinessAccount),
            "connection" => Some(Self::Connection),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// A limit above this is not counted: WhatsApp's largest is 100,000 people.
pub const PEOPLE_COUNTED_MAX: u64 = 250_000;
/// People who wrote within a day, at all numbers with a limit. Beyond it some who wrote are taken for people who did not,
/// and may wait although they need not.
pub const WINDOWS_MAX: usize = 1_000_000;
/// How long somebody counts, and how long a window is open.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const DAY_MINUTES: u32 = 24 * 60;
const MINUTE_MS: i64 = 60_000;
/// A message that was chosen leaves, or is given back, much sooner. Whoever was to say so is gone.
const RESERVED_MINUTES_MAX: u32 = 10;
/// A message that waits for a place is due so long before it expires: what tells it from one that an operator paused, which
/// is due when it expires.
const BEFORE_EXPIRY: Duration = Duration::from_millis(1);

/// Until when a message is set aside that waits for a place: if none becomes free it expires.
pub fn aside_until(expires_at: UnixMillis) -> UnixMillis {
    expires_at.minus(BEFORE_EXPIRY)
}

/// Whether a message that waits was set aside for want of a place.
pub fn waits_for_place(due_at: Option<UnixMillis>, expires_at: UnixMillis) -> bool {
    due_at == Some(aside_until(expires_at))
}

fn minute(at: UnixMillis) -> u32 {
    u32::try_from(at.0.div_euclid(MINUTE_MS)).unwrap_or(0)
}

/// The first moment in which somebody noted in this minute does not count any more.
fn free_at(noted: u32) -> UnixMillis {
    UnixMillis(i64::from(noted + DAY_MINUTES + 1) * MINUTE_MS)
}

/// Whom the numbers of one portfolio wrote to first, within a day.
#[derive(Debug, Default)]
pub struct CountedPeople {
    /// By the minute in which that last happened.
    noted: HashMap<u64, u32>,
    /// Messages on their way, with the minute in which they were chosen.
    on_the_way: HashMap<MessageId, (u64, u32)>,
    /// Of those, how many go to each person who is not noted.
    reserved: HashMap<u64, u32>,
    swept: u32,
}

impl CountedPeople {
    /// Takes a place for a message to this person; `false` when none of `people_max` is free.
    pub fn reserve(&mut self, person: u64, message: MessageId, people_max: u64, now: UnixMillis) -> bool {
        self.sweep(now);
        if self.noted.contains_key(&person) {
            return true;
        }
        if !self.reserved.contains_key(&person) && self.taken() >= people_max {
            return false;
        }
        if self.on_the_way.insert(message, (person, minute(now))).is_none() {
            *self.reserved.entry(person).or_default() += 1;
        }
        true
    }

    /// The message is not on its way any more. What was not [noted](Self::note) is given back.
    pub fn let_go(&mut self, message: MessageId) {
        let Some((person, _)) = self.on_the_way.remove(&message) else { return };
        if let Some(messages) = self.reserved.get_mut(&person) {
            *messages -= 1;
            if *messages == 0 {
                self.reserved.remove(&person);
            }
        }
    }

    /// The person was written to. `true` when that is news, which it is once in a minute.
    pub fn note(&mut self, person: u64, now: UnixMillis) -> bool {
        let (now, before) = (minute(now), self.noted.get(&person).copied());
        if before.is_none() && self.noted.len() as u64 >= PEOPLE_COUNTED_MAX {
            return false;
        }
        self.reserved.remove(&person);
        let news = before.is_none_or(|before| before < now);
        if news {
            self.noted.insert(person, now);
        }
        news
    }

    /// How many places are free.
    pub fn free(&mut self, people_max: u64, now: UnixMillis) -> u64 {
        self.sweep(now);
        people_max.saturating_sub(self.taken())
    }

    /// How many places are taken.
    pub fn taken(&self) -> u64 {
        (self.noted.len() + self.reserved.len()) as u64
    }

    /// When the next place becomes free, of `people_max`; `None` when one is.
    pub fn next_free(&mut self, people_max: u64, now: UnixMillis) -> Option<UnixMillis> {
        self.sweep(now);
        let too_many = usize::try_from(self.taken().checked_sub(people_max)?).ok()?;
        let mut noted: Vec<u32> = self.noted.values().copied().collect();
        noted.sort_unstable();
        // After the limit was lowered many must go before one may come. What is on its way is not known to stay.
        noted.get(too_many).copied().or_else(|| noted.last().copied()).map(free_at)
    }

    /// Forgets whose time is over; once a minute.
    fn sweep(&mut self, now: UnixMillis) {
        let now = minute(now);
        if now == self.swept {
            return;
        }
        self.swept = now;
        self.noted.retain(|_, noted| {
            // Noted while the clock was ahead.
            *noted = now.min(*noted);
            now - *noted <= DAY_MINUTES
        });
        let lost: Vec<MessageId> = self
            .on_the_way
            .iter()
            .filter(|(_, (_, since))| now.abs_diff(*since) > RESERVED_MINUTES_MAX)
            .map(|(message, _)| *message)
            .collect();
        lost.into_iter().for_each(|message| self.let_go(message));
    }
}

/// Who wrote to which number within a day.
#[derive(Debug, Default)]
pub struct OpenWindows {
    opened: HashMap<(SenderKey, u64), u32>,
    swept: u32,
}

impl OpenWindows {
    /// The person wrote. `true` when that is news, which it is once in a minute.
    pub fn open(&mut self, sender: SenderKey, person: u64, now: UnixMillis) -> bool {
        self.sweep(now);
        let now = minute(now);
        let full = self.opened.len() >= WINDOWS_MAX;
        match self.opened.get_mut(&(sender, person)) {
            Some(opened) => {
                let news = *opened < now;
                *opened = now.max(*opened);
                news
            }
            None if full => false,
            None => {
                self.opened.insert((sender, person), now);
                true
            }
        }
    }

    pub fn is_open(&self, sender: SenderKey, person: u64, now: UnixMillis) -> bool {
        let now = minute(now);
        self.opened.get(&(sender, person)).is_some_and(|opened| now.saturating_sub(*opened) < DAY_MINUTES)
    }

    fn sweep(&mut self, now: UnixMillis) {
        let now = minute(now);
        if now != self.swept {
            self.swept = now;
            self.opened.retain(|_, opened| {
                *opened = now.min(*opened);
                now - *opened < DAY_MINUTES
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_020_000);

    fn after(time: Duration) -> UnixMillis {
        NOW.plus(time)
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// Sends a message to each; those who got a place.
    fn written_to(counted: &mut CountedPeople, people: &[u64], people_max: u64, now: UnixMillis) -> Vec<u64> {
        let mut written = Vec::new();
        for person in people.iter().copied() {
            let message = MessageId(i64::try_from(person).expect("a small number"));
            if counted.reserve(person, message, people_max, now) {
                counted.note(person, now);
                written.push(person);
            }
            counted.let_go(message);
        }
        written
    }

    #[test]
    fn people_are_counted_and_not_messages() {
        let mut counted = CountedPeople::default();

        assert_eq!(written_to(&mut counted, &[1, 2, 1, 3, 4, 2], 3, NOW), [1, 2, 1, 3, 2]);
        assert_eq!((counted.taken(), counted.free(3, NOW), counted.free(5, NOW)), (3, 0, 2));
    }

    #[test]
    fn the_day_slides_with_each_persons_last_message() {
        let mut counted = CountedPeople::default();
        written_to(&mut counted, &[1, 2], 2, NOW);
        let later = after(20 * 60 * MINUTE);
        written_to(&mut counted, &[1], 2, later);

        assert_eq!(counted.next_free(2, later), Some(free_at(minute(NOW))));
        assert!(written_to(&mut counted, &[3], 2, after(DAY)).is_empty(), "the last minute is not over");
        assert_eq!(written_to(&mut counted, &[3], 2, after(DAY + MINUTE)), [3], "the second person's day is over");
        assert!(written_to(&mut counted, &[2], 2, after(DAY + MINUTE)).is_empty(), "the first was written to later");
        assert_eq!(written_to(&mut counted, &[2], 2, after(DAY + 20 * 60 * MINUTE + MINUTE)), [2]);
    }

    #[test]
    fn a_message_that_did_not_go_gives_its_place_back() {
        let mut counted = CountedPeople::default();

        assert!(counted.reserve(1, MessageId(1), 1, NOW));
        assert!(!counted.reserve(2, MessageId(2), 1, NOW));
        assert!(counted.reserve(1, MessageId(3), 1, NOW), "the same person from another number");
        counted.let_go(MessageId(1));
        assert!(!counted.reserve(2, MessageId(2), 1, NOW), "the other is on its way");
        counted.let_go(MessageId(3));
        counted.let_go(MessageId(3));
        assert!(counted.reserve(2, MessageId(2), 1, NOW));
        counted.note(2, NOW);
        counted.let_go(MessageId(2));
        assert!(!counted.reserve(1, MessageId(1), 1, NOW), "that one went");
    }

    #[test]
    fn what_nobody_lets_go_is_not_reserved_for_ever() {
        let mut counted = CountedPeople::default();

        assert!(counted.reserve(1, MessageId(1), 1, NOW));
        assert!(!counted.reserve(2, MessageId(2), 1, after(10 * MINUTE)));
        assert!(counted.reserve(2, MessageId(2), 1, after(11 * MINUTE)));
    }

    #[test]
    fn after_the_limit_was_lowered_as_many_must_go_as_are_too_many() {
        let mut counted = CountedPeople::default();
        for person in 0..5 {
            counted.note(person, after(u32::try_from(person).expect("small") * MINUTE));
        }

        let now = after(5 * MINUTE);
        assert_eq!(counted.next_free(6, now), None);
        assert_eq!(counted.next_free(5, now), Some(free_at(minute(NOW))));
        assert_eq!(counted.next_free(3, now), Some(free_at(minute(NOW) + 2)));
        assert_eq!(counted.free(3, now), 0);
    }

    #[test]
    fn a_clock_that_was_ahead_makes_nobody_count_for_longer_than_a_day() {
        let mut counted = CountedPeople::default();
        let mut windows = OpenWindows::default();
        let ahead = after(30 * DAY);
        counted.note(1, ahead);
        windows.open(SenderKey(1), 1, ahead);

        assert_eq!(counted.free(1, NOW), 0);
        assert_eq!(counted.free(1, after(DAY + MINUTE)), 1);
        windows.open(SenderKey(1), 2, NOW);
        assert!(!windows.is_open(SenderKey(1), 1, after(DAY)));
    }

    #[test]
    fn memory_has_an_end() {
        let mut counted = CountedPeople::default();

        for person in 0..PEOPLE_COUNTED_MAX + 10 {
            counted.note(person, NOW);
        }

        assert_eq!(counted.taken(), PEOPLE_COUNTED_MAX);
    }

    #[test]
    fn a_window_is_open_for_a_day_at_the_number_that_was_written_to() {
        let mut windows = OpenWindows::default();

        assert!(windows.open(SenderKey(1), 7, NOW));
        assert!(!windows.open(SenderKey(1), 7, NOW), "it is known");
        assert!(windows.is_open(SenderKey(1), 7, after(DAY - MINUTE)));
        assert!(!windows.is_open(SenderKey(1), 7, after(DAY)) && !windows.is_open(SenderKey(2), 7, NOW));
        assert!(windows.open(SenderKey(1), 7, after(DAY - MINUTE)), "written again");
        assert!(windows.is_open(SenderKey(1), 7, after(DAY)));
    }

    #[test]
    fn what_waits_for_a_place_is_told_from_what_is_paused_and_from_a_retry() {
        assert!(waits_for_place(Some(aside_until(NOW)), NOW));
        assert!(!waits_for_place(Some(NOW), NOW) && !waits_for_place(None, NOW));
    }
}
