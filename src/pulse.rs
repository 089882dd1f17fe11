//! Whether the work behind the doors goes on.
//!
//! Every stream of work (the owner of a number or of a callback URL, the committer, the housekeeping) has a [`Pulse`] and beats
//! it whenever it has *got something done*, or has found that there is nothing to do. A loop that turns and fails at each
//! turn does not beat. [`Health`] knows all of them, and which are silent for longer than they may be.
//!
//! A pulse that is dropped without [`Pulse::end`] belonged to a stream that broke: it panicked or was cut off.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What `/readyz` asks.
#[derive(Default)]
pub struct Health {
    leases_kept_at: Mutex<Option<Instant>>,
    owned: Mutex<BTreeMap<&'static str, usize>>,
    configuration_unreadable: AtomicBool,
    not_written: AtomicBool,
    streams: Mutex<BTreeMap<String, Arc<Stream>>>,
}

/// A stream of work that has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    pub stream: String,
    pub why: WhyStopped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyStopped {
    /// It has got nothing done for so long.
    Silent(Duration),
    /// Its task is gone.
    Broken,
}

/// What an operator reads.
impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            WhyStopped::Silent(silent) => write!(f, "{} has got nothing done for {} s", self.stream, silent.as_secs()),
            WhyStopped::Broken => write!(f, "{} ended with a panic", self.stream),
        }
    }
}

impl Health {
    /// Leases are kept, at this moment.
    pub fn keep_leases(&self) {
        *self.leases_kept_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long ago leases were last renewed; `None` before the first time.
    pub fn since_leases_kept(&self) -> Option<Duration> {
        self.leases_kept_at.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// Of each kind of lease this instance has so many.
    pub fn own<const KINDS: usize>(&self, counts: [(&'static str, usize); KINDS]) {
        *self.owned.lock().unwrap_or_else(PoisonError::into_inner) = BTreeMap::from(counts);
    }

    /// How many leases of each kind this instance has.
    pub fn owned(&self) -> BTreeMap<&'static str, usize> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether changes of the configuration can be read.
    pub fn configuration(&self, readable: bool) {
        self.configuration_unreadable.store(!readable, Ordering::Relaxed);
    }

    /// `false` while what was changed cannot be read: numbers and credentials may be out of date.
    pub fn reads_configuration(&self) -> bool {
        !self.configuration_unreadable.load(Ordering::Relaxed)
    }

    /// Whether the newest of what was to be written was taken by the database.
    pub fn written(&self, taken: bool) {
        self.not_written.store(!taken, Ordering::Relaxed);
    }

    /// `false` from a commit that failed until the next one that does not, whoever makes it: a full disk and a locked file
    /// can be read all the same. Leases are renewed when nothing else is written, so an idle bridge learns of both too.
    pub fn can_write(&self) -> bool {
        !self.not_written.load(Ordering::Relaxed)
    }

    /// A stream of this name begins; it may be silent for so long. One that had the name before is forgotten.
    pub fn start(&self, name: &str, silent_max: Duration) -> Pulse {
        let pulse = Pulse::new(silent_max);
        self.lock().insert(name.to_owned(), pulse.0.clone());
        pulse
    }

    /// Its work is somebody else's now.
    pub fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// What has stopped.
    pub fn stopped(&self, now: Instant) -> Vec<Stopped> {
        let mut streams = self.lock();
        streams.retain(|_, stream| stream.state().ending != Some(Ending::Orderly));
        let stopped = |(name, stream): (&String, &Arc<Stream>)| {
            stream.why_stopped(now).map(|why| Stopped { stream: name.clone(), why })
        };
        streams.iter().filter_map(stopped).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a stream shows that it lives by.
pub struct Pulse(Arc<Stream>);

struct Stream {
    silent_max: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    beaten_at: Instant,
    /// It waits for work, which may take any time.
    rests: bool,
    ending: Option<Ending>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Orderly,
    Broken,
}

impl Pulse {
    /// One that nobody watches, unless by [`Health::start`].
    pub fn new(silent_max: Duration) -> Self {
        let state = State { beaten_at: Instant::now(), rests: false, ending: None };
        Self(Arc::new(Stream { silent_max, state: Mutex::new(state) }))
    }

    /// Something was done, or the next piece of work begins.
    pub fn beat(&self) {
        self.change(|state| {
            state.beaten_at = Instant::now();
            state.rests = false;
        });
    }

    /// There is nothing to do; the next beat comes with the next work.
    pub fn rest(&self) {
        self.change(|state| {
            state.beaten_at = Instant::now();
            state.rests = true;
        });
    }

    /// The stream has come to its end in good order.
    pub fn end(self) {
        self.change(|state| state.ending = Some(Ending::Orderly));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.change(|state| state.ending = state.ending.or(Some(Ending::Broken)));
    }
}

impl Stream {
    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn why_stopped(&self, now: Instant) -> Option<WhyStopped> {
        let State { beaten_at, rests, ending } = self.state();
        match ending {
            Some(Ending::Broken) => Some(WhyStopped::Broken),
            Some(Ending::Orderly) => None,
            None => {
                let silent = now.saturating_duration_since(beaten_at);
                (!rests && silent > self.silent_max).then_some(WhyStopped::Silent(silent))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT_MAX: Duration = Duration::from_secs(60);

    fn names(health: &Health, now: Instant) -> Vec<String> {
        health.stopped(now).into_iter().map(|stopped| stopped.stream).collect()
    }

    #[test]
    fn a_stream_that_is_silent_for_too_long_has_stopped_until_it_beats_again() {
        let health = Health::default();
        let pulse = health.start("a number", SILENT_MAX);
        let resting = health.start("another", SILENT_MAX);
        resting.rest();

        assert!(names(&health, Instant::now()).is_empty());
        let late = Instant::now() + SILENT_MAX + Duration::from_secs(1);
        assert_eq!(names(&health, late), ["a number"], "who rests may be silent");
        pulse.beat();
        assert!(names(&health, Instant::now() + SILENT_MAX / 2).is_empty());
        resting.beat();
        assert_eq!(names(&health, late + SILENT_MAX).len(), 2, "the rest is over");
    }

    #[test]
    fn what_was_written_last_tells_whether_anything_can_be_written() {
        let health = Health::default();
        assert!(health.can_write(), "nothing was tried");
        health.written(false);
        health.written(false);
        assert!(!health.can_write());
        health.written(true);
        assert!(health.can_write());
    }

    #[test]
    fn a_stream_that_breaks_has_stopped_and_one_that_ends_has_not() {
        let health = Health::default();
        let (broken, ended) = (health.start("broken", SILENT_MAX), health.start("ended", SILENT_MAX));
        let panicked = std::thread::spawn(move || {
            let _pulse = broken;
            panic!("as a stream might");
        });
        assert!(panicked.join().is_err());
        ended.end();

        let stopped = health.stopped(Instant::now());
        assert_eq!(stopped, [Stopped { stream: "broken".to_owned(), why: WhyStopped::Broken }]);
        let again = health.start("broken", SILENT_MAX);
        assert!(names(&health, Instant::now()).is_empty(), "it was started again");
        drop(again);
        health.forget("broken");
        assert!(names(&health, Instant::now()).is_empty(), "another instance has it now");
    }
}
