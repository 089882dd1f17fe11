//! The overview's charts: what happened over time, and how fast CleverTap was answered.

use super::{
    chart::{Bar, Chart, MINUTE_S, WIDTH, share},
    overview::{exchanges_href, list_href, messages_href},
    refused,
};
use crate::{
    domain::{
        attempt::WantedOutcome,
        statistics::{ANSWER_WANTED_MS, AnswerTimes, Figure},
        time::UnixMillis,
        words::thousands,
    },
    services::overview::Summary,
};

pub(super) struct NamedChart {
    pub(super) name: &'static str,
    pub(super) tone: &'static str,
    pub(super) total: String,
    pub(super) href: String,
    pub(super) chart: Chart,
}

/// How fast CleverTap was answered.
pub(super) struct Answers {
    /// Half of them, 95 and 99 of a hundred.
    pub(super) within: Vec<(&'static str, String)>,
    pub(super) all: String,
    pub(super) late: String,
    pub(super) is_late: bool,
    pub(super) bars: Vec<AnswerBar>,
    /// Behind the last bar that is not too late.
    pub(super) limit_x: String,
    pub(super) words: String,
    /// What was answered is kept in two lists, neither of which knows how fast.
    pub(super) accepted_href: String,
    pub(super) refused_href: String,
}

pub(super) struct AnswerBar {
    pub(super) bar: Bar,
    pub(super) tone: &'static str,
}

pub(super) fn charts(summary: &Summary, account: &str) -> Vec<NamedChart> {
    let minute = |at: UnixMillis| at.as_seconds().div_euclid(MINUTE_S);
    let chart = |(name, tone, figure, href)| {
        let by_minute = summary.over_time(figure).map(|(at, amount)| (minute(at), amount)).collect();
        let chart = Chart::between(&by_minute, MINUTE_S, (minute(summary.since), minute(summary.until)));
        NamedChart { name, tone, total: thousands(summary.total(figure)), href, chart }
    };
    let messages = |status| messages_href(summary, &[("account", account), ("status", status)]);
    [
        ("Accepted", "plain", Figure::Accepted, messages("")),
        ("Delivered", "good", Figure::Delivered, messages("reached-delivered")),
        ("Failed", "bad", Figure::Failed, messages("failed")),
        ("Told to CleverTap", "info", Figure::Told, exchanges_href(summary, account, WantedOutcome::Succeeded)),
    ]
    .into_iter()
    .map(chart)
    .collect()
}

pub(super) fn answers(summary: &Summary, account: &str) -> Option<Answers> {
    let times = &summary.answers;
    let all = times.all();
    if all == 0 {
        return None;
    }
    let within = |share: f64| times.within_ms(share).map_or_else(|| "over 2 s".to_owned(), |ms| format!("{ms} ms"));
    let places = times.each().count();
    let in_time = times.each().filter(|(limit, _)| !is_late(*limit)).count();
    let late = times.late();
    Some(Answers {
        within: vec![("Half", within(0.5)), ("95 of 100", within(0.95)), ("99 of 100", within(0.99))],
        all: thousands(all),
        late: thousands(late),
        is_late: late > 0,
        bars: bars(times, all),
        limit_x: format!("{:.1}", WIDTH as f64 * in_time as f64 / places as f64 - LIMIT_BEFORE_BAR),
        words: format!("half within {}, 99 of 100 within {}, {} too late", within(0.5), within(0.99), thousands(late)),
        accepted_href: messages_href(summary, &[("account", account)]),
        refused_href: list_href(refused::PATH, summary, &[("account", account)]),
    })
}

/// The line stands between two bars.
const LIMIT_BEFORE_BAR: f64 = 3.7;

fn is_late(limit: Option<u64>) -> bool {
    limit.is_none_or(|ms| ms > ANSWER_WANTED_MS)
}

fn bars(times: &AnswerTimes, all: u64) -> Vec<AnswerBar> {
    let most = times.each().map(|(_, count)| count).max().unwrap_or(0);
    let places = times.each().count();
    let mut longer_than = None;
    let mut bars = Vec::with_capacity(places);
    for (place, (limit, count)) in times.each().enumerate() {
        let took = match (longer_than, limit) {
            (None, Some(ms)) => format!("Up to {ms} ms"),
            (Some(more), Some(ms)) => format!("More than {more} ms, up to {ms} ms"),
            (_, None) => "More than 2 s".to_owned(),
        };
        let title = format!("{took}: {} of {} answers ({})", thousands(count), thousands(all), share(count, all));
        let tone = if is_late(limit) { "bad" } else { "plain" };
        bars.push(AnswerBar { bar: Bar::at(place, places, (count, most), title), tone });
        longer_than = limit;
    }
    bars
}
