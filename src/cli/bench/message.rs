//! The message of the load: a template with two parameters, as CleverTap writes it, with an id and a
//! recipient of its own each time.

/// The account of the bench, and how its platform proves itself.
pub(super) const ACCOUNT: &str = "bench";
pub(super) const PLATFORM_ACCOUNT_ID: &str = "BENCH-ACC-1";
pub(super) const PASSCODE: &str = "bench-passcode";
/// One of the simulator's templates.
const TEMPLATE: &str = "order_update";

/// Digits of the number that makes id and recipient differ.
const NUMBER_DIGITS: usize = 8;

/// A request as bytes, in which only digits change.
#[derive(Clone)]
pub(super) struct MessageRequest {
    bytes: Vec<u8>,
    id_at: usize,
    recipient_at: usize,
}

impl MessageRequest {
    pub(super) fn new(from: &str, series: &str) -> Self {
        let body = body(from, series);
        let mut text = format!(
            "POST /clevertap/{ACCOUNT}/messages HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
             X-CleverTap-Account-Id: {PLATFORM_ACCOUNT_ID}\r\nX-CleverTap-Passcode: {PASSCODE}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        text.push_str(&body);
        let after = |before: &str, digits: usize| {
            let place = text.find(&format!("{before}{}", "0".repeat(digits)));
            place.expect("the body has both numbers, as zeros") + before.len()
        };
        let (id_at, recipient_at) = (after(MARK, NUMBER_DIGITS), after(RECIPIENT_PREFIX, NUMBER_DIGITS));
        Self { bytes: text.into_bytes(), id_at, recipient_at }
    }

    /// The request of message `number`.
    pub(super) fn numbered(&mut self, number: u64) -> &[u8] {
        write_digits(&mut self.bytes[self.id_at..self.id_at + NUMBER_DIGITS], number);
        write_digits(&mut self.bytes[self.recipient_at..self.recipient_at + NUMBER_DIGITS], number);
        &self.bytes
    }
}

/// Indian mobile numbers.
const RECIPIENT_PREFIX: &str = "+9198";
/// Before the number in a message id, which begins with it; behind it come the series, in the place of CleverTap's campaign, and more.
const MARK: &str = r#""msgId":""#;

fn body(from: &str, series: &str) -> String {
    let number = "0".repeat(NUMBER_DIGITS);
    format!(
        r#"{{"payloadVersion":0.1,"to":"{RECIPIENT_PREFIX}{number}","wabaNumber":"{from}","isTemplate":true,{MARK}{number}|{series}|20261120|0","template":{{"namespace":"{TEMPLATE}","languageCode":"en"}},"components":[{{"type":"body","body":{{"text":"Hi Asha, your order A-17 is on its way.","parameters":[{{"type":"text","text":"Asha"}},{{"type":"text","text":"A-17"}}]}}}}]}}"#
    )
}

fn write_digits(place: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wabridge::domain::phone::PhoneNumber;

    use super::*;

    #[test]
    fn every_message_has_an_id_and_a_recipient_of_its_own() {
        let mut request = MessageRequest::new("+918880110022", "accept-64");
        for number in [0, 1, 98_765, 123_456_789] {
            let text = String::from_utf8(request.numbered(number).to_vec()).expect("a request is text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            let message: Value = serde_json::from_str(body).expect("the body is JSON");

            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            assert_eq!(message["msgId"], format!("{:08}|accept-64|20261120|0", number % 100_000_000));
            let to = message["to"].as_str().expect("a recipient");
            assert_eq!(to, format!("+9198{:08}", number % 100_000_000));
            PhoneNumber::parse(to, None).expect("a number that exists");
        }
    }
}
