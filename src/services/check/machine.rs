//! The machine: database, key, disk, and whether a server runs. Finds the configuration, too, for whoever goes on.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::Progress;
use crate::{
    clock,
    domain::finding::Finding,
    services::disk,
    settings::Settings,
    store::{
        Store,
        configuration::Configuration,
        inspect::{DatabaseFacts, FailoverFacts},
        sqlite_path,
        vault::{MasterKey, Vault},
    },
    telemetry::Chain,
};

/// What findings about running servers are called.
pub const SERVER: &str = "server";

/// Clocks further apart than this are worth a look.
const CLOCKS_APART_MAX_MS: u64 = 5_000;
/// Bits of a file's mode by which others than its owner may read or write it.
const OTHERS: u32 = 0o077;

/// Looks at the machine, and tells; gives back what the rest of the check needs, when there is such a thing. Makes neither
/// key nor database, and leaves the schema as it is.
pub async fn check_machine(settings: &Settings, tell: &mut dyn FnMut(Progress)) -> Option<(Store, Configuration)> {
    tell(Progress::Looking("the database".to_owned()));
    let mut found = |finding| tell(Progress::Found(finding));
    let store = open(settings, &mut found).await?;
    let current = match store.facts().await {
        Ok(facts) => check_facts(settings, &facts, &mut found),
        Err(error) => {
            found(Finding::wrong("database", Chain(&error).to_string(), "see whether it runs, and the disk"));
            return None;
        }
    };
    check_disks(settings, &mut found);
    if !current {
        return None;
    }
    check_servers(settings, &store, &mut found).await;
    match store.load_configuration().await {
        Ok(configuration) => {
            found(Finding::fine("master key", "it opens the secrets in the database"));
            Some((store, configuration))
        }
        Err(error) => {
            let remedy =
                "give back the key with which the secrets were written, or apply the file again with all of them";
            found(Finding::wrong("configuration", Chain(&error).to_string(), remedy));
            None
        }
    }
}

async fn open(settings: &Settings, found: &mut dyn FnMut(Finding)) -> Option<Store> {
    let file = sqlite_path(&settings.database.url);
    if file.as_deref().is_some_and(|path| !path.exists()) {
        let text = format!("there is none at {}", database_of(settings));
        found(Finding::wrong(
            "database",
            text,
            "start `wabridge serve` once, or name its settings with --settings FILE",
        ));
        return None;
    }
    let key = match MasterKey::load(&settings.security) {
        Ok(Some(key)) => key,
        Ok(None) => {
            let text = format!("there is none: neither security.master_key nor {}", key_file(settings).display());
            found(Finding::wrong("master key", text, "give back the copy that was kept apart from the database"));
            return None;
        }
        Err(error) => {
            found(Finding::wrong("master key", Chain(&error).to_string(), "give back the copy that was kept"));
            return None;
        }
    };
    if settings.security.master_key.is_none() {
        found(check_private("master key", key_file(settings)));
    }
    if let Some(path) = &file {
        found(check_private("database", path));
    }
    match Store::connect(&settings.database, Vault::new(&key)).await {
        Ok(store) => Some(store),
        Err(error) => {
            found(Finding::wrong("database", Chain(&error).to_string(), "check database.url, and that it runs"));
            None
        }
    }
}

fn key_file(settings: &Settings) -> &Path {
    &settings.security.master_key_file
}

/// Whether others can look into a file: by its own mode, unless its folder keeps them out.
fn check_private(about: &str, path: &Path) -> Finding {
    let mode = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(PathBuf::from("."), Path::to_owned);
    let shown = path.display();
    match (mode(path), mode(&folder)) {
        (Ok(file), Ok(folder)) if file & OTHERS != 0 && folder & OTHERS != 0 => Finding::doubtful(
            about,
            format!("other users of this machine can get at {shown} (mode {:o})", file & 0o777),
            format!("chmod 600 {shown}, or chmod 700 its folder"),
        ),
        (Ok(_), _) => Finding::fine(about, format!("nobody else can get at {shown}")),
        (Err(error), _) => {
            Finding::wrong(about, format!("{shown} cannot be looked at: {error}"), "check its owner and mode")
        }
    }
}

/// Tells what the database says of itself; `true` when its schema can be used.
fn check_facts(settings: &Settings, facts: &DatabaseFacts, found: &mut dyn FnMut(Finding)) -> bool {
    found(Finding::fine("database", format!("{} answers at {}", facts.version, database_of(settings))));
    for (name, value) in &facts.durability {
        found(check_durability(name, value));
    }
    if let Some(failover) = &facts.failover {
        found(check_failover(failover));
    }
    let apart_ms = facts.now.0.abs_diff(clock::now().0);
    if sqlite_path(&settings.database.url).is_none() {
        found(if apart_ms <= CLOCKS_APART_MAX_MS {
            Finding::fine("clock", "this machine and the database agree on the time")
        } else {
            Finding::wrong(
                "clock",
                format!("this machine's clock and the database's are {} s apart", apart_ms / 1000),
                "let both machines set their clocks by NTP",
            )
        });
    }
    let steps = |names: &[String]| names.join(", ");
    match (facts.steps.refusal(), &facts.steps.unknown) {
        (Some(refusal), _) => found(Finding::wrong("database", refusal, "run that version of wabridge")),
        (None, unknown) if unknown.is_empty() => {}
        (None, unknown) => {
            let text = format!("a newer version added to its schema, beside which this one works: {}", steps(unknown));
            found(Finding::fine("database", text));
        }
    }
    match facts.steps.pending.len() {
        0 => found(Finding::fine("database", "its schema is up to date")),
        _ => {
            let text = format!("its schema lacks {}", steps(&facts.steps.pending));
            found(Finding::wrong(
                "database",
                text,
                "start `wabridge serve` of this version once: it brings it up to date",
            ));
        }
    }
    facts.steps.pending.is_empty()
}

/// Settings without which an accepted message may be lost when the power fails.
fn check_durability(name: &str, value: &str) -> Finding {
    let (good, remedy) = match name {
        "journal_mode" => (value == "wal", "put the file on a local disk: network file systems cannot do WAL"),
        // 2 is FULL, 3 is EXTRA.
        "synchronous" => (value == "2" || value == "3", "do not set it in database.url"),
        "fsync" | "full_page_writes" => (value == "on", "set it to on in postgresql.conf"),
        "synchronous_commit" => {
            let good = ["on", "remote_apply", "remote_write", "local"].contains(&value);
            (good, "set it to on, for the server or for this user (ALTER ROLE … SET synchronous_commit = on)")
        }
        _ => (true, ""),
    };
    match good {
        true => Finding::fine("database", format!("{name} is {value}")),
        false => {
            let text = format!("{name} is {value}: what was accepted can be lost when the power fails");
            Finding::wrong("database", text, remedy)
        }
    }
}

/// Settings without which an accepted message may be missing when another server takes over.
fn check_failover(failover: &FailoverFacts) -> Finding {
    let FailoverFacts { standbys, commit, read_only } = failover;
    let about = "failover";
    if *read_only {
        let text = "this server takes no writes: it is a standby, or default_transaction_read_only is on";
        return Finding::wrong(about, text, "let database.url lead to the primary");
    }
    if standbys.is_empty() {
        let text = "no synchronous standby is named: should another server take over, the last that was accepted can be \
                    missing there";
        return Finding::fine(about, text);
    }
    let remedy = "set it to on, for the server or for this user (ALTER ROLE … SET synchronous_commit = on)";
    match commit.as_str() {
        "on" | "remote_apply" => Finding::fine(about, format!("each commit waits for a standby of {standbys}")),
        "remote_write" => {
            let text = "synchronous_commit is remote_write: what was accepted can be missing when the primary and the \
                        standby's machine fail together";
            Finding::doubtful(about, text, remedy)
        }
        _ => {
            let text = format!(
                "synchronous_commit is {commit}: no commit waits for the standbys that are named ({standbys}), and what \
                 was accepted can be missing when one of them takes over"
            );
            Finding::wrong(about, text, remedy)
        }
    }
}

fn check_disks(settings: &Settings, found: &mut dyn FnMut(Finding)) {
    for directory in disk::directories(settings) {
        let about = format!("disk of {}", directory.display());
        found(match disk::space(&directory) {
            Ok(disk) if disk.free_percent() < u64::from(settings.alarms.disk_free_min) => Finding::wrong(
                about,
                format!("only {} ({} %) are free", disk.free(), disk.free_percent()),
                "make room, or shorten the ages under [retention]: on a full disk nothing is accepted",
            ),
            Ok(disk) => Finding::fine(about, format!("{} ({} %) are free", disk.free(), disk.free_percent())),
            Err(error) => Finding::wrong(about, error.to_string(), "check that the directory exists"),
        });
    }
}

/// A running server proves that this is the database which is in use; without one, nobody can tell.
async fn check_servers(settings: &Settings, store: &Store, found: &mut dyn FnMut(Finding)) {
    let instances = match store.instances(settings.instance.lease).await {
        Ok(instances) => instances,
        Err(error) => {
            found(Finding::wrong(SERVER, Chain(&error).to_string(), "see what was found about the database"));
            return;
        }
    };
    let names = instances.iter().map(|instance| format!("{} since {}", instance.id, instance.started_at));
    let names = names.collect::<Vec<_>>().join(", ");
    found(match instances.len() {
        0 => Finding::doubtful(
            SERVER,
            format!("none runs on this database ({}): it is stopped, or has other settings", database_of(settings)),
            "start `wabridge serve`; if it runs, check with its settings: from its folder or with its --settings FILE, and with \
             its environment variables",
        ),
        1 => Finding::fine(SERVER, format!("one runs on this database: {names}")),
        running => Finding::fine(SERVER, format!("{running} run on this database: {names}")),
    });
}

/// Where the database is, for people.
fn database_of(settings: &Settings) -> String {
    match sqlite_path(&settings.database.url) {
        Some(path) => std::path::absolute(&path).unwrap_or(path).display().to_string(),
        None => settings.database.url.blanked(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Level;

    #[test]
    fn only_settings_that_survive_a_power_cut_are_fine() {
        for (name, value, level) in [
            ("journal_mode", "wal", Level::Fine),
            ("journal_mode", "delete", Level::Wrong),
            ("synchronous", "2", Level::Fine),
            ("synchronous", "1", Level::Wrong),
            ("fsync", "off", Level::Wrong),
            ("full_page_writes", "on", Level::Fine),
            ("synchronous_commit", "off", Level::Wrong),
            ("synchronous_commit", "on", Level::Fine),
        ] {
            assert_eq!(check_durability(name, value).level, level, "{name} = {value}");
        }
    }

    #[test]
    fn a_commit_that_waits_for_no_standby_is_told_where_standbys_are() {
        for (standbys, commit, level) in [
            ("", "on", Level::Fine),
            ("", "local", Level::Fine),
            ("ANY 1 (a, b)", "on", Level::Fine),
            ("a", "remote_apply", Level::Fine),
            ("a", "remote_write", Level::Doubtful),
            ("a", "local", Level::Wrong),
            ("a", "off", Level::Wrong),
        ] {
            let facts = FailoverFacts { standbys: standbys.to_owned(), commit: commit.to_owned(), read_only: false };
            assert_eq!(check_failover(&facts).level, level, "{standbys:?}, {commit}");
        }
        let standby = FailoverFacts { read_only: true, ..FailoverFacts::default() };
        assert_eq!(check_failover(&standby).level, Level::Wrong, "nothing can be accepted there");
    }

    #[test]
    fn a_file_is_private_by_its_own_mode_or_by_its_folders() {
        use std::fs::{self, Permissions};
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("key");
        fs::write(&file, "x").expect("it can be written");
        let level = |file_mode: u32, folder_mode: u32| {
            fs::set_permissions(&file, Permissions::from_mode(file_mode)).expect("it is ours");
            fs::set_permissions(folder.path(), Permissions::from_mode(folder_mode)).expect("it is ours");
            check_private("key", &file).level
        };

        assert_eq!(level(0o600, 0o755), Level::Fine);
        assert_eq!(level(0o644, 0o700), Level::Fine);
        assert_eq!(level(0o644, 0o755), Level::Doubtful);
    }
}
