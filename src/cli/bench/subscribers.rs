//! Whether a webhook whose receiver is dead holds up the others: 100 webhooks are told 1,000 events a second between them, in turns
//! without the dead one and with it. Its receiver takes each request and answers none before the time is up. What is compared is
//! how long after it was written down an event reaches the 99 healthy receivers, so the figure is a ratio within one run.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use wabridge::clock;

use super::{
    phase,
    report::{Machine, Target},
    scene::Scene,
};

const HEALTHY: usize = 99;
/// All webhooks together.
const TOLD_PER_SECOND: f64 = 1000.0;
/// Without and with the dead one, so often. A machine that hiccups in one turn must not decide.
const ROUNDS: usize = 5;
/// What the bridge allows a receiver at most is 60.
const TIMEOUT_SECONDS: u64 = 30;
/// After each change, before anything is measured: connections are opened, cursors have owners.
const SETTLES_FOR: Duration = Duration::from_secs(5);
const STANDSTILL_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// By how much a dead one may slow the others down.
const RATIO_MAX: f64 = 1.2;
const DEAD: &str = "/dead";

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct SubscribersReport {
    machine: Machine,
    database: &'static str,
    webhooks: usize,
    rounds: Vec<Round>,
    pub(super) targets: Vec<Target>,
}

/// One turn.
#[derive(Debug, Serialize)]
struct Round {
    with_dead: bool,
    told: usize,
    /// From the log to a healthy receiver.
    p50_ms: f64,
    p99_ms: f64,
}

pub(super) async fn measure(
    scene: &Scene,
    (machine, database): (Machine, &'static str),
    time: Duration,
) -> anyhow::Result<SubscribersReport> {
    let receivers = Receivers::start()?;
    let mut rounds = Vec::with_capacity(2 * ROUNDS);
    for number in 0..2 * ROUNDS {
        let with_dead = number % 2 == 1;
        configure(scene, receivers.address, with_dead).await?;
        // The first events of a turn are not counted.
        round(scene, &receivers, SETTLES_FOR, "settling").await?;
        let what = if with_dead { "99 webhooks and a dead one" } else { "99 webhooks" };
        let took = round(scene, &receivers, time, what).await?;
        rounds.push(Round { with_dead, told: took.len(), p50_ms: quantile(&took, 0.5), p99_ms: quantile(&took, 0.99) });
    }
    receivers.server.stop(false).await;
    let usual_p99 = |with_dead: bool| {
        let of = rounds.iter().filter(|round| round.with_dead == with_dead).map(|round| round.p99_ms);
        quantile(&of.collect::<Vec<f64>>(), 0.5)
    };
    let ratio = usual_p99(true) / usual_p99(false).max(1e-6);
    let what = "p99 of 99 healthy webhooks beside a dead one, by that without it (medians of the turns)";
    let targets = vec![Target::at_most(what, RATIO_MAX, ratio)];
    Ok(SubscribersReport { machine, database, webhooks: HEALTHY + 1, rounds, targets })
}

impl SubscribersReport {
    pub(super) fn for_people(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a String cannot fail");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let processor = self.machine.processor.as_deref().unwrap_or("an unknown processor");
        let (cores, database) = (self.machine.cores, self.database);
        writeln!(text, "{} webhooks on {cores} cores of {processor} ({database})", self.webhooks)?;
        writeln!(text, "\n{:<30}{:>10}{:>10}{:>10}", "Turn", "told", "p50 ms", "p99 ms")?;
        for Round { with_dead, told, p50_ms, p99_ms } in &self.rounds {
            let turn = if *with_dead { "beside a dead one" } else { "without it" };
            writeln!(text, "  {turn:<28}{told:>10}{p50_ms:>10.1}{p99_ms:>10.1}")?;
        }
        writeln!(text, "\nTargets")?;
        self.targets.iter().try_for_each(|target| target.write(text))
    }
}

/// Where all webhooks end.
struct Receivers {
    address: SocketAddr,
    server: ServerHandle,
    /// How long each event took to a healthy one, in milliseconds.
    took: Arc<Mutex<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Told {
    recorded_at: String,
}

impl Receivers {
    fn start() -> anyhow::Result<Self> {
        let took = Arc::new(Mutex::new(Vec::new()));
        let shared = web::Data::from(took.clone());
        let server = HttpServer::new(move || {
            App::new().app_data(shared.clone()).route(DEAD, web::post().to(never)).default_service(web::post().to(take))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .context("could not listen on the loopback address")?;
        let address = *server.addrs().first().context("a server that is bound has an address")?;
        let running = server.run();
        let server = running.handle();
        tokio::spawn(running);
        Ok(Self { address, server, took })
    }

    fn come(&self) -> usize {
        self.took.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<f64> {
        std::mem::take(&mut *self.took.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn take(took: web::Data<Mutex<Vec<f64>>>, event: web::Json<Told>) -> HttpResponse {
    let Ok(recorded_at) = chrono::DateTime::parse_from_rfc3339(&event.recorded_at) else {
        return HttpResponse::BadRequest().finish();
    };
    let took_ms = clock::now().0 - recorded_at.timestamp_millis();
    took.lock().unwrap_or_else(PoisonError::into_inner).push(took_ms as f64);
    HttpResponse::NoContent().finish()
}

async fn never() -> HttpResponse {
    tokio::time::sleep(Duration::from_secs(2 * TIMEOUT_SECONDS)).await;
    HttpResponse::ServiceUnavailable().finish()
}

async fn configure(scene: &Scene, receivers: SocketAddr, with_dead: bool) -> anyhow::Result<()> {
    let file = scene.folder.path().join("webhooks.toml");
    std::fs::write(&file, configuration(receivers, with_dead)).context("could not write the configuration")?;
    scene.launcher.run("apply", &["apply", &path(&file)]).await.map(drop)
}

fn path(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

fn configuration(receivers: SocketAddr, with_dead: bool) -> String {
    let webhook = |name: &str, path: &str, enabled: bool| {
        format!(
            "[webhook.{name}]\nurl = \"http://{receivers}{path}\"\nevents = [\"message.received\"]\nenabled = {enabled}\n\
             timeout_seconds = {TIMEOUT_SECONDS}\nsigning_secret = \"whsec_{SECRET}\"\n"
        )
    };
    let healthy = (0..HEALTHY).map(|number| webhook(&format!("healthy-{number}"), &format!("/healthy/{number}"), true));
    healthy.chain([webhook("dead", DEAD, with_dead)]).collect()
}

/// 32 bytes; nobody checks these signatures.
const SECRET: &str = "YmVuY2ggYmVuY2ggYmVuY2ggYmVuY2ggYmVuY2ggYm4=";

/// People write for so long; how long each event took, when the healthy ones have heard of all.
async fn round(scene: &Scene, receivers: &Receivers, time: Duration, what: &str) -> anyhow::Result<Vec<f64>> {
    let bar = phase(what, time.as_secs());
    drop(receivers.take());
    let between = Duration::from_secs_f64((HEALTHY + 1) as f64 / TOLD_PER_SECOND);
    let (started, mut written) = (Instant::now(), 0_u32);
    while started.elapsed() < time {
        let person = format!("+9198765{:05}", 10_000 + written % 10_000);
        let message = serde_json::json!({"from": person, "content": {"text": {"body": "hello"}}}).to_string();
        scene.control("POST", "/control/inbound", &message).await?;
        written += 1;
        bar.set_position(started.elapsed().as_secs());
        tokio::time::sleep_until((started + between * written).into()).await;
    }
    let wanted = usize::try_from(written)? * HEALTHY;
    let (mut most, mut grew_at) = (0, Instant::now());
    while receivers.come() < wanted {
        if receivers.come() > most {
            (most, grew_at) = (receivers.come(), Instant::now());
        }
        ensure!(grew_at.elapsed() < STANDSTILL_MAX, "{most} of {wanted} events came, and no more");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bar.finish_and_clear();
    Ok(receivers.take())
}

fn quantile(took: &[f64], share: f64) -> f64 {
    let mut sorted = took.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let took: Vec<f64> = (0..200).map(f64::from).collect();
        assert_eq!((quantile(&took, 0.5), quantile(&took, 0.99), quantile(&[], 0.5)), (100.0, 198.0, 0.0));
    }

    #[test]
    fn the_file_for_the_webhooks_has_all_of_them_and_the_dead_one_off_or_on() {
        let address = "127.0.0.1:9".parse().expect("an address");
        for with_dead in [true, false] {
            let file: toml::Table = configuration(address, with_dead).parse().expect("TOML");
            let webhooks = file["webhook"].as_table().expect("a table");
            assert_eq!(webhooks.len(), HEALTHY + 1);
            assert_eq!(webhooks["dead"]["enabled"].as_bool(), Some(with_dead));
        }
    }
}
