//! What the overview says at once, and that pages link to where something is done.

use std::time::Duration;

use wabridge::simulator::{CallbackRule, Endpoint};

use crate::harness::{BUSINESS_NUMBER, Database, Message, TestApp, on_each_database, person};

const OVERVIEW: &str = "/console/overview";
const NUMBER: &str = "/console/numbers/918880110022";

async fn what_is_on_hold_and_which_url_fails_is_seen_before_the_watch_looks(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.alarms.look_every = Duration::from_secs(3_600);
    })
    .await;
    let asha = app.first_owner().await;
    // Templates that are stopped may stand there as well.
    let says = async |text: &str| asha.get(OVERVIEW).await.text.contains(text);
    let (of_hold, of_url) = ("nothing is sent since", "it fails since");
    assert!(!says(of_hold).await && !says(of_url).await);

    let held = asha.post(&format!("{NUMBER}/hold"), &[("reason", "lunch")]).await;
    assert_eq!(held.status, 303, "{held:?}");
    app.until("the hold is seen", async || says(of_hold).await).await;
    assert!(says(": lunch. Messages stay queued").await && says(&format!("href=\"{NUMBER}\"")).await);
    asha.post(&format!("{NUMBER}/release"), &[]).await;
    app.until("it is over", async || !says(of_hold).await).await;

    let endpoint = Some(Endpoint::DeliveryReports);
    app.simulator.set_callback_rules(vec![CallbackRule { answer_status: 503, endpoint, ..CallbackRule::default() }]);
    app.accept(&Message::order_update(&person(1))).await;
    app.until("the failure is seen", async || says(of_url).await).await;
    assert!(says("delivery reports of acme").await);
    app.simulator.set_callback_rules(vec![]);
    app.until("it works again", async || !says(of_url).await).await;
    app.leave().await;
}

async fn what_was_is_shown_after_the_last_number_was_removed(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    let removed = async || asha.post("/console/accounts/acme/remove", &[]).await.status == 303;
    app.until("nothing is owed any more", removed).await;

    app.until("figures stand beside what is to be done", async || {
        let page = asha.get(OVERVIEW).await.text;
        page.contains("Before the first message") && page.contains("How far messages came")
    })
    .await;
    app.leave().await;
}

async fn what_waits_for_a_held_number_leads_to_the_page_that_releases_it(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    let message = Message::marketing(&person(1)).id("1|1791111111|20261120|1|0");
    app.accept(&message).await;
    let link = format!("href=\"{NUMBER}\"");

    let found = asha.get(&format!("/console/messages?q={}", message.msg_id().replace('|', "%7C"))).await;
    let story = asha.get(&found.between("data-row href=\"", "\"")).await.text;
    assert!(story.contains("is on hold for") && story.contains(&link) && !story.contains("`wabridge"), "{story}");
    let campaign = asha.get("/console/campaigns/acme/1791111111").await.text;
    assert!(
        campaign.contains(&format!("Number {BUSINESS_NUMBER} is on hold.")) && campaign.contains(&link),
        "{campaign}"
    );
    let removal = asha.get(&format!("{NUMBER}/remove")).await.text;
    let waits = "/console/messages?number=%2B918880110022&#38;status=queued";
    assert!(removal.contains("cancel them.") && removal.contains(waits) && !removal.contains("`wabridge"), "{removal}");
    let by_command = app.command(&["message", message.msg_id()]).await;
    assert!(by_command.contains(&format!("`wabridge release {BUSINESS_NUMBER}`")), "{by_command}");
    app.leave().await;
}

on_each_database![
    what_is_on_hold_and_which_url_fails_is_seen_before_the_watch_looks,
    what_was_is_shown_after_the_last_number_was_removed,
    what_waits_for_a_held_number_leads_to_the_page_that_releases_it,
];
