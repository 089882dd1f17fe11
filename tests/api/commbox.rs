//! The whole circle with CommBox, and what its webhooks must show.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use wabridge::simulator::{Dialect, Endpoint, Rule};

use crate::harness::{Database, Message, Options, TestApp, on_each_database, person};

const NUMBER: &str = "+918880110055";
/// As CommBox shows it: escaped already.
const STREAM: &str = "100000000000005%3d";
const STREAM_DIGITS: &str = "100000000000005";
pub(crate) const SECRET: &str = "a-secret-of-webhooks";
pub(crate) const PATH: &str = "/webhooks/commbox/box";

/// The stage's account has one more number, by CommBox.
fn with_commbox(options: &mut Options, more: &str) {
    options.more = format!(
        r#"
        [[accounts.senders]]
        number = "{NUMBER}"
        connection = "box"
        phone_number_id = "{STREAM}"
        waba_id = "{STREAM}"
        messages_per_second = 1000

        [[connections]]
        id = "box"
        provider = "commbox"
        base_url = "{{simulator}}"
        stream_id = "{STREAM}"
        webhook_secret = "{SECRET}"
        {more}
        "#
    );
}

pub(crate) const KEY: &str = r#"api_key = "simulator-access-token""#;

pub(crate) async fn start(database: Database, more: &str) -> TestApp {
    let app = TestApp::start_with(database, |options| with_commbox(options, more)).await;
    let url = app.at(PATH);
    let change = |knobs: &mut wabridge::simulator::Knobs| {
        knobs.dialect = Dialect::Commbox;
        knobs.webhook_secret = SECRET.to_owned();
        knobs.webhook_url = Some(url);
    };
    app.simulator.change_knobs(change).expect("any URL will do");
    app
}

fn by_commbox(mut message: Message) -> Message {
    message.body["wabaNumber"] = NUMBER.into();
    message
}

async fn a_template_by_commbox_goes_the_whole_circle(database: Database) {
    let app = start(database, KEY).await;
    let message = by_commbox(Message::order_update(&person(1)));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    let sends = app.simulator.sends(Some(&person(1)));
    assert_eq!((sends.len(), sends[0].phone_number_id.as_str()), (1, STREAM_DIGITS));
    app.finish().await;
}

async fn a_refusal_is_told_with_commboxs_words(database: Database) {
    let app = start(database, KEY).await;
    let rule = json!({"recipient": person(2), "effect": {"refuse": {"code": 131026}}});
    let rule: Rule = serde_json::from_value(rule).expect("a rule");
    app.simulator.add_rule(rule);
    let message = by_commbox(Message::order_update(&person(2)));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["failed"]);
    app.finish().await;
}

async fn the_next_key_is_used_when_the_first_is_refused(database: Database) {
    let app = start(database, r#"api_key = ["a-key-that-was-changed", "simulator-access-token"]"#).await;
    let messages: Vec<Message> = (10..13).map(|number| by_commbox(Message::order_update(&person(number)))).collect();

    app.accept_all(&messages).await;
    let stats = app.settled().await;

    assert_eq!(stats.sends_accepted, 3);
    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
    app.finish().await;
}

async fn what_people_write_is_told(database: Database) {
    let app = start(database, KEY).await;

    app.simulator.inbound_text(&person(3), STREAM_DIGITS, "yes & <please>", None).expect("the number exists");
    let told = || {
        let mut records = app.simulator.callback_records(None).into_iter();
        records.find(|record| record.endpoint == Endpoint::Inbound).map(|record| record.entry)
    };
    app.until("it is told", async || told().is_some()).await;

    let told = told().expect("it was told");
    assert_eq!(told["text"]["body"], "yes & <please>", "{told}");
    app.finish().await;
}

async fn a_message_without_a_template_is_refused_with_the_reason(database: Database) {
    let app = start(database, KEY).await;
    let message = by_commbox(Message::freeform(&person(4), "hello"));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["failed"]);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 0);
}

async fn a_text_goes_into_the_conversation_in_which_its_person_wrote(database: Database) {
    let more = format!("{KEY}\nfreeform = \"conversation\"");
    let app = start(database, &more).await;
    let early = by_commbox(Message::freeform(&person(5), "hello"));
    app.accept(&early).await;
    app.settled().await;
    assert_eq!(app.told(&early), ["failed"], "nobody has written");

    app.simulator.inbound_text(&person(5), STREAM_DIGITS, "where is it?", None).expect("the number exists");
    let heard = || app.simulator.callback_records(None).iter().any(|record| record.endpoint == Endpoint::Inbound);
    app.until("it is told", async || heard()).await;
    // The name of the conversation is kept behind the commit, and before the webhook is answered.
    app.settled().await;
    let answer = by_commbox(Message::freeform(&person(5), "on its way"));
    let picture =
        by_commbox(Message::freeform_of(&person(5), "image", json!({"mediaURL": "https://media.example/a.jpg"})));
    app.accept_all(&[answer.clone(), picture.clone()]).await;
    app.settled().await;

    assert_eq!(app.told(&answer), ["sent", "delivered", "read"]);
    assert_eq!(app.told(&picture), ["failed"], "nobody knows how");
    let sends = app.simulator.sends(Some(&person(5)));
    assert_eq!(sends.len(), 1);
    assert_eq!(sends[0].body["data"]["Message"], "on its way");
    app.finish().await;
}

async fn commbox_fetches_a_token_and_shows_it(database: Database) {
    let app = start(database, &format!("{KEY}\nwebhook_auth = \"oauth2\"")).await;
    let tag = json!({"Event": {"Subscription": "Tag", "Name": "OnAdd"}}).to_string();
    let token_path = format!("{PATH}/token");
    let ask = async |form: &str| app.post(&token_path, &[], form.to_owned()).await;

    for wrong in [
        "",
        "grant_type=client_credentials&client_id=wabridge&client_secret=another",
        "grant_type=client_credentials&client_id=another&client_secret=a-secret-of-webhooks",
        "client_id=wabridge&client_secret=a-secret-of-webhooks",
    ] {
        assert_eq!(ask(wrong).await.http_status, 401, "{wrong}");
    }
    for right in [
        "grant_type=client_credentials&client_id=wabridge&client_secret=a-secret-of-webhooks&scope=x",
        "grant_type=password&username=wabridge&password=a-secret-of-webhooks",
    ] {
        let answer = ask(right).await;
        let body: &Value = &answer.body;
        let token = body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}"));
        let header = format!("Bearer {token}");
        assert_eq!(app.post(PATH, &[("Authorization", &header)], tag.clone()).await.http_status, 200);
        let forged = format!("Bearer {}0", token);
        assert_eq!(app.post(PATH, &[("Authorization", &forged)], tag.clone()).await.http_status, 401);
    }
    let secret = format!("Bearer {SECRET}");
    assert_eq!(app.post(PATH, &[("Authorization", &secret)], tag.clone()).await.http_status, 401, "it is no token");
    app.leave().await;
}

async fn webhooks_show_user_and_password(database: Database) {
    let app = start(database, KEY).await;
    let tag = json!({"Event": {"Subscription": "Tag", "Name": "OnAdd"}}).to_string();
    let basic = |words: &str| format!("Basic {}", BASE64_STANDARD.encode(words));

    for (header, status) in [
        (basic("wabridge:a-secret-of-webhooks"), 200),
        (basic("wabridge:another"), 401),
        (basic("another:a-secret-of-webhooks"), 401),
        ("Bearer a-secret-of-webhooks".to_owned(), 401),
    ] {
        assert_eq!(app.post(PATH, &[("Authorization", &header)], tag.clone()).await.http_status, status, "{header}");
    }
    assert_eq!(app.post(PATH, &[], tag).await.http_status, 401);
    app.finish().await;
}

async fn webhooks_show_the_secret_as_a_token_or_at_the_end_of_the_url(database: Database) {
    let by_url = format!(
        r#"
        [[connections]]
        id = "by-url"
        provider = "commbox"
        base_url = "{{simulator}}"
        stream_id = "100000000000006%3d"
        webhook_secret = "{SECRET}"
        webhook_auth = "url"
        {KEY}
        "#
    );
    let app = start(database, &format!("{KEY}\nwebhook_auth = \"bearer\"\n{by_url}")).await;
    let tag = json!({"Event": {"Subscription": "Tag", "Name": "OnAdd"}}).to_string();
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("wabridge:{SECRET}")));

    for (path, authorization, status) in [
        (PATH.to_owned(), format!("Bearer {SECRET}"), 200),
        (PATH.to_owned(), "Bearer another".to_owned(), 401),
        (PATH.to_owned(), basic, 401),
        (format!("/webhooks/commbox/by-url/{SECRET}"), String::new(), 200),
        ("/webhooks/commbox/by-url/another".to_owned(), String::new(), 401),
        ("/webhooks/commbox/by-url".to_owned(), format!("Bearer {SECRET}"), 401),
    ] {
        let headers = [("Authorization", authorization.as_str())];
        let shown = if authorization.is_empty() { &[][..] } else { &headers[..] };
        assert_eq!(app.post(&path, shown, tag.clone()).await.http_status, status, "{path} {authorization}");
    }
    app.leave().await;
}

async fn a_check_says_what_is_well_and_what_commbox_does_not_tell(database: Database) {
    let app = start(database, KEY).await;
    let (_, printed) = app.command_ending(&["check", "--json"]).await;
    let report: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let found = report["findings"].as_array().expect("a list");
    let has = |level: &str, part: &str| {
        found.iter().any(|it| it["level"] == level && it["text"].as_str().is_some_and(|text| text.contains(part)))
    };

    for (level, part) in [
        ("fine", "CommBox is up, and takes the api_key"),
        ("fine", "CommBox knows the channel"),
        ("fine", "templates are approved"),
        ("not_checked", "saying where webhooks go is not offered by this carrier"),
    ] {
        assert!(has(level, part), "{level} {part}: {found:#?}");
    }
    app.finish().await;
}

on_each_database!(
    a_template_by_commbox_goes_the_whole_circle,
    a_refusal_is_told_with_commboxs_words,
    the_next_key_is_used_when_the_first_is_refused,
    what_people_write_is_told,
    a_message_without_a_template_is_refused_with_the_reason,
    a_text_goes_into_the_conversation_in_which_its_person_wrote,
    commbox_fetches_a_token_and_shows_it,
    webhooks_show_user_and_password,
    webhooks_show_the_secret_as_a_token_or_at_the_end_of_the_url,
    a_check_says_what_is_well_and_what_commbox_does_not_tell,
);
