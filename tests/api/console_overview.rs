//! What the overview says at once, and that pages link to where something is done.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
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
    assert!(!asha.get(NUMBER).await.text.contains(of_hold), "it is over on the number's page, too");

    let endpoint = Some(Endpoint::DeliveryReports);
    app.simulator.set_callback_rules(vec![CallbackRule { answer_status: 503, endpoint, ..CallbackRule::default() }]);
    app.accept(&Message::order_update(&person(1))).await;
    app.until("the failure is seen", async || says(of_url).await).await;
    assert!(says("delivery reports of acme").await);
    app.simulator.set_callback_rules(vec![]);
    app.until("it works again", async || !says(of_url).await).await;
    app.leave().await;
}

async fn what_is_dead_needs_a_person_until_it_is_told(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.alarms.look_every = Duration::from_secs(3_600);
    })
    .await;
    let asha = app.first_owner().await;
    let says = async |text: &str| asha.get(OVERVIEW).await.text.contains(text);
    let endpoint = Some(Endpoint::DeliveryReports);
    app.simulator.set_callback_rules(vec![CallbackRule { answer_status: 400, endpoint, ..CallbackRule::default() }]);

    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    assert!(says("it refused what it was told last: HTTP 400").await);
    app.simulator.set_callback_rules(vec![]);
    app.accept(&Message::order_update(&person(2))).await;
    app.settled().await;
    assert!(says("3 events are dead: not taken, or grown too old, and told no more").await, "although it works again");
    app.command(&["replay", "--all", "--yes"]).await;

    assert!(!says("dead: not taken").await, "everything is told");
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

async fn of_a_chosen_account_only_what_touches_it_is_shown(database: Database) {
    const OTHER: &str = "/console/numbers/918880110033";
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let globex = "[[accounts]]\nid = \"globex\"\nplatform = \"clevertap\"\nclevertap_account_id = \"TEST-ACC-1\"\n\
         clevertap_passcode = \"acme-passcode\"\n\
         [[accounts.senders]]\nnumber = \"+918880110033\"\nconnection = \"meta-main\"\n\
         phone_number_id = \"100000000000002\"\nwaba_id = \"200000000000001\"";
    app.apply(globex).await;
    app.until("it is known", async || asha.get(OVERVIEW).await.text.contains(">+918880110033<")).await;
    asha.post(&format!("{OTHER}/hold"), &[("reason", "of globex alone")]).await;
    let of = async |account: &str| asha.get(&format!("{OVERVIEW}?account={account}")).await.text;
    app.until("the hold is seen", async || of("globex").await.contains("of globex alone")).await;

    let (acme, globex, all) = (of("acme").await, of("globex").await, of("").await);

    assert!(!acme.contains("of globex alone") && !acme.contains(">+918880110033<"), "{acme}");
    assert!(acme.contains(&format!(">{BUSINESS_NUMBER}<")) && !globex.contains(&format!(">{BUSINESS_NUMBER}<")));
    assert!(all.contains("of globex alone") && all.contains("now, of all accounts"), "{all}");
    assert!(globex.contains("now, of globex and of what it shares with others; whatever time is chosen"), "{globex}");
    asha.post("/console/connections/meta-main/hold", &[("reason", "shared by both")]).await;
    for account in ["acme", "globex"] {
        app.until("it touches both", async || of(account).await.contains("shared by both")).await;
    }
    let token = asha.make_token(&["messages:read"]).await;
    let told = async |query: &str| {
        let standing = app.call(Method::GET, &format!("/api/v1/status{query}"), &token, None).await;
        let list = |list: &str| standing.body[list].as_array().cloned().unwrap_or_default();
        // Templates that are stopped may stand there as well.
        let is_held = |alarm: &Value| alarm["kind"].as_str().is_some_and(|kind| kind.ends_with("_held"));
        (standing.http_status, list("alarms").iter().filter(|one| is_held(one)).count(), list("numbers").len())
    };
    assert_eq!(told("?account=acme").await, (200, 1, 1));
    assert_eq!(told("?account=globex").await, (200, 2, 1));
    assert_eq!(told("").await, (200, 2, 2));
    assert_eq!((told("?account=nosuch").await.0, told("?colour=red").await.0), (422, 400));
    app.finish().await;
}

async fn answers_that_came_too_late_lead_to_the_nearest_lists_and_say_so(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    app.until("the answer is counted", async || asha.get(OVERVIEW).await.text.contains("Too late</a>")).await;

    let page = asha.get(&format!("{OVERVIEW}?account=acme")).await;

    let limit = page.between("<line class=\"limit\" x1=\"", "\"");
    assert_eq!(limit, "504.0", "behind the eleventh of thirteen bars");
    for wanted in ["CleverTap’s limit: 1 second", "no list has the late ones", " answers ("] {
        assert!(page.text.contains(wanted), "{wanted} is not in {}", page.text);
    }
    let before = page.text.split("Too late</a>").next().and_then(|before| before.rsplit("href=\"").next());
    let href = before.expect("a link").trim_end_matches("\">").replace("&#38;", "&");
    assert!(href.starts_with("/console/refused?account=acme&since="), "{href}");
    assert_eq!(asha.get(&href).await.status, 200);
    app.leave().await;
}

on_each_database![
    of_a_chosen_account_only_what_touches_it_is_shown,
    answers_that_came_too_late_lead_to_the_nearest_lists_and_say_so,
    what_is_on_hold_and_which_url_fails_is_seen_before_the_watch_looks,
    what_is_dead_needs_a_person_until_it_is_told,
    what_was_is_shown_after_the_last_number_was_removed,
    what_waits_for_a_held_number_leads_to_the_page_that_releases_it,
];
