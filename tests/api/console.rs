//! The console as a visitor without a browser meets it: who gets in, who sees what, who may do what.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::simulator::{Effect, Refusal, Rule};

use crate::harness::{
    APP_SECRET, BUSINESS_NUMBER, Database, Message, PASSWORD, Process, TestApp, Visitor, on_each_database, person,
    until,
};

async fn the_set_up_link_makes_one_owner_and_works_once(database: Database) {
    let app = TestApp::start(database).await;
    let told: Value = serde_json::from_str(&app.command(&["user", "link", "--json"]).await).expect("it is JSON");
    let path = TestApp::path_of(told["link"].as_str().expect("a link"));
    let first = app.visitor();
    let closed = first.get("/console/messages").await;
    assert_eq!((closed.status, closed.header("location").starts_with("/console/sign-in")), (303, true), "{closed:?}");
    assert!(first.get(&path).await.text.contains("Become the owner"), "looking at a link does not use it up");

    let short = first.post_plain(&path, &[("name", "Asha"), ("password", "tea pots")]).await;
    assert!(short.status == 422 && short.text.contains("12 characters"), "{short:?}");
    let both = first.post_plain(&path, &[("name", ""), ("password", "tea pots")]).await.text;
    assert_eq!(both.matches("<p class=\"wrong\"").count(), 2, "both problems at once: {both}");
    let done = first.post_plain(&path, &[("name", " Asha "), ("password", PASSWORD)]).await;

    assert_eq!(done.status, 303, "{done:?}");
    let cookie = done.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Secure"), "{cookie}");
    assert!(first.get("/console/users").await.text.contains("asha"), "names are small letters");
    let second = app.visitor();
    assert_eq!(second.post_plain(&path, &[("name", "eve"), ("password", PASSWORD)]).await.status, 404);
    let (code, _, said) = app.command_saying(&["user", "link"]).await;
    assert!(code == 1 && said.contains("somebody is there already"), "{said}");
    app.leave().await;
}

async fn a_name_and_a_password_open_and_signing_out_closes(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let elsewhere = app.visitor();
    for (name, password) in [("asha", "seven quiet tea cups"), ("nobody", PASSWORD), ("", ""), ("asha", "")] {
        let refused = elsewhere.sign_in(name, password).await;
        assert!(refused.status == 422 && refused.text.contains("Name or password are wrong"), "{refused:?}");
    }
    assert_eq!(elsewhere.sign_in("ASHA", PASSWORD).await.header("location"), "/console/overview");
    let next = [("name", "asha"), ("password", PASSWORD), ("next", "/console/users?x=1")];
    assert_eq!(app.visitor().post_plain("/console/sign-in", &next).await.header("location"), "/console/users?x=1");
    let evil = [("name", "asha"), ("password", PASSWORD), ("next", "https://evil.example/")];
    assert_eq!(app.visitor().post_plain("/console/sign-in", &evil).await.header("location"), "/console/overview");

    assert!(asha.is_in().await && elsewhere.is_in().await);
    let out = asha.post("/console/sign-out", &[]).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    assert!(!asha.is_in().await && elsewhere.is_in().await, "the other session goes on");

    let third = app.visitor();
    third.sign_in("asha", PASSWORD).await;
    elsewhere.post("/console/account/sign-out", &[]).await;
    assert!(!elsewhere.is_in().await && !third.is_in().await, "everywhere is everywhere");
    app.leave().await;
}

async fn a_new_password_ends_the_sessions_that_the_old_one_began(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let elsewhere = app.visitor();
    elsewhere.sign_in("asha", PASSWORD).await;
    let new = "seven loud coffee pots";
    let change = async |current: &str, new: &str| {
        asha.post("/console/account/password", &[("current", current), ("new", new)]).await
    };

    let wrong = change("seven quiet tea cups", new).await;
    assert!(wrong.status == 422 && wrong.text.contains("not your password"), "{wrong:?}");
    let short = change(PASSWORD, "tea pots").await;
    assert!(short.status == 422 && short.text.contains("12 characters"), "{short:?}");
    assert!(elsewhere.is_in().await, "what was refused ends nothing");
    let done = change(PASSWORD, new).await;

    assert_eq!((done.status, done.header("location")), (303, "/console/account?done=password"), "{done:?}");
    assert!(asha.is_in().await, "whoever changed it goes on in a new session");
    assert!(!elsewhere.is_in().await, "every other session is over");
    assert_eq!(elsewhere.sign_in("asha", PASSWORD).await.status, 422);
    assert_eq!(elsewhere.sign_in("asha", new).await.status, 303);
    let written = format!("{:?}", app.store.audit_lines(None, 10).await.expect("readable"));
    assert!(written.contains("change password") && !written.contains(new), "{written}");
    app.leave().await;
}

async fn behind_tls_the_cookie_is_for_tls_and_this_host_alone(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.server.public_url = "https://bridge.example".to_owned();
    })
    .await;
    let asha = app.first_owner().await;

    let begun = asha.sign_in("asha", PASSWORD).await;

    let cookie = begun.header("set-cookie");
    let parts: Vec<&str> = cookie.split("; ").collect();
    assert!(parts[0].starts_with("__Host-wabridge="), "{cookie}");
    // A browser takes a cookie of this name only with these, and without a domain.
    assert!(["Secure", "Path=/", "HttpOnly"].iter().all(|part| parts.contains(part)), "{cookie}");
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert!(asha.is_in().await);
    app.leave().await;
}

async fn console_line(process: &Process) -> String {
    let printed = || process.printed().into_iter().find(|line| line.starts_with("Console: "));
    until("the console's line is printed", async || printed().is_some()).await;
    printed().expect("it was")
}

async fn the_first_start_prints_a_link_that_works_once(database: Database) {
    let mut app = TestApp::start_with(database, |options| options.as_process = true).await;
    let line = console_line(app.process()).await;
    let link = line.split_whitespace().find(|word| word.contains("/console/welcome/")).expect("a set-up link");
    let path = TestApp::path_of(link);
    let fields = [("name", "asha"), ("password", PASSWORD)];

    assert_eq!(app.visitor().post_plain(&path, &fields).await.status, 303);
    assert_eq!(app.visitor().post_plain(&path, &[("name", "eve"), fields[1]]).await.status, 404, "it works once");
    app.process().terminate().await;
    app.start_process().await;

    let line = console_line(app.process()).await;
    assert!(line.ends_with("/console") && !line.contains("welcome"), "{line}");
    app.leave().await;
}

async fn guessing_is_stopped_by_name_and_by_address(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.console.sign_in_tries_per_name = 3;
        options.settings.console.sign_in_tries_per_address = 6;
        options.settings.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    app.first_owner().await;
    let visitor = app.visitor();
    let from = async |address: &str, name: &str, password: &str| {
        let fields = [("name", name), ("password", password)];
        visitor.post_with("/console/sign-in", &fields, &[("X-Forwarded-For", address)]).await.status
    };

    for _ in 0..3 {
        assert_eq!(from("198.51.100.1", "asha", "a wrong password").await, 422);
    }
    assert_eq!(from("198.51.100.2", "asha", PASSWORD).await, 429, "the name is closed, from everywhere");
    for guess in 0..6 {
        assert_eq!(from("198.51.100.3", &format!("name{guess}"), PASSWORD).await, 422);
    }
    assert_eq!(from("198.51.100.3", "another", PASSWORD).await, 429, "the address is closed, for every name");
    assert_eq!(from("198.51.100.4", "another", PASSWORD).await, 422);

    // A link lets the person in all the same.
    let told: Value = serde_json::from_str(&app.command(&["user", "reset", "asha", "--json"]).await).expect("JSON");
    let path = TestApp::path_of(told["link"].as_str().expect("a link"));
    assert_eq!(visitor.post_plain(&path, &[("password", "another five tea pots")]).await.status, 303);
    assert!(visitor.is_in().await);
    app.leave().await;
}

const MINUTE: Duration = Duration::from_secs(60);

async fn a_session_ends_when_it_is_idle_or_old(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.console.session_idle = 10 * MINUTE;
        options.settings.console.session_max = 60 * MINUTE;
    })
    .await;
    let asha = app.first_owner().await;
    let earlier = async |column: &str, minutes: u32| {
        let sql = format!("UPDATE operator_sessions SET {column} = {column} - {}", (minutes * MINUTE).as_millis());
        app.meddle((&sql, &sql)).await;
    };

    for (column, minutes) in [("seen_at", 5), ("created_at", 50)] {
        earlier(column, minutes).await;
        assert!(asha.is_in().await, "{column}");
        earlier(column, 11).await;
        assert!(!asha.is_in().await, "{column}");
        assert_eq!(asha.sign_in("asha", PASSWORD).await.status, 303);
    }
    app.leave().await;
}

async fn a_form_that_no_page_of_the_session_wrote_changes_nothing(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let ben = app.another(&asha, "ben", "owner").await;
    let fields = [("name", "eve"), ("role", "owner")];
    let bens = ben.get("/console/users").await.between("name=\"csrf\" value=\"", "\"");
    let own = asha.get("/console/users").await.between("name=\"csrf\" value=\"", "\"");

    assert_eq!(asha.post_plain("/console/users", &fields).await.status, 403, "without a token");
    let borrowed = [fields[0], fields[1], ("csrf", bens.as_str())];
    assert_eq!(asha.post_plain("/console/users", &borrowed).await.status, 403, "with another session's");
    let right = [fields[0], fields[1], ("csrf", own.as_str())];
    for stranger in [("Origin", "https://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
        assert_eq!(asha.post_with("/console/users", &right, &[stranger]).await.status, 403, "{stranger:?}");
    }
    let link = asha.post_with(
        "/console/sign-in",
        &[("name", "asha"), ("password", PASSWORD)],
        &[("Sec-Fetch-Site", "cross-site")],
    );
    assert_eq!(link.await.status, 403, "nobody is signed in by another site");
    assert!(!asha.get("/console/users").await.text.contains("/users/eve/"));

    assert_eq!(asha.post_with("/console/users", &right, &[("Sec-Fetch-Site", "same-origin")]).await.status, 200);
    app.leave().await;
}

async fn each_role_sees_and_does_what_it_may(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let (ben, cara) = (app.another(&asha, "ben", "operator").await, app.another(&asha, "cara", "read-only").await);
    app.simulator.add_rule(Rule::next(1, Effect::Refuse(Refusal::code(131030))));
    let (refused, sent) = (Message::order_update(&person(1)), Message::freeform(&person(2), "the code is 4711"));
    app.accept(&refused).await;
    app.settled().await;
    let refused_id = app.stored(&refused).await.id.to_string();
    app.simulator.inbound_text(&person(2), crate::harness::NUMBER_ID, "hello", None).expect("the number exists");
    app.settled().await;
    app.accept(&sent).await;
    app.settled().await;
    let sent = app.stored(&sent).await;
    let (sent_id, wamid) = (sent.id.to_string(), sent.provider_message_id.expect("it was sent"));

    for (visitor, whole) in [(&asha, true), (&ben, true), (&cara, false)] {
        let list = visitor.get("/console/messages").await.text;
        assert_eq!(list.contains(&person(1)), whole, "{list}");
        assert!(list.contains(&refused_id) && list.contains(BUSINESS_NUMBER));
        let one = visitor.get(&format!("/console/messages/{sent_id}")).await.text;
        assert_eq!(one.contains("the code is 4711"), whole, "{one}");
        assert_eq!(one.contains(&wamid), whole, "a wamid has the number in it: {one}");
        assert_eq!(one.contains(person(2).trim_start_matches('+')), whole, "{one}");
    }
    // By trying ends of numbers, one could be found out.
    assert!(cara.get("/console/messages?q=20001").await.text.contains("no whole telephone number"));
    assert!(ben.get("/console/messages?q=20001").await.text.contains(&refused_id));
    assert!(
        cara.get(&format!("/console/messages?q={}", person(1).replace('+', "%2B"))).await.text.contains(&refused_id)
    );

    let resend = format!("/console/messages/{refused_id}/resend");
    assert_eq!(cara.post(&resend, &[("reason", "I can")]).await.status, 403);
    for page in ["/console/users", "/console/tokens", "/console/audit"] {
        let allowed = [&asha, &ben, &cara].map(|visitor| visitor.get(page));
        let [owner, operator, read_only] = futures_util::future::join_all(allowed).await.try_into().expect("three");
        let operators = if page == "/console/audit" { 200 } else { 403 };
        assert_eq!((owner.status, operator.status, read_only.status), (200, operators, 403), "{page}");
    }
    let done = ben.post(&resend, &[("reason", "the list is mended")]).await;
    assert_eq!(done.header("location"), format!("/console/messages/{refused_id}?done=resent"));
    app.settled().await;
    let story = ben.get(&format!("/console/messages/{refused_id}")).await.text;
    assert!(story.contains("sent again by ben (the list is mended)"), "{story}");
    let again = ben.post(&resend, &[]).await;
    assert!(again.status == 409 && again.text.contains("twice"), "what has arrived must be meant: {again:?}");
    // The simulator counts a `sent` after a `failed`: the second send's is meant.
    app.leave().await;
}

async fn a_message_is_found_by_whatever_is_known_of_it(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let (first, second) = (Message::order_update(&person(1)), Message::marketing(&person(2)));
    app.simulator.add_rule(Rule::recipient(&person(2), Effect::Refuse(Refusal::code(131030))));
    app.accept(&first).await;
    app.settled().await;
    app.accept(&second).await;
    app.settled().await;
    let (one, two) = (app.stored(&first).await, app.stored(&second).await);
    let found = async |query: &str| {
        let page = asha.get(&format!("/console/messages?{query}")).await;
        assert_eq!(page.status, 200, "{query}: {page:?}");
        [one.id, two.id].map(|id| page.text.contains(&format!("/console/messages/{id}\"")))
    };
    let wamid = one.provider_message_id.clone().expect("it was sent").replace('+', "%2B").replace('=', "%3D");
    let msg_id = first.msg_id().replace('|', "%7C");

    for (query, wanted) in [
        ("", [true, true]),
        (&*format!("q={}", one.id), [true, false]),
        (&format!("q={wamid}"), [true, false]),
        (&format!("q={msg_id}"), [true, false]),
        ("q=%2B919876520001", [true, false]),
        ("q=98765+20002", [false, true]),
        ("q=20002", [false, true]),
        ("template=order_update", [true, false]),
        ("q=1790000000", [true, true]),
        ("campaign=1790000000", [true, true]),
        ("campaign=1", [false, false]),
        ("account=acme&number=%2B918880110022", [true, true]),
        ("status=read", [true, false]),
        ("status=rejected", [false, true]),
        ("status=reached-sent", [true, false]),
        // As links had it before.
        ("status=delivery-read", [true, false]),
        ("status=state-rejected", [false, true]),
        ("code=131030", [false, true]),
        // What CleverTap was told instead.
        ("code=1005", [false, true]),
        ("code=1005&status=read", [false, false]),
        ("code=1006", [false, false]),
        ("since=2020-01-01T00:00", [true, true]),
        ("until=2020-01-01T00:00", [false, false]),
    ] {
        assert_eq!(found(query).await, wanted, "{query}");
    }
    let campaign = asha.get("/console/messages?q=1790000000").await.text;
    assert!(campaign.contains("href=\"/console/campaigns/acme/1790000000\""), "{campaign}");
    let old = asha.get("/console/messages?status=state-rejected").await.text;
    assert!(old.contains("<option value=\"rejected\" selected>"), "{old}");
    let token = asha.make_token(&["messages:read"]).await;
    let of_api = async |query: &str| app.call(Method::GET, &format!("/api/v1/messages?{query}"), &token, None).await;
    for (query, wanted) in
        [("status=read", vec![one.id]), ("status=rejected", vec![two.id]), ("q=1790000000", vec![two.id, one.id])]
    {
        let found = of_api(query).await.body;
        let ids: Vec<_> =
            found["messages"].as_array().expect("a list").iter().map(|message| message["id"].clone()).collect();
        assert_eq!(ids, wanted.iter().map(|id| json!(id.to_string())).collect::<Vec<_>>(), "{query}");
    }
    for query in ["status=nope", "status=read&state=submitted"] {
        let refused = of_api(query).await;
        assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!("status")), "{refused:?}");
    }
    for (query, said) in [
        ("q=12", "Write at least the last 5 digits"),
        ("account=nosuch", "Account: there is no account nosuch"),
        ("since=yesterday", "is no time"),
        ("code=x", "a number such as 131026"),
        ("q=msg_0000000000000", "No message fits"),
    ] {
        let page = asha.get(&format!("/console/messages?{query}")).await;
        assert!(page.status == 200 && page.text.contains(said), "{query}: {page:?}");
    }
    app.leave().await;
}

/// The messages of each page of a list.
async fn rows_by_page(visitor: &Visitor, path: &str) -> Vec<Vec<String>> {
    let mut path = path.to_owned();
    let mut pages = Vec::new();
    loop {
        let text = visitor.get_with(&path, &[("HX-Request", "true"), ("X-More", "1")]).await.text;
        assert!(!text.contains("<html"), "only rows are asked for");
        pages
            .push(text.split("data-row href=\"/console/messages/").skip(1).map(|rest| rest[..17].to_owned()).collect());
        let Some((_, rest)) = text.split_once("<a href=\"/console/messages?") else { return pages };
        let query = rest.split('"').next().expect("the link ends").replace("&#38;", "&").replace("&amp;", "&");
        path = format!("/console/messages?{query}");
    }
}

async fn the_next_page_has_what_fits_the_same_filters(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    for number in 1..=60 {
        app.simulator.add_rule(Rule::recipient(&person(2 * number), Effect::Refuse(Refusal::code(131_026))));
    }
    let messages: Vec<Message> = (1..=120).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.settled().await;

    let pages = rows_by_page(&asha, "/console/messages?reason=unreachable").await;

    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 10]);
    app.leave().await;
}

async fn pages_of_messages_follow_each_other_without_gaps(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let messages: Vec<Message> = (1..=120).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.settled().await;

    let pages = rows_by_page(&asha, "/console/messages?template=order_update").await;

    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    let seen = pages.concat();
    let mut sorted = seen.clone();
    sorted.sort_by(|one, other| other.cmp(one));
    sorted.dedup();
    assert_eq!(seen, sorted, "the newest first, each once");
    app.leave().await;
}

async fn every_change_is_in_the_audit_log_and_no_secret(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    app.another(&asha, "ben", "operator").await;
    let link = asha.post("/console/users/ben/reset", &[]).await.between("<code id=\"secret\">", "</code>");
    asha.post("/console/users/ben/role", &[("role", "read-only")]).await;
    asha.post("/console/users/ben/disable", &[]).await;
    let token = asha.make_token(&["messages:read"]).await;
    let key = asha.get("/console/tokens").await.between("/console/tokens/", "/revoke");
    asha.post(&format!("/console/tokens/{key}/revoke"), &[]).await;
    let last = asha.post("/console/users/asha/role", &[("role", "operator")]).await;
    assert!(last.status == 409 && last.text.contains("only owner"), "{last:?}");
    app.command(&["user", "add", "dora", "--role", "read-only"]).await;
    let page = asha.get("/console/audit").await.text;
    assert!(page.contains("<span class=\"quiet\">role</span>"), "{page}");
    let rows = asha.get("/console/audit").await.between("<tbody>", "</tbody>");
    assert!(!rows.contains("wide"), "what a change was is seen on a phone too: {rows}");

    let lines = app.store.audit_lines(None, 100).await.expect("readable");

    let told: Vec<(&str, &str)> = lines.iter().map(|line| (line.action.as_str(), line.subject.as_str())).collect();
    let token_name = format!("token a test (…{})", &token[token.len() - 4..]);
    assert_eq!(
        told,
        [
            ("add user", "dora"),
            ("take back token", token_name.as_str()),
            ("make token", token_name.as_str()),
            ("change user", "ben"),
            ("change user", "ben"),
            ("reset password", "ben"),
            ("sign in", "ben"),
            ("choose password", "ben"),
            ("add user", "ben"),
            ("sign in", "asha"),
            ("set up", "asha"),
            ("add number", BUSINESS_NUMBER),
            ("add account", "acme"),
            ("add connection", "meta-main"),
        ]
    );
    let changed = &lines[4];
    assert_eq!((changed.actor.as_str(), changed.address.as_deref()), ("asha", Some("127.0.0.1")));
    let json =
        |text: &Option<String>| serde_json::from_str::<Value>(text.as_deref().unwrap_or_default()).expect("JSON");
    assert_eq!(json(&changed.before), json!({"role": "operator", "disabled": false}));
    assert_eq!(json(&changed.after), json!({"role": "read-only", "disabled": false}));
    assert!(lines[0].actor.starts_with("user ") && lines[0].address.is_none(), "{:?}", lines[0]);
    let everything = format!("{lines:?}");
    for secret in [PASSWORD, token.as_str(), link.rsplit('/').next().expect("a token")] {
        assert!(!everything.contains(secret), "{secret} is in the log");
    }
    let page = asha.get("/console/audit").await.text;
    assert!(page.contains("take back token") && page.contains("read-only"), "{page}");
    app.leave().await;
}

async fn what_needs_a_person_stands_on_the_first_page(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.alarms.look_every = Duration::from_millis(50);
    })
    .await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let alarm = format!("<span class=\"pill bad\">Number {BUSINESS_NUMBER}</span>");
    let is_told = async || asha.get("/console/overview").await.text.contains(&alarm);
    assert!(!is_told().await);

    app.command(&["hold", BUSINESS_NUMBER, "--reason", "asked by +919876520001"]).await;
    app.until("the alarm is raised", &is_told).await;

    let page = asha.get("/console/overview").await.text;
    let place = format!("/console/numbers/{}", &BUSINESS_NUMBER[1..]);
    assert!(page.contains(&format!("<a href=\"{place}\">Look at it</a>")), "{page}");
    assert_eq!(asha.get(&place).await.status, 200);
    assert!(page.contains("on hold") && page.matches("asked by +919876520001").count() >= 1, "{page}");
    assert!(!cara.get("/console/overview").await.text.contains("+919876520001"));
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until("it is over", async || !is_told().await).await;
    app.leave().await;
}

async fn what_was_not_understood_can_be_looked_at(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let odd = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "918880110022", "phone_number_id": crate::harness::NUMBER_ID},
        "statuses": [{"id": "wamid.HBgMOTE5ODc2NTIwMDA3", "status": "levitated", "timestamp": "1790000000", "recipient_id": "919876520007"}]
    }}]}]});
    assert_eq!(app.post_webhook(odd.to_string(), APP_SECRET).await, 200);

    let whole = asha.get("/console/unrecognized").await.text;
    let masked = cara.get("/console/unrecognized").await.text;

    assert!(whole.contains("919876520007") && whole.contains("levitated"), "{whole}");
    assert!(masked.contains("not understood") && !masked.contains("919876520007"), "{masked}");
    let found = asha.get("/console/unrecognized?reason=levitated").await.text;
    assert!(found.contains("919876520007"), "{found}");
    app.leave().await;
}

async fn pages_bring_nothing_from_elsewhere_and_are_kept_by_nobody(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    for path in ["/console/messages", "/console/sign-in", "/console/nothing/here"] {
        let page = asha.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        for inline in ["<style", " style=", " onclick=", "<script>", "src=\"http", "href=\"http"] {
            assert!(!page.text.contains(inline), "{inline} in {path}");
        }
    }
    assert_eq!(asha.get("/console/nothing/here").await.status, 404);
    assert_eq!(asha.get("/console/messages/msg_0000000000000").await.status, 404);
    assert_eq!(app.visitor().get("/").await.header("location"), "/console/overview");
    let style = asha.get("/console/messages").await.between("rel=\"stylesheet\" href=\"", "\"");
    let plain = asha.get(&style).await;
    assert!(plain.header("cache-control").contains("immutable") && plain.text.contains(":root"), "{plain:?}");
    assert_eq!(asha.get_with(&style, &[("Accept-Encoding", "gzip, br")]).await.header("content-encoding"), "gzip");
    assert_eq!(asha.get("/console/assets/0000000000000000/console.css").await.status, 404);
    app.leave().await;
}

async fn an_empty_overview_leads_to_the_first_message(database: Database) {
    let app = TestApp::start_with(database, |options| options.unconfigured = true).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;

    let empty = asha.get("/console/overview").await.text;
    for path in ["/console/new-connection", "/console/new-account", "/console/new-number"] {
        assert!(empty.contains(&format!("href=\"{path}\"")), "no way to {path}: {empty}");
    }
    assert!(!empty.contains("How far messages came"), "figures that are all nought help nobody: {empty}");
    let looked = cara.get("/console/overview").await.text;
    assert!(
        looked.contains("Add a connection") && !looked.contains("/console/new-"),
        "who may not, is not sent: {looked}"
    );

    let added = asha.post("/console/accounts", &[("id", "acme"), ("clevertap_account_id", "TEST-ACC-1")]).await;
    assert!(added.status < 400, "{added:?}");
    app.until("the account is ticked off", async || asha.get("/console/overview").await.text.contains(">done<")).await;
    app.leave().await;
}

async fn the_console_has_an_address_of_its_own_or_is_nowhere(database: Database) {
    let app = TestApp::start_with(database, |options| options.settings.console.enabled = false).await;
    for path in ["/console/sign-in", "/api/v1/status", "/"] {
        assert_eq!(app.get(path).await.0, 404, "{path}");
    }
    app.leave().await;
}

on_each_database!(
    the_set_up_link_makes_one_owner_and_works_once,
    a_name_and_a_password_open_and_signing_out_closes,
    a_new_password_ends_the_sessions_that_the_old_one_began,
    behind_tls_the_cookie_is_for_tls_and_this_host_alone,
    the_first_start_prints_a_link_that_works_once,
    guessing_is_stopped_by_name_and_by_address,
    a_session_ends_when_it_is_idle_or_old,
    a_form_that_no_page_of_the_session_wrote_changes_nothing,
    each_role_sees_and_does_what_it_may,
    a_message_is_found_by_whatever_is_known_of_it,
    pages_of_messages_follow_each_other_without_gaps,
    the_next_page_has_what_fits_the_same_filters,
    every_change_is_in_the_audit_log_and_no_secret,
    what_needs_a_person_stands_on_the_first_page,
    what_was_not_understood_can_be_looked_at,
    pages_bring_nothing_from_elsewhere_and_are_kept_by_nobody,
    an_empty_overview_leads_to_the_first_message,
    the_console_has_an_address_of_its_own_or_is_nowhere,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_address_of_its_own_the_console_is_only_there() {
    let app = TestApp::start_with(Database::sqlite().await, |options| {
        options.settings.console.bind = Some("127.0.0.1:0".parse().expect("an address"));
    })
    .await;
    assert_eq!(app.get("/console/sign-in").await.0, 404);
    let address = app.console_address().expect("it has one");
    let page = reqwest::get(format!("http://{address}/console/sign-in")).await.expect("it answers");
    assert_eq!(page.status().as_u16(), 200);
    app.leave().await;
}
