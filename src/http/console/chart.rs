//! Small charts as shapes, so that they need neither a script nor a style.

use std::collections::BTreeMap;

use super::frame::{seconds, short_time};
use crate::domain::{time::UnixMillis, words::thousands};

/// The shape's own units; it is stretched over the page.
pub(super) const WIDTH: u64 = 600;
pub(super) const HEIGHT: u64 = 120;

/// Bars that one can tell from each other, on a phone too.
const BARS_MAX: i64 = 60;
/// Of fewer places each would be a block: then the axis goes on behind the last.
const BARS_MIN: i64 = 12;
/// How much of its place a bar takes.
const BAR_SHARE: f64 = 0.84;
/// Seconds that a bar may stand for, and how that is said.
const WIDTHS: [(i64, &str); 13] = [
    (1, "a second"),
    (5, "5 seconds"),
    (15, "15 seconds"),
    (MINUTE_S, "a minute"),
    (5 * MINUTE_S, "5 minutes"),
    (15 * MINUTE_S, "a quarter of an hour"),
    (60 * MINUTE_S, "an hour"),
    (360 * MINUTE_S, "6 hours"),
    (DAY_S, "a day"),
    (7 * DAY_S, "a week"),
    (30 * DAY_S, "30 days"),
    (90 * DAY_S, "90 days"),
    (365 * DAY_S, "a year"),
];
pub(super) const MINUTE_S: i64 = 60;
const DAY_S: i64 = 86_400;

/// Messages over time.
pub(super) struct Chart {
    /// A bar for each place, also where nothing was: that is told, too.
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
    /// What it says when somebody points at it: the period, a colon, and what was in it.
    pub(super) title: String,
}

impl Bar {
    /// The bar at this place of so many; `most` is the highest one's count.
    pub(super) fn at(place: usize, places: usize, (count, most): (u64, u64), title: String) -> Self {
        let step = WIDTH as f64 / places.max(1) as f64;
        let height = (count * HEIGHT).div_ceil(most.max(1));
        Self {
            x: format!("{:.1}", place as f64 * step),
            y: HEIGHT - height,
            width: format!("{:.1}", step * BAR_SHARE),
            height,
            title,
        }
    }
}

impl Chart {
    /// Of counts by units since the epoch, each of so many seconds; `None` without any.
    pub(super) fn of(counts: &BTreeMap<i64, u64>, unit_s: i64) -> Option<Self> {
        let (first, last) = (*counts.keys().next()?, *counts.keys().next_back()?);
        Some(Self::between(counts, unit_s, (first, last)))
    }

    /// The same from one unit to another, also where nothing was.
    pub(super) fn between(counts: &BTreeMap<i64, u64>, unit_s: i64, (first, last): (i64, i64)) -> Self {
        let (first_s, last_s) = (first * unit_s, last * unit_s);
        let fits = |width: i64| last_s.div_euclid(width) - first_s.div_euclid(width) < BARS_MAX;
        let widths = || WIDTHS.into_iter().filter(|(width, _)| *width >= unit_s);
        let (width, each) = widths().find(|(width, _)| fits(*width)).unwrap_or(WIDTHS[WIDTHS.len() - 1]);
        let mut by_place: BTreeMap<i64, u64> = BTreeMap::new();
        for (unit, messages) in counts {
            *by_place.entry((unit * unit_s).div_euclid(width)).or_default() += messages;
        }
        let (begin, end) = (first_s.div_euclid(width), last_s.div_euclid(width));
        let places = (end - begin + 1).max(BARS_MIN);
        let most = by_place.values().copied().max().unwrap_or(0);
        let bar = |place: i64| {
            let messages = by_place.get(&(begin + place)).copied().unwrap_or(0);
            let title = format!("{}: {}", period(begin + place, width), told(messages, width, each));
            let index = usize::try_from(place).unwrap_or(0);
            Bar::at(index, usize::try_from(places).unwrap_or(1), (messages, most), title)
        };
        let over = if places > end - begin + 1 { (begin + places) * width } else { last_s + unit_s };
        Self {
            bars: (0..places).map(bar).collect(),
            from: moment(begin * width, width),
            to: moment(over, width),
            each,
            most: told(most, width, each),
        }
    }
}

/// A time as exact as the bars are.
fn moment(at_s: i64, width: i64) -> String {
    let at = UnixMillis::from_seconds(at_s);
    if width < MINUTE_S { format!("{}{}", short_time(at), seconds(at)) } else { short_time(at) }
}

/// The time of a bar: `21 Nov 09:00 to 10:00 UTC`.
fn period(place: i64, width: i64) -> String {
    let (from, to) = (moment(place * width, width), moment((place + 1) * width, width));
    let (Some((from_day, _)), Some((to_day, time))) = (from.rsplit_once(' '), to.rsplit_once(' ')) else { return from };
    match width {
        ..=1 => format!("{from} UTC"),
        _ if from_day == to_day => format!("{from} to {time} UTC"),
        _ => format!("{from} to {to} UTC"),
    }
}

fn told(messages: u64, width: i64, each: &str) -> String {
    let per_second = messages as f64 / width as f64;
    let is_worth_it = width > 1 && per_second >= 0.95;
    let speed = if is_worth_it { format!(", {per_second:.0} a second on average") } else { String::new() };
    format!("{} in {each}{speed}", thousands(messages))
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
    fn shares_are_readable() {
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(999_999, 1_000_000), "> 99.9 %");
        assert_eq!(share(0, 0), "");
    }

    #[test]
    fn a_long_time_has_wider_bars_and_loses_nothing() {
        let minutes: BTreeMap<i64, u64> = (0..3_000).map(|minute| (29_000_000 + minute, 7)).collect();
        let chart = Chart::of(&minutes, MINUTE_S).expect("there are some");
        assert!(chart.bars.len() <= 60, "{}", chart.bars.len());
        assert_eq!(chart.each, "an hour");
        assert_eq!(chart.bars.iter().map(|bar| bar.height).max(), Some(HEIGHT));
        assert!(chart.most.starts_with("420 in an hour"), "{}", chart.most);
        assert!(Chart::of(&BTreeMap::new(), 1).is_none());
    }

    #[test]
    fn a_short_time_is_told_by_the_second_and_its_bars_are_no_blocks() {
        let begin = 1_795_000_000;
        let seconds: BTreeMap<i64, u64> = [(begin, 80), (begin + 2, 40)].into();
        let chart = Chart::of(&seconds, 1).expect("there are some");
        assert_eq!((chart.each, chart.bars.len()), ("a second", 12));
        assert_eq!((chart.from.as_str(), chart.to.as_str()), ("18 Nov 11:06:40", "18 Nov 11:06:52"));
        let titles: Vec<&str> = chart.bars[..3].iter().map(|bar| bar.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "18 Nov 11:06:40 UTC: 80 in a second",
                "18 Nov 11:06:41 UTC: 0 in a second",
                "18 Nov 11:06:42 UTC: 40 in a second",
            ]
        );
        assert_eq!((chart.bars[0].height, chart.bars[1].height, chart.bars[2].height), (HEIGHT, 0, HEIGHT / 2));
    }

    #[test]
    fn a_bar_of_a_day_says_where_it_ends() {
        assert_eq!(period(20_775, DAY_S), "18 Nov 00:00 to 19 Nov 00:00 UTC");
        assert_eq!(period(498_611, 60 * MINUTE_S), "18 Nov 11:00 to 12:00 UTC");
    }
}
