//! No more than so often a minute: for what strangers or a whole campaign could make endless.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::clock;

/// How often something happened in the current minute.
#[derive(Default)]
pub struct PerMinute {
    minute: AtomicI64,
    count: AtomicU32,
}

impl PerMinute {
    /// Counts one more; `false` when that is too much.
    pub fn one_more(&self, limit: u32) -> bool {
        let minute = clock::now().as_seconds() / 60;
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.count.store(0, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed) < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_told_so() {
        let limited = PerMinute::default();
        let told = (0..100).filter(|_| limited.one_more(3)).count();
        // The test may fall upon the turn of a minute.
        assert!((3..=6).contains(&told), "{told}");
    }
}
