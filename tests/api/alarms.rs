//! Alarms: what is wrong reaches operators once, by each way, and so does its end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use wabridge::{
    app::platform_exchange,
    clock,
    domain::{
        account::Hold,
        alarm::{AlarmKind, Condition},
    },
    services::alarms::AlarmWays,
    settings::Settings,
};

use crate::harness::{BUSINESS_NUMBER, Database, TestApp, on_each_database};

pub(crate) const SECRET: &str = "alarm-secret";

/// The signature and the body of a request.
type Post = (Option<String>, String);

/// An operator's webhook and mailbox.
#[derive(Clone, Default)]
pub(crate) struct Operator {
    posts: Arc<Mutex<Vec<Post>>>,
    letters: Arc<Mutex<Vec<String>>>,
}

impl Operator {
    /// Listens, and sets both ways up.
    pub(crate) async fn set_up(settings: &mut Settings) -> Self {
        let operator = Self::default();
        let (webhook, mail) = (listener().await, listener().await);
        settings.alarms.webhook_url = Some(format!("http://{}/alarms", webhook.1).into());
        settings.alarms.webhook_secret = Some(SECRET.into());
        settings.alarms.smtp_url = Some(format!("smtp://{}", mail.1).into());
        settings.alarms.from = "Bridge <wabridge@example.com>".to_owned();
        settings.alarms.to = vec!["ops@example.com".to_owned(), "night@example.com".to_owned()];
        settings.alarms.look_every = Duration::from_millis(50);
        // How full this machine's disk is is its own affair.
        settings.alarms.disk_free_min = 0;
        let taking = operator.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = webhook.0.accept().await {
                take_post(stream, &taking).await;
            }
        });
        let taking = operator.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = mail.0.accept().await {
                let letter = take_letter(stream).await;
                taking.letters.lock().expect("no holder can panic").extend(letter);
            }
        });
        operator
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("no holder can panic").clone()
    }

    /// State and kind of everything that was posted, but for the simulator's paused template.
    pub(crate) fn told(&self) -> Vec<String> {
        let letters = self.posts().into_iter().map(|(_, body)| serde_json::from_str::<Value>(&body).expect("JSON"));
        letters
            .flat_map(|letter| letter["alarms"].as_array().expect("a list").clone())
            .filter(|line| line["kind"] != "template_stopped")
            .map(|line| {
                format!("{} {}", line["state"].as_str().expect("a word"), line["kind"].as_str().expect("a word"))
            })
            .collect()
    }

    pub(crate) fn letters(&self) -> Vec<String> {
        self.letters.lock().expect("no holder can panic").clone()
    }
}

async fn listener() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// One request, which is answered with 204 when it is kept.
async fn take_post(stream: TcpStream, operator: &Operator) {
    let mut stream = BufReader::new(stream);
    let (mut signature, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a header");
        let Some((name, value)) = line.trim().split_once(": ") else {
            if line.trim().is_empty() { break } else { continue }
        };
        match name {
            "x-wabridge-signature" => signature = Some(value.to_owned()),
            "content-length" => length = value.parse().expect("a number"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the body");
    let post = (signature, String::from_utf8(body).expect("text"));
    operator.posts.lock().expect("no holder can panic").push(post);
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    stream.get_mut().write_all(answer).await.expect("the caller waits");
}

/// One conversation of SMTP; the letter, with its envelope before it.
async fn take_letter(stream: TcpStream) -> Option<String> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 test ESMTP\r\n").await.ok()?;
    let mut letter = String::new();
    let mut in_data = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return Some(letter).filter(|letter| !letter.is_empty());
        }
        let said = line.trim_end();
        let answer: &[u8] = match said.split([' ', ':']).next() {
            _ if in_data && said != "." => {
                letter.push_str(&line);
                continue;
            }
            _ if in_data => {
                in_data = false;
                b"250 taken\r\n"
            }
            Some("EHLO") => b"250 test\r\n",
            Some("DATA") => {
                in_data = true;
                b"354 go on\r\n"
            }
            Some("QUIT") => {
                stream.get_mut().write_all(b"221 bye\r\n").await.ok()?;
                return Some(letter).filter(|letter| !letter.is_empty());
            }
            _ => {
                letter.push_str(&line);
                b"250 well\r\n"
            }
        };
        stream.get_mut().write_all(answer).await.ok()?;
    }
}

pub(crate) fn is_signed(signature: &str, body: &str) -> bool {
    let (time, hex_digits) = signature.split_once(",v1=").expect("time and signature");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{}.{body}", time.strip_prefix("t=").expect("a time")).as_bytes());
    mac.verify_slice(&hex::decode(hex_digits).expect("hexadecimal")).is_ok()
}

async fn a_number_on_hold_is_told_once_by_each_way_and_so_is_its_end(database: Database) {
    let mut settings = Settings::defaults();
    let operator = Operator::set_up(&mut settings).await;
    let app = TestApp::start_with(database, |options| options.settings.alarms = settings.alarms).await;
    let sender = app.store.load_configuration().await.expect("it can be read").senders[0].key;
    let hold = Hold::by_answer(clock::now(), "131031: the account is locked".to_owned());

    app.store.hold_sender(sender, &hold).await.expect("it is written down");
    app.until("it is told", async || !operator.told().is_empty()).await;
    app.release_sender(sender).await;
    app.until("its end is told", async || operator.told().len() > 1).await;
    let stands = async |over: bool| {
        let alarms = app.store.alarms().await.expect("alarms can be read");
        alarms.iter().any(|it| it.kind == AlarmKind::NumberHeld && it.over_at.is_some() == over)
    };
    app.until("its end is written down", async || stands(true).await).await;
    app.store.hold_sender(sender, &hold).await.expect("it is written down");
    app.until("it is seen", async || stands(false).await).await;

    assert_eq!(
        operator.told(),
        ["raised number_held", "over number_held"],
        "a second time within the period is no news"
    );
    let about_it = operator.posts().into_iter().find(|(_, body)| body.contains("131031"));
    let (signature, body) = about_it.expect("it was told");
    assert!(is_signed(&signature.expect("it is signed"), &body), "{body}");
    let letter: Value = serde_json::from_str(&body).expect("JSON");
    let text = letter["text"].as_str().expect("a text");
    assert!(text.contains(BUSINESS_NUMBER) && text.contains("131031") && text.contains("wabridge release"), "{text}");
    let lettered = || operator.letters().into_iter().find(|letter| letter.contains("131031"));
    app.until("a letter came, too", async || lettered().is_some()).await;
    let letter = lettered().expect("it came");
    for part in ["RCPT TO:<ops@example.com>", "RCPT TO:<night@example.com>", "Subject: wabridge: number", "131031"] {
        assert!(letter.contains(part), "{part} is missing in {letter}");
    }
    app.leave().await;
}

/// A server that starts again builds its ways anew; what was told is in the database.
async fn a_restart_tells_nothing_twice(database: Database) {
    let mut app = TestApp::start_with(database, |options| options.as_process = true).await;
    // It would look for itself, and find nothing wrong.
    app.process().terminate().await;
    let mut settings = app.settings.clone();
    let operator = Operator::set_up(&mut settings).await;
    let wrong = [Condition {
        kind: AlarmKind::DiskFull,
        subject: "disk of data".to_owned(),
        text: "only 0.1 GB are free".to_owned(),
        remedy: "make room".to_owned(),
    }];

    for _ in 0..3 {
        let exchange = platform_exchange(&settings).expect("a client");
        let ways = AlarmWays::new(&settings, exchange).expect("both ways are set up");
        let raised = ways.round(&app.store, &wrong, clock::now()).await.expect("it can be written down");
        assert_eq!((raised.len(), raised[0].told_by.as_str()), (1, "webhook, e-mail"));
    }

    assert_eq!(operator.told(), ["raised disk_full"]);
    app.leave().await;
}

async fn a_token_that_is_refused_is_told(database: Database) {
    let mut settings = Settings::defaults();
    let operator = Operator::set_up(&mut settings).await;
    let app = TestApp::start_with(database, |options| {
        options.settings.alarms = settings.alarms;
        options.settings.templates.sync_every = Duration::from_millis(500);
    })
    .await;

    app.simulator.change_knobs(|knobs| knobs.access_token = "another".to_owned()).expect("any token will do");
    app.until("it is told", async || operator.told().contains(&"raised token_refused".to_owned())).await;

    let text = operator.posts().into_iter().find(|(_, body)| body.contains("token_refused")).expect("it was told").1;
    assert!(text.contains("connection meta-main") && !text.contains("simulator-access-token"), "{text}");
    app.leave().await;
}

async fn the_metrics_say_what_waits_and_what_is_held(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.settings.alarms.look_every = Duration::from_millis(100);
    })
    .await;
    let sender = app.store.load_configuration().await.expect("it can be read").senders[0].key;
    let hold = Hold::by_answer(clock::now(), "a test".to_owned());
    app.store.hold_sender(sender, &hold).await.expect("it is written down");

    let wanted = [
        format!("wabridge_held{{what=\"number {BUSINESS_NUMBER}\"}} 1"),
        format!("wabridge_queued{{number=\"{BUSINESS_NUMBER}\"}} 0"),
        "wabridge_alarms{kind=\"number_held\"} 1".to_owned(),
        "wabridge_held{what=\"connection meta-main\"} 0".to_owned(),
        "wabridge_media_files{state=\"stored\"} 0".to_owned(),
        "wabridge_media_stored_bytes 0".to_owned(),
    ];
    app.until("the gauges show it", async || {
        let (_, metrics) = app.get("/metrics").await;
        wanted.iter().all(|line| metrics.contains(line))
    })
    .await;

    let (code, listed) = app.command_ending(&["alarm", "list"]).await;
    assert!(code == 4 && listed.contains("number_held number +918880110022"), "{listed}");
    assert!(listed.contains("nobody was told: no way is set up"), "the log is nobody: {listed}");
    let (_, listed) = app.command_ending(&["alarm", "list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let held = listed.as_array().expect("a list").iter().find(|it| it["kind"] == "number_held").expect("it is listed");
    assert_eq!((&held["told"], &held["told_by"]), (&Value::Null, &serde_json::json!([])), "{held}");
    let status = app.command(&["status"]).await;
    assert!(status.contains("ALARMS") && status.contains("nobody was told: no way is set up"), "{status}");
    assert_eq!(app.command_ending(&["alarm", "test"]).await.0, 3, "no way is set up");
    app.leave().await;
}

on_each_database!(
    a_number_on_hold_is_told_once_by_each_way_and_so_is_its_end,
    a_restart_tells_nothing_twice,
    a_token_that_is_refused_is_told,
    the_metrics_say_what_waits_and_what_is_held,
);
