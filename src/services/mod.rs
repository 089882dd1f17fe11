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
pub mod queue;
pub mod relay;
pub mod rendered;
pub mod replay;
pub mod retain;
pub mod silence;
pub mod template_page;
