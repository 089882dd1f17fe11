//! What was seen from outside the bridge: the answers over HTTP, what came to WhatsApp, and what came to CleverTap.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use wabridge::simulator::{CallbackRecord, Endpoint, RecordedSend, Stats};

use super::{
    campaign::Offer,
    offer::{Answer, Answered},
};

pub(super) struct Evidence {
    pub(super) offers: Vec<Offer>,
    pub(super) answers: Vec<Answered>,
    /// Every send that reached WhatsApp.
    pub(super) sends: Vec<RecordedSend>,
    /// Every callback that reached CleverTap.
    pub(super) reports: Vec<CallbackRecord>,
    pub(super) stats: Stats,
    /// Statuses that the bridge could not read or match.
    pub(super) kept_aside: u64,
    /// Those among them of which nobody could know whose they are.
    pub(super) nobodys: u64,
    /// What was still owed when nothing moved any more.
    pub(super) unsettled: Option<String>,
}

/// What CleverTap was told about one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) sent: bool,
    pub(super) delivered: bool,
    pub(super) read: bool,
    /// CleverTap's code and the title with it.
    pub(super) failed: Option<(u32, String)>,
}

impl Evidence {
    /// Messages that were answered with success, each with its first request.
    pub(super) fn accepted(&self) -> BTreeMap<&str, &Offer> {
        let successes = self.answers.iter().filter(|answered| answered.answer == Answer::Success);
        successes.map(|answered| &self.offers[answered.place]).map(|offer| (offer.msg_id.as_str(), offer)).collect()
    }

    /// By msgId. Repeated reports change nothing.
    pub(super) fn heard(&self) -> HashMap<&str, Heard> {
        let mut heard: HashMap<&str, Heard> = HashMap::new();
        for report in self.reports.iter().filter(|report| report.endpoint == Endpoint::DeliveryReports) {
            let message = heard.entry(report.msg_id.as_deref().unwrap_or_default()).or_default();
            match report.kind.as_str() {
                "sent" => message.sent = true,
                "delivered" => message.delivered = true,
                "read" => message.read = true,
                "failed" => message.failed = Some(error_of(&report.entry)),
                _ => {}
            }
        }
        heard
    }

    /// People who were sent a message, and how often WhatsApp took it.
    pub(super) fn taken_by_recipient(&self) -> HashMap<&str, usize> {
        let mut taken = HashMap::new();
        for send in self.sends.iter().filter(|send| send.wamid.is_some()) {
            *taken.entry(send.recipient.as_str()).or_default() += 1;
        }
        taken
    }

    /// People whose every request was refused: nothing may ever be sent to them.
    pub(super) fn refused_recipients(&self) -> HashSet<&str> {
        let accepted: HashSet<&str> = self.accepted().values().map(|offer| offer.recipient.as_str()).collect();
        let refused = self.answers.iter().filter(|answered| matches!(answered.answer, Answer::Refused { .. }));
        let recipients = refused.map(|answered| self.offers[answered.place].recipient.as_str());
        recipients.filter(|recipient| !accepted.contains(recipient)).collect()
    }

    /// A message that has a long story to tell.
    pub(super) fn a_message_with_a_story(&self) -> Option<&str> {
        let replied = |kind: &str| {
            let mut replies = self.reports.iter().filter(|report| report.endpoint == Endpoint::Inbound);
            replies.find(|report| report.kind == kind).and_then(|report| report.msg_id.as_deref())
        };
        replied("button").or_else(|| replied("text")).or_else(|| self.accepted().keys().next().copied())
    }
}

fn error_of(entry: &Value) -> (u32, String) {
    let code = entry["error"]["code"].as_u64().and_then(|code| u32::try_from(code).ok()).unwrap_or_default();
    (code, entry["error"]["title"].as_str().unwrap_or_default().to_owned())
}
