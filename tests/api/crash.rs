//! `kill -9` at any moment: nothing that was accepted is lost, nothing is sent twice.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use wabridge::{domain::outbound::SendState, simulator::Stats};

use crate::harness::{ACCOUNT, CREDENTIALS, Database, Message, TestApp, on_each_database, person};

const MESSAGES: usize = 300;

/// The moments at which the bridge is killed, one after the other.
const MOMENTS: [fn(&Stats) -> bool; 4] = [
    |stats| stats.sends_received >= 1,
    |stats| stats.sends_received >= 60,
    |stats| stats.clevertap.requests >= 6,
    |stats| stats.sends_received >= 200,
];

async fn killed_again_and_again_it_loses_nothing_and_sends_nothing_twice(database: Database) {
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.messages_per_second = 100;
        options.settings.send.timeout = Duration::from_millis(1_500);
        options.settings.send.connect_timeout = Duration::from_secs(1);
        options.settings.send.unknown_grace = Duration::from_secs(3);
        options.simulator.knobs.answer_delay_ms = 20;
        options.simulator.knobs.webhook_retry_ms = 50;
        options.simulator.knobs.webhook_retry_ms_max = 500;
    })
    .await;
    let messages: Vec<Message> = (0..MESSAGES).map(|number| Message::order_update(&person(number))).collect();
    let campaign = Campaign { url: Mutex::new(app.at("")), stop: AtomicBool::new(false) };

    let accepted = {
        let posting = campaign.post(&messages);
        let killing = async {
            for moment in MOMENTS {
                app.until_counted("it is time to kill it", moment).await;
                app.process().kill().await;
                app.start_process().await;
                campaign.move_to(app.at(""));
            }
        };
        futures_util::future::join(posting, killing).await.0
    };
    let stats = app.settled().await;

    assert_eq!(accepted, MESSAGES, "every message was taken in the end");
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    let mut submitted = 0;
    for message in &messages {
        let stored = app.stored(message).await;
        submitted += u64::from(stored.state == SendState::Submitted);
        *states.entry(format!("{:?}", stored.state)).or_default() += 1;
        let told = app.told(message);
        let mut distinct = told.clone();
        distinct.dedup();
        match stored.state {
            SendState::Submitted => assert!(told.contains(&"read".to_owned()), "{told:?}"),
            // Marked as being sent when it was killed, and no status says that it was.
            SendState::Unknown => assert_eq!(distinct, ["failed"]),
            SendState::Queued
            | SendState::Sending
            | SendState::Rejected
            | SendState::Expired
            | SendState::Cancelled => panic!("{message:?} ended as {:?}", stored.state),
        }
    }
    assert_eq!(stats.sends_accepted, submitted, "what WhatsApp took is what we say that it took: {states:?}");
    assert_eq!(stats.sends_accepted_twice, 0);
    // Told at least once, so perhaps again after a kill; but a new status is never lower than one before it.
    assert_eq!((stats.clevertap.gaps, stats.updates_dropped), (0, 0));
    app.leave().await;
}

/// Posts messages as CleverTap does, to wherever the bridge is, and repeats what got no answer.
struct Campaign {
    url: Mutex<String>,
    stop: AtomicBool,
}

impl Campaign {
    fn move_to(&self, url: String) {
        *self.url.lock().expect("no holder can panic") = url;
    }

    async fn post(&self, messages: &[Message]) -> usize {
        const AT_A_TIME: usize = 8;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().expect("a client");
        let mut accepted = 0;
        for some in messages.chunks(AT_A_TIME) {
            let posts = some.iter().map(|message| self.post_until_answered(&client, message));
            accepted += futures_util::future::join_all(posts).await.into_iter().filter(|taken| *taken).count();
        }
        accepted
    }

    async fn post_until_answered(&self, client: &reqwest::Client, message: &Message) -> bool {
        while !self.stop.load(Ordering::Relaxed) {
            let url = format!("{}/clevertap/{ACCOUNT}/messages", self.url.lock().expect("no holder can panic"));
            let mut request = client.post(url).body(message.body.to_string());
            for (name, value) in CREDENTIALS {
                request = request.header(name, value);
            }
            match request.send().await {
                Ok(answer) if answer.status() == 200 => {
                    let text = answer.text().await.unwrap_or_default();
                    return text.contains("success");
                }
                // It was killed, or could not store it: the platform may ask again.
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(30)).await,
            }
        }
        false
    }
}

on_each_database![killed_again_and_again_it_loses_nothing_and_sends_nothing_twice];
