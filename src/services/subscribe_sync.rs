//! Telling platforms who must not be sent to, and who may be again.
//!
//! What has to be told lies in the suppression list itself. For each account that wants it one request at a time is
//! on its way; when nobody answers, or not well, the same people are told again after a wait that grows. People whom the
//! platform refuses are marked and shown. A batch that is refused as a whole is halved until the one stands alone.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::directory::Directory;
use crate::{
    clock,
    domain::{account::Account, ids::AccountKey, retry::Schedule},
    net::{
        exchange::{Exchange, Method, OutgoingRequest},
        redact,
    },
    platforms::{self, Platform, Subscriber, SubscriberAnswer},
    store::{
        Store, StoreError,
        suppression_syncs::{ToldOutcome, Untold},
    },
    telemetry,
};

pub struct SubscribeSync {
    pub store: Store,
    pub directory: Arc<Directory>,
    pub exchange: Exchange,
    pub retries: Schedule,
}

/// Between two looks for something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// An answer that lists a whole batch as refused.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// After so many people refused one after the other it is something else that is refused.
const REFUSED_ALONE_MAX: usize = 3;
/// What is quoted of an answer that is no success.
const QUOTED_CHARS_MAX: usize = 200;

/// How telling one account's platform goes.
struct Course {
    failures: usize,
    not_before: Instant,
    /// People in the next request, at most.
    people_max: usize,
    /// Requests about one person that were refused since one was taken.
    refused_alone: usize,
}

impl Default for Course {
    fn default() -> Self {
        Self { failures: 0, not_before: Instant::now(), people_max: usize::MAX, refused_alone: 0 }
    }
}

/// Why people could not be told of.
enum Failed {
    /// Later, or when somebody has mended it.
    Again { why: String, retry_after: Option<Duration> },
    /// There is something in it that the platform will never take.
    Refused { why: String },
}

impl SubscribeSync {
    /// Tells what there is to tell until `stop`, as long as `goes_on`.
    pub async fn run(&self, stop: &CancellationToken, goes_on: impl Fn() -> bool) {
        let mut courses: HashMap<AccountKey, Course> = HashMap::new();
        while !stop.is_cancelled() && goes_on() {
            let snapshot = self.directory.snapshot();
            let wanting: Vec<Arc<Account>> =
                snapshot.accounts().filter(|account| account.policy.subscribe_sync.enabled).cloned().collect();
            let due = wanting.into_iter().map(|account| {
                let course = courses.remove(&account.key).unwrap_or_default();
                self.tell_account(account, course)
            });
            let mut more = false;
            for (account, course, went_on) in futures_util::future::join_all(due).await {
                courses.insert(account, course);
                more |= went_on;
            }
            if !more {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        }
    }

    /// One request for an account, when there is something to tell and the time has come. Says whether it may go on at once.
    async fn tell_account(&self, account: Arc<Account>, mut course: Course) -> (AccountKey, Course, bool) {
        if course.not_before > Instant::now() {
            return (account.key, course, false);
        }
        let went_on = match self.tell(&account, &mut course).await {
            Ok(went_on) => went_on,
            Err(error) => {
                tracing::error!(account.id = account.id, error = %telemetry::Chain(&error), "could not read what {}'s platform is to be told", account.id);
                false
            }
        };
        (account.key, course, went_on)
    }

    async fn tell(&self, account: &Account, course: &mut Course) -> Result<bool, StoreError> {
        let Some(platform) = platforms::find(&account.platform) else { return Ok(false) };
        let people_max = platform.subscribers_per_request_max().min(course.people_max);
        let untold = self.store.untold(account.key, people_max).await?;
        if untold.is_empty() {
            return Ok(false);
        }
        match self.ask(platform, account, &untold).await {
            Ok(answer) => {
                self.note_answer(account, &untold, &answer).await?;
                course.failures = 0;
                course.refused_alone = 0;
                course.people_max = course.people_max.saturating_mul(2);
                Ok(true)
            }
            Err(Failed::Refused { .. }) if untold.len() > 1 => {
                course.people_max = untold.len() / 2;
                Ok(true)
            }
            // One after the other: it is not they who are refused.
            Err(Failed::Refused { why }) if course.refused_alone >= REFUSED_ALONE_MAX => {
                self.wait(account, course, untold.len(), &why, None).await?;
                Ok(false)
            }
            Err(Failed::Refused { why }) => {
                course.refused_alone += 1;
                let outcomes: Vec<_> =
                    untold.iter().map(|told| ToldOutcome { told, refused: Some(why.as_str()) }).collect();
                self.store.note_told(account.key, &outcomes, clock::now()).await?;
                Ok(true)
            }
            Err(Failed::Again { why, retry_after }) => {
                self.wait(account, course, untold.len(), &why, retry_after).await?;
                Ok(false)
            }
        }
    }

    /// Notes that nobody could be told, and when to try again.
    async fn wait(
        &self,
        account: &Account,
        course: &mut Course,
        people: usize,
        why: &str,
        retry_after: Option<Duration>,
    ) -> Result<(), StoreError> {
        course.failures += 1;
        let wait = self.retries.wait_repeating(course.failures, retry_after, rand::random());
        course.not_before = Instant::now() + wait;
        tracing::warn!(
            account.id = account.id,
            "could not tell {}'s platform about {people} people, trying again in {} s: {why}",
            account.id,
            wait.as_secs()
        );
        self.store.note_untold(account.key, why, clock::now()).await
    }

    async fn ask(
        &self,
        platform: &dyn Platform,
        account: &Account,
        untold: &[Untold],
    ) -> Result<SubscriberAnswer, Failed> {
        let people: Vec<Subscriber<'_>> =
            untold.iter().map(|one| Subscriber { phone: &one.phone, welcome: one.welcome }).collect();
        let again = |why| Failed::Again { why, retry_after: None };
        let request = platform.render_subscribers(account, &people).map_err(again)?;
        let exchanged = self
            .exchange
            .reading_up_to(ANSWER_BYTES_MAX)
            .send(OutgoingRequest {
                method: Method::Post,
                url: &request.url,
                headers: request.headers,
                body: Some(request.body),
                timeout: self.exchange.request_timeout(),
            })
            .await;
        let answer = exchanged.result.map_err(|no_answer| again(no_answer.to_string()))?;
        let said = || -> String {
            let text = redact::text(&String::from_utf8_lossy(&answer.body));
            format!("HTTP {}: {}", answer.status, text.chars().take(QUOTED_CHARS_MAX).collect::<String>())
        };
        match answer.status {
            200..=299 => platform.read_subscribers(&answer.body).map_err(again),
            400 | 413 | 422 => Err(Failed::Refused { why: said() }),
            _ => Err(Failed::Again { why: said(), retry_after: answer.retry_after }),
        }
    }

    async fn note_answer(
        &self,
        account: &Account,
        untold: &[Untold],
        answer: &SubscriberAnswer,
    ) -> Result<(), StoreError> {
        let refused: HashMap<_, _> = answer.refused.iter().map(|one| (&one.phone, one.why.as_str())).collect();
        let outcomes: Vec<_> =
            untold.iter().map(|told| ToldOutcome { told, refused: refused.get(&told.phone).copied() }).collect();
        self.store.note_told(account.key, &outcomes, clock::now()).await?;
        tracing::info!(
            account.id = account.id,
            "told {}'s platform about {} people; it refused {}",
            account.id,
            untold.len(),
            refused.len()
        );
        if let Some(why) = answer.refused_unnamed.first() {
            let many = answer.refused_unnamed.len();
            let why = format!("it refused {many} people without saying whom: {why}");
            self.store.note_untold(account.key, &why, clock::now()).await?;
        }
        Ok(())
    }
}
