//! How a length of time is written: `60d`, `36h`, `90s`. Settings, files, the API and the pages write it so and take back
//! what they wrote, as they take everything else that can be read as a time: `1h 30m`, `2months`.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer, de::Deserialize, de::Deserializer};

/// From the largest, with their nanoseconds. Longer ones are left out: nobody can say how many days a month has.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
/// Of more of one unit nobody knows how long they are.
const COUNT_MAX: u128 = 999;

/// In the largest unit that says it exactly, as long as it can be imagined; else in several: `1h 1m 1s`.
pub fn written(duration: Duration) -> Written {
    Written(duration)
}

#[derive(Clone, Copy, Debug)]
pub struct Written(Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        let exact = UNITS.iter().find(|(_, unit)| rest.is_multiple_of(*unit)).map(|(name, unit)| (name, rest / unit));
        if let Some((name, count)) = exact.filter(|(name, count)| **name == "d" || *count <= COUNT_MAX) {
            return write!(f, "{count}{name}");
        }
        let mut gap = "";
        for (name, unit) in UNITS {
            let count = rest / unit;
            rest %= unit;
            if count > 0 {
                write!(f, "{gap}{count}{name}")?;
                gap = " ";
            }
        }
        Ok(())
    }
}

/// What `#[serde(with = "duration")]` can stand at: a time, or one that may be missing.
pub trait Spelled: Sized {
    fn spelled(&self) -> Option<Written>;
}

impl Spelled for Duration {
    fn spelled(&self) -> Option<Written> {
        Some(written(*self))
    }
}

impl Spelled for Option<Duration> {
    fn spelled(&self) -> Option<Written> {
        self.map(written)
    }
}

pub fn serialize<T: Spelled, S: Serializer>(time: &T, serializer: S) -> Result<S::Ok, S::Error> {
    time.spelled().map(|written| written.to_string()).serialize(serializer)
}

pub fn deserialize<'de, T, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error>
where
    humantime_serde::Serde<T>: Deserialize<'de>,
{
    humantime_serde::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use humantime_serde::re::humantime::parse_duration;

    use super::*;

    #[test]
    fn a_time_is_written_as_people_write_it_and_can_be_read_again() {
        for (text, expected) in [
            ("60d", "60d"),
            ("1month 29days 13h 26m 24s", "60d"),
            ("36h", "36h"),
            ("24h", "1d"),
            ("90s", "90s"),
            ("60s", "1m"),
            ("1h 30m", "90m"),
            ("1h 1m 1s", "1h 1m 1s"),
            ("1500ms", "1s 500ms"),
            ("500ms", "500ms"),
            ("4000d", "4000d"),
            ("0s", "0s"),
        ] {
            let time = parse_duration(text).expect("a time");
            let told = written(time).to_string();
            assert_eq!(told, expected, "{text}");
            assert_eq!(parse_duration(&told), Ok(time), "{text}");
        }
    }
}
