//! The list of templates, and the one look-up while a request waits.

use std::time::Duration;

use serde_json::{Value, json};
use wabridge::domain::{
    outbound::{Category, SendState},
    template::TemplateStatus,
};

use crate::{
    harness::{BUSINESS_NUMBER, Database, Message, Options, TestApp, WABA_ID, on_each_database, person},
    quiet::{account_with, window},
};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

fn new_template(name: &str, status: &str) -> Value {
    json!({
        "id": "700000000000077", "name": name, "language": "en", "status": status, "category": "UTILITY",
        "parameter_format": "POSITIONAL",
        "components": [{"type": "BODY", "text": "Hi {{1}}, here we are.", "example": {"body_text": [["Asha"]]}}],
    })
}

fn add_template(app: &TestApp, template: Value) {
    let mut templates = app.simulator.templates();
    templates.push(template);
    app.simulator.set_templates(templates).expect("a template of Meta's shape");
}

async fn a_template_that_was_just_approved_is_found_while_the_request_waits(database: Database) {
    let app = TestApp::start(database).await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    add_template(&app, new_template("brand_new", "APPROVED"));
    let message = Message::template(&person(1), "brand_new", "en").values(&["Asha"]);

    app.accept(&message).await;
    assert_eq!(app.stored(&message).await.category, Category::Utility, "nobody looks at what is on hold");
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    app.finish().await;
}

async fn a_list_that_is_out_of_date_does_not_refuse_what_was_approved_since(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::template(&person(1), "winback", "en").values(&["Asha"]);
    let mut templates = app.simulator.templates();
    let paused = templates.iter_mut().find(|template| template["name"] == "winback").expect("it is in the sample");
    paused["status"] = json!("APPROVED");
    app.simulator.set_templates(templates).expect("templates of Meta's shape");

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    app.finish().await;
}

async fn a_webhook_about_a_template_brings_the_list_up_to_date(database: Database) {
    let app = TestApp::start(database).await;
    let status = || {
        let snapshot = app.directory().snapshot();
        let templates = app.directory().templates(snapshot.senders().next().expect("there is one number"));
        let found = templates.iter().find(|template| template.name == "welcome").expect("it is in the sample");
        found.status.clone()
    };
    assert_eq!(status(), TemplateStatus::Approved);

    app.simulator.set_template_status("welcome", "en", "PAUSED").expect("it is in the sample");
    app.until("it is known to be paused", async || status() == TemplateStatus::Paused).await;
    let refused = app.send(&Message::template(&person(1), "welcome", "en")).await;

    assert_eq!(refused.code(), 2001);
    assert!(refused.message().contains("paused"), "{refused:?}");
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 0);
}

async fn what_waits_of_a_paused_template_is_not_sent_and_the_rest_goes_on(database: Database) {
    let app = TestApp::start(database).await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    let waiting: Vec<Message> = (0..20).map(|number| Message::template(&person(number), "welcome", "en")).collect();
    let other = Message::order_update(&person(100));
    app.accept_all(&waiting).await;
    app.accept(&other).await;

    app.simulator.set_template_status("welcome", "en", "PAUSED").expect("it is in the sample");
    // As long as it is taken it is a repeat.
    app.until("it is refused", async || app.send(&waiting[0]).await.code() == 2001).await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until("the other is told", async || app.told(&other).len() == 3).await;
    app.until("the rest is put off", async || {
        let queues = app.store.queues().await.expect("queues can be counted");
        queues.values().all(|queue| queue.waiting_for_retry == 20 && queue.queued + queue.sending == 0)
    })
    .await;

    assert_eq!(app.simulator.stats().sends_received, 1);
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_one_bridge_hears_of_stops_the_others_within_seconds() {
    let app = TestApp::start(Database::postgres().await).await;
    let other = app.start_another("test-2").await.expect("PostgreSQL takes several");
    let message = Message::template(&person(1), "welcome", "en");
    assert!(app.send_to(&other, &message).await.is_success());
    app.settled().await;

    app.simulator.set_template_status("welcome", "en", "PAUSED").expect("it is in the sample");

    app.until("the other refuses", async || app.send_to(&other, &message).await.code() == 2001).await;
    app.settled().await;
    other.stop().await;
    app.leave().await;
}

async fn a_campaign_with_a_wrong_name_is_no_storm_of_look_ups(database: Database) {
    let app = TestApp::start(database).await;
    let before = app.settled().await.template_pages;
    let wrong = |number| Message::template(&person(number), "no_such_template", "en").values(&["Asha"]);

    let messages: Vec<Message> = (0..40).map(wrong).collect();
    let answers = futures_util::future::join_all(messages.iter().map(|message| app.send(message))).await;

    assert!(answers.iter().all(|answer| answer.code() == 2001), "{answers:?}");
    let stats = app.finish().await;
    assert!(stats.template_pages - before <= 2, "{} look-ups", stats.template_pages - before);
}

async fn while_the_provider_does_not_answer_a_message_is_taken_and_a_check_is_told_to_wait(database: Database) {
    // The provider is away from the start, so nothing is known of any template.
    let app = TestApp::start_with(database, |options| {
        options.without_templates = true;
        options.simulator.knobs.access_token = "not-the-one-we-have".to_owned();
    })
    .await;
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    let check = app.send(&Message::order_update("+919870369294").id("0|0|0|0")).await;

    assert_eq!(check.code(), 2001, "{check:?}");
    assert!(check.message().contains("syncing"), "{check:?}");
    app.leave().await;
}

/// Meta's answers about templates, kept back from the start: nothing is known of any.
fn no_list(options: &mut Options) {
    options.without_templates = true;
    options.simulator.knobs.may_manage = false;
    // When it is back, that is noticed soon.
    options.settings.templates.sync_every = Duration::from_secs(1);
}

fn list_comes_back(app: &TestApp) {
    app.simulator.change_knobs(|knobs| knobs.may_manage = true).expect("it is a knob like others");
}

async fn what_was_accepted_unseen_is_treated_as_what_it_turns_out_to_be(database: Database) {
    let app = TestApp::start_with(database, |options| {
        no_list(options);
        options.account = window(-1);
    })
    .await;
    let stopped = person(4);
    app.command(&["suppress", "add", &stopped, "--reason", "asked by telephone"]).await;
    let utility = Message::order_update(&person(1));
    let marketing = Message::marketing(&person(2));
    let no_such = Message::template(&person(3), "no_such_template", "en");
    let unwanted = Message::marketing(&stopped);
    let unfilled = Message::template(&person(5), "order_update", "en").values(&["Asha"]);
    let all = [&utility, &marketing, &no_such, &unwanted, &unfilled].map(Clone::clone);

    app.accept_all(&all).await;
    for message in &all {
        let name = message.body["template"]["namespace"].as_str().expect("it was given one");
        app.until("it was looked up in vain, which is no try", async || {
            let stored = app.stored(message).await;
            assert_eq!(stored.category, Category::NotKnownYet);
            assert_eq!(stored.template, Some((name.to_owned(), "en".to_owned())), "as it was asked for");
            stored.due_at.is_some() && stored.attempts == 0
        })
        .await;
        let story = app.command(&["message", message.msg_id()]).await;
        assert!(story.contains(&format!("template {name} (en, not_known_yet)")), "{story}");
        let why = format!("template {name}: the template list could not be read at WhatsApp");
        assert!(story.contains(&why), "{story}");
    }
    // Unless just these are being looked up once more.
    app.until("the queue names them", async || {
        let list = app.command(&["queue", "list"]).await;
        assert!(!list.contains("freeform"), "{list}");
        list.contains("template product_tour (en)")
    })
    .await;
    let exported = app.command(&["export", "messages"]).await;
    assert!(exported.contains("product_tour") && exported.contains("not_known_yet"), "{exported}");

    list_comes_back(&app);
    app.until("the utility message is told", async || app.told(&utility) == ALL).await;
    for message in [&no_such, &unwanted, &unfilled] {
        app.until("it is reported", async || app.told(message) == ["failed"]).await;
    }
    app.until("the other waits", async || app.stored(&marketing).await.category == Category::Marketing).await;
    assert_eq!([&no_such, &unwanted, &unfilled].map(|it| app.told_failure(it)), [Some(1001), Some(1006), Some(1001)]);
    let story = app.command(&["message", utility.msg_id()]).await;
    assert!(story.contains("(en, utility)") && story.contains("sent (try 1), ") && !story.contains("try 2"), "{story}");
    let story = app.command(&["message", unwanted.msg_id()]).await;
    assert!(story.contains("the person is on the suppression list since ") && story.contains("asked by telephone"));
    assert!(!story.contains("after this was accepted"), "it was known before: {story}");

    let story = app.command(&["message", marketing.msg_id()]).await;
    assert!(story.contains("(en, marketing)") && story.contains("for the end of quiet hours at 2"), "{story}");
    assert!(!story.contains("could not be read"), "that is over: {story}");
    let waiting = app.stored(&marketing).await;
    let expire_after = app.directory().snapshot().accounts().next().expect("there is one").policy.expire_after;
    assert_eq!((waiting.state, waiting.due_at, waiting.attempts), (SendState::Queued, None, 0));
    let lasts = waiting.expires_at.since(waiting.id.made_at());
    assert!(lasts.abs_diff(expire_after.marketing) < Duration::from_secs(60), "{lasts:?} from its acceptance");
    let utility_lasts = app.stored(&utility).await.expires_at.since(app.stored(&utility).await.id.made_at());
    assert!(utility_lasts.abs_diff(expire_after.utility) < Duration::from_secs(60), "{utility_lasts:?}");

    app.apply(&account_with(&window(6))).await;
    app.settled().await;
    assert_eq!(app.told(&marketing), ALL);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 2);
}

async fn a_rule_about_a_template_catches_what_was_accepted_unseen_by_the_name_given(database: Database) {
    let app = TestApp::start_with(database, no_list).await;
    let (before, after) = (Message::order_update(&person(1)), Message::order_update(&person(2)));
    let other = Message::template(&person(3), "welcome", "en");
    let aside = async |message| {
        let stored = app.stored(message).await;
        stored.due_at == Some(stored.expires_at)
    };
    app.accept(&before).await;
    app.accept(&other).await;

    app.command(&["hold", "--template", "order_update", "--reason", "wrong price"]).await;
    app.until("it is set aside", async || aside(&before).await).await;
    app.until("the rule is known", async || app.directory().queue_rules().0.len() == 1).await;
    app.accept(&after).await;
    assert!(aside(&after).await, "from the start");
    assert!(!aside(&other).await);
    let story = app.command(&["message", after.msg_id()]).await;
    assert!(story.contains("its template is on hold") && story.contains("wrong price"), "{story}");
    app.command(&["queue", "cancel", "--template", "order_update", "--reason", "wrong price", "--yes"]).await;
    list_comes_back(&app);
    app.settled().await;

    assert_eq!([&before, &after, &other].map(|it| app.told(it).len()), [1, 1, 3]);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 1);
}

async fn what_was_accepted_unseen_expires_with_the_reason_why_nobody_could_look(database: Database) {
    let app = TestApp::start_with(database, |options| {
        no_list(options);
        options.account =
            "expire_after = { marketing = \"10s\", utility = \"1s\", authentication = \"1s\" }".to_owned();
    })
    .await;
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.until("it is told", async || app.told(&message) == ["failed"]).await;

    assert_eq!(app.told_failure(&message), Some(1009), "nothing is known against its template");
    let stored = app.stored(&message).await;
    let text = stored.failure.map(|failure| failure.text).unwrap_or_default();
    assert!(text.contains("too late") && text.contains("the template list could not be read"), "{text}");
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 0);
}

async fn a_template_of_another_business_account_is_not_ours(database: Database) {
    let app = TestApp::start(database).await;

    // A webhook about an account that we do not know changes nothing, and is taken.
    let value = json!({"event": "PAUSED", "message_template_id": 1, "message_template_name": "order_update",
        "message_template_language": "en"});
    app.simulator.send_change("299999999999999", "message_template_status_update", value.clone());
    app.simulator.send_change(WABA_ID, "message_template_quality_update", value);
    app.accept(&Message::order_update(&person(1))).await;

    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 1);
}

on_each_database![
    a_template_that_was_just_approved_is_found_while_the_request_waits,
    a_list_that_is_out_of_date_does_not_refuse_what_was_approved_since,
    a_webhook_about_a_template_brings_the_list_up_to_date,
    what_waits_of_a_paused_template_is_not_sent_and_the_rest_goes_on,
    a_campaign_with_a_wrong_name_is_no_storm_of_look_ups,
    while_the_provider_does_not_answer_a_message_is_taken_and_a_check_is_told_to_wait,
    what_was_accepted_unseen_is_treated_as_what_it_turns_out_to_be,
    a_rule_about_a_template_catches_what_was_accepted_unseen_by_the_name_given,
    what_was_accepted_unseen_expires_with_the_reason_why_nobody_could_look,
    a_template_of_another_business_account_is_not_ours,
];
