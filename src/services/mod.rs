//! What the bridge does, one verb a file. Each opens with its steps.

pub mod accept;
pub mod apply;
pub mod backup;
pub mod channels;
pub mod directory;
pub mod dispatch;
pub mod endpoints;
pub mod export;
pub mod ingest;
pub mod lookup;
pub mod media;
pub mod per_minute;
pub mod person;
pub mod queue;
pub mod relay;
pub mod rendered;
pub mod replay;
pub mod retain;
pub mod silence;
pub mod subscribe_sync;
pub mod suppressions;
pub mod template_page;
