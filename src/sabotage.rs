//! A bridge that is broken on purpose, so that the checker of `tests/faults` can be seen to catch it.
//!
//! A checker that has never found anything proves nothing. With the feature `broken-engine` the program reads
//! [`VARIABLE`] and then breaks one promise. Without the feature [`breaks`] is a constant, and the compiler takes every
//! place that asks it away. Nobody can ship it by mistake: with optimisation the feature does not compile.

/// A promise that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Says that a message was accepted while it is only in memory.
    AnswersBeforeCommit,
    /// Now and then takes a message for sent that was never sent.
    ForgetsWork,
    /// Works on when its leases are over.
    NoFencing,
}

/// Names the promise to break.
pub const VARIABLE: &str = "BROKEN_ENGINE";

impl Sabotage {
    pub const ALL: [Self; 3] = [Self::AnswersBeforeCommit, Self::ForgetsWork, Self::NoFencing];

    /// As [`VARIABLE`] has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AnswersBeforeCommit => "answers-before-commit",
            Self::ForgetsWork => "forgets-work",
            Self::NoFencing => "no-fencing",
        }
    }
}

#[cfg(all(feature = "broken-engine", not(debug_assertions)))]
compile_error!("the feature broken-engine breaks the bridge on purpose: it is for tests of the tests only");

/// Whether this promise is to be broken.
#[cfg(not(feature = "broken-engine"))]
pub(crate) const fn breaks(_promise: Sabotage) -> bool {
    false
}

/// Whether this promise is to be broken.
#[cfg(feature = "broken-engine")]
pub(crate) fn breaks(promise: Sabotage) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var(VARIABLE).ok());
    CHOSEN.as_deref() == Some(promise.name())
}
