//! The judge: compares what was promised with what was seen, and knows nothing of the bridge.
//!
//! Three journals meet here. The load wrote down what was answered with success; the simulator wrote down which messages
//! WhatsApp took and what CleverTap was told. Every message goes to a person of its own, so a person who got two messages
//! is a message sent twice. [`check`] is pure, and [`check_itself`] shows that it sees each kind of fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use crate::stage::IN_FLIGHT_MAX;

/// All that was seen of one run, when everything has come to rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// What was asked for, by the platform's id.
    pub(crate) asked: BTreeMap<String, Asked>,
    /// People to whom WhatsApp took a message, each as often as it did.
    pub(crate) taken: Vec<String>,
    /// What the platform was told of each message, in order.
    pub(crate) told: BTreeMap<String, Vec<String>>,
    /// Most sends of each number in any second.
    pub(crate) peaks: BTreeMap<String, u64>,
    /// Callbacks that had not the documented shape.
    pub(crate) violations: u64,
    /// Whether reports name our own id of their message. Where they do not, nobody can tell whose reports those are whose
    /// message's answer was lost.
    pub(crate) gives_our_id_back: bool,
    /// People whose own messages were taken with 200, each as often as one was.
    pub(crate) heard: Vec<String>,
    /// Who wrote the messages that the platform was told, in order.
    pub(crate) told_of: Vec<String>,
    /// What took so long, and may only take so long when times are judged.
    pub(crate) timed: Vec<Timed>,
}

/// How long something took that has a limit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timed {
    pub(crate) what: &'static str,
    pub(crate) took: Duration,
    pub(crate) at_most: Duration,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Digits.
    pub(crate) recipient: String,
    /// From which it is sent.
    pub(crate) number: String,
    pub(crate) successes: u32,
    /// By HTTP status.
    pub(crate) refusals: BTreeMap<u16, u32>,
    /// The connection broke, or nothing came in time.
    pub(crate) unanswered: u32,
}

/// What the scenario allows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// For each number, in a second.
    pub(crate) messages_per_second: u64,
    /// Messages of which nobody can know whether they went out: what was in flight at a fault.
    pub(crate) unknown: usize,
    /// Messages that may be sent twice: the policy says `resend`, and a process was stopped in the middle of writing.
    pub(crate) sent_twice: usize,
    /// Callbacks are told at least once: again only when a fault came between telling and noting it.
    pub(crate) told_twice: usize,
    /// Whether times are judged, and the pace to the message: only on a machine that has nothing else to do.
    pub(crate) judges_times: bool,
}

impl Allowed {
    /// Of so many rounds, when this is allowed for one of them.
    pub(crate) fn times(self, rounds: u32, messages_per_second: u32) -> Self {
        let times = |each: usize| each.saturating_mul(rounds as usize);
        Self {
            messages_per_second: u64::from(messages_per_second),
            unknown: times(self.unknown),
            sent_twice: times(self.sent_twice),
            told_twice: times(self.told_twice),
            judges_times: self.judges_times,
        }
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Finding {
    /// Accepted, and neither sent nor reported as failed.
    Lost {
        message: String,
    },
    /// WhatsApp reported what was never told.
    StatusLost {
        message: String,
        told: Vec<String>,
    },
    SentTwice {
        message: String,
        times: usize,
    },
    /// Nobody asked for it.
    SentUnasked {
        recipient: String,
    },
    ToldTwice {
        messages: usize,
    },
    OutOfOrder {
        message: String,
        told: Vec<String>,
    },
    OverPace {
        number: String,
        peak: u64,
    },
    TooManyUnknown {
        messages: usize,
    },
    WrongShape {
        callbacks: u64,
    },
    /// What a person wrote was taken and never told.
    InboundLost {
        person: String,
    },
    /// The platform was told of a message that nobody wrote.
    InboundForeign {
        person: String,
    },
    /// Refused, and not as the platform is told of a message that could not be stored.
    WrongRefusal {
        status: u16,
        times: u32,
    },
    Late {
        what: &'static str,
        took: Duration,
        at_most: Duration,
    },
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    pub(crate) accepted: usize,
    pub(crate) refusals: u64,
    pub(crate) unanswered: u64,
    pub(crate) sent: usize,
    pub(crate) sent_twice: usize,
    pub(crate) unknown: usize,
    pub(crate) told_again: usize,
    /// Messages of people.
    pub(crate) heard: usize,
    pub(crate) peak_per_second: u64,
    /// Why the scenario could not run here; then it says nothing.
    pub(crate) skipped: Option<&'static str>,
}

impl Verdict {
    pub(crate) fn skipped(why: &'static str) -> Self {
        Self { skipped: Some(why), ..Self::default() }
    }
}

/// What a platform is told of a message that is not with us.
const REFUSED: u16 = 500;

/// A process that had to wait sends what it has a little closer together than it meant to. Two owners of one number send twice as
/// fast.
const PACE_TOLERANCE_PERCENT: u64 = 150;
/// A simulator that stood still finds all at once that was in flight meanwhile.
const PACE_TOLERANCE: u64 = IN_FLIGHT_MAX as u64;

pub(crate) fn check(evidence: &Evidence, allowed: Allowed) -> Verdict {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for recipient in &evidence.taken {
        *taken.entry(recipient).or_default() += 1;
    }
    let mut verdict = Verdict { sent: taken.len(), ..Verdict::default() };
    let asked_for: BTreeSet<&str> = evidence.asked.values().map(|asked| asked.recipient.as_str()).collect();
    for recipient in taken.keys().filter(|recipient| !asked_for.contains(**recipient)) {
        verdict.findings.push(Finding::SentUnasked { recipient: (*recipient).to_owned() });
    }
    let mut twice = Vec::new();
    for (message, asked) in &evidence.asked {
        let told = evidence.told.get(message).map(Vec::as_slice).unwrap_or_default();
        let times = taken.get(asked.recipient.as_str()).copied().unwrap_or(0);
        verdict.accepted += usize::from(asked.successes > 0);
        verdict.refusals += asked.refusals.values().map(|times| u64::from(*times)).sum::<u64>();
        verdict.unanswered += u64::from(asked.unanswered);
        if times > 1 {
            twice.push(Finding::SentTwice { message: message.clone(), times });
        }
        judge_story(message, asked, told, (times, evidence.gives_our_id_back), &mut verdict);
    }
    verdict.sent_twice = twice.len();
    if twice.len() > allowed.sent_twice {
        verdict.findings.append(&mut twice);
    }
    judge_inbound(evidence, &mut verdict);
    judge_refusals(evidence, &mut verdict);
    judge_totals(evidence, allowed, &mut verdict);
    if allowed.judges_times {
        let late = evidence.timed.iter().filter(|timed| timed.took > timed.at_most);
        verdict.findings.extend(late.map(|&Timed { what, took, at_most }| Finding::Late { what, took, at_most }));
    }
    verdict
}

/// Each message that a person wrote is told, and once more only where that is allowed of all that is told.
fn judge_inbound(evidence: &Evidence, verdict: &mut Verdict) {
    verdict.heard = evidence.heard.len();
    let mut balance: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    evidence.heard.iter().for_each(|person| balance.entry(person).or_default().0 += 1);
    evidence.told_of.iter().for_each(|person| balance.entry(person).or_default().1 += 1);
    for (person, (heard, told)) in balance {
        let person = person.to_owned();
        match heard {
            0 => verdict.findings.push(Finding::InboundForeign { person }),
            _ if told < heard => verdict.findings.push(Finding::InboundLost { person }),
            _ => verdict.told_again += told - heard,
        }
    }
}

fn judge_refusals(evidence: &Evidence, verdict: &mut Verdict) {
    let mut wrong: BTreeMap<u16, u32> = BTreeMap::new();
    for (status, times) in evidence.asked.values().flat_map(|asked| &asked.refusals) {
        if *status != REFUSED {
            *wrong.entry(*status).or_default() += times;
        }
    }
    verdict.findings.extend(wrong.into_iter().map(|(status, times)| Finding::WrongRefusal { status, times }));
}

fn judge_story(
    message: &str,
    asked: &Asked,
    told: &[String],
    (times, gives_our_id_back): (usize, bool),
    verdict: &mut Verdict,
) {
    let mut first_told: Vec<&str> = Vec::new();
    for status in told {
        if !first_told.contains(&status.as_str()) {
            first_told.push(status);
        }
    }
    verdict.told_again += told.len() - first_told.len();
    let failed = first_told.contains(&"failed");
    match times {
        0 if failed => verdict.unknown += 1,
        0 if asked.successes > 0 => verdict.findings.push(Finding::Lost { message: message.to_owned() }),
        0 => {}
        _ if failed && !gives_our_id_back => verdict.unknown += 1,
        // The simulator reports everything up to `read` of all that it takes.
        _ if !first_told.contains(&"read") => {
            verdict.findings.push(Finding::StatusLost { message: message.to_owned(), told: told.to_vec() });
        }
        _ => {}
    }
    if !first_told.iter().map(|status| rank(status)).is_sorted() {
        verdict.findings.push(Finding::OutOfOrder { message: message.to_owned(), told: told.to_vec() });
    }
}

fn judge_totals(evidence: &Evidence, allowed: Allowed, verdict: &mut Verdict) {
    if verdict.unknown > allowed.unknown {
        verdict.findings.push(Finding::TooManyUnknown { messages: verdict.unknown });
    }
    if verdict.told_again > allowed.told_twice {
        verdict.findings.push(Finding::ToldTwice { messages: verdict.told_again });
    }
    for (number, peak) in &evidence.peaks {
        verdict.peak_per_second = verdict.peak_per_second.max(*peak);
        let meant = allowed.messages_per_second;
        let tolerated = (meant * PACE_TOLERANCE_PERCENT / 100).max(meant + PACE_TOLERANCE);
        let most = if allowed.judges_times { meant } else { tolerated };
        if *peak > most {
            verdict.findings.push(Finding::OverPace { number: number.clone(), peak: *peak });
        }
    }
    if evidence.violations > 0 {
        verdict.findings.push(Finding::WrongShape { callbacks: evidence.violations });
    }
}

/// A failure that we told because nobody knew better may be followed by what WhatsApp knew.
fn rank(status: &str) -> u8 {
    match status {
        "failed" => 0,
        "sent" => 1,
        "delivered" => 2,
        "read" => 3,
        _ => 4,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = self.skipped {
            return write!(out, "skipped: {why}");
        }
        let Self { accepted, refusals, unanswered, sent, sent_twice, unknown, told_again, heard, .. } = self;
        let (peak_per_second, findings) = (self.peak_per_second, &self.findings);
        write!(
            out,
            "accepted {accepted}, refused {refusals}, unanswered {unanswered}, sent {sent}, sent twice {sent_twice}, \
             unknown {unknown}, heard {heard}, told again {told_again}, at most {peak_per_second} a second: "
        )?;
        match findings.len() {
            0 => out.write_str("clean"),
            broken => write!(out, "{broken} promises broken"),
        }
    }
}

/// Breaks each promise in a made-up journal and looks whether the judge sees that one and no other.
pub(crate) fn check_itself() -> Result<(), String> {
    let allowed = Allowed { messages_per_second: 16, ..Allowed::default() };
    let sound = sound_evidence();
    let verdict = check(&sound, allowed);
    if !verdict.findings.is_empty() || (verdict.accepted, verdict.sent) != (2, 2) {
        return Err(format!("a sound journal was judged {verdict:?}"));
    }
    for (what, damage) in DAMAGES {
        let mut damaged = sound.clone();
        damage(&mut damaged);
        let findings = check(&damaged, Allowed { judges_times: what == "Late", ..allowed }).findings;
        let [finding] = findings.as_slice() else { return Err(format!("{what}: the checker saw {findings:?}")) };
        if !format!("{finding:?}").starts_with(what) {
            return Err(format!("{what}: the checker took it for {finding:?}"));
        }
    }
    Ok(())
}

type Damage = fn(&mut Evidence);

const DAMAGES: [(&str, Damage); 17] = [
    ("Lost", |seen| {
        seen.taken.remove(0);
        seen.told.remove("a");
    }),
    ("StatusLost", |seen| drop(seen.told.insert("a".into(), words("sent delivered")))),
    ("StatusLost", |seen| drop(seen.told.insert("a".into(), words("failed")))),
    ("SentTwice", |seen| seen.taken.push("1".into())),
    ("SentUnasked", |seen| seen.taken.push("3".into())),
    ("ToldTwice", |seen| drop(seen.told.insert("a".into(), words("sent delivered delivered read")))),
    ("OutOfOrder", |seen| drop(seen.told.insert("a".into(), words("delivered sent read")))),
    ("OverPace", |seen| seen.peaks.extend([("number".to_owned(), 49)])),
    ("TooManyUnknown", |seen| {
        seen.taken.remove(0);
        seen.told.insert("a".into(), words("failed"));
    }),
    ("TooManyUnknown", |seen| {
        seen.gives_our_id_back = false;
        seen.told.insert("a".into(), words("failed"));
    }),
    ("WrongShape", |seen| seen.violations = 1),
    ("InboundLost", |seen| seen.told_of.clear()),
    ("InboundForeign", |seen| seen.told_of.push("3".into())),
    ("ToldTwice", |seen| seen.told_of.push("1".into())),
    ("WrongRefusal", |seen| {
        let asked = seen.asked.values_mut();
        asked.for_each(|asked| asked.refusals = [(503, 1)].into());
    }),
    ("Late", |seen| seen.timed[0].took = Duration::from_millis(1_001)),
    ("OverPace", |seen| seen.peaks.extend([("other".to_owned(), 49)])),
];

fn sound_evidence() -> Evidence {
    let asked = |recipient: &str| Asked {
        recipient: recipient.into(),
        successes: 1,
        refusals: [(REFUSED, 2)].into(),
        ..Asked::default()
    };
    Evidence {
        asked: [("a".to_owned(), asked("1")), ("b".to_owned(), asked("2"))].into(),
        taken: words("1 2"),
        told: [("a".to_owned(), words("sent delivered read")), ("b".to_owned(), words("sent read"))].into(),
        peaks: [("number".to_owned(), 15)].into(),
        violations: 0,
        gives_our_id_back: true,
        heard: words("1"),
        told_of: words("1"),
        timed: vec![Timed { what: "an answer", took: Duration::from_millis(999), at_most: Duration::from_secs(1) }],
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
