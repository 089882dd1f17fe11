//! The wire of WhatsApp's Cloud API, shared by every provider that speaks it: pure functions between
//! bytes and our words. Hosts, credentials and signatures are the providers' own.

pub mod errors;
pub mod listing;
pub mod media;
pub mod numbers;
pub mod send;
pub mod templates;
mod text;
pub mod webhook;
