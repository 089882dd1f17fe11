//! What operators read: one letter for everything that is to be told at one moment. As text for people, and as JSON whose
//! field `text` suits the incoming webhooks of chat programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::Told;
use crate::{
    domain::{alarm::AlarmKind, time::UnixMillis},
    store::alarm_letters::{SentLetter, SentWay},
};

/// Beyond it a letter only counts.
pub const LINES_MAX: usize = 50;

#[derive(Clone, Debug)]
pub struct Letter {
    pub at: UnixMillis,
    pub instance: String,
    pub lines: Vec<Line>,
}

/// One thing that is wrong, or well again.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub state: LineState,
    pub kind: AlarmKind,
    pub subject: String,
    pub since: UnixMillis,
    pub text: String,
    /// What to do; none when it is over.
    pub remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    Raised,
    Lasts,
    Over,
    Test,
}

/// A line as the webhook has it.
#[derive(Serialize)]
struct JsonLine<'a> {
    state: LineState,
    kind: AlarmKind,
    subject: &'a str,
    /// Seconds since the epoch.
    since: i64,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonLetter<'a> {
    text: String,
    instance: &'a str,
    at: i64,
    alarms: Vec<JsonLine<'a>>,
    /// How many there are beyond those.
    more: usize,
}

impl Line {
    pub fn sentence(&self) -> String {
        let head = match self.state {
            LineState::Raised => "",
            LineState::Lasts => "still: ",
            LineState::Over => "all clear: ",
            LineState::Test => "test: ",
        };
        let remedy = self.remedy.as_ref().map_or_else(String::new, |remedy| format!(" What to do: {remedy}."));
        format!("{head}{}: {}.{remedy}", self.subject, self.text)
    }
}

impl Letter {
    /// To see whether alarms arrive.
    pub fn test(instance: String, at: UnixMillis) -> Self {
        let line = Line {
            state: LineState::Test,
            kind: AlarmKind::ConnectionHeld,
            subject: "connection example".to_owned(),
            since: at,
            text: "nothing is wrong; somebody wanted to see whether alarms arrive".to_owned(),
            remedy: Some("nothing".to_owned()),
        };
        Self { at, instance, lines: vec![line] }
    }

    pub fn subject(&self) -> String {
        let first = self.lines.first().map_or_else(String::new, |line| match line.state {
            LineState::Raised => format!("{}: {}", line.subject, words(line.kind)),
            LineState::Lasts => format!("{}: still {}", line.subject, words(line.kind)),
            LineState::Over => format!("{}: all clear, no longer {}", line.subject, words(line.kind)),
            LineState::Test => "a test alarm".to_owned(),
        });
        let more = match self.lines.len() {
            0 | 1 => String::new(),
            lines => format!(" (and {} more)", lines - 1),
        };
        format!("wabridge: {first}{more}")
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in self.shown() {
            text.push_str(&line.sentence());
            text.push_str("\n\n");
        }
        let more = self.lines.len() - self.shown().len();
        if more > 0 {
            writeln!(text, "And {more} more: see `wabridge alarm list`.\n").expect("a string takes any text");
        }
        writeln!(text, "From wabridge, instance {}, at {}.", self.instance, self.at).expect("a string takes any text");
        text
    }

    pub fn json(&self) -> String {
        let seconds = |at: UnixMillis| at.0.div_euclid(1000);
        let alarms = self.shown().iter().map(|line| JsonLine {
            state: line.state,
            kind: line.kind,
            subject: &line.subject,
            since: seconds(line.since),
            text: &line.text,
            remedy: line.remedy.as_deref(),
        });
        let letter = JsonLetter {
            text: self.text(),
            instance: &self.instance,
            at: seconds(self.at),
            alarms: alarms.collect(),
            more: self.lines.len() - self.shown().len(),
        };
        serde_json::to_string(&letter).expect("texts and numbers can be written as JSON")
    }

    /// As it is kept, with what came of each way.
    pub fn sent(&self, told: &[Told]) -> SentLetter {
        let way = |told: &Told| SentWay { way: told.way.to_owned(), failure: told.result.as_ref().err().cloned() };
        let mut text: Vec<String> = self.shown().iter().map(Line::sentence).collect();
        let more = self.lines.len() - self.shown().len();
        text.extend((more > 0).then(|| format!("And {more} more.")));
        SentLetter {
            at: self.at,
            instance: self.instance.clone(),
            subject: self.subject(),
            text: text.join("\n\n"),
            ways: told.iter().map(way).collect(),
        }
    }

    fn shown(&self) -> &[Line] {
        &self.lines[..self.lines.len().min(LINES_MAX)]
    }
}

/// What a kind is called in a subject line.
fn words(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::ConnectionHeld | AlarmKind::NumberHeld => "on hold",
        AlarmKind::TokenRefused => "token refused",
        AlarmKind::TemplateStopped => "stopped by WhatsApp",
        AlarmKind::QualityRed => "quality red",
        AlarmKind::TierChanged => "messaging limit changed",
        AlarmKind::CallbacksFailing => "callbacks failing",
        AlarmKind::SubscriptionsRefused => "opt-outs refused",
        AlarmKind::WebhookSwitchedOff => "webhook switched off",
        AlarmKind::WebhooksSilent => "webhooks silent",
        AlarmKind::QueueLate => "queue late",
        AlarmKind::LimitReached => "messaging limit reached",
        AlarmKind::DiskFull => "disk nearly full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(subject: &str, state: LineState) -> Line {
        Line {
            state,
            kind: AlarmKind::NumberHeld,
            subject: subject.to_owned(),
            since: UnixMillis(1_790_000_000_000),
            text: "Meta refuses it".to_owned(),
            remedy: (state != LineState::Over).then(|| "mend it, then `wabridge release`".to_owned()),
        }
    }

    #[test]
    fn a_letter_says_what_is_so_and_ends_with_what_to_do() {
        let lines =
            vec![line("number +918880110022", LineState::Raised), line("number +918880110033", LineState::Over)];
        let letter = Letter { at: UnixMillis(1_790_000_060_000), instance: "one".to_owned(), lines };

        assert_eq!(letter.subject(), "wabridge: number +918880110022: on hold (and 1 more)");
        let text = letter.text();
        assert!(text.contains("Meta refuses it. What to do: mend it, then `wabridge release`."), "{text}");
        assert!(text.contains("all clear: number +918880110033"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&letter.json()).expect("it is JSON");
        assert_eq!((&json["alarms"][0]["kind"], &json["alarms"][1]["state"]), (&"number_held".into(), &"over".into()));
        assert_eq!((json["at"].as_i64(), json["more"].as_u64()), (Some(1_790_000_060), Some(0)));
    }

    #[test]
    fn a_flood_becomes_one_letter_of_limited_length() {
        let lines = (0..LINES_MAX + 7).map(|number| line(&format!("number {number}"), LineState::Raised)).collect();
        let letter = Letter { at: UnixMillis(0), instance: "one".to_owned(), lines };

        assert!(letter.text().contains("And 7 more"));
        let json: serde_json::Value = serde_json::from_str(&letter.json()).expect("it is JSON");
        assert_eq!((json["alarms"].as_array().map(Vec::len), json["more"].as_u64()), (Some(LINES_MAX), Some(7)));
    }
}
