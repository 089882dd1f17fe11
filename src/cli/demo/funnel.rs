//! The funnel: from what was offered to what became of it. Counts what was seen, and says when it contradicts itself.

use std::collections::BTreeMap;

use wabridge::{domain::words::thousands, simulator::Endpoint};

use super::{
    evidence::{Evidence, Heard},
    offer::Answer,
};

/// How many messages, by what was said about them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Funnel {
    pub(super) offered: usize,
    /// Messages, not requests.
    pub(super) accepted: usize,
    /// Successes beyond the first of a message.
    pub(super) repeats: usize,
    /// By CleverTap's code.
    pub(super) refused: BTreeMap<u16, Said>,
    /// Requests without an answer that CleverTap can read, by what was wrong.
    pub(super) unanswered: BTreeMap<String, usize>,
    /// Requests to WhatsApp, whatever became of them.
    pub(super) sends: usize,
    /// Accepted messages that WhatsApp has taken.
    pub(super) taken: usize,
    pub(super) delivered: usize,
    pub(super) read: usize,
    /// By CleverTap's code; what arrived somewhere all the same is not among them.
    pub(super) failed: BTreeMap<u32, Said>,
    /// `sent` was the last news.
    pub(super) only_sent: usize,
    /// CleverTap has heard nothing.
    pub(super) silent: usize,
    /// Replies by kind.
    pub(super) replies: BTreeMap<String, usize>,
    /// Those among them that name the message they answer.
    pub(super) replies_in_context: usize,
    /// Reports that nobody can give to a message.
    pub(super) nobodys: usize,
}

/// How often, and in which words the first time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) count: usize,
    pub(super) first: String,
}

impl Said {
    fn once_more(&mut self, words: &str) {
        if self.count == 0 {
            self.first = words.to_owned();
        }
        self.count += 1;
    }
}

impl Funnel {
    pub(super) fn count(evidence: &Evidence) -> Self {
        let sends = evidence.stats.sends_received as usize;
        let nobodys = evidence.nobodys as usize;
        let mut funnel = Self { offered: evidence.offers.len(), sends, nobodys, ..Self::default() };
        funnel.count_answers(evidence);
        funnel.count_news(evidence);
        funnel.count_replies(evidence);
        funnel
    }

    fn count_answers(&mut self, evidence: &Evidence) {
        let mut successes = 0;
        for answered in &evidence.answers {
            match &answered.answer {
                Answer::Success => successes += 1,
                Answer::Refused { code, message } => self.refused.entry(*code).or_default().once_more(message),
                Answer::None(why) => *self.unanswered.entry(why.clone()).or_default() += 1,
            }
        }
        self.accepted = evidence.accepted().len();
        self.repeats = successes - self.accepted;
    }

    fn count_news(&mut self, evidence: &Evidence) {
        let heard = evidence.heard();
        let taken = evidence.taken_by_recipient();
        let nothing = Heard::default();
        for (msg_id, offer) in evidence.accepted() {
            self.taken += usize::from(taken.contains_key(offer.recipient.as_str()));
            match heard.get(msg_id).unwrap_or(&nothing) {
                Heard { delivered, read, .. } if *delivered || *read => {
                    self.delivered += 1;
                    self.read += usize::from(*read);
                }
                Heard { failed: Some((code, title)), .. } => self.failed.entry(*code).or_default().once_more(title),
                Heard { sent: true, .. } => self.only_sent += 1,
                Heard { .. } => self.silent += 1,
            }
        }
    }

    fn count_replies(&mut self, evidence: &Evidence) {
        for reply in evidence.reports.iter().filter(|report| report.endpoint == Endpoint::Inbound) {
            *self.replies.entry(reply.kind.clone()).or_default() += 1;
            self.replies_in_context += usize::from(reply.msg_id.is_some());
        }
    }

    pub(super) fn refused_total(&self) -> usize {
        self.refused.values().map(|said| said.count).sum()
    }

    pub(super) fn failed_total(&self) -> usize {
        self.failed.values().map(|said| said.count).sum()
    }

    /// Everything that must not be, in words; empty when all is well.
    pub(super) fn problems(&self, evidence: &Evidence) -> Vec<String> {
        let mut problems = Problems(evidence.unsettled.iter().cloned().collect());
        self.check_answers(&mut problems);
        check_sends(evidence, &mut problems);
        check_callbacks(evidence, &mut problems);
        let replies: usize = self.replies.values().sum();
        if replies as u64 != evidence.stats.inbound_taken {
            let told = evidence.stats.inbound_taken;
            problems.0.push(format!("people wrote {told} replies, and CleverTap heard of {replies}"));
        }
        problems.0
    }

    fn check_answers(&self, problems: &mut Problems) {
        let unanswered = self.unanswered.values().sum();
        problems.none(unanswered, "requests got no answer that CleverTap could read");
        let answers = self.accepted + self.repeats + self.refused_total() + unanswered;
        if answers != self.offered {
            problems.0.push(format!("{} requests were offered, and {answers} are accounted for", self.offered));
        }
        let news = self.delivered + self.failed_total() + self.only_sent + self.silent;
        if news != self.accepted {
            problems.0.push(format!("{} messages were accepted, and {news} are accounted for", self.accepted));
        }
    }
}

struct Problems(Vec<String>);

impl Problems {
    fn none(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.0.push(format!("{} {what}", thousands(count)));
        }
    }
}

fn check_sends(evidence: &Evidence, problems: &mut Problems) {
    let (accepted, heard, taken) = (evidence.accepted(), evidence.heard(), evidence.taken_by_recipient());
    let lost = accepted.iter().filter(|(msg_id, offer)| {
        let failed = heard.get(**msg_id).is_some_and(|heard| heard.failed.is_some());
        !failed && !taken.contains_key(offer.recipient.as_str())
    });
    problems.none(lost.count(), "accepted messages neither reached WhatsApp nor were reported as failed");
    problems.none(taken.values().filter(|times| **times > 1).count(), "people were sent their message more than once");
    let refused = evidence.refused_recipients();
    let sent_all_the_same = evidence.sends.iter().filter(|send| refused.contains(send.recipient.as_str()));
    problems.none(sent_all_the_same.count(), "messages were sent although their request had been refused");
}

fn check_callbacks(evidence: &Evidence, problems: &mut Problems) {
    let accepted = evidence.accepted();
    let strangers = evidence.heard().keys().filter(|msg_id| !accepted.contains_key(**msg_id)).count();
    problems.none(strangers, "messages were reported to CleverTap that had never been accepted");
    let clevertap = &evidence.stats.clevertap;
    problems.none(clevertap.violations as usize, "callbacks did not have CleverTap’s shape");
    problems.none(clevertap.out_of_order as usize, "statuses came to CleverTap behind later ones");
    problems.none(clevertap.gaps as usize, "statuses came to CleverTap without those before them");
    problems.none(evidence.stats.updates_dropped as usize, "of WhatsApp’s reports could not be told to the bridge");
    let not_understood = evidence.kept_aside.saturating_sub(evidence.nobodys);
    problems.none(not_understood as usize, "of WhatsApp’s reports could not be read or matched");
    let invented = evidence.nobodys.saturating_sub(evidence.kept_aside);
    problems.none(invented as usize, "of WhatsApp’s reports were matched, and nobody could know to which message");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use wabridge::simulator::{CallbackRecord, RecordedSend, Stats};

    use super::{
        super::{campaign::Offer, offer::Answered},
        *,
    };

    #[test]
    fn every_request_and_every_message_is_counted_once() {
        let mut evidence = four_messages();
        evidence.stats.inbound_taken = 1;

        let funnel = Funnel::count(&evidence);

        assert_eq!((funnel.offered, funnel.accepted, funnel.repeats, funnel.refused_total()), (5, 3, 1, 1));
        assert_eq!((funnel.taken, funnel.delivered, funnel.read, funnel.silent), (2, 1, 1, 1));
        assert_eq!(funnel.failed[&1005], Said { count: 1, first: "not there".to_owned() });
        assert_eq!((funnel.replies["button"], funnel.replies_in_context), (1, 1));
        assert_eq!(funnel.problems(&evidence), Vec::<String>::new());
    }

    #[test]
    fn what_must_not_be_is_said() {
        let mut evidence = four_messages();
        evidence.sends.retain(|send| send.recipient != "3");
        evidence.sends.extend([send("1"), send("4")]);
        evidence.reports.push(report("99", "sent", None));
        (evidence.kept_aside, evidence.nobodys) = (4, 3);

        let problems = Funnel::count(&evidence).problems(&evidence).join("\n");

        for expected in [
            "1 accepted messages neither reached WhatsApp nor were reported as failed",
            "1 people were sent their message more than once",
            "1 messages were sent although their request had been refused",
            "1 messages were reported to CleverTap that had never been accepted",
            "people wrote 0 replies, and CleverTap heard of 1",
            "1 of WhatsApp’s reports could not be read or matched",
        ] {
            assert!(problems.contains(expected), "{expected:?} is missing from:\n{problems}");
        }
    }

    /// The first is read and answered, offered twice; the second fails; of the third nobody hears; the fourth is refused.
    fn four_messages() -> Evidence {
        let offer =
            |id: &str| Offer { msg_id: id.to_owned(), recipient: id.to_owned(), passcode: "", body: String::new() };
        let refused = Answer::Refused { code: 2001, message: "no such template".to_owned() };
        let answers = [Answer::Success, Answer::Success, Answer::Success, Answer::Success, refused];
        let answered = |(place, answer)| Answered { place, answer, took: Duration::from_millis(1) };
        let mut tap = report("1", "button", None);
        tap.endpoint = Endpoint::Inbound;
        Evidence {
            offers: ["1", "1", "2", "3", "4"].map(offer).to_vec(),
            answers: answers.into_iter().enumerate().map(answered).collect(),
            sends: vec![send("1"), send("3")],
            reports: vec![
                report("1", "sent", None),
                report("1", "read", None),
                report("2", "failed", Some((1005, "not there"))),
                tap,
            ],
            stats: Stats::default(),
            kept_aside: 0,
            nobodys: 0,
            unsettled: None,
        }
    }

    fn send(recipient: &str) -> RecordedSend {
        RecordedSend {
            phone_number_id: "1001".to_owned(),
            recipient: recipient.to_owned(),
            wamid: Some("wamid.A".to_owned()),
            received_at_unix_ms: 0,
            body: json!({}),
        }
    }

    fn report(msg_id: &str, kind: &str, error: Option<(u32, &str)>) -> CallbackRecord {
        let error = error.map(|(code, title)| json!({"code": code, "title": title}));
        CallbackRecord {
            endpoint: Endpoint::DeliveryReports,
            account: "acme".to_owned(),
            msg_id: Some(msg_id.to_owned()),
            kind: kind.to_owned(),
            received_at_unix_ms: 0,
            entry: json!({"error": error}),
        }
    }
}
