//! A scenario: a file in which users write what shall go wrong in their own tests, and when.
//!
//! Rules say what happens to whose sends; a timeline says what else happens, and after which time. A scenario is TOML;
//! what is wrong with it is said with its line. `docs/simulator.md` teaches the format by examples that a test reads.

use std::{fmt, ops::Range, time::Duration};

use humantime_serde::re::humantime::parse_duration;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};
use toml::Spanned;

use super::{
    SimulatedSender,
    events::Event,
    inbound_content::InboundContent,
    knobs::Knobs,
    rules::{Effect, Refusal, Rule, SendEndpoint},
    script::StatusScript,
};

const RULES_MAX: usize = 10_000;
const STEPS_MAX: usize = 10_000;

/// A scenario that was read and makes sense.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    pub description: String,
    /// Knobs that it turns, by name.
    pub knobs: Map<String, Value>,
    pub senders: Vec<SimulatedSender>,
    /// Templates beside those that are there.
    pub templates: Vec<Value>,
    pub rules: Vec<Rule>,
    pub timeline_from: TimelineStart,
    /// In order of time.
    pub timeline: Vec<Step>,
}

/// From when the timeline counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimelineStart {
    /// When the simulator starts, or takes the scenario.
    #[default]
    Start,
    /// When the first send comes after that.
    FirstSend,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub at: Duration,
    pub event: Event,
}

impl Scenario {
    /// Reads a scenario; the error names the line and says what is wrong there.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let at = |place: &Range<usize>| format!("line {}: ", text[..place.start].matches('\n').count() + 1);
        if file.rules.len() > RULES_MAX || file.timeline.len() > STEPS_MAX {
            return Err(format!("a scenario has at most {RULES_MAX} rules and {STEPS_MAX} steps"));
        }
        let mut rules = Vec::with_capacity(file.rules.len());
        for rule in file.rules {
            let place = rule.span();
            rules.push(rule.into_inner().read().map_err(|problem| format!("{}rules: {problem}", at(&place)))?);
        }
        if let Some(knobs) = &file.knobs {
            let check = knobs.get_ref().validate();
            check.map_err(|problem| format!("{}knobs: {problem}", at(&knobs.span())))?;
        }
        let mut timeline: Vec<Step> = file.timeline.into_iter().collect();
        timeline.sort_by_key(|step| step.at);
        Ok(Self {
            description: file.description,
            knobs: named_knobs(text),
            senders: file.senders,
            templates: file.templates,
            rules,
            timeline_from: file.timeline_from,
            timeline,
        })
    }
}

/// The file was read before, so this cannot fail: it only tells which knobs were named.
fn named_knobs(text: &str) -> Map<String, Value> {
    #[derive(Default, Deserialize)]
    struct Named {
        #[serde(default)]
        knobs: Map<String, Value>,
    }
    toml::from_str::<Named>(text).unwrap_or_default().knobs
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    description: String,
    knobs: Option<Spanned<Knobs>>,
    #[serde(default)]
    senders: Vec<SimulatedSender>,
    #[serde(default)]
    templates: Vec<Value>,
    #[serde(default)]
    rules: Vec<Spanned<RuleOfFile>>,
    #[serde(default)]
    timeline_from: TimelineStart,
    #[serde(default)]
    timeline: Vec<Step>,
}

/// A rule as it is written: conditions, then what happens, each under its own name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleOfFile {
    // When.
    recipient: Option<String>,
    recipient_suffix: Option<String>,
    template: Option<String>,
    phone_number_id: Option<String>,
    kind: Option<String>,
    text_contains: Option<String>,
    endpoint: Option<SendEndpoint>,
    /// Only the n-th send that fits.
    nth: Option<u32>,
    #[serde(default)]
    skip: u32,
    next: Option<u32>,
    probability: Option<f64>,
    // Then.
    refuse: Option<Refusal>,
    delay: Option<TextDuration>,
    #[serde(default)]
    lose_answer: bool,
    #[serde(default)]
    drop_connection: bool,
    statuses: Option<StatusScript>,
    #[serde(default)]
    statuses_first: bool,
    #[serde(default)]
    hold: bool,
    reply: Option<InboundContent>,
    tap: Option<usize>,
}

impl RuleOfFile {
    fn read(self) -> Result<Rule, String> {
        let (skip, next) = match self.nth {
            Some(0) => return Err("nth is 0: the first is 1".to_owned()),
            Some(_) if self.skip > 0 || self.next.is_some() => {
                return Err("nth does not go together with skip and next".to_owned());
            }
            Some(nth) => (nth - 1, Some(1)),
            None => (self.skip, self.next),
        };
        let mut effects = Vec::new();
        effects.extend(self.refuse.map(Effect::Refuse));
        effects.extend(self.delay.map(|delay| Effect::Delay { ms: delay.0.as_millis() as u64 }));
        effects.extend(self.lose_answer.then_some(Effect::LoseAnswer));
        effects.extend(self.drop_connection.then_some(Effect::DropConnection));
        effects.extend(self.statuses.map(Effect::Statuses));
        effects.extend(self.statuses_first.then_some(Effect::StatusesFirst));
        effects.extend(self.hold.then_some(Effect::Hold));
        effects.extend(self.reply.map(Effect::Say));
        effects.extend(self.tap.map(|button| Effect::Tap { button }));
        let mut effects = effects.into_iter();
        let effect = effects.next().ok_or(
            "nothing happens: write at least one of refuse, delay, lose_answer, drop_connection, statuses, \
             statuses_first, hold, reply, tap",
        )?;
        let rule = Rule {
            recipient: self.recipient,
            recipient_suffix: self.recipient_suffix,
            template: self.template,
            phone_number_id: self.phone_number_id,
            kind: self.kind,
            text_contains: self.text_contains,
            endpoint: self.endpoint,
            skip,
            share: self.probability.unwrap_or(1.0),
            next,
            effect,
            also: effects.collect(),
        };
        rule.check().map_err(|problem| problem.replace("share", "probability"))?;
        Ok(rule)
    }
}

/// `300ms`, `5s`, `1m 30s`.
struct TextDuration(Duration);

impl<'de> Deserialize<'de> for TextDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = parse_duration(&text).map_err(|_| {
            D::Error::custom(format!("{text:?} is not a time: write for example \"300ms\", \"5s\" or \"1m 30s\""))
        })?;
        Ok(Self(duration))
    }
}

/// `at`, and beside it the event under its own name. Read by hand, so that a mistake keeps its line: what serde
/// flattens has lost it.
impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a step of the timeline: `at` and one event")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Step, A::Error> {
        let mut rest = WithoutTime { map, at: None };
        let event = Event::deserialize(MapAccessDeserializer::new(&mut rest)).map_err(|error| {
            // Serde's words for a map without a key are about maps.
            let nothing = error.to_string().starts_with("invalid type: map");
            if nothing { A::Error::custom("nothing happens: write an event beside `at`") } else { error }
        })?;
        if let Some(second) = rest.next_key::<String>()? {
            return Err(A::Error::custom(format!("{second:?} is a second event: write a step of its own for it")));
        }
        let at = rest.at.ok_or_else(|| A::Error::missing_field("at"))?;
        Ok(Step { at, event })
    }
}

/// A map that keeps its `at` for us.
struct WithoutTime<A> {
    map: A,
    at: Option<Duration>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutTime<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if key != "at" {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            self.at = Some(self.map.next_value::<TextDuration>()?.0);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_steps_are_read_in_their_own_words() {
        let scenario = Scenario::read(
            r#"
            timeline_from = "first_send"
            knobs = { status_script = "sent@1" }
            [[rules]]
            template = "order_update"
            nth = 3
            refuse = { code = 130429, retry_after_s = 2 }
            delay = "250ms"
            [[timeline]]
            at = "10s"
            number_quality = { quality = "RED" }
            [[timeline]]
            at = "5s"
            inbound = { from = "+919876512345", content = { text = { body = "stop" } } }
            "#,
        )
        .expect("a scenario");

        assert_eq!((scenario.rules[0].skip, scenario.rules[0].next), (2, Some(1)));
        assert_eq!(scenario.rules[0].also, [Effect::Delay { ms: 250 }]);
        assert!(matches!(scenario.timeline[0].event, Event::Inbound(_)), "the earlier one comes first");
        assert_eq!(scenario.timeline[1].at, Duration::from_secs(10));
        assert_eq!(scenario.knobs.len(), 1, "only what is named is turned");
    }

    #[test]
    fn a_mistake_is_said_with_its_line_and_field() {
        for (text, line, words) in [
            ("\n[[rules]]\nrecipient_sufix = \"1\"\n", "line 3", "recipient_sufix"),
            ("[[rules]]\nstatuses = \"sent@5\"\n\n[[rules]]\ntemplate = \"x\"\n", "line 4", "nothing happens"),
            ("[[rules]]\nstatuses = \"gone@5\"\n", "line 2", "is not a step"),
            ("[[rules]]\nhold = true\nprobability = 2.0\n", "line 1", "probability is 2"),
            ("[knobs]\nwebhook_bach_max = 2\n", "line 2", "webhook_bach_max"),
            ("[knobs]\nreply_text_share = 2.0\n", "line 1", "reply_text_share is 2"),
            ("[[timeline]]\nat = \"soon\"\nmessaging_limit = { tier = \"TIER_250\" }\n", "line 2", "\"soon\""),
            ("[[timeline]]\nat = \"1s\"\n", "line 1", "nothing happens"),
            ("[[timeline]]\nat = \"1s\"\nnumber_quality = { qualty = \"RED\" }\n", "line 3", "qualty"),
            ("[[timeline]]\nat = \"1s\"\nearthquake = {}\n", "line", "earthquake"),
            ("[[timeline]]\nmessaging_limit = { tier = \"TIER_250\" }\n", "line 1", "at"),
            (
                "[[timeline]]\nat = \"1s\"\nmessaging_limit = { tier = \"x\" }\nsubscription = { subscribed = true }\n",
                "line",
                "second event",
            ),
            ("this is not TOML", "line 1", ""),
        ] {
            let problem = Scenario::read(text).expect_err(text);
            assert!(problem.contains(line) && problem.contains(words), "{text}\n→ {problem}");
        }
    }
}
