//! What becomes of a send.

use serde_json::{Value, json};
use wabridge::simulator::{Effect, Refusal, RefusalBody, Rule, SimulatorSettings};

use crate::harness::*;

#[tokio::test]
async fn the_last_digits_of_the_recipient_decide_what_happens() {
    let world = TestWorld::start(one_webhook_at_a_time()).await;

    for ending in ["0001", "0006", "0007", "0008", "0009", "0010"] {
        assert_eq!(world.send(&order_update(&format!("+91987650{ending}"), ending)).await.status, 200);
    }
    let not_allowed = world.send(&order_update("+919876500005", "0005")).await;
    world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(not_allowed.code(), 131030);
    assert_eq!(world.receiver.statuses_of("0001"), ["failed"]);
    let failed = world.receiver.statuses().into_iter().find(|status| status["status"] == "failed");
    assert_eq!(failed.expect("0001 fails")["errors"][0]["code"], 131026);
    assert_eq!(world.receiver.statuses_of("0006"), ["sent"]);
    assert!(world.receiver.statuses_of("0007").is_empty());
    assert_eq!(world.receiver.statuses_of("0008"), ["read", "delivered", "sent"]);
    assert_eq!(world.receiver.statuses_of("0009").len(), 9);
    assert_eq!(world.receiver.statuses_of("0010"), ["sent", "read"]);
}

#[tokio::test]
async fn sends_fail_as_the_rules_say() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let unreadable = Refusal { http_status: Some(503), body: RefusalBody::Html, ..Refusal::code(0) };
    let throttled = Refusal { retry_after_s: Some(7), ..Refusal::code(130429) };
    world.handle.add_rule(Rule::next(2, Effect::Refuse(throttled)));
    world.handle.add_rule(Rule::recipient("+919876511111", Effect::Refuse(unreadable)));

    let first = world.send(&order_update(PERSON, "msg_1")).await;
    let second = world.send(&order_update(PERSON, "msg_2")).await;
    let third = world.send(&order_update(PERSON, "msg_3")).await;
    let html = world.send(&order_update("+919876511111", "msg_4")).await;

    assert_eq!((first.status, first.code(), first.retry_after.as_deref()), (429, 130429, Some("7")));
    assert_eq!((second.code(), third.status), (130429, 200));
    assert_eq!((html.status, html.body), (503, Value::Null));
    let stats = world.handle.stats();
    assert_eq!((stats.sends_refused["130429"], stats.sends_refused["http_503"]), (2, 1));
    assert_eq!(world.handle.rules().len(), 1, "the rule for the next two is used up");
}

#[tokio::test]
async fn an_answer_can_get_lost_after_accepting_and_a_connection_before() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.add_rule(Rule::next(1, Effect::LoseAnswer));

    let lost = world.try_send(&order_update(PERSON, "msg_1")).await;
    world.until(|stats| stats.statuses_taken.get("read") == Some(&1)).await;
    world.handle.add_rule(Rule::next(1, Effect::DropConnection));
    let dropped = world.try_send(&order_update(PERSON, "msg_2")).await;
    let answered = world.send(&order_update(PERSON, "msg_1")).await;

    assert!(lost.is_err() && dropped.is_err(), "neither gets an answer");
    assert_eq!(answered.status, 200);
    let stats = world.handle.stats();
    assert_eq!((stats.answers_lost, stats.connections_dropped), (1, 1));
    assert_eq!((stats.sends_accepted, stats.sends_accepted_twice), (2, 1), "msg_1 went out twice");
}

#[tokio::test]
async fn wrong_sends_get_metas_codes() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let body = |values: &[&str]| json!([{"type": "body", "parameters": texts(values)}]);
    let image =
        json!({"type": "header", "parameters": [{"type": "image", "image": {"link": "https://media.example/1.jpg"}}]});
    let cart = |buttons: Value| {
        let header = json!({"type": "header", "parameters": texts(&["Asha"])});
        let mut components = vec![header, json!({"type": "body", "parameters": texts(&["kettle"])})];
        components.extend(buttons.as_array().expect("a list").clone());
        Value::Array(components)
    };
    let url_button =
        |index: Value| json!([{"type": "button", "sub_type": "url", "index": index, "parameters": texts(&["A-17"])}]);
    let named = json!([{"type": "body", "parameters": [
        {"type": "text", "parameter_name": "day", "text": "Monday"},
        {"type": "text", "parameter_name": "first_name", "text": "Asha"}]}]);
    let coupon = |code: &str| {
        let button = json!({"type": "button", "sub_type": "copy_code", "index": 0,
            "parameters": [{"type": "coupon_code", "coupon_code": code}]});
        json!([{"type": "body", "parameters": texts(&["Asha"])}, button])
    };
    let place = json!({"type": "location", "location": {"latitude": "19.07", "longitude": "72.87"}});
    let cases = [
        ("all is well", "order_update", "en", body(&["Asha", "A-17"]), 0),
        ("another language", "order_update", "hi", body(&["Asha", "A-17"]), 0),
        ("no such name", "order_updat", "en", body(&["Asha", "A-17"]), 132001),
        ("no such language", "order_update", "en_US", body(&["Asha", "A-17"]), 132001),
        ("paused", "winback", "en", body(&["Asha"]), 132015),
        ("a parameter too few", "order_update", "en", body(&["Asha"]), 132000),
        ("no components at all", "order_update", "en", json!([]), 132000),
        ("an empty parameter", "order_update", "en", body(&["Asha", ""]), 131008),
        ("a new line", "order_update", "en", body(&["Asha", "A\n17"]), 132018),
        ("a tab", "order_update", "en", body(&["Asha", "A\t17"]), 132018),
        ("five spaces", "order_update", "en", body(&["Asha", "A     17"]), 132018),
        ("four spaces", "order_update", "en", body(&["Asha", "A    17"]), 0),
        ("no header image", "festive_offer", "en", body(&["Asha", "20%"]), 132012),
        ("an image for a document", "invoice_ready", "en_US", json!([image, body(&["Asha", "May"])[0]]), 132012),
        ("an image for an image", "festive_offer", "en", json!([image, body(&["Asha", "20%"])[0]]), 0),
        ("a place", "store_nearby", "en", json!([{"type": "header", "parameters": [place]}, body(&["Asha"])[0]]), 0),
        ("positions for names", "appointment", "en_GB", body(&["Asha", "Monday"]), 132012),
        ("names for names", "appointment", "en_GB", named.clone(), 0),
        ("names for positions", "order_update", "en", named, 132012),
        ("no URL suffix", "cart_reminder", "en", cart(json!([])), 131008),
        ("a URL suffix", "cart_reminder", "en", cart(url_button(json!("0"))), 0),
        ("its index as a number", "cart_reminder", "en", cart(url_button(json!(0))), 0),
        ("a suffix for a fixed URL", "cart_reminder", "en", cart(url_button(json!("1"))), 132000),
        ("a button that is not there", "cart_reminder", "en", cart(url_button(json!("7"))), 131009),
        ("a coupon", "coupon", "en", coupon("SAVE20"), 0),
        ("a coupon that is too long", "coupon", "en", coupon("SAVE20SAVE20SAVE20SAVE20"), 131009),
        ("a code without its button", "login_code", "en", body(&["482913"]), 131008),
        ("nothing to fill", "welcome", "en", json!([]), 0),
    ];

    for (what, name, language, components, code) in cases {
        let answer = world.send(&template(PERSON, what, name, language, components)).await;
        assert_eq!(answer.code(), code, "{what}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_is_not_even_a_send_is_refused_too() {
    let settings =
        SimulatorSettings { senders: vec![sender("1001", None), sender("1002", None)], ..SimulatorSettings::default() };
    let world = TestWorld::start(settings).await;
    let text =
        |to: Value| json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "hello"}});
    let good = text(json!(PERSON));

    assert_eq!(world.post_as("1001", "messages", &good, "wrong-token").await.expect("an answer").code(), 190);
    for (number, endpoint, body, code) in [
        ("1001", "messages", good.clone(), 0),
        ("1001", "messages", text(Value::Null), 100),
        ("1001", "messages", text(json!("98765ABCDE")), 131009),
        ("1001", "messages", text(json!("+918880110022")), 131021),
        ("1001", "messages", json!({"to": PERSON}), 100),
        ("1001", "marketing_messages", good.clone(), 134100),
        ("1001", "marketing_messages", order_update(PERSON, "m"), 134100),
        ("9999", "messages", good, 100),
    ] {
        let answer = world.post_as(number, endpoint, &body, "simulator-access-token").await.expect("an answer");
        assert_eq!(answer.code(), code, "{number} {endpoint} {body}: {}", answer.body);
        let subcode = (number == "9999").then_some(33);
        assert_eq!(answer.body["error"]["error_subcode"].as_u64(), subcode, "{number} {endpoint} {body}");
    }
}

#[tokio::test]
async fn a_number_has_its_rate_and_its_peak_is_known() {
    let settings = SimulatorSettings {
        senders: vec![sender(SENDER, Some(5)), sender("1002", Some(0))],
        ..SimulatorSettings::default()
    };
    let world = TestWorld::start(settings).await;

    let message = order_update(PERSON, "msg");
    let answers = futures_util::future::join_all((0..60).map(|_| world.send(&message))).await;

    // Every second of a slow machine allows for five more.
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((5..=30).contains(&taken), "{taken} were taken");
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.code() == 130429));
    let stats = world.handle.stats();
    let peak = stats.peak_sends_per_second[SENDER];
    assert!((6..=60).contains(&peak), "{peak}: what is refused counts, too");
    assert!(stats.peak_in_flight_per_recipient >= 1);
    assert_eq!(
        world.post_as("1002", "messages", &message, "simulator-access-token").await.expect("an answer").code(),
        0
    );
}

#[tokio::test]
async fn the_load_of_one_recipient_is_known() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.add_rule(Rule::everybody(Effect::StatusesFirst));
    world.handle.change_knobs(|knobs| knobs.webhooks_paused = true).expect("valid knobs");
    let message = order_update(PERSON, "msg");

    let sends = futures_util::future::join_all((0..3).map(|_| world.send(&message)));
    let release = async {
        world.until(|stats| stats.peak_in_flight_per_recipient == 3).await;
        world.handle.change_knobs(|knobs| knobs.webhooks_paused = false).expect("valid knobs");
    };
    futures_util::future::join(sends, release).await;

    assert_eq!(world.handle.stats().sends_accepted, 3);
}

#[tokio::test]
async fn freeform_needs_an_open_window_when_asked_to() {
    let mut settings = one_webhook_at_a_time();
    settings.knobs.enforce_window = true;
    let world = TestWorld::start(settings).await;
    let text = |id: &str| {
        json!({"messaging_product": "whatsapp", "to": PERSON, "type": "text", "text": {"body": "hello"},
            "biz_opaque_callback_data": id})
    };

    assert_eq!(world.send(&text("before")).await.status, 200, "it fails only afterwards");
    world.until(|stats| stats.updates_waiting == 0).await;
    world.handle.inbound_text(PERSON, SENDER, "hi", None).expect("every number exists");
    world.send(&text("after")).await;
    world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(world.receiver.statuses_of("before"), ["failed"]);
    assert_eq!(world.receiver.statuses()[0]["errors"][0]["code"], 131047);
    assert_eq!(world.receiver.statuses_of("after"), ["sent", "delivered", "read"]);
}
