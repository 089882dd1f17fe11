//! The simulator through its front door: HTTP in, webhooks out.
//!
//! A small receiver stands where the bridge would, keeps every webhook and its signature, and answers as it is told.
//! Nothing sleeps: every wait is for a condition, and has an end.

mod clevertap;
mod documentation;
mod events;
mod harness;
mod inbound;
mod limits;
mod media;
mod nodes;
mod scenarios;
mod sends;
mod templates;
mod webhooks;
