//! The commands, one file each.

pub(crate) mod apply;
pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod hold;
pub(crate) mod message;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod sync;

use std::io::Write as _;

use anyhow::Context as _;

/// What was asked for goes to standard output, everything else to standard error.
pub(crate) fn answer(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("could not write the answer")
}
