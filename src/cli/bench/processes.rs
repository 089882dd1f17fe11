//! The processes of a bench: started from this very executable, watched through `/proc`, and ended with it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// Settings of this shell must not reach the bridge that is measured.
const SETTINGS_PREFIX: &str = "WABRIDGE_";
/// How long a process may take until it says where it listens: PostgreSQL far away, a slow disk.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a process may take to finish what it has begun.
const STOP_MAX: Duration = Duration::from_secs(60);
/// Of a process' log, when it failed.
const LOG_LINES_SHOWN: usize = 12;
/// Linux counts processor time in hundredths of a second towards programs, whatever its own clock does.
const CPU_TICKS_PER_SECOND: u32 = 100;

/// Starts processes in the bench's folder, with the bench's settings.
pub(super) struct Launcher {
    executable: PathBuf,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// Raise the limit of open files to this: it is lower here.
    open_files: Option<u64>,
}

impl Launcher {
    pub(super) fn new(
        folder: &Path,
        environment: Vec<(&'static str, String)>,
        open_files: Option<u64>,
    ) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("could not find out which program this is")?;
        Ok(Self { executable, folder: folder.to_owned(), environment, open_files })
    }

    /// Starts a process of this executable. It ends when it is dropped.
    pub(super) fn start(&self, name: &'static str, arguments: &[&str]) -> anyhow::Result<Process> {
        self.start_other(&self.executable, name, arguments)
    }

    /// Starts another program as if it were one of ours.
    pub(super) fn start_other(
        &self,
        program: &Path,
        name: &'static str,
        arguments: &[&str],
    ) -> anyhow::Result<Process> {
        let log = self.folder.join(format!("{name}.log"));
        let lines = std::fs::File::create(&log).with_context(|| format!("could not create {}", log.display()))?;
        let mut command = self.command(program, arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(lines).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("could not start the {name}"))?;
        let id = child.id().context("a process that was just started has an id")?;
        let stdout = child.stdout.take().context("its standard output is a pipe")?;
        Ok(Process { name, child, id, log, said: BufReader::new(stdout).lines() })
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, name: &'static str, arguments: &[&str]) -> anyhow::Result<String> {
        self.start(name, arguments)?.finish().await
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = match self.open_files {
            None => Command::new(program),
            // Only a process itself can raise its limit, and there is no safe call for that here: the shell has one.
            Some(files) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &files.to_string()]).arg(program);
                shell
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(SETTINGS_PREFIX) {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command
    }
}

pub(super) struct Process {
    name: &'static str,
    child: Child,
    id: u32,
    log: PathBuf,
    said: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Waits until the process has said where it listens.
    pub(super) async fn address(&mut self) -> anyhow::Result<SocketAddr> {
        let listens = async {
            while let Some(line) = self.said.next_line().await? {
                let address =
                    line.split_whitespace().find_map(|word| word.trim_end_matches(',').strip_prefix("http://"));
                if let Some(address) = address {
                    return address.parse().with_context(|| format!("{address} is no address"));
                }
            }
            bail!("it ended")
        };
        match tokio::time::timeout(START_MAX, listens).await {
            Ok(Ok(address)) => Ok(address),
            Ok(Err(error)) => Err(error.context(self.failed("did not start"))),
            Err(_) => bail!(self.failed("did not start in time")),
        }
    }

    /// What the process said, when it has ended well.
    pub(super) async fn finish(mut self) -> anyhow::Result<String> {
        let mut said = String::new();
        while let Some(line) = self.said.next_line().await? {
            said.push_str(&line);
            said.push('\n');
        }
        let ended = self.child.wait().await?;
        if !ended.success() {
            bail!(self.failed(&format!("ended with {ended}")));
        }
        Ok(said)
    }

    /// Ends the process at once.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("could not end the {}", self.name))
    }

    /// Asks the process to end, and waits until it has.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        // There is no safe call for a signal here: the shell has one.
        let asked = Command::new("/bin/sh").args(["-c", "kill -TERM \"$0\"", &self.id.to_string()]).status().await;
        let asked = asked.with_context(|| format!("could not ask the {} to stop", self.name))?;
        if !asked.success() {
            bail!(self.failed("was gone before its time"));
        }
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(ended)) if ended.success() => Ok(()),
            Ok(_) => bail!(self.failed("did not end well")),
            Err(_) => bail!(self.failed("did not stop in time")),
        }
    }

    fn failed(&self, how: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        format!("the {} {how}; the end of its log:\n{shown}", self.name)
    }

    /// Processor time so far, of all its threads; `None` where there is no `/proc`.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        cpu_time(&std::fs::read_to_string(format!("/proc/{}/stat", self.id)).ok()?)
    }

    /// The most memory that was resident at any time.
    pub(super) fn memory_peak_bytes(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    /// What is resident now.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, line: &str) -> Option<u64> {
        memory(&std::fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?, line)
    }
}

/// Processor time so far of all processes here that are PostgreSQL's; `None` where there is none.
pub(super) fn postgres_cpu_time() -> Option<Duration> {
    let of_postgres = |process: std::fs::DirEntry| {
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        if name.trim_end() == "postgres" { cpu_time(&stat) } else { None }
    };
    std::fs::read_dir("/proc").ok()?.flatten().filter_map(of_postgres).reduce(|sum, time| sum + time)
}

fn cpu_time(stat: &str) -> Option<Duration> {
    // The program's name stands in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_secs(1) * (user + system) / CPU_TICKS_PER_SECOND)
}

fn memory(status: &str, line: &str) -> Option<u64> {
    let amount = status.lines().find_map(|other| other.strip_prefix(line))?;
    let kilobytes: u64 = amount.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Checks that a process may have `wanted` files and connections open. Gives back the limit to set, when the
/// present one is lower and may be raised.
pub(super) fn open_files(wanted: u64) -> anyhow::Result<Option<u64>> {
    match std::fs::read_to_string("/proc/self/limits") {
        Ok(limits) => open_files_within(&limits, wanted),
        // Where there is no such file nobody can say, and the load says so itself when it runs out.
        Err(_) => Ok(None),
    }
}

fn open_files_within(limits: &str, wanted: u64) -> anyhow::Result<Option<u64>> {
    let Some(line) = limits.lines().find_map(|line| line.strip_prefix("Max open files")) else { return Ok(None) };
    let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
    let (soft, hard) = (numbers.next().unwrap_or(u64::MAX), numbers.next().unwrap_or(u64::MAX));
    if soft >= wanted {
        return Ok(None);
    }
    if hard < wanted {
        bail!(
            "a process may have {hard} files and connections open, and the bench needs {wanted}; raise the limit \
             (`ulimit -n {wanted}` as root, `LimitNOFILE=` of a service, `--ulimit nofile={wanted}` of a container)"
        );
    }
    Ok(Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_read_as_linux_writes_them() {
        let stat = "4711 (a (very) odd name) S 1 4711 4711 0 -1 4194304 1 2 3 4 150 250 0 0 20 0 3 0 55 1 2";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(4)));
        let status = "VmPeak:\t 99 kB\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!((memory(status, "VmHWM:"), memory(status, "VmRSS:")), (Some(2 * 1024 * 1024), Some(1024)));
        assert_eq!((cpu_time("nonsense"), memory("", "VmHWM:")), (None, None));
    }

    #[test]
    fn a_low_limit_is_raised_where_it_may_be_and_told_where_not() {
        let limits =
            |soft: &str, hard: &str| format!("Limit  Soft  Hard  Units\nMax open files   {soft}   {hard}   files\n");

        assert_eq!(open_files_within(&limits("1024", "524288"), 4096).expect("it may be raised"), Some(4096));
        assert_eq!(open_files_within(&limits("unlimited", "unlimited"), 4096).expect("enough"), None);
        let error = open_files_within(&limits("1024", "2048"), 4096).expect_err("it may not");
        assert!(error.to_string().contains("ulimit -n 4096"), "{error}");
    }
}
