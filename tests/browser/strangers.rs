//! Pages of others, while the owner is signed in, and whoever comes after she has left: nothing is done and nothing is shown.

use std::sync::{Arc, Mutex};

use fantoccini::{Locator, cookies::Cookie};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::{
    browser::{Browser, Shape},
    harness::{Database, Message, PASSWORD, TestApp, person},
};

/// Somebody else's site, of one page.
#[derive(Clone, Default)]
struct Stranger {
    page: Arc<Mutex<String>>,
}

impl Stranger {
    /// Listens on a port of its own, which it gives back.
    async fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let page = self.page.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let page = page.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    // Not before it is asked: a browser connects ahead of its needs.
                    let page = page.lock().expect("free").clone();
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close";
                    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
                    // A browser may have gone on.
                    drop(stream.get_mut().write_all(answer.as_bytes()).await);
                });
            }
        });
        port
    }

    fn shows(&self, page: String) {
        *self.page.lock().expect("free") = page;
    }
}

/// A form that sends itself; with what its fields are, as far as a stranger can know.
fn form(target: &str, csrf: &str) -> String {
    format!(
        "<!doctype html><title>You have won</title><form method=\"post\" action=\"{target}\"><input name=\"name\" value=\"mallory\">\
         <input name=\"role\" value=\"owner\"><input name=\"csrf\" value=\"{csrf}\"></form><script>document.forms[0].submit()</script>"
    )
}

async fn people(app: &TestApp) -> Vec<String> {
    app.store.operators().await.expect("readable").into_iter().map(|person| person.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_does_nothing_in_the_name_of_who_is_signed_in() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let stranger = Stranger::default();
    let port = stranger.start().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;
    browser.open(&app.at("/console/users")).await;
    let csrf = browser.ask("return document.querySelector('[name=\"csrf\"]').value").await;
    let csrf = csrf.as_str().expect("a text").to_owned();
    let target = app.at("/console/users");

    // Of the same host a browser shows the cookie, whatever the port; of another it does not. Even the right token is of no use.
    for host in ["127.0.0.1", "localhost"] {
        for known in ["", &csrf] {
            stranger.shows(form(&target, known));
            browser.open(&format!("http://{host}:{port}/")).await;
            browser.until_said("This was not sent by the console").await;
            assert_eq!(people(&app).await, ["asha"], "{host}");
        }
    }
    browser.look("strangers-form").await;

    // Nor does a script, or a frame that somebody is to click into.
    stranger.shows(format!(
        "<!doctype html><title>x</title><iframe src=\"{target}\"></iframe><script>window.tried = fetch('{target}', {{method: 'POST', \
         mode: 'no-cors', credentials: 'include', body: new URLSearchParams({{name: 'mallory', role: 'owner', csrf: '{csrf}'}})}})\
         .then(() => 'sent', String); window.read = fetch('{target}', {{credentials: 'include'}}).then((answer) => answer.text(), String)</script>"
    ));
    browser.open(&format!("http://127.0.0.1:{port}/")).await;
    let script = "const done = arguments[arguments.length - 1]; Promise.all([window.tried, window.read]).then(done)";
    let tried = browser.client.execute_async(script, vec![]).await.expect("both end");
    assert_eq!(tried[0], "sent", "what is refused was a request");
    assert!(tried[1].as_str().is_some_and(|text| text.contains("Failed to fetch")), "nothing can be read: {tried}");
    browser.client.clone().enter_frame(0).await.expect("there is a frame");
    assert_eq!(browser.ask("return document.querySelector('.nav, form') === null").await, true, "it shows no console");
    browser.client.clone().enter_parent_frame().await.expect("there is a page around it");
    assert_eq!(people(&app).await, ["asha"]);

    // And a page of ours whose session is another does not, either.
    browser.open(&target).await;
    browser.ask("document.querySelectorAll('[name=\"csrf\"]').forEach((one) => one.value = 'of yesterday')").await;
    browser.fill("name", "mallory").await;
    browser.press("Add").await;
    browser.until_said("This form is too old").await;
    browser.look("form-too-old").await;
    assert_eq!(people(&app).await, ["asha"]);
    browser.follow("Back").await;
    browser.until_path("/console/users").await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_signing_out_nothing_is_shown_by_going_back_or_by_a_kept_cookie() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;
    browser.open(&app.at("/console/messages")).await;
    browser.until_said(&person(1)).await;
    let cookies = browser.client.get_all_cookies().await.expect("cookies can be seen");
    let kept: Vec<Cookie<'static>> = cookies.into_iter().filter(|cookie| cookie.http_only() == Some(true)).collect();
    assert_eq!(kept.len(), 1, "the session's, which no script sees: {kept:?}");
    assert_eq!(browser.ask("return document.cookie.includes('wabridge_session')").await, false);
    browser.open(&app.at("/console/overview")).await;

    browser.press("Sign out").await;
    browser.until_path("/console/sign-in").await;
    assert!(!cookies_of(&browser).await.contains(&kept[0].value().to_owned()), "the browser has forgotten it");
    for _ in 0..2 {
        browser.client.back().await.expect("there is something to go back to");
        browser.until("nothing is shown", "return document.querySelector('.nav') === null && document.querySelector('[name=\"password\"]') !== null").await;
        assert!(!browser.client.source().await.expect("a page").contains(&person(1)));
    }

    // Somebody kept the cookie.
    let put_back = format!("document.cookie = '{}={}; Path=/'", kept[0].name(), kept[0].value());
    browser.ask(&put_back).await;
    assert!(cookies_of(&browser).await.contains(&kept[0].value().to_owned()), "it is there again");
    browser.open(&app.at("/console/messages")).await;
    browser.until_path("/console/sign-in").await;
    // Who signs in goes on where somebody wanted to be.
    let name = browser.client.find(Locator::Css("[name='name']")).await.expect("the form is there");
    name.send_keys("asha").await.expect("it can be written into");
    browser.fill("password", PASSWORD).await;
    browser.press("Sign in").await;
    browser.until_path("/console/messages").await;
    browser.close().await;
    app.leave().await;
}

async fn cookies_of(browser: &Browser) -> Vec<String> {
    let cookies = browser.client.get_all_cookies().await.expect("cookies can be seen");
    cookies.iter().map(|cookie| cookie.value().to_owned()).collect()
}
