//! Walking a table backwards through time: in slices that grow while little is found, and not for long. Where an index would cost
//! each row a write, this is how people's questions are answered; whoever asks is told how far it went, and goes on from there.

use std::time::{Duration, Instant};

/// Rows that the first slice looks at; each further one at twice as many …
pub(super) const SLICE_ROWS: usize = 2_000;
/// No slice is begun after this, so that a page is there in a tenth of a second.
const WALK_TAKES_MAX: Duration = Duration::from_millis(60);

/// How large the next slice is, and whether there is time for it.
pub(super) struct Slices {
    started: Instant,
    rows: usize,
    rows_max: usize,
    /// Of a walk among several that answer one question together.
    ends: Option<Instant>,
}

impl Slices {
    /// … up to `rows_max`, so that none takes long.
    pub(super) fn up_to(rows_max: usize) -> Self {
        Self { started: Instant::now(), rows: SLICE_ROWS, rows_max, ends: None }
    }

    /// Nor is a further slice begun after this moment.
    pub(super) fn and_no_later_than(self, ends: Option<Instant>) -> Self {
        Self { ends, ..self }
    }

    /// So many rows the present slice looks at.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn time_is_up(&self) -> bool {
        self.started.elapsed() >= WALK_TAKES_MAX || self.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    /// The present slice is done.
    pub(super) fn next(&mut self) {
        self.rows = self.rows_max.min(self.rows * 2);
    }
}
