//! What stands in the address of a page: whoever gets it wrong is told which part it is, and what it may be, on a page like any other.

use wabridge::domain::callback::EventKind;

use crate::harness::{Database, Receiver, TestApp, on_each_database};

async fn a_wrong_address_names_its_parameter_and_what_it_may_be(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let subscriptions = app.subscriptions().await;
    let url = subscriptions.iter().find(|one| one.kind == EventKind::Status).expect("reports are wanted").key.0;
    let url = format!("/console/callbacks/{url}");
    let receiver = Receiver::start().await;
    let webhook =
        [("name", "crm"), ("url", &*receiver.url), ("profile", "native"), ("format", "json"), ("events", "*")];
    assert_eq!(asha.post("/console/new-webhook", &webhook).await.status, 200);

    let mut wrong = Vec::new();
    for (path, said) in [
        ("/console/overview?period=1y", "Period: “1y” is none of 24h, 7d, 30d."),
        ("/console/overview?account=nosuch", "Account: there is no account nosuch"),
        ("/console/messages?status=nope", "Status: “nope” is none of sent, "),
        ("/console/messages?reason=nope", "Reason: “nope” is none of "),
        ("/console/messages?before=zzz", "Before: “zzz” cannot be read: it is a message’s id"),
        ("/console/messages?number=12", "Number: there is no business number 12"),
        ("/console/messages?since=2026-11-21T09:30&until=2026-11-21T09:30", "Until: the time ends before it begins"),
        ("/console/messages?colour=red", "Colour: this address has no such parameter; it takes q, status, "),
        ("/console/messages?q=a&q=b", "Q: is given twice."),
        ("/console/campaigns?period=1y", "Period: “1y” is none of 24h, 7d, 30d, all."),
        ("/console/campaigns?account=nosuch", "Account: there is no account nosuch"),
        ("/console/campaigns/acme/7?period=1y", "Period: “1y” is none of 24h, 7d, 30d, all."),
        ("/console/inbound?kind=telepathy", "Kind: “telepathy” is none of text, "),
        ("/console/inbound?before=x", "Before: “x” cannot be read"),
        ("/console/contacts?account=nosuch", "Account: there is no account nosuch"),
        ("/console/contacts?before=x", "x is no place in a list"),
        ("/console/conversations?state=nope", "State: “nope” is none of open, expired, auto_bot, closed, blocked."),
        ("/console/conversations?before=x", "x is no place in a list"),
        ("/console/callbacks?state=happy", "State: “happy” is none of works, refusing, failing, on_hold, off."),
        ("/console/callbacks?kind=colour", "Kind: “colour” is none of status, inbound, notice"),
        ("/console/callbacks?account=nosuch", "Account: there is no account nosuch"),
        ("/console/callbacks?webhook=nosuch", "Webhook: there is no webhook nosuch"),
        ("/console/callbacks/one", "There is no such page"),
        (
            "/console/callbacks/exchanges?outcome=nope",
            "Outcome: “nope” is none of succeeded, failed, refused, no_answer.",
        ),
        ("/console/callbacks/exchanges?account=nosuch", "Account: there is no account nosuch"),
        ("/console/callbacks/exchanges?since=abc", "Since: “abc” is no time"),
        ("/console/callbacks/exchanges?of=nobody", "Of: “nobody” is none of platform, webhooks."),
        ("/console/callbacks/exchanges?url=999", "Url: there is no callback URL 999"),
        ("/console/callbacks/exchanges?kind=colour", "Kind: “colour” is none of status, inbound, notice"),
        ("/console/callbacks/events?before=x", "Before: “x” cannot be read"),
        ("/console/callbacks/replays?ids=x", "numbers of replays with a point between them"),
        ("/console/callbacks/tried?since=1&urls=x", "what the page that asked for it wrote there"),
        ("{url}/events?state=delivered&code=500", "Code: only what was not taken has one"),
        (
            "{url}/events?state=nope",
            "State: “nope” is none of owed, retrying, delivered, dead, not_relayed, passed_over.",
        ),
        ("{url}/events?from_place=x&to_place=2", "from_place: “x” cannot be read: it is a place in the log"),
        ("{url}/exchanges?outcome=nope", "Outcome: “nope” is none of "),
        ("{url}/exchanges?before=x", "Before: “x” cannot be read"),
        ("{url}/replay?of=nope", "Of: “nope” is none of dead, not_relayed, delivered, all."),
        ("{url}/replay?place=x", "Place: “x” cannot be read"),
        (
            "/console/webhooks/crm/log?state=nope",
            "State: “nope” is none of delivered, retrying, paused, set_aside, dead.",
        ),
        (
            "/console/webhooks/crm/log?event=message.nothing",
            "Event: “message.nothing” cannot be read: it is an event, or ",
        ),
        ("/console/webhooks/crm/log?account=nosuch", "Account: there is no account nosuch"),
        ("/console/webhooks/crm/try?event=message.nothing", "Event: “message.nothing” is none of "),
        ("/console/webhooks/crm/replay?of=nope", "Of: “nope” is none of dead, "),
        ("/console/unrecognized?before=x", "Before: “x” is no whole number."),
        ("/console/refused?since=abc", "Since: “abc” is no time: write it like 2026-11-21T09:30."),
        ("/console/refused?before=zzz", "Before: “zzz” is no whole number."),
        ("/console/refused?kind=colour", "Kind: “colour” is none of credentials, template, "),
        ("/console/new-connection?provider=telex", "no provider telex"),
        ("/console/new-number?account=nosuch", "Account: there is no account nosuch"),
        ("/console/new-number?connection=nosuch", "Connection: there is no connection nosuch"),
        ("/console/numbers/918880110022?colour=red", "Colour: this address has no such parameter; it takes phone."),
        ("/console/templates?status=nope", "Status: “nope” is none of "),
        ("/console/templates?connection=nosuch", "Connection: “nosuch” is none of "),
        ("/console/templates?page=x", "Page: “x” is no whole number."),
        ("/console/test-bench?number=12", "Number: there is no business number 12"),
        ("/console/test-bench?template=nosuch", "No template nosuch is listed for "),
        ("/console/audit?before=x", "Before: “x” is no whole number."),
        ("/console/alarms?before=x", "Before: “x” is no whole number."),
        ("/console/webhooks?state=failing", "State: this address has no such parameter; it takes none."),
        ("/console/users?before=x", "Before: this address has no such parameter; it takes none."),
        ("/console/no-such-page", "There is no such page"),
    ] {
        let page = asha.get(&path.replace("{url}", &url)).await;
        if !page.text.contains(said) || !page.text.contains("aria-label=\"Pages\"") {
            wrong.push(format!("{path} should say “{said}” on a page like the others: {}", page.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let form = asha.post("/console/conversations/cnv_1", &[("add", "one"), ("add", "two")]).await;
    assert!(form.status == 400 && form.text.contains("This form cannot be read"), "{form:?}");
    let saved = asha.get("/console/conversations?state=open&done=conversation").await;
    assert!(saved.text.contains("The conversation is changed."), "{saved:?}");
    app.leave().await;
}

on_each_database!(a_wrong_address_names_its_parameter_and_what_it_may_be);
