//! One task, one queue, in order of time: what WhatsApp has to tell reaches the webhook URL.
//!
//! There is no task and no timer per message. Whoever has something to tell puts it into the [`Queue`] with the time
//! when it is due; [`dispatch`] takes what is due, as much as fits into one webhook, writes it in the dialect of a knob and posts it, with a
//! bounded number in flight. What is not answered with 200 goes back into the queue, whole, with a growing wait; while
//! there is nobody to connect to, everything waits.
//! Several in flight overtake each other, as Meta's do.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering as Atomic},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    dialect::Wire,
    knobs::Knobs,
    nodes::Route,
    payloads::Update,
    state::World,
    tally::{Stats, Tally},
};

/// A million messages with two statuses each may wait.
const UPDATES_WAITING_MAX: u64 = 2_000_000;
/// Meta tries for days; a rehearsal is over by then.
const ATTEMPTS_MAX: u32 = 1_000;
/// The answer's body is read, so that the connection can be used again, but not for ever.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const IDLE_CONNECTIONS_MAX: usize = 256;

/// The client for all webhooks. It keeps connections, and follows no redirect and no proxy.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build()
}

/// Posts until stopped.
pub(super) async fn dispatch(world: Arc<World>, stopped: CancellationToken) {
    let mut in_flight = FuturesUnordered::new();
    let mut closed_until = Instant::now();
    loop {
        let knobs = world.knobs();
        let mut next_due = None;
        while in_flight.len() < knobs.webhooks_in_flight_max && !knobs.webhooks_paused {
            let now = Instant::now();
            if now < closed_until {
                next_due = Some(closed_until);
                break;
            }
            match world.queue.next_post(&knobs, |update| world.nodes().route(update), now) {
                Next::Post(post) => {
                    let Some(url) = address(&post.route, &knobs) else {
                        drop_post(&world, &post);
                        continue;
                    };
                    in_flight.push(post_once(world.client().clone(), url, knobs.webhook_timeout_ms, post));
                }
                Next::At(due) => {
                    next_due = Some(due);
                    break;
                }
                Next::Never => break,
            }
        }
        tokio::select! {
            Some((post, outcome, took)) = in_flight.next() => {
                let retry_after = finish(&world, &knobs, post, (outcome, took));
                // Nobody is there: to ask for each of a hundred thousand would only heat the room.
                if outcome == Outcome::Unreachable {
                    closed_until = Instant::now() + retry_after;
                }
            }
            () = tokio::time::sleep_until(next_due.unwrap_or_else(Instant::now).into()), if next_due.is_some() => {}
            () = world.queue.woken.notified() => {}
            () = stopped.cancelled() => return,
        }
    }
}

fn address(route: &Route, knobs: &Knobs) -> Option<String> {
    match route {
        Route::App => knobs.webhook_url.clone(),
        Route::Override(url) => Some(url.to_string()),
        Route::Nowhere => None,
    }
}

/// How a webhook fared, and how long that took.
type Posted = (Box<Post>, Outcome, Duration);

async fn post_once(client: reqwest::Client, url: String, timeout_ms: u64, post: Box<Post>) -> Posted {
    let started = Instant::now();
    let mut request = client.post(url).timeout(Duration::from_millis(timeout_ms)).body(post.wire.body.clone());
    for (name, value) in &post.wire.headers {
        request = request.header(*name, value);
    }
    let outcome = match request.send().await {
        Ok(answer) => {
            let taken = answer.status() == reqwest::StatusCode::OK;
            drain(answer).await;
            if taken { Outcome::Taken } else { Outcome::Refused }
        }
        Err(error) if error.is_connect() => Outcome::Unreachable,
        Err(_) => Outcome::Refused,
    };
    (post, outcome, started.elapsed())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// Answered with anything but 200, or not in time.
    Refused,
    /// There was no connection.
    Unreachable,
}

async fn drain(mut answer: reqwest::Response) {
    let mut bytes = 0;
    while bytes < ANSWER_BYTES_MAX
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        bytes += chunk.len();
    }
}

/// Settles the webhook or puts it back; gives back how long it then waits.
fn finish(world: &World, knobs: &Knobs, mut post: Box<Post>, (outcome, took): (Outcome, Duration)) -> Duration {
    if outcome == Outcome::Taken {
        note_taken(&mut world.tally(), &post, took);
        settle(world, &post);
        world.tell();
        return Duration::ZERO;
    }
    world.count(|stats| stats.webhooks_refused += 1);
    post.attempts += 1;
    if post.attempts >= ATTEMPTS_MAX {
        drop_post(world, &post);
        return Duration::ZERO;
    }
    // A wait that grows is for those who answer; whoever comes back shall not wait for what he missed.
    let doublings = if outcome == Outcome::Refused { (post.attempts - 1).min(20) } else { 0 };
    let wait_ms = knobs.webhook_retry_ms.saturating_mul(1 << doublings).min(knobs.webhook_retry_ms_max);
    let wait = Duration::from_millis(wait_ms);
    world.queue.put_back(Instant::now() + wait, post);
    wait
}

/// Before it is settled: where nothing waits any more, all is counted.
fn note_taken(tally: &mut Tally, post: &Post, took: Duration) {
    tally.time_webhook(took);
    count_taken(&mut tally.stats, post);
    for update in &post.updates {
        if let Update::Inbound { message, .. } = update {
            tally.hear(message["from"].as_str().unwrap_or_default());
        }
    }
}

fn count_taken(stats: &mut Stats, post: &Post) {
    stats.webhooks_taken += 1;
    stats.peak_webhook_batch = stats.peak_webhook_batch.max(post.updates.len() as u64);
    for update in &post.updates {
        match update {
            Update::Status { status, .. } => match stats.statuses_taken.get_mut(status.word()) {
                Some(count) => *count += 1,
                None => drop(stats.statuses_taken.insert(status.word().to_owned(), 1)),
            },
            Update::Inbound { .. } => stats.inbound_taken += 1,
            Update::Change { .. } => {}
        }
    }
}

fn drop_post(world: &World, post: &Post) {
    world.tally().stats.updates_dropped += post.updates.len() as u64;
    settle(world, post);
    world.tell();
}

fn settle(world: &World, post: &Post) {
    post.updates.iter().for_each(Update::settle);
    world.queue.waiting.fetch_sub(post.updates.len() as u64, Atomic::AcqRel);
}

/// One webhook, with the bytes that were signed: a repeat is the same bytes.
pub(super) struct Post {
    wire: Wire,
    updates: Vec<Update>,
    route: Route,
    attempts: u32,
}

enum Next {
    Post(Box<Post>),
    At(Instant),
    Never,
}

/// What is to be told, by time.
#[derive(Default)]
pub(super) struct Queue {
    heap: Mutex<BinaryHeap<Reverse<Due>>>,
    order: AtomicU64,
    /// In the heap or in flight.
    waiting: AtomicU64,
    woken: Notify,
}

struct Due {
    at: Instant,
    /// Among those due at the same time, who came first goes first.
    order: u64,
    what: Waiting,
}

enum Waiting {
    Update(Update),
    Again(Box<Post>),
}

impl Queue {
    /// Adds updates; gives back how many found no room.
    pub(super) fn put(&self, updates: impl IntoIterator<Item = (Instant, Update)>) -> u64 {
        let mut refused = 0;
        let earlier = {
            let mut heap = self.lock();
            let next = heap.peek().map(|due| due.0.at);
            for (at, update) in updates {
                if self.waiting.load(Atomic::Acquire) >= UPDATES_WAITING_MAX {
                    update.settle();
                    refused += 1;
                    continue;
                }
                self.waiting.fetch_add(1, Atomic::AcqRel);
                heap.push(Reverse(Due { at, order: self.next_order(), what: Waiting::Update(update) }));
            }
            heap.peek().is_some_and(|due| next.is_none_or(|next| due.0.at < next))
        };
        // The task sleeps until the earliest; it need not hear of later ones.
        if earlier {
            self.woken.notify_one();
        }
        refused
    }

    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Atomic::Acquire)
    }

    fn put_back(&self, at: Instant, post: Box<Post>) {
        self.lock().push(Reverse(Due { at, order: self.next_order(), what: Waiting::Again(post) }));
    }

    /// What is due and goes the same way, as much as fits into one webhook.
    fn next_post(&self, knobs: &Knobs, route_of: impl Fn(&Update) -> Route, now: Instant) -> Next {
        let updates_max = knobs.dialect.updates_max(knobs);
        let mut updates = Vec::new();
        let mut route = Route::App;
        {
            let mut heap = self.lock();
            while updates.len() < updates_max {
                match heap.peek() {
                    Some(Reverse(due)) if due.at <= now => {}
                    Some(Reverse(due)) if updates.is_empty() => return Next::At(due.at),
                    Some(_) | None => break,
                }
                let joins = match heap.peek().map(|due| &due.0.what) {
                    Some(Waiting::Update(update)) if updates.is_empty() => {
                        route = route_of(update);
                        true
                    }
                    Some(Waiting::Update(update)) => route_of(update) == route,
                    Some(Waiting::Again(_)) | None => updates.is_empty(),
                };
                if !joins {
                    break;
                }
                match heap.pop().map(|due| due.0.what) {
                    Some(Waiting::Update(update)) => updates.push(update),
                    Some(Waiting::Again(post)) => return Next::Post(post),
                    None => break,
                }
            }
        }
        if updates.is_empty() {
            return Next::Never;
        }
        let (wire, route) = match knobs.dialect.write(&updates, knobs) {
            Some(wire) => (wire, route),
            // Nothing to say is nothing to post.
            None => (Wire::default(), Route::Nowhere),
        };
        Next::Post(Box::new(Post { wire, updates, route, attempts: 0 }))
    }

    fn next_order(&self) -> u64 {
        self.order.fetch_add(1, Atomic::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Due>>> {
        self.heap.lock().expect("nobody panics while holding this lock")
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::SimulatorSettings;

    fn change(field: &str) -> Update {
        Update::Change { waba_id: "2001".into(), field: field.into(), value: serde_json::json!({}) }
    }

    #[test]
    fn what_is_due_travels_together_and_nothing_before_its_time() {
        let queue = Queue::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        queue.put([(later, change("later")), (start, change("b")), (start, change("c"))]);
        let mut knobs = SimulatorSettings::default().knobs;
        knobs.webhook_batch_max = 10;

        let Next::Post(post) = queue.next_post(&knobs, |_| Route::App, start) else { panic!("two updates are due") };

        assert_eq!(post.updates.len(), 2);
        assert!(matches!(queue.next_post(&knobs, |_| Route::App, start), Next::At(due) if due == later));
        assert!(matches!(queue.next_post(&knobs, |_| Route::App, later), Next::Post(_)));
        assert!(matches!(queue.next_post(&knobs, |_| Route::App, later), Next::Never));
    }

    #[test]
    fn a_webhook_is_posted_again_with_the_same_bytes() {
        let queue = Queue::default();
        let start = Instant::now();
        let knobs = SimulatorSettings::default().knobs;
        queue.put([(start, change("a"))]);
        let Next::Post(first) = queue.next_post(&knobs, |_| Route::App, start) else { panic!("an update is due") };
        let body = first.wire.body.clone();
        queue.put_back(start, first);
        queue.put([(start, change("b"))]);

        let Next::Post(again) = queue.next_post(&knobs, |_| Route::App, start) else { panic!("the repeat is due") };

        assert_eq!(again.wire.body, body);
    }
}
