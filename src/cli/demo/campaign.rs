//! What is offered: a campaign that is the same for the same number of messages.
//!
//! Of every hundred messages most are good, and [`SPECIALS`] says which are not: wrong ones that the bridge must refuse,
//! people of whom the simulator knows by the end of their number that something will happen to them, and requests
//! that come twice. Twenty messages are enough to see the most important ones.

use serde_json::json;
use wabridge::domain::time::UnixMillis;

use super::{
    content::Content,
    world::{NEVER_READ, PASSCODE},
};

pub(super) const BUSINESS_NUMBER: &str = "+918880110022";
const STRANGE_BUSINESS_NUMBER: &str = "+918880119999";
const IMPOSSIBLE_NUMBER: &str = "+91 12345";
const WRONG_PASSCODE: &str = "yesterdays-passcode";

/// One request to the bridge.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) msg_id: String,
    /// Digits.
    pub(super) recipient: String,
    pub(super) passcode: &'static str,
    pub(super) body: String,
}

/// What is special about some messages.
#[derive(Clone, Copy, Debug)]
enum Special {
    /// The last four digits of the recipient decide what happens; see the simulator.
    Fate(&'static str, Content),
    /// Good, and of this content.
    Plain(Content),
    /// Cannot be sent as it is.
    Wrong(Content),
    ImpossibleNumber,
    WrongPasscode,
    StrangeBusinessNumber,
    /// The request before this one, once more, while the first may not even be answered.
    Repeat,
}

const PERIOD: usize = 100;

/// By place in each hundred. The place before a repeat is left free, so that it is a good message.
const SPECIALS: &[(usize, Special)] = {
    use Content::*;
    use Special::*;
    &[
        (1, Fate(WRITES_BACK, OrderUpdate)),
        (3, Wrong(TooFewParameters)),
        (4, Fate(TAPS, FestiveOffer)),
        (6, Wrong(UnknownTemplate)),
        (8, Fate(NOT_ON_WHATSAPP, OrderUpdate)),
        (10, ImpossibleNumber),
        (11, Fate(ANSWER_LOST, OrderUpdate)),
        (13, WrongPasscode),
        (15, Repeat),
        (16, Fate(NEVER_READ, Coupon)),
        (17, StrangeBusinessNumber),
        (18, Plain(FreeformText)),
        (19, Fate(CONNECTION_BROKEN, OrderUpdate)),
        (23, Fate(NOT_DELIVERED_BY_META, Coupon)),
        (27, Fate(NEVER_READ, FestiveOffer)),
        (29, Fate(OUTSIDE_WINDOW, FreeformText)),
        (31, Fate(WRITES_BACK, Invoice)),
        (34, Fate(STOPPED_MARKETING, FestiveOffer)),
        (36, Fate(NEVER_READ, CartReminder)),
        (38, Fate(NOT_ALLOWED, OrderUpdate)),
        (41, Fate(SENT_ONLY, OrderUpdate)),
        (43, Fate(TAPS, FestiveOffer)),
        (46, Fate(NO_STATUS, OrderUpdate)),
        (48, Fate(NEVER_READ, ProductTour)),
        (50, Repeat),
        (52, Fate(WRONG_ORDER, Invoice)),
        (54, Plain(FreeformImage)),
        (56, Fate(EVERYTHING_THRICE, StoreNearby)),
        (58, Fate(NEVER_READ, Coupon)),
        (60, Wrong(PausedTemplate)),
        (62, Fate(DELIVERED_SKIPPED, OrderUpdate)),
        (65, Fate(FAILED_AFTER_DELIVERED, Appointment)),
        (67, Fate(NEVER_READ, FestiveOffer)),
        (69, Fate(STATUSES_BEFORE_ANSWER, OrderUpdate)),
        (71, Fate(WRITES_BACK, StoreNearby)),
        (74, Fate(NEVER_READ, OrderUpdateHindi)),
        (76, Fate(NOT_ON_WHATSAPP, Welcome)),
        (78, Fate(TAPS, FestiveOffer)),
        (81, Fate(NEVER_READ, CartReminder)),
        (83, Repeat),
        (85, Fate(NOT_DELIVERED_BY_META, FestiveOffer)),
        (88, Fate(NEVER_READ, Coupon)),
        (90, Fate(ANSWER_LOST, Appointment)),
        (93, Fate(NEVER_READ, Invoice)),
        (96, Fate(NEVER_READ, FestiveOffer)),
        (98, Fate(WRITES_BACK, Welcome)),
    ]
};

/// The simulator's table, which stands in its essay.
const NOT_ON_WHATSAPP: &str = "0001";
const NOT_DELIVERED_BY_META: &str = "0002";
const OUTSIDE_WINDOW: &str = "0003";
const STOPPED_MARKETING: &str = "0004";
const NOT_ALLOWED: &str = "0005";
const SENT_ONLY: &str = "0006";
const NO_STATUS: &str = "0007";
const WRONG_ORDER: &str = "0008";
const EVERYTHING_THRICE: &str = "0009";
const DELIVERED_SKIPPED: &str = "0010";
const FAILED_AFTER_DELIVERED: &str = "0011";
const ANSWER_LOST: &str = "0012";
const CONNECTION_BROKEN: &str = "0013";
const WRITES_BACK: &str = "0014";
const TAPS: &str = "0015";
const STATUSES_BEFORE_ANSWER: &str = "0016";

/// The whole campaign, in the order in which it is offered.
pub(super) fn write(messages: usize, started_at: UnixMillis) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::with_capacity(messages);
    let mut ordinary = Content::ORDINARY.iter().copied().cycle();
    for place in 0..messages {
        let special = SPECIALS.iter().find(|(at, _)| *at == place % PERIOD).map(|(_, special)| *special);
        let draft = Draft { place, started_at };
        let offer = match (special, offers.last()) {
            (Some(Special::Repeat), Some(first)) => first.clone(),
            (Some(Special::Fate(ending, content)), _) => draft.good(Some(ending), content),
            (Some(Special::Plain(content) | Special::Wrong(content)), _) => draft.good(None, content),
            (Some(Special::ImpossibleNumber), _) => {
                draft.offer(IMPOSSIBLE_NUMBER, BUSINESS_NUMBER, PASSCODE, Content::OrderUpdate)
            }
            (Some(Special::WrongPasscode), _) => {
                draft.offer(&draft.recipient(None), BUSINESS_NUMBER, WRONG_PASSCODE, Content::OrderUpdate)
            }
            (Some(Special::StrangeBusinessNumber), _) => {
                draft.offer(&draft.recipient(None), STRANGE_BUSINESS_NUMBER, PASSCODE, Content::OrderUpdate)
            }
            (Some(Special::Repeat) | None, _) => {
                draft.good(None, ordinary.next().expect("a cycle over a list that is not empty has no end"))
            }
        };
        offers.push(offer);
    }
    offers
}

/// A campaign as marketers make them, of one template for everybody; people are as they are in the other.
pub(super) fn write_of_one(content: Content, messages: usize, started_at: UnixMillis) -> Vec<Offer> {
    let ending = |place: usize| {
        let special = SPECIALS.iter().find(|(at, _)| *at == place % PERIOD).map(|(_, special)| *special);
        let Some(Special::Fate(ending, _)) = special else { return None };
        // Only what has a button can be tapped, and templates need no window.
        (ending != OUTSIDE_WINDOW && (ending != TAPS || content == Content::FestiveOffer)).then_some(ending)
    };
    (0..messages).map(|place| Draft { place, started_at }.good(ending(place), content)).collect()
}

/// What becomes of somebody's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    NotOnWhatsapp,
    /// By Meta, for the person's sake.
    HeldBack,
    OutsideWindow,
    Stopped,
    /// The provider does not take it.
    Rejected,
    Sent,
    Delivered,
    Read,
    WritesBack,
    Taps,
}

/// As the recipient's number says; where the simulator tries something out, it goes well.
pub(super) fn fate_of(offer: &Offer) -> Fate {
    let ending = offer.recipient.get(offer.recipient.len().saturating_sub(4)..).unwrap_or_default();
    match ending {
        NOT_ON_WHATSAPP => Fate::NotOnWhatsapp,
        NOT_DELIVERED_BY_META => Fate::HeldBack,
        OUTSIDE_WINDOW => Fate::OutsideWindow,
        STOPPED_MARKETING => Fate::Stopped,
        NOT_ALLOWED => Fate::Rejected,
        SENT_ONLY | NO_STATUS => Fate::Sent,
        NEVER_READ => Fate::Delivered,
        WRITES_BACK => Fate::WritesBack,
        TAPS => Fate::Taps,
        _ => Fate::Read,
    }
}

/// Whether the bridge would take it.
pub(super) fn is_sendable(offer: &Offer) -> bool {
    let wrong = [STRANGE_BUSINESS_NUMBER, "summer_sale", "winback"];
    let lacks_a_value = offer.body.contains("order_update") && !offer.body.contains("\"A-");
    offer.recipient.len() == 12 && !lacks_a_value && wrong.into_iter().all(|part| !offer.body.contains(part))
}

/// One more message, for a visitor to send by hand.
pub(super) fn one_more(started_at: UnixMillis) -> Offer {
    let draft = Draft { place: ONE_MORE_PLACE, started_at };
    draft.good(Some(TAPS), Content::FestiveOffer)
}

/// Behind every place that a campaign can have.
const ONE_MORE_PLACE: usize = 110_000;

/// A message of which only the place is known.
#[derive(Clone, Copy)]
struct Draft {
    place: usize,
    started_at: UnixMillis,
}

impl Draft {
    fn good(self, ending: Option<&str>, content: Content) -> Offer {
        self.offer(&self.recipient(ending), BUSINESS_NUMBER, PASSCODE, content)
    }

    fn offer(self, to: &str, business_number: &str, passcode: &'static str, content: Content) -> Offer {
        let msg_id = self.msg_id();
        let mut body = json!({"payloadVersion": 0.1, "to": to, "wabaNumber": business_number, "msgId": msg_id});
        let parts = content.write(self.place);
        body.as_object_mut().expect("it was written as an object").extend(parts);
        let recipient = to.chars().filter(char::is_ascii_digit).collect();
        Offer { msg_id, recipient, passcode, body: body.to_string() }
    }

    /// In CleverTap's pattern: the second part is the campaign, the third the day of the batch.
    fn msg_id(self) -> String {
        let campaign = self.started_at.as_seconds();
        let day = chrono::DateTime::from_timestamp(campaign, 0).unwrap_or_default().format("%Y%m%d");
        format!("{0}|{campaign}|{day}|{0}|0", self.place + 1)
    }

    /// Everybody is somebody else. Without an ending that decides a fate, the ending is above all those.
    fn recipient(self, ending: Option<&str>) -> String {
        let (block, number) = (98 - self.place / 10_000 % 20, self.place % 10_000);
        let ending = ending.map_or_else(|| (1_000 + self.place * 7 % 9_000).to_string(), str::to_owned);
        format!("+91{block}{number:04}{ending}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn bodies(messages: usize) -> Vec<String> {
        write(messages, NOW).into_iter().map(|offer| offer.body).collect()
    }

    #[test]
    fn the_same_number_of_messages_is_the_same_campaign() {
        assert_eq!(bodies(250), bodies(250));
        assert_eq!(bodies(20), bodies(250)[..20]);
    }

    #[test]
    fn everybody_gets_one_message_and_only_repeats_come_twice() {
        let offers = write(20_000, NOW);
        let mut people: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let possible = offers.iter().filter(|offer| offer.recipient.len() == 12);
        possible.for_each(|offer| people.entry(&offer.recipient).or_default().extend([offer.msg_id.as_str()]));

        assert!(people.values().all(|ids| ids.len() == 1));
        let ids: BTreeSet<&str> = offers.iter().map(|offer| offer.msg_id.as_str()).collect();
        assert_eq!(offers.len() - ids.len(), 3 * 200);
    }

    #[test]
    fn twenty_messages_show_every_answer_a_loss_a_repeat_and_both_kinds_of_reply() {
        let offers = write(20, NOW);
        let ends = |ending: &str| offers.iter().any(|offer| offer.recipient.ends_with(ending));

        assert!([WRITES_BACK, TAPS, NOT_ON_WHATSAPP, ANSWER_LOST, CONNECTION_BROKEN].into_iter().all(ends));
        assert!(offers.iter().any(|offer| offer.passcode == WRONG_PASSCODE));
        assert!(offers.iter().any(|offer| offer.recipient.len() < 12));
        assert_eq!(offers[14].body, offers[15].body);
    }
}
