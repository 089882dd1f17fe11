//! Who must not be sent what: by the person's own wish, by the provider's word, by an operator.

use serde_json::{Value, json};
use wabridge::{
    domain::account::Hold,
    simulator::{Effect, Refusal, Rule},
};

use crate::harness::{
    APP_SECRET, BUSINESS_NUMBER, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person, script,
};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

/// What Meta posts when a person has chosen. `who` holds `wa_id`, `user_id` or both.
pub(crate) async fn choose(app: &TestApp, who: Value, value: &str, seconds: i64) {
    let mut preference = json!({"category": "marketing_messages", "value": value, "timestamp": seconds});
    for (key, id) in who.as_object().expect("ids by their names") {
        preference[key] = id.clone();
    }
    let webhook = json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA_ID, "changes": [{"field": "user_preferences", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "918880110022", "phone_number_id": NUMBER_ID},
            "user_preferences": [preference],
        }}]}],
    });
    assert_eq!(app.post_webhook(webhook.to_string(), APP_SECRET).await, 200);
}

pub(crate) fn number(person: &str) -> Value {
    json!({"wa_id": person.trim_start_matches('+')})
}

/// A new message each time: a repeat of one that was taken is taken, too.
pub(crate) async fn until_refused_message(app: &TestApp, message: impl Fn() -> Message) {
    // Not too often: one person may be sent only so much.
    const ASK_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(250);
    app.until("it is refused", async || {
        let refused = app.send(&message()).await.code() == 2003;
        if !refused {
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        refused
    })
    .await;
}

pub(crate) async fn until_refused(app: &TestApp, to: &str) {
    until_refused_message(app, || Message::marketing(to)).await;
}

pub(crate) async fn until_welcome(app: &TestApp, to: &str) {
    let message = Message::marketing(to);
    app.until("marketing is taken", async || app.send(&message).await.is_success()).await;
}

async fn who_stops_marketing_still_gets_everything_else_and_all_of_it_after_a_resume(database: Database) {
    let app = TestApp::start(database).await;
    let to = person(1);

    choose(&app, number(&to), "stop", 1_790_000_100).await;
    until_refused(&app, &to).await;
    let refused = app.send(&Message::marketing(&to)).await;
    let utility = Message::order_update(&to);
    app.accept(&utility).await;
    app.accept(&Message::marketing(&person(2))).await;
    choose(&app, number(&to), "resume", 1_790_000_200).await;
    until_welcome(&app, &to).await;

    let message = refused.message();
    assert!(message.contains("2026-09-21") && message.contains("stopped in WhatsApp"), "since when and why: {message}");
    assert!(message.contains("resumes") && message.contains("suppress remove"), "what helps: {message}");
    app.settled().await;
    assert_eq!(app.told(&utility), ALL);
    let stats = app.finish().await;
    assert!(stats.sends_refused.is_empty(), "WhatsApp had nothing to refuse: {:?}", stats.sends_refused);
}

async fn later_news_wins_in_whatever_order_it_comes(database: Database) {
    let app = TestApp::start(database).await;
    let (back, gone) = (person(1), person(2));

    choose(&app, number(&back), "resume", 1_790_000_300).await;
    choose(&app, number(&back), "stop", 1_790_000_200).await;
    choose(&app, number(&gone), "stop", 1_790_000_300).await;
    choose(&app, number(&gone), "resume", 1_790_000_200).await;
    choose(&app, number(&gone), "stop", 1_790_000_100).await;

    until_refused(&app, &gone).await;
    app.accept(&Message::marketing(&back)).await;
    app.finish().await;
}

async fn what_is_queued_when_a_person_stops_marketing_is_not_sent(database: Database) {
    let app = TestApp::start(database).await;
    let sender = app.store.load_configuration().await.expect("readable").senders[0].key;
    let hold = Hold::by_answer(wabridge::clock::now(), "a test".to_owned());
    app.store.hold_sender(sender, &hold).await.expect("it can be held");
    app.until_held().await;
    let (marketing, utility) = (Message::marketing(&person(1)), Message::order_update(&person(1)));
    app.accept(&marketing).await;
    app.accept(&utility).await;

    choose(&app, number(&person(1)), "stop", 1_790_000_100).await;
    until_refused(&app, &person(1)).await;
    app.release_sender(sender).await;
    app.settled().await;

    assert_eq!((app.told(&marketing), app.told_failure(&marketing)), (vec!["failed".to_owned()], Some(1006)));
    assert_eq!(app.told(&utility), ALL);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 1, "WhatsApp never saw the one that nobody wants");
}

async fn a_refusal_that_names_the_reason_is_remembered_whether_it_comes_at_once_or_later(database: Database) {
    let app = TestApp::start(database).await;
    let (at_once, later) = (person(1), person(2));
    app.simulator.add_rule(Rule::recipient(&at_once, Effect::Refuse(Refusal::code(131_050))));
    app.simulator.add_rule(Rule::recipient(&later, Effect::Statuses(script("failed:131050@20"))));

    for to in [&at_once, &later] {
        let message = Message::marketing(to);
        app.accept(&message).await;
        app.settled().await;
        assert_eq!(app.told_failure(&message), Some(1006));
    }

    for to in [&at_once, &later] {
        until_refused(&app, to).await;
        assert!(app.send(&Message::marketing(to)).await.message().contains("131050") || to == &later);
        app.simulator.set_rules(vec![]);
        app.accept(&Message::order_update(to)).await;
    }
    app.finish().await;
}

async fn a_person_whom_the_number_has_blocked_is_sent_nothing_at_all(database: Database) {
    let app = TestApp::start(database).await;
    let to = person(1);
    app.simulator.add_rule(Rule::recipient(&to, Effect::Refuse(Refusal::code(130_403))));
    app.accept(&Message::order_update(&to)).await;
    app.settled().await;

    until_refused_message(&app, || Message::order_update(&to)).await;
    let freeform = app.send(&Message::freeform(&to, "hello?")).await;
    app.simulator.set_rules(vec![]);
    let removed = app.command(&["suppress", "remove", &to]).await;
    app.until("it is taken", async || app.send(&Message::order_update(&to)).await.is_success()).await;

    assert_eq!(freeform.code(), 2003, "{freeform:?}");
    assert!(removed.contains("taken off the list"), "{removed}");
    app.finish().await;
}

async fn a_person_who_hides_the_number_is_known_by_the_providers_id(database: Database) {
    let app = TestApp::start(database).await;
    let both = json!({"wa_id": person(1).trim_start_matches('+'), "user_id": "IN.1349000000000001"});

    choose(&app, json!({"user_id": "IN.1349000000000001"}), "stop", 1_790_000_100).await;
    let hidden = app.command(&["suppress", "list", "--json"]).await;
    choose(&app, both.clone(), "stop", 1_790_000_200).await;
    until_refused(&app, &person(1)).await;
    choose(&app, both, "resume", 1_790_000_300).await;
    until_welcome(&app, &person(1)).await;
    let nobody = app.command(&["suppress", "list", "--json"]).await;

    let hidden: Value = serde_json::from_str(&hidden).expect("JSON");
    assert_eq!((&hidden[0]["phone"], &hidden[0]["user_id"]), (&Value::Null, &json!("IN.1349000000000001")));
    assert_eq!(serde_json::from_str::<Value>(&nobody).expect("JSON"), json!([]), "the number's resume covers the id");
    app.finish().await;
}

/// Meta names a person by both names, as it does in nearly every webhook.
pub(crate) async fn name_both(app: &TestApp, person: &str, user_id: &str) {
    let contact = json!({"wa_id": person.trim_start_matches('+'), "user_id": user_id});
    said(app, json!({"contacts": [contact]})).await;
}

pub(crate) async fn said(app: &TestApp, what: Value) {
    let mut value = what;
    value["messaging_product"] = json!("whatsapp");
    value["metadata"] = json!({"phone_number_id": NUMBER_ID});
    let entry = json!({"id": WABA_ID, "changes": [{"field": "messages", "value": value}]});
    let webhook = json!({"object": "whatsapp_business_account", "entry": [entry]});
    assert_eq!(app.post_webhook(webhook.to_string(), APP_SECRET).await, 200);
}

async fn a_wish_under_an_id_alone_is_the_numbers_as_soon_as_that_is_known(database: Database) {
    let app = TestApp::start(database).await;
    let (named, quoting, resumed) = (person(1), person(2), person(3));
    for user_id in ["IN.1349A", "IN.1349B"] {
        choose(&app, json!({"user_id": user_id}), "stop", 1_790_000_100).await;
    }
    choose(&app, number(&resumed), "stop", 1_790_000_100).await;
    until_refused(&app, &resumed).await;
    choose(&app, json!({"user_id": "IN.1349C"}), "resume", 1_790_000_200).await;
    for to in [&named, &quoting] {
        app.accept(&Message::marketing(to)).await;
    }
    let order = Message::order_update(&quoting);
    app.accept(&order).await;
    app.settled().await;
    let wamid = app.stored(&order).await.provider_message_id.expect("WhatsApp gave it an id");

    name_both(&app, &named, "IN.1349A").await;
    let reply = json!({"id": "wamid.reply", "from_user_id": "IN.1349B", "timestamp": "1795000000", "type": "text",
        "text": {"body": "thanks"}, "context": {"id": wamid}});
    said(&app, json!({"messages": [reply]})).await;
    name_both(&app, &resumed, "IN.1349C").await;

    until_refused(&app, &named).await;
    until_refused(&app, &quoting).await;
    until_welcome(&app, &resumed).await;
    let exported = app.command(&["suppress", "export"]).await;
    assert!(exported.contains(&named) && exported.contains(&quoting), "{exported}");
    assert_eq!(exported.lines().count(), 3, "each is on the list once: {exported}");
    // What an operator takes off stays off, whatever is named again.
    app.command(&["suppress", "remove", &named]).await;
    name_both(&app, &person(9), "IN.1349A").await;
    name_both(&app, &named, "IN.1349A").await;
    until_welcome(&app, &named).await;
    app.finish().await;
}

async fn a_wish_under_an_id_whose_number_is_known_stops_what_is_queued(database: Database) {
    let app = TestApp::start(database).await;
    name_both(&app, &person(1), "IN.1349A").await;
    let sender = app.store.load_configuration().await.expect("readable").senders[0].key;
    let hold = Hold::by_answer(wabridge::clock::now(), "a test".to_owned());
    app.store.hold_sender(sender, &hold).await.expect("it can be held");
    app.until_held().await;
    let message = Message::marketing(&person(1));
    app.accept(&message).await;

    choose(&app, json!({"user_id": "IN.1349A"}), "stop", 1_790_000_100).await;
    until_refused(&app, &person(1)).await;
    app.release_sender(sender).await;
    app.settled().await;

    assert_eq!(app.told_failure(&message), Some(1006));
    assert_eq!(app.finish().await.sends_received, 0);
}

async fn a_repeat_gets_its_first_answer_also_after_the_person_has_opted_out(database: Database) {
    let app = TestApp::start(database).await;
    let to = person(1);
    let before = Message::marketing(&to);
    app.accept(&before).await;
    app.settled().await;

    choose(&app, number(&to), "stop", 1_790_000_100).await;
    until_refused(&app, &to).await;
    let again = app.send(&before).await;
    let another = app.send(&Message::template(&to, "festive_sale", "en").id(before.msg_id())).await;
    let after = Message::marketing(&to);
    let refused = [app.send(&after).await.code(), app.send(&after).await.code()];

    assert!(again.is_success(), "{again:?}");
    assert!(!another.is_success(), "the same id with other content is another message: {another:?}");
    assert_eq!(refused, [2003, 2003], "what was refused is refused again");
    app.settled().await;
    assert_eq!((app.told(&before), app.all_stored(&before).await.len()), (ALL.map(str::to_owned).to_vec(), 1));
    app.finish().await;
}

async fn what_a_person_chose_of_other_things_is_kept_and_shown(database: Database) {
    let app = TestApp::start(database).await;

    choose(&app, number(&person(1)), "signup", 1_790_000_100).await;

    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (1, 0));
    app.accept(&Message::marketing(&person(1))).await;
    app.finish().await;
}

async fn an_operator_keeps_a_list_by_hand_and_by_file(database: Database) {
    let app = TestApp::start(database).await;
    let file = app.write_file("list.csv", &format!("name,phone\nAsha,{}\n?,nobody\nRao,{}\n", person(2), person(3)));

    let added = app.command(&["suppress", "add", &person(1), "--all-messages", "--reason", "by mail"]).await;
    let twice = app.command(&["suppress", "add", &person(1), "--reason", "by phone"]).await;
    let (bad, imported) = app.command_ending(&["suppress", "import", &file, "--json"]).await;
    let (again, unchanged) = app.command_ending(&["suppress", "import", &file, "--json"]).await;
    until_refused(&app, &person(3)).await;

    assert!(added.contains("1 person is added to the list"), "{added}");
    assert!(twice.contains("0 people are added") && twice.contains("; 1 was on it already, unchanged"), "{twice}");
    let (imported, unchanged): (Value, Value) =
        (serde_json::from_str(&imported).expect("JSON"), serde_json::from_str(&unchanged).expect("JSON"));
    assert_eq!((bad, again), (4, 4), "a line needs a person's look");
    assert_eq!((&imported["added"], &imported["bad_lines_shown"][0]["line"]), (&json!(2), &json!(3)));
    assert_eq!((&unchanged["added"], &unchanged["unchanged"]), (&json!(0), &json!(2)));
    let utility = app.send(&Message::order_update(&person(1))).await;
    assert_eq!(utility.code(), 2003, "all messages were stopped");
    assert!(utility.message().contains("by mail"), "{utility:?}");
    app.accept(&Message::order_update(&person(2))).await;

    let exported = app.command(&["suppress", "export"]).await;
    assert!(exported.contains(&format!("{},all,by mail,operator", person(1))), "{exported}");
    assert_eq!(exported.lines().count(), 4, "{exported}");
    let listed = app.command(&["suppress", "list"]).await;
    assert!(!listed.contains(&person(1)[3..]), "numbers are masked: {listed}");
    assert_eq!(app.command_ending(&["suppress", "remove", &person(9)]).await.0, 3);
    app.command(&["suppress", "remove", &person(1), &person(2), &person(3)]).await;
    for number in 1..=3 {
        until_welcome(&app, &person(number)).await;
    }
    let lines = app.store.audit_lines(None, 10).await.expect("readable");
    let deeds = lines.iter().map(|line| line.action.as_str()).filter(|action| action.contains("suppress"));
    let deeds: Vec<&str> = deeds.collect();
    // What changed nothing is not among them.
    assert_eq!(deeds, ["lift suppressions", "suppressions imported", "import suppressions", "suppress people"]);
    let written = format!("{lines:?}");
    assert!(written.contains("account acme") && written.contains("by mail"), "{written}");
    assert!(written.contains(r#"\"added\":2"#) && written.contains(r#"\"count\":3"#), "{written}");
    assert!((1..=3).all(|number| !written.contains(&person(number)[1..])), "numbers are masked: {written}");
    // What was exported says the same again.
    let file = app.write_file("exported.csv", &exported);
    app.command(&["suppress", "import", &file]).await;
    until_refused_message(&app, || Message::order_update(&person(1))).await;
    app.finish().await;
}

async fn more_people_than_memory_is_allowed_to_hold_are_refused_all_the_same(database: Database) {
    let app = TestApp::start_with(database, |options| options.settings.limits.suppressions_in_memory = 2).await;
    let people: Vec<String> = (1..=5).map(person).collect();
    let arguments: Vec<&str> = ["suppress", "add"].into_iter().chain(people.iter().map(String::as_str)).collect();

    app.command(&arguments).await;

    for to in &people {
        until_refused(&app, to).await;
    }
    app.accept(&Message::marketing(&person(6))).await;
    app.command(&["suppress", "remove", &people[0]]).await;
    until_welcome(&app, &people[0]).await;
    app.finish().await;
}

async fn a_restarted_bridge_remembers(database: Database) {
    let mut app = TestApp::start_with(database, |options| options.as_process = true).await;
    choose(&app, number(&person(1)), "stop", 1_790_000_100).await;
    app.process().kill().await;

    app.start_process().await;

    let first = app.send(&Message::marketing(&person(1))).await;
    assert!(!first.is_success(), "from its first answer on: {first:?}");
    until_refused(&app, &person(1)).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_bridge_hears_the_others_know_within_seconds() {
    let app = TestApp::start(Database::postgres().await).await;
    let other = app.start_another("test-2").await.expect("PostgreSQL takes several");
    // What is taken until then shall not be sent: nobody may be sent so much.
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;

    choose(&app, number(&person(1)), "stop", 1_790_000_100).await;

    // A new message each time: a repeat would get its first answer.
    let refuses = async || app.send_to(&other, &Message::marketing(&person(1))).await.code() == 2003;
    app.until("the other refuses too", refuses).await;
    other.stop().await;
    app.leave().await;
}

on_each_database![
    who_stops_marketing_still_gets_everything_else_and_all_of_it_after_a_resume,
    later_news_wins_in_whatever_order_it_comes,
    what_is_queued_when_a_person_stops_marketing_is_not_sent,
    a_refusal_that_names_the_reason_is_remembered_whether_it_comes_at_once_or_later,
    a_person_whom_the_number_has_blocked_is_sent_nothing_at_all,
    a_person_who_hides_the_number_is_known_by_the_providers_id,
    a_wish_under_an_id_alone_is_the_numbers_as_soon_as_that_is_known,
    a_wish_under_an_id_whose_number_is_known_stops_what_is_queued,
    a_repeat_gets_its_first_answer_also_after_the_person_has_opted_out,
    what_a_person_chose_of_other_things_is_kept_and_shown,
    an_operator_keeps_a_list_by_hand_and_by_file,
    more_people_than_memory_is_allowed_to_hold_are_refused_all_the_same,
    a_restarted_bridge_remembers,
];
