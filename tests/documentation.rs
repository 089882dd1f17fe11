//! What the documentation shows must work: every command line is one that the program takes, every file one that
//! it reads, and the walk through the simulator is walked.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use wabridge::{
    providers,
    services::{
        apply::{self, Surroundings},
        webhooks::Allowed,
    },
    settings::Settings,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_wabridge");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// How long a program may take to say that it listens: two cores may be very busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// One fenced block of a page.
struct Block {
    page: String,
    line: usize,
    language: String,
    text: String,
}

/// The README and everything in docs.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(Path::new(ROOT).join("docs")).expect("there is a folder docs");
    let docs = docs.map(|entry| entry.expect("it can be listed").path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|suffix| suffix == "md")).collect();
    pages.push(Path::new(ROOT).join("README.md"));
    pages.sort();
    pages
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page can be read");
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    let (page, language) = (page.display().to_string(), language.to_owned());
                    open = Some(Block { page, line: index + 1, language, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
    }
    blocks
}

/// The command lines of a block, those in several lines put together.
fn command_lines(block: &Block) -> Vec<String> {
    let text = block.text.replace("\\\n", " ");
    let lines = text.lines().map(|line| line.trim().trim_start_matches("$ ").to_owned());
    lines.filter(|line| is_ours(line)).collect()
}

/// Whether the program is called, perhaps with variables before it.
fn is_ours(line: &str) -> bool {
    line.split_whitespace().find(|word| !word.contains('=')) == Some("wabridge")
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut tried = 0;
    for block in blocks().iter().filter(|block| matches!(block.language.as_str(), "sh" | "console")) {
        for line in command_lines(block) {
            // A shell takes it apart as a reader's would; `--help` makes the program only look at it.
            let script = format!("wabridge() {{ \"$PROGRAM\" \"$@\" --help; }}\n{line}");
            let shell =
                Command::new("sh").args(["-euc", &script]).env("PROGRAM", PROGRAM).current_dir(&folder).output();
            let output = shell.expect("there is a shell");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}:{}: {line}\n{error}", block.page, block.line);
            tried += 1;
        }
    }
    assert!(tried >= 5, "only {tried} command lines were found: are they still in blocks of sh?");
}

#[test]
fn every_command_that_is_spoken_of_exists() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page can be read");
        let spoken = text.split("`wabridge ").skip(1).filter_map(|rest| rest.split(['`', ' ', '\n']).next());
        let commands: BTreeSet<&str> = spoken.filter(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect();
        for command in commands {
            let output = Command::new(PROGRAM).args([command, "--help"]).output().expect("the program can be run");
            assert!(output.status.success(), "{}: there is no `wabridge {command}`", page.display());
        }
    }
}

#[test]
fn every_file_that_is_shown_can_be_read() {
    let environment = |_: &str| Some("filled-in-from-the-environment".to_owned());
    let ages = Settings::defaults().retention;
    let surroundings = Surroundings::new(&environment, Allowed { private_networks: false, emails: true }, &ages);
    let mut tried = 0;
    for block in blocks().iter().filter(|block| block.language == "toml") {
        let place = format!("{}:{}", block.page, block.line);
        if ["[[accounts]]", "[[connections]]", "[webhook."].iter().any(|section| block.text.contains(section)) {
            let read = apply::parse(&block.text, &place, &surroundings);
            assert!(read.is_ok(), "{:#?}", read.err());
        } else if !block.text.contains("[[") {
            let read = Settings::from_text(&block.text);
            assert!(read.is_ok(), "{place}: {:?}", read.err());
        }
        tried += 1;
    }
    assert!(tried >= 1, "no example file was found");
}

#[test]
fn the_fields_to_subscribe_at_meta_are_those_that_are_understood() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("a page can be read");
    let line = readme.lines().find(|line| line.starts_with("| Webhook fields to subscribe")).expect("it has the line");
    let named: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, providers::find("meta").expect("it is built in").webhook_form().fields);
}

#[test]
fn the_page_of_every_carrier_has_a_table_of_its_keys_and_their_defaults() {
    for (slug, pages) in [
        ("360dialog", &["360dialog.md"][..]),
        ("cloud-api", &["360dialog.md"]),
        ("gallabox", &["gallabox.md"]),
        ("commbox", &["commbox.md"]),
        // Whatever describes an endpoint to send by is the same.
        ("gotallo", &["gotallo.md", "http-provider.md"]),
        ("http", &["http-provider.md"]),
    ] {
        let read = |page: &&str| std::fs::read_to_string(Path::new(ROOT).join("docs").join(page)).expect("a page");
        let text: String = pages.iter().map(read).collect();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
        for field in providers::find(slug).expect("a provider").settings() {
            let default = field
                .default
                .filter(|default| !default.is_empty() && !default.contains('\n'))
                .map(|default| format!("`{default}`"));
            let tells = |row: &&str| {
                let mut cells = row.split(" | ");
                cells.next().is_some_and(|keys| keys.contains(&format!("`{}`", field.name)))
                    && default.as_ref().is_none_or(|default| cells.next().is_some_and(|cell| cell.contains(default)))
            };
            assert!(rows.iter().any(tells), "{slug}: no row of {pages:?} has {} with {default:?}", field.name);
        }
    }
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page can be read");
        let folder = page.parent().expect("a page lies in a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.contains(' ') {
                continue;
            }
            assert!(folder.join(path).exists(), "{}: nothing is at {target}", page.display());
        }
    }
}

/// A program of the walk; it dies with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Only an error when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The walk's lines, with ports that are free here.
struct Walk {
    folder: tempfile::TempDir,
    bridge: u16,
    simulator: u16,
}

impl Walk {
    fn localised(&self, text: &str) -> String {
        text.replace("8080", &self.bridge.to_string()).replace("4700", &self.simulator.to_string())
    }

    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        let script = format!("wabridge() {{ exec \"$PROGRAM\" \"$@\"; }}\n{}", self.localised(line));
        shell
            .args(["-euc", &script])
            .env("PROGRAM", PROGRAM)
            .env("WABRIDGE__SERVER__BIND", format!("127.0.0.1:{}", self.bridge))
            .current_dir(&self.folder);
        shell
    }

    fn start(&self, line: &str) -> Running {
        let mut shell = self.shell(line);
        Running(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("there is a shell"))
    }

    fn run(&self, line: &str) -> Output {
        self.shell(line).output().expect("there is a shell")
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The blocks of the README's section about the simulator.
fn walk_blocks() -> (Vec<String>, String) {
    let all = blocks();
    let of_readme = all.iter().filter(|block| block.page.ends_with("README.md") && block.language == "sh");
    let mut shown = of_readme.skip_while(|block| !block.text.contains("wabridge simulator --"));
    let terminals = shown.next().expect("the README shows the three terminals");
    let requests = shown.next().expect("the README shows a request");
    (command_lines(terminals), requests.text.clone())
}

#[tokio::test]
async fn the_walk_through_the_simulator_can_be_walked() {
    let walk =
        Walk { folder: tempfile::tempdir().expect("a temporary folder"), bridge: free_port(), simulator: free_port() };
    let docs = walk.folder.path().join("docs");
    std::fs::create_dir(&docs).expect("the folder can be written");
    for entry in std::fs::read_dir(Path::new(ROOT).join("docs")).expect("there is a folder docs") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|suffix| suffix == "toml") {
            let text = walk.localised(&std::fs::read_to_string(&path).expect("a file can be read"));
            std::fs::write(docs.join(path.file_name().expect("a file has a name")), text).expect("it can be written");
        }
    }
    let (terminals, requests) = walk_blocks();
    let line = |part: &str| {
        let found = terminals.iter().find(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no line with {part} in {terminals:?}")).as_str()
    };

    let _simulator =
        walk.start(&line("wabridge simulator").replace("simulator ", &format!("simulator --port {} ", walk.simulator)));
    let _bridge = walk.start(line("wabridge serve"));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answers = async |url: &str| client.get(url).send().await.is_ok_and(|answer| answer.status().is_success());
    until("the bridge starts", async || answers(&walk.localised("http://127.0.0.1:8080/healthz")).await).await;
    until("the simulator starts", async || answers(&walk.localised("http://127.0.0.1:4700/control/stats")).await).await;
    let applied = walk.run(line("wabridge apply"));
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));

    let body = requests.split("-d '").nth(1).and_then(|rest| rest.split('\'').next()).expect("the request has a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("the body is JSON");
    let post = async || {
        let request = client.post(walk.localised("http://127.0.0.1:8080/clevertap/trial/messages")).json(&body);
        let answer = request.basic_auth("trial", Some("trial")).send().await.expect("the bridge answers");
        answer.json::<BTreeMap<String, serde_json::Value>>().await.expect("the answer is JSON")
    };
    until("the message is taken", async || post().await["status"] == "success").await;
    let story =
        requests.lines().find(|line| line.starts_with("wabridge message")).expect("the README asks for its story");
    until("the story says that it was read", async || {
        String::from_utf8_lossy(&walk.run(story).stdout).contains("submitted, read")
    })
    .await;
}
