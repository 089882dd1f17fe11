//! What became of messages: the elements of `statuses[]`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, errors, moment, non_empty, odd, read};
use crate::domain::{
    price::{Price, PriceCategory},
    status::{DeliveryStatus, StatusUpdate},
};

#[derive(Deserialize)]
struct WireStatus<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    status: Text<'a>,
    timestamp: Text<'a>,
    biz_opaque_callback_data: Option<&'a RawValue>,
    errors: Option<&'a RawValue>,
    pricing: Option<&'a RawValue>,
    recipient_type: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WirePricing<'a> {
    #[serde(borrow)]
    category: Text<'a>,
    /// Announced to go; the kind says the same.
    billable: Option<bool>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

/// A price that cannot be read is no reason to lose the status.
fn read_price(raw: &RawValue) -> Option<Price> {
    let wire = serde_json::from_str::<WirePricing<'_>>(raw.get()).ok()?;
    let is_free = wire.kind.as_ref().is_some_and(|kind| kind.as_str().starts_with("free_"));
    let category = PriceCategory::named(wire.category.as_str());
    Some(Price { category, billable: wire.billable.unwrap_or(!is_free) })
}

/// Whom it is about is known from the message.
pub(super) fn read_status(raw: &RawValue, number_id: &str) -> Result<StatusUpdate, String> {
    let wire = serde_json::from_str::<WireStatus<'_>>(raw.get()).map_err(|error| odd(&error))?;
    let status = match wire.status.as_str() {
        "sent" => DeliveryStatus::Sent,
        "delivered" => DeliveryStatus::Delivered,
        // A voice note that was played was read.
        "read" | "played" => DeliveryStatus::Read,
        "failed" => DeliveryStatus::Failed,
        other => return Err(format!("the status {other} is not used by this version")),
    };
    // One message has as many of them as the group has members, and none of ours goes to a group.
    if wire.recipient_type.is_some_and(|kind| kind.get() == "\"group\"") {
        return Err("statuses of messages to groups are not used by this version".to_owned());
    }
    Ok(StatusUpdate {
        provider_message_id: non_empty(wire.id, "id")?,
        // Other software may share the number and put its own words here.
        message: wire.biz_opaque_callback_data.and_then(read::<Text<'_>>).and_then(|text| text.as_str().parse().ok()),
        provider_number_id: number_id.to_owned(),
        status,
        occurred_at: moment(wire.timestamp.as_str())?,
        price: wire.pricing.and_then(read_price),
        failure: (status == DeliveryStatus::Failed).then(|| errors::read_report(wire.errors)),
        entry: raw.get().to_owned(),
    })
}
