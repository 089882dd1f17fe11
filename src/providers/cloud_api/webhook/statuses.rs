//! What became of messages: the elements of `statuses[]`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, errors, moment, non_empty, odd, read};
use crate::domain::{
    notice::{MessageNews, Notice, Payment},
    phone::PhoneNumber,
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

/// What stands among the statuses and is none: that a payment moved, or that a message was deleted. `None`: it is a status.
pub(super) fn read_news(raw: &RawValue, account: &str, number_id: &str) -> Option<Notice> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        id: Option<Text<'a>>,
        status: Option<Text<'a>>,
        #[serde(rename = "type")]
        kind: Option<Text<'a>>,
        timestamp: Option<Text<'a>>,
        recipient_id: Option<Text<'a>>,
        payment: Option<&'a RawValue>,
    }
    let wire = serde_json::from_str::<Wire<'_>>(raw.get()).ok()?;
    let status = wire.status.map(Text::into_string);
    let pays = wire.payment.is_some() || wire.kind.is_some_and(|kind| kind.as_str() == "payment");
    if !pays && status.as_deref() != Some("deleted") {
        return None;
    }
    let phone = wire.recipient_id.and_then(|id| PhoneNumber::from_international(id.as_str()));
    let news = MessageNews {
        provider_number_id: Some(number_id.to_owned()),
        provider_message_id: wire.id.map(Text::into_string).filter(|id| !id.is_empty()),
        phone: phone.map(|phone| phone.as_e164().to_owned()),
        payment: pays.then(|| read_payment(wire.payment, status)),
    };
    let occurred_at = wire.timestamp.and_then(|at| moment(at.as_str()).ok());
    Some(Notice::of_message(news, account.to_owned(), occurred_at, raw.get().to_owned()))
}

/// Parts that are odd or missing are left out: the whole entry is kept beside them.
fn read_payment(raw: Option<&RawValue>, status: Option<String>) -> Payment {
    let wire: serde_json::Value = raw.and_then(read).unwrap_or_default();
    let text = |pointer: &str| wire.pointer(pointer)?.as_str().map(str::to_owned).filter(|text| !text.is_empty());
    Payment {
        reference: text("/reference_id"),
        status: status.or_else(|| text("/transaction/status")),
        amount: amount(&wire),
        currency: text("/currency"),
        transaction_id: text("/transaction/id"),
    }
}

/// Written in the smallest unit, with by how much it is to be divided.
fn amount(payment: &serde_json::Value) -> Option<String> {
    let (value, offset) = (payment.pointer("/amount/value")?.as_u64()?, payment.pointer("/amount/offset")?.as_u64()?);
    let places = offset.checked_ilog10().filter(|places| 10_u64.checked_pow(*places) == Some(offset))?;
    match places {
        0 => Some(value.to_string()),
        _ => Some(format!("{}.{:0width$}", value / offset, value % offset, width = places as usize)),
    }
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
