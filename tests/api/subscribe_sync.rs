//! CleverTap's own list of people who must not be sent to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    harness::{Database, PATIENCE, TestApp, on_each_database, person},
    suppressions::said,
};

/// CleverTap's API, as far as it is asked.
#[derive(Clone, Default)]
struct SubscribeApi {
    /// What to answer; a plain success when nothing is left.
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    /// Heads and bodies of the requests.
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl SubscribeApi {
    /// Listens on a port of its own; gives back its URL.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let api = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(api.clone().answer(stream));
            }
        });
        url
    }

    /// One request, then the connection closes.
    async fn answer(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.expect("it is read") == 0 {
                return;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.expect("it is read");
        self.calls.lock().expect("free").push((head, serde_json::from_slice(&body).expect("JSON")));
        let (status, answer) =
            self.answers.lock().expect("free").pop_front().unwrap_or((200, json!({"status": "success"})));
        let answer = answer.to_string();
        let text =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len());
        stream.get_mut().write_all(text.as_bytes()).await.expect("it is written");
    }

    /// Every number's last status that a call with an answer of 200 named.
    fn told(&self, number: &str) -> Vec<String> {
        let calls = self.calls.lock().expect("free");
        let records = calls.iter().flat_map(|(_, body)| body["d"].as_array().expect("a list").clone());
        let of_number = records.filter(|record| record["value"] == number);
        of_number.map(|record| record["status"].as_str().expect("a status").to_owned()).collect()
    }
}

async fn start(database: Database, api: &SubscribeApi) -> TestApp {
    let url = api.start().await;
    TestApp::start_with(database, |options| {
        options.account = format!("subscribe_sync = {{ base_url = \"{url}\" }}");
    })
    .await
}

async fn clevertap_is_told_who_is_gone_and_who_is_back(database: Database) {
    let api = SubscribeApi::default();
    let app = start(database, &api).await;

    app.command(&["suppress", "add", &person(1), &person(2)]).await;
    app.until("it is told", async || api.told(&person(1)).len() == 1 && api.told(&person(2)).len() == 1).await;
    app.command(&["suppress", "remove", &person(1)]).await;
    app.until("it is told again", async || api.told(&person(1)).len() == 2).await;
    app.until("nothing is pending", async || app.command(&["status"]).await.contains("pending 0, refused 0")).await;

    assert_eq!(api.told(&person(1)), ["Unsubscribe", "Resubscribe"]);
    assert_eq!(api.told(&person(2)), ["Unsubscribe"]);
    let (head, body) = api.calls.lock().expect("free")[0].clone();
    assert!(head.starts_with("post /1/subscribe "), "{head}");
    assert!(
        head.contains("x-clevertap-account-id: test-acc-1") && head.contains("x-clevertap-passcode: acme-passcode")
    );
    assert_eq!(body["d"][0]["type"], "whatsapp");
    app.finish().await;
}

async fn a_new_number_is_unsubscribed_with_the_old_one_and_never_resubscribed(database: Database) {
    let api = SubscribeApi::default();
    let app = start(database, &api).await;
    let (gone, back, gone_there, back_there) = (person(1), person(2), person(8), person(9));
    app.command(&["suppress", "add", &gone, &back]).await;
    app.until("it is told", async || api.told(&gone).len() == 1 && api.told(&back).len() == 1).await;
    app.command(&["suppress", "remove", &back]).await;
    app.until("it is told again", async || api.told(&back).len() == 2).await;

    for (from, to) in [(&back, &back_there), (&gone, &gone_there)] {
        let [from, to] = [from, to].map(|number| number.trim_start_matches('+'));
        let system = json!({"body": "changed", "type": "user_changed_number", "wa_id": to});
        let message = json!({"id": format!("wamid.{to}"), "from": from, "timestamp": "1790000500", "type": "system", "system": system});
        said(&app, json!({"messages": [message]})).await;
    }
    app.until("the new number is told", async || !api.told(&gone_there).is_empty()).await;
    app.until("nothing is pending", async || app.command(&["status"]).await.contains("pending 0, refused 0")).await;

    assert_eq!(api.told(&gone_there), ["Unsubscribe"]);
    assert!(api.told(&back_there).is_empty(), "CleverTap may know better of a number that is new to us");
    app.finish().await;
}

async fn a_failed_call_is_repeated_and_a_refused_person_is_shown(database: Database) {
    let api = SubscribeApi::default();
    let refused = json!({"type": "whatsapp", "value": person(2), "status": "Unsubscribe"});
    let unprocessed = json!([{"status": "fail", "code": 513, "error": "no such profile", "record": refused}]);
    *api.answers.lock().expect("free") = VecDeque::from([
        (503, json!({})),
        (429, json!({})),
        (200, json!({"status": "partial", "processed": 1, "unprocessed": unprocessed})),
    ]);
    let app = start(database, &api).await;

    app.command(&["suppress", "add", &person(1), &person(2)]).await;
    app.until("it is told", async || app.command(&["status"]).await.contains("pending 0, refused 1")).await;

    let status = app.command(&["status"]).await;
    assert!(status.contains("513: no such profile"), "{status}");
    assert_eq!(api.told(&person(1)).len(), 3, "twice in vain");
    app.finish().await;
}

async fn a_batch_that_is_refused_whole_is_halved_until_the_one_stands_alone(database: Database) {
    let api = SubscribeApi::default();
    *api.answers.lock().expect("free") = VecDeque::from([(400, json!({})), (400, json!({})), (200, json!({}))]);
    let app = start(database, &api).await;

    app.command(&["suppress", "add", &person(1), &person(2)]).await;
    app.until("it is told", async || app.command(&["status"]).await.contains("pending 0, refused 1")).await;

    let sizes: Vec<usize> = {
        let calls = api.calls.lock().expect("free");
        calls.iter().map(|(_, body)| body["d"].as_array().expect("a list").len()).collect()
    };
    assert_eq!(sizes, [2, 1, 1]);
    app.finish().await;
}

async fn thousands_go_in_batches_and_survive_a_kill(database: Database) {
    const PEOPLE: usize = 2_500;
    let api = SubscribeApi::default();
    let url = api.start().await;
    let mut app = TestApp::start_with(database, |options| {
        options.account = format!("subscribe_sync = {{ base_url = \"{url}\" }}");
        options.as_process = true;
    })
    .await;
    app.process().kill().await;
    let lines: String = (0..PEOPLE).map(|number| format!("{}\n", person(number))).collect();
    let file = app.write_file("list.txt", &lines);
    app.command(&["suppress", "import", &file]).await;

    app.start_process().await;
    app.until("the first are told", async || !api.calls.lock().expect("free").is_empty()).await;
    app.process().kill().await;
    app.start_process().await;
    app.until("all are told", async || app.command(&["status"]).await.contains("pending 0, refused 0")).await;

    let calls = api.calls.lock().expect("free").clone();
    assert!(calls.iter().all(|(_, body)| body["d"].as_array().expect("a list").len() <= 1_000));
    for number in [0, 1_234, PEOPLE - 1] {
        assert!(!api.told(&person(number)).is_empty(), "{number} was never told");
    }
    app.finish().await;
}

async fn a_platform_that_never_answers_holds_up_no_other_account(database: Database) {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let silent_url = format!("http://{}", silent.local_addr().expect("it is bound"));
    let api = SubscribeApi::default();
    let url = api.start().await;
    let app = TestApp::start_with(database, |options| {
        options.settings.relay.timeout = PATIENCE * 2;
        options.settings.instance.lease = PATIENCE * 4;
        options.settings.instance.worker_silence_max = PATIENCE * 4;
        options.account = format!("subscribe_sync = {{ base_url = \"{silent_url}\" }}");
    })
    .await;
    app.apply(&format!(
        "[[accounts]]\nid = \"globex\"\nplatform = \"clevertap\"\nclevertap_account_id = \"TEST-ACC-2\"\n\
         clevertap_passcode = \"globex-passcode\"\nsubscribe_sync = {{ base_url = \"{url}\" }}"
    ))
    .await;

    app.command(&["suppress", "add", &person(1), "--account", "acme"]).await;
    let (_held, _) = tokio::time::timeout(PATIENCE, silent.accept()).await.expect("it is asked").expect("it is taken");
    app.command(&["suppress", "add", &person(2), "--account", "globex"]).await;
    app.until("the other is told", async || api.told(&person(2)).len() == 1).await;
    app.command(&["suppress", "remove", &person(2), "--account", "globex"]).await;
    app.until("and told again", async || api.told(&person(2)).len() == 2).await;
    app.finish().await;
}

on_each_database![
    clevertap_is_told_who_is_gone_and_who_is_back,
    a_new_number_is_unsubscribed_with_the_old_one_and_never_resubscribed,
    a_failed_call_is_repeated_and_a_refused_person_is_shown,
    a_batch_that_is_refused_whole_is_halved_until_the_one_stands_alone,
    thousands_go_in_batches_and_survive_a_kill,
    a_platform_that_never_answers_holds_up_no_other_account,
];
