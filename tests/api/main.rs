//! The bridge through its front door: a real server on a free port, a real database, the simulator as
//! WhatsApp and as CleverTap. What is asserted is what the two of them see, and what an operator could read.
//!
//! Each file is one area, each test a sentence about the product. A scenario is a function that is given a
//! database; `on_each_database!` at the end of a file makes two tests of it, one on SQLite and one on
//! PostgreSQL. Nothing sleeps to wait for something: every wait is for a condition, and has an end.

mod harness;

mod accounts;
mod alarm_recipients;
mod alarms;
mod budget;
mod callbacks;
mod campaigns;
mod carriers;
mod check;
mod command_line;
mod commbox;
mod connection_forms;
mod connections;
mod console;
mod console_addresses;
mod console_api;
mod console_callbacks;
mod console_inbound;
mod console_settings;
mod console_templates;
mod console_webhooks;
mod contacts;
mod conversations;
mod crash;
mod endpoints;
mod erasure;
mod export;
mod gallabox;
mod gotallo;
mod hostile;
mod http_provider;
mod inbound;
mod instances;
mod keeping;
mod left_work;
mod log_order;
mod media;
mod messaging_limit;
mod metrics;
mod notices;
mod openapi;
mod pace;
mod people;
mod policies;
mod polling;
mod queue;
mod quiet;
mod refused;
mod removal;
mod repeats;
mod replay;
mod resend;
mod retention;
mod retries;
mod rotation;
mod secrets;
mod send;
mod settings;
mod silence;
mod statistics;
mod status;
mod statuses;
mod stop;
mod subscribe_sync;
mod suppressions;
mod template_import;
mod templates;
mod throttling;
mod tls;
mod traces;
mod trouble;
mod webhook_commands;
mod webhooks;
mod webhooks_answers;
mod webhooks_events;
mod webhooks_heard;
mod webhooks_log;
mod webhooks_out;
mod webhooks_providers;
mod webhooks_ways;
