//! Whether somebody may be sent a freeform message: only who wrote to the number within 24 hours. WhatsApp keeps the window; we
//! know of it by what came.

use std::time::Duration;

use super::operators::{Refusal, require};
use crate::{
    clock,
    domain::{
        account::Sender,
        operator::{Actor, Permission},
        phone::PhoneNumber,
        time::UnixMillis,
    },
    providers,
    store::{Store, windows::Written},
};

/// For how long WhatsApp keeps it open.
pub const WINDOW_LASTS: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of a person's window at a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    Open {
        wrote_at: UnixMillis,
        until: UnixMillis,
    },
    /// Nothing came from them within its time.
    Closed,
    /// There is so much in the log that only what came after this moment was looked through.
    NothingSince(UnixMillis),
}

/// Looks when the person last wrote to the number.
pub async fn window(store: &Store, actor: &Actor, sender: &Sender, person: &PhoneNumber) -> Result<Window, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let lately = store.written_lately(sender, person, WINDOW_LASTS).await?;
    let wrote_at = lately.written.iter().filter(|written| is_from(sender, person, written)).map(|it| it.at).max();
    let until = wrote_at.map(|at| at.plus(WINDOW_LASTS)).filter(|until| *until > clock::now());
    Ok(match (wrote_at.zip(until), lately.stopped_at) {
        (Some((wrote_at, until)), _) => Window::Open { wrote_at, until },
        (None, Some(looked_until)) => Window::NothingSince(looked_until),
        (None, None) => Window::Closed,
    })
}

/// The digits may also stand in what somebody else wrote.
fn is_from(sender: &Sender, person: &PhoneNumber, written: &Written) -> bool {
    if let Some(known) = &written.person {
        return known == person.as_e164();
    }
    let provider = providers::find(&sender.connection.provider);
    let message = provider.and_then(|provider| provider.parse_inbound(&sender.connection, &written.entry).ok());
    message.is_some_and(|message| message.is_written() && message.from.as_ref() == Some(person))
}
