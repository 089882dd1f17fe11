//! Removing accounts, connections and numbers: what is refused while there is work, what is gone, and what can still be looked up.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    domain::phone::PhoneNumber,
    simulator::{CallbackRule, Endpoint},
};

use crate::harness::{
    APP_SECRET, BUSINESS_NUMBER, CREDENTIALS, Database, Message, NUMBER_ID, OTHER_ACCOUNT, OTHER_NUMBER, OTHER_SENDER,
    Options, TestApp, WABA_ID, on_each_database, person,
};

const ACCOUNT: &str = "/api/v1/accounts/acme";
const SENDER: &str = "/api/v1/senders/918880110022";
const CONNECTION: &str = "/api/v1/connections/meta-main";

async fn delete(app: &TestApp, token: &str, path: &str) -> (u16, String) {
    let answer = app.call(Method::DELETE, path, token, None).await;
    (answer.http_status, answer.body["detail"].as_str().unwrap_or_default().to_owned())
}

async fn audited(app: &TestApp, lines: usize) -> Vec<(String, String)> {
    let lines = app.store.audit_lines(None, lines).await.expect("readable");
    lines.into_iter().map(|line| (line.action, line.subject)).collect()
}

fn pairs(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(action, subject)| ((*action).to_owned(), (*subject).to_owned())).collect()
}

async fn a_removed_account_is_gone_but_for_its_history_and_its_name_is_free(database: Database) {
    let app = TestApp::start_with(database, |options| options.more = format!("{OTHER_ACCOUNT}\n{OTHER_SENDER}")).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["configuration:manage", "messages:read", "personal:read"]).await;
    let get = async |path: &str| app.call(Method::GET, path, &token, None).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let id = app.stored(&message).await.id.to_string();
    let unknown = app.post("/clevertap/nosuch/messages", &CREDENTIALS, message.body.to_string()).await;

    assert_eq!(delete(&app, &token, ACCOUNT).await, (204, String::new()));

    let again = app.send(&message).await;
    assert_eq!((again.http_status, again.body), (unknown.http_status, unknown.body), "as one that never was");
    assert_eq!(get(ACCOUNT).await.http_status, 404);
    assert_eq!(get(SENDER).await.http_status, 404);
    assert_eq!(delete(&app, &token, ACCOUNT).await, (404, "there is no account acme".to_owned()));
    let connection = get(CONNECTION).await.body;
    let senders = connection["senders"].as_array().expect("a list");
    assert_eq!(senders.len(), 1, "the other account's: {connection:#}");
    for list in ["accounts", "connections", "callbacks"] {
        let page = asha.get(&format!("/console/{list}")).await.text;
        assert!(!page.contains("acme") && !page.contains(BUSINESS_NUMBER), "{list}: {page}");
    }
    assert_eq!(
        audited(&app, 2).await,
        pairs(&[("remove account", "acme"), ("remove number", BUSINESS_NUMBER)]),
        "a line for each"
    );
    let line = app.store.audit_lines(None, 1).await.expect("readable").remove(0);
    let before = line.before.expect("what it was");
    assert!(before.contains("TEST-ACC-1") && !before.contains("acme-passcode"), "{before}");
    assert_eq!(line.after, None);

    let told = get(&format!("/api/v1/messages/{id}")).await.body;
    assert_eq!((&told["account"], &told["number"]), (&json!("acme"), &json!(BUSINESS_NUMBER)), "{told:#}");
    for query in ["account=acme", "number=%2B918880110022", &format!("q={}", message.msg_id().replace('|', "%7C"))] {
        let found = get(&format!("/api/v1/messages?{query}")).await.body;
        assert_eq!(found["messages"][0]["id"], json!(id), "{query}: {found:#}");
    }
    let page = asha.get(&format!("/console/messages/{id}")).await.text;
    assert!(page.contains("acme") && page.contains(BUSINESS_NUMBER) && page.contains("delivered"), "{page}");
    let story = app.command(&["message", message.msg_id()]).await;
    assert!(story.contains("of account acme") && story.contains(BUSINESS_NUMBER), "{story}");
    let export = app.command(&["person", &person(1), "--json"]).await;
    assert!(export.contains(&id), "what is stored of somebody is found at removed accounts, too: {export}");

    app.apply(&app.configuration).await;
    app.until("the bridge has heard of the new one", async || {
        app.directory().snapshot().account("acme").is_some() && app.knows_templates().await
    })
    .await;
    let fresh = Message::order_update(&person(1));
    app.accept(&fresh).await;
    app.settled().await;
    let old = get(&format!("/api/v1/messages/{id}")).await.body;
    let found = get("/api/v1/messages?account=acme").await.body;
    assert_eq!(found["messages"].as_array().map(Vec::len), Some(1), "the name is another account's now: {found:#}");
    assert_eq!(found["messages"][0]["platform_message_id"], json!(fresh.msg_id()));
    assert_eq!(old, told, "the old one's stays what it was");
    app.finish().await;
}

async fn what_still_has_work_is_not_removed_and_says_what_helps(database: Database) {
    // Alarms end when the bridge looks how everything stands, which is once a minute elsewhere.
    let looks_often = |options: &mut Options| options.settings.alarms.look_every = Duration::from_millis(100);
    let app = TestApp::start_with(database, looks_often).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["configuration:manage", "queues:manage", "messages:read"]).await;
    let reader = asha.make_token(&["messages:read"]).await;
    for path in [ACCOUNT, SENDER, CONNECTION] {
        assert_eq!(delete(&app, &reader, path).await.0, 403, "{path}");
    }
    for nobodys in ["/api/v1/accounts/nosuch", "/api/v1/senders/911234567890", "/api/v1/connections/nosuch"] {
        assert_eq!(delete(&app, &token, nobodys).await.0, 404, "{nobodys}");
    }
    let reason = Some(json!({"reason": "to let it wait"}));
    app.call(Method::POST, &format!("{SENDER}/hold"), &token, reason).await;
    app.until_held().await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;

    for (path, name) in [(ACCOUNT, "account acme"), (SENDER, "number +918880110022")] {
        let (status, why) = delete(&app, &token, path).await;
        assert_eq!(status, 409);
        let expected = format!("{name} is not removed yet: 1 message waits. First let them be sent, or cancel them");
        assert!(why.starts_with(&expected), "{why}");
    }
    let (status, why) = delete(&app, &token, CONNECTION).await;
    assert_eq!(status, 409);
    assert!(why.starts_with("connection meta-main is needed by +918880110022: remove these numbers first"), "{why}");
    let page = asha.get("/console/accounts/acme/remove").await.text;
    assert!(page.contains("1 message waits") && page.contains("disabled>Remove acme"), "{page}");

    let refusing =
        CallbackRule { answer_status: 503, endpoint: Some(Endpoint::DeliveryReports), ..CallbackRule::default() };
    app.simulator.add_callback_rule(refusing);
    app.call(Method::POST, &format!("{SENDER}/release"), &token, None).await;
    app.until("it is sent", async || app.open_messages().await == 0).await;
    // Looked at, not tried: before the first report nothing would be in the way.
    app.until("reports are owed", async || {
        asha.get("/console/accounts/acme/remove").await.text.contains("is owed 3 events")
    })
    .await;
    let (status, last) = delete(&app, &token, ACCOUNT).await;
    assert_eq!(status, 409, "{last}");
    assert!(last.contains("the delivery report callback URL is owed 3 events"), "{last}");
    assert!(last.contains("let the callback URL be told, or take it out"), "{last}");
    app.simulator.set_callback_rules(vec![]);
    app.settled().await;

    assert_eq!(delete(&app, &token, SENDER).await.0, 204);
    let refused = app.send(&Message::order_update(&person(2))).await;
    assert!(refused.message().contains("this account has no business number yet"), "{refused:?}");
    let notices = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": [{
        "field": "messages", "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID},
        "statuses": [{"id": "wamid.late", "status": "read", "timestamp": "1790000123"}]}}]}]});
    assert_eq!(app.post_webhook(notices.to_string(), APP_SECRET).await, 200, "its connection is still there");
    assert_eq!(delete(&app, &token, CONNECTION).await.0, 204);
    let unknown = app.try_post("/webhooks/meta/nosuch", &[], "{}").await.expect("an answer");
    assert_eq!(app.post_webhook(notices.to_string(), APP_SECRET).await, unknown.http_status, "as one that never was");
    assert_eq!(delete(&app, &token, ACCOUNT).await.0, 204, "without numbers it goes as well");
    let wanted = [("remove account", "acme"), ("remove connection", "meta-main"), ("remove number", BUSINESS_NUMBER)];
    assert_eq!(audited(&app, 3).await, pairs(&wanted));
    assert_eq!(app.told(&message).len(), 3, "what was promised was done first");
    let quiet = async || app.store.alarms().await.expect("readable").iter().all(|alarm| alarm.over_at.is_some());
    app.until("nobody is alarmed by what is gone", quiet).await;
    app.leave().await;
}

async fn the_console_says_what_will_happen_before_it_removes(database: Database) {
    let app = TestApp::start_with(database, |options| options.more = format!("{OTHER_ACCOUNT}\n{OTHER_SENDER}")).await;
    let asha = app.first_owner().await;
    let olga = app.another(&asha, "olga", "operator").await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let (number, account) = ("/console/numbers/918880110033", "/console/accounts/globex");
    for (page, link) in [
        (number.to_owned(), format!("href=\"{number}/remove\"")),
        (format!("{account}/settings"), format!("href=\"{account}/remove\"")),
        ("/console/connections/meta-main".to_owned(), "href=\"/console/connections/meta-main/remove\"".to_owned()),
    ] {
        let (offered, hidden) = (olga.get(&page).await.text, cara.get(&page).await.text);
        assert!(offered.contains(&link) && !hidden.contains(&link), "{page}: {offered}");
    }
    assert_eq!(cara.get(&format!("{number}/remove")).await.status, 403);
    assert_eq!(cara.post(&format!("{number}/remove"), &[]).await.status, 403);
    assert_eq!(olga.post_plain(&format!("{number}/remove"), &[]).await.status, 403, "it may be from anywhere");
    assert_eq!(olga.get("/console/accounts/nosuch/remove").await.status, 404);

    let page = olga.get(&format!("{account}/remove")).await.text;
    for part in ["Remove an account", OTHER_NUMBER, "answers as one that never was", "wabridge suppress export"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("disabled>Remove"), "{page}");
    let needed = olga.get("/console/connections/meta-main/remove").await.text;
    assert!(needed.contains("is needed by") && needed.contains("disabled>Remove meta-main"), "{needed}");
    let refused = olga.post("/console/connections/meta-main/remove", &[]).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let done = olga.post(&format!("{number}/remove"), &[]).await;
    assert_eq!((done.status, done.header("location")), (303, "/console/connections?done=removed"), "{done:?}");
    let done = olga.post(&format!("{account}/remove"), &[]).await;
    assert_eq!((done.status, done.header("location")), (303, "/console/accounts?done=removed"), "{done:?}");

    assert!(olga.get("/console/accounts?done=removed").await.text.contains("It is removed."));
    let gone = olga.get(number).await;
    assert!(gone.status == 404 && gone.text.contains("was removed: the audit log says when"), "{gone:?}");
    assert_eq!(audited(&app, 2).await, pairs(&[("remove account", "globex"), ("remove number", OTHER_NUMBER)]));
    let line = app.store.audit_lines(None, 1).await.expect("readable").remove(0);
    assert_eq!((line.actor.as_str(), line.via.as_str()), ("olga", "console"));
    app.accept(&Message::order_update(&person(1))).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_instance_hears_of_a_removal_and_its_owners_end_in_good_order() {
    let app = TestApp::start_with(Database::postgres().await, |options| {
        options.more = format!("{OTHER_ACCOUNT}\n{OTHER_SENDER}");
    })
    .await;
    let other = app.start_another("other").await.expect("PostgreSQL takes several");
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read"]).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let keys = app.store.load_configuration().await.expect("readable");
    let number = PhoneNumber::from_international(BUSINESS_NUMBER).expect("a number");
    let sender = keys.sender(&number).expect("it is there").key.0;

    assert_eq!(delete(&app, &token, ACCOUNT).await.0, 204);

    let unknown = app.post("/clevertap/nosuch/messages", &CREDENTIALS, message.body.to_string()).await;
    app.until("the other one has heard", async || {
        app.send_to(&other, &message).await.http_status == unknown.http_status
    })
    .await;
    app.until("nobody owns what is gone", async || {
        let leases = app.store.leases().await.expect("readable");
        leases.iter().all(|lease| lease.kind != 1 || lease.item != sender || lease.owner.is_none())
    })
    .await;
    other.stop().await;
    app.finish().await;
}

async fn what_was_removed_is_forgotten_when_nothing_has_its_name_any_more(database: Database) {
    let app = TestApp::start(database).await;
    let token = app.first_owner().await.make_token(&["configuration:manage"]).await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    let before = wabridge::clock::now();
    for path in [ACCOUNT, CONNECTION] {
        assert_eq!(delete(&app, &token, path).await.0, 204, "{path}");
    }
    let past = async || app.store.load_configuration().await.expect("readable").past;
    let names = past().await;
    assert_eq!((names.accounts[0].id.as_str(), names.connections[0].id.as_str()), ("acme", "meta-main"));
    assert_eq!(names.senders[0].number.as_e164(), BUSINESS_NUMBER);
    assert!(names.accounts[0].credentials.passcodes.is_empty() && names.connections[0].secrets.is_empty());
    assert_eq!(names.senders[0].provider_number_id, NUMBER_ID);

    assert_eq!(app.store.forget_removed(before).await.expect("written"), 0, "it is too young");
    assert_eq!(app.store.forget_removed(before.plus(std::time::Duration::from_secs(60))).await.expect("written"), 3);

    let past = past().await;
    assert!(past.accounts.is_empty() && past.senders.is_empty() && past.connections.is_empty());
    app.apply(&app.configuration).await;
    let stored = app.store.load_configuration().await.expect("readable");
    assert!(stored.account("acme").is_some(), "it can be there again");
    app.leave().await;
}

async fn a_removed_number_can_belong_to_another_account_at_once(database: Database) {
    let app = TestApp::start_with(database, |options| options.more = OTHER_ACCOUNT.to_owned()).await;
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read"]).await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    let settings = |account: &str| {
        json!({"account": account, "number": BUSINESS_NUMBER, "connection": "meta-main", "phone_number_id": NUMBER_ID,
               "waba_id": WABA_ID})
    };
    let taken = app.call(Method::POST, "/api/v1/senders", &token, Some(settings("globex"))).await;
    assert_eq!(taken.http_status, 422, "{taken:?}");

    assert_eq!(delete(&app, &token, SENDER).await.0, 204);
    let added = app.call(Method::POST, "/api/v1/senders", &token, Some(settings("globex"))).await;

    assert_eq!(added.http_status, 201, "{added:?}");
    let heard = || app.directory().snapshot().sender_ever(BUSINESS_NUMBER).map(|sender| sender.account);
    let globex = app.store.load_configuration().await.expect("readable").account("globex").map(|it| it.key);
    app.until("the bridge has heard", async || heard() == globex).await;
    let body = Message::order_update(&person(2)).body.to_string();
    app.until("its templates are known", async || app.knows_templates().await).await;
    assert!(app.post("/clevertap/globex/messages", &CREDENTIALS, body).await.is_success());
    app.settled().await;
    let found = app.call(Method::GET, "/api/v1/messages?account=acme", &token, None).await.body;
    let list: Vec<&Value> = found["messages"].as_array().expect("a list").iter().collect();
    assert_eq!((list.len(), &list[0]["number"]), (1, &json!(BUSINESS_NUMBER)), "{found:#}");
    app.finish().await;
}

on_each_database!(
    a_removed_account_is_gone_but_for_its_history_and_its_name_is_free,
    what_still_has_work_is_not_removed_and_says_what_helps,
    the_console_says_what_will_happen_before_it_removes,
    what_was_removed_is_forgotten_when_nothing_has_its_name_any_more,
    a_removed_number_can_belong_to_another_account_at_once,
);
