//! The load: posts messages as CleverTap does, to any bridge that is there, and keeps a journal of the answers.
//!
//! What gets no success is asked for again under the same id until it does, as CleverTap does. Every message goes to a
//! person of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::json;

use crate::{checker::Asked, configuration::CREDENTIALS};

/// Where bridges listen now. Empty while there is none.
pub(crate) type Doors = Arc<Mutex<Vec<String>>>;

/// Who asks gives up after so long, and not before on a machine that stands still for seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Before what was not accepted is asked for again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);
const POSTERS: usize = 12;

/// What was asked, and what was answered.
#[derive(Default)]
pub(crate) struct Journal {
    asked: Mutex<BTreeMap<String, Asked>>,
    slowest: Mutex<Duration>,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Success,
    /// With this HTTP status.
    Refused(u16),
    Nothing,
}

impl Journal {
    pub(crate) fn asked(&self) -> BTreeMap<String, Asked> {
        self.lock().clone()
    }

    /// The messages of one number that have a success, and to whom they go.
    pub(crate) fn accepted_at(&self, line: &Line) -> BTreeMap<String, String> {
        let book = self.lock();
        let accepted = book.iter().filter(|(_, asked)| asked.number == line.number && asked.successes > 0);
        accepted.map(|(id, asked)| (id.clone(), asked.recipient.clone())).collect()
    }

    /// How many messages have a success.
    pub(crate) fn accepted(&self) -> usize {
        self.lock().values().filter(|asked| asked.successes > 0).count()
    }

    /// How often anything was refused.
    pub(crate) fn refusals(&self) -> u64 {
        self.lock().values().flat_map(|asked| asked.refusals.values()).map(|times| u64::from(*times)).sum()
    }

    /// How often nothing came in time, or the connection broke.
    pub(crate) fn unanswered(&self) -> u64 {
        self.lock().values().map(|asked| u64::from(asked.unanswered)).sum()
    }

    /// The longest that anybody waited for an answer of any kind.
    pub(crate) fn slowest(&self) -> Duration {
        *self.slowest.lock().expect("no holder can panic")
    }

    pub(crate) fn forget_slowest(&self) {
        *self.slowest.lock().expect("no holder can panic") = Duration::ZERO;
    }

    fn note(&self, message: &Message, answer: Answer, took: Duration) {
        let mut book = self.lock();
        let asked = book.entry(message.id.clone()).or_default();
        message.recipient.trim_start_matches('+').clone_into(&mut asked.recipient);
        asked.number.clone_from(&message.line.number);
        match answer {
            Answer::Success => asked.successes += 1,
            Answer::Refused(status) => *asked.refusals.entry(status).or_default() += 1,
            Answer::Nothing => asked.unanswered += 1,
        }
        drop(book);
        if answer != Answer::Nothing {
            let mut slowest = self.slowest.lock().expect("no holder can panic");
            *slowest = took.max(*slowest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        self.asked.lock().expect("no holder can panic")
    }
}

/// A number, and the account that sends from it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) account: &'static str,
    pub(crate) number: String,
}

/// A template for one person, or what an agent writes to one.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) recipient: String,
    line: Line,
    kind: Kind,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A template about an order.
    Order,
    /// A template with a one-time password.
    Code,
    /// What an agent writes.
    Reply,
}

impl Message {
    pub(crate) fn new(number: usize, line: &Line) -> Self {
        Self {
            id: format!("{number}|1790000000|20261120|{number}|0"),
            recipient: format!("+9198{:08}", 20_000_000 + number),
            line: line.clone(),
            kind: Kind::Order,
        }
    }

    pub(crate) fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    fn body(&self) -> String {
        let (name, values): (_, &[&str]) = match self.kind {
            Kind::Order => ("order_update", &["Asha", "A-17"]),
            Kind::Code => ("login_code", &["482913"]),
            Kind::Reply => return self.reply().to_string(),
        };
        let values: Vec<_> = values.iter().map(|text| json!({"type": "text", "text": text})).collect();
        json!({
            "payloadVersion": 0.1,
            "to": self.recipient,
            "wabaNumber": self.line.number,
            "isTemplate": true,
            "msgId": self.id,
            "template": {"namespace": name, "languageCode": "en"},
            "components": [{"type": "body", "body": {"parameters": values}}],
        })
        .to_string()
    }

    fn reply(&self) -> serde_json::Value {
        json!({
            "payloadVersion": 0.1,
            "to": self.recipient,
            "wabaNumber": self.line.number,
            "isTemplate": false,
            "msgId": self.id,
            "type": "text",
            "text": {"body": "We are on our way."},
        })
    }
}

/// Who posts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Caller {
    client: reqwest::Client,
    doors: Doors,
    journal: Arc<Journal>,
}

impl Caller {
    pub(crate) fn new(doors: Doors, journal: Arc<Journal>) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build().expect("a client");
        Self { client, doors, journal }
    }

    /// Asks once, at one of the doors, and writes the answer down.
    pub(crate) async fn ask(&self, message: &Message) -> Answer {
        let started = Instant::now();
        let answer = self.answer(message).await;
        self.journal.note(message, answer, started.elapsed());
        answer
    }

    /// Asks until the message is accepted, or nobody wants it any more.
    async fn ask_until_accepted(&self, message: &Message, stop: &AtomicBool) {
        while self.ask(message).await != Answer::Success && !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    async fn answer(&self, message: &Message) -> Answer {
        let Some(door) = self.any_door() else { return Answer::Nothing };
        let mut request =
            self.client.post(format!("{door}/clevertap/{}/messages", message.line.account)).body(message.body());
        for (name, value) in CREDENTIALS {
            request = request.header(name, value);
        }
        let Ok(answer) = request.send().await else { return Answer::Nothing };
        let status = answer.status();
        match answer.text().await {
            Ok(text) if status == 200 && text.contains("success") => Answer::Success,
            // Nobody has read the request to its end yet, which is the machine's affair.
            Ok(_) if status == StatusCode::REQUEST_TIMEOUT => Answer::Nothing,
            Ok(_) => Answer::Refused(status.as_u16()),
            Err(_) => Answer::Nothing,
        }
    }

    fn any_door(&self) -> Option<String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let doors = self.doors.lock().expect("no holder can panic");
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        doors.get(next % doors.len().max(1)).cloned()
    }
}

/// Messages without end, until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    posters: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(caller: &Caller, lines: &[Line], per_second: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counter = Arc::new(AtomicUsize::new(0));
        let pause =
            Duration::from_secs(1) * u32::try_from(POSTERS).unwrap_or(1) / u32::try_from(per_second).unwrap_or(1);
        let posters = (0..POSTERS).map(|_| {
            let (caller, stop, counter) = (caller.clone(), stop.clone(), counter.clone());
            let lines = lines.to_vec();
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    let message = Message::new(number, &lines[number % lines.len()]);
                    tokio::join!(caller.ask_until_accepted(&message, &stop), tokio::time::sleep(pause));
                }
            })
        });
        Self { posters: posters.collect(), stop }
    }

    /// Stops when what is being asked for now has its answer.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for poster in self.posters {
            poster.await.expect("a poster does not panic");
        }
    }
}
