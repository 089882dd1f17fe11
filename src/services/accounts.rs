//! What is done with an account beside changing its fields: adding one, a new passcode, a test of its callback URLs.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    configure::{Configuring, Kind, Patch, Subject, Written, missing},
    operators::{FieldProblem, Refusal, require},
    per_minute::PerMinute,
};
use crate::{
    clock,
    domain::{
        account::Account,
        attempt::{Attempt, AttemptOutcome},
        callback::EventKind,
        duration::written,
        ids::SubscriptionKey,
        operator::{Actor, Permission},
        phone::PhoneNumber,
        time::UnixMillis,
    },
    net::{
        exchange::{Exchange, Method, OutgoingRequest},
        redact,
    },
    platforms,
    store::{Store, audit::AuditEntry, configuration::Configuration},
};

/// An old passcode that is taken for longer is none that was replaced.
pub const OLD_PASSCODE_KEPT_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Callback URLs that an instance tests in a minute: the other side belongs to somebody else.
pub const TESTS_PER_MINUTE_MAX: u32 = 6;
/// So much of an answer is shown.
const ANSWER_CHARS_MAX: usize = 2_000;
const PASSCODE_BYTES: usize = 24;

/// The service.
pub struct Accounts {
    store: Store,
    configuring: Arc<Configuring>,
    /// The door to platforms.
    exchange: Exchange,
    tests: PerMinute,
}

/// An account that was added, or that has another passcode.
#[derive(Debug)]
pub struct WithPasscode {
    pub written: Written,
    /// The passcode, when it was made here: it is shown this once.
    pub made: Option<String>,
    /// Until when those before it are taken.
    pub old_until: Option<UnixMillis>,
}

/// A callback URL was tried.
#[derive(Debug)]
pub struct TestedCallback {
    pub kind: EventKind,
    /// Scheme and host.
    pub url: String,
    /// What went out.
    pub body: String,
    pub started_at: UnixMillis,
    pub took: Duration,
    /// What came back, or why nothing did.
    pub answer: Result<TestAnswer, String>,
}

#[derive(Debug)]
pub struct TestAnswer {
    pub http_status: u16,
    /// Its beginning.
    pub body: String,
}

impl TestAnswer {
    /// Whether a callback would count as told.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.http_status)
    }
}

impl Accounts {
    pub fn new(store: Store, configuring: Arc<Configuring>, exchange: Exchange) -> Self {
        Self { store, configuring, exchange, tests: PerMinute::default() }
    }

    /// Adds an account. One that is given nothing by which a platform could show who it is gets a passcode.
    pub async fn add(&self, actor: &Actor, patch: &Patch) -> Result<WithPasscode, Refusal> {
        let mut patch = patch.clone();
        let platform = patch.get("platform").and_then(Value::as_str).unwrap_or_default();
        let passcode = format!("{platform}_passcode");
        let keys = [passcode.as_str(), "basic_username", "bearer_token", "url_token", "headers"];
        // Without a platform there is nothing to make one for; what is missing is said when it is read.
        let needs_one = platforms::find(platform).is_some()
            && !keys.iter().any(|key| patch.get(*key).is_some_and(|value| !value.is_null()));
        let made = needs_one.then(new_passcode);
        patch.extend(made.iter().map(|made| (passcode.clone(), made.as_str().into())));
        let written = self.configuring.add(actor, Kind::Account, &patch).await?;
        Ok(WithPasscode { written, made, old_until: None })
    }

    /// Gives an account another passcode, one that is made here unless somebody chose it. Those that it has are taken for a while.
    pub async fn rotate_passcode(
        &self,
        actor: &Actor,
        id: &str,
        chosen: Option<&str>,
        keep_old: Duration,
    ) -> Result<WithPasscode, Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        if keep_old > OLD_PASSCODE_KEPT_MAX {
            let most = written(OLD_PASSCODE_KEPT_MAX);
            return Err(Refusal::Invalid {
                field: "keep_old",
                text: format!("an old passcode is kept for at most {most}: say for how long, like 24h"),
            });
        }
        let subject = Subject::Account(id.to_owned());
        let stored = self.configuring.stored(actor).await?;
        let account = stored.account(id).ok_or_else(|| missing(&subject))?;
        let version = self.configuring.seen_in(&stored, &subject).map(|seen| seen.version);
        let old: Vec<&str> = account.credentials.passcodes.iter().map(|passcode| passcode.expose_secret()).collect();
        if chosen.is_some_and(|chosen| old.contains(&chosen)) {
            let text =
                "this is the passcode that it has: choose another, or leave it empty to have one made".to_owned();
            return Err(Refusal::Invalid { field: "passcode", text });
        }
        let made = chosen.is_none().then(new_passcode);
        let old_until = (!keep_old.is_zero() && !old.is_empty()).then(|| clock::now().plus(keep_old));
        let key = format!("{}_passcode", account.platform);
        let old_key = format!("{}_old_passcode", account.platform);
        let patch: Patch = [
            (key.clone(), json!(chosen.or(made.as_deref()))),
            (old_key.clone(), old_until.map_or(Value::Null, |_| json!(old))),
            (format!("{old_key}_until"), json!(old_until.map(|until| until.to_string()))),
        ]
        .into_iter()
        .collect();
        let changed = self.configuring.change(actor, &subject, &patch, version.as_deref()).await;
        let written = changed.map_err(|refusal| named(refusal, &key))?;
        Ok(WithPasscode { written, made, old_until })
    }

    /// Sends a test to a callback URL of an account, or of one of its numbers, and says what was answered.
    pub async fn test_callback(
        &self,
        actor: &Actor,
        id: &str,
        kind: EventKind,
        number: Option<&PhoneNumber>,
    ) -> Result<TestedCallback, Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        let stored = self.configuring.stored(actor).await?;
        let account = stored.account(id).ok_or_else(|| missing(&Subject::Account(id.to_owned())))?;
        let (subscription, url, body) = self.test_request(&stored, account, kind, number)?;
        if !self.tests.one_more(TESTS_PER_MINUTE_MAX) {
            let text = format!("at most {TESTS_PER_MINUTE_MAX} tests are sent in a minute: wait a moment");
            return Err(Refusal::Conflict(text));
        }
        let request = OutgoingRequest {
            method: Method::Post,
            url: &url,
            headers: vec![],
            body: Some(body.clone().into()),
            timeout: self.exchange.request_timeout(),
        };
        let exchanged = self.exchange.send(request).await;
        let answer = match exchanged.result {
            Ok(answer) => Ok(TestAnswer { http_status: answer.status, body: beginning(&answer.body) }),
            Err(no_answer) => Err(redact::text(&no_answer.to_string())),
        };
        let outcome = match &answer {
            Ok(answer) => json!({"http_status": answer.http_status}),
            Err(why) => json!({"no_answer": why}),
        };
        let entry = AuditEntry::new(actor, "test callback URL", format!("{id}, {}", kind.as_str())).after(outcome);
        self.store.note_in_audit(&entry).await?;
        let (started_at, took) = (exchanged.started_at, exchanged.took);
        let (outcome, http_status, note) = match &answer {
            Ok(answer) if (200..300).contains(&answer.http_status) => {
                (AttemptOutcome::Succeeded, Some(answer.http_status), noted(answer))
            }
            Ok(answer) => (AttemptOutcome::Refused, Some(answer.http_status), noted(answer)),
            Err(why) => (AttemptOutcome::NoAnswer, None, why.clone()),
        };
        let attempt = Attempt { started_at, took, outcome, http_status, note, excerpt: None };
        self.store.keep_test_exchange(subscription, &attempt).await?;
        Ok(TestedCallback { kind, url: redact::url(&url), body, started_at, took, answer })
    }

    /// Which URL a test is for, where it goes, and what it says.
    fn test_request(
        &self,
        stored: &Configuration,
        account: &Account,
        kind: EventKind,
        number: Option<&PhoneNumber>,
    ) -> Result<(SubscriptionKey, String, String), Refusal> {
        let mut own = stored.senders.iter().filter(|sender| sender.account == account.key);
        let sender = match number {
            None => None,
            Some(number) => {
                let found = own.clone().find(|sender| sender.number == *number);
                let text = || format!("account {} has no number {}", account.id, number.as_e164());
                Some(found.ok_or_else(|| Refusal::Invalid { field: "number", text: text() })?)
            }
        };
        let mut urls = stored.subscriptions.iter();
        let wanted = sender.map(|sender| sender.key);
        let found = urls.find(|one| one.account == account.key && one.kind == kind && one.sender == wanted);
        let Some(subscription) = found else {
            let text = "there is no such callback URL: enter and save it first".to_owned();
            return Err(Refusal::Conflict(text));
        };
        let Some(number) = sender.or_else(|| own.next()).map(|sender| &sender.number) else {
            return Err(Refusal::Conflict(
                "a test is sent in the name of one of the account's numbers, and it has none yet: add a number first"
                    .to_owned(),
            ));
        };
        let unknown = || Refusal::Conflict(format!("this version knows no platform {}", subscription.dialect));
        let platform = platforms::find(&subscription.dialect).ok_or_else(unknown)?;
        let body = platform.render_callback_test(account, kind, number, clock::now()).map_err(Refusal::Conflict)?;
        Ok((subscription.key, subscription.url.expose_secret().to_owned(), body))
    }
}

/// A problem of the new passcode, under the name that it has for whoever asked.
fn named(refusal: Refusal, key: &str) -> Refusal {
    match refusal {
        Refusal::Problems(problems) => {
            let rename = |problem: FieldProblem| match problem.field == key {
                true => FieldProblem::new("passcode", problem.message),
                false => problem,
            };
            Refusal::Problems(problems.into_iter().map(rename).collect())
        }
        refusal @ (Refusal::NotAllowed(_)
        | Refusal::NotFound(_)
        | Refusal::Invalid { .. }
        | Refusal::Conflict(_)
        | Refusal::Meanwhile(_)
        | Refusal::WrongPassword
        | Refusal::TooManyTries { .. }
        | Refusal::Busy
        | Refusal::Store(_)) => refusal,
    }
}

fn new_passcode() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; PASSCODE_BYTES]>())
}

/// As the relaying of events notes an answer.
fn noted(answer: &TestAnswer) -> String {
    match answer.body.trim() {
        "" => format!("HTTP {}", answer.http_status),
        said => format!("HTTP {}: {said}", answer.http_status),
    }
}

fn beginning(body: &[u8]) -> String {
    redact::text(&String::from_utf8_lossy(body).chars().take(ANSWER_CHARS_MAX).collect::<String>())
}
