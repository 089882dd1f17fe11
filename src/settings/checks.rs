//! Settings that are fine alone and wrong together. Each finding names the keys, says what would happen,
//! and ends with what to change.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use url::Url;

use super::{MediaStore, Settings};
use crate::domain::duration::written;

/// A lease outlives the longest exchange by at least this: time for the outcome to be committed.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// No instance may be set to longer leases: who holds one for longer held it when the database's clock was set back.
pub const LEASE_MAX: Duration = Duration::from_secs(5 * 60);
/// The platform counts an answer after this as an error.
pub const PLATFORM_PATIENCE: Duration = Duration::from_secs(1);
/// A statement binds at most 32,766 values, and our widest row has fewer than 32 columns.
pub const COMMIT_BATCH_ROWS_MAX: usize = 1_000;
/// WhatsApp's own bucket for one number and one person.
pub const PAIR_BURST_MAX: u32 = 45;
/// Waits in one retry schedule.
pub const RETRY_WAITS_MAX: usize = 32;
/// An instance's name goes into every lease.
pub const INSTANCE_ID_CHARS_MAX: usize = 64;
/// One delete statement.
pub const ROWS_PER_STEP_MAX: usize = 10_000;

/// A request for a file is held open at most so long.
pub const MEDIA_WAIT_MAX: Duration = Duration::from_secs(30);

/// Everything that does not fit, empty when all is well.
pub fn contradictions(settings: &Settings) -> Vec<String> {
    let mut findings = Findings(Vec::new());
    check_server(settings, &mut findings);
    check_instance(settings, &mut findings);
    check_limits(settings, &mut findings);
    check_send(settings, &mut findings);
    check_relay(settings, &mut findings);
    check_media(settings, &mut findings);
    check_retention(settings, &mut findings);
    check_alarms(settings, &mut findings);
    check_console(settings, &mut findings);
    check_log(settings, &mut findings);
    findings.0.extend(super::traces::contradictions(&settings.traces));
    findings.0
}

struct Findings(Vec<String>);

impl Findings {
    fn unless(&mut self, good: bool, finding: impl FnOnce() -> String) {
        if !good {
            self.0.push(finding());
        }
    }

    fn at_least_one(&mut self, key: &str, value: usize) {
        self.unless(value >= 1, || format!("{key} is 0, so nothing would ever be done: set it to 1 or more"));
    }

    fn some_time(&mut self, key: &str, value: Duration) {
        self.unless(!value.is_zero(), || format!("{key} is no time at all: set it to a second or more"));
    }
}

fn check_server(settings: &Settings, findings: &mut Findings) {
    let public_url = &settings.server.public_url;
    findings.unless(public_url.is_empty() || is_web_url(public_url), || {
        format!("server.public_url `{public_url}` is not a URL: write it like https://whatsapp.example.com")
    });
    findings.at_least_one("server.connections_max", settings.server.connections_max);
    findings.unless(settings.server.tls_certificate.is_some() == settings.server.tls_key.is_some(), || {
        "server.tls_certificate and server.tls_key go together: give both, or neither and a proxy with TLS in front"
            .to_owned()
    });
    // Port 0 is another one each time.
    let metrics_bind = settings.server.metrics_bind.filter(|address| address.port() != 0);
    findings.unless(metrics_bind != Some(settings.server.bind), || {
        "server.metrics_bind is the same address as server.bind: give it another port, or leave it empty".to_owned()
    });

    let database_url = &*settings.database.url;
    let known = ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| database_url.starts_with(scheme));
    findings.unless(known, || {
        "database.url names no database that we know: write sqlite://data/wabridge.db or postgres://user:password@host/name"
            .to_owned()
    });
    findings.at_least_one("database.read_connections", settings.database.read_connections as usize);
    findings.unless(settings.database.busy_timeout < settings.database.statement_timeout, || {
        "database.busy_timeout is not shorter than database.statement_timeout, so waiting for a lock would end as a \
         statement that takes too long: lower the first"
            .to_owned()
    });
    let (busy, answer, lease) =
        (settings.database.busy_timeout, settings.database.answer_timeout, settings.instance.lease);
    let in_process = settings.database.url.starts_with("sqlite:");
    findings.unless(in_process || (busy < answer && answer < lease), || {
        format!(
            "database.answer_timeout ({}) must be longer than database.busy_timeout ({}) and shorter than instance.lease ({}), \
             or a connection without an answer is given up too early, or only when all leases are lost",
            written(answer),
            written(busy),
            written(lease),
        )
    });

    findings.unless(in_process || answer < settings.database.statement_timeout, || {
        "database.answer_timeout is not shorter than database.statement_timeout: a commit that waits for a standby would be \
         ended by PostgreSQL without the standby, and be taken for a success. Lower the first"
            .to_owned()
    });

    let proxy = &*settings.security.https_proxy;
    findings.unless(proxy.is_empty() || is_web_url(proxy), || {
        "security.https_proxy is not a URL: write it like http://proxy.example.com:3128, or leave it empty".to_owned()
    });
}

fn check_console(settings: &Settings, findings: &mut Findings) {
    let console = &settings.console;
    let url = &console.public_url;
    findings.unless(url.is_empty() || is_web_url(url), || {
        format!("console.public_url `{url}` is not a URL: write it like https://console.example.com")
    });
    // Port 0 is another one each time.
    let bind = console.bind.filter(|address| address.port() != 0);
    findings.unless(bind != Some(settings.server.bind), || {
        "console.bind is the same address as server.bind: give it another port, or leave it empty".to_owned()
    });
    findings.unless(bind.is_none() || bind != settings.server.metrics_bind, || {
        "console.bind is the same address as server.metrics_bind: give it another port".to_owned()
    });
    for (key, value) in [
        ("console.session_idle", console.session_idle),
        ("console.link_lives", console.link_lives),
        ("console.token_max", console.token_max),
        ("console.sign_in_window", console.sign_in_window),
        ("retention.audit", settings.retention.audit),
        ("retention.statistics", settings.retention.statistics),
    ] {
        findings.some_time(key, value);
    }
    findings.unless(console.session_idle <= console.session_max, || {
        "console.session_idle is longer than console.session_max, so it would never end a session: lower the first"
            .to_owned()
    });
    findings.at_least_one("console.sign_in_tries_per_name", console.sign_in_tries_per_name as usize);
    findings.at_least_one("console.sign_in_tries_per_address", console.sign_in_tries_per_address as usize);
}

pub(super) fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn check_instance(settings: &Settings, findings: &mut Findings) {
    let instance = &settings.instance;
    let longest = settings.send.timeout.max(settings.relay.timeout);
    findings.unless(instance.lease > longest + LEASE_MARGIN, || {
        format!(
            "instance.lease ({}) does not outlast the longest exchange (send.timeout and relay.timeout, {}) by more than \
             {}: another instance could take over a message that is still being sent. Raise instance.lease or lower the timeouts",
            written(instance.lease),
            written(longest),
            written(LEASE_MARGIN),
        )
    });
    findings.unless(instance.lease <= LEASE_MAX, || {
        format!(
            "instance.lease ({}) is longer than {}, so that what a dead instance had waits for too long: lower instance.lease",
            written(instance.lease),
            written(LEASE_MAX),
        )
    });
    findings.unless(!instance.lease_renewal.is_zero() && instance.lease_renewal < instance.lease / 3, || {
        format!(
            "instance.lease_renewal ({}) must be less than a third of instance.lease ({}), or one slow renewal loses the \
             lease: lower instance.lease_renewal",
            written(instance.lease_renewal),
            written(instance.lease),
        )
    });
    findings.unless(instance.worker_silence_max >= instance.lease, || {
        format!(
            "instance.worker_silence_max ({}) is shorter than instance.lease ({}), so that a slow exchange would pass for a \
             worker that stopped: raise instance.worker_silence_max",
            written(instance.worker_silence_max),
            written(instance.lease),
        )
    });
    findings.unless(instance.id.chars().count() <= INSTANCE_ID_CHARS_MAX, || {
        format!("instance.id is longer than {INSTANCE_ID_CHARS_MAX} characters: choose a shorter name")
    });
}

fn check_limits(settings: &Settings, findings: &mut Findings) {
    let limits = &settings.limits;
    for (key, value) in [
        ("limits.send_body_bytes", limits.send_body_bytes),
        ("limits.webhook_body_bytes", limits.webhook_body_bytes),
        ("limits.commit_batch_rows", limits.commit_batch_rows),
        ("limits.webhooks_waiting", limits.webhooks_waiting),
        ("limits.webhooks_waiting_bytes", limits.webhooks_waiting_bytes),
        ("limits.answer_bytes", limits.answer_bytes),
        ("limits.read_ahead_messages", limits.read_ahead_messages),
    ] {
        findings.at_least_one(key, value);
    }
    findings.unless(limits.webhooks_waiting_bytes >= limits.webhook_body_bytes, || {
        "limits.webhooks_waiting_bytes is smaller than limits.webhook_body_bytes, so the largest webhook would never be \
         taken: raise the first"
            .to_owned()
    });
    findings.unless(limits.commit_batch_rows <= COMMIT_BATCH_ROWS_MAX, || {
        format!("limits.commit_batch_rows is above {COMMIT_BATCH_ROWS_MAX}, more than one statement can bind: lower it")
    });
    findings.unless(limits.commit_queue_rows >= limits.commit_batch_rows, || {
        "limits.commit_queue_rows is smaller than limits.commit_batch_rows, so no batch could ever be full: raise the first"
            .to_owned()
    });
    findings.unless(limits.accept_wait < PLATFORM_PATIENCE, || {
        format!(
            "limits.accept_wait ({}) must be below {}, after which the platform counts an error: lower it",
            written(limits.accept_wait),
            written(PLATFORM_PATIENCE),
        )
    });
    findings.unless(limits.accept_wait_expected < limits.accept_wait, || {
        "limits.accept_wait_expected must be below limits.accept_wait, or requests are let in only to be taken back: lower \
         the first"
            .to_owned()
    });
    findings.unless(settings.send.template_lookup < limits.accept_wait, || {
        "send.template_lookup must be below limits.accept_wait, or a request spends all its time on it: lower the first"
            .to_owned()
    });
}

fn check_send(settings: &Settings, findings: &mut Findings) {
    let send = &settings.send;
    check_exchange("send", send.timeout, send.connect_timeout, &send.retry_waits, findings);
    findings.at_least_one("send.in_flight_per_number", send.in_flight_per_number);
    findings.unless(send.pace_share > 0.0 && send.pace_share <= 1.0, || {
        "send.pace_share is a share of what the provider allows: set it above 0 and to at most 1".to_owned()
    });
    findings.unless((1..=PAIR_BURST_MAX).contains(&send.pair_burst), || {
        format!("send.pair_burst must be 1 to {PAIR_BURST_MAX}, which is what WhatsApp allows towards one person")
    });
    findings.some_time("send.pair_refill", send.pair_refill);
    findings.unless(send.unknown_grace > send.timeout, || {
        "send.unknown_grace must be longer than send.timeout: evidence about a send comes after its end. Raise the first"
            .to_owned()
    });
}

fn check_relay(settings: &Settings, findings: &mut Findings) {
    let relay = &settings.relay;
    check_exchange("relay", relay.timeout, relay.connect_timeout, &relay.retry_waits, findings);
    findings.at_least_one("relay.in_flight_per_subscription", relay.in_flight_per_subscription);
    findings.at_least_one("relay.events_per_read", relay.events_per_read);
    findings.some_time("relay.hold_probe", relay.hold_probe);
    findings.some_time("templates.sync_every", settings.templates.sync_every);
    findings.some_time("channels.read_every", settings.channels.read_every);
    let first_wait = relay.retry_waits.first().copied().unwrap_or_default();
    findings.unless(relay.horizon > first_wait, || {
        "relay.horizon is over before the first of relay.retry_waits: raise relay.horizon".to_owned()
    });
}

fn check_media(settings: &Settings, findings: &mut Findings) {
    let media = &settings.media;
    if media.store == MediaStore::S3 {
        findings.unless(!media.bucket.is_empty(), || {
            "media.store is \"s3\" and media.bucket is empty: name the bucket, which must exist".to_owned()
        });
        findings.unless(media.access_key_id.is_some() == media.secret_access_key.is_some(), || {
            "of media.access_key_id and media.secret_access_key one is missing: give both, or none to use the machine's role"
                .to_owned()
        });
        findings.unless(media.endpoint.is_empty() || is_web_url(&media.endpoint), || {
            format!("media.endpoint `{}` is not a URL: write it like https://s3.example.com", media.endpoint)
        });
        findings.unless(settings.security.allow_private_networks || !media.endpoint.starts_with("http:"), || {
            "media.endpoint begins with http://, which shows what people sent to everybody on the way: use https://, or for \
             a trial set security.allow_private_networks"
                .to_owned()
        });
    }
    findings.unless(media.store == MediaStore::S3 || !media.directory.as_os_str().is_empty(), || {
        "media.directory is empty: name a directory for the copies of files from people".to_owned()
    });
    findings.at_least_one("media.copies_at_once", media.copies_at_once);
    findings.at_least_one("media.copies_at_once_per_number", media.copies_at_once_per_number);
    findings.at_least_one("media.waiting_max", media.waiting_max);
    for (key, value) in [
        ("media.timeout", media.timeout),
        ("media.horizon", media.horizon),
        ("media.wait", media.wait),
        ("retention.media", settings.retention.media),
    ] {
        findings.some_time(key, value);
    }
    findings.unless((1..=RETRY_WAITS_MAX).contains(&media.retry_waits.len()), || {
        format!("media.retry_waits needs 1 to {RETRY_WAITS_MAX} waits, and has {}", media.retry_waits.len())
    });
    findings.unless(media.wait <= MEDIA_WAIT_MAX, || {
        format!("media.wait is longer than {}, and callers do not wait for so long: lower it", written(MEDIA_WAIT_MAX))
    });
    for pattern in &media.types {
        findings.unless(pattern.contains('/'), || {
            format!("media.types holds `{pattern}`, which is no content type: write it like image/* or application/pdf")
        });
    }
}

fn check_exchange(
    section: &str,
    timeout: Duration,
    connect_timeout: Duration,
    waits: &[Duration],
    findings: &mut Findings,
) {
    findings.some_time(&format!("{section}.connect_timeout"), connect_timeout);
    findings.unless(connect_timeout <= timeout, || {
        format!("{section}.connect_timeout is longer than {section}.timeout, which includes it: lower the first")
    });
    findings.unless((1..=RETRY_WAITS_MAX).contains(&waits.len()), || {
        format!("{section}.retry_waits needs 1 to {RETRY_WAITS_MAX} waits, and has {}", waits.len())
    });
    findings.unless(waits.iter().all(|wait| !wait.is_zero()), || {
        format!("{section}.retry_waits holds a wait of no time: set it to a second or more")
    });
}

/// Longer than the time after which a link in use is written again, with some to spare.
const PERSON_LINKS_MIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn check_retention(settings: &Settings, findings: &mut Findings) {
    let retention = &settings.retention;
    for (key, value) in [
        ("retention.refused", retention.refused),
        ("retention.attempts", retention.attempts),
        ("retention.unrecognized", retention.unrecognized),
        ("retention.parked_statuses", retention.parked_statuses),
        ("retention.every", retention.every),
    ] {
        findings.some_time(key, value);
    }
    findings.unless(retention.events > settings.relay.horizon, || {
        format!(
            "retention.events ({}) must be longer than relay.horizon ({}), or events are deleted while they are still owed: \
             raise retention.events",
            written(retention.events),
            written(settings.relay.horizon),
        )
    });
    findings.unless(retention.person_links >= PERSON_LINKS_MIN, || {
        "retention.person_links must be 30d or more: a link in use is written again only every few days".to_owned()
    });
    findings.unless(retention.messages >= settings.repeats.window, || {
        format!(
            "retention.messages ({}) must not be shorter than repeats.window ({}), or a repeat has no first answer to get: \
             raise retention.messages",
            written(retention.messages),
            written(settings.repeats.window),
        )
    });
    findings.unless(settings.repeats.window > settings.send.unknown_grace, || {
        "repeats.window must be longer than send.unknown_grace, or a repeat is sent while the first is still unsettled: \
         raise repeats.window"
            .to_owned()
    });
    findings.unless((1..=ROWS_PER_STEP_MAX).contains(&retention.rows_per_step), || {
        format!("retention.rows_per_step must be 1 to {ROWS_PER_STEP_MAX}: a longer statement holds up the writing of messages")
    });
}

/// As many as one letter can sensibly have.
pub const ALARM_RECIPIENTS_MAX: usize = 20;

fn check_alarms(settings: &Settings, findings: &mut Findings) {
    let alarms = &settings.alarms;
    if let Some(url) = &alarms.webhook_url {
        findings.unless(is_web_url(url.expose_secret()), || {
            "alarms.webhook_url is not a URL: write it like https://hooks.example.com/…".to_owned()
        });
    }
    // To whom may be said in the console.
    findings.unless(alarms.smtp_url.is_none() || !alarms.from.is_empty(), || {
        "alarms.smtp_url needs alarms.from: say from whom alarms are sent".to_owned()
    });
    findings.unless(alarms.to.len() <= ALARM_RECIPIENTS_MAX, || {
        format!("alarms.to has more than {ALARM_RECIPIENTS_MAX} addresses: use one that distributes them")
    });
    for (key, value) in [
        ("alarms.every", alarms.every),
        ("alarms.look_every", alarms.look_every),
        ("alarms.webhooks_silent_for", alarms.webhooks_silent_for),
    ] {
        findings.some_time(key, value);
    }
    findings.unless(alarms.webhooks_silent_messages >= 1, || {
        "alarms.webhooks_silent_messages is 0, so every idle number would be silent: set it to 1 or more".to_owned()
    });
    findings.unless(alarms.webhooks_silent_for <= ACTIVITY_KEPT, || {
        format!(
            "alarms.webhooks_silent_for must be {} or less: so long it is known what numbers did",
            written(ACTIVITY_KEPT)
        )
    });
    findings.unless(settings.send.silence_buffer <= ACTIVITY_KEPT, || {
        format!(
            "send.silence_buffer must be {} or less: so long it is known when numbers were heard of",
            written(ACTIVITY_KEPT)
        )
    });
    findings.unless(alarms.disk_free_min < 100, || "alarms.disk_free_min must be less than 100".to_owned());
}

/// What numbers did is kept for so long, minute by minute.
pub const ACTIVITY_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

fn check_log(settings: &Settings, findings: &mut Findings) {
    let filter = &settings.log.filter;
    findings.unless(tracing_subscriber::EnvFilter::try_new(filter).is_ok(), || {
        format!("log.filter `{filter}` cannot be read: write it like info or info,wabridge::worker=debug")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::defaults();
        change(&mut settings);
        contradictions(&settings).join("\n")
    }

    #[test]
    fn a_lease_must_outlast_the_longest_exchange() {
        assert!(finding(|s| s.send.timeout = Duration::from_secs(15)).contains("instance.lease"));
        assert!(finding(|s| s.relay.timeout = Duration::from_secs(30)).contains("instance.lease"));
        assert!(finding(|s| s.instance.lease_renewal = Duration::from_secs(7)).contains("lease_renewal"));
        let deaf = finding(|s| {
            s.database.url = "postgres://localhost/wabridge".to_owned().into();
            s.database.answer_timeout = s.instance.lease;
        });
        assert!(deaf.contains("database.answer_timeout"));
        let trusting = finding(|s| {
            s.database.url = "postgres://localhost/wabridge".to_owned().into();
            s.database.statement_timeout = s.database.answer_timeout;
        });
        assert!(trusting.contains("without the standby"));
        let impatient = finding(|s| s.instance.worker_silence_max = Duration::from_secs(5));
        assert!(impatient.contains("worker_silence_max"));
    }

    #[test]
    fn what_is_owed_must_not_be_deleted() {
        assert!(finding(|s| s.relay.horizon = Duration::from_secs(40 * 86_400)).contains("retention.events"));
        assert!(finding(|s| s.retention.messages = Duration::from_secs(86_400)).contains("retention.messages"));
    }

    #[test]
    fn a_bucket_needs_its_name_and_both_halves_of_its_key() {
        assert!(finding(|s| s.media.store = MediaStore::S3).contains("media.bucket"));
        let halved = finding(|s| {
            s.media.store = MediaStore::S3;
            s.media.bucket = "files".to_owned();
            s.media.access_key_id = Some("id".into());
            s.media.endpoint = "http://s3.example.com".to_owned();
        });
        assert!(halved.contains("media.secret_access_key") && halved.contains("media.endpoint"), "{halved}");
        assert!(finding(|s| s.media.types = vec!["pdf".to_owned()]).contains("media.types"));
    }

    #[test]
    fn an_answer_must_come_within_the_second() {
        assert!(finding(|s| s.limits.accept_wait = Duration::from_secs(1)).contains("limits.accept_wait"));
        assert!(
            finding(|s| s.limits.accept_wait_expected = Duration::from_millis(900)).contains("accept_wait_expected")
        );
        assert!(finding(|s| s.send.template_lookup = Duration::from_millis(900)).contains("send.template_lookup"));
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        assert!(finding(|s| s.limits.commit_batch_rows = 0).contains("limits.commit_batch_rows"));
        assert!(finding(|s| s.send.pace_share = 0.0).contains("send.pace_share"));
        assert!(finding(|s| s.send.pace_share = f64::NAN).contains("send.pace_share"));
        assert!(finding(|s| s.send.retry_waits.clear()).contains("send.retry_waits"));
        assert!(finding(|s| s.retention.refused = Duration::ZERO).contains("retention.refused"));
    }

    #[test]
    fn an_unknown_database_is_named_without_its_password() {
        let text = finding(|s| s.database.url = "mysql://me:hush@db.example.com/x".into());
        assert!(text.contains("database.url") && !text.contains("hush"), "{text}");
    }
}
