//! Every metric: its kind, constant, name, labels, and what it tells an operator. This file is what `docs/metrics.md` is made of.
//!
//! Labels take few values. Those whose values are listed here begin at nought when the process starts, so that the first
//! failure is an increase; others name what the configuration names, and of each kind at most [`SUBJECTS_SHOWN_MAX`]: what
//! is beyond is added up as [`OTHERS`].

use std::fmt::Write as _;

use metrics::Label;

/// So many numbers, subscriptions or owners have series of their own.
pub const SUBJECTS_SHOWN_MAX: usize = 500;
/// The value of a label for all that are beyond.
pub const OTHERS: &str = "others";

/// One metric.
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub labels: &'static [MetricLabel],
    /// What it tells.
    pub text: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What the series of a metric differ by.
pub struct MetricLabel {
    pub name: &'static str,
    pub values: LabelValues,
}

pub enum LabelValues {
    /// These and no others.
    Listed(&'static [&'static str]),
    /// One for each of what the text names.
    Each(&'static str),
}

const fn one_of(name: &'static str, values: &'static [&'static str]) -> MetricLabel {
    MetricLabel { name, values: LabelValues::Listed(values) }
}

const fn each(name: &'static str, what: &'static str) -> MetricLabel {
    MetricLabel { name, values: LabelValues::Each(what) }
}

const NUMBERS: &str = "each business number";
const SUBSCRIPTIONS: &str = "each callback URL";
/// Of events: those after the first two only webhooks hear of.
const KINDS: &[&str] = &["status", "inbound", "notice", "outgoing", "person"];

macro_rules! metric_list {
    ($($kind:ident $constant:ident = $name:literal [$($label:expr),*] $text:literal;)+) => {
        $(#[doc = $text] pub const $constant: &str = $name;)+

        /// All of them, in the order in which a message meets them.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: metric_list!(@kind $kind),
            labels: &[$($label),*],
            text: $text,
        }),+];
    };
    (@kind counter) => { MetricKind::Counter };
    (@kind gauge) => { MetricKind::Gauge };
    (@kind histogram) => { MetricKind::Histogram };
}

metric_list! {
    counter ACCEPTS = "wabridge_accepts_total" [one_of("result", &["accepted", "repeat", "checked", "refused"])] "Answers to send requests: stored to be sent, taken before, a test that is not sent, refused";
    histogram ACCEPT_SECONDS = "wabridge_accept_seconds" [] "Time from a send request's first byte to its answer, the commit included";
    counter REFUSALS = "wabridge_refusals_total" [one_of("kind", &["credentials", "template", "phone_number", "not_subscribed", "other", "cannot_store"])] "Send requests that were refused, by the reason";
    counter RENDERED_DIFFERENCES = "wabridge_rendered_differences_total" [] "Messages whose text at the platform is not that of their template";
    counter SENDS = "wabridge_sends_total" [one_of("outcome", &["submitted", "retry", "slow", "hold", "given_up", "unknown", "later"]), one_of("scope", &["message", "pair", "number", "template", "provider_account", "connection"])] "Turns of messages to be sent, by what followed (the provider took it, again later, told to slow down, stopped, failed, no answer, not offered yet) and to how much it applied";
    histogram SEND_SECONDS = "wabridge_send_seconds" [] "Time of one exchange with a provider to send a message";
    counter PACE_LATE = "wabridge_pace_late_milliseconds_total" [each("number", NUMBERS)] "Time by which messages left later than their number's pace allowed although they were due, as far as the pace could not make up for it; its increase in a second is the part of the allowance that was lost";
    gauge PACE_BEHIND = "wabridge_pace_behind_seconds" [each("number", NUMBERS)] "How late a message is now that is due and allowed to leave; 0 while the pace, a hold, or quiet hours are what it waits for";
    gauge QUEUED = "wabridge_queued" [each("number", NUMBERS)] "Messages that wait for their turn";
    gauge OLDEST_DUE = "wabridge_oldest_due_seconds" [each("number", NUMBERS)] "For how long the oldest of those that wait for their turn, and of the retries whose time has come, has been due";
    gauge RETRYING = "wabridge_retrying" [each("number", NUMBERS)] "Messages that wait for another try or for a place within the messaging limit, or are paused";
    gauge LIMIT_WAITING = "wabridge_messaging_limit_waiting" [each("number", NUMBERS)] "Of those, messages to new people that wait for a place within the messaging limit";
    gauge LIMIT_PEOPLE = "wabridge_messaging_limit_people" [each("number", NUMBERS)] "People whom the number, or another of its portfolio, wrote to first within 24 hours; 0 while the limit is not counted";
    gauge LIMIT_PEOPLE_MAX = "wabridge_messaging_limit_people_max" [each("number", NUMBERS)] "To how many it may; 0 while the limit is not counted: unlimited, not known, or switched off";
    gauge UNKNOWN_OUTCOME = "wabridge_unknown_outcome" [each("number", NUMBERS)] "Messages of which nobody knows whether they went out";
    counter STATUSES = "wabridge_statuses_total" [one_of("status", &["sent", "delivered", "read", "failed"])] "Delivery statuses written to the log";
    counter INBOUND = "wabridge_inbound_total" [] "Messages from people written to the log";
    counter NOTICES = "wabridge_notices_total" [one_of("severity", &["info", "warning", "critical"])] "Notices of providers to the business";
    counter WEBHOOKS = "wabridge_webhooks_total" [one_of("result", &["stored", "shed", "failed", "unsigned", "unread"])] "Webhooks from providers: stored, too many at once, not stored, not signed, not read to the end";
    counter UNRECOGNIZED = "wabridge_unrecognized_total" [] "Parts of webhooks that could not be read";
    counter IGNORED = "wabridge_webhook_parts_ignored_total" [] "Parts of webhooks that are of no use to anybody, such as the business's own words coming back";
    counter PARKED = "wabridge_parked_total" [] "Statuses kept because their message is not known, or not yet";
    gauge PARKED_NOW = "wabridge_parked" [] "Of those, how many still wait for their message, counted up to 100,000";
    counter CALLBACKS = "wabridge_callbacks_total" [one_of("outcome", &["succeeded", "refused", "no_answer"])] "Requests to callback URLs";
    histogram CALLBACK_SECONDS = "wabridge_callback_seconds" [] "Time of one request to a callback URL";
    gauge CURSOR_EVENTS = "wabridge_cursor_behind_events" [each("account", SUBSCRIPTIONS), one_of("kind", KINDS), each("subscription", SUBSCRIPTIONS)] "Events between a subscription's cursor and the end of its log, yet to be told, counted up to 100,000";
    gauge CURSOR_SECONDS = "wabridge_cursor_behind_seconds" [each("account", SUBSCRIPTIONS), one_of("kind", KINDS), each("subscription", SUBSCRIPTIONS)] "How long ago the first of them was written to the log";
    gauge CALLBACKS_DEAD = "wabridge_callbacks_dead" [each("account", SUBSCRIPTIONS), one_of("kind", KINDS), each("subscription", SUBSCRIPTIONS)] "Events that were refused or grew too old";
    gauge CALLBACKS_FAILING = "wabridge_callbacks_failing_seconds" [each("account", SUBSCRIPTIONS), one_of("kind", KINDS), each("subscription", SUBSCRIPTIONS)] "For how long a callback URL has failed";
    gauge HELD = "wabridge_held" [each("what", "each connection, number and subscription")] "1 while it is on hold";
    gauge OWNS = "wabridge_owns" [each("what", "each number and subscription, `housekeeping`, `media`")] "1 while this instance holds the lease of it";
    gauge LEASES = "wabridge_leases" [one_of("kind", &["sender", "subscription", "housekeeping", "media"]), each("owner", "each instance that holds one; `nobody`")] "Leases by their owner, as the database has them";
    gauge STREAMS_STOPPED = "wabridge_streams_stopped" [] "Workers that have ended or are silent, as `/readyz` names them";
    histogram COMMIT_SECONDS = "wabridge_commit_seconds" [] "Time of one group commit";
    histogram COMMIT_JOBS = "wabridge_commit_jobs" [] "Pieces of work that shared one group commit";
    counter COMMIT_FAILURES = "wabridge_commit_failures_total" [] "Group commits that the database did not take";
    counter STORE_ROWS_WRITTEN = "wabridge_store_rows_written_total" [] "Rows that statements inserted, updated or deleted";
    counter STORE_STATEMENTS = "wabridge_store_statements_total" [] "SQL statements";
    gauge OLDEST_TRANSACTION = "wabridge_database_oldest_transaction_seconds" [] "PostgreSQL only: age of the oldest open transaction of the database; while it is open no dead row is removed";
    gauge DEAD_ROWS = "wabridge_database_dead_rows" [each("table", "each table")] "PostgreSQL only: rows that wait for vacuum";
    gauge DISK_FREE = "wabridge_disk_free_bytes" [each("directory", "the directories of the database and of media")] "Room where the database file and the files of people are";
    counter MEDIA_COPIES = "wabridge_media_copies_total" [one_of("result", &["stored", "again", "failed", "unwanted"])] "Tries to copy a file that a person sent: `again` will be tried again";
    counter MEDIA_COPIED_BYTES = "wabridge_media_copied_bytes_total" [] "Bytes of files that were copied";
    gauge MEDIA_FILES = "wabridge_media_files" [one_of("state", &["pending", "stored", "failed"])] "Files that people sent, at the instance that keeps the house";
    gauge MEDIA_STORED_BYTES = "wabridge_media_stored_bytes" [] "Bytes of files that are stored, at the instance that keeps the house";
    counter MEDIA_REQUESTS = "wabridge_media_requests_total" [one_of("result", &["served", "pending", "failed", "unknown"])] "Requests for files";
    gauge NUMBER_QUALITY = "wabridge_number_quality" [each("number", NUMBERS)] "How the provider rates a number: 3 green, 2 yellow, 1 red, 0 unknown";
    gauge TEMPLATES_STOPPED = "wabridge_templates_stopped" [each("business_account", "each business account of WhatsApp")] "Templates that are paused or disabled";
    counter TRACE_SPANS = "wabridge_trace_spans_total" [one_of("result", &["exported", "dropped"])] "Spans of traces: taken by the collector; dropped because it did not take them, or too slowly";
    gauge ALARMS = "wabridge_alarms" [each("kind", "each kind of `wabridge alarm`")] "What is wrong now; known to the instance that keeps the house";
}

/// Gives every metric its description, and counters and histograms a beginning.
pub(super) fn begin_all() {
    for metric in METRICS {
        let Metric { name, kind, text, .. } = *metric;
        match kind {
            MetricKind::Counter => metrics::describe_counter!(name, text),
            MetricKind::Gauge => metrics::describe_gauge!(name, text),
            MetricKind::Histogram => metrics::describe_histogram!(name, text),
        }
        for labels in listed_labels(metric.labels) {
            match kind {
                MetricKind::Counter => metrics::counter!(name, labels).increment(0),
                MetricKind::Histogram => drop(metrics::histogram!(name, labels)),
                // Nought would be a statement about something that nobody has looked at.
                MetricKind::Gauge => {}
            }
        }
    }
}

/// Every combination of the values of the labels; none when there is one whose values are not listed.
fn listed_labels(labels: &[MetricLabel]) -> Vec<Vec<Label>> {
    let mut combinations = vec![vec![]];
    for label in labels {
        let values = match label.values {
            LabelValues::Listed(values) => values,
            LabelValues::Each(_) => &[],
        };
        let with = |before: &Vec<Label>, value: &'static str| {
            let mut labels = before.clone();
            labels.push(Label::from_static_parts(label.name, value));
            labels
        };
        combinations =
            combinations.iter().flat_map(|before| values.iter().map(move |value| with(before, value))).collect();
    }
    combinations
}

const HEAD: &str = "\
# All metrics

Made from [`src/telemetry/names.rs`](../src/telemetry/names.rs) by `wabridge settings --metrics`.

`/metrics` shows them in Prometheus' text format. Gauges are read every `alarms.look_every`, rarer when reading takes long,
and never for a scrape. [`docker/prometheus/alerts.yml`](../docker/prometheus/alerts.yml) has rules for Prometheus,
[`docker/grafana/wabridge.json`](../docker/grafana/wabridge.json) a dashboard.
";

const FOOT: &str = "
A label for each number, callback URL or owner has at most 500 values; those beyond are added up as `others` (of ages: the
largest). With several instances, counters and histograms are each instance's own, while gauges of what the database
holds are the same at all: take the largest, not the sum. `wabridge_owns`, `wabridge_pace_behind_seconds`,
`wabridge_streams_stopped` and `wabridge_disk_free_bytes` are each instance's own too.
";

/// The list as a page in Markdown.
pub fn metrics_markdown() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| metric | kind | labels | |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, text } in METRICS {
        let labels: Vec<String> = labels.iter().map(label_text).collect();
        writeln!(page, "| `{name}` | {} | {} | {text} |", kind.as_str(), labels.join("<br>"))
            .expect("a String takes everything");
    }
    page.push_str(FOOT);
    page
}

fn label_text(label: &MetricLabel) -> String {
    match label.values {
        LabelValues::Listed(values) => {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{}`: {}", label.name, values.join(", "))
        }
        LabelValues::Each(what) => format!("`{}`: {what}", label.name),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own_that_says_whose_and_what_it_is() {
        assert!(METRICS.iter().all(|metric| metric.name.starts_with("wabridge_")));
        assert_eq!(METRICS.iter().map(|metric| metric.name).collect::<BTreeSet<_>>().len(), METRICS.len());
        for metric in METRICS {
            assert_eq!(metric.name.ends_with("_total"), metric.kind == MetricKind::Counter, "{}", metric.name);
        }
    }

    #[test]
    fn series_with_listed_values_exist_from_the_start() {
        let labels = |name| METRICS.iter().find(|metric| metric.name == name).expect("it is there").labels;

        assert_eq!(listed_labels(labels(COMMIT_SECONDS)), [vec![]], "one without labels");
        assert_eq!(listed_labels(labels(STATUSES)).len(), 4);
        assert_eq!(listed_labels(labels(SENDS)).len(), 7 * 6);
        assert!(listed_labels(labels(QUEUED)).is_empty(), "numbers are not known yet");
    }

    #[test]
    fn the_page_in_docs_is_this_one() {
        assert!(FOOT.contains(&SUBJECTS_SHOWN_MAX.to_string()) && FOOT.contains(OTHERS));
        assert!(
            include_str!("../../docs/metrics.md") == metrics_markdown(),
            "write it anew: cargo run -- settings --metrics > docs/metrics.md"
        );
    }
}
