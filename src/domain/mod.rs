//! What the bridge is about, without the world around it: no IO, no clock, no foreign formats.
//! Time and dice come in as arguments.

pub mod account;
pub mod alarm;
pub mod attempt;
pub mod callback;
pub mod callback_style;
pub mod campaign;
pub mod channel;
pub mod failure;
pub mod fill;
pub mod finding;
pub mod ids;
pub mod inbound;
pub mod messaging_limit;
pub mod network;
pub mod notice;
pub mod operator;
pub mod outbound;
pub mod phone;
pub mod preference;
pub mod preview;
pub mod price;
pub mod progress;
pub mod queue;
pub mod quiet;
pub mod reconciliation;
pub mod rendered;
pub mod replay;
pub mod resend;
pub mod retry;
pub mod statistics;
pub mod status;
pub mod suppression;
pub mod template;
pub mod time;
pub mod words;
