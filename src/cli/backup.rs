//! `wabridge backup`: a copy of the database, beside a running server.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use url::Url;
use wabridge::{services::backup::back_up, settings::Settings, store::sqlite_path};

use super::{answer, answer_json, exit};

/// Copy the SQLite database into a file, also while a server works on it
///
/// The copy is the state of one moment, whole and checked; the file is for its owner alone. It holds messages and telephone
/// numbers in the clear, tokens and callback URLs encrypted. The master key is not in it: keep that apart, or the
/// secrets are lost. Files that people sent (media) are not in it either. On PostgreSQL this prints the command that
/// does it, and ends with 4.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge backup /backups/wabridge-$(date +%F).db                  a copy with the day in its name, for cron
  wabridge backup /backups/wabridge.db --settings /etc/wabridge.toml  of the server with these settings

Exit codes: 0 it is made; 1 it failed, and there is no file; 4 it was not made, because PostgreSQL has tools of its own.
--json prints: done, file, bytes, master_key, command.")]
pub(crate) struct BackupArguments {
    /// The file to make; it must not exist
    file: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    done: bool,
    file: &'a Path,
    bytes: Option<u64>,
    /// Where the key is that opens its secrets.
    master_key: String,
    /// What to run instead, on PostgreSQL.
    command: Option<String>,
}

pub(crate) async fn backup(settings: &Settings, arguments: &BackupArguments) -> anyhow::Result<ExitCode> {
    let file = arguments.file.as_path();
    let master_key = place_of_key(settings);
    let Some(database) = sqlite_path(&settings.database.url) else {
        let command = dump_command(&settings.database.url, file)?;
        let text = format!(
            "Nothing is copied: PostgreSQL has tools of its own. Run\n  {command}\nwith the password in PGPASSWORD or ~/.pgpass. \
             The master key is not in the database: keep a copy of {master_key} apart from it.\n"
        );
        report(arguments, &text, &Report { done: false, file, bytes: None, master_key, command: Some(command) })?;
        return Ok(ExitCode::from(exit::NEEDS_ATTENTION));
    };
    ensure!(
        database.exists(),
        "there is no database at {}; run this in the server's folder, or with its settings (--settings FILE)",
        whole(&database).display()
    );
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:40} {bytes} of about {total_bytes}");
    bar.set_style(style.context("the template of the progress bar is wrong")?);
    let watching = |copied, total| {
        bar.set_length(total);
        bar.set_position(copied);
    };
    let bytes = back_up(settings, file, &watching).await;
    bar.finish_and_clear();
    let bytes = bytes?;
    let text = format!(
        "The database is copied into {} ({bytes} bytes) and the copy is sound.\n\
         The master key is not in it: keep a copy of {master_key} apart from it. `wabridge restore` puts a copy back.\n",
        file.display()
    );
    report(arguments, &text, &Report { done: true, file, bytes: Some(bytes), master_key, command: None })?;
    Ok(ExitCode::SUCCESS)
}

fn report(arguments: &BackupArguments, text: &str, report: &Report<'_>) -> anyhow::Result<()> {
    if arguments.json { answer_json(report) } else { answer(text) }
}

/// In words, for somebody who has to find it.
fn place_of_key(settings: &Settings) -> String {
    match &settings.security.master_key {
        Some(_) => "the setting security.master_key".to_owned(),
        None => whole(&settings.security.master_key_file).display().to_string(),
    }
}

/// Where a relative path leads depends on the folder, which is the usual mistake.
pub(super) fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What a command works with that must be run in the right place.
pub(super) fn place(settings: &Settings) -> String {
    let database = sqlite_path(&settings.database.url)
        .map_or_else(|| "the PostgreSQL of database.url".to_owned(), |path| whole(&path).display().to_string());
    format!("the database is {database}, the master key is {}", place_of_key(settings))
}

fn dump_command(url: &str, file: &Path) -> anyhow::Result<String> {
    let file = file.display().to_string();
    Ok(format!("pg_dump --format=custom --file={} {}", quoted(&file), quoted(&without_password(url)?)))
}

/// A PostgreSQL URL as it may be shown.
pub(super) fn without_password(url: &str) -> anyhow::Result<String> {
    let mut url =
        Url::parse(url).ok().context("database.url is not a URL: write it like postgres://user:password@host/name")?;
    url.set_password(None)
        .ok()
        .context("database.url names no host: write it like postgres://user:password@host/name")?;
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(name, _)| !name.contains("password")).map(|(n, v)| (n.into(), v.into())).collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Ok(url.to_string())
}

/// One word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_for_postgresql_shows_no_password() {
        let url = "postgres://me:hush@db.example.com:5433/wabridge?sslmode=require&password=hush";
        let command = dump_command(url, Path::new("/backups/o'clock.dump")).expect("a command");

        assert_eq!(
            command,
            r"pg_dump --format=custom --file='/backups/o'\''clock.dump' 'postgres://me@db.example.com:5433/wabridge?sslmode=require'"
        );
    }
}
