//! How far the campaign is: a bar for those who watch, a few plain lines for those who read it later.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use wabridge::{domain::words::thousands, simulator::Stats};

/// Where nobody watches, a line after each quarter says enough.
const LINES: u64 = 4;
/// A bar that stands still still turns its wheel.
const TURN_EVERY: Duration = Duration::from_millis(120);

/// What can be seen from outside the bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Messages that WhatsApp has taken.
    pub(super) sent: u64,
    /// Messages that arrived.
    delivered: u64,
    /// Messages of which CleverTap has heard.
    reported: u64,
    /// All that CleverTap has heard: several statuses of a message, and replies.
    reports: u64,
}

impl Counts {
    pub(super) fn of(stats: &Stats) -> Self {
        let clevertap = &stats.clevertap;
        Self {
            sent: stats.sends_accepted,
            delivered: clevertap.messages.get("delivered").copied().unwrap_or_default(),
            reported: clevertap.messages_total,
            reports: clevertap.statuses.values().chain(clevertap.inbound.values()).sum(),
        }
    }

    fn text(self) -> String {
        let [sent, delivered, reports] =
            [self.sent, self.delivered, self.reports].map(|count| thousands(count as usize));
        format!("{sent} sent, {delivered} delivered, {reports} reported back")
    }
}

/// Goes to standard error, so that what is printed on standard output stays the result.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { messages: u64, said: u64 },
}

impl Progress {
    pub(super) fn new(messages: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { messages, said: 0 };
        }
        let style = ProgressStyle::with_template("{spinner} {bar:24} {wide_msg} {elapsed}");
        let bar = ProgressBar::new(messages);
        bar.set_style(style.expect("this template is well formed").progress_chars("=> "));
        bar.enable_steady_tick(TURN_EVERY);
        Self::Bar(bar)
    }

    pub(super) fn show(&mut self, counts: Counts) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(counts.reported);
                bar.set_message(counts.text());
            }
            Self::Lines { messages, said } => {
                let quarter = counts.reported * LINES / (*messages).max(1);
                if quarter > *said {
                    *said = quarter;
                    eprintln!("{}", counts.text());
                }
            }
        }
    }

    /// The answers say how many messages there is something to hear of.
    pub(super) fn expect(&mut self, expected: u64) {
        match self {
            Self::Bar(bar) => bar.set_length(expected),
            Self::Lines { messages, .. } => *messages = expected,
        }
    }

    /// Makes room for the result.
    pub(super) fn finish(self) {
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines { .. } => {}
        }
    }
}
