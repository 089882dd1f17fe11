//! How long the console's pages take when much is stored: each is asked for again and again by somebody who is signed in, as a
//! browser would, while nothing else goes on. A page's time includes its part that a browser asks for by itself.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::{
    ballast, circle,
    message::ACCOUNT,
    phase,
    report::{Machine, Target, megabytes},
    scene::{FAST_NUMBER, Scene},
    wire::{Connection, form, page},
};
use wabridge::store::ballast::Ballast;

/// What a page may take.
const PAGE_MS_MAX: f64 = 100.0;
/// How often each is asked for.
const TIMES: usize = 25;
/// Real ones, that have gone all the way round; the others are copies of one of them.
const MESSAGES: u64 = 2_000;
/// The bridge counts what it finds in the background; pages are measured when it has done so.
const COUNTED_WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const NAME: &str = "bench";
const PASSWORD: &str = "four words that nobody guesses";

/// What is looked at: a name, and where it is. `{message}` is one that is stored.
const PAGES: &[(&str, &str)] = &[
    ("overview", "/console/overview"),
    ("overview, 30 days", "/console/overview?period=30d"),
    ("messages", "/console/messages"),
    ("messages, by number", "/console/messages?q=%2B919800000001"),
    ("messages, by id", "/console/messages?q={platform_id}"),
    ("messages, failed ones (there are none)", "/console/messages?status=failed"),
    ("one message", "/console/messages/{message}"),
    ("campaigns", "/console/campaigns"),
    ("one campaign", "/console/campaigns/bench/circle"),
    ("callbacks", "/console/callbacks"),
    ("all exchanges with callback URLs", "/console/callbacks/exchanges?outcome=failed"),
    ("all events of callback URLs", "/console/callbacks/events"),
    ("all events, dead ones (there are none)", "/console/callbacks/events?state=dead"),
    ("all events, to be told again", "/console/callbacks/again?replay=dead"),
    ("all callback URLs, to be tried", "/console/callbacks/try"),
    ("a callback URL, its events", "/console/callbacks/1/events"),
    ("a callback URL, its exchanges", "/console/callbacks/1/exchanges"),
    ("a callback URL", "/console/callbacks/1"),
    ("a callback URL, to tell again", "/console/callbacks/1/replay"),
    ("messages, how far they came", "/console/messages?status=reached-delivered"),
    ("unknown and skipped", "/console/unrecognized"),
    ("templates", "/console/templates"),
    ("test bench", "/console/test-bench"),
    ("test bench, explain", "/console/test-bench/explain"),
    ("one template", "/console/templates/bench/200000000000001/order_update/en"),
    ("one template, differences", "/console/templates/bench/200000000000001/order_update/en/differences"),
    ("inbound", "/console/inbound"),
    ("contacts", "/console/contacts"),
    ("conversations", "/console/conversations"),
    ("refused requests", "/console/refused"),
    ("one person", "/console/persons"),
    ("accounts", "/console/accounts"),
    ("one account", "/console/accounts/bench"),
    ("an account's settings", "/console/accounts/bench/settings"),
    ("a new account", "/console/new-account"),
    ("connections and numbers", "/console/connections"),
    ("one connection", "/console/connections/bench"),
    ("a connection, to be changed", "/console/connections/bench/edit"),
    ("a new connection", "/console/new-connection"),
    ("one number", "/console/numbers/918880110022"),
    ("a number, to be changed", "/console/numbers/918880110022/edit"),
    ("a new number", "/console/new-number"),
    ("webhooks", "/console/webhooks"),
    ("one webhook", "/console/webhooks/bench"),
    ("a webhook, its log", "/console/webhooks/bench/log"),
    ("a webhook, to be changed", "/console/webhooks/bench/edit"),
    ("a webhook, to be tried", "/console/webhooks/bench/try"),
    ("a webhook, to tell again", "/console/webhooks/bench/replay"),
    ("a webhook, to be deleted", "/console/webhooks/bench/delete"),
    ("a new webhook", "/console/new-webhook"),
    ("events of webhooks", "/console/webhook-events"),
    ("alarms", "/console/alarms"),
    ("who hears of alarms", "/console/alarms/recipients"),
    ("system", "/console/system"),
    ("users", "/console/users"),
    ("tokens", "/console/tokens"),
    ("audit log", "/console/audit"),
    ("audit log, of one subject", "/console/audit?subject=nobody"),
    ("own account", "/console/account"),
];

/// A number that nobody has: all messages are looked at before that is certain, which is as long as the oldest takes to be found.
const LOOKED_FOR: &str = "/console/messages?q=%2B919999999999";
/// In seconds: any message is found in ten.
const LOOKED_FOR_S_MAX: f64 = 10.0;
/// More pages than a walk has that comes to an end.
const WALK_PAGES_MAX: usize = 10_000;
/// Told nothing; there for its pages.
const WEBHOOK: &str = "[webhook.bench]\nurl = \"http://127.0.0.1:9/\"\nevents = [\"message.failed\"]\nenabled = false\n\
                       signing_secret = \"whsec_YmVuY2ggYmVuY2ggYmVuY2ggYmVuY2ggYmVuY2ggYmU=\"\n";

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct ConsoleReport {
    machine: Machine,
    database: &'static str,
    messages: u64,
    database_bytes: u64,
    /// From the start of the bridge until everything was counted for the overview.
    counted_after_s: f64,
    /// How long a person waits, page after page, for the oldest message of a phone number.
    oldest_found_after_s: f64,
    pages: Vec<PageTimes>,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
struct PageTimes {
    name: &'static str,
    p50_ms: f64,
    max_ms: f64,
    bytes: usize,
}

/// Fills the database with `history` messages and asks for every page.
pub(super) async fn measure(
    scene: &mut Scene,
    (machine, database): (Machine, &'static str),
    history: u64,
) -> anyhow::Result<ConsoleReport> {
    let file = scene.folder.path().join("console.toml");
    std::fs::write(&file, WEBHOOK).context("could not write the configuration")?;
    scene.launcher.run("apply", &["apply", &file.to_string_lossy()]).await?;
    circle::measure(scene, circle::CONNECTIONS, MESSAGES, "circle").await?;
    let settings = scene.stop_bridge().await?;
    let filling = Ballast::open(&settings, FAST_NUMBER).await?;
    ballast::load(&filling, filling.history(history), "loading a history", history).await?;
    let database_bytes = filling.bytes().await?;
    filling.settle().await?;
    scene.start_bridge_again().await?;
    let started = Instant::now();
    let cookie = sign_in(scene).await?;
    let bar = phase("until everything is counted", 0);
    until_counted(scene, &cookie, history).await?;
    bar.finish_and_clear();
    let counted_after_s = started.elapsed().as_secs_f64();

    let message = some_message(scene, &cookie).await?;
    let bar = phase("asking for pages", (PAGES.len() * TIMES) as u64);
    let mut pages = Vec::with_capacity(PAGES.len());
    let mut connection = Connection::open(scene.bridge_address).await?;
    for (name, path) in PAGES.iter().copied() {
        let path = path.replace("{message}", &message).replace("{platform_id}", "00000001%7Ccircle%7C20261120%7C0");
        let mut times = Vec::with_capacity(TIMES);
        let mut bytes = 0;
        for _ in 0..TIMES {
            let asked_at = Instant::now();
            let answer = connection.exchange(page(&path, &cookie).as_bytes()).await?;
            times.push(asked_at.elapsed().as_secs_f64() * 1000.0);
            ensure!(answer.status == 200, "{path} was answered with {}", answer.status);
            bytes = answer.body.len();
            bar.inc(1);
        }
        times.sort_unstable_by(f64::total_cmp);
        pages.push(PageTimes { name, p50_ms: times[TIMES / 2], max_ms: times[TIMES - 1], bytes });
    }
    bar.finish_and_clear();
    let slowest = pages.iter().map(|page| page.p50_ms).fold(0.0, f64::max);
    let oldest_found_after_s = look_at_all(&mut connection, &cookie).await?.as_secs_f64();
    let targets = vec![
        Target::at_most("the slowest page, median in ms", PAGE_MS_MAX, slowest),
        Target::at_most("the oldest message of a phone number, in s", LOOKED_FOR_S_MAX, oldest_found_after_s),
    ];
    Ok(ConsoleReport {
        machine,
        database,
        messages: history + MESSAGES,
        database_bytes,
        counted_after_s,
        oldest_found_after_s,
        pages,
        targets,
    })
}

impl ConsoleReport {
    pub(super) fn for_people(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a String cannot fail");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let processor = self.machine.processor.as_deref().unwrap_or("an unknown processor");
        writeln!(
            text,
            "The console with {} messages stored, {} in all, on {} cores of {processor} ({})",
            self.messages,
            megabytes(Some(self.database_bytes)),
            self.machine.cores,
            self.database
        )?;
        writeln!(text, "Everything was counted for the overview {:.0} s after the start", self.counted_after_s)?;
        writeln!(text, "The oldest message of a phone number is found after {:.1} s", self.oldest_found_after_s)?;
        writeln!(text, "\n{:<42}{:>10}{:>10}{:>10}", "Page", "median ms", "max ms", "bytes")?;
        for PageTimes { name, p50_ms, max_ms, bytes } in &self.pages {
            writeln!(text, "  {name:<40}{p50_ms:>10.1}{max_ms:>10.1}{bytes:>10}")?;
        }
        writeln!(text, "\nTargets")?;
        self.targets.iter().try_for_each(|target| target.write(text))
    }
}

/// Follows the pages of a search to their end, as the browser does by itself.
async fn look_at_all(connection: &mut Connection, cookie: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let mut path = LOOKED_FOR.to_owned();
    for _ in 0..WALK_PAGES_MAX {
        let answer = connection.exchange(page(&path, cookie).as_bytes()).await?;
        ensure!(answer.status == 200, "{path} was answered with {}", answer.status);
        let shown = String::from_utf8_lossy(answer.body);
        ensure!(!shown.contains("/console/messages/msg_"), "somebody has the number that nobody has");
        let Some(next) = next_page(&shown) else { return Ok(started.elapsed()) };
        path = next;
    }
    anyhow::bail!("a search does not come to its end within {WALK_PAGES_MAX} pages")
}

fn next_page(shown: &str) -> Option<String> {
    let (_, rest) = shown.split_once("<a href=\"/console/messages?")?;
    let query = rest.split('"').next()?.replace("&#38;", "&").replace("&amp;", "&");
    Some(format!("/console/messages?{query}"))
}

/// As the first owner, by the set-up link. Gives back the cookie.
async fn sign_in(scene: &Scene) -> anyhow::Result<String> {
    let said = scene.launcher.run("link", &["user", "link"]).await?;
    let link =
        said.split_whitespace().find_map(|word| word.split_once("/console/")).context("there is a set-up link")?;
    let path = format!("/console/{}", link.1);
    let mut connection = Connection::open(scene.bridge_address).await?;
    let answer = connection.exchange(form(&path, &[("name", NAME), ("password", PASSWORD)]).as_bytes()).await?;
    ensure!(answer.status == 303, "the set-up link was answered with {}", answer.status);
    let cookies = answer.head.lines().filter_map(|line| line.split_once(':'));
    let cookies = cookies.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let cookies: Vec<&str> = cookies.filter_map(|(_, value)| value.trim().split(';').next()).collect();
    ensure!(!cookies.is_empty(), "signing in gave no cookie");
    Ok(cookies.join("; "))
}

/// Waits until the overview knows all of them.
async fn until_counted(scene: &Scene, cookie: &str, messages: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut connection = Connection::open(scene.bridge_address).await?;
    loop {
        let asked = page("/console/overview?period=30d", cookie);
        let shown = String::from_utf8_lossy(connection.exchange(asked.as_bytes()).await?.body).into_owned();
        if accepted(&shown).is_some_and(|accepted| accepted >= messages) {
            return Ok(());
        }
        ensure!(started.elapsed() < COUNTED_WITHIN, "the overview does not come to {messages} messages");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The number behind the funnel's first step.
fn accepted(overview: &str) -> Option<u64> {
    let (_, after) = overview.split_once(">Accepted</a></th><td class=\"number\">")?;
    after.split('<').next()?.replace(',', "").parse().ok()
}

/// One that stands in the list.
async fn some_message(scene: &Scene, cookie: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(scene.bridge_address).await?;
    let answer = connection.exchange(page("/console/messages", cookie).as_bytes()).await?;
    let shown = String::from_utf8_lossy(answer.body);
    let (_, after) = shown.split_once("/console/messages/msg_").context("the list has a message")?;
    let id: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
    ensure!(shown.contains(ACCOUNT), "the list names the account");
    Ok(format!("msg_{id}"))
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn the_overviews_first_step_is_read() {
        let page = "<a href=\"/x\">Accepted</a></th><td class=\"number\">1,002,000</td>";
        assert_eq!(accepted(page), Some(1_002_000));
        assert_eq!(accepted("<p>nothing</p>"), None);
    }

    #[test]
    fn the_next_page_is_read() {
        let page = "<a href=\"/console/messages?q=%2B91&#38;before=msg_1\">Older</a>";
        assert_eq!(next_page(page).as_deref(), Some("/console/messages?q=%2B91&before=msg_1"));
        assert_eq!(next_page("<p>No message fits.</p>"), None);
    }

    /// Pages that are not measured, and why.
    const LEFT_OUT: [(&str, &str); 23] = [
        ("/", "leads to the overview"),
        ("/sign-in", "nobody is signed in there"),
        ("/welcome/{token}", "nobody is signed in there"),
        ("/assets/{hash}/{name}", "a file of the program"),
        ("/messages/{id}/story", "a part of the message's page"),
        ("/campaigns/{account}/{campaign}/messages.csv", "a stream of all messages"),
        ("/audit/lines.csv", "a stream of all lines"),
        ("/shown", "there is nothing new to show"),
        ("/callbacks/badge", "a part of every page"),
        ("/callbacks/replays", "no replay goes on"),
        ("/callbacks/tried", "nothing is tried"),
        ("/callbacks/{url}/standing", "a part of the URL's page"),
        ("/callbacks/{url}/events/{place}", "one event, as in the list"),
        ("/callbacks/{url}/replays/{id}", "no replay goes on"),
        ("/contacts/{id}", "nobody wrote in the bench"),
        ("/persons/erasures/{key}", "nobody is erased"),
        ("/test-bench/validate", "leads back to the form"),
        ("/test-bench/send", "leads back to the form"),
        ("/test-bench/messages/{id}", "no test was sent"),
        ("/test-bench/messages/{id}/part", "no test was sent"),
        ("/webhook-events/{event}/schema", "a document of the program"),
        ("/webhooks/{name}/standing", "a part of the webhook's page"),
        ("", "leads to the overview"),
    ];

    /// The router does not tell its routes, so they are read where they are written.
    fn routes() -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/console");
        let route = Regex::new(r#"\.?route\(\s*(?:"([^"]*)"|(ONE)|&format!\("\{ONE\}([^"]*)"\)),\s*(?:web::)?get\(\)"#);
        let (route, named) = (route.expect("a pattern"), Regex::new(r#"(?:const ONE: &str = |scope\()"(/[^"]+)""#));
        let named = named.expect("a pattern");
        let mut found = Vec::new();
        for file in std::fs::read_dir(folder).expect("the console's folder") {
            let path = file.expect("readable").path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let base = named.captures(&text).map_or_else(String::new, |base| base[1].to_owned());
            let is_scope = text.contains("Scope");
            found.extend(route.captures_iter(&text).map(|route| {
                let part = |group: usize| route.get(group).map(|part| part.as_str());
                match (part(1), part(3)) {
                    (Some(path), _) if is_scope && base != "/console" => format!("{base}{path}"),
                    (Some(path), _) => path.to_owned(),
                    (None, end) => format!("{base}{}", end.unwrap_or_default()),
                }
            }));
        }
        found
    }

    #[test]
    fn every_page_is_measured_or_left_out_for_a_reason() {
        let routes = routes();
        assert!(routes.len() > 60, "they are found: {routes:#?}");
        let measured = |route: &str| {
            let pattern = Regex::new(r"\{[a-z_]+\}").expect("a pattern").replace_all(route, "[^/]+").into_owned();
            let pattern = Regex::new(&format!("^/console{pattern}$")).expect("a pattern");
            PAGES.iter().any(|(_, path)| pattern.is_match(path.split('?').next().unwrap_or_default()))
        };
        let left_out = |route: &str| LEFT_OUT.iter().any(|(path, _)| *path == route);
        let forgotten: Vec<&String> = routes.iter().filter(|route| !measured(route) && !left_out(route)).collect();
        assert!(forgotten.is_empty(), "neither in PAGES nor in LEFT_OUT: {forgotten:?}");
        let gone: Vec<_> = LEFT_OUT.iter().filter(|(path, _)| !routes.iter().any(|route| route == path)).collect();
        assert!(gone.is_empty(), "left out, and not there: {gone:?}");
    }
}
