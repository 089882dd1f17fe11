//! A provider that throttles a business account, or an app: what it names is silent, and nothing else.
//!
//! It is for minutes, so the end of it is tested beside the arithmetic.

use wabridge::simulator::{Effect, Refusal, Rule};

use crate::harness::{BUSINESS_NUMBER, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person};

const SAME_BUSINESS_ACCOUNT: &str = "+918880110033";
const OTHER_BUSINESS_ACCOUNT: &str = "+918880110044";
const OTHER_BUSINESS_ACCOUNT_NUMBER_ID: &str = "100000000000003";
const OTHER_CONNECTION: &str = "+918880110055";

/// Two business accounts under one connection, and the first of them under another connection too.
async fn start(database: Database) -> TestApp {
    TestApp::start_with(database, |options| {
        let sender = |number: &str, connection: &str, id: &str, business_account: &str| {
            format!(
                "[[accounts.senders]]\nnumber = \"{number}\"\nconnection = \"{connection}\"\n\
                 phone_number_id = \"{id}\"\nwaba_id = \"{business_account}\"\nmessages_per_second = 1000\n"
            )
        };
        options.more = [
            sender(SAME_BUSINESS_ACCOUNT, "meta-main", "100000000000002", WABA_ID),
            sender(OTHER_BUSINESS_ACCOUNT, "meta-main", OTHER_BUSINESS_ACCOUNT_NUMBER_ID, "200000000000002"),
            sender(OTHER_CONNECTION, "meta-other", "100000000000004", WABA_ID),
            "[[connections]]\nid = \"meta-other\"\nprovider = \"meta\"\nbase_url = \"{simulator}\"\n\
             access_token = \"simulator-access-token\"\napp_secret = \"simulator-app-secret\"\n\
             verify_token = \"verify-me\"\n"
                .to_owned(),
        ]
        .concat();
    })
    .await
}

fn message(number: &str, to: usize) -> Message {
    Message::order_update(&person(to)).with("wabaNumber", number.into())
}

/// The provider refuses one message of a number with this code, and the number has heard of it.
async fn throttle(app: &TestApp, code: u32, number: &str, number_id: &str, to: usize) {
    let refuse = Effect::Refuse(Refusal::code(code));
    app.simulator.add_rule(Rule { phone_number_id: Some(number_id.to_owned()), ..Rule::next(1, refuse) });
    let refused = message(number, to);
    app.accept(&refused).await;
    app.until("the refusal is written down", async || {
        !app.store.failed_tries(app.stored(&refused).await.id).await.expect("attempts can be read").is_empty()
    })
    .await;
    assert_eq!(app.simulator.stats().sends_refused[&code.to_string()], 1);
}

fn is_sent(app: &TestApp, to: usize) -> bool {
    !app.simulator.sends(Some(&person(to))).is_empty()
}

async fn what_a_throttling_code_names_is_silent_and_nothing_else(database: Database) {
    let app = start(database).await;
    throttle(&app, 80_007, BUSINESS_NUMBER, NUMBER_ID, 0).await;

    app.accept_all(&[message(BUSINESS_NUMBER, 3), message(SAME_BUSINESS_ACCOUNT, 4)]).await;
    app.accept_all(&[message(OTHER_BUSINESS_ACCOUNT, 1), message(OTHER_CONNECTION, 2)]).await;
    app.until_counted("the others go on", |_| is_sent(&app, 1) && is_sent(&app, 2)).await;
    app.accept(&message(OTHER_CONNECTION, 5)).await;
    app.until_counted("and on", |_| is_sent(&app, 5)).await;
    assert!(!is_sent(&app, 3) && !is_sent(&app, 4), "both numbers of the business account are silent");

    throttle(&app, 4, OTHER_BUSINESS_ACCOUNT, OTHER_BUSINESS_ACCOUNT_NUMBER_ID, 6).await;
    app.accept_all(&[message(OTHER_BUSINESS_ACCOUNT, 8), message(OTHER_CONNECTION, 7)]).await;
    app.until_counted("the other connection goes on", |_| is_sent(&app, 7)).await;
    app.accept(&message(OTHER_CONNECTION, 9)).await;
    app.until_counted("and on", |_| is_sent(&app, 9)).await;
    assert!([3, 4, 8].iter().all(|to| !is_sent(&app, *to)), "the app is silent as a whole");

    let waits = "nothing of it is lost: two were refused and come again, and three have not left";
    app.until(waits, async || app.open_messages().await == 5).await;
    // It would be minutes until they go on.
    app.leave().await;
}

on_each_database![what_a_throttling_code_names_is_silent_and_nothing_else];
