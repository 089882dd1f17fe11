//! The collector of traces: how its place and its headers are written, and what is wrong with them.

use secrecy::{ExposeSecret as _, SecretString};

use super::sections::Traces;

/// Spans that may wait, at about a kilobyte each.
pub const QUEUE_SPANS_MAX: usize = 100_000;
/// Headers of one request to the collector.
pub const HEADERS_MAX: usize = 16;
/// Where collectors take traces, below their base.
const TRACES_PATH: &str = "/v1/traces";

impl Traces {
    /// Where spans are posted to; `None` when nothing is traced. What is configured is usually the collector's base.
    pub fn url(&self) -> Option<String> {
        let endpoint = self.endpoint.trim().trim_end_matches('/');
        (!endpoint.is_empty()).then(|| match endpoint.ends_with(TRACES_PATH) {
            true => endpoint.to_owned(),
            false => format!("{endpoint}{TRACES_PATH}"),
        })
    }

    /// What is shown to the collector; `None` when it is not written as `name=value, name=value`.
    pub fn headers(&self) -> Option<Vec<(String, SecretString)>> {
        let text = self.headers.as_ref().map_or("", |headers| headers.expose_secret());
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let header = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let named =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            (named && value.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
                .then(|| (name.to_lowercase(), SecretString::from(value)))
        };
        pairs.map(header).collect()
    }
}

/// Everything that does not fit.
pub(super) fn contradictions(traces: &Traces) -> Vec<String> {
    let mut findings = Vec::new();
    if traces.url().is_some_and(|url| !super::checks::is_web_url(&url)) {
        findings.push("traces.endpoint is not a URL: write it like http://localhost:4318".to_owned());
    }
    if traces.headers().is_none_or(|headers| headers.len() > HEADERS_MAX) {
        findings.push(format!(
            "traces.headers cannot be read: write at most {HEADERS_MAX} of them like authorization=Bearer abc, x-team=ops"
        ));
    }
    if !(traces.sample_ratio > 0.0 && traces.sample_ratio <= 1.0) {
        findings.push(
            "traces.sample_ratio must be above 0 and at most 1; to trace nothing leave traces.endpoint empty"
                .to_owned(),
        );
    }
    if traces.timeout.is_zero() {
        findings.push("traces.timeout is no time at all: set it to a second or more".to_owned());
    }
    if !(1..=QUEUE_SPANS_MAX).contains(&traces.queue_spans) {
        findings.push(format!("traces.queue_spans must be 1 to {QUEUE_SPANS_MAX}: what waits takes memory"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn with(change: impl FnOnce(&mut Traces)) -> Traces {
        let mut traces = Settings::defaults().traces;
        change(&mut traces);
        traces
    }

    #[test]
    fn nothing_is_traced_unless_there_is_a_collector() {
        assert_eq!(Settings::defaults().traces.url(), None);
        for endpoint in ["http://localhost:4318", "http://localhost:4318/", "http://localhost:4318/v1/traces"] {
            let traces = with(|traces| traces.endpoint = endpoint.into());
            assert_eq!(traces.url().as_deref(), Some("http://localhost:4318/v1/traces"), "{endpoint}");
        }
        let hosted = with(|traces| traces.endpoint = "https://otlp.example.com/otlp".into());
        assert_eq!(hosted.url().as_deref(), Some("https://otlp.example.com/otlp/v1/traces"));
    }

    #[test]
    fn headers_are_pairs_with_commas_between() {
        let headers = |text: &str| {
            let read = with(|traces| traces.headers = Some(text.into())).headers()?;
            Some(read.iter().map(|(name, value)| format!("{name}: {}", value.expose_secret())).collect::<Vec<_>>())
        };

        assert_eq!(with(|_| {}).headers().map(|headers| headers.len()), Some(0));
        assert_eq!(
            headers("Authorization=Basic YTpi==, x-team=ops,").expect("both can be read"),
            ["authorization: Basic YTpi==", "x-team: ops"]
        );
        for broken in ["authorization", "=abc", "a b=c", "x-team=\u{e9}", "x-team=a\nb"] {
            assert_eq!(headers(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn what_cannot_work_is_told_without_the_secret() {
        let wrong = with(|traces| {
            traces.endpoint = "collector:4318".into();
            traces.headers = Some("hush".into());
            traces.sample_ratio = f64::NAN;
            traces.timeout = std::time::Duration::ZERO;
            traces.queue_spans = 0;
        });

        let told = contradictions(&wrong).join("\n");

        for key in ["endpoint", "headers", "sample_ratio", "timeout", "queue_spans"] {
            assert!(told.contains(&format!("traces.{key}")), "{key} is missing in {told}");
        }
        assert!(!told.contains("hush"), "{told}");
        let secret =
            "[traces]\nendpoint = \"https://me:hush@otlp.example.com\"\nheaders = \"authorization=Bearer hush\"";
        let printed = Settings::from_text(secret).expect("it can be read").render();
        assert!(printed.contains("otlp.example.com") && !printed.contains("hush"), "{printed}");
        assert!(contradictions(&with(|traces| traces.sample_ratio = 1.0)).is_empty());
    }
}
