//! Taking a message in.
//!
//! 1. The platform's dialect reads the request.
//! 2. Which number is it from, whom is it for?
//! 3. A template: is it approved, in this language, and does the request fill it? When the list we have
//!    says no, one look-up may say otherwise.
//! 4. A test: is it to be sent at all?
//! 5. Does the person want it? If not: was it accepted before that was known?
//! 6. Seen before? Stored together with its neighbours, or recognised; only then "accepted".
//!
//! Whatever is refused on the way is kept with the answer, and is never sent later.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    directory::{Directory, Snapshot},
    lookup::{LookedUp, TemplateLookup},
    per_minute::PerMinute,
    statistics::Statistics,
    suppressions::Suppressions,
};
use crate::{
    clock,
    domain::{
        account::{Account, Sender, TestMessages},
        failure::{Refusal, RefusalKind},
        ids::MessageId,
        outbound::{Category, Content, Purpose, SendRequest},
        phone::PhoneNumber,
        queue::Waiting,
        template::TemplateContent,
    },
    platforms::{Accepted, Platform},
    settings::Limits,
    store::{
        Store,
        audit::AuditEntry,
        batch::{CommitError, Committer},
        outbound::{MessageKey, NewMessage},
        refused::RefusedRequest,
    },
    telemetry,
};

pub struct Acceptor {
    pub store: Store,
    pub directory: Arc<Directory>,
    pub committer: Committer,
    pub lookup: Arc<TemplateLookup>,
    pub suppressions: Arc<Suppressions>,
    pub statistics: Arc<Statistics>,
    pub limits: Limits,
    /// How long a request is known again.
    pub repeat_window: Duration,
    kept: PerMinute,
    strangers_kept: PerMinute,
    strangers_told: PerMinute,
}

/// Calls without the right credentials that are kept.
const STRANGERS_KEPT_PER_MINUTE: u32 = 60;
/// A look into the suppression list takes a caller's time.
const SUPPRESSION_LOOK_UP_MAX: Duration = Duration::from_millis(200);
/// Calls without the right credentials that are told in the log.
const STRANGERS_TOLD_PER_MINUTE: u32 = 60;
/// What is kept of each.
pub const STRANGER_BODY_BYTES_MAX: usize = 4096;

/// What became known of a request before it is stored.
#[derive(Default)]
pub(super) struct Judged {
    /// It is to be sent, whatever the account's policy says of tests.
    pub(super) always_sent: bool,
    /// As it was read; `None` when it could not be.
    pub(super) request: Option<SendRequest>,
}

/// What is to be done with a request that is not refused.
pub(super) enum Verdict {
    /// A test that nobody wants to be sent.
    OnlyChecked,
    /// It is answered as this message was, which it repeats.
    Repeat(MessageId),
    Take(Checked),
}

/// A request that was checked, and what is to be done with it.
pub(super) struct Checked {
    pub(super) sender: Arc<Sender>,
    pub(super) recipient: PhoneNumber,
    pub(super) category: Category,
    /// Name and language as the provider spells them, or as they were asked for when nothing is known of it.
    pub(super) template: Option<(String, String)>,
    send: bool,
}

impl Checked {
    /// By what a repeat is known again; none when the request's id is not its own.
    fn key(&self, request: &SendRequest) -> Option<MessageKey> {
        (request.purpose == Purpose::Message).then(|| {
            let sameness =
                Sameness { sender: self.sender.key.0, recipient: self.recipient.as_e164(), content: &request.content };
            let content = serde_json::to_vec(&sameness).expect("texts and numbers can be written as JSON");
            MessageKey::new(&request.platform_message_id, &content)
        })
    }
}

/// What makes two requests the same message.
#[derive(Serialize)]
struct Sameness<'a> {
    sender: i32,
    recipient: &'a str,
    content: &'a Content,
}

impl Acceptor {
    pub fn new(
        store: Store,
        directory: Arc<Directory>,
        committer: Committer,
        lookup: Arc<TemplateLookup>,
        (suppressions, statistics): (Arc<Suppressions>, Arc<Statistics>),
        (limits, repeat_window): (Limits, Duration),
    ) -> Self {
        Self {
            store,
            directory,
            committer,
            lookup,
            suppressions,
            statistics,
            limits,
            repeat_window,
            kept: PerMinute::default(),
            strangers_kept: PerMinute::default(),
            strangers_told: PerMinute::default(),
        }
    }

    /// Takes one request of an account whose caller has proved who it is. `arrived` starts the clock
    /// of the platform's patience.
    pub async fn accept(
        &self,
        platform: &dyn Platform,
        account: &Account,
        body: &[u8],
        arrived: Instant,
    ) -> Result<Accepted, Refusal> {
        let mut judged = Judged::default();
        let result = self.try_accept(platform, account, body, arrived, &mut judged).await;
        match &result {
            Ok(accepted) => {
                let how = match accepted {
                    Accepted { message: None, .. } => "checked",
                    Accepted { repeat: true, .. } => "repeat",
                    Accepted { .. } => "accepted",
                };
                metrics::counter!(telemetry::ACCEPTS, "result" => how).increment(1);
            }
            Err(refusal) => {
                metrics::counter!(telemetry::ACCEPTS, "result" => "refused").increment(1);
                let read = judged.request.map(|request| request.platform_message_id);
                self.keep_refused(account, body, read.or_else(|| platform.message_id_within(body)), refusal);
            }
        }
        result
    }

    async fn try_accept(
        &self,
        platform: &dyn Platform,
        account: &Account,
        body: &[u8],
        arrived: Instant,
        judged: &mut Judged,
    ) -> Result<Accepted, Refusal> {
        let checked = match self.judge(platform, account, body, judged).await? {
            Verdict::OnlyChecked => return Ok(Accepted { message: None, repeat: false }),
            Verdict::Repeat(first) => return Ok(Accepted { message: Some(first), repeat: true }),
            Verdict::Take(checked) => checked,
        };
        let request = judged.request.as_ref().expect("what is taken was read");
        let id = self.committer.next_id(clock::now());
        self.store(platform, account, request, checked, (id, body), arrived).await
    }

    /// Everything that is found out about a request before it is stored; nothing of it is kept. What became known on the way, also
    /// to a refusal, is left in `judged`.
    pub(super) async fn judge(
        &self,
        platform: &dyn Platform,
        account: &Account,
        body: &[u8],
        judged: &mut Judged,
    ) -> Result<Verdict, Refusal> {
        let request = &*judged.request.insert(platform.parse_send(account, body)?);
        if matches!(request.purpose, Purpose::Test { never_send: true, .. }) {
            return Ok(Verdict::OnlyChecked);
        }
        let snapshot = self.directory.snapshot();
        let checked = self.check(&snapshot, account, request).await?;
        if !checked.send && !judged.always_sent {
            return Ok(Verdict::OnlyChecked);
        }
        if let Err(refusal) = self.check_welcome(account, &checked.recipient, checked.category).await {
            let first = self.accepted_before(account, request, &checked).await;
            return first.map(Verdict::Repeat).ok_or(refusal);
        }
        Ok(Verdict::Take(checked))
    }

    /// Takes a test that somebody of ours wrote. It goes the way of the platform's tests, also where the account's tests are only
    /// checked, and its line in the audit log is there before it is.
    pub(super) async fn accept_test(
        &self,
        platform: &dyn Platform,
        account: &Account,
        body: &str,
        entry: impl FnOnce(MessageId, &PhoneNumber) -> AuditEntry,
    ) -> Result<MessageId, Refusal> {
        let arrived = Instant::now();
        let mut judged = Judged { always_sent: true, ..Judged::default() };
        let verdict = self.judge(platform, account, body.as_bytes(), &mut judged).await?;
        let (Verdict::Take(checked), Some(request)) = (verdict, judged.request) else {
            return Err(Refusal::new(
                RefusalKind::Other,
                "this is no test that could be sent; choose another template",
            ));
        };
        let id = self.committer.next_id(clock::now());
        self.store.note_in_audit(&entry(id, &checked.recipient)).await.map_err(|error| {
            tracing::error!(error = %telemetry::Chain(&error), "a test could not be written into the audit log");
            Refusal::new(RefusalKind::CannotStore, "the audit log cannot be written now; try again in a moment")
        })?;
        self.store(platform, account, &request, checked, (id, body.as_bytes()), arrived).await?;
        Ok(id)
    }

    async fn check(&self, snapshot: &Snapshot, account: &Account, request: &SendRequest) -> Result<Checked, Refusal> {
        let sender = sender_of(snapshot, account, &request.from)?;
        let recipient = PhoneNumber::parse(&request.to, account.policy.default_country.as_deref())
            .map_err(|error| Refusal::new(RefusalKind::PhoneNumber, format!("to: {error}")))?;
        if recipient == sender.number {
            let message = "to: the recipient is the business number itself; choose another recipient";
            return Err(Refusal::new(RefusalKind::PhoneNumber, message));
        }
        let (category, template) = match &request.content {
            Content::Freeform(_) => (Category::Freeform, None),
            Content::Template(content) => self.check_template(account, sender, content, request.purpose).await?,
        };
        let send = to_be_sent(account, request.purpose, &recipient);
        Ok(Checked { sender: sender.clone(), recipient, category, template, send })
    }

    /// Whether the person wants messages of this kind, or may be sent any. When nobody can tell in time the message is
    /// taken: it is asked again before it is sent.
    async fn check_welcome(
        &self,
        account: &Account,
        recipient: &PhoneNumber,
        category: Category,
    ) -> Result<(), Refusal> {
        let asked = self.suppressions.find(account.key, recipient, category);
        match tokio::time::timeout(SUPPRESSION_LOOK_UP_MAX, asked).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(suppression))) => Err(Refusal::new(RefusalKind::NotSubscribed, suppression.refusal())),
            Ok(Err(error)) => {
                tracing::warn!(error = %telemetry::Chain(&error), "could not look into the suppression list");
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// A repeat gets the first answer, whatever the person has wished since. What it is a repeat of is asked only where it
    /// would be refused, so nothing else pays for it; when nobody can tell in time it is refused.
    pub(super) async fn accepted_before(
        &self,
        account: &Account,
        request: &SendRequest,
        checked: &Checked,
    ) -> Option<MessageId> {
        let key = checked.key(request)?;
        let asked = self.store.accepted_before(account.key, key, self.repeat_window);
        match tokio::time::timeout(SUPPRESSION_LOOK_UP_MAX, asked).await {
            Ok(Ok(first)) => first,
            Ok(Err(error)) => {
                tracing::warn!(error = %telemetry::Chain(&error), "could not look for an earlier request");
                None
            }
            Err(_) => None,
        }
    }

    /// Checks a template against the list that we have, and when that says no, against a fresh one.
    async fn check_template(
        &self,
        account: &Account,
        sender: &Arc<Sender>,
        content: &TemplateContent,
        purpose: Purpose,
    ) -> Result<(Category, Option<(String, String)>), Refusal> {
        let tolerant = matches!(purpose, Purpose::Test { .. });
        if let Ok(found) = self.check_against_list(account, sender, content, purpose) {
            return Ok(found);
        }
        match self.lookup.look_up(sender, &content.name).await {
            LookedUp::Fresh => self.check_against_list(account, sender, content, purpose),
            // Known, and nothing says that the list is wrong. It may have come in the meantime, as after a start.
            LookedUp::NoAnswer if self.lookup.is_listed(sender, content) => {
                self.check_against_list(account, sender, content, purpose)
            }
            LookedUp::NoAnswer if tolerant => {
                let message = format!(
                    "template: {} is not in our list and the provider did not answer in time; the list is still syncing, try again in a minute",
                    content.name
                );
                Err(Refusal::new(RefusalKind::Template, message))
            }
            // Better late than never: it is looked up again when its turn comes.
            LookedUp::NoAnswer => {
                Ok((Category::NotKnownYet, Some((content.name.trim().to_owned(), content.language.trim().to_owned()))))
            }
        }
    }

    /// The template's category and exact name, when the list has it and the content fills it.
    fn check_against_list(
        &self,
        account: &Account,
        sender: &Sender,
        content: &TemplateContent,
        purpose: Purpose,
    ) -> Result<(Category, Option<(String, String)>), Refusal> {
        let filled = self.lookup.check(account, sender, content, purpose)?;
        Ok((filled.category, Some((filled.name, filled.language))))
    }

    async fn store(
        &self,
        platform: &dyn Platform,
        account: &Account,
        request: &SendRequest,
        checked: Checked,
        (id, body): (MessageId, &[u8]),
        arrived: Instant,
    ) -> Result<Accepted, Refusal> {
        // The platforms we serve write JSON, which is UTF-8.
        let body =
            std::str::from_utf8(body).map_err(|_| Refusal::new(RefusalKind::Other, "the request is not UTF-8"))?;
        if self.committer.expected_wait() > self.limits.accept_wait_expected {
            return Err(cannot_store(&CommitError::TooSlow));
        }
        let now = clock::now();
        let key = checked.key(request);
        let campaign = platform.grouping(&request.platform_message_id).map(|grouping| grouping.campaign);
        let template = checked.template.as_ref().map(|(name, language)| (name.as_str(), language.as_str()));
        let waiting =
            Waiting { account: account.key, sender: checked.sender.key, campaign: campaign.as_deref(), template };
        let paused = self.directory.queue_rules().pauses(&waiting, now);
        let message = NewMessage {
            id,
            account: account.key,
            sender: checked.sender.key,
            category: checked.category,
            platform_message_id: request.platform_message_id.clone(),
            campaign,
            recipient: checked.recipient,
            template: checked.template,
            request: body.to_owned(),
            expires_at: now.plus(account.policy.expire_after.of(checked.category)),
            key,
            paused,
        };
        let patience = self.limits.accept_wait.saturating_sub(arrived.elapsed());
        let stored = self.committer.accept(message, patience).await.map_err(|error| cannot_store(&error))?;
        if stored.odd {
            tracing::warn!(
                account.id = account.id, message.id = %stored.message, platform_message.id = request.platform_message_id,
                "{} came with the id of an earlier message and another recipient or content; it is sent", stored.message
            );
        }
        Ok(Accepted { message: Some(stored.message), repeat: stored.repeat })
    }

    fn keep_refused(&self, account: &Account, body: &[u8], platform_message_id: Option<String>, refusal: &Refusal) {
        let kind = kind_name(refusal.kind);
        metrics::counter!(telemetry::REFUSALS, "kind" => kind).increment(1);
        tracing::info!(
            account.id = account.id,
            platform_message.id = platform_message_id,
            refusal.kind = kind,
            "refused a request of {}: {}",
            account.id,
            refusal.message
        );
        self.keep(account, body, platform_message_id, refusal);
    }

    /// `false`: there is no room for it.
    fn keep(&self, account: &Account, body: &[u8], platform_message_id: Option<String>, refusal: &Refusal) -> bool {
        // What cannot be stored now cannot be stored as refused either.
        let keep = refusal.kind != RefusalKind::CannotStore && self.kept.one_more(self.limits.refused_kept_per_minute);
        if keep {
            self.committer.keep_refused(RefusedRequest {
                account: account.key,
                kind: kind_name(refusal.kind),
                platform_message_id,
                request: body.to_vec(),
                answer: refusal.message.clone(),
            });
        }
        keep
    }

    /// Refuses a call that did not prove to speak for the account, and tells and keeps (of at most
    /// [`STRANGER_BODY_BYTES_MAX`]) why: the first thing to ask about when nothing arrives. Anybody can make such
    /// calls, so few are told and kept, and little of each.
    pub fn refuse_caller(&self, stranger: &Stranger<'_>, body: &[u8], platform_message_id: Option<String>) -> Refusal {
        let refusal = Refusal::new(RefusalKind::Credentials, stranger.why.clone());
        if self.strangers_told.one_more(STRANGERS_TOLD_PER_MINUTE) {
            let id = stranger.account_id;
            tracing::warn!(account.id = id, "turned away a call for account {id:?}: {}", stranger.why);
        }
        metrics::counter!(telemetry::REFUSALS, "kind" => kind_name(refusal.kind)).increment(1);
        if let Some(account) = stranger.known
            && self.strangers_kept.one_more(STRANGERS_KEPT_PER_MINUTE)
            && self.keep(account, body, platform_message_id, &refusal)
        {
            self.statistics.refused(account.key);
        }
        refusal
    }
}

/// Somebody who may not speak for the account that he names.
pub struct Stranger<'a> {
    /// As it stood in the URL.
    pub account_id: &'a str,
    /// The account, if there is one of that name.
    pub known: Option<&'a Account>,
    /// For operators, never for the caller.
    pub why: String,
}

pub(super) fn sender_of<'a>(snapshot: &'a Snapshot, account: &Account, from: &str) -> Result<&'a Arc<Sender>, Refusal> {
    snapshot.sender_meant(account.key, from).ok_or_else(|| {
        let numbers: Vec<String> =
            snapshot.senders_of(account.key).iter().map(|sender| sender.number.as_e164().to_owned()).collect();
        let message = match numbers.as_slice() {
            [] => "wabaNumber: this account has no business number yet; add one at the bridge".to_owned(),
            numbers => format!("wabaNumber: {from:?} is not a number of this account; use {}", numbers.join(" or ")),
        };
        Refusal::new(RefusalKind::Other, message)
    })
}

/// A test is sent when a person seems to wait for it, unless the account's policy says otherwise.
fn to_be_sent(account: &Account, purpose: Purpose, recipient: &PhoneNumber) -> bool {
    let Purpose::Test { never_send, generated } = purpose else { return true };
    let dummy = account
        .policy
        .dummy_numbers
        .iter()
        .any(|number| PhoneNumber::from_international(number).as_ref() == Some(recipient));
    !never_send
        && match account.policy.test_messages {
            TestMessages::Deliver => true,
            TestMessages::Validate => false,
            TestMessages::Auto => !dummy && !generated,
        }
}

fn cannot_store(error: &CommitError) -> Refusal {
    tracing::warn!("could not accept a message: {error}");
    Refusal::new(RefusalKind::CannotStore, format!("could not store the message: {error}; try again in a moment"))
}

/// Every reason for which a request is kept as refused.
pub const KINDS_KEPT: [RefusalKind; 5] = [
    RefusalKind::Credentials,
    RefusalKind::Template,
    RefusalKind::PhoneNumber,
    RefusalKind::NotSubscribed,
    RefusalKind::Other,
];

/// One word for metrics and tables.
pub fn kind_name(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Credentials => "credentials",
        RefusalKind::Template => "template",
        RefusalKind::PhoneNumber => "phone_number",
        RefusalKind::NotSubscribed => "not_subscribed",
        RefusalKind::Other => "other",
        RefusalKind::CannotStore => "cannot_store",
    }
}
