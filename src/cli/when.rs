//! Moments as people write them on a command line.

use chrono::{DateTime, NaiveDate};
use humantime_serde::re::humantime::parse_duration;
use wabridge::{clock, domain::time::UnixMillis};

/// For `--help` of whatever takes a moment.
pub(crate) const FORMS: &str = "2026-11-20, 2026-11-20T10:00:00Z, or how long ago: 90m, 6h, 7d";

/// `2026-11-20` (its beginning in UTC), `2026-11-20T10:00:00+05:30`, or `6h`: so long ago.
pub(crate) fn moment(text: &str) -> Result<UnixMillis, String> {
    at(text.trim(), clock::now()).ok_or_else(|| format!("write it like {FORMS}"))
}

fn at(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(UnixMillis(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()));
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(UnixMillis(moment.timestamp_millis()));
    }
    parse_duration(text).ok().map(|ago| now.minus(ago))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_a_time_or_so_long_ago() {
        let now = UnixMillis(1_795_000_000_000);

        assert_eq!(at("2026-11-20", now).expect("a day").to_string(), "2026-11-20T00:00:00.000Z");
        assert_eq!(at("2026-11-20T10:00:00+05:30", now).expect("a time").to_string(), "2026-11-20T04:30:00.000Z");
        assert_eq!(at("2h", now), Some(UnixMillis(now.0 - 2 * 3600 * 1000)));
        for text in ["", "yesterday", "2026-13-01", "-3h"] {
            assert_eq!(at(text, now), None, "{text}");
        }
    }
}
