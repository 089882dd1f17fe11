//! The events that a replay is about, as SQL.
//!
//! A log may be long and what is wanted few among very many, so a selection is read in stretches, and each kind of selection
//! begins at the index that leads to its events by the shortest way.

use sea_orm::Value;

use crate::{
    domain::{
        callback::Subscription,
        ids::Place,
        replay::{Because, ReplayOf, ReplaySelection},
    },
    store::{
        callbacks::{CallbackState, whose_events},
        exchanges::containing,
    },
};

/// One statement looks through so many places of a log.
const PLACES_PER_READ: i64 = 50_000;

/// A statement's text with its values, numbered as they come.
#[derive(Default)]
pub(in crate::store) struct Text {
    pub(in crate::store) sql: String,
    pub(in crate::store) values: Vec<Value>,
}

impl Text {
    pub(in crate::store) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    pub(in crate::store) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len().to_string();
        self.sql.push('$');
        self.sql.push_str(&number);
        self
    }
}

/// `FROM … WHERE …` for the selected events `e` of a subscription between two places, and the columns that put them in order.
pub(in crate::store) fn selected(
    text: &mut Text,
    subscription: &Subscription,
    selection: &ReplaySelection,
    (first, last): (Place, Place),
) -> &'static str {
    let left_behind = match selection.of {
        ReplayOf::Dead => Some(CallbackState::Dead),
        ReplayOf::NotRelayed => Some(CallbackState::NotRelayed),
        ReplayOf::Delivered | ReplayOf::All => None,
    };
    let order = if let Some(state) = left_behind {
        // From the ranges to their events: there may be few among very many.
        text.push(" FROM callbacks AS c CROSS JOIN events AS e LEFT JOIN outbound_messages AS m ON m.id = e.message")
            .push(" WHERE c.subscription = ")
            .bind(subscription.key.0)
            .push(" AND c.state = ")
            .bind(state.code())
            .push(" AND c.first_place <= ")
            .bind(last.0)
            .push(" AND c.last_place >= ")
            .bind(first.0)
            .push(
                " AND c.first_place >= COALESCE((SELECT MAX(h.first_place) FROM callbacks AS h WHERE h.subscription = ",
            )
            .bind(subscription.key.0)
            .push(" AND h.first_place <= ")
            .bind(first.0)
            .push("), 0) AND e.place >= c.first_place AND e.place <= c.last_place AND e.account = ")
            .bind(subscription.account.0);
        because(text, &selection.because);
        "c.first_place, e.place"
    } else {
        text.push(" FROM events AS e LEFT JOIN outbound_messages AS m ON m.id = e.message WHERE ")
            // A message has few events, an account has many.
            .push(if selection.message.is_some() { "(e.account + 0) = " } else { "e.account = " })
            .bind(subscription.account.0)
            // Not bound: inbound events have an index of their own.
            .push(&format!(" AND e.kind = {}", subscription.kind.code()))
            .push(" AND e.")
            .push(&whose_events(subscription));
        if selection.of == ReplayOf::Delivered {
            text.push(
                " AND NOT EXISTS (SELECT 1 FROM callbacks AS c WHERE c.last_place >= e.place AND c.subscription = ",
            )
            .bind(subscription.key.0)
            .push(" AND c.first_place = (SELECT MAX(h.first_place) FROM callbacks AS h WHERE h.subscription = ")
            .bind(subscription.key.0)
            .push(" AND h.first_place <= e.place))");
        }
        "e.place"
    };
    let place = if selection.message.is_some() { "(e.place + 0)" } else { "e.place" };
    text.push(" AND ").push(place).push(" >= ").bind(first.0);
    text.push(" AND ").push(place).push(" <= ").bind(last.0);
    if let Some(message) = selection.message {
        text.push(" AND e.message = ").bind(message.0);
    }
    if let Some(since) = selection.since {
        text.push(" AND e.recorded_at >= ").bind(since.0);
    }
    if let Some(until) = selection.until {
        text.push(" AND e.recorded_at < ").bind(until.0);
    }
    order
}

/// Of ranges `c` only those that were left behind for this.
fn because(text: &mut Text, because: &Because) {
    if let Some(words) = &because.text {
        text.push(" AND LOWER(c.reason) LIKE ").bind(containing(words)).push(" ESCAPE '\\'");
    }
    let patterns = because.answer_patterns();
    for (number, pattern) in patterns.iter().enumerate() {
        text.push(if number == 0 { " AND (" } else { " OR " }).push("c.reason LIKE ").bind(pattern.as_str());
    }
    if !patterns.is_empty() {
        text.push(")");
    }
}

/// Where one statement stops looking.
pub(super) fn end_of_read(selection: &ReplaySelection, from: Place) -> Place {
    let end = if selection.message.is_some() { i64::MAX } else { from.0.saturating_add(PLACES_PER_READ - 1) };
    Place(end.min(selection.last.0))
}
