//! A number at GoTallo, which the simulator plays: what is sent by a private endpoint, and what GoTallo's webhook tells of it.

use serde_json::{Value, json};
use wabridge::{
    simulator::{Dialect, Effect, Endpoint, Inbound, InboundContent, InboundMedia, Rule},
    store::media::MediaOverview,
};

use crate::harness::{
    CONNECTION, Database, Message, NUMBER_ID, Options, TestApp, on_each_database, one_webhook_at_a_time, person, script,
};

pub(crate) const URL_TOKEN: &str = "end-of-the-url-0123456789";
const TEMPLATES: &str = r#"[{"name": "order_update", "language": "en", "category": "UTILITY",
    "components": [{"type": "BODY", "text": "Hi {{1}}, your order {{2}} is on its way."}]}]"#;

/// As an operator describes the endpoint; without a token of the stage's in it.
fn settings() -> String {
    const BODY: &str = r#"'{ "message": "{{whatsapp}}", "custom_data": { "reference": "{{message_id}}" } }'"#;
    format!(
        r#"
        url_token = "{URL_TOKEN}"
        send_path = "/gotallo/{{{{number_id}}}}/messages"
        auth = "bearer"
        auth_secret = "simulator-access-token"
        body_template = {BODY}
        body_text = {BODY}
        answer = """
            id         /id
            error.code /error/code
            error.text /error/message
        """
        error_meanings = "131030 unreachable"
        templates = '''{TEMPLATES}'''
"#
    )
}

pub(crate) async fn start(database: Database, change: impl FnOnce(&mut Options)) -> TestApp {
    let app = TestApp::start_with(database, |options| {
        options.provider = ("gotallo", settings());
        options.simulator.knobs.dialect = Dialect::Gotallo;
        change(options);
    })
    .await;
    let url = app.at(&format!("/webhooks/gotallo/{CONNECTION}/{URL_TOKEN}"));
    app.simulator.change_knobs(|knobs| knobs.webhook_url = Some(url)).expect("any URL will do");
    app
}

fn inbound(app: &TestApp) -> Vec<Value> {
    let records = app.simulator.callback_records(None).into_iter();
    records.filter(|record| record.endpoint == Endpoint::Inbound).map(|record| record.entry).collect()
}

async fn what_is_sent_by_the_private_endpoint_is_told_of_also_when_its_answer_was_lost(database: Database) {
    let app = start(database, |options| {
        one_webhook_at_a_time(options);
        options.simulator.rules.push(Rule::suffix("20002", Effect::LoseAnswer));
        options.simulator.rules.push(Rule::suffix("20003", Effect::Statuses(script("sent@5,failed:131026@10"))));
        options.simulator.rules.push(Rule::suffix("20004", Effect::Refuse(wabridge::simulator::Refusal::code(131030))));
    })
    .await;
    let messages = [1, 2, 3, 4].map(|to| Message::order_update(&person(to)));

    app.accept_all(&messages).await;
    app.settled().await;

    for message in &messages[..2] {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
    let known = app.stored(&messages[0]).await.provider_message_id.expect("GoTallo gave it an id");
    assert!(!known.starts_with("wamid."), "it is known by GoTallo's own id: {known}");
    assert_eq!(app.told_failure(&messages[2]), Some(1005), "the reason is found where it is likely to stand");
    assert_eq!(app.told(&messages[3]), ["failed"]);
    app.finish().await;
}

async fn what_people_write_is_told_with_the_message_that_they_answer(database: Database) {
    let app = start(database, |_| {}).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;

    let wamid = app.simulator.sends(None).pop().and_then(|send| send.wamid).expect("it was taken");
    let said = |content| Inbound {
        from: person(1),
        phone_number_id: NUMBER_ID.to_owned(),
        context_wamid: Some(wamid.clone()),
        content,
    };
    for (content, told) in [
        (InboundContent::Text { body: "yes please".into() }, json!({"body": "yes please"})),
        (
            InboundContent::Button { text: "Show me".into(), payload: "show-1".into() },
            json!({"text": "Show me", "payload": "show-1"}),
        ),
    ] {
        let before = inbound(&app).len();
        app.simulator.inbound(&said(content)).expect("the number exists");
        app.until("it is told", async || inbound(&app).len() > before).await;
        let entry = inbound(&app).pop().expect("it was told");
        assert_eq!(entry["context"]["id"], message.msg_id());
        assert_eq!(entry[entry["type"].as_str().unwrap_or_default()], told, "{entry}");
    }
    app.finish().await;
}

async fn a_picture_is_fetched_from_its_secure_url(database: Database) {
    let app = start(database, |options| {
        options.settings.server.public_url = "https://whatsapp.example.com".to_owned();
    })
    .await;
    let content = InboundContent::Image(InboundMedia { caption: Some("is this right?".into()), ..Default::default() });
    let picture = Inbound { from: person(1), phone_number_id: NUMBER_ID.to_owned(), context_wamid: None, content };

    app.simulator.inbound(&picture).expect("the number exists");
    app.until("it is told", async || !inbound(&app).is_empty()).await;

    let stored = async || {
        let MediaOverview { stored, .. } = app.store.count_media().await.expect("files can be counted");
        stored == 1
    };
    app.until("the file is copied", stored).await;
    app.finish().await;
}

async fn a_check_shows_what_a_message_would_become_and_no_secret(database: Database) {
    let app = start(database, |options| {
        options.settings.server.public_url = "https://whatsapp.example.com".to_owned();
    })
    .await;

    let (_, printed) = app.command_ending(&["check", "--json"]).await;

    let report: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let found = report["findings"].as_array().expect("a list");
    for part in ["a template message would go out as POST", "webhooks are taken at"] {
        let has = |it: &Value| it["level"] == "fine" && it["text"].as_str().is_some_and(|text| text.contains(part));
        assert!(found.iter().any(has), "{part}: {found:#?}");
    }
    assert!(!printed.contains(URL_TOKEN) && !printed.contains("simulator-access-token"), "{printed}");
    app.leave().await;
}

on_each_database![
    what_is_sent_by_the_private_endpoint_is_told_of_also_when_its_answer_was_lost,
    what_people_write_is_told_with_the_message_that_they_answer,
    a_picture_is_fetched_from_its_secure_url,
    a_check_shows_what_a_message_would_become_and_no_secret,
];
