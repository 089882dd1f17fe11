//! The outside world, once: every outgoing request passes here.

pub mod collector;
pub mod download;
pub mod excerpt;
pub mod exchange;
pub mod guard;
mod issuer;
pub mod mail;
mod no_answer;
mod reach;
pub mod redact;
pub mod signing;
