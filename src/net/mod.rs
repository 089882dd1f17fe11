//! The outside world, once: every outgoing request passes here.

pub mod download;
pub mod exchange;
pub mod guard;
pub mod mail;
pub mod redact;
pub mod signing;
