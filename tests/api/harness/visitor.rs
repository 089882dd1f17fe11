//! Somebody at the console, without a browser: a cookie, forms as they stand in the pages, and programs with a token.

use std::{cell::RefCell, sync::LazyLock};

use reqwest::{Method, header, redirect};
use serde_json::Value;

use super::{Answer, TestApp};

pub(crate) const PASSWORD: &str = "seven quiet tea pots";

/// Who visits; nobody until they have signed in.
pub(crate) struct Visitor {
    base: String,
    client: reqwest::Client,
    cookie: RefCell<Option<String>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: header::HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What stands between two pieces of text.
    pub(crate) fn between(&self, before: &str, after: &str) -> String {
        let rest = self.text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {}", self.text)).1;
        rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} after {before:?}")).0.to_owned()
    }
}

/// Made once, because whoever makes one reads the certificates of this machine. It keeps no connection: each test has a runtime of
/// its own. Redirects are for the tests to see.
pub(crate) fn caller() -> reqwest::Client {
    static CALLER: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let client = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).pool_max_idle_per_host(0);
        client.build().expect("a client")
    });
    CALLER.clone()
}

impl TestApp {
    /// Somebody who is not signed in.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor { base: self.at(""), client: caller(), cookie: RefCell::new(None) }
    }

    /// The path of a link that was printed, whatever address the settings say.
    pub(crate) fn path_of(link: &str) -> String {
        format!("/console/welcome/{}", link.trim().rsplit('/').next().expect("a link has parts"))
    }

    /// `asha`, who used the set-up link.
    pub(crate) async fn first_owner(&self) -> Visitor {
        let told: Value = serde_json::from_str(&self.command(&["user", "link", "--json"]).await).expect("it is JSON");
        let visitor = self.visitor();
        let path = Self::path_of(told["link"].as_str().expect("a link"));
        let page = visitor.post_plain(&path, &[("name", "asha"), ("password", PASSWORD)]).await;
        assert_eq!((page.status, page.header("location")), (303, "/console/overview"), "{page:?}");
        visitor
    }

    /// Somebody else, whom the first owner added.
    pub(crate) async fn another(&self, owner: &Visitor, name: &str, role: &str) -> Visitor {
        let page = owner.post("/console/users", &[("name", name), ("role", role)]).await;
        assert_eq!(page.status, 200, "{page:?}");
        let path = Self::path_of(&page.between("<code id=\"secret\">", "</code>"));
        let visitor = self.visitor();
        let page = visitor.post_plain(&path, &[("password", PASSWORD)]).await;
        assert_eq!(page.status, 303, "{page:?}");
        visitor
    }

    /// What a program is told that calls the API.
    pub(crate) async fn call(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
        let mut request = caller().request(method, self.at(path));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the bridge answers");
        let http_status = answer.status().as_u16();
        Answer { http_status, body: serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default() }
    }
}

impl Visitor {
    pub(crate) async fn get(&self, path: &str) -> Page {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&'static str, &str)]) -> Page {
        self.send(self.client.get(format!("{}{path}", self.base)), headers).await
    }

    /// Posts a form as a page of the console would, with what proves that.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = self.get("/console/account").await.between("name=\"csrf\" value=\"", "\"");
        let mut fields = fields.to_vec();
        fields.push(("csrf", &csrf));
        self.post_plain(path, &fields).await
    }

    /// Posts a form without anything that is not in it.
    pub(crate) async fn post_plain(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.post_with(path, fields, &[]).await
    }

    /// The same without going where the answer leads.
    pub(crate) async fn post_alone(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(self.posting(path, fields), &[]).await
    }

    /// Goes on to what is shown once, as browsers do.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Page {
        let page = self.send(self.posting(path, fields), headers).await;
        match page.status == 303 && page.header("location").starts_with("/console/shown?") {
            true => self.get(page.header("location")).await,
            false => page,
        }
    }

    fn posting(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(format!("{}{path}", self.base)).body(body);
        request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Page {
        self.post_plain("/console/sign-in", &[("name", name), ("password", password)]).await
    }

    /// Whether the pages are open.
    pub(crate) async fn is_in(&self) -> bool {
        self.get("/console/account").await.status == 200
    }

    /// Makes a token with these scopes, and gives it back.
    pub(crate) async fn make_token(&self, scopes: &[&str]) -> String {
        let mut fields = vec![("name", "a test"), ("days", "7")];
        fields.extend(scopes.iter().map(|scope| ("scope", *scope)));
        let page = self.post("/console/tokens", &fields).await;
        assert_eq!(page.status, 200, "{page:?}");
        page.between("<code id=\"secret\">", "</code>")
    }

    async fn send(&self, mut request: reqwest::RequestBuilder, headers: &[(&'static str, &str)]) -> Page {
        if let Some(cookie) = self.cookie.borrow().as_ref() {
            request = request.header(header::COOKIE, cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("the bridge answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        if let Some(cookie) = headers.get(header::SET_COOKIE).and_then(|value| value.to_str().ok()) {
            let kept = cookie.split(';').next().unwrap_or_default().to_owned();
            *self.cookie.borrow_mut() = Some(kept).filter(|kept| !kept.ends_with('='));
        }
        Page { status, headers, text: answer.text().await.expect("a text") }
    }
}
