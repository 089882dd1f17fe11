//! A headless Chromium, steered as a person would: by what stands on the page.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource as _, KeyAction, KeyActions},
    error::CmdError,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::harness::{PASSWORD, PATIENCE, TestApp};

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// For a script that takes its time, such as a walk through all pages.
const SCRIPT_MAX: Duration = Duration::from_secs(300);
const AXE: &str = include_str!("axe/axe.min.js");

/// What somebody sits at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Desk,
    Dark,
    Phone,
    WithoutScripts,
}

pub(crate) struct Browser {
    pub(crate) client: Client,
    shape: Shape,
    driver: Child,
    _profile: TempDir,
}

/// Starts of Chromium for one test.
const STARTS_MAX: usize = 3;

impl Browser {
    pub(crate) async fn start(shape: Shape) -> Self {
        let (driver, url) = start_driver().await;
        // On a busy machine Chromium now and then ends before it is up. What is tested begins after that.
        for starts_left in (0..STARTS_MAX).rev() {
            let profile = tempfile::tempdir().expect("a temporary folder");
            let mut builder = ClientBuilder::new(HttpConnector::new());
            match builder.capabilities(capabilities(shape, &profile)).connect(&url).await {
                Ok(client) => return Self { client, shape, driver, _profile: profile },
                Err(error) => assert!(starts_left > 0, "Chromium does not start: {error}"),
            }
        }
        unreachable!("the last start ends it, either way")
    }

    /// As the first owner, whom the scenario has made.
    pub(crate) async fn signed_in(app: &TestApp, shape: Shape) -> Self {
        let browser = Self::start(shape).await;
        browser.open(&app.at("/console/sign-in")).await;
        browser.fill("name", "asha").await;
        browser.fill("password", PASSWORD).await;
        browser.press("Sign in").await;
        browser.until("it is inside", "return document.querySelector('.nav') !== null").await;
        browser
    }

    /// Until the page is there, and not another one that was still coming.
    pub(crate) async fn open(&self, url: &str) {
        let scripts = !matches!(self.shape, Shape::WithoutScripts);
        if scripts {
            self.ask("window.isLeft = true").await;
        }
        self.client.goto(url).await.expect("the page opens");
        if scripts {
            let there = "return window.isLeft === undefined && document.readyState === 'complete'";
            self.until(&format!("{url} is there"), there).await;
        }
    }

    pub(crate) async fn path(&self) -> String {
        self.client.current_url().await.expect("a page is open").path().to_owned()
    }

    pub(crate) async fn until_path(&self, path: &str) {
        let started = Instant::now();
        while self.path().await != path {
            assert!(
                started.elapsed() < PATIENCE,
                "waited in vain for {path}; it is {}: {}",
                self.path().await,
                self.text("body").await
            );
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        // With its scripts, which come after its text.
        self.until("the page is whole", "return document.readyState === 'complete'").await;
    }

    /// Waits until a script says true. A page that is just being left says nothing.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        let started = Instant::now();
        while self.client.execute(script, vec![]).await.ok() != Some(Value::Bool(true)) {
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}: {}", self.text("body").await);
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Waits until a list has so many rows, also where no script runs.
    pub(crate) async fn until_rows(&self, count: usize) {
        let started = Instant::now();
        loop {
            let rows = self.client.find_all(Locator::Css("[data-row]")).await.map_or(0, |rows| rows.len());
            if rows == count {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain for {count} rows; there are {rows}");
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    pub(crate) async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.expect("the script runs")
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        let started = Instant::now();
        loop {
            let found = self.client.wait().for_element(Locator::Css(css)).await.expect("it is on the page");
            match found.text().await {
                Err(error) if was_replaced(&error, started) => {}
                text => return text.expect("it has a text"),
            }
        }
    }

    /// Writes into the field with this name, instead of what is there.
    pub(crate) async fn fill(&self, name: &str, text: &str) {
        let css = format!("main [name='{name}']:not([type='hidden'])");
        let started = Instant::now();
        loop {
            let field = self.client.wait().for_element(Locator::Css(&css)).await;
            let field = field.unwrap_or_else(|_| panic!("no field {name}"));
            let written = match field.clear().await {
                Ok(()) => field.send_keys(text).await,
                not_emptied => not_emptied,
            };
            match written {
                Err(error) if was_replaced(&error, started) => {}
                written => return written.unwrap_or_else(|error| panic!("{name} cannot be written into: {error}")),
            }
        }
    }

    /// Presses the button with this text; the one that shuts a phone's menu is another.
    pub(crate) async fn press(&self, text: &str) {
        let path = format!("//button[normalize-space()='{text}' and not(@popovertargetaction='hide')]");
        self.click_on(Locator::XPath(&path)).await;
    }

    pub(crate) async fn click(&self, css: &str) {
        self.click_on(Locator::Css(css)).await;
    }

    /// Waits until it is there.
    async fn click_on(&self, what: Locator<'_>) {
        let started = Instant::now();
        loop {
            let found = self.client.wait().for_element(what).await;
            let found = found.unwrap_or_else(|error| panic!("{what:?} is not on the page: {error}"));
            match found.click().await {
                Err(error) if was_replaced(&error, started) => {}
                clicked => return clicked.unwrap_or_else(|error| panic!("{what:?} cannot be clicked: {error}")),
            }
        }
    }

    /// Goes where the link with this text leads.
    pub(crate) async fn follow(&self, text: &str) {
        self.click_on(Locator::LinkText(text)).await;
    }

    /// Types, wherever the cursor is.
    pub(crate) async fn keys(&self, text: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for letter in text.chars() {
            actions = actions.then(KeyAction::Down { value: letter }).then(KeyAction::Up { value: letter });
        }
        self.client.perform_actions(actions).await.expect("a keyboard is there");
    }

    /// Looks at a page: a picture when one is wished, nothing wider than the screen, nothing that keeps somebody out.
    pub(crate) async fn look(&self, name: &str) {
        self.picture(name).await;
        let wide = self.ask("return document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(wide, json!(0), "{name} is wider than the screen ({:?})", self.shape);
        self.client.execute(AXE, vec![]).await.expect("axe is loaded");
        let script = "const done = arguments[arguments.length - 1]; \
             axe.run(document).then((found) => done(found.violations.map((one) => ({id: one.id, impact: one.impact, \
             nodes: one.nodes.map((node) => node.html + ' | ' + node.failureSummary)}))))";
        let found = self.client.execute_async(script, vec![]).await.expect("axe looks");
        let serious: Vec<&Value> = found
            .as_array()
            .expect("a list")
            .iter()
            .filter(|one| matches!(one["impact"].as_str(), Some("serious" | "critical")))
            .collect();
        assert!(serious.is_empty(), "{name} ({:?}): {serious:#?}", self.shape);
    }

    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("WABRIDGE_SCREENSHOTS").map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).expect("the folder for screenshots");
        let picture = self.client.screenshot().await.expect("a picture");
        let shape = format!("{:?}", self.shape).to_lowercase();
        std::fs::write(folder.join(format!("{name}-{shape}.png")), picture).expect("the folder can be written");
    }

    pub(crate) async fn close(mut self) {
        self.client.close().await.expect("the browser ends");
        self.driver.kill().await.expect("the driver ends");
    }
}

/// A part of a page that comes anew by itself may do so between finding it and using it: then nothing was done, and it is found again.
fn was_replaced(error: &CmdError, started: Instant) -> bool {
    error.is_stale_element_reference() && started.elapsed() < PATIENCE
}

/// The driver chooses a free port, and says which.
async fn start_driver() -> (Child, String) {
    let driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut driver = driver.unwrap_or_else(|error| {
        panic!("chromedriver is needed: run tests/run.sh, or install chromium and chromium-driver ({error})")
    });
    let mut lines = BufReader::new(driver.stdout.take().expect("its output is a pipe")).lines();
    while let Some(line) = lines.next_line().await.expect("its output can be read") {
        if let Some((_, rest)) = line.split_once("started successfully on port ") {
            let port = rest.trim().trim_end_matches('.').to_owned();
            // Whoever closes the pipe stops a program that writes to it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (driver, format!("http://127.0.0.1:{port}"));
        }
    }
    panic!("chromedriver ended before it listened");
}

fn capabilities(shape: Shape, profile: &TempDir) -> serde_json::Map<String, Value> {
    let mut arguments = vec![
        "--headless".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-quic".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        "--hide-scrollbars".to_owned(),
        "--window-size=1280,900".to_owned(),
        format!("--user-data-dir={}", profile.path().display()),
    ];
    if shape == Shape::Dark {
        arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
    }
    let mut options = json!({"args": arguments});
    if shape == Shape::Phone {
        options["mobileEmulation"] = json!({"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2.0}});
    }
    if shape == Shape::WithoutScripts {
        options["prefs"] = json!({"profile.managed_default_content_settings.javascript": 2});
    }
    let mut capabilities = serde_json::Map::new();
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    let script_ms = u64::try_from(SCRIPT_MAX.as_millis()).unwrap_or(u64::MAX);
    capabilities.insert("timeouts".to_owned(), json!({"script": script_ms}));
    capabilities
}
