//! The shape of CleverTap's callbacks, as strictly as it is documented.
//!
//! Unknown keys, numbers where strings belong and missing parts are all mistakes of the sender, said in words that
//! name the place.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeliveryReports {
    payload_version: String,
    pub(super) statuses: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) msg_id: String,
    pub(super) status: String,
    timestamp: String,
    pub(super) error: Option<ReportError>,
    url: Option<String>,
    short_url: Option<String>,
    user_agent: Option<String>,
    ts: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportError {
    pub(super) code: u32,
    title: String,
}

impl DeliveryReports {
    /// Takes the envelope apart; each status is read by [`Report::read`].
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let document: Self = parse(body)?;
        check_version(&document.payload_version)?;
        if document.statuses.is_empty() {
            return Err("statuses is empty".to_owned());
        }
        Ok(document)
    }
}

impl Report {
    pub(super) fn read(entry: &Value) -> Result<Self, String> {
        let report = Self::deserialize(entry).map_err(|error| format!("a status: {error}"))?;
        report.check().map_err(|problem| format!("the status of {:?}: {problem}", report.msg_id))?;
        Ok(report)
    }

    fn check(&self) -> Result<(), String> {
        check_msg_id(&self.msg_id)?;
        check_timestamp(&self.timestamp)?;
        if !["sent", "delivered", "read", "failed", "clicked"].contains(&self.status.as_str()) {
            return Err(format!("{:?} is not a status", self.status));
        }
        match &self.error {
            Some(_) if self.status != "failed" => return Err("only a failure has an error".to_owned()),
            None if self.status == "failed" => return Err("a failure needs an error".to_owned()),
            Some(error) if !(1000..=1010).contains(&error.code) => {
                return Err(format!("code {} is unknown", error.code));
            }
            Some(error) if error.title.is_empty() => return Err("the error has no title".to_owned()),
            Some(_) | None => {}
        }
        let clicked = self.url.is_some() && self.ts.is_none_or(|ts| ts > 0);
        let click_parts = [&self.url, &self.short_url, &self.user_agent].iter().any(|part| part.is_some());
        match self.status.as_str() {
            "clicked" if !clicked => Err("a click needs its url".to_owned()),
            "clicked" => Ok(()),
            _ if click_parts || self.ts.is_some() => Err("only a click has url, shortUrl, userAgent and ts".to_owned()),
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct InboundDocument {
    payload_version: String,
    from: String,
    waba_number: String,
    timestamp: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) context: Option<InboundContext>,
    text: Option<TextPart>,
    button: Option<ButtonPart>,
    location: Option<LocationPart>,
    image: Option<MediaPart>,
    video: Option<MediaPart>,
    audio: Option<MediaPart>,
    voice: Option<MediaPart>,
    file: Option<MediaPart>,
    /// One sample of CleverTap's writes `document` for `file`: both at once are welcome.
    document: Option<MediaPart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InboundContext {
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextPart {
    #[serde(rename = "body")]
    _body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ButtonPart {
    #[serde(rename = "payload")]
    _payload: String,
    #[serde(rename = "text")]
    _text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocationPart {
    latitude: String,
    longitude: String,
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "address")]
    _address: Option<String>,
    #[serde(rename = "url")]
    _url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MediaPart {
    #[serde(rename = "mediaURL")]
    media_url: String,
    #[serde(rename = "mimeType")]
    _mime_type: Option<String>,
    #[serde(rename = "caption")]
    _caption: Option<String>,
    #[serde(rename = "filename")]
    _filename: Option<String>,
}

impl InboundDocument {
    /// The message, and the document as it came.
    pub(super) fn read(body: &[u8]) -> Result<(Self, Value), String> {
        let entry: Value = parse(body)?;
        let message: Self = parse(body)?;
        message.check(&entry)?;
        Ok((message, entry))
    }

    fn check(&self, entry: &Value) -> Result<(), String> {
        check_version(&self.payload_version)?;
        check_timestamp(&self.timestamp)?;
        for (name, number) in [("from", &self.from), ("wabaNumber", &self.waba_number)] {
            let number = number.strip_prefix('+').unwrap_or(number);
            if !(7..=15).contains(&number.len()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("{name} is not a phone number"));
            }
        }
        if let Some(context) = &self.context {
            check_msg_id(&context.id)?;
        }
        let known = match self.kind.as_str() {
            "text" => self.text.is_some(),
            "button" => self.button.is_some(),
            "location" => self.location.as_ref().is_some_and(LocationPart::is_a_place),
            "image" => self.image.as_ref().is_some_and(MediaPart::can_be_fetched),
            "video" => self.video.as_ref().is_some_and(MediaPart::can_be_fetched),
            "audio" => self.audio.as_ref().is_some_and(MediaPart::can_be_fetched),
            "voice" => self.voice.as_ref().is_some_and(MediaPart::can_be_fetched),
            "file" => self.file.as_ref().is_some_and(MediaPart::can_be_fetched),
            _ => return Err(format!("{:?} is not a type of inbound message", self.kind)),
        };
        if !known {
            return Err(format!("the object {:?} is missing or not right", self.kind));
        }
        let others = ["text", "button", "location", "image", "video", "audio", "voice", "file", "document"];
        let twin = if self.kind == "file" { "document" } else { "" };
        let stray = others.iter().find(|part| **part != self.kind && **part != twin && entry.get(**part).is_some());
        if let Some(stray) = stray {
            return Err(format!("a message of type {:?} carries {stray:?} too", self.kind));
        }
        match &self.document {
            Some(document) if !document.can_be_fetched() => Err("document has no URL".to_owned()),
            Some(_) | None => Ok(()),
        }
    }
}

impl LocationPart {
    fn is_a_place(&self) -> bool {
        [&self.latitude, &self.longitude].iter().all(|number| number.parse::<f64>().is_ok())
    }
}

impl MediaPart {
    fn can_be_fetched(&self) -> bool {
        self.media_url.starts_with("https://") || self.media_url.starts_with("http://")
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn check_version(version: &str) -> Result<(), String> {
    if version == "0.1" { Ok(()) } else { Err(format!("payloadVersion is {version:?}, not \"0.1\"")) }
}

fn check_msg_id(msg_id: &str) -> Result<(), String> {
    // However long: whoever made an id knows it again.
    if msg_id.is_empty() {
        return Err("the msgId is empty".to_owned());
    }
    if msg_id.split('|').all(|part| part == "0") {
        return Err("an all-zero msgId belongs to a check: nothing is reported for it".to_owned());
    }
    Ok(())
}

fn check_timestamp(timestamp: &str) -> Result<(), String> {
    if timestamp.len() == 10 && timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(format!("timestamp {timestamp:?} is not a time in seconds, as a string"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_with_anything_wrong_is_not_taken() {
        let good = json!({"msgId": "7|1|1|7", "status": "delivered", "timestamp": "1790000123"});
        assert!(Report::read(&good).is_ok());
        for (key, value) in [
            ("timestamp", json!(1_790_000_123)),
            ("timestamp", json!("1790000123000")),
            ("status", json!("seen")),
            ("status", json!("failed")),
            ("error", json!({"code": 1002, "title": "not of a failure"})),
            ("extra", json!(1)),
            ("url", json!("https://shop.example/")),
            ("msgId", json!("0|0|0|0")),
            ("msgId", json!("")),
        ] {
            let mut wrong = good.clone();
            wrong[key] = value;
            assert!(Report::read(&wrong).is_err(), "{wrong}");
        }
        let failed = |code: u32| {
            json!({"msgId": "7|1|1|7", "status": "failed", "timestamp": "1790000123",
            "error": {"code": code, "title": "Message undeliverable"}})
        };
        assert!(Report::read(&failed(1005)).is_ok());
        assert!(Report::read(&failed(131026)).is_err(), "Meta's codes mean nothing to CleverTap");
    }

    #[test]
    fn inbound_messages_are_read_by_their_type() {
        let message = |part: Value| {
            let mut document = json!({"payloadVersion": "0.1", "from": "919876512345", "wabaNumber": "918880110022",
                "timestamp": "1790000200", "context": {"id": "7|1|1|7|0"}});
            document.as_object_mut().expect("an object").extend(part.as_object().expect("an object").clone());
            InboundDocument::read(document.to_string().as_bytes())
        };
        let media = json!({"mediaURL": "https://media.example/1.pdf", "mimeType": "application/pdf"});
        for part in [
            json!({"type": "text", "text": {"body": "yes please"}}),
            json!({"type": "button", "button": {"payload": "more", "text": "Show me"}}),
            json!({"type": "location", "location": {"latitude": "19.07", "longitude": "72.87"}}),
            json!({"type": "file", "file": media, "document": media}),
        ] {
            assert!(message(part.clone()).is_ok(), "{part}");
        }
        for part in [
            json!({"type": "text", "button": {"payload": "more", "text": "Show me"}}),
            json!({"type": "text", "text": {"body": "x"}, "button": {"payload": "more", "text": "Show me"}}),
            json!({"type": "location", "location": {"latitude": 19.07, "longitude": 72.87}}),
            json!({"type": "image", "image": {"mediaURL": "media.example/1.jpg"}}),
            json!({"type": "sticker"}),
            json!({"type": "text", "text": {"body": "x"}, "from": ""}),
        ] {
            assert!(message(part.clone()).is_err(), "{part}");
        }
    }
}
