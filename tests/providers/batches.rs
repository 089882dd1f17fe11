//! Webhooks as large as they come.

use std::fmt::Write;

use wabridge::{domain::status::DeliveryStatus, providers::cloud_api::webhook::parse_webhook};

/// As many updates as Meta puts into one request.
const UPDATES: usize = 1000;

fn status(index: usize) -> String {
    let word = ["sent", "delivered", "read"][index % 3];
    format!(
        r#"{{"id":"wamid.{index}","status":"{word}","timestamp":"{}","recipient_id":"91987650{index:04}",
        "biz_opaque_callback_data":"msg_000000000{index:04}","pricing":{{"billable":true,"pricing_model":"PMP"}}}}"#,
        1_790_000_000 + index
    )
}

fn value(statuses: &str) -> String {
    format!(
        r#"{{"field":"messages","value":{{"messaging_product":"whatsapp",
        "metadata":{{"display_phone_number":"918880110022","phone_number_id":"100000000000001"}},
        "statuses":[{statuses}]}}}}"#
    )
}

fn body(entries: &str) -> String {
    format!(r#"{{"object":"whatsapp_business_account","entry":[{entries}]}}"#)
}

fn assert_all_there(body: &str) {
    let parsed = parse_webhook(body.as_bytes());

    assert_eq!(parsed.skipped, []);
    assert_eq!(parsed.statuses.len(), UPDATES);
    for (index, update) in parsed.statuses.iter().enumerate() {
        assert_eq!(update.provider_message_id, format!("wamid.{index}"), "the order must stay");
        assert_eq!(update.entry, status(index));
        assert_eq!(update.message.map(|id| id.to_string()), Some(format!("msg_000000000{index:04}")));
    }
    assert_eq!(parsed.statuses[1].status, DeliveryStatus::Delivered);
}

#[test]
fn a_thousand_statuses_in_one_change_are_all_read_in_order() {
    let statuses: Vec<String> = (0..UPDATES).map(status).collect();

    assert_all_there(&body(&format!(r#"{{"id":"2","changes":[{}]}}"#, value(&statuses.join(",")))));
}

#[test]
fn a_thousand_entries_with_one_status_each_are_all_read_in_order() {
    let mut entries = String::new();
    for index in 0..UPDATES {
        let comma = if index == 0 { "" } else { "," };
        write!(entries, r#"{comma}{{"id":"2","changes":[{}]}}"#, value(&status(index))).expect("a string takes it");
    }

    assert_all_there(&body(&entries));
}

#[test]
fn one_odd_part_does_not_cost_its_neighbours() {
    let mut statuses: Vec<String> = (0..UPDATES).map(status).collect();
    statuses.insert(500, r#"{"id":"wamid.odd","status":["sent"],"timestamp":"1790000000"}"#.to_owned());

    let parsed = parse_webhook(body(&format!(r#"{{"id":"2","changes":[{}]}}"#, value(&statuses.join(",")))).as_bytes());

    assert_eq!(parsed.statuses.len(), UPDATES);
    assert_eq!(parsed.skipped.len(), 1);
    assert_eq!(parsed.skipped[0].pointer, "/entry/0/changes/0/value/statuses/500");
    assert_eq!(parsed.skipped[0].entry, statuses[500]);
}
