#![doc = include_str!("ARCHITECTURE.md")]

pub mod domain;

pub mod clock;
pub mod pulse;
pub mod sabotage;
pub mod settings;
pub mod telemetry;

pub mod net;
pub mod platforms;
pub mod profiles;
pub mod providers;
pub mod store;

pub mod services;
pub mod worker;

pub mod app;
pub mod http;

pub mod simulator;
