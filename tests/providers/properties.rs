//! Whatever arrives, nothing breaks: bodies of any bytes, and examples with bytes changed, lost or doubled.

use proptest::prelude::*;
use serde_json::Value;
use wabridge::providers::{
    self,
    cloud_api::{numbers::read_number, send::read_send, templates::read_page},
};

use crate::{cases::cases, connection, parse};

/// Reads these bytes as everything that could ever arrive.
fn read_as_anything(status: u16, bytes: &[u8]) {
    for provider in providers::ALL {
        parse(*provider, &Value::Null, bytes);
        let connection = connection(*provider, &Value::Null);
        let _ = provider.parse_inbound(&connection, &String::from_utf8_lossy(bytes));
    }
    let _ = read_send(status, bytes);
    let _ = read_page(bytes);
    let _ = read_number(bytes);
}

/// The bodies of all examples.
fn examples() -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for provider in providers::ALL {
        bodies.extend(cases(provider.slug(), "webhook").iter().map(|case| case.bytes("body.json")));
        for kind in ["errors", "templates", "numbers"] {
            bodies.extend(cases(provider.slug(), kind).iter().map(|case| case.bytes("case.json")));
        }
    }
    bodies
}

/// One change to a body: where, what to put there, and how much to take away.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, Vec<u8>, usize)> {
    let pieces =
        prop::sample::select(vec!["", "null", "\"", "{}", "[]", "-1", "1e999", "\\u0000", "\u{feff}", "}", ","]);
    let bytes =
        prop_oneof![pieces.prop_map(|piece| piece.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 0..4)];
    (any::<prop::sample::Index>(), bytes, 0usize..40)
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(status in any::<u16>(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_as_anything(status, &bytes);
    }

    #[test]
    fn any_mutation_of_an_example_can_be_read(
        status in 100u16..600,
        example in prop::sample::select(examples()),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let mut bytes = example;
        for (place, piece, taken) in mutations {
            let start = place.index(bytes.len() + 1);
            let end = bytes.len().min(start + taken);
            bytes.splice(start..end, piece);
        }
        read_as_anything(status, &bytes);
    }

    /// A success is a 2xx with an id, and nothing else is.
    #[test]
    fn only_a_2xx_with_an_id_is_a_success(status in 100u16..600) {
        let body = br#"{"messages":[{"id":"wamid.A"}]}"#;
        prop_assert_eq!(read_send(status, body).is_ok(), (200..300).contains(&status));
        prop_assert!(read_send(status, b"{}").is_err(), "there is no id");
    }
}
