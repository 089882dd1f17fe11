//! Hours in which people are left in peace.
//!
//! The hours are those of a clock on the wall in the account's time zone, and each moment is asked for by
//! itself. So a night in which the clock is changed is quiet for as long as the clock says, an hour more or
//! less than other nights.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Timelike as _};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{
    outbound::{Category, Class},
    time::UnixMillis,
};

const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: u32 = 24 * 60;
/// A day, and the hours by which clocks are put back.
const LASTS_MINUTES_MAX: i64 = 27 * 60;

/// From when to when which messages wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    pub from: TimeOfDay,
    /// The first minute that is not quiet. Before `from`: on the next day.
    pub to: TimeOfDay,
    pub categories: Vec<QuietCategory>,
}

/// What can wait. Answers and one-time passwords cannot: somebody sits there and waits for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuietCategory {
    Marketing,
    Utility,
}

impl QuietCategory {
    pub fn class(self) -> Class {
        match self {
            Self::Marketing => Class::Marketing,
            Self::Utility => Class::Utility,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Utility => "utility",
        }
    }
}

impl QuietHours {
    /// Whether messages of this category wait at this moment.
    pub fn hold_back(&self, category: Category, zone: Tz, now: UnixMillis) -> bool {
        self.categories.iter().any(|quiet| quiet.class() == category.class()) && self.are_now(zone, now)
    }

    /// When the quiet that is now ends; `None` when it is not quiet.
    pub fn end(&self, zone: Tz, now: UnixMillis) -> Option<UnixMillis> {
        if !self.are_now(zone, now) {
            return None;
        }
        let minute = |ahead: i64| UnixMillis((now.0.div_euclid(MINUTE_MS) + ahead) * MINUTE_MS);
        (1..=LASTS_MINUTES_MAX).map(minute).find(|moment| !self.are_now(zone, *moment))
    }

    /// How long they last when no clock is changed.
    pub fn length(&self) -> Duration {
        let minutes = (DAY_MINUTES + self.to.minutes - self.from.minutes) % DAY_MINUTES;
        Duration::from_secs(u64::from(minutes) * 60)
    }

    /// Whether it is quiet at this moment.
    pub fn are_now(&self, zone: Tz, now: UnixMillis) -> bool {
        let Some(moment) = DateTime::from_timestamp_millis(now.0) else { return false };
        let local = moment.with_timezone(&zone);
        let minute = TimeOfDay::new(local.hour(), local.minute());
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let categories = self.categories.iter().map(|category| category.as_str()).collect::<Vec<_>>().join(" and ");
        write!(f, "{} to {} for {categories}", self.from, self.to)
    }
}

/// A minute of the day, written `21:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u32,
}

impl TimeOfDay {
    fn new(hour: u32, minute: u32) -> Self {
        Self { minutes: hour * 60 + minute }
    }
}

/// The text is no time of day.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a time of day from 00:00 to 23:59, like 21:00")]
pub struct NotATime;

impl FromStr for TimeOfDay {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let (hour, minute) = text.split_once(':').ok_or(NotATime)?;
        let number = |digits: &str, below: u32| {
            let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|number| is_number && *number < below).ok_or(NotATime)
        };
        Ok(Self::new(number(hour, 24)?, number(minute, 60)?))
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = NotATime;

    fn try_from(text: String) -> Result<Self, NotATime> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn hours(from: &str, to: &str) -> QuietHours {
        let time = |text: &str| text.parse().expect("a time of day");
        QuietHours { from: time(from), to: time(to), categories: vec![QuietCategory::Marketing] }
    }

    fn at(moment: &str) -> UnixMillis {
        UnixMillis(DateTime::parse_from_rfc3339(moment).expect("a moment").timestamp_millis())
    }

    #[test]
    fn a_night_goes_over_midnight_in_the_accounts_time_zone() {
        let night = hours("21:00", "09:00");
        let zone = Tz::Asia__Kolkata;

        // Five and a half hours ahead of UTC.
        for quiet in ["2026-11-20T15:30:00Z", "2026-11-20T18:30:00Z", "2026-11-21T03:29:59Z"] {
            assert!(night.are_now(zone, at(quiet)), "{quiet}");
        }
        for loud in ["2026-11-20T15:29:59Z", "2026-11-21T03:30:00Z", "2026-11-21T12:00:00Z"] {
            assert!(!night.are_now(zone, at(loud)), "{loud}");
        }
    }

    #[test]
    fn the_end_is_the_next_minute_that_is_not_quiet_by_the_clock_on_the_wall() {
        let night = hours("21:00", "09:00");

        assert_eq!(night.end(Tz::Asia__Kolkata, at("2026-11-20T18:30:12Z")), Some(at("2026-11-21T03:30:00Z")));
        assert_eq!(night.end(Tz::Asia__Kolkata, at("2026-11-21T03:30:00Z")), None);
        // The clock is put back in this night, which is an hour longer.
        assert_eq!(night.end(Tz::Europe__Berlin, at("2026-10-24T19:00:00Z")), Some(at("2026-10-25T08:00:00Z")));
        assert_eq!((night.length().as_secs(), hours("12:00", "14:30").length().as_secs()), (12 * 3600, 9000));
    }

    #[test]
    fn a_pause_within_a_day_ends_on_that_day() {
        let noon = hours("12:00", "14:30");

        assert!(noon.are_now(Tz::UTC, at("2026-11-20T14:29:00Z")));
        assert!(!noon.are_now(Tz::UTC, at("2026-11-20T14:30:00Z")));
        assert!(!noon.are_now(Tz::UTC, at("2026-11-20T02:00:00Z")));
    }

    #[test]
    fn when_the_clock_is_changed_the_clock_on_the_wall_decides() {
        let night = hours("22:00", "08:00");
        let zone = Tz::Europe__Berlin;

        // In the night to 29 March 2026 the clock goes from 2 to 3: 08:00 is 06:00 UTC already.
        assert!(night.are_now(zone, at("2026-03-29T05:59:00Z")));
        assert!(!night.are_now(zone, at("2026-03-29T06:00:00Z")));
        // The night before it is 07:00 UTC.
        assert!(night.are_now(zone, at("2026-03-28T06:59:00Z")));
        // In the night to 25 October the hour from 2 to 3 comes twice, and is quiet twice.
        for quiet in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T06:59:00Z"] {
            assert!(night.are_now(zone, at(quiet)), "{quiet}");
        }
    }

    #[test]
    fn only_what_was_named_waits() {
        let night = hours("21:00", "09:00");
        let midnight = at("2026-11-20T00:00:00Z");
        let held = |category| night.hold_back(category, Tz::UTC, midnight);

        assert!(held(Category::Marketing));
        assert!(!held(Category::Utility) && !held(Category::Authentication) && !held(Category::Freeform));
    }

    #[test]
    fn a_time_of_day_is_written_with_four_digits() {
        assert_eq!("07:05".parse::<TimeOfDay>().map(|time| time.to_string()), Ok("07:05".to_owned()));
        for text in ["", "7:05", "24:00", "12:60", "12", "12:00:00", "+1:00", "１２:00"] {
            assert_eq!(text.parse::<TimeOfDay>(), Err(NotATime), "{text}");
        }
    }

    proptest! {
        /// Whatever the zone and the day: every minute is either in the hours or in their complement.
        #[test]
        fn hours_and_the_rest_of_the_day_share_all_minutes(
            (from, to) in (0_u32..1440, 0_u32..1440).prop_filter("not the same", |(from, to)| from != to),
            now in 0_i64..4_000_000_000_000,
            zone in proptest::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        ) {
            let time = |minutes| TimeOfDay { minutes };
            let categories = vec![QuietCategory::Marketing];
            let one = QuietHours { from: time(from), to: time(to), categories: categories.clone() };
            let other = QuietHours { from: time(to), to: time(from), categories };
            prop_assert_ne!(one.are_now(zone, UnixMillis(now)), other.are_now(zone, UnixMillis(now)));
        }
    }
}
