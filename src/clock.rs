//! The time by which the bridge works: the system's clock as it was at the start, carried on by a
//! clock that cannot be set. When somebody sets the system's clock, nothing that waits is released at
//! once or put off for an hour.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime},
};

use crate::domain::time::UnixMillis;

static ANCHOR: LazyLock<(SystemTime, Instant)> = LazyLock::new(|| (SystemTime::now(), Instant::now()));

pub fn now() -> UnixMillis {
    let (wall, monotonic) = *ANCHOR;
    let since_epoch = (wall + monotonic.elapsed()).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
