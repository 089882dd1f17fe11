//! How far long work has come, for those who watch.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, or nothing where nobody watches.
pub(super) fn bar(of: u64, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bar:32} {percent}% {eta}");
    ProgressBar::new(of)
        .with_message(what)
        .with_style(style.expect("this template is well formed").progress_chars("=> "))
}
