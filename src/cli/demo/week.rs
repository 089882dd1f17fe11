//! A week that lies behind the demo, so that there is something to look at: two campaigns a day and orders around the clock, what
//! people's phones reported, and what some of them answered. It is written as rows and was never sent; what the demo prints counts
//! nothing of it.
//!
//! The same hour of the same day always has the same week behind it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use wabridge::{
    domain::{
        attempt::AttemptOutcome,
        callback::{EventKind, Subscription},
        failure::{Failure, FailureReason},
        ids::{AccountKey, MessageId, MessageIds, Place, SenderKey},
        outbound::{Category, SendState},
        price::{Price, PriceCategory},
        statistics::{AnswerTimes, Figure},
        status::DeliveryStatus,
        time::UnixMillis,
    },
    store::{
        past::{Past, PastEvent, PastExchange, PastMessage},
        statistics::{FigureKey, HOUR_MS, hour_of},
    },
};

use super::{
    campaign::{self, BUSINESS_NUMBER, Fate, Offer},
    content::Content,
    world::{ACCOUNT_ID, PASSCODE},
};

const DAYS: i64 = 7;
/// Before the demo's own campaign nothing moves for so long.
const QUIET: Duration = Duration::from_secs(10 * 60);
/// Campaigns of a day: the hour (UTC) at which they begin, and their messages; each day has some more or fewer.
const CAMPAIGNS: [(i64, i64); 2] = [(5, 340), (13, 190)];
/// What the campaigns are about, in turn.
const OFFERED: [Content; 5] =
    [Content::FestiveOffer, Content::CartReminder, Content::Coupon, Content::ProductTour, Content::Welcome];
/// Messages of orders in an hour of the day.
const ORDERS: [i64; 24] = [1, 0, 1, 3, 5, 7, 8, 8, 7, 6, 6, 7, 8, 9, 9, 8, 6, 5, 3, 2, 1, 1, 0, 0];
/// Two days ago somebody's callback URL was down for a while.
const DOWN_DAYS_AGO: i64 = 2;
const DOWN_AT_HOUR: i64 = 13;
/// Events of one callback request.
const EVENTS_PER_REQUEST: usize = 40;
/// Beyond the numbers of instances that a demo could have.
const NODE: i32 = 900;

/// Whose week it is.
pub(super) struct Owners {
    pub(super) account: AccountKey,
    pub(super) sender: SenderKey,
    pub(super) subscriptions: Vec<Subscription>,
}

pub(super) fn write(owners: &Owners, now: UnixMillis) -> Past {
    let end = now.minus(QUIET);
    let mut offers = offers(end);
    offers.sort_by_key(|(at, _)| *at);
    let ids = MessageIds::new(NODE);
    let mut week = Week { owners, end, past: Past::default() };
    for (place, (at, offer)) in offers.into_iter().enumerate() {
        week.accept(ids.next(at), place, &offer);
    }
    week.past.events.sort_by_key(|event| event.at);
    week.tell();
    week.past
}

/// What was asked for, and when.
fn offers(end: UnixMillis) -> Vec<(UnixMillis, Offer)> {
    let today = hour_of(end).div_euclid(24) * 24;
    let mut offers = Vec::new();
    let mut contents = OFFERED.into_iter().cycle();
    for day in 0..=DAYS {
        let midnight = today - day * 24;
        for ((hour, messages), content) in CAMPAIGNS.into_iter().zip(contents.by_ref()) {
            let begins = UnixMillis((midnight + hour) * HOUR_MS + 4 * 60_000);
            let messages = messages + (day * 37 + hour * 11) % 50 - 20;
            let written = campaign::write_of_one(content, usize::try_from(messages).unwrap_or_default(), begins);
            offers.extend((0..).map(|place| begins.plus(Duration::from_millis(90 * place))).zip(written));
        }
        // One journey a day, to which each order adds a message.
        let mut written =
            campaign::write(ORDERS.iter().sum::<i64>() as usize, UnixMillis(midnight * HOUR_MS)).into_iter();
        for (hour, orders) in (0..).zip(ORDERS) {
            let at = |order: i64| UnixMillis((midnight + hour) * HOUR_MS + (order * 7 + hour * 3 + day) % 60 * 60_000);
            offers.extend((0..orders).map(at).zip(&mut written));
        }
    }
    offers.retain(|(at, offer)| *at < end && offer.passcode == PASSCODE && campaign::is_sendable(offer));
    offers.sort_by(|one, other| one.1.msg_id.cmp(&other.1.msg_id));
    offers.dedup_by(|one, other| one.1.msg_id == other.1.msg_id);
    offers
}

struct Week<'a> {
    owners: &'a Owners,
    end: UnixMillis,
    past: Past,
}

impl Week<'_> {
    fn accept(&mut self, id: MessageId, place: usize, offer: &Offer) {
        let accepted_at = id.made_at();
        let body: Value = serde_json::from_str(&offer.body).unwrap_or_default();
        let template = template_of(&body);
        let fate = campaign::fate_of(offer);
        let failure = failure_of(fate);
        let is_rejected = fate == Fate::Rejected;
        let wamid = wamid(&offer.recipient, place);
        // Nobody's phone is like another's.
        let luck = (place * 7_919 + 13) % 100;
        let sent_at = accepted_at.plus(Duration::from_millis(40 + luck as u64));
        let mut delivery = None;
        if let Some(failure) = &failure {
            let after = if is_rejected { 0 } else { 2_000 };
            delivery = Some(DeliveryStatus::Failed);
            self.report(
                id,
                sent_at.plus(Duration::from_millis(after)),
                (DeliveryStatus::Failed, Some(failure)),
                &wamid,
                offer,
            );
        } else {
            let read_after = Duration::from_secs(60 + (luck as u64 * luck as u64) * 2);
            let reads = fate != Fate::Delivered && luck < 72;
            let steps = [
                (DeliveryStatus::Sent, Duration::from_secs(1), true),
                (DeliveryStatus::Delivered, Duration::from_secs(2 + luck as u64 / 4), fate != Fate::Sent),
                (DeliveryStatus::Read, read_after, reads && fate != Fate::Sent),
            ];
            for (status, after, happens) in steps {
                let at = sent_at.plus(after);
                if happens && at < self.end {
                    delivery = Some(status);
                    self.report(id, at, (status, None), &wamid, offer);
                }
            }
        }
        let answers = delivery == Some(DeliveryStatus::Read) && matches!(fate, Fate::WritesBack | Fate::Taps);
        let answered_at = sent_at.plus(Duration::from_secs(400 + luck as u64 * 9));
        if answers && answered_at < self.end {
            self.answer(id, answered_at, fate, &wamid, offer);
        }
        self.count(accepted_at, luck);
        let category = template.as_ref().map_or(Category::Freeform, |(name, _)| category_of(name));
        let was_sent = delivery.is_some_and(|status| status != DeliveryStatus::Failed);
        self.past.messages.push(PastMessage {
            id,
            account: self.owners.account,
            sender: self.owners.sender,
            category,
            platform_message_id: offer.msg_id.clone(),
            campaign: offer.msg_id.split('|').nth(1).map(str::to_owned),
            recipient: format!("+{}", offer.recipient),
            template,
            request: offer.body.clone(),
            state: if is_rejected { SendState::Rejected } else { SendState::Submitted },
            delivery,
            sent_at,
            took_ms: 30 + luck as i32,
            provider_message_id: (!is_rejected).then_some(wamid),
            failure,
            price: was_sent.then(|| price_of(category)),
        });
    }

    fn report(
        &mut self,
        message: MessageId,
        at: UnixMillis,
        (status, failure): (DeliveryStatus, Option<&Failure>),
        wamid: &str,
        offer: &Offer,
    ) {
        let entry = json!({
            "id": wamid, "status": status.as_str(), "timestamp": at.as_seconds().to_string(), "recipient_id": offer.recipient,
        });
        self.past.events.push(PastEvent {
            at,
            kind: EventKind::Status,
            account: self.owners.account,
            sender: self.owners.sender,
            message: Some(message),
            status: Some(status),
            failure: failure.cloned(),
            provider_message_id: None,
            tapped: None,
            entry: Some(entry.to_string()),
        });
    }

    fn answer(&mut self, message: MessageId, at: UnixMillis, fate: Fate, wamid: &str, offer: &Offer) {
        let id = format!("{wamid}R");
        let mut entry = json!({
            "context": {"from": BUSINESS_NUMBER.trim_start_matches('+'), "id": wamid},
            "from": offer.recipient, "id": id, "timestamp": at.as_seconds().to_string(),
        });
        let said = match fate {
            Fate::Taps => json!({"type": "button", "button": {"payload": "Show me", "text": "Show me"}}),
            Fate::NotOnWhatsapp
            | Fate::HeldBack
            | Fate::OutsideWindow
            | Fate::Stopped
            | Fate::Rejected
            | Fate::Sent
            | Fate::Delivered
            | Fate::Read
            | Fate::WritesBack => json!({"type": "text", "text": {"body": "Thank you 🙏"}}),
        };
        if let (Some(entry), Value::Object(said)) = (entry.as_object_mut(), said) {
            entry.extend(said);
        }
        self.past.events.push(PastEvent {
            at,
            kind: EventKind::Inbound,
            account: self.owners.account,
            sender: self.owners.sender,
            message: Some(message),
            status: None,
            failure: None,
            provider_message_id: Some(id),
            tapped: Some(matches!(fate, Fate::Taps)),
            entry: Some(entry.to_string()),
        });
    }

    /// How fast the answer was; the messages themselves are counted by the bridge.
    fn count(&mut self, at: UnixMillis, luck: usize) {
        let took_ms = [3, 4, 6, 9, 14, 30, 80][luck % 7];
        self.add(at, Figure::Answered, AnswerTimes::place_of(took_ms), 1);
    }

    fn add(&mut self, at: UnixMillis, figure: Figure, detail: i16, amount: u64) {
        let key = FigureKey { hour: hour_of(at), account: self.owners.account, figure, detail, code: None };
        self.past.figures.entry(key).or_default().amount += amount;
    }

    /// The callback requests in which all this was told.
    fn tell(&mut self) {
        // Ids only grow, and those of the messages have come to the week's end already.
        let ids = MessageIds::new(NODE + 1);
        let down_day = hour_of(self.end).div_euclid(24) - DOWN_DAYS_AGO;
        let down = down_day * 24 + DOWN_AT_HOUR;
        let mut exchanges = Vec::new();
        for subscription in &self.owners.subscriptions {
            let events = self.past.events.iter().zip(1..).filter(|(event, _)| event.kind == subscription.kind);
            let events: Vec<(UnixMillis, Place)> = events.map(|(event, place)| (event.at, Place(place))).collect();
            for run in runs(&events) {
                let ((_, first), (at, last)) = (run[0], run[run.len() - 1]);
                let fails = hour_of(at) == down && at.0.rem_euclid(HOUR_MS) < HOUR_MS / 3;
                exchanges.extend(fails.then_some((at, subscription.key, (first, last), run.len(), false)));
                exchanges.push((at.plus(Duration::from_millis(60)), subscription.key, (first, last), run.len(), true));
            }
        }
        exchanges.sort_by_key(|(at, ..)| *at);
        for (at, subscription, (first, last), events, taken) in exchanges {
            let figure = if taken { Figure::Told } else { Figure::NotTold };
            self.add(at, figure, 0, if taken { events as u64 } else { 1 });
            let (outcome, http_status, note) = match taken {
                true => (AttemptOutcome::Succeeded, Some(200), ""),
                false => (AttemptOutcome::Refused, Some(503), "HTTP 503: upstream is being restarted"),
            };
            self.past.exchanges.push(PastExchange {
                id: ids.next(at),
                subscription,
                first,
                last,
                events: i32::try_from(events).unwrap_or(i32::MAX),
                took_ms: 45,
                outcome,
                http_status,
                note: note.to_owned(),
            });
        }
    }
}

/// Events that go out together: of the same two seconds, and not too many.
fn runs(events: &[(UnixMillis, Place)]) -> impl Iterator<Item = &[(UnixMillis, Place)]> {
    let together = |one: &(UnixMillis, Place), next: &(UnixMillis, Place)| one.0.0 / 2_000 == next.0.0 / 2_000;
    events.chunk_by(together).flat_map(|run| run.chunks(EVENTS_PER_REQUEST))
}

fn price_of(category: Category) -> Price {
    let (category, billable) = match category {
        Category::Marketing => (PriceCategory::Marketing, true),
        Category::Utility => (PriceCategory::Utility, true),
        Category::Authentication => (PriceCategory::Authentication, true),
        Category::Freeform | Category::NotKnownYet => (PriceCategory::Service, false),
    };
    Price { category, billable }
}

fn failure_of(fate: Fate) -> Option<Failure> {
    let (reason, code, text) = match fate {
        Fate::NotOnWhatsapp => (FailureReason::Unreachable, 131_026, "Message undeliverable"),
        Fate::HeldBack => (
            FailureReason::BlockedByProvider,
            131_049,
            "This message was not delivered to maintain healthy ecosystem engagement.",
        ),
        Fate::OutsideWindow => (FailureReason::OutsideWindow, 131_047, "Re-engagement message"),
        Fate::Stopped => (FailureReason::OptedOut, 131_050, "User has stopped marketing messages"),
        Fate::Rejected => (FailureReason::Unreachable, 131_030, "(#131030) Recipient phone number not in allowed list"),
        Fate::Sent | Fate::Delivered | Fate::Read | Fate::WritesBack | Fate::Taps => return None,
    };
    Some(Failure::new(reason, Some(code), text))
}

fn template_of(body: &Value) -> Option<(String, String)> {
    let text = |name: &str| body["template"][name].as_str();
    let (name, language) = text("namespace").zip(text("languageCode"))?;
    // As the bridge reads what people write into CleverTap's form.
    let language = if language == "en(uk)" { "en_GB" } else { language };
    Some((name.to_owned(), language.to_owned()))
}

/// As in the simulator's list.
fn category_of(template: &str) -> Category {
    match template {
        "login_code" => Category::Authentication,
        "order_update" | "invoice_ready" | "store_nearby" | "appointment" => Category::Utility,
        _ => Category::Marketing,
    }
}

fn wamid(recipient: &str, place: usize) -> String {
    format!("wamid.{}", BASE64.encode(format!("{recipient}-{ACCOUNT_ID}-{place}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wabridge::domain::ids::SubscriptionKey;

    use super::*;

    #[test]
    fn a_week_lies_behind_and_nothing_ahead() {
        let subscriptions = vec![Subscription {
            key: SubscriptionKey(1),
            account: AccountKey(1),
            kind: EventKind::Status,
            sender: None,
            webhook: None,
            dialect: "clevertap".to_owned(),
            url: "https://example.com/".into(),
            hold: None,
            is_on: true,
        }];
        let owners = Owners { account: AccountKey(1), sender: SenderKey(1), subscriptions };
        let now = UnixMillis(1_795_293_604_000);

        let past = write(&owners, now);

        assert!((3_000..7_000).contains(&past.messages.len()), "{}", past.messages.len());
        assert!(past.messages.is_sorted_by_key(|message| message.id) && past.events.is_sorted_by_key(|event| event.at));
        assert!(past.events.iter().all(|event| event.at < now.minus(QUIET)));
        assert!(past.events.iter().any(|event| event.kind == EventKind::Inbound));
        let reported = |status| past.events.iter().filter(|event| event.status == Some(status)).count();
        assert!(reported(DeliveryStatus::Sent) >= reported(DeliveryStatus::Delivered));
        assert!(
            reported(DeliveryStatus::Delivered) > reported(DeliveryStatus::Read)
                && reported(DeliveryStatus::Failed) > 20
        );
        let day_of = |at: UnixMillis| hour_of(at).div_euclid(24);
        let happened: BTreeSet<i64> = past.events.iter().map(|event| day_of(event.at)).collect();
        let told: BTreeSet<i64> = past.exchanges.iter().map(|exchange| day_of(exchange.id.made_at())).collect();
        assert!(told.len() >= 7 && told == happened, "what happened on a day is told on that day: {told:?}");
    }
}
