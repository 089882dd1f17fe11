//! What happens to some: rules.
//!
//! A [`Rule`] reads like a sentence: *when* a send looks like this, with this chance, this many times, *then* that.
//! Every rule that fits is applied; of two with an effect of the same kind the first wins. The dice are seeded, so a
//! run can be repeated.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

use super::{checks::SendBody, inbound_content::InboundContent, knobs::Knobs, script::StatusScript};

/// When a send looks like this, then that. A condition that is not given fits everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The whole number, with or without `+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Its last digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_suffix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// The type of the message: `template`, `text`, `image`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The text of a message, or one of the texts that fill a template, contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_contains: Option<String>,
    /// `messages` or `marketing_messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SendEndpoint>,
    /// The first so many sends that fit are left alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: u32,
    /// The chance that it applies to a send that fits, 0 to 1.
    #[serde(default = "always")]
    pub share: f64,
    /// It applies this many times and is gone then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    pub effect: Effect,
    /// And this too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Effect>,
}

/// Which door a send came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendEndpoint {
    Messages,
    MarketingMessages,
}

/// What happens to a send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Not accepted, and said so.
    Refuse(Refusal),
    /// Answered later than usual. Nothing is accepted before the wait is over.
    Delay { ms: u64 },
    /// Accepted, but the connection closes without an answer.
    LoseAnswer,
    /// The connection closes without an answer, and nothing was accepted.
    DropConnection,
    /// Other statuses than everybody's.
    Statuses(StatusScript),
    /// The answer waits until the bridge has taken all statuses of the message (at most 3 seconds).
    StatusesFirst,
    /// Accepted as `held_for_quality_assessment`.
    Hold,
    /// When the message is read, the person writes this; `None` is the knob's `reply_text`.
    Reply { text: Option<String> },
    /// When the message is read, the person taps this quick reply button (the first is 0), or writes if there is none.
    Tap { button: usize },
    /// When the message is read, the person sends this.
    Say(InboundContent),
}

/// How a send is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Meta's code.
    #[serde(default)]
    pub code: u32,
    /// Meta's `error_subcode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subcode: Option<u32>,
    /// Instead of the status that goes with the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    #[serde(default)]
    pub body: RefusalBody,
}

/// What the answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalBody {
    /// Meta's error document.
    #[default]
    Json,
    /// What a proxy on the way would say.
    Html,
    Empty,
}

impl Refusal {
    /// With Meta's document and the status that goes with the code.
    pub fn code(code: u32) -> Self {
        Self { code, subcode: None, http_status: None, details: None, retry_after_s: None, body: RefusalBody::Json }
    }
}

impl Rule {
    /// For every send, always.
    pub fn everybody(effect: Effect) -> Self {
        Self {
            recipient: None,
            recipient_suffix: None,
            template: None,
            phone_number_id: None,
            kind: None,
            text_contains: None,
            endpoint: None,
            skip: 0,
            share: 1.0,
            next: None,
            effect,
            also: Vec::new(),
        }
    }

    /// For the next `count` sends.
    pub fn next(count: u32, effect: Effect) -> Self {
        Self { next: Some(count), ..Self::everybody(effect) }
    }

    /// For one person.
    pub fn recipient(number: &str, effect: Effect) -> Self {
        Self { recipient: Some(number.to_owned()), ..Self::everybody(effect) }
    }

    /// For everybody whose number ends so.
    pub fn suffix(digits: &str, effect: Effect) -> Self {
        Self { recipient_suffix: Some(digits.to_owned()), ..Self::everybody(effect) }
    }

    /// What could never apply, or apply to half a message, is a mistake.
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(format!("share is {}: it lies between 0 and 1", self.share));
        }
        if self.next == Some(0) {
            return Err("next is 0: the rule would never apply".to_owned());
        }
        Ok(())
    }

    fn fits(&self, send: &SendFacts<'_>) -> bool {
        let endpoint = if send.marketing_endpoint { SendEndpoint::MarketingMessages } else { SendEndpoint::Messages };
        self.recipient.as_deref().is_none_or(|number| number.trim_start_matches('+') == send.recipient)
            && self.kind.as_deref().is_none_or(|kind| kind == send.kind)
            && self.endpoint.is_none_or(|wanted| wanted == endpoint)
            && self.text_contains.as_deref().is_none_or(|part| send.body.says(part))
            && self.recipient_suffix.as_deref().is_none_or(|digits| send.recipient.ends_with(digits))
            && self.template.as_deref().is_none_or(|name| Some(name) == send.template)
            && self.phone_number_id.as_deref().is_none_or(|id| id == send.phone_number_id)
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn always() -> f64 {
    1.0
}

/// What rules may ask about a send.
pub(super) struct SendFacts<'a> {
    /// Digits.
    pub(super) recipient: &'a str,
    pub(super) phone_number_id: &'a str,
    pub(super) template: Option<&'a str>,
    pub(super) kind: &'a str,
    pub(super) marketing_endpoint: bool,
    pub(super) body: &'a SendBody,
}

/// Everything that the rules want for one send.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) delay_ms: u64,
    pub(super) refusal: Option<Refusal>,
    pub(super) drop_connection: bool,
    pub(super) lose_answer: bool,
    pub(super) statuses_first: bool,
    pub(super) held: bool,
    pub(super) script: Option<StatusScript>,
    pub(super) reply: Option<Reply>,
}

/// What the person does after reading.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    Text(Option<String>),
    Tap(usize),
    Content(InboundContent),
}

impl Plan {
    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Refuse(refusal) => drop(self.refusal.get_or_insert_with(|| refusal.clone())),
            Effect::Delay { ms } => self.delay_ms += ms,
            Effect::LoseAnswer => self.lose_answer = true,
            Effect::DropConnection => self.drop_connection = true,
            Effect::Statuses(script) => drop(self.script.get_or_insert_with(|| script.clone())),
            Effect::StatusesFirst => self.statuses_first = true,
            Effect::Hold => self.held = true,
            Effect::Reply { text } => drop(self.reply.get_or_insert_with(|| Reply::Text(text.clone()))),
            Effect::Tap { button } => drop(self.reply.get_or_insert(Reply::Tap(*button))),
            Effect::Say(content) => drop(self.reply.get_or_insert_with(|| Reply::Content(content.clone()))),
        }
    }
}

/// The rules and their dice.
pub(super) struct RuleBook {
    given: Vec<Rule>,
    suffixes: Vec<Rule>,
    dice: StdRng,
}

impl RuleBook {
    pub(super) fn new(given: Vec<Rule>, seed: u64) -> Self {
        Self { given, suffixes: suffix_rules(), dice: StdRng::seed_from_u64(seed) }
    }

    /// Those given, without the built-in ones; `next` shows what is left.
    pub(super) fn given(&mut self) -> &mut Vec<Rule> {
        &mut self.given
    }

    pub(super) fn plan(&mut self, knobs: &Knobs, send: &SendFacts<'_>) -> Plan {
        let mut plan = Plan { delay_ms: knobs.answer_delay_ms, ..Plan::default() };
        let mut used_up = false;
        for rule in &mut self.given {
            if !rule.fits(send) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if !roll(&mut self.dice, rule.share) {
                continue;
            }
            plan.apply(&rule.effect);
            rule.also.iter().for_each(|effect| plan.apply(effect));
            if let Some(left) = &mut rule.next {
                *left = left.saturating_sub(1);
                used_up |= *left == 0;
            }
        }
        if used_up {
            self.given.retain(|rule| rule.next != Some(0));
        }
        if knobs.suffix_rules {
            self.suffixes.iter().filter(|rule| rule.fits(send)).for_each(|rule| plan.apply(&rule.effect));
        }
        if plan.reply.is_none() {
            plan.reply = self.spontaneous_reply(knobs);
        }
        plan
    }

    fn spontaneous_reply(&mut self, knobs: &Knobs) -> Option<Reply> {
        if roll(&mut self.dice, knobs.reply_tap_share) {
            return Some(Reply::Tap(0));
        }
        roll(&mut self.dice, knobs.reply_text_share).then_some(Reply::Text(None))
    }
}

/// The dice are not touched where they decide nothing.
fn roll(dice: &mut StdRng, share: f64) -> bool {
    share >= 1.0 || (share > 0.0 && dice.random::<f64>() < share)
}

/// The table in the module's essay.
fn suffix_rules() -> Vec<Rule> {
    let script = |text: &str| Effect::Statuses(text.parse().expect("the scripts in this table are well formed"));
    vec![
        Rule::suffix("0001", script("failed:131026@20")),
        Rule::suffix("0002", script("failed:131049@20")),
        Rule::suffix("0003", script("failed:131047@20")),
        Rule::suffix("0004", script("failed:131050@20")),
        Rule::suffix("0005", Effect::Refuse(Refusal::code(131030))),
        Rule::suffix("0006", script("sent@5")),
        Rule::suffix("0007", script("none")),
        Rule::suffix("0008", script("read@5,delivered@30,sent@60")),
        Rule::suffix("0009", script("sent@5x3,delivered@20x3,read@50x3")),
        Rule::suffix("0010", script("sent@5,read@30")),
        Rule::suffix("0011", script("sent@5,delivered@20,failed:131026@50")),
        Rule::suffix("0012", Effect::LoseAnswer),
        Rule::suffix("0013", Effect::DropConnection),
        Rule::suffix("0014", Effect::Reply { text: None }),
        Rule::suffix("0015", Effect::Tap { button: 0 }),
        Rule::suffix("0016", Effect::StatusesFirst),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::simulator::SimulatorSettings;

    fn to(recipient: &str) -> SendFacts<'_> {
        static BODY: LazyLock<SendBody> = LazyLock::new(|| {
            serde_json::from_str(r#"{"type": "text", "text": {"body": "hello"}}"#).expect("a message")
        });
        SendFacts {
            recipient,
            phone_number_id: "1001",
            template: Some("order_update"),
            kind: "template",
            marketing_endpoint: false,
            body: &BODY,
        }
    }

    #[test]
    fn a_rule_can_wait_for_the_third_send_that_says_hello() {
        let rule = Rule {
            skip: 2,
            next: Some(1),
            text_contains: Some("ell".into()),
            also: vec![Effect::Delay { ms: 7 }],
            ..Rule::everybody(Effect::LoseAnswer)
        };
        let mut book = RuleBook::new(vec![rule], 1);

        let plans: Vec<Plan> = (0..4).map(|_| book.plan(&knobs(), &to("919876512345"))).collect();

        let lost: Vec<(bool, u64)> = plans.iter().map(|plan| (plan.lose_answer, plan.delay_ms)).collect();
        assert_eq!(lost, [(false, 0), (false, 0), (true, 7), (false, 0)]);
    }

    fn knobs() -> Knobs {
        SimulatorSettings::default().knobs
    }

    #[test]
    fn the_end_of_a_number_decides_its_fate() {
        let mut book = RuleBook::new(Vec::new(), 1);

        let failing = book.plan(&knobs(), &to("919876500001"));
        let plain = book.plan(&knobs(), &to("919876512345"));

        assert_eq!(failing.script.expect("0001 has a script").to_string(), "failed:131026@20");
        assert_eq!(plain, Plan::default());
        let off = Knobs { suffix_rules: false, ..knobs() };
        assert_eq!(book.plan(&off, &to("919876500001")), Plan::default());
    }

    #[test]
    fn a_rule_for_the_next_two_sends_is_gone_after_two() {
        let mut book = RuleBook::new(vec![Rule::next(2, Effect::LoseAnswer)], 1);

        let lost: Vec<bool> = (0..3).map(|_| book.plan(&knobs(), &to("919876512345")).lose_answer).collect();

        assert_eq!(lost, [true, true, false]);
        assert!(book.given().is_empty());
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let rule = Rule { share: 0.5, ..Rule::everybody(Effect::LoseAnswer) };
        let run = || {
            let mut book = RuleBook::new(vec![rule.clone()], 7);
            (0..200).filter(|_| book.plan(&knobs(), &to("919876512345")).lose_answer).count()
        };

        assert_eq!(run(), run());
        assert!((60..140).contains(&run()), "half of 200 sends should lose their answer, not {}", run());
    }

    #[test]
    fn a_rule_is_written_as_json() {
        let text = r#"{"template":"offer","share":0.2,"next":5,"effect":{"refuse":{"code":130429,"http_status":429}}}"#;
        let rule: Rule = serde_json::from_str(text).expect("a rule");
        assert_eq!(rule.next, Some(5));
        assert!(!rule.fits(&to("919876512345")), "the template is another one");
        let typing_error = r#"{"recipient_sufix":"0001","effect":"lose_answer"}"#;
        assert!(serde_json::from_str::<Rule>(typing_error).is_err());
    }
}
