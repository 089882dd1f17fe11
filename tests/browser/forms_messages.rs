//! The forms about messages and those who write: sending again, campaigns, contacts, conversations, and what lists are asked for.

use wabridge::domain::callback::EventKind;

use super::{
    browser::{Browser, Shape},
    form::Form,
    harness::{Database, Message, NUMBER_ID, Receiver, TestApp, person},
};

const CAMPAIGN: &str = "/console/campaigns/acme/1790000000";

const RESENT: Form<'_> = Form {
    css: "form[action$='/resend']",
    right: &[("force", "yes"), ("reason", "the phone was lost")],
    wrong: &[("force", "", "")],
    says: "It waits to be sent again.",
    ..Form::PLAIN
};

const PAUSED: Form<'_> = Form {
    page: CAMPAIGN,
    css: "form[action$='/pause']",
    right: &[("reason", "a word is wrong")],
    wrong: &[],
    says: "It is paused.",
    ..RESENT
};

const CANCELLED: Form<'_> = Form {
    page: CAMPAIGN,
    css: "form[action$='/cancel']",
    right: &[("reason", "it is too late"), ("and_new", "yes"), ("sure", "yes")],
    wrong: &[("sure", "", "")],
    says: "What arrives is cancelled.",
    ..RESENT
};

const FIGURES: Form<'_> = Form {
    page: CAMPAIGN,
    css: "form#figures",
    right: &[("sent", "25"), ("delivered", "22")],
    wrong: &[("sent", "many", "A whole number"), ("replies", "2 or 3", "A whole number")],
    asks: true,
    says: "What may explain it",
    ..RESENT
};

const PASTED: Form<'_> = Form {
    right: &[("pasted", "Sent 25\nDelivered 22 (88%)\nErrors 3")],
    wrong: &[("pasted", "nothing like it", "No figure was found in this")],
    ..FIGURES
};

const EXPLAINED: Form<'_> = Form {
    page: "/console/test-bench/explain",
    css: "form[action='/console/test-bench/explain']",
    right: &[("account", "acme"), ("payload", "{\"to\": \"+919876500001\"}")],
    wrong: &[("payload", "", "Paste what CleverTap sends")],
    asks: true,
    says: "would be refused",
    ..RESENT
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_campaigns_are_stopped_and_sent_again_by_their_forms() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let messages: Vec<Message> = (0..5).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.settled().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    let page = format!("/console/messages/{}", app.stored(&messages[0]).await.id);
    browser.goes_through(&app, &Form { page: &page, ..RESENT }).await;
    browser.until_said("the phone was lost").await;
    app.settled().await;
    for form in [FIGURES, PASTED, EXPLAINED, PAUSED] {
        browser.goes_through(&app, &form).await;
    }
    browser.until_said("a word is wrong").await;
    let waits = Message::order_update(&person(51));
    app.accept(&waits).await;
    browser.press("Resume").await;
    browser.until_said("It goes on").await;
    app.settled().await;
    assert_eq!(app.told(&waits), ["sent", "delivered", "read"]);
    browser.goes_through(&app, &CANCELLED).await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_and_a_conversation_are_changed_by_their_forms() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    app.simulator.inbound_text(&person(4), NUMBER_ID, "Thank you!", None).expect("the number exists");
    app.settled().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;
    browser.open(&app.at("/console/contacts")).await;
    browser.click("[data-row]").await;
    let there = "return location.pathname.startsWith('/console/contacts/') && document.readyState === 'complete'";
    browser.until("the contact is shown", there).await;
    let page = browser.path().await;
    let of = Form { page: &page, says: "The contact is changed.", ..RESENT };

    let tag = Form { css: "form:has(#add)", right: &[("add", "regular customer")], ..of };
    browser
        .goes_through(&app, &Form { wrong: &[("add", "", ""), ("add", "  ", ""), ("add", "one, two", "")], ..tag })
        .await;
    browser.goes_through(&app, &Form { css: "form:has(#name)", right: &[("name", "Ravi K")], wrong: &[], ..of }).await;
    let css = "form[action^='/console/conversations/']:has([name='add'])";
    let says = "The conversation is changed.";
    let tag = Form { css, right: &[("add", "a refund")], wrong: &[("add", "", ""), ("add", "a,b", "")], says, ..of };
    browser.goes_through(&app, &tag).await;
    let main = browser.text("main").await;
    assert!(["regular customer", "Ravi K", "a refund"].iter().all(|one| main.contains(one)), "{main}");
    browser.look("contact").await;

    browser.click("[aria-label='Take the tag a refund away']").await;
    browser.until_said(says).await;
    browser.click("[aria-label='Take the tag regular customer away']").await;
    browser.until_said("The contact is changed.").await;
    let main = browser.text("main").await;
    assert!(!main.contains("a refund") && !main.contains("regular customer"), "{main}");
    for (button, state) in [("Opt out of marketing", "opted out"), ("Opt in to marketing", "opted in")] {
        browser.press(button).await;
        browser.until(state, &format!("return document.querySelector('.head .pill').innerText === '{state}'")).await;
    }
    for (button, state) in [("Close", "closed"), ("Reopen", "open"), ("Block", "blocked")] {
        browser.press(button).await;
        browser.until(state, &format!("return document.querySelector('tbody .pill').innerText === '{state}'")).await;
    }
    browser.close().await;
    app.leave().await;
}

/// Lists say what is wrong with what they are asked for, keep it, and go on when it is mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_says_what_is_wrong_with_its_filters() {
    let app = TestApp::start(Database::sqlite().await).await;
    let asha = app.first_owner().await;
    let receiver = Receiver::start().await;
    let webhook =
        [("name", "crm"), ("url", &*receiver.url), ("profile", "native"), ("format", "json"), ("events", "*")];
    assert_eq!(asha.post("/console/new-webhook", &webhook).await.status, 200);
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    let key = app.subscriptions().await.iter().find(|one| one.kind == EventKind::Status).expect("it is there").key.0;
    let browser = Browser::signed_in(&app, Shape::Desk).await;
    let (events, exchanges) =
        (format!("/console/callbacks/{key}/events"), format!("/console/callbacks/{key}/exchanges"));
    let (late, early) = ("2026-11-22T10:00", "2026-11-21T10:00");

    for (page, fields, said) in [
        ("/console/messages", &[("since", late), ("until", early)][..], "ends before it begins"),
        ("/console/campaigns", &[("since", late), ("until", early)], "ends before it begins"),
        ("/console/inbound", &[("since", late), ("until", early)], "ends before it begins"),
        ("/console/refused", &[("since", late), ("until", early)], "ends before it begins"),
        (&events, &[("since", late), ("until", early)], "ends before it begins"),
        (&exchanges, &[("since", late), ("until", early)], "ends before it begins"),
        (&exchanges, &[("code", "busy")], "a number such as 503"),
        (&exchanges, &[("replay", "all")], "a replay’s number"),
        ("/console/webhooks/crm/log", &[("since", late), ("until", early)], "ends before it begins"),
        ("/console/webhooks/crm/log", &[("code", "busy")], "a number such as 503"),
    ] {
        let form = Form { page, css: "form.search", right: fields, asks: true, ..Form::PLAIN };
        browser.open(&app.at(page)).await;
        browser.fill_in(&form, fields).await;
        // Some lists wait for a button, others for the cursor to leave the field.
        if page == events {
            browser.press("Search").await;
        } else {
            browser.keys("\u{e004}").await;
        }
        let told = format!(
            "return [...document.querySelectorAll('[role=\"alert\"]')].some((one) => one.innerText.includes('{said}'))"
        );
        browser.until(&format!("{page} says {said}"), &told).await;
        for (name, value) in fields {
            let kept =
                browser.ask(&format!("return document.querySelector('form.search [name=\"{name}\"]').value")).await;
            assert_eq!(kept, *value, "{page}");
        }
        let mended: Vec<(&str, &str)> =
            fields.iter().filter(|(name, _)| *name != "since").map(|(name, _)| (*name, "")).collect();
        browser.fill_in(&form, &mended).await;
        if page == events {
            browser.press("Search").await;
        } else {
            browser.keys("\u{e004}").await;
        }
        browser.until("it is mended", "return document.querySelector('[role=\"alert\"]') === null && !document.querySelector('.htmx-request')").await;
    }
    browser.close().await;
    app.leave().await;
}
