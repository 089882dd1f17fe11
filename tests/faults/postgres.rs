//! A PostgreSQL of our own, because these tests kill it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, bail};
use sea_orm::ConnectionTrait as _;

/// After `kill -9` the memory that it shared is gone only when its last process is.
const START_TRIES_MAX: u32 = 300;
const PORT_TRIES_MAX: u32 = 20;

pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes one in a folder for temporary files, and starts it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let server = Self::in_new_folder()?;
        server.run("initdb", &["--username=wabridge", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])?;
        server.start_on_some_port()
    }

    /// A standby of this one, for which each commit waits from now on.
    pub(crate) async fn synchronous_standby(&self) -> anyhow::Result<Self> {
        let standby = Self::in_new_folder()?;
        let primary = format!("--dbname=host=127.0.0.1 port={} user=wabridge", self.port);
        standby.run("pg_basebackup", &[&primary, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"])?;
        let standby = standby.start_on_some_port()?;
        let connection = sea_orm::Database::connect(self.url("postgres")).await?;
        // Not before: the standby would have this setting too, and wait for one of its own when it is promoted.
        connection.execute_unprepared("ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
        connection.execute_unprepared("SELECT pg_reload_conf()").await?;
        let waited_for = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
        for _ in 0..START_TRIES_MAX {
            let found = connection.execute_unprepared(waited_for).await?;
            if found.rows_affected() > 0 {
                connection.close().await?;
                return Ok(standby);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        bail!("the standby did not become synchronous; its log is in {}", standby.folder.display())
    }

    /// Makes a primary of a standby.
    pub(crate) fn promote(&self) -> anyhow::Result<()> {
        self.run("pg_ctl", &["promote", "-w", "--silent"])
    }

    fn in_new_folder() -> anyhow::Result<Self> {
        let programs = find_programs()?;
        let made = as_server("mktemp").args(["-d", "/tmp/wabridge-faults.XXXXXX"]).output()?;
        let folder = PathBuf::from(String::from_utf8(made.stdout)?.trim());
        Ok(Self { programs, folder, port: 0 })
    }

    fn start_on_some_port(mut self) -> anyhow::Result<Self> {
        for _ in 0..PORT_TRIES_MAX {
            self.port = rand::random_range(20_000..32_000);
            if self.start_again().is_ok() {
                return Ok(self);
            }
        }
        bail!("PostgreSQL did not start; its log is in {}", self.folder.display())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// A new, empty database.
    pub(crate) async fn database(&self) -> anyhow::Result<String> {
        self.database_at(self.address()).await
    }

    /// A new, empty database, as it is found by way of another address.
    pub(crate) async fn database_at(&self, address: SocketAddr) -> anyhow::Result<String> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = format!("faults_{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let connection = sea_orm::Database::connect(self.url("postgres")).await?;
        connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
        connection.close().await?;
        Ok(format!("postgres://wabridge@{address}/{name}"))
    }

    fn url(&self, name: &str) -> String {
        format!("postgres://wabridge@{}/{name}", self.address())
    }

    /// `kill -9` of the server and all of its processes.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.folder.join("data/postmaster.pid"))?;
        let server = text.lines().next().context("the first line is its id")?.to_owned();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &server]).output()?;
        let children = String::from_utf8(children.stdout)?;
        let all = std::iter::once(server.as_str()).chain(children.split_whitespace());
        // A child may have ended in between.
        Command::new("kill").arg("-9").args(all).stderr(Stdio::null()).status()?;
        Ok(())
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn start_after_kill(&self) -> anyhow::Result<()> {
        let mut last = Ok(());
        for _ in 0..START_TRIES_MAX {
            last = self.start_again();
            if last.is_ok() {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        last
    }

    fn start_again(&self) -> anyhow::Result<()> {
        // What is lost when the machine stops is only a test; what `kill -9` leaves is in the system's hands.
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories='{}' -c fsync=off \
             -c max_connections=100",
            self.port,
            self.folder.display()
        );
        let log = format!("--log={}", self.folder.join("log").display());
        self.run("pg_ctl", &["start", "-w", "--silent", &log, "-o", &options])
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = as_server(&self.programs.join(program).display().to_string());
        command.arg(format!("--pgdata={}", self.folder.join("data").display())).args(arguments);
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !ended.success() {
            bail!("{program} ended with {ended}");
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.run("pg_ctl", &["stop", "--mode=immediate", "--silent"]));
        drop(as_server("rm").arg("-rf").arg(&self.folder).status());
    }
}

/// The newest whose programs are here.
fn find_programs() -> anyhow::Result<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort();
    let in_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut all = folders.into_iter().rev().chain(in_path.unwrap_or_default());
    all.find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
        .context("the programs of PostgreSQL's server are needed: install it, or add --database sqlite")
}

/// PostgreSQL refuses to work for root.
fn as_server(program: &str) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let mut command = Command::new(if root { "runuser" } else { program });
    if root {
        let user = if Path::new("/var/lib/postgresql").exists() { "postgres" } else { "nobody" };
        command.args(["-u", user, "--", program]);
    }
    // Its own folder may be closed to that user.
    command.current_dir("/");
    command
}
