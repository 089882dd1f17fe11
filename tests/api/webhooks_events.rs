//! What outgoing webhooks tell beside messages and their statuses: how far a message came, payments, what a provider alone has words
//! for, and how other webhooks fare.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    clock,
    domain::{callback::EventKind, event_name::EventName, ids::Place},
    settings::Settings,
    simulator::{Effect, Rule},
};

use crate::{
    alarms::Operator,
    harness::{
        APP_SECRET, BUSINESS_NUMBER, Database, Message, NUMBER_ID, Options, Receiver, Request, TestApp, WABA_ID,
        on_each_database, person,
    },
    suppressions::{choose, number},
};

/// A bridge, and a token that may configure.
pub(crate) struct Scene {
    pub(crate) app: TestApp,
    pub(crate) token: String,
}

impl Scene {
    async fn start(database: Database) -> Self {
        Self::start_with(database, |_| {}).await
    }

    async fn start_with(database: Database, change: impl FnOnce(&mut Options)) -> Self {
        Self::over(TestApp::start_with(database, change).await).await
    }

    pub(crate) async fn over(app: TestApp) -> Self {
        let scopes = ["configuration:manage", "messages:read", "callbacks:replay"];
        let token = app.first_owner().await.make_token(&scopes).await;
        Self { app, token }
    }

    /// Makes a webhook; gives back its signing secret.
    pub(crate) async fn webhook(&self, name: &str, receiver: &Receiver, events: &[&str], more: Value) -> String {
        let mut settings = json!({"url": format!("{}/{name}", receiver.url), "events": events});
        settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let body = json!({"name": name, "settings": settings});
        let made = self.app.call(Method::POST, "/api/v1/webhooks", &self.token, Some(body)).await;
        assert_eq!(made.http_status, 201, "{made:?}");
        made.body["signing_secret"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn came(&self, receiver: &Receiver, count: usize) -> Vec<Request> {
        self.app.until(&format!("{count} requests came"), async || receiver.requests().len() >= count).await;
        receiver.requests()
    }

    /// Meta tells something of the number.
    async fn meta_tells(&self, key: &str, element: Value) {
        let value =
            json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID}, key: [element]});
        let change = json!({"field": "messages", "value": value});
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": [change]}]});
        assert_eq!(self.app.post_webhook(body.to_string(), APP_SECRET).await, 200);
    }

    fn hears(&self, person: &str, text: &str) {
        self.app.simulator.inbound_text(person, NUMBER_ID, text, None).expect("the number exists");
    }

    /// Lines of this kind in the log of the first account.
    async fn lines(&self, kind: EventKind) -> usize {
        let account = self.app.directory().snapshot().senders().next().expect("there is one number").account;
        let read = self.app.store.events_after(account, kind, Place(0), 100).await;
        read.expect("the log can be read").0.len()
    }
}

fn events(requests: &[Request]) -> Vec<String> {
    let mut names: Vec<String> = requests.iter().map(Request::event).collect();
    names.sort_unstable();
    names
}

async fn that_a_message_was_accepted_and_went_out_is_told_to_whoever_wants_it_and_to_nobody_else(database: Database) {
    let scene = Scene::start(database).await;
    let (before, after) = (Message::freeform(&person(0), "before"), Message::freeform(&person(0), "Asha, it is here"));
    scene.hears(&person(0), "hello");
    scene.app.settled().await;
    scene.app.accept(&before).await;
    scene.app.settled().await;
    assert_eq!(scene.lines(EventKind::Outgoing).await, 0, "nobody wants it, and nobody pays for it");
    let receiver = Receiver::start().await;
    scene.webhook("crm", &receiver, &["message.accepted", "message.outbound"], json!({})).await;

    scene.app.accept(&after).await;
    let requests = scene.came(&receiver, 2).await;
    scene.app.settled().await;

    assert_eq!(requests.iter().map(Request::event).collect::<Vec<_>>(), ["message.accepted", "message.outbound"]);
    let told: Vec<Value> = requests.iter().map(|request| request.json()["data"]["message"].clone()).collect();
    assert_eq!((&told[0]["status"], &told[1]["status"]), (&json!("accepted"), &json!("sent")));
    assert!(told[0].get("content").is_none(), "{}", told[0]);
    assert_eq!(told[1]["content"], json!({"type": "text", "text": "Asha, it is here"}));
    assert!(told.iter().all(|message| message["platform_id"] == after.msg_id()), "{told:?}");
    assert_eq!(scene.app.told(&after), ["sent", "delivered", "read"], "CleverTap hears what it always hears");
    scene.app.finish().await;
}

async fn that_a_message_went_out_is_told_once_also_when_its_status_comes_before_the_answer(database: Database) {
    let scene = Scene::start(database).await;
    let receiver = Receiver::start().await;
    scene.webhook("crm", &receiver, &["message.outbound", "message.sent"], json!({})).await;
    scene.app.simulator.add_rule(Rule::recipient(&person(1), Effect::StatusesFirst));
    let (overtaken, usual) = (Message::order_update(&person(1)), Message::order_update(&person(2)));

    scene.app.accept_all(&[overtaken.clone(), usual.clone()]).await;
    scene.came(&receiver, 4).await;
    scene.app.settled().await;

    let requests = receiver.requests();
    for message in [&overtaken, &usual] {
        let of_it = requests.iter().map(Request::json);
        let mut told: Vec<Value> =
            of_it.filter(|told| told["data"]["message"]["platform_id"] == message.msg_id()).collect();
        told.sort_by_key(|told| told["sequence"].as_i64());
        let names: Vec<&str> = told.iter().filter_map(|told| told["type"].as_str()).collect();
        assert_eq!(names, ["message.outbound", "message.sent"], "by sequence, of {}", message.msg_id());
        assert!(told[0]["data"]["message"]["provider_id"].is_string(), "{}", told[0]);
    }
    scene.app.finish().await;
}

async fn payments_and_deletions_are_told_with_what_the_provider_said(database: Database) {
    let scene = Scene::start(database).await;
    let receiver = Receiver::start().await;
    scene.webhook("crm", &receiver, &["message.payment", "message.deleted"], json!({"payload": "complete"})).await;
    let payment = json!({"id": "wamid.order", "type": "payment", "status": "captured", "timestamp": "1790000000",
        "recipient_id": person(3).trim_start_matches('+'), "payment": {"reference_id": "order-42", "currency": "INR",
        "amount": {"value": 21_050, "offset": 100}, "transaction": {"id": "T1", "type": "upi", "status": "success"}}});
    let revoked = json!({"id": "wamid.revoke", "from": person(3).trim_start_matches('+'), "timestamp": "1790000001",
        "type": "revoke", "revoke": {"original_message_id": "wamid.regretted"}});

    scene.meta_tells("statuses", payment.clone()).await;
    scene.meta_tells("statuses", payment.clone()).await;
    scene.meta_tells("messages", revoked).await;
    let mut requests = scene.came(&receiver, 2).await;
    scene.app.settled().await;

    requests.sort_by_key(Request::event);
    assert_eq!(events(&requests), ["message.deleted", "message.payment"], "a repeat is told once");
    let (deleted, paid) = (requests[0].json(), requests[1].json());
    assert_eq!(deleted["data"]["message"]["replies_to"]["provider_id"], "wamid.regretted", "{deleted}");
    assert_eq!(deleted["data"]["message"]["status"], "deleted", "{deleted}");
    assert_eq!(
        paid["data"]["payment"],
        json!({"reference": "order-42", "status": "captured", "amount": "210.50", "currency": "INR", "transaction_id": "T1"})
    );
    assert_eq!(paid["data"]["raw"], payment, "{paid}");
    assert_eq!(paid["data"]["contact"]["phone"], person(3), "{paid}");
    scene.app.finish().await;
}

async fn a_wish_is_told_with_the_number_that_it_was_said_to_and_with_what_meta_said(database: Database) {
    let scene = Scene::start(database).await;
    let (ours, like_meta) = (Receiver::start().await, Receiver::start().await);
    let only_of_the_number = json!({"payload": "complete", "filter": {"numbers": [BUSINESS_NUMBER]}});
    scene.webhook("crm", &ours, &["contact.opted_out"], only_of_the_number).await;
    scene.webhook("bot", &like_meta, &["contact.opted_out"], json!({"profile": "meta"})).await;

    choose(&scene.app, number(&person(7)), "stop", 1_795_000_000).await;
    let told = scene.came(&ours, 1).await[0].json();
    let as_meta = scene.came(&like_meta, 1).await[0].json();

    let said = json!({"category": "marketing_messages", "value": "stop", "timestamp": 1_795_000_000,
        "wa_id": person(7).trim_start_matches('+')});
    assert_eq!((&told["data"]["channel"]["number"], &told["data"]["raw"]), (&json!(BUSINESS_NUMBER), &said), "{told}");
    let (entry, value) = (&as_meta["entry"][0], &as_meta["entry"][0]["changes"][0]["value"]);
    assert_eq!(
        (&entry["id"], &value["metadata"]["phone_number_id"]),
        (&json!(WABA_ID), &json!(NUMBER_ID)),
        "{as_meta}"
    );
    assert_eq!(value["user_preferences"], json!([said]), "{as_meta}");
    scene.app.settled().await;
    scene.app.finish().await;
}

async fn another_webhook_and_people_hear_that_one_fails_and_it_never_hears_of_itself(database: Database) {
    let mut settings = Settings::defaults();
    let operator = Operator::set_up(&mut settings).await;
    let scene = Scene::start_with(database, |options| options.settings.alarms = settings.alarms).await;
    let (crm, operations, archive) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    crm.answer_always(503);
    // It wants nothing of this by its names, and is named by the other.
    scene.webhook("operations", &operations, &["message.failed"], json!({})).await;
    scene.webhook("archive", &archive, &["webhook.*"], json!({})).await;
    let more = json!({
        "alerts": {"webhook": "operations", "emails": ["asha@example.com"]},
        "switch_off": {"failures": 3, "hours": 0}, "retries": {"kind": "fixed", "times": 0, "every_seconds": 1},
    });
    scene.webhook("crm", &crm, &["message.received", "webhook.*"], more).await;

    scene.hears(&person(1), "one");
    scene.came(&operations, 1).await;
    scene.hears(&person(1), "two");
    scene.hears(&person(1), "three");
    let told = scene.came(&operations, 2).await;
    scene.came(&archive, 2).await;
    let letters = || operator.letters().into_iter().filter(|letter| letter.contains("asha@example.com")).count();
    scene.app.until("both letters came", async || letters() == 2).await;

    assert_eq!(events(&told), ["webhook.disabled", "webhook.failing"]);
    let failing = told[0].json();
    assert_eq!(failing["data"]["webhook"]["name"], "crm", "{failing}");
    assert!(failing["data"]["webhook"]["answer"].as_str().is_some_and(|answer| answer.contains("503")), "{failing}");
    assert!(failing["data"].get("channel").is_none() && failing["data"].get("raw").is_none(), "{failing}");
    assert_eq!(events(&archive.requests()), ["webhook.disabled", "webhook.failing"]);
    assert!(crm.requests().iter().all(|request| request.event() == "message.received"), "it hears nothing of itself");
    scene.app.finish().await;
}

async fn that_one_fails_is_told_once_until_it_was_well_and_so_often_in_a_day(database: Database) {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let scene = Scene::start(database).await;
    // It is about one day, which is not to end meanwhile.
    let goes_on = async || clock::now().0.rem_euclid(DAY_MS) < DAY_MS - 30_000;
    scene.app.until("a day has begun that goes on", goes_on).await;
    let (crm, archive) = (Receiver::start().await, Receiver::start().await);
    scene.webhook("archive", &archive, &["webhook.failing"], json!({})).await;
    let retries = json!({"kind": "fixed", "times": 0, "every_seconds": 1});
    scene.webhook("crm", &crm, &["message.received"], json!({"alerts": {"per_day": 2}, "retries": retries})).await;

    let mut asked = 0;
    for (round, told) in [(0, 1), (1, 2), (2, 2)] {
        crm.answer_next(&[500, 500, 200]);
        for text in ["fails", "fails again", "is taken"] {
            scene.hears(&person(round), text);
            asked += 1;
            scene.came(&crm, asked).await;
            scene.app.settled().await;
        }
        scene.came(&archive, told).await;
    }
    // Were the third one told, it would come before this.
    scene.webhook("last", &archive, &["message.received"], json!({})).await;
    scene.hears(&person(5), "the end");
    let requests = scene.came(&archive, 3).await;

    assert_eq!(events(&requests), ["message.received", "webhook.failing", "webhook.failing"]);
    scene.app.finish().await;
}

async fn a_change_of_settings_makes_no_second_first_failure(database: Database) {
    let scene = Scene::start(database).await;
    let (crm, archive) = (Receiver::start().await, Receiver::start().await);
    let retries = json!({"kind": "fixed", "times": 0, "every_seconds": 1});
    crm.answer_always(500);
    scene.webhook("archive", &archive, &["webhook.failing"], json!({})).await;
    scene.webhook("crm", &crm, &["message.received"], json!({"retries": retries})).await;
    scene.hears(&person(1), "fails");
    scene.came(&archive, 1).await;

    let settings = json!({"url": crm.url, "events": ["message.received"], "retries": retries, "per_second": 50});
    let body = Some(json!({"settings": settings}));
    let changed = scene.app.call(Method::PUT, "/api/v1/webhooks/crm", &scene.token, body).await;
    assert_eq!(changed.http_status, 200, "{changed:?}");
    scene.hears(&person(2), "fails again");
    scene.came(&crm, 2).await;
    scene.app.settled().await;
    // Were the second one told, it would come before this.
    scene.webhook("last", &archive, &["message.received"], json!({})).await;
    scene.hears(&person(5), "the end");
    let requests = scene.came(&archive, 2).await;

    assert_eq!(events(&requests), ["message.received", "webhook.failing"]);
    scene.app.finish().await;
}

async fn a_receiver_that_never_answers_has_few_requests_under_way_and_holds_up_nobody(database: Database) {
    const MESSAGES: usize = 40;
    let scene = Scene::start(database).await;
    let (dead, healthy) = (Receiver::start().await, [Receiver::start().await, Receiver::start().await]);
    dead.hold();
    scene.webhook("dead", &dead, &["message.received"], json!({"timeout_seconds": 60, "in_flight": 3})).await;
    for (number, receiver) in healthy.iter().enumerate() {
        scene.webhook(&format!("healthy-{number}"), receiver, &["message.received"], json!({})).await;
    }

    for number in 0..MESSAGES {
        scene.hears(&person(number), "hello");
    }
    for receiver in &healthy {
        assert_eq!(scene.came(receiver, MESSAGES).await.len(), MESSAGES);
    }

    scene.app.until("the dead one was asked", async || dead.waiting_most() > 0).await;
    assert!(dead.waiting_most() <= 3, "{} were under way", dead.waiting_most());
    dead.let_go();
    scene.came(&dead, MESSAGES).await;
    scene.app.finish().await;
}

async fn an_example_of_each_event_can_be_sent_in_the_words_of_each_profile(database: Database) {
    let scene = Scene::start(database).await;
    let receiver = Receiver::start().await;
    receiver.answer_with(&[("x-request-id", "req-9")], "");
    for profile in wabridge::profiles::ALL {
        let name = profile.slug();
        scene.webhook(name, &receiver, &["*"], json!({"profile": name})).await;
        for event in EventName::TOLD {
            let before = receiver.requests().len();
            let path = format!("/api/v1/webhooks/{name}/sample");
            let sent = scene.app.call(Method::POST, &path, &scene.token, Some(json!({"event": event.as_str()}))).await;
            // What Meta alone tells cannot be made up.
            let has_words = profile.word(*event).is_some() && !(name == "meta" && sent.http_status == 409);
            assert_eq!(sent.http_status, if has_words { 200 } else { 409 }, "{name}: {event}: {sent:?}");
            assert_eq!(receiver.requests().len() - before, usize::from(has_words), "{name}: {event}");
            assert!(has_words || *event != EventName::MessageReceived, "{name}");
            if has_words {
                assert_eq!(sent.body["taken"], true, "{name}: {event}: {sent:?}");
                let headers = sent.body["answer"]["headers"].as_array().expect("a list");
                assert!(headers.contains(&json!({"name": "x-request-id", "value": "req-9"})), "{sent:?}");
            }
        }
    }
    scene.app.finish().await;
}

on_each_database![
    an_example_of_each_event_can_be_sent_in_the_words_of_each_profile,
    that_a_message_was_accepted_and_went_out_is_told_to_whoever_wants_it_and_to_nobody_else,
    that_a_message_went_out_is_told_once_also_when_its_status_comes_before_the_answer,
    payments_and_deletions_are_told_with_what_the_provider_said,
    a_wish_is_told_with_the_number_that_it_was_said_to_and_with_what_meta_said,
    another_webhook_and_people_hear_that_one_fails_and_it_never_hears_of_itself,
    that_one_fails_is_told_once_until_it_was_well_and_so_often_in_a_day,
    a_change_of_settings_makes_no_second_first_failure,
    a_receiver_that_never_answers_has_few_requests_under_way_and_holds_up_nobody,
];
