//! What CommBox's webhooks say, in JSON or in XML: what became of a message, and what people write. Everything else is relayed
//! under its own name.
//!
//! How a status of WhatsApp looks is published nowhere, so it is searched for: a word for the status, the id that the send
//! was answered with, and a time, wherever they stand. All values may be texts.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::Value;

use super::{answers::text, xml};
use crate::{
    domain::{
        event_name::System,
        failure::Failure,
        inbound::{InboundContent, InboundMessage},
        notice::Notice,
        phone::PhoneNumber,
        status::{DeliveryStatus, StatusUpdate},
        time::UnixMillis,
    },
    net::redact,
    providers::{Inbound, Parsed, Skipped, words::reason_of},
};

/// A longer id is none.
const CONVERSATION_CHARS_MAX: usize = 256;
/// Deeper than this nothing is searched for.
const DEPTH_MAX: usize = 32;

/// CommBox's numbers for WhatsApp among the kinds of channels.
const WHATSAPP: [&str; 3] = ["7", "16", "whatsapp"];

/// Whose events come here.
pub(super) struct Stream<'a> {
    /// The number's id at the bridge.
    pub(super) number_id: &'a str,
    /// The channel's id in events; empty when nobody has said.
    pub(super) event_id: &'a str,
}

/// Cannot fail: what is not understood is put aside.
pub(super) fn parse(body: &[u8], stream: &Stream<'_>, received_at: UnixMillis) -> Parsed {
    let mut parsed = Parsed::default();
    let told = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned());
    let read = told.and_then(|text| Ok((text, tree(text)?)));
    let outcome = read.and_then(|(text, tree)| understand(text, &tree, stream, received_at, &mut parsed));
    if let Err(reason) = outcome {
        let entry = String::from_utf8_lossy(body).into_owned();
        parsed.skipped.push(Skipped { pointer: String::new(), reason, entry });
    }
    parsed
}

/// The message of an event that was kept.
pub(super) fn parse_inbound(entry: &str) -> Result<InboundMessage, String> {
    let tree = tree(entry)?;
    let event = Event::of(&tree);
    read_message(&event.newest_child(), UnixMillis(0))
}

/// The id of the conversation in which the message of an event was written.
pub(super) fn conversation(entry: &str) -> Option<String> {
    let tree = tree(entry).ok()?;
    let event = Event::of(&tree);
    let id = get(get(event.inside, "object")?, "id").map(text)?;
    Some(id).filter(|id| !id.is_empty() && id.chars().count() <= CONVERSATION_CHARS_MAX)
}

fn tree(text: &str) -> Result<Value, String> {
    match text.trim_start().starts_with('<') {
        true => xml::read(text.trim_start()),
        false => serde_json::from_str(text).map_err(|_| "it is neither JSON nor XML".to_owned()),
    }
}

fn understand(
    body: &str,
    tree: &Value,
    stream: &Stream<'_>,
    received_at: UnixMillis,
    parsed: &mut Parsed,
) -> Result<(), String> {
    let event = Event::of(tree);
    let (subscription, name) = (event.word("Subscription"), event.word("Name"));
    let told_stream = find(event.inside, &["streamid"], 0).unwrap_or_default();
    if !stream.event_id.is_empty() && !told_stream.is_empty() && told_stream != stream.event_id {
        return Err("it is about another channel than this connection's event_stream_id".to_owned());
    }
    if subscription.starts_with("whatsapp") {
        parsed.statuses.push(read_status(body, &event, stream, received_at)?);
        return Ok(());
    }
    if subscription == "object" && name == "onnewchild" {
        let child = event.newest_child();
        let manager = find(child.message, &["managerid"], 0).unwrap_or_default();
        if !matches!(manager.as_str(), "" | "0") {
            return Err("an agent or the bridge sent this: only what people write is used".to_owned());
        }
        let message = read_message(&child, received_at)?;
        let entry = body.to_owned();
        parsed.inbound.push(Inbound { provider_number_id: stream.number_id.to_owned(), message, entry });
        return Ok(());
    }
    let named = match is_bare_conversation(tree) {
        true => ["Object".to_owned(), "OnNew".to_owned()],
        false => [event.as_written("Subscription"), event.as_written("Name")].map(|word| redact::text(&word)),
    };
    if named.iter().any(String::is_empty) {
        return Err("an event without a name is kept, and not used by this version".to_owned());
    }
    let number_id = Some(stream.number_id.to_owned());
    let (what, whose) = ((System::CommBox, named.join(".")), (String::new(), number_id));
    parsed.notices.push(Notice::of_provider(what, whose, moment_in(event.inside), body.to_owned()));
    Ok(())
}

/// CommBox shows new conversations in an envelope that does not name them, and nothing else in it.
fn is_bare_conversation(tree: &Value) -> bool {
    let payload = get(tree, "payload");
    payload.is_some_and(|payload| get(payload, "user").is_some() && get(payload, "subscription").is_none())
}

/// What is in the envelope, whichever it has.
struct Event<'a> {
    inside: &'a Value,
}

/// A message within an event, and the conversation around it.
struct Child<'a> {
    message: &'a Value,
    around: &'a Value,
}

impl<'a> Event<'a> {
    fn of(tree: &'a Value) -> Self {
        Self { inside: get(tree, "event").or_else(|| get(tree, "payload")).unwrap_or(tree) }
    }

    fn as_written(&self, key: &str) -> String {
        get(self.inside, key).map(text).unwrap_or_default()
    }

    fn word(&self, key: &str) -> String {
        self.as_written(key).to_ascii_lowercase()
    }

    /// The last message of the list, or the conversation itself where there is no list.
    fn newest_child(&self) -> Child<'a> {
        let around = get(self.inside, "object").unwrap_or(self.inside);
        let children = get(around, "children").or_else(|| get(self.inside, "children"));
        let child = children.map(|children| get(children, "child").unwrap_or(children));
        let child = child.or_else(|| get(around, "child"));
        let newest = child.and_then(|child| child.as_array().map_or(Some(child), |list| list.last()));
        Child { message: newest.unwrap_or(around), around }
    }
}

fn read_status(
    body: &str,
    event: &Event<'_>,
    stream: &Stream<'_>,
    received_at: UnixMillis,
) -> Result<StatusUpdate, String> {
    const IDS: [&str; 6] = ["wamid", "messageid", "message_id", "providermessageid", "streamproviderid", "id"];
    const STATES: [&str; 8] = [
        "messagestatus",
        "message_status",
        "whatsappstatus",
        "deliverystatus",
        "statusname",
        "status",
        "eventname",
        "name",
    ];
    let inside = event.inside;
    let status = STATES.iter().find_map(|key| find_all(inside, key).iter().find_map(|word| status_word(word)));
    let status = status.ok_or("no word in it says what became of the message")?;
    let own = find_where(inside, &|value| value.starts_with("wamid."), 0);
    let id = own.or_else(|| find(inside, &IDS, 0)).ok_or("it names no message")?;
    let failure = (status == DeliveryStatus::Failed).then(|| read_failure(inside));
    Ok(StatusUpdate {
        provider_message_id: id,
        message: None,
        provider_number_id: stream.number_id.to_owned(),
        status,
        occurred_at: moment_in(inside).unwrap_or(received_at),
        failure,
        price: None,
        entry: body.to_owned(),
    })
}

fn status_word(word: &str) -> Option<DeliveryStatus> {
    let word = word.trim().to_ascii_lowercase();
    match word.strip_prefix("on").unwrap_or(&word) {
        "sent" => Some(DeliveryStatus::Sent),
        "delivered" => Some(DeliveryStatus::Delivered),
        "read" | "seen" | "played" => Some(DeliveryStatus::Read),
        "failed" | "undelivered" | "error" => Some(DeliveryStatus::Failed),
        _ => None,
    }
}

fn read_failure(inside: &Value) -> Failure {
    let code = find(inside, &["errorcode", "error_code", "code"], 0).and_then(|code| code.parse::<i64>().ok());
    let words = find(inside, &["errormessage", "error_message", "failed", "reason", "details", "title", "error"], 0);
    let words = words.unwrap_or_else(|| "CommBox reported a failure without a reason".to_owned());
    Failure::new(reason_of(code, &words), code, &redact::text(&words))
}

fn read_message(child: &Child<'_>, received_at: UnixMillis) -> Result<InboundMessage, String> {
    let Child { message, around } = child;
    let of = |keys: &[&str]| find(message, keys, 0).or_else(|| find(around, keys, 0));
    let kind = of(&["streamprovidertype"]).unwrap_or_default().to_ascii_lowercase();
    if !kind.is_empty() && !WHATSAPP.contains(&kind.as_str()) {
        return Err("it came by another kind of channel than WhatsApp".to_owned());
    }
    let own = |key: &str| get(message, key).map(text).filter(|value| !value.is_empty());
    let provider_message_id = own("streamproviderid").or_else(|| own("id")).ok_or("the message has no id")?;
    let user = get(message, "user").or_else(|| get(around, "user"));
    let identity = user.and_then(|user| get(user, "identity"));
    let named = |value: Option<&Value>, keys: &[&str]| value.and_then(|value| find(value, keys, 0));
    let phone =
        [named(user, &["phone1"]), named(identity, &["streamproviderid"]), named(user, &["userstreamproviderid"])];
    let from = phone.into_iter().flatten().find_map(|phone| PhoneNumber::from_international(&phone));
    let from = from.ok_or("nothing in it is the telephone number of the person")?;
    Ok(InboundMessage {
        provider_message_id,
        from: Some(from),
        from_user_id: None,
        from_name: named(user, &["firstname"]).or_else(|| named(identity, &["name"])),
        occurred_at: moment_in(message).unwrap_or(received_at),
        replies_to: None,
        content: content(message),
    })
}

/// Texts are as they are; of other kinds the words, when there are any.
fn content(message: &Value) -> InboundContent {
    /// CommBox's numbers for kinds of messages; of others the number is shown.
    const KINDS: [(&str, &str); 8] = [
        ("2", "photo"),
        ("3", "video"),
        ("6", "audio"),
        ("7", "location"),
        ("8", "voice"),
        ("10", "form"),
        ("14", "contacts"),
        ("15", "album"),
    ];
    let kind = get(message, "type").map(text).unwrap_or_default();
    let body = get(message, "message").map(text).unwrap_or_default();
    if !body.is_empty() {
        return InboundContent::Text { body };
    }
    let known = KINDS.iter().find(|(number, _)| *number == kind).map(|(_, word)| (*word).to_owned());
    InboundContent::Unsupported {
        kind: Some(known.unwrap_or(kind)),
        reason: "CommBox passed on no words of it".to_owned(),
    }
}

/// A member by its name, whatever its letters' case.
fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

/// The first value under one of these names that says something, the earlier names before the later, the outer before the
/// inner.
fn find(value: &Value, keys: &[&str], depth: usize) -> Option<String> {
    keys.iter().find_map(|key| find_one(value, key, depth))
}

fn find_one(value: &Value, key: &str, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    let here = get(value, key).map(text).filter(|text| !text.is_empty());
    here.or_else(|| members(value).into_iter().find_map(|member| find_one(member, key, depth + 1)))
}

/// All values under a name, the outer before the inner.
fn find_all(value: &Value, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut level = vec![value];
    for _ in 0..DEPTH_MAX {
        found.extend(level.iter().filter_map(|value| get(value, key)).map(text).filter(|text| !text.is_empty()));
        level = level.into_iter().flat_map(members).collect();
    }
    found
}

fn find_where(value: &Value, wanted: &dyn Fn(&str) -> bool, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    match value {
        Value::String(text) if wanted(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => {
            members(value).into_iter().find_map(|member| find_where(member, wanted, depth + 1))
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn members(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(members) => members.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    }
}

/// A time with its hour. A date alone says too little: then the time of the webhook is nearer.
fn moment_in(value: &Value) -> Option<UnixMillis> {
    const KEYS: [&str; 6] = ["timestamp", "statusdate", "eventdate", "createdate", "date", "time"];
    KEYS.iter().find_map(|key| moment(&find_one(value, key, 0)?))
}

fn moment(words: &str) -> Option<UnixMillis> {
    /// As seconds this would be the year 33658.
    const MILLISECONDS_FROM: i64 = 1_000_000_000_000;
    /// Earlier than this nothing was sent by WhatsApp.
    const SECONDS_FROM: i64 = 1_000_000_000;
    match words.parse::<i64>() {
        Ok(number) if number >= MILLISECONDS_FROM => return Some(UnixMillis(number)),
        Ok(number) if number >= SECONDS_FROM => return Some(UnixMillis::from_seconds(number)),
        Ok(_) | Err(_) => {}
    }
    if let Ok(moment) = chrono::DateTime::parse_from_rfc3339(words) {
        return Some(UnixMillis(moment.timestamp_millis()));
    }
    let (date, time) = words.split_once(['T', ' '])?;
    let date = date.replace(['/', '.'], "-");
    let date = ["%Y-%m-%d", "%d-%m-%Y"].iter().find_map(|form| NaiveDate::parse_from_str(&date, form).ok())?;
    let time = time.trim_end_matches('Z');
    let time = ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|form| NaiveTime::parse_from_str(time, form).ok())?;
    Some(UnixMillis(NaiveDateTime::new(date, time).and_utc().timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::FailureReason;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
    const STREAM: Stream<'static> = Stream { number_id: "AbC%3d", event_id: "" };

    fn parsed(body: &str) -> Parsed {
        parse(body.as_bytes(), &STREAM, NOW)
    }

    #[test]
    fn a_status_is_found_wherever_it_stands() {
        for body in [
            r#"{"Event":{"Subscription":"WhatsApp","Name":"OnStatus","WhatsApp":{"messageId":"wamid.A","status":"delivered"}}}"#,
            r#"{"Event":{"Subscription":"WhatsApp","Name":"Delivered","Message":{"Id":"wamid.A","StatusId":"3"}}}"#,
            r#"{"Subscription":"whatsapp","statuses":[{"id":"wamid.A","status":"Delivered","recipient_id":"919876500001"}]}"#,
            r#"<Event Subscription="WhatsApp" Name="OnDelivered"><WhatsApp MessageId="wamid.A"/></Event>"#,
        ] {
            let update = parsed(body).statuses.pop().unwrap_or_else(|| panic!("{body}"));
            assert_eq!((update.provider_message_id.as_str(), update.status), ("wamid.A", DeliveryStatus::Delivered));
            assert_eq!((update.occurred_at, update.provider_number_id.as_str()), (NOW, "AbC%3d"), "{body}");
        }
    }

    #[test]
    fn a_failure_has_metas_reason_when_it_has_metas_code() {
        let update = parsed(
            r#"{"Event":{"Subscription":"WhatsApp","Name":"OnFailed","id":"77","error":{"code":"131026","title":"Message undeliverable"}}}"#,
        );
        let failure = update.statuses[0].failure.as_ref().expect("it failed");
        assert_eq!((failure.reason, failure.code), (FailureReason::Unreachable, Some(131_026)));
    }

    #[test]
    fn dates_come_in_both_orders() {
        let expected = Some(UnixMillis::from_seconds(1_790_000_000));
        for words in [
            "1790000000",
            "1790000000000",
            "2026-09-21T14:13:20Z",
            "2026-09-21 14:13:20",
            "21-09-2026 14:13:20",
            "21/09/2026 14:13:20",
        ] {
            assert_eq!(moment(words), expected, "{words}");
        }
        for words in ["", "21-09-2026", "yesterday", "12", "2026-13-41 10:00"] {
            assert_eq!(moment(words), None, "{words}");
        }
    }

    #[test]
    fn what_is_of_another_channel_or_kind_is_put_aside() {
        let other = Stream { number_id: "AbC%3d", event_id: "12" };
        let body = r#"{"Event":{"Subscription":"WhatsApp","Name":"Read","StreamId":"13","id":"wamid.A"}}"#;
        assert_eq!(parse(body.as_bytes(), &other, NOW).skipped.len(), 1);
        assert_eq!(parsed(body).statuses.len(), 1, "nobody has said which channel it is");
        let mail = r#"{"Event":{"Subscription":"Object","Name":"OnNewChild","Object":{"StreamProviderType":"4",
            "Children":{"Child":{"Id":"5","Message":"hi","ManagerId":"0","User":{"Phone1":"919876500001"}}}}}}"#;
        assert!(parsed(mail).skipped[0].reason.contains("another kind of channel"));
        for body in ["", "hello", "<Event", "{}", "[]", r#"{"Event":7}"#, "\u{feff}{}"] {
            assert_eq!(parsed(body).skipped.len(), 1, "{body}");
        }
    }
}
