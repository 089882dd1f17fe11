//! Telling platforms who must not be sent to, and who may be again.
//!
//! What has to be told lies in the suppression list itself. For each account that wants it one request at a time is
//! on its way; when nobody answers, or not well, the same people are told again after a wait that grows. People whom the
//! platform refuses are marked and shown. A batch that is refused as a whole is halved until the one stands alone.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;

use super::directory::{Directory, Snapshot};
use crate::{
    clock,
    domain::{account::Account, ids::AccountKey, retry::Schedule},
    net::exchange::{Exchange, Method, OutgoingRequest},
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

/// Platforms that are told of at the same time. Each of them may take a whole timeout.
const ACCOUNTS_AT_ONCE_MAX: usize = 16;

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

/// The accounts whose time has come and of whom nobody is talking, those first that have waited longest.
fn due(snapshot: &Snapshot, courses: &HashMap<AccountKey, Course>, talking: &HashSet<AccountKey>) -> Vec<Arc<Account>> {
    let now = Instant::now();
    let not_before = |account: &Arc<Account>| courses.get(&account.key).map(|course| course.not_before);
    let wanting = snapshot.accounts().filter(|account| account.policy.subscribe_sync.enabled);
    let mut due: Vec<Arc<Account>> = wanting
        .filter(|account| !talking.contains(&account.key) && not_before(account) <= Some(now))
        .cloned()
        .collect();
    due.sort_by_key(not_before);
    due
}

impl SubscribeSync {
    /// Tells what there is to tell until `stop`, as long as `goes_on`. Accounts wait for their own platforms only.
    pub async fn run(&self, stop: &CancellationToken, goes_on: impl Fn() -> bool) {
        let mut courses: HashMap<AccountKey, Course> = HashMap::new();
        let mut talks = FuturesUnordered::new();
        let mut talking: HashSet<AccountKey> = HashSet::new();
        while !stop.is_cancelled() && goes_on() {
            let snapshot = self.directory.snapshot();
            courses.retain(|account, _| snapshot.account_by_key(*account).is_some());
            let places = ACCOUNTS_AT_ONCE_MAX - talking.len();
            for account in due(&snapshot, &courses, &talking).into_iter().take(places) {
                let course = courses.remove(&account.key).unwrap_or_default();
                talking.insert(account.key);
                talks.push(self.tell_account(account, course));
            }
            // What is cut off here is told again by whoever goes on: nothing was written down of it.
            tokio::select! {
                () = stop.cancelled() => {}
                Some((account, course)) = talks.next() => {
                    talking.remove(&account);
                    courses.insert(account, course);
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// One request for an account, when there is something to tell.
    async fn tell_account(&self, account: Arc<Account>, mut course: Course) -> (AccountKey, Course) {
        let went_on = match self.tell(&account, &mut course).await {
            Ok(went_on) => went_on,
            Err(error) => {
                tracing::error!(account.id = account.id, error = %telemetry::Chain(&error), "could not read what {}'s platform is to be told", account.id);
                false
            }
        };
        if !went_on {
            course.not_before = course.not_before.max(Instant::now() + LOOK_EVERY);
        }
        (account.key, course)
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
                headers: request.headers.into_iter().map(|(name, value)| (name.into(), value)).collect(),
                body: Some(request.body.into()),
                timeout: self.exchange.request_timeout(),
            })
            .await;
        let answer = exchanged.result.map_err(|no_answer| again(no_answer.to_string()))?;
        match answer.status {
            200..=299 => platform.read_subscribers(&answer.body).map_err(again),
            400 | 413 | 422 => Err(Failed::Refused { why: answer.in_words() }),
            _ => Err(Failed::Again { why: answer.in_words(), retry_after: answer.retry_after }),
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
