//! The load, a process of its own: so many callers, each with one kept connection, each sending its next
//! message when the last one is answered.
//!
//! It shares the machine with what it measures, so it does next to nothing: a request is a template of bytes
//! in which the digits of the message's number are overwritten, an answer is read as far as its length and
//! its verdict, and each thread drives its share of the connections alone, as `wrk` does.
//!
//! Without a rate the loop is *closed*: when the server is slow, fewer requests are made, so the tail is what these
//! callers saw and not what a crowd that does not wait would have seen. With one it is *open*: each request has its time,
//! whatever became of those before it, and its latency counts from that time, also while no connection is free.
//!
//! An answer counts as a success when its status is 200 and its body says `"success"`: CleverTap is refused
//! with 200 too.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use super::{message::MessageRequest, wire::Connection};

/// What CleverTap waits for an answer before it counts an error.
const ONE_SECOND: Duration = Duration::from_secs(1);
/// Latencies are kept in microseconds with three digits, up to this.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Of an answer that was no success, for whoever has to find out why.
const FAILURE_CHARS_MAX: usize = 300;

#[derive(Args)]
pub(super) struct LoadArguments {
    #[arg(long)]
    pub(super) address: SocketAddr,
    #[arg(long)]
    pub(super) connections: usize,
    /// The business number that the messages are to be sent from
    #[arg(long)]
    pub(super) from: String,
    /// Part of every message id, so that no two runs share one
    #[arg(long)]
    pub(super) series: String,
    /// Stop after so many messages
    #[arg(long, default_value_t = u64::MAX)]
    pub(super) messages: u64,
    /// Stop after so long, the warm-up not counted
    #[arg(long, default_value_t = 3600.0)]
    pub(super) seconds: f64,
    /// Not measured
    #[arg(long, default_value_t = 0.0)]
    pub(super) warm_up_seconds: f64,
    /// Requests a second, whether the server keeps up or not; without it, as many as are answered
    #[arg(long)]
    pub(super) rate: Option<f64>,
}

/// What the callers saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct LoadFigures {
    /// When the first request left, in microseconds of Unix time.
    pub(super) first_request_unix_us: u64,
    pub(super) requests_per_second: f64,
    /// Answers, the warm-up's among them.
    pub(super) answers: u64,
    /// Requests that were measured.
    pub(super) measured: u64,
    /// Among all answers, those that were not a success; also requests without an answer.
    pub(super) not_successful: u64,
    /// Among all answers.
    pub(super) over_one_second: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
    /// One answer that was not a success.
    pub(super) failure: Option<String>,
}

/// Runs the load to its end and answers with its figures as JSON.
pub(super) fn run(arguments: &LoadArguments) -> anyhow::Result<String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(arguments.connections).max(1);
    let shared = Arc::new(Shared {
        address: arguments.address,
        request: MessageRequest::new(&arguments.from, &arguments.series),
        next: AtomicU64::new(0),
        messages: arguments.messages,
        warm_up: Duration::try_from_secs_f64(arguments.warm_up_seconds).context("--warm-up-seconds")?,
        measured: Duration::try_from_secs_f64(arguments.seconds).context("--seconds")?,
        between: arguments.rate.map(|rate| Duration::try_from_secs_f64(1.0 / rate)).transpose().context("--rate")?,
        started: OnceLock::new(),
        ready: Barrier::new(threads),
    });
    let running: Vec<_> = (0..threads)
        .map(|thread| {
            let shared = shared.clone();
            // The first threads take one more where the number does not divide.
            let connections = arguments.connections / threads + usize::from(thread < arguments.connections % threads);
            std::thread::spawn(move || run_thread(&shared, connections))
        })
        .collect();
    let mut tally = Tally::new();
    for thread in running {
        tally.add(&thread.join().map_err(|_| anyhow::anyhow!("a thread of the load panicked"))??);
    }
    serde_json::to_string(&tally.figures()).context("could not write the load's figures")
}

/// What all threads share.
struct Shared {
    address: SocketAddr,
    request: MessageRequest,
    next: AtomicU64,
    messages: u64,
    warm_up: Duration,
    measured: Duration,
    /// Between two requests of an open loop.
    between: Option<Duration>,
    started: OnceLock<Instant>,
    /// Nobody starts before everybody is connected.
    ready: Barrier,
}

fn run_thread(shared: &Arc<Shared>, connections: usize) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let opened = runtime.block_on(open_all(shared.address, connections));
    // Waited for in any case: without it the others would wait for ever.
    shared.ready.wait();
    let opened = opened.with_context(|| format!("could not open {connections} connections to {}", shared.address))?;

    let tally = Rc::new(RefCell::new(Tally::new()));
    let from = *shared.started.get_or_init(Instant::now) + shared.warm_up;
    let window = Window { from, until: from + shared.measured };
    let callers = LocalSet::new();
    for connection in opened {
        let caller = Caller { shared: shared.clone(), window, tally: tally.clone(), request: shared.request.clone() };
        callers.spawn_local(caller.call(connection));
    }
    runtime.block_on(callers);
    Ok(Rc::into_inner(tally).context("a caller outlived its thread")?.into_inner())
}

async fn open_all(address: SocketAddr, connections: usize) -> io::Result<Vec<Connection>> {
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(address).await?);
    }
    Ok(opened)
}

#[derive(Clone, Copy)]
struct Window {
    from: Instant,
    until: Instant,
}

/// One caller.
struct Caller {
    shared: Arc<Shared>,
    window: Window,
    tally: Rc<RefCell<Tally>>,
    request: MessageRequest,
}

impl Caller {
    async fn call(mut self, mut connection: Connection) {
        loop {
            if Instant::now() >= self.window.until {
                return;
            }
            let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.shared.messages {
                return;
            }
            let sent_at = self.time_of(number).await;
            if sent_at >= self.window.until {
                return;
            }
            self.tally.borrow_mut().start(sent_at);
            let outcome = match connection.exchange(self.request.numbered(number)).await {
                Ok(answer) if answer.status == 200 && says_success(answer.body) => Ok(()),
                Ok(answer) => Err(format!("HTTP {}: {}", answer.status, String::from_utf8_lossy(answer.body))),
                Err(error) => {
                    let reopened = Connection::open(self.shared.address).await;
                    self.tally.borrow_mut().finish(self.window, sent_at, Err(format!("no answer: {error}")));
                    match reopened {
                        Ok(reopened) => connection = reopened,
                        Err(_) => return,
                    }
                    continue;
                }
            };
            self.tally.borrow_mut().finish(self.window, sent_at, outcome);
        }
    }
}

impl Caller {
    /// When a request was to be made, which is now unless the loop is open.
    async fn time_of(&self, number: u64) -> Instant {
        let Some(between) = self.shared.between else { return Instant::now() };
        let at = self.window.from - self.shared.warm_up + between.mul_f64(number as f64);
        tokio::time::sleep_until(at.into()).await;
        at
    }
}

fn says_success(body: &[u8]) -> bool {
    const SUCCESS: &[u8] = b"\"success\"";
    body.windows(SUCCESS.len()).any(|bytes| bytes == SUCCESS)
}

/// What the callers of one thread count.
struct Tally {
    first: Option<(Instant, SystemTime)>,
    last_answer_at: Option<Instant>,
    /// Where the rate is counted from: the end of the warm-up, or the first request.
    window: Option<Window>,
    latencies_us: Histogram<u64>,
    answers: u64,
    answers_in_window: u64,
    not_successful: u64,
    over_one_second: u64,
    failure: Option<String>,
}

impl Tally {
    fn new() -> Self {
        Self {
            first: None,
            last_answer_at: None,
            window: None,
            latencies_us: Histogram::new_with_max(LATENCY_US_MAX, 3).expect("three digits up to ten minutes"),
            answers: 0,
            answers_in_window: 0,
            not_successful: 0,
            over_one_second: 0,
            failure: None,
        }
    }

    fn start(&mut self, sent_at: Instant) {
        self.first.get_or_insert_with(|| (sent_at, SystemTime::now()));
    }

    fn finish(&mut self, window: Window, sent_at: Instant, outcome: Result<(), String>) {
        let answered_at = Instant::now();
        let took = answered_at - sent_at;
        self.window = Some(window);
        self.last_answer_at = Some(answered_at);
        self.answers += 1;
        self.over_one_second += u64::from(took > ONE_SECOND);
        if (window.from..window.until).contains(&answered_at) {
            self.answers_in_window += 1;
        }
        if sent_at >= window.from {
            let took_us = u64::try_from(took.as_micros()).unwrap_or(LATENCY_US_MAX);
            self.latencies_us.saturating_record(took_us);
        }
        if let Err(failure) = outcome {
            self.not_successful += 1;
            self.failure.get_or_insert_with(|| failure.chars().take(FAILURE_CHARS_MAX).collect());
        }
    }

    fn add(&mut self, other: &Self) {
        self.first = [self.first, other.first].into_iter().flatten().min_by_key(|(at, _)| *at);
        self.last_answer_at = self.last_answer_at.max(other.last_answer_at);
        self.window = self.window.or(other.window);
        self.latencies_us.add(&other.latencies_us).expect("both have the same bounds");
        self.answers += other.answers;
        self.answers_in_window += other.answers_in_window;
        self.not_successful += other.not_successful;
        self.over_one_second += other.over_one_second;
        if self.failure.is_none() {
            self.failure.clone_from(&other.failure);
        }
    }

    fn figures(&self) -> LoadFigures {
        let milliseconds = |us: u64| us as f64 / 1000.0;
        let at = |quantile| milliseconds(self.latencies_us.value_at_quantile(quantile));
        let first = self.first.and_then(|(_, at)| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        LoadFigures {
            first_request_unix_us: u64::try_from(first.as_micros()).unwrap_or_default(),
            requests_per_second: self.answers_in_window as f64 / self.measured_time().as_secs_f64().max(1e-6),
            answers: self.answers,
            measured: self.latencies_us.len(),
            not_successful: self.not_successful,
            over_one_second: self.over_one_second,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(self.latencies_us.max()),
            failure: self.failure.clone(),
        }
    }

    /// The window, or less when the messages were used up before its end.
    fn measured_time(&self) -> Duration {
        let (Some(window), Some(last)) = (self.window, self.last_answer_at) else { return Duration::ZERO };
        last.min(window.until).saturating_duration_since(window.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_the_warm_up_counts_for_mistakes_but_not_for_speed() {
        let start = Instant::now().checked_sub(Duration::from_secs(10)).expect("the machine has run for ten seconds");
        let window = Window { from: Instant::now(), until: Instant::now() + Duration::from_secs(60) };
        let mut tally = Tally::new();

        tally.finish(window, start, Err("HTTP 500".to_owned()));
        tally.finish(window, Instant::now(), Ok(()));

        let figures = tally.figures();
        assert_eq!((figures.answers, figures.measured), (2, 1));
        assert_eq!((figures.not_successful, figures.over_one_second), (1, 1));
        assert_eq!(figures.failure.as_deref(), Some("HTTP 500"));
        assert!(figures.max_ms < 1000.0);
    }

    #[test]
    fn a_refusal_inside_a_200_is_no_success() {
        assert!(says_success(br#"{"status":"success"}"#));
        assert!(!says_success(br#"{"status":"failure","error":{"code":2001}}"#));
    }
}
