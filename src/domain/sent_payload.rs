//! What left with a request, as far as it is kept: enough to know it again, and of what was not taken the text.
//!
//! Settings, and what is known of a message or a person, change between tries, so what is written anew when somebody looks need
//! not be what left. What was taken is at its receiver: of that a digest is enough.

use sha2::{Digest, Sha256};

/// Of a text that was not taken so much is kept. The longest text that WhatsApp carries fits, 4,096 characters, beside all that
/// is told of it; a usual payload has one to three thousand bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The body of one request that carried one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPayload {
    pub bytes: usize,
    pub sha256: [u8; 32],
    /// Its first [`TEXT_BYTES_MAX`]; none when it was taken.
    pub text: Option<String>,
}

impl SentPayload {
    pub fn of(body: &str, taken: bool) -> Self {
        let kept = || body[..body.floor_char_boundary(TEXT_BYTES_MAX)].to_owned();
        Self { bytes: body.len(), sha256: Sha256::digest(body.as_bytes()).into(), text: (!taken).then(kept) }
    }

    /// Whether it was this.
    pub fn is(&self, body: &str) -> bool {
        self.bytes == body.len() && self.sha256[..] == Sha256::digest(body.as_bytes())[..]
    }

    /// Its text is only a beginning.
    pub fn is_cut(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.len() < self.bytes)
    }

    pub fn sha256_in_hex(&self) -> String {
        hex::encode(self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_known_again_without_its_text() {
        let sent = SentPayload::of("{}", true);
        assert_eq!((sent.bytes, &sent.text, sent.is_cut()), (2, &None, false));
        assert_eq!(sent.sha256_in_hex(), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert!(sent.is("{}") && !sent.is("{ }") && !sent.is("[]"));
    }

    #[test]
    fn what_was_not_taken_keeps_its_text_up_to_a_limit_and_never_half_a_character() {
        assert_eq!(SentPayload::of("hello", false).text.as_deref(), Some("hello"));
        let long = format!("{}é and more", "a".repeat(TEXT_BYTES_MAX - 1));
        let sent = SentPayload::of(&long, false);
        assert_eq!(sent.text.as_ref().map(String::len), Some(TEXT_BYTES_MAX - 1));
        assert!(sent.is_cut() && sent.is(&long) && sent.bytes == long.len());
    }
}
