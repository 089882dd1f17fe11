//! What the bridge says about itself: log lines, and every number it counts.
//!
//! A log line carries ids as fields under the same names everywhere (`account.id`, `message.id`,
//! `sender.number`, `connection.id`) and never a token, a body or a person's
//! whole telephone number. A metric has
//! its name here and nowhere else, so that this file is the list an operator can read.

use std::{error::Error, fmt, io::IsTerminal as _, sync::Mutex};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, util::TryInitError};

use crate::settings::{Log, LogFormat};

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("could not read log.filter: write it like info or info,wabridge::worker=debug")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("could not set up logging: it was set up before")]
    Twice(#[from] TryInitError),
    #[error("could not set up the metrics")]
    Metrics(#[from] BuildError),
}

/// Logs each certificate that it refuses, as an error; whoever made the request says it again, and with what helps.
const CERTIFICATE_VERIFIER: &str = "rustls_platform_verifier";

/// Sends log lines to standard error, so that what a command answers on standard output stays clean.
pub fn start_logging(settings: &Log) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;
    let mut filter = EnvFilter::try_new(&settings.filter)?;
    if !settings.filter.contains(CERTIFICATE_VERIFIER) {
        filter = filter.add_directive(format!("{CERTIFICATE_VERIFIER}=off").parse()?);
    }
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match settings.format {
        LogFormat::Text => lines.finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// What was counted, to be rendered for Prometheus. The first call starts the counting; there is one set of
/// metrics in a process. The handle's `run_upkeep` must be called now and then, or histograms keep
/// every single observation.
pub fn metrics_handle() -> Result<PrometheusHandle, TelemetryError> {
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().expect("no holder of this lock can panic");
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let started = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(COMMIT_JOBS.to_owned()), &COUNT_BUCKETS)?
        .install_recorder()?;
    describe_all();
    Ok(handle.insert(started).clone())
}

/// Fine below a second, which is what the platform waits for an answer.
const SECONDS_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5, 5.0, 10.0];
const COUNT_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Every metric: kind, constant, name, and what it tells an operator, with its label.
macro_rules! metric_list {
    ($($describe:ident $constant:ident = $name:literal $text:literal;)+) => {
        $(#[doc = $text] pub const $constant: &str = $name;)+

        /// Gives every metric its description.
        pub fn describe_all() {
            $(metrics::$describe!($constant, $text);)+
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$($name),+];
    };
}

metric_list! {
    describe_counter ACCEPTS = "wabridge_accepts_total" "Answers to send requests. Label result: accepted (stored to be sent), repeat (taken before), checked (a test that is not sent), refused";
    describe_histogram ACCEPT_SECONDS = "wabridge_accept_seconds" "Time from a whole send request to its answer, the commit included";
    describe_counter REFUSALS = "wabridge_refusals_total" "Send requests that were refused. Label kind: the reason";
    describe_counter RENDERED_DIFFERENCES = "wabridge_rendered_differences_total" "Messages whose text at the platform is not that of their template";
    describe_counter SENDS = "wabridge_sends_total" "Turns of messages to be sent. Label outcome: submitted (the provider took it), retry, slow (told to slow down), hold, given_up, unknown (no answer), later (not offered yet)";
    describe_counter PAIR_REFUSALS = "wabridge_pair_refusals_total" "Sends refused because one person had got too many from one number; only that person waits";
    describe_histogram SEND_SECONDS = "wabridge_send_seconds" "Time of one exchange with a provider to send a message";
    describe_counter STATUSES = "wabridge_statuses_total" "Delivery statuses written to the log. Label status: sent, delivered, read, failed";
    describe_counter INBOUND = "wabridge_inbound_total" "Messages from people written to the log";
    describe_counter MEDIA_COPIES = "wabridge_media_copies_total" "Tries to copy a file that a person sent. Label result: stored, again (to be tried again), failed, unwanted";
    describe_counter MEDIA_COPIED_BYTES = "wabridge_media_copied_bytes_total" "Bytes of files that were copied";
    describe_gauge MEDIA_FILES = "wabridge_media_files" "Files that people sent. Label state: pending, stored, failed";
    describe_gauge MEDIA_STORED_BYTES = "wabridge_media_stored_bytes" "Bytes of files that are stored";
    describe_counter MEDIA_REQUESTS = "wabridge_media_requests_total" "Requests for files. Label result: served, pending, failed, unknown";
    describe_counter WEBHOOKS = "wabridge_webhooks_total" "Webhooks from providers. Label result: stored, shed (too many at once), failed (could not be stored), unsigned";
    describe_counter CALLBACKS = "wabridge_callbacks_total" "Requests to callback URLs. Label outcome: succeeded, refused, no_answer";
    describe_histogram CALLBACK_SECONDS = "wabridge_callback_seconds" "Time of one request to a callback URL";
    describe_histogram COMMIT_SECONDS = "wabridge_commit_seconds" "Time of one group commit";
    describe_histogram COMMIT_JOBS = "wabridge_commit_jobs" "Pieces of work that shared one group commit";
    describe_counter STORE_ROWS_WRITTEN = "wabridge_store_rows_written_total" "Rows that statements inserted, updated or deleted";
    describe_counter STORE_STATEMENTS = "wabridge_store_statements_total" "SQL statements";
    describe_counter UNRECOGNIZED = "wabridge_unrecognized_total" "Parts of webhooks that could not be read";
    describe_counter PARKED = "wabridge_parked_total" "Statuses kept because their message is not known, or not yet";
    describe_counter NOTICES = "wabridge_notices_total" "Notices of providers to the business. Label severity: info, warning, critical";
    describe_gauge NUMBER_QUALITY = "wabridge_number_quality" "How the provider rates a number: 3 green, 2 yellow, 1 red, 0 unknown. Label number";
    describe_gauge QUEUED = "wabridge_queued" "Messages that wait for their turn. Label number";
    describe_gauge OLDEST_QUEUED = "wabridge_oldest_queued_seconds" "How long the oldest of them waits. Label number";
    describe_gauge RETRYING = "wabridge_retrying" "Messages that wait for another try. Label number";
    describe_gauge UNKNOWN_OUTCOME = "wabridge_unknown_outcome" "Messages of which nobody knows whether they went out. Label number";
    describe_gauge HELD = "wabridge_held" "1 while a connection, a number or a subscription is on hold. Label what";
    describe_gauge CALLBACKS_OWED = "wabridge_callbacks_owed" "Events yet to be told, counted up to 100,000. Label subscription";
    describe_gauge CALLBACKS_DEAD = "wabridge_callbacks_dead" "Events that were refused or grew too old. Label subscription";
    describe_gauge CALLBACKS_FAILING = "wabridge_callbacks_failing_seconds" "For how long a callback URL has failed. Label subscription";
    describe_gauge TEMPLATES_STOPPED = "wabridge_templates_stopped" "Templates that are paused or disabled. Label business_account";
    describe_gauge DISK_FREE = "wabridge_disk_free_bytes" "Room where the database file is. Label directory";
    describe_gauge ALARMS = "wabridge_alarms" "What is wrong now. Label kind; known to the instance that keeps the house";
}

/// An error with its causes, outermost first: `could not do this: because of that: and that of this`.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        f.write_str(&told)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries say what their cause says, and have it as their cause too.
            if !told.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            told = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not open the shop")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the key is lost")]
    struct Inner;

    #[test]
    fn an_error_is_printed_with_its_causes() {
        assert_eq!(Chain(&Outer(Inner)).to_string(), "could not open the shop: the key is lost");
    }

    #[test]
    fn every_metric_has_a_name_of_its_own_that_says_whose_it_is() {
        assert!(NAMES.iter().all(|name| name.starts_with("wabridge_")));
        assert_eq!(NAMES.iter().collect::<BTreeSet<_>>().len(), NAMES.len());
    }

    #[test]
    fn whoever_asks_first_starts_the_counting() {
        metrics_handle().expect("nobody else installs a recorder");
        metrics_handle().expect("the same one again");
    }

    #[test]
    fn what_is_counted_is_rendered_with_its_description() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();

        metrics::with_local_recorder(&recorder, || {
            describe_all();
            metrics::counter!(ACCEPTS, "result" => "accepted").increment(3);
        });

        let text = handle.render();
        assert!(text.contains("wabridge_accepts_total{result=\"accepted\"} 3"), "{text}");
        assert!(text.contains("# HELP wabridge_accepts_total"), "{text}");
    }
}
