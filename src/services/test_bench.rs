//! Trying things out: a test to a phone, a test that is only checked, and a request that somebody pasted.
//!
//! A test becomes a request in the platform's own shape and with the id of the platform's tests, and goes where all requests go:
//! checked, stored, queued, paced, sent, with a story, and not reported. What is only checked passes the very same checks;
//! nothing of it is kept. An [`Explanation`] says what the platform would be answered, what was found on the way, and what the provider
//! would be asked.

use std::sync::Arc;

use serde_json::json;

use super::{
    accept::{Acceptor, Checked, Judged, Verdict, kind_name, sender_of},
    directory::Snapshot,
    operators::{Refusal, require},
    per_minute::PerMinute,
};
use crate::{
    domain::{
        account::{Account, Sender},
        failure::{Refusal as Answered, RefusalKind},
        fill::{Difference, Harm, differences},
        ids::MessageId,
        operator::{Actor, Permission},
        outbound::{Category, Content, OutboundMessage, Purpose, SendBody, SendRequest},
        phone::PhoneNumber,
        preview::filled_text,
        template::{Template, TemplateContent, resolve},
    },
    platforms::{self, Accepted, Platform, Reply},
    providers::{self, RenderedRequest},
    store::audit::AuditEntry,
};

/// Tests that are sent to phones, by all people together. They cost money, and take from a number's pace.
pub const TESTS_PER_MINUTE: u32 = 10;
/// Requests that are only checked. Each may ask the provider for a template that nobody knows.
pub const CHECKS_PER_MINUTE: u32 = 120;
/// A pasted text that is longer is no message.
pub const PASTED_BYTES_MAX: usize = 48 * 1024;

/// Counts what is tried out.
#[derive(Default)]
pub struct TestBench {
    sent: PerMinute,
    checked: PerMinute,
}

/// A message that somebody wants to try out.
#[derive(Clone, Debug)]
pub struct Test {
    pub from: Arc<Sender>,
    /// As typed.
    pub to: String,
    pub content: TemplateContent,
}

/// What came of a test that was to be sent.
pub enum Tried {
    Sent(MessageId),
    Refused(Box<Explanation>),
}

/// What would come of a request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The platform's request.
    pub request: String,
    /// What the platform would be told.
    pub reply: Reply,
    pub outcome: Outcome,
    /// In the order in which they are made.
    pub checks: Vec<Check>,
    /// Where the template has another shape than the request.
    pub differences: Vec<Difference>,
    /// The template that is meant, when there is one, with what would be put in.
    pub template: Option<(Template, TemplateContent)>,
    /// The request that would be made to the provider, if it were sent now.
    pub provider: Option<RenderedRequest>,
}

/// What would become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    OnlyChecked,
    Repeat(MessageId),
    Refused { why: &'static str, text: String },
}

/// Something that is looked at before a request is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub state: CheckState,
    /// What was found, or what is wrong and what to do.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    Fine,
    Wrong,
    /// Something before it was wrong.
    NotReached,
}

impl CheckState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Wrong => "wrong",
            Self::NotReached => "not_reached",
        }
    }
}

/// The id that stands in a request to the provider for the one that the message would get.
const NO_ID_YET: MessageId = MessageId(0);

impl TestBench {
    /// Sends a test to a phone.
    pub async fn send(&self, acceptor: &Acceptor, actor: &Actor, test: &Test) -> Result<Tried, Refusal> {
        require(actor, Permission::SendTests)?;
        let snapshot = acceptor.directory.snapshot();
        let (account, platform) = account_and_platform(&snapshot, test)?;
        if !account.enabled {
            let text = format!("account {} is disabled; enable it before you send from its numbers", account.id);
            return Err(Refusal::Conflict(text));
        }
        let request = written(acceptor, platform, test);
        let explanation = self.explain(acceptor, actor, account, &request).await?;
        if let Outcome::Refused { .. } = explanation.outcome {
            return Ok(Tried::Refused(Box::new(explanation)));
        }
        if !self.sent.one_more(TESTS_PER_MINUTE) {
            let text = format!("at most {TESTS_PER_MINUTE} tests are sent a minute; wait for the next one");
            return Err(Refusal::Conflict(text));
        }
        let entry = |id: MessageId, to: &PhoneNumber| {
            // Masked, as it is wherever it stands for long.
            AuditEntry::new(actor, "send test message", id.to_string()).after(json!({
                "template": test.content.name, "language": test.content.language,
                "from": test.from.number.as_e164(), "to": to.to_string(),
            }))
        };
        match acceptor.accept_test(platform, account, &request, entry).await {
            Ok(id) => Ok(Tried::Sent(id)),
            // Something has changed since it was checked.
            Err(answered) if answered.kind == RefusalKind::CannotStore => Err(Refusal::Conflict(answered.message)),
            Err(answered) => {
                let outcome = Outcome::Refused { why: kind_name(answered.kind), text: answered.message.clone() };
                let reply = platform.reply(Err(&answered));
                Ok(Tried::Refused(Box::new(Explanation { outcome, reply, ..explanation })))
            }
        }
    }

    /// Checks a test as it would be checked, and sends nothing.
    pub async fn validate(&self, acceptor: &Acceptor, actor: &Actor, test: &Test) -> Result<Explanation, Refusal> {
        require(actor, Permission::SendTests)?;
        let snapshot = acceptor.directory.snapshot();
        let (account, platform) = account_and_platform(&snapshot, test)?;
        let request = written(acceptor, platform, test);
        self.explain(acceptor, actor, account, &request).await
    }

    /// What would come of a request that somebody pasted, if the account's platform sent it now.
    pub async fn explain(
        &self,
        acceptor: &Acceptor,
        actor: &Actor,
        account: &Account,
        request: &str,
    ) -> Result<Explanation, Refusal> {
        require(actor, Permission::SendTests)?;
        if request.trim().is_empty() {
            let text = "paste what CleverTap sends: its whole JSON document".to_owned();
            return Err(Refusal::Invalid { field: "payload", text });
        }
        if request.len() > PASTED_BYTES_MAX {
            let text = format!("a request has at most {PASTED_BYTES_MAX} bytes here");
            return Err(Refusal::Invalid { field: "payload", text });
        }
        if !self.checked.one_more(CHECKS_PER_MINUTE) {
            let text = format!("at most {CHECKS_PER_MINUTE} requests are checked a minute; wait for the next one");
            return Err(Refusal::Conflict(text));
        }
        let Some(platform) = platforms::find(&account.platform) else {
            return Err(Refusal::Conflict(format!("this version knows no platform {}", account.platform)));
        };
        let snapshot = acceptor.directory.snapshot();
        let mut judged = Judged::default();
        let verdict = acceptor.judge(platform, account, request.as_bytes(), &mut judged).await;
        let explained =
            Explained { acceptor, platform, account, snapshot: &snapshot, request: judged.request.as_ref() };
        Ok(explained.tell(request, verdict).await)
    }
}

fn account_and_platform<'a>(
    snapshot: &'a Snapshot,
    test: &Test,
) -> Result<(&'a Arc<Account>, &'static dyn Platform), Refusal> {
    let account = snapshot.account_by_key(test.from.account);
    let account =
        account.ok_or_else(|| Refusal::NotFound("the number's account does not exist any more".to_owned()))?;
    let platform = platforms::find(&account.platform);
    let unknown = || Refusal::Conflict(format!("this version knows no platform {}", account.platform));
    Ok((account, platform.ok_or_else(unknown)?))
}

/// The platform's request for a test, with the text that it would show.
fn written(acceptor: &Acceptor, platform: &dyn Platform, test: &Test) -> String {
    let templates = acceptor.directory.templates(&test.from);
    let resolved = resolve(&templates, &test.content.name, &test.content.language).ok();
    let body_text = resolved.map(|resolved| filled_text(&resolved.template.components.body, &test.content.body));
    let content = TemplateContent { body_text, ..test.content.clone() };
    platform.write_test(&test.from.number, &test.to, &Content::Template(content))
}

/// A request that was judged, and what it was judged by.
struct Explained<'a> {
    acceptor: &'a Acceptor,
    platform: &'a dyn Platform,
    account: &'a Account,
    snapshot: &'a Snapshot,
    request: Option<&'a SendRequest>,
}

/// What the checks are called.
const READING: &str = "The request";
const NUMBER: &str = "From which number";
const RECIPIENT: &str = "To whom";
const TEMPLATE: &str = "The template";
const PERSON: &str = "Does the person want it";

impl Explained<'_> {
    async fn tell(&self, request: &str, verdict: Result<Verdict, Answered>) -> Explanation {
        let sender = self.request.and_then(|request| sender_of(self.snapshot, self.account, &request.from).ok());
        let template = sender.zip(self.request).and_then(|(sender, request)| self.template(sender, request));
        let mut differences =
            template.as_ref().map_or_else(Vec::new, |(template, content)| differences(template, content));
        // Where it was taken, nothing was missed: the account's rules have put it right.
        differences.retain(|difference| verdict.is_err() || difference.harm != Harm::Refused);
        let provider = match &verdict {
            Ok(Verdict::Take(checked)) => self.rendered(&checked.sender, &checked.recipient),
            Ok(Verdict::OnlyChecked | Verdict::Repeat(_)) => self.rendered_anyway(),
            Err(_) => None,
        };
        let (outcome, reply) = self.outcome(&verdict).await;
        let refusal = verdict.as_ref().err();
        Explanation {
            request: request.to_owned(),
            reply,
            outcome,
            checks: self.checks(sender, template.as_ref().map(|(template, _)| template), refusal),
            differences,
            template,
            provider,
        }
    }

    async fn outcome(&self, verdict: &Result<Verdict, Answered>) -> (Outcome, Reply) {
        let accepted = |message, repeat| self.platform.reply(Ok(&Accepted { message, repeat }));
        // Its platform is a stranger then, whatever it sends.
        if !self.account.enabled {
            let text = format!("account {} is disabled: enable it", self.account.id);
            let answered = Answered::new(RefusalKind::Credentials, text.clone());
            return (Outcome::Refused { why: kind_name(answered.kind), text }, self.platform.reply(Err(&answered)));
        }
        match verdict {
            Ok(Verdict::OnlyChecked) => (Outcome::OnlyChecked, accepted(None, false)),
            Ok(Verdict::Repeat(first)) => (Outcome::Repeat(*first), accepted(Some(*first), true)),
            Ok(Verdict::Take(checked)) => match self.repeated(checked).await {
                Some(first) => (Outcome::Repeat(first), accepted(Some(first), true)),
                None => (Outcome::Sent, accepted(Some(NO_ID_YET), false)),
            },
            Err(answered) => {
                let outcome = Outcome::Refused { why: kind_name(answered.kind), text: answered.message.clone() };
                (outcome, self.platform.reply(Err(answered)))
            }
        }
    }

    async fn repeated(&self, checked: &Checked) -> Option<MessageId> {
        self.acceptor.accepted_before(self.account, self.request?, checked).await
    }

    /// The template that is meant, also when it cannot be sent.
    fn template(&self, sender: &Sender, request: &SendRequest) -> Option<(Template, TemplateContent)> {
        let Content::Template(content) = &request.content else { return None };
        let templates = self.acceptor.directory.templates(sender);
        let resolved = resolve(&templates, &content.name, &content.language).ok().map(|resolved| resolved.template);
        let same = |template: &&Template| template.name == content.name && template.language == content.language;
        let template = resolved.or_else(|| templates.iter().find(same))?;
        Some((template.clone(), content.clone()))
    }

    /// What the provider would be asked, as the dispatcher would ask it.
    fn rendered(&self, sender: &Sender, to: &PhoneNumber) -> Option<RenderedRequest> {
        let request = self.request?;
        let body = match &request.content {
            Content::Freeform(message) => SendBody::Freeform(message.clone()),
            Content::Template(content) => {
                let filled = self.acceptor.lookup.check(self.account, sender, content, request.purpose).ok()?;
                SendBody::Template(filled)
            }
        };
        let message = OutboundMessage { id: NO_ID_YET, to: to.clone(), body, conversation: None };
        let provider = providers::find(&sender.connection.provider)?;
        Some(provider.render_send(sender, &message, false))
    }

    fn rendered_anyway(&self) -> Option<RenderedRequest> {
        let request = self.request?;
        let sender = sender_of(self.snapshot, self.account, &request.from).ok()?;
        let to = PhoneNumber::parse(&request.to, self.account.policy.default_country.as_deref()).ok()?;
        self.rendered(sender, &to)
    }

    /// What was looked at, up to what was wrong. A refusal's kind says where that was.
    fn checks(
        &self,
        sender: Option<&Arc<Sender>>,
        template: Option<&Template>,
        refusal: Option<&Answered>,
    ) -> Vec<Check> {
        let stumbled = refusal.map(|refusal| match refusal.kind {
            _ if self.request.is_none() => READING,
            _ if sender.is_none() => NUMBER,
            RefusalKind::PhoneNumber => RECIPIENT,
            RefusalKind::NotSubscribed => PERSON,
            RefusalKind::Template | RefusalKind::Other | RefusalKind::Credentials | RefusalKind::CannotStore => {
                TEMPLATE
            }
        });
        let mut after = false;
        let mut checks = Vec::new();
        for (name, found) in [
            (READING, self.request.map(|request| self.reading(request))),
            (NUMBER, sender.map(|sender| format!("{} of account {}", sender.number.as_e164(), self.account.id))),
            (RECIPIENT, self.request.map(|request| self.recipient(request))),
            (TEMPLATE, self.request.map(|request| content_found(request, template))),
            (PERSON, Some("nothing says that they do not; it is asked again before it is sent".to_owned())),
        ] {
            let is_here = stumbled == Some(name);
            let state = match (is_here, after) {
                (true, _) => CheckState::Wrong,
                (false, true) => CheckState::NotReached,
                (false, false) => CheckState::Fine,
            };
            let text = match state {
                CheckState::Wrong => refusal.map(|refusal| refusal.message.clone()).unwrap_or_default(),
                CheckState::Fine => found.unwrap_or_default(),
                CheckState::NotReached => String::new(),
            };
            checks.push(Check { name, state, text });
            after |= is_here;
        }
        checks
    }

    fn reading(&self, request: &SendRequest) -> String {
        let kind = match &request.content {
            Content::Template(_) => "a template message",
            Content::Freeform(_) => "a freeform message",
        };
        let id = match request.platform_message_id.as_str() {
            "" => "without a msgId".to_owned(),
            id => format!("with the msgId {id}"),
        };
        let meaning = match request.purpose {
            Purpose::Message => match self.platform.grouping(&request.platform_message_id) {
                Some(grouping) => format!(", of campaign {}", grouping.campaign),
                None => ", of no campaign".to_owned(),
            },
            Purpose::Test { never_send: true, .. } => ": a check of the credentials, which nobody is sent".to_owned(),
            Purpose::Test { generated: true, .. } => {
                ": a check that a machine made, each value its own index".to_owned()
            }
            Purpose::Test { .. } => ": a test, of which nothing is reported".to_owned(),
        };
        format!("{kind} {id}{meaning}")
    }

    fn recipient(&self, request: &SendRequest) -> String {
        let parsed = PhoneNumber::parse(&request.to, self.account.policy.default_country.as_deref());
        parsed.map_or_else(|_| request.to.clone(), |number| number.as_e164().to_owned())
    }
}

fn content_found(request: &SendRequest, template: Option<&Template>) -> String {
    match (&request.content, template) {
        (Content::Freeform(_), _) => {
            "none: WhatsApp takes a freeform message only within 24 hours after the person wrote".to_owned()
        }
        (Content::Template(_), Some(template)) => {
            let kind = match template.category.category() {
                Category::Freeform | Category::NotKnownYet => "",
                category @ (Category::Authentication | Category::Utility | Category::Marketing) => category.as_str(),
            };
            format!("{} ({}, {kind}), {}: what is given fills it", template.name, template.language, template.status)
        }
        (Content::Template(content), None) => {
            format!("{} could not be looked up in time; that is done again when its turn comes", content.name)
        }
    }
}

/// The JSON in what somebody pasted, which may stand in the middle of a command or of a log's line.
pub fn pasted(text: &str) -> &str {
    match (text.find('{'), text.rfind('}')) {
        (Some(from), Some(to)) if from < to => &text[from..=to],
        (Some(_) | None, _) => text.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_the_json_is_left_out() {
        assert_eq!(pasted("curl -d '{\"to\": {\"a\": 1}}' https://x"), "{\"to\": {\"a\": 1}}");
        assert_eq!(pasted("  nothing "), "nothing");
        assert_eq!(pasted("}{"), "}{");
    }
}
