//! What the Cloud API says about a file that a person sent, before the file itself.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde::Deserialize;

use super::text::Text;

/// Where a file lies for the next minutes, and how to know that it is whole.
#[derive(Debug, PartialEq, Eq)]
pub struct MediaInfo {
    pub url: String,
    pub mime_type: Option<String>,
    pub size_bytes: Option<u64>,
    pub sha256: Option<[u8; 32]>,
}

#[derive(Deserialize)]
struct WireInfo<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    mime_type: Option<Text<'a>>,
    /// A number, or a number as text.
    file_size: Option<Text<'a>>,
    sha256: Option<Text<'a>>,
}

pub fn read_info(body: &[u8]) -> Result<MediaInfo, String> {
    let wire: WireInfo<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(MediaInfo {
        url: wire.url.into_string(),
        mime_type: wire.mime_type.map(Text::into_string).filter(|mime_type| !mime_type.is_empty()),
        size_bytes: wire.file_size.and_then(|size| size.as_str().parse().ok()),
        sha256: wire.sha256.and_then(|digest| read_digest(digest.as_str())),
    })
}

/// Hexadecimal in one place and base64 in another: told apart by its length. What is neither proves nothing.
fn read_digest(text: &str) -> Option<[u8; 32]> {
    const HEXADECIMAL_CHARS: usize = 64;
    let bytes = if text.len() == HEXADECIMAL_CHARS {
        hex::decode(text).ok()
    } else {
        STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
    };
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn sizes_are_numbers_or_texts_and_digests_hexadecimal_or_base64() {
        let digest: [u8; 32] = hex::decode(DIGEST).expect("hexadecimal").try_into().expect("32 bytes");
        for (size, text) in [("5", DIGEST.to_owned()), ("\"5\"", STANDARD.encode(digest))] {
            let body = format!(
                r#"{{"url":"https:\/\/lookaside.fbsbx.com\/f?a=1","mime_type":"image/jpeg","file_size":{size},"sha256":"{text}","id":"9"}}"#
            );

            let info = read_info(body.as_bytes()).expect("it is what Graph answers");

            assert_eq!(info.url, "https://lookaside.fbsbx.com/f?a=1");
            assert_eq!((info.size_bytes, info.sha256), (Some(5), Some(digest)));
        }
    }

    #[test]
    fn what_proves_nothing_is_left_out() {
        let info = read_info(br#"{"url":"https://x.example/","sha256":"abc","file_size":"many","mime_type":""}"#);

        let info = info.expect("only the URL is needed");
        assert_eq!((info.size_bytes, info.sha256, info.mime_type), (None, None, None));
        assert!(read_info(br#"{"id":"9"}"#).is_err(), "without a URL there is nothing to fetch");
    }
}
