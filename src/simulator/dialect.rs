//! The dialects in which the simulator tells what happens.
//!
//! A request is answered in the dialect that it is made in, because each has paths of its own; they all end in `sends`. What
//! the simulator says unasked (statuses, what people write) is written in the dialect of a knob. A new dialect is a
//! module with its routes, and a line in each match below.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    commbox, gallabox, gotallo,
    knobs::Knobs,
    payloads::{self, Update},
};

/// Whose webhooks are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Dialect {
    /// Meta's Cloud API.
    #[default]
    Meta,
    /// 360dialog's: Meta's without a signature, with a header that holds a secret.
    #[serde(rename = "360dialog")]
    #[value(name = "360dialog")]
    Dialog360,
    /// CommBox's events, one a webhook, with user and password.
    Commbox,
    /// Gallabox, one event in each.
    Gallabox,
    /// GoTallo's messages, one in each, which show nothing that proves them.
    Gotallo,
}

/// A webhook as it goes over the wire.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) body: Bytes,
    /// Each name is there once; the content type is among them.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Dialect {
    /// How many updates fit into one webhook.
    pub(super) fn updates_max(self, knobs: &Knobs) -> usize {
        match self {
            Self::Meta | Self::Dialog360 => knobs.webhook_batch_max,
            Self::Commbox | Self::Gallabox | Self::Gotallo => 1,
        }
    }

    /// These updates, at most as many as fit and at least one; `None` when this dialect has no words for them.
    pub(super) fn write(self, updates: &[Update], knobs: &Knobs) -> Option<Wire> {
        match self {
            Self::Meta => Some(payloads::write(updates, knobs)),
            Self::Dialog360 => Some(payloads::write_for_360dialog(updates, knobs)),
            Self::Commbox => commbox::write(updates, knobs),
            Self::Gallabox => updates.first().and_then(|update| gallabox::write(update, knobs)),
            Self::Gotallo => updates.first().and_then(|update| gotallo::write(update, knobs)),
        }
    }
}
