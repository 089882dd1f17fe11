//! What the bridge says about itself: log lines, and every number it counts.
//!
//! A log line carries ids as fields under the same names everywhere (`account.id`, `message.id`,
//! `sender.number`, `connection.id`) and never a token, a body or a person's
//! whole telephone number. A metric has its name in [`names`] and nowhere else.

mod names;

use std::{error::Error, fmt, io::IsTerminal as _, sync::Mutex};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, util::TryInitError};

pub use names::*;

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
        .set_buckets_for_metric(Matcher::Full(ACCEPT_SECONDS.to_owned()), &ACCEPT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(COMMIT_JOBS.to_owned()), &COUNT_BUCKETS)?
        .install_recorder()?;
    begin_all();
    Ok(handle.insert(started).clone())
}

/// Fine where it matters: the platform waits a second for an answer, and we give up after 0.8.
const ACCEPT_BUCKETS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.5, 2.5, 5.0];
const SECONDS_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5, 5.0, 10.0];
const COUNT_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

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
    fn whoever_asks_first_starts_the_counting() {
        metrics_handle().expect("nobody else installs a recorder");
        metrics_handle().expect("the same one again");
    }

    #[test]
    fn what_is_counted_is_rendered_with_its_description() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();

        metrics::with_local_recorder(&recorder, || {
            begin_all();
            metrics::counter!(ACCEPTS, "result" => "accepted").increment(3);
        });

        let text = handle.render();
        assert!(text.contains("wabridge_accepts_total{result=\"accepted\"} 3"), "{text}");
        // From the start, or the first failure would be no increase.
        assert!(text.contains("wabridge_accepts_total{result=\"refused\"} 0"), "{text}");
        assert!(text.contains("wabridge_accept_seconds_count 0"), "{text}");
        assert!(text.contains("# HELP wabridge_accepts_total"), "{text}");
    }
}
