//! A send on its way through, whatever dialect it came in: limits, rules, content, and what will be told of it.
//!
//! Who speaks a dialect reads its requests into a [`SendBody`], which is Meta's, lets [`carry`] decide, and writes the
//! answer in its own words. A send is looked at in Meta's order: how often, then what. Between the limits and the content
//! stand the rules, so that a rule can refuse a message that is right, and a wrong message is refused by itself.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::{Duration, Instant},
};

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::stream;

use super::{
    SimulatedSender,
    checks::{self, SendBody},
    dialect::Dialect,
    gallabox_lists::Said,
    graph::{self, refusal},
    inbound::{self, Inbound, InboundContent},
    knobs::Knobs,
    payloads::{Message, Update},
    people::{self, Person},
    rules::{Plan, Refusal, RefusalBody, Reply, SendFacts},
    script::{Reported, StatusScript, StatusStep},
    state::{World, unix_now},
    templates::TemplateForm,
};

/// How long an answer waits for its statuses to be taken.
const STATUSES_FIRST_MS_MAX: u64 = 3_000;
/// How long after reading a person replies.
const REPLY_AFTER_MS: u32 = 20;

/// What became of a send that was not refused.
pub(super) enum Carried {
    /// `held`: it is said to wait for a judgement of its quality.
    Accepted { message: Arc<Message>, held: bool },
    /// The caller never hears: see [`close_without_answer`].
    Unanswered,
}

/// Takes one send; `raw` is what is remembered of it. A refusal is counted by whoever answers: [`count_refusal`].
pub(super) async fn carry(
    world: &World,
    sender: Arc<SimulatedSender>,
    parsed: &SendBody,
    marketing: bool,
    raw: &Bytes,
) -> Result<Carried, Refusal> {
    let recipient = parsed.person();
    world.tally().arrive(&sender.phone_number_id, &recipient, Instant::now());
    let _in_flight = InFlight { world, recipient: &recipient };
    Send { world, knobs: world.knobs(), sender, recipient: &recipient, parsed, marketing, raw }.run().await
}

/// Among the refused, by its code, or by its HTTP status where it shows no code.
pub(super) fn count_refusal(world: &World, refusal: &Refusal) {
    let reason = match refusal.body {
        RefusalBody::Json => refusal.code.to_string(),
        RefusalBody::Html | RefusalBody::Empty => format!("http_{}", graph::http_status(refusal).as_u16()),
    };
    world.count(|stats| *stats.sends_refused.entry(reason).or_default() += 1);
}

/// One recipient's load goes down however the request ends.
struct InFlight<'a> {
    world: &'a World,
    recipient: &'a str,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.world.tally().leave(self.recipient);
    }
}

/// One send on its way through.
struct Send<'a> {
    world: &'a World,
    knobs: Arc<Knobs>,
    sender: Arc<SimulatedSender>,
    recipient: &'a str,
    parsed: &'a SendBody,
    marketing: bool,
    raw: &'a Bytes,
}

impl Send<'_> {
    async fn run(self) -> Result<Carried, Refusal> {
        let plan = self.plan();
        if plan.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(plan.delay_ms)).await;
        }
        if plan.drop_connection {
            self.world.count(|stats| stats.connections_dropped += 1);
            return Ok(Carried::Unanswered);
        }
        let checked = self.check(&plan);
        let wamid = checked.is_ok().then(|| self.world.new_wamid(self.recipient));
        self.world.tally().record(&self.sender.phone_number_id, self.recipient, wamid.clone(), self.raw.clone());
        let form = checked?;
        let message = self.accept(&plan, form.as_deref(), wamid.expect("there is one when the checks are passed"));
        if plan.statuses_first {
            self.wait_until_told(&message).await;
        }
        if plan.lose_answer {
            self.world.count(|stats| stats.answers_lost += 1);
            return Ok(Carried::Unanswered);
        }
        Ok(Carried::Accepted { message, held: plan.held })
    }

    fn plan(&self) -> Plan {
        let facts = SendFacts {
            recipient: self.recipient,
            phone_number_id: &self.sender.phone_number_id,
            template: self.parsed.template.as_ref().map(|template| template.name.as_str()),
            kind: self.parsed.kind.as_deref().unwrap_or("text"),
            marketing_endpoint: self.marketing,
            body: self.parsed,
        };
        self.world.rules().plan(&self.knobs, &facts)
    }

    /// All that can be said against it; the template's form if it is one.
    fn check(&self, plan: &Plan) -> Result<Option<Arc<TemplateForm>>, Refusal> {
        checks::check_envelope(self.parsed)?;
        if self.recipient == self.sender.display_number {
            return Err(Refusal::code(131021));
        }
        self.check_limits()?;
        if let Some(refusal) = &plan.refusal {
            return Err(refusal.clone());
        }
        self.check_media_ids()?;
        match self.parsed.kind.as_deref().unwrap_or("text") {
            "template" => self.check_template(),
            _ if self.marketing => Err(Refusal::code(self.knobs.non_marketing_code)),
            kind => checks::check_freeform(kind, self.parsed).map(|()| None),
        }
    }

    /// Too often?
    fn check_limits(&self) -> Result<(), Refusal> {
        let (id, now) = (&self.sender.phone_number_id, Instant::now());
        let mut tally = self.world.tally();
        if tally.is_maintained(id, now) {
            return Err(Refusal::code(131057));
        }
        let usual = self.sender.messages_per_second.unwrap_or(self.knobs.messages_per_second);
        let per_second = tally.upgraded_rate(id).unwrap_or(usual);
        if !tally.take_rate(id, per_second, now) {
            return Err(graph::throttled(130429, &self.knobs));
        }
        if self.knobs.pair_limit && !tally.take_pair(self.pair(), now) {
            return Err(graph::throttled(131056, &self.knobs));
        }
        let people_max = self.world.nodes().people_max().filter(|_| self.knobs.enforce_messaging_limit);
        if let Some(people_max) = people_max
            && !tally.window_is_open(self.pair(), now)
            && !tally.take_person(self.world.hash(self.recipient), people_max, now)
        {
            return Err(refusal(131048, "The messaging limit of the portfolio is used up."));
        }
        Ok(())
    }

    /// Files belong to the number that uploaded them.
    fn check_media_ids(&self) -> Result<(), Refusal> {
        if !self.knobs.check_media_ids {
            return Ok(());
        }
        let shelf = self.world.media();
        match self.parsed.media_ids().find(|id| !shelf.belongs(id, &self.sender.phone_number_id)) {
            Some(id) => Err(refusal(131009, format!("{id:?} is not the id of a media file of this number."))),
            None => Ok(()),
        }
    }

    fn check_template(&self) -> Result<Option<Arc<TemplateForm>>, Refusal> {
        let Some(template) = &self.parsed.template else {
            return Err(refusal(100, "The parameter template is required."));
        };
        let form = self.world.templates().find(&template.name, &template.language.code);
        self.check_endpoint(form.as_deref())?;
        checks::check_template(template, form.as_deref(), self.knobs.location_header_needs_name)?;
        if form.as_ref().is_some_and(|form| form.category == "AUTHENTICATION") && people::is_user_id(self.recipient) {
            return Err(Refusal::code(131062));
        }
        Ok(form)
    }

    /// May a template of this category go through this door?
    fn check_endpoint(&self, form: Option<&TemplateForm>) -> Result<(), Refusal> {
        let is_marketing = form.is_none_or(|form| form.category == "MARKETING");
        let code = match (self.marketing, is_marketing) {
            (true, _) if self.knobs.marketing_messages_refuse.is_some() => self.knobs.marketing_messages_refuse,
            (true, false) => Some(self.knobs.non_marketing_code),
            (false, true) if form.is_some() => self.knobs.messages_refuse_marketing,
            (true, true) | (false, _) => None,
        };
        code.map_or(Ok(()), |code| Err(Refusal::code(code)))
    }

    /// From here on it counts: statuses and perhaps a reply are on their way.
    fn accept(&self, plan: &Plan, form: Option<&TemplateForm>, wamid: String) -> Arc<Message> {
        let script = self.script(plan, form);
        let callback_data = self.parsed.biz_opaque_callback_data.clone();
        let untold: u32 = script.steps().iter().map(|step| u32::from(step.times)).sum();
        let message = Arc::new(Message {
            wamid,
            recipient: Person::read(self.recipient),
            sender: Arc::clone(&self.sender),
            callback_data: callback_data.clone(),
            category: match form {
                Some(_) if self.marketing => "marketing_lite".to_owned(),
                Some(form) => form.category.to_ascii_lowercase(),
                None => "service".to_owned(),
            },
            untold: AtomicU32::new(untold),
        });
        let updates = statuses(&script, &message);
        if self.knobs.dialect == Dialect::Gallabox {
            self.world.say(Said::by_business(&message, &updates, &self.knobs));
        }
        let refused = self.world.queue.put(updates);
        self.reply(plan, form, &script, &message);
        let without_plus = self.parsed.to.as_deref().is_some_and(|to| !to.trim_start().starts_with('+'));
        {
            let mut tally = self.world.tally();
            tally.stats.updates_dropped += refused;
            tally.stats.sends_without_plus += u64::from(without_plus);
            tally.accept(callback_data.map(|data| self.world.hash(data)));
        }
        self.world.tell();
        message
    }

    fn script(&self, plan: &Plan, form: Option<&TemplateForm>) -> StatusScript {
        let only = |status| StatusScript::new([StatusStep { status, after_ms: 10, times: 1 }]);
        let outside = self.knobs.enforce_window && !self.world.tally().window_is_open(self.pair(), Instant::now());
        if form.is_none() && outside {
            return only(Reported::Failed(131047));
        }
        let stopped =
            form.is_some_and(|form| form.category == "MARKETING") && self.world.tally().has_stopped(self.pair());
        if stopped {
            return only(Reported::Failed(131050));
        }
        match &plan.script {
            Some(script) => script.clone(),
            // A reaction is never reported as delivered or read.
            None if self.parsed.kind.as_deref() == Some("reaction") => only(Reported::Sent),
            None => self.knobs.status_script.clone(),
        }
    }

    fn reply(&self, plan: &Plan, form: Option<&TemplateForm>, script: &StatusScript, message: &Message) {
        let (Some(reply), Some(read_after_ms)) = (&plan.reply, script.read_after_ms()) else { return };
        let taps = match (form, &self.parsed.template) {
            (Some(form), Some(template)) => checks::quick_replies(form, template),
            _ => Vec::new(),
        };
        let content = match reply {
            Reply::Tap(button) if *button < taps.len() => {
                let (payload, text) = taps[*button].clone();
                InboundContent::Button { text, payload }
            }
            Reply::Tap(_) | Reply::Text(None) => InboundContent::Text { body: self.knobs.reply_text.clone() },
            Reply::Text(Some(text)) => InboundContent::Text { body: text.clone() },
            Reply::Content(content) => content.about(&message.wamid),
        };
        let inbound = Inbound {
            from: self.recipient.to_owned(),
            phone_number_id: self.sender.phone_number_id.clone(),
            context_wamid: Some(message.wamid.clone()),
            content,
        };
        let after = Duration::from_millis(u64::from(read_after_ms.saturating_add(REPLY_AFTER_MS)));
        if let Err(problem) = inbound::say(self.world, &inbound, Instant::now() + after) {
            tracing::warn!(problem, "the simulator could not write the reply that a rule asked for");
        }
    }

    async fn wait_until_told(&self, message: &Message) {
        let told = async {
            loop {
                let changed = self.world.changed().notified();
                if message.untold.load(std::sync::atomic::Ordering::Acquire) == 0 {
                    return;
                }
                changed.await;
            }
        };
        // Without a webhook that is answered there would be no end: then the answer goes out all the same.
        drop(tokio::time::timeout(Duration::from_millis(STATUSES_FIRST_MS_MAX), told).await);
    }

    fn pair(&self) -> u64 {
        self.world.hash((&self.sender.phone_number_id, self.recipient))
    }
}

fn statuses(script: &StatusScript, message: &Arc<Message>) -> Vec<(Instant, Update)> {
    let (now, unix_now) = (Instant::now(), unix_now());
    let repeated = script.steps().iter().flat_map(|step| std::iter::repeat_n(step, usize::from(step.times)));
    repeated
        .map(|step| {
            let after = Duration::from_millis(u64::from(step.after_ms));
            let at = unix_now + after;
            (now + after, Update::Status { message: Arc::clone(message), status: step.status, at })
        })
        .collect()
}

/// The server gives a connection up when a body fails before its first byte: nothing of the answer has left by then.
pub(super) fn close_without_answer() -> HttpResponse {
    let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("the simulator closes the connection")) });
    HttpResponse::Ok().streaming(broken)
}
