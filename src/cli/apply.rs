//! `wabridge apply`: configuration from a file.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use wabridge::{
    app::open_store,
    services::apply::{self, APPLY_FILE_BYTES_MAX, Change, Surroundings},
    settings::Settings,
};

use super::answer;

/// Create and update connections, accounts and sender numbers from a file
///
/// Applying a file twice changes nothing the second time. It may be done beside a running server, which
/// takes the change over within seconds. The file is the whole truth about each connection, account and
/// number that it names: what it leaves out of one goes back to its default. Those that it does not name
/// stay as they are. ${NAME} in a text is filled in from the environment, so that secrets can stay out of
/// the file. When anything is wrong nothing is changed, and every problem is told with its line.
#[derive(Args)]
#[command(after_help = "\
Example of a file:
  [[connections]]
  id = \"meta-main\"
  provider = \"meta\"
  access_token = \"${META_TOKEN}\"
  app_secret = \"${META_APP_SECRET}\"
  verify_token = \"choose-one\"

  [[accounts]]
  id = \"acme\"
  platform = \"clevertap\"
  clevertap_account_id = \"TEST-ACC-1\"
  clevertap_passcode = \"${ACME_PASSCODE}\"
  delivery_report_callback_url = \"https://…\"
  inbound_message_callback_url = \"https://…\"

  [[accounts.senders]]
  number = \"+919876500001\"
  connection = \"meta-main\"
  phone_number_id = \"100000000000001\"
  waba_id = \"200000000000001\"
  messages_per_second = 80")]
pub(crate) struct ApplyArguments {
    /// The file, in TOML
    file: PathBuf,
    /// Only print what would change
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn apply_file(settings: &Settings, arguments: &ApplyArguments) -> anyhow::Result<()> {
    let text = read_apply_file(&arguments.file)?;
    let environment = |name: &str| std::env::var(name).ok();
    let surroundings = Surroundings::new(&environment, settings.security.allow_private_networks);
    let file = apply::parse(&text, &arguments.file.display().to_string(), &surroundings)
        .map_err(apply::ApplyError::Problems)?;
    let store = open_store(settings).await?;
    let (changes, what) = if arguments.dry_run {
        (apply::preview(&store, &file).await?, "to make; this was a dry run, so nothing is changed")
    } else {
        (apply::apply(&store, &file).await?, "made; a running server takes them over within seconds")
    };
    answer(&summary(&changes, what))
}

fn summary(changes: &[Change], what: &str) -> String {
    if changes.is_empty() {
        return "Everything is as the file says: nothing to change.\n".to_owned();
    }
    let lines: String = changes.iter().map(|change| format!("{change}\n")).collect();
    let count = changes.len();
    format!("{lines}\n{count} {} {what}.\n", if count == 1 { "change" } else { "changes" })
}

fn read_apply_file(path: &Path) -> anyhow::Result<String> {
    let reading = || format!("could not read {}", path.display());
    let file = std::fs::File::open(path).with_context(reading)?;
    let mut text = String::new();
    file.take(APPLY_FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(reading)?;
    if text.len() as u64 > APPLY_FILE_BYTES_MAX {
        bail!("{} is larger than {APPLY_FILE_BYTES_MAX} bytes: split it into several files", path.display());
    }
    Ok(text)
}
