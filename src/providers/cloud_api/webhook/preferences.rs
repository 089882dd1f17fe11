//! What people want to be sent: the elements of `user_preferences[]`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, moment, odd, person};
use crate::domain::preference::{Choice, Preference};

#[derive(Deserialize)]
struct WirePreference<'a> {
    #[serde(borrow)]
    wa_id: Option<Text<'a>>,
    user_id: Option<Text<'a>>,
    category: Text<'a>,
    value: Text<'a>,
    timestamp: Text<'a>,
}

pub(super) fn read_preference(raw: &RawValue, number_id: &str) -> Result<Preference, String> {
    let wire = serde_json::from_str::<WirePreference<'_>>(raw.get()).map_err(|error| odd(&error))?;
    let (phone, user_id) = person(wire.wa_id, wire.user_id);
    if phone.is_none() && user_id.is_none() {
        return Err("the preference names nobody".to_owned());
    }
    Ok(Preference {
        provider_number_id: number_id.to_owned(),
        phone,
        user_id,
        category: wire.category.into_string(),
        choice: match wire.value.as_str() {
            "stop" => Choice::Stop,
            "resume" => Choice::Resume,
            other => Choice::Other(other.to_owned()),
        },
        occurred_at: moment(wire.timestamp.as_str())?,
        entry: raw.get().to_owned(),
    })
}
