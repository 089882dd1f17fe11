//! Receivers, as those write them who never saw our code: the reference library for Standard Webhooks, a few lines for others.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use standardwebhooks::Webhook;
use wabridge::profiles::{Profile, Rendered, Signature};

pub(crate) const OTHER_NATIVE_SECRET: &str = "whsec_YW5vdGhlci1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcw==";

/// Whether the receiver takes the request for one of ours. The library wants it to have been signed within minutes.
pub(crate) fn accepts(profile: &dyn Profile, rendered: &Rendered, secret: &str) -> bool {
    let body = rendered.body.as_bytes();
    match profile.signature() {
        Signature::StandardWebhooks => standard(rendered, secret),
        Signature::Gallabox => {
            header(rendered, "x-gallabox-signature").and_then(|text| STANDARD.decode(text).ok())
                == Some(mac(secret, body))
        }
        Signature::Hub => {
            let text = header(rendered, "x-hub-signature-256").and_then(|text| text.strip_prefix("sha256="));
            text.and_then(|text| hex::decode(text).ok()) == Some(mac(secret, body))
        }
        Signature::None => true,
    }
}

fn standard(rendered: &Rendered, secret: &str) -> bool {
    let webhook = Webhook::new(secret).expect("a secret of the library's form");
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let value = header(rendered, name).expect("the three headers are there");
        headers.insert(name, value.parse().expect("a header's value"));
    }
    webhook.verify(rendered.body.as_bytes(), &headers).is_ok()
}

fn header<'a>(rendered: &'a Rendered, wanted: &str) -> Option<&'a str> {
    rendered.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
}

fn mac(secret: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

/// Panics when it is not well-formed.
pub(crate) fn read_xml(body: &str) {
    let mut reader = quick_xml::Reader::from_str(body);
    let mut depth = 0;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error}: {body}")) {
            quick_xml::events::Event::Start(start) => {
                depth += 1;
                start.attributes().for_each(|attribute| drop(attribute.expect("a well-formed attribute")));
            }
            quick_xml::events::Event::End(_) => depth -= 1,
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Empty(_)
            | quick_xml::events::Event::Text(_)
            | quick_xml::events::Event::GeneralRef(_)
            | quick_xml::events::Event::CData(_)
            | quick_xml::events::Event::Comment(_)
            | quick_xml::events::Event::Decl(_)
            | quick_xml::events::Event::PI(_)
            | quick_xml::events::Event::DocType(_) => {}
        }
    }
    assert_eq!(depth, 0, "{body}");
    assert!(!body.contains(|each: char| each.is_control() && !['\n', '\t'].contains(&each)), "{body:?}");
}
