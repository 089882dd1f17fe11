//! Small charts as shapes, so that they need neither a script nor a style.

use std::collections::BTreeMap;

use super::frame::short_time;
use crate::domain::time::UnixMillis;

/// The shape's own units; it is stretched over the page.
pub(super) const WIDTH: u64 = 600;
pub(super) const HEIGHT: u64 = 120;

/// Bars that one can tell from each other, on a phone too.
const BARS_MAX: i64 = 60;
/// Minutes that a bar may stand for, and how that is said.
const WIDTHS: [(i64, &str); 9] = [
    (1, "a minute"),
    (5, "5 minutes"),
    (15, "a quarter of an hour"),
    (60, "an hour"),
    (360, "6 hours"),
    (1_440, "a day"),
    (10_080, "a week"),
    (43_200, "30 days"),
    (525_600, "a year"),
];

/// Messages over time.
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    pub(super) from: String,
    pub(super) to: String,
    /// What one bar stands for.
    pub(super) each: &'static str,
    /// The highest bar, in words.
    pub(super) most: String,
}

pub(super) struct Bar {
    pub(super) x: String,
    pub(super) y: u64,
    pub(super) width: String,
    pub(super) height: u64,
    /// What it says when somebody points at it.
    pub(super) title: String,
}

impl Chart {
    /// Of counts by minutes since the epoch; `None` without any.
    pub(super) fn of(by_minute: &BTreeMap<i64, u64>) -> Option<Self> {
        let (first, last) = (*by_minute.keys().next()?, *by_minute.keys().next_back()?);
        Some(Self::between(by_minute, (first, last)))
    }

    /// The same from one minute to another, also where nothing was.
    pub(super) fn between(by_minute: &BTreeMap<i64, u64>, (first, last): (i64, i64)) -> Self {
        let fits = |width: i64| last.div_euclid(width) - first.div_euclid(width) < BARS_MAX;
        let (minutes, each) = WIDTHS.into_iter().find(|(width, _)| fits(*width)).unwrap_or(WIDTHS[WIDTHS.len() - 1]);
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for (minute, messages) in by_minute {
            *counts.entry(minute.div_euclid(minutes)).or_default() += messages;
        }
        let (begin, end) = (first.div_euclid(minutes), last.div_euclid(minutes));
        let most = counts.values().copied().max().unwrap_or(0);
        let step = WIDTH as f64 / ((end - begin + 1).clamp(12, BARS_MAX) as f64);
        let at = |place: i64| short_time(UnixMillis(place * minutes * 60_000));
        let bar = |(place, messages): (&i64, &u64)| {
            let height = (messages * HEIGHT).div_ceil(most.max(1));
            Bar {
                x: format!("{:.1}", (place - begin) as f64 * step),
                y: HEIGHT - height,
                width: format!("{:.1}", step * 0.84),
                height,
                title: format!("{} UTC: {}", at(*place), told(*messages, minutes, each)),
            }
        };
        Self {
            bars: counts.iter().map(bar).collect(),
            from: at(begin),
            to: short_time(UnixMillis((last + 1) * 60_000)),
            each,
            most: told(most, minutes, each),
        }
    }
}

fn told(messages: u64, minutes: i64, each: &str) -> String {
    let per_second = messages as f64 / (minutes * 60) as f64;
    let speed = if per_second < 0.95 { String::new() } else { format!(", {per_second:.0} a second on average") };
    format!("{} in {each}{speed}", grouped(messages))
}

/// A count with its thousands apart.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a whole, as people read it; nothing of nothing.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    match part {
        0 => "0 %".to_owned(),
        _ if part == whole => "100 %".to_owned(),
        _ if percent < 0.1 => "< 0.1 %".to_owned(),
        _ if percent > 99.9 => "> 99.9 %".to_owned(),
        _ => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shares_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(999_999, 1_000_000), "> 99.9 %");
        assert_eq!(share(0, 0), "");
    }

    #[test]
    fn a_long_time_has_wider_bars_and_loses_nothing() {
        let minutes: BTreeMap<i64, u64> = (0..3_000).map(|minute| (29_000_000 + minute, 7)).collect();
        let chart = Chart::of(&minutes).expect("there are some");
        assert!(chart.bars.len() <= 60, "{}", chart.bars.len());
        assert_eq!(chart.each, "an hour");
        assert_eq!(chart.bars.iter().map(|bar| bar.height).max(), Some(HEIGHT));
        assert!(chart.most.starts_with("420 in an hour"), "{}", chart.most);
        assert!(Chart::of(&BTreeMap::new()).is_none());
    }
}
