//! The program itself, as an operator runs it: to be killed, stopped, and asked.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};
use wabridge::settings::Settings;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wabridge");

/// `wabridge serve` in a process of its own. It dies with this.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it, and returns when it listens.
    pub(crate) async fn start(settings: &Settings, folder: &Path) -> Self {
        let mut child = program(settings, folder, &["serve"]).spawn().expect("the program was built with the tests");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        let greeting = lines.next_line().await.expect("its output can be read");
        let greeting = greeting.unwrap_or_else(|| panic!("wabridge serve ended before it listened"));
        let url = greeting.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("no address in {greeting:?}")).trim_end_matches(',').to_owned();
        // Whoever closes the pipe stops a program that writes to it.
        let printed = Arc::new(Mutex::new(vec![]));
        let heard = Arc::clone(&printed);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { child, url, printed }
    }

    /// What it has printed after its first line.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.printed.lock().expect("nobody panics with it").clone()
    }

    /// Of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// `kill -9`
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it was running");
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub(crate) async fn terminate(&mut self) {
        let Some(id) = self.child.id() else { return };
        let sent = Command::new("kill").args(["-TERM", &id.to_string()]).status().await.expect("kill is everywhere");
        assert!(sent.success(), "it was running");
        let ended = self.child.wait().await.expect("it is our child");
        assert!(ended.success(), "wabridge serve ended with {ended}");
    }
}

/// Runs a command that must succeed; gives back its standard output.
pub(super) async fn command(settings: &Settings, folder: &Path, arguments: &[&str]) -> String {
    let (code, printed) = command_ending(settings, folder, arguments).await;
    assert_eq!(code, 0, "wabridge {arguments:?} ended with {code}: {printed}");
    printed
}

/// Runs a command to its end; gives back its exit code and its standard output.
pub(super) async fn command_ending(settings: &Settings, folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut child = program(settings, folder, arguments).spawn().expect("the program was built with the tests");
    let mut printed = String::new();
    let mut output = child.stdout.take().expect("its output is a pipe");
    output.read_to_string(&mut printed).await.expect("it prints text");
    let ended = child.wait().await.expect("it is our child");
    (ended.code().unwrap_or(-1), printed)
}

/// The same, with what it says on standard error.
pub(super) async fn command_saying(settings: &Settings, folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let ended = program(settings, folder, arguments).stderr(Stdio::piped()).output().await;
    let ended = ended.expect("the program was built with the tests");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.code().unwrap_or(-1), text(&ended.stdout), text(&ended.stderr))
}

fn program(settings: &Settings, folder: &Path, arguments: &[&str]) -> Command {
    let file = folder.join("settings.toml");
    std::fs::write(&file, settings.render()).expect("the folder can be written");
    let mut command = Command::new(PROGRAM);
    command.arg("--settings").arg(file).args(arguments);
    // A rendered tree has its passwords blanked.
    command.env("WABRIDGE__DATABASE__URL", settings.database.url.to_string());
    for (name, secret) in [("WEBHOOK_URL", &settings.alarms.webhook_url), ("SMTP_URL", &settings.alarms.smtp_url)] {
        if let Some(secret) = secret {
            command.env(format!("WABRIDGE__ALARMS__{name}"), secret.expose_secret());
        }
    }
    match std::env::var("WABRIDGE_TEST_LOG") {
        Ok(filter) => drop(command.env("WABRIDGE__LOG__FILTER", filter)),
        Err(_) => drop(command.stderr(log_file(folder))),
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Where the program's log lines go, in the test's own folder.
pub(crate) const LOG_FILE: &str = "wabridge.log";

fn log_file(folder: &Path) -> std::fs::File {
    let file = std::fs::File::options().create(true).append(true).open(folder.join(LOG_FILE));
    file.expect("the folder can be written")
}
