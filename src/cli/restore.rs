//! `wabridge restore`: a backup, put in the place of the database.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Serialize;
use wabridge::{
    app::{lock_database, open_existing_store},
    services::backup::{self, Restored, Restoring},
    settings::Settings,
    store::sqlite_path,
};

use super::{
    answer, answer_json,
    backup::{place, quoted, whole, without_password},
    confirm, counted, exit, this_user,
};

/// Put a backup in the place of the SQLite database
///
/// The server must be stopped. The file is checked first, and that the master key opens its secrets; then it is asked whether
/// to replace a database that is there, which is moved aside and never overwritten.
///
/// Messages that were waiting when the backup was made may have been sent since, so they are NOT sent: a status from
/// WhatsApp within an hour of the restore settles them, the others are reported as failed (1009). With --resend-queued they
/// go out again. Everything else is as it was then: what was reported since is reported again, and a message that the
/// platform handed over since and repeats now counts as new.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge restore /backups/wabridge-2026-11-20.db --replace          checks the file, asks, and does it
  wabridge restore /backups/wabridge-2026-11-20.db --replace --yes    the same without a question
  wabridge restore --held-only           after pg_restore: only hold back what was waiting

Exit codes: 0 it is in place; 1 it failed or was not confirmed, and nothing is changed; 4 not done, because PostgreSQL has tools of its own.
--json prints: done, database, moved_aside, held_back, command.")]
pub(crate) struct RestoreArguments {
    /// The backup, as `wabridge backup` made it
    #[arg(required_unless_present = "held_only")]
    file: Option<PathBuf>,
    /// Move the database that is there aside
    #[arg(long)]
    replace: bool,
    /// Send what was waiting when the backup was made, at the risk that people get it twice
    #[arg(long)]
    resend_queued: bool,
    /// The database was restored by other means, such as pg_restore: only hold back what was waiting in it
    #[arg(long, conflicts_with_all = ["file", "replace", "resend_queued"])]
    held_only: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Default, Serialize)]
struct Report {
    done: bool,
    database: Option<PathBuf>,
    moved_aside: Option<PathBuf>,
    held_back: Option<u64>,
    /// What to run instead, on PostgreSQL.
    command: Option<String>,
}

pub(crate) async fn restore(settings: &Settings, arguments: &RestoreArguments) -> anyhow::Result<ExitCode> {
    let Some(file) = &arguments.file else { return hold_back(settings, arguments).await };
    let Some(database) = sqlite_path(&settings.database.url) else {
        let url = quoted(&without_password(&settings.database.url)?);
        let file = quoted(&file.display().to_string());
        let command = format!("pg_restore --clean --if-exists --single-transaction --dbname={url} {file}");
        let text = format!(
            "Nothing is restored: PostgreSQL has tools of its own. Stop all instances, run\n  {command}\nand then\n  wabridge \
             restore --held-only\nor messages that were waiting at the time of the backup are sent again.\n"
        );
        report(arguments, &text, &Report { command: Some(command), ..Report::default() })?;
        return Ok(ExitCode::from(exit::NEEDS_ATTENTION));
    };
    ensure!(file.is_file(), "there is no backup {}: name the file that `wabridge backup` made", whole(file).display());
    let traces = Traces::before(&database);
    // Held until the end: no server may start in between.
    let lock = lock_database(&settings.database.url)?;
    let done = put_back(settings, arguments, file, &database).await;
    if done.is_err() {
        traces.remove();
    }
    drop(lock);
    let done = done?;
    report(arguments, &told(&done, arguments.resend_queued), &as_report(&done))?;
    Ok(ExitCode::SUCCESS)
}

async fn put_back(
    settings: &Settings,
    arguments: &RestoreArguments,
    file: &Path,
    database: &Path,
) -> anyhow::Result<Restored> {
    let how = Restoring { replace: arguments.replace, resend_queued: arguments.resend_queued };
    let not_done = || {
        format!(
            "nothing is restored; with the settings of this folder {} (else name them by --settings FILE)",
            place(settings)
        )
    };
    // Looked at first: nobody should be asked about what cannot be done.
    let ready = backup::make_ready(settings, file, how, &this_user()).await.with_context(not_done)?;
    if database.exists() && !arguments.yes {
        let question = format!("{} is sound. Put it in the place of {}?", file.display(), database.display());
        if !confirm(&question)? {
            bail!("nothing is changed: it was not confirmed (--yes does so without a question)");
        }
    }
    ready.put_in_place(settings).await.with_context(not_done)
}

/// What the lock leaves behind, for a command that was run in the wrong folder and has done nothing there.
struct Traces {
    lock: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Traces {
    fn before(database: &Path) -> Self {
        let new = |path: PathBuf| Some(path).filter(|path| !path.exists());
        let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self { lock: new(database.with_extension("lock")), folder: folder.map(Path::to_owned).and_then(new) }
    }

    /// What cannot be removed does no harm. A folder with something in it stays.
    fn remove(self) {
        drop(self.lock.map(std::fs::remove_file));
        drop(self.folder.map(std::fs::remove_dir));
    }
}

async fn hold_back(settings: &Settings, arguments: &RestoreArguments) -> anyhow::Result<ExitCode> {
    // Opened first: in the wrong folder there is nothing to lock.
    let store = open_existing_store(settings).await?;
    let _lock = lock_database(&settings.database.url)?;
    let running = store.instances_running(settings.instance.lease).await?;
    ensure!(
        store.is_sqlite() || running == 0,
        "{} on this database: stop them all, wait for instance.lease, and try again",
        counted(running, "instance works", "instances work")
    );
    let held_back = backup::hold_back(&store, &this_user()).await?;
    let text = format!(
        "{} held back: a status of WhatsApp’s settles it, else it is reported as failed in an hour.\n",
        counted(held_back, "message that was waiting is", "messages that were waiting are")
    );
    report(arguments, &text, &Report { done: true, held_back: Some(held_back), ..Report::default() })?;
    Ok(ExitCode::SUCCESS)
}

fn told(done: &Restored, resend_queued: bool) -> String {
    let aside = done
        .moved_aside
        .as_ref()
        .map_or_else(String::new, |aside| format!("The database that was there is {} now.\n", aside.display()));
    let waiting = if resend_queued {
        "What was waiting when the backup was made is sent when the server starts.\n".to_owned()
    } else {
        format!(
            "{} waiting when it was made, and not sent. A status of WhatsApp’s settles each, else it is reported as failed in an \
             hour.\n",
            counted(done.held_back, "message was", "messages were")
        )
    };
    format!("The backup is in place: {}.\n{aside}{waiting}Next: start the server.\n", done.database.display())
}

fn as_report(done: &Restored) -> Report {
    Report {
        done: true,
        database: Some(done.database.clone()),
        moved_aside: done.moved_aside.clone(),
        held_back: Some(done.held_back),
        command: None,
    }
}

fn report(arguments: &RestoreArguments, text: &str, report: &Report) -> anyhow::Result<()> {
    if arguments.json { answer_json(report) } else { answer(text) }
}
