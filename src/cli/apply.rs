//! `wabridge apply`: configuration from a file.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use wabridge::{
    app::{lock_database, open_existing_store, open_store_to_configure, open_store_whose_key_is_lost},
    services::{
        apply::{self, APPLY_FILE_BYTES_MAX, ApplyError, ApplyFile, ApplyProblem, Change, ChangeKind, Surroundings},
        webhooks::Allowed,
    },
    settings::{self, Settings},
    store::{
        Store,
        configuration::Configuration,
        sqlite_path,
        vault::{MasterKey, Vault},
    },
};

use super::{confirm, counted, report, this_user};

/// Create and update connections, accounts and sender numbers from a file
///
/// Applying a file twice changes nothing the second time. It may be done beside a running server, which
/// takes the change over within seconds. The file is the whole truth about each connection, account and
/// number that it names: what it leaves out of one goes back to its default. Those that it does not name
/// stay as they are; they are removed in the console, or by the API. ${NAME} in a text is filled in from the environment, so that secrets can stay out of
/// the file; $${ stands for ${ itself. When anything is wrong nothing is changed, and every problem is told with its line.
///
/// Run it in the server's folder and with its settings (--settings FILE): secrets are encrypted with the server's master key.
/// Before the first start it makes database and key, where the database is a file; on PostgreSQL start the server first.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge apply customers.toml --dry-run        what would change, one line each: + added, ~ changed, - removed
  META_TOKEN=… wabridge apply customers.toml     change it, with a secret from the environment
  wabridge apply customers.toml --dry-run --json | jq '.changes | length'

Exit codes: 0 applied, or nothing to change; 1 the file is wrong or could not be applied, and nothing is changed.
--json prints: done, dry_run, and for each of the changes: kind (added, changed, removed), subject, details.

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
    /// When the master key is lost: take every secret from the file again, under a new key. The server must be stopped.
    /// Links to media end, and people who were forgotten may be sent to again
    #[arg(long)]
    replace_secrets: bool,
    /// Do not ask
    #[arg(long, short, requires = "replace_secrets")]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn apply_file(settings: &Settings, arguments: &ApplyArguments) -> anyhow::Result<()> {
    let text = read_apply_file(&arguments.file)?;
    let environment = |name: &str| std::env::var(name).ok();
    let surroundings = Surroundings::new(&environment, Allowed::by(settings), &settings.retention);
    let (file, problems) = apply::read(&text, &arguments.file.display().to_string(), &surroundings);
    if !problems.is_empty() {
        return Err(ApplyError::Problems(with_stored(settings, &file, problems).await).into());
    }
    if file.is_empty() {
        let text = "The file states nothing: it has no [[connections]] and no [[accounts]]. Nothing is changed.\n";
        return report(arguments.json, text, &as_json(arguments, &[]));
    }
    if arguments.replace_secrets {
        return replace_secrets(settings, arguments, &file).await;
    }
    for account in &file.accounts {
        for warning in account.what.policy.expires_in_quiet_hours() {
            eprintln!("warning: account {}: {warning}", account.what.id);
        }
    }
    let (changes, what) = if arguments.dry_run {
        (preview(settings, &file).await?, "to make; this was a dry run, so nothing is changed")
    } else {
        let made = sqlite_path(&settings.database.url).filter(|path| !path.exists());
        let store = open_store_to_configure(settings).await?;
        if let Some(path) = made {
            let path = std::path::absolute(&path).unwrap_or(path);
            eprintln!(
                "There was no database yet: {} is a new one, with a new key. Start `wabridge` here.",
                path.display()
            );
        }
        (apply::apply(&store, &this_user(), &file).await?, "made; a running server takes them over within seconds")
    };
    report(arguments.json, &summary(&changes, what), &as_json(arguments, &changes))
}

/// What would change. Where there is no database none is made: all is new, which one that is thrown away shows as well.
async fn preview(settings: &Settings, file: &ApplyFile) -> anyhow::Result<Vec<Change>> {
    if !is_new(settings) {
        return Ok(apply::preview(&open_store_to_configure(settings).await?, file).await?);
    }
    let folder = tempfile::tempdir().context("could not make a temporary folder")?;
    let url = format!("sqlite://{}", folder.path().join("preview.db").display());
    let database = settings::Database { url: url.into(), ..settings.database.clone() };
    let store = Store::open(&database, Vault::new(&MasterKey::random())).await?;
    let changes = apply::preview(&store, file).await?;
    store.close().await?;
    Ok(changes)
}

/// Whether the database is a file that does not exist yet.
fn is_new(settings: &Settings) -> bool {
    sqlite_path(&settings.database.url).is_some_and(|path| !path.exists())
}

fn as_json(arguments: &ApplyArguments, changes: &[Change]) -> Value {
    let change = |change: &Change| {
        let kind = match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Changed => "changed",
            ChangeKind::Removed => "removed",
        };
        json!({"kind": kind, "subject": change.subject, "details": change.details})
    };
    let changes: Vec<Value> = changes.iter().map(change).collect();
    json!({"done": !arguments.dry_run && !changes.is_empty(), "dry_run": arguments.dry_run, "changes": changes})
}

/// What is stored shows more mistakes, where it can be read.
async fn with_stored(settings: &Settings, file: &ApplyFile, problems: Vec<ApplyProblem>) -> Vec<ApplyProblem> {
    let stored = match open_existing_store(settings).await {
        _ if is_new(settings) => Some(Configuration::default()),
        Ok(store) => store.load_configuration().await.ok(),
        Err(_) => None,
    };
    match stored {
        Some(stored) => apply::all_problems(&stored, file, problems),
        None => problems,
    }
}

const REPLACING: &str = "\
The secrets in this database cannot be read any more. Every token, passcode and callback URL is replaced by what the file says.
Keys that were kept among them begin anew: links to media that were given out stop working, and people whose data was
erased at their wish may be sent to again if they are targeted (others who opted out stay suppressed).
";

async fn replace_secrets(settings: &Settings, arguments: &ApplyArguments, file: &ApplyFile) -> anyhow::Result<()> {
    // Held until the end: no server may start in between.
    let _lock = lock_database(&settings.database.url)?;
    let (store, has_key) = open_store_whose_key_is_lost(settings).await?;
    if !store.is_sqlite() && store.instances_running(settings.instance.lease).await? > 0 {
        bail!("instances run on this database: stop them, wait for instance.lease, and try again");
    }
    let planned = apply::preview_replacement(&store, file).await?;
    if arguments.dry_run {
        let text = summary(&planned, "to make; this was a dry run, so nothing is changed");
        return report(arguments.json, &text, &as_json(arguments, &planned));
    }
    eprint!("{REPLACING}");
    if !arguments.yes && !confirm("Replace them?")? {
        bail!("nothing is changed: it was not confirmed (--yes does so without a question)");
    }
    let store = if has_key { store } else { store.with_vault(Vault::new(&MasterKey::make(&settings.security)?)) };
    let done = apply::replace(&store, file, settings.instance.lease).await?;
    let forgotten = match done.forgotten {
        0 => String::new(),
        lost => {
            let entries = counted(
                lost,
                "entry of the suppression list is lost: it was",
                "entries of the suppression list are lost: those",
            );
            format!("{entries} of people who were erased.\n")
        }
    };
    let secrets = counted(done.secrets, "secret is", "secrets are");
    let text = format!(
        "{}{secrets} encrypted with the new key.\n{forgotten}Next: keep a copy of the key apart from the database, and start the server.\n",
        summary(&done.changes, "made"),
    );
    let mut value = as_json(arguments, &done.changes);
    value["done"] = json!(true);
    value["secrets_replaced"] = json!(done.secrets);
    value["suppressions_lost"] = json!(done.forgotten);
    report(arguments.json, &text, &value)
}

fn summary(changes: &[Change], what: &str) -> String {
    if changes.is_empty() {
        return "Everything is as the file says: nothing to change.\n".to_owned();
    }
    let lines: String = changes.iter().map(|change| format!("{change}\n")).collect();
    format!("{lines}\n{} {what}.\n", counted(changes.len(), "change", "changes"))
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
