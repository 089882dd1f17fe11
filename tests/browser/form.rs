//! A form as somebody fills it in: wrong in one way after another, and then right.

use fantoccini::{Locator, elements::Element};
use serde_json::{Value, json};

use super::{browser::Browser, harness::TestApp};

/// As many lines as the audit log can have in a scenario.
const LINES_MAX: usize = 1_000;

/// A form, and what is right and wrong in it. A box is named with the value that is ticked, or with nothing for none of its name.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(crate) page: &'a str,
    /// Which form of the page it is, in CSS.
    pub(crate) css: &'a str,
    pub(crate) right: &'a [(&'a str, &'a str)],
    /// A field, what is wrong in it, and what is said there. Where the browser alone stops it nothing is said.
    pub(crate) wrong: &'a [(&'a str, &'a str, &'a str)],
    /// Fields whose contents are never shown again.
    pub(crate) secret: &'a [&'a str],
    /// It only asks for something.
    pub(crate) asks: bool,
    /// What the page says that follows.
    pub(crate) says: &'a str,
    /// Where what was entered stands afterwards.
    pub(crate) seen_at: &'a str,
}

impl Form<'_> {
    pub(crate) const PLAIN: Self =
        Form { page: "", css: "", right: &[], wrong: &[], secret: &[], asks: false, says: "", seen_at: "" };
}

impl Browser {
    /// What is wrong is told at its field, all else stays as it was typed, and nothing is done; what is right is done.
    pub(crate) async fn goes_through(&self, app: &TestApp, form: &Form<'_>) {
        for wrong in form.wrong {
            self.is_refused(app, form, wrong).await;
        }
        if form.wrong.iter().any(|(.., said)| !said.is_empty()) {
            let name: String = form.page.chars().map(|sign| if sign.is_alphanumeric() { sign } else { '-' }).collect();
            self.look(&format!("wrong{name}")).await;
        }
        self.is_done(app, form).await;
    }

    async fn is_refused(&self, app: &TestApp, form: &Form<'_>, (name, value, said): &(&str, &str, &str)) {
        let before = deeds(app).await;
        self.open(&app.at(form.page)).await;
        self.fill_in(form, form.right).await;
        self.fill_in(form, &[(name, value)]).await;
        let what = format!("{} of {}, {name} = {value:?}", form.css, form.page);
        if self.of_field(form, name, "!field.form.noValidate && !field.validity.valid").await == json!(true) {
            self.ask("window.isTheSame = true").await;
            self.send(form).await;
            let stays =
                self.of_field(form, name, "window.isTheSame === true && document.activeElement === field").await;
            assert_eq!(stays, json!(true), "the browser leads to the field: {what}");
            self.of_field(form, name, "field.form.noValidate = true").await;
        } else {
            assert!(!said.is_empty(), "the browser itself stops it: {what}");
        }
        if !said.is_empty() {
            self.send(form).await;
            let told = "field.ariaInvalid === 'true' && (field.getAttribute('aria-describedby') ?? '').split(' ')\
                        .some((id) => document.getElementById(id)?.innerText.includes(said))";
            self.until(&format!("it says {said:?}: {what}"), &script_of(form, (name, said), told)).await;
            self.until("the page is whole", "return document.readyState === 'complete'").await;
            let here = "return document.activeElement === document.querySelector('[aria-invalid=\"true\"]')";
            self.until(&format!("one goes on at the first that is wrong: {what}"), here).await;
            let entered: Vec<(&str, &str)> =
                form.right.iter().copied().filter(|(other, _)| other != name).chain([(*name, *value)]).collect();
            assert_eq!(self.lost(form, &entered).await, json!([]), "what was typed stays: {what}");
            self.shows_no_secret(form, &entered).await;
        }
        assert_eq!(deeds(app).await, before, "nothing is done: {what}");
    }

    async fn is_done(&self, app: &TestApp, form: &Form<'_>) {
        let before = deeds(app).await;
        self.open(&app.at(form.page)).await;
        self.fill_in(form, form.right).await;
        self.send(form).await;
        self.until_said(form.says).await;
        assert_eq!(deeds(app).await > before, !form.asks, "it is written down: {} of {}", form.css, form.page);
        self.shows_no_secret(form, form.right).await;
        if !form.seen_at.is_empty() {
            self.open(&app.at(form.seen_at)).await;
            let missing = format!(
                "const [entered, secret] = {}; return entered.filter(([name, value]) => {{ if (secret.includes(name)) return false; \
                 const fields = [...document.querySelectorAll(`main [name=\"${{name}}\"]:not([type=\"hidden\"])`)]; \
                 if (fields.length === 0) return !document.querySelector('main').innerText.includes(value); \
                 return !fields.some((field) => field.value === value && (field.type !== 'checkbox' || field.checked)); }})",
                json!([form.right, form.secret])
            );
            assert_eq!(self.ask(&missing).await, json!([]), "it is kept: {}", form.seen_at);
            self.shows_no_secret(form, form.right).await;
        }
    }

    pub(crate) async fn until_said(&self, words: &str) {
        let script = format!("return document.body.innerText.includes({})", json!(words));
        self.until(&format!("it says {words:?}"), &script).await;
        self.until("the page is whole", "return document.readyState === 'complete'").await;
    }

    pub(crate) async fn fill_in(&self, form: &Form<'_>, fields: &[(&str, &str)]) {
        // Not by clicks: what is folded away cannot be typed into.
        let open = format!(
            "const form = document.querySelector({}); if (form === null) return document.body.innerText; \
             form.closest('details')?.setAttribute('open', ''); \
             form.querySelectorAll('details').forEach((one) => one.open = true); return true",
            json!(form.css)
        );
        assert_eq!(self.ask(&open).await, json!(true), "{} is on {}", form.css, form.page);
        for (name, value) in fields {
            let css = format!("{} [name=\"{name}\"]:not([type=\"hidden\"])", form.css);
            let field = self.client.find(Locator::Css(&css)).await;
            let field = field.unwrap_or_else(|_| panic!("no field {name} on {}", form.page));
            self.enter(form, name, &field, value).await;
        }
    }

    async fn enter(&self, form: &Form<'_>, name: &str, field: &Element, value: &str) {
        let kind = field.prop("type").await.expect("it is a field").unwrap_or_default();
        match kind.as_str() {
            "checkbox" => {
                let ticked = format!(
                    "[...field.form.elements].filter((box) => box.name === field.name && \
                     ({value} === '' ? box.checked : box.value === {value} && !box.checked)).forEach((box) => box.click())",
                    value = json!(value)
                );
                self.of_field(form, name, &ticked).await;
            }
            "select-one" | "datetime-local" => {
                let value = json!(value);
                let chosen = format!(
                    "(field.value = {value}, field.dispatchEvent(new Event('change', {{bubbles: true}})), field.value === {value})"
                );
                assert_eq!(self.of_field(form, name, &chosen).await, json!(true), "{name} can be {value}");
            }
            _ => {
                field.clear().await.expect("it can be emptied");
                field.send_keys(value).await.expect("it can be written into");
            }
        }
    }

    /// Presses the form's own button.
    pub(crate) async fn send(&self, form: &Form<'_>) {
        let css = format!("{} button:not([type='button'])", form.css);
        let button = self.client.find(Locator::Css(&css)).await.unwrap_or_else(|_| panic!("{} has a button", form.css));
        button.click().await.unwrap_or_else(|error| panic!("the button of {} cannot be pressed: {error}", form.css));
    }

    async fn of_field(&self, form: &Form<'_>, name: &str, expression: &str) -> Value {
        self.ask(&script_of(form, (name, ""), expression)).await
    }

    /// What stands in the form otherwise than it was entered; a secret is not to stand there at all.
    async fn lost(&self, form: &Form<'_>, entered: &[(&str, &str)]) -> Value {
        let script = format!(
            "const [css, entered, secret] = {}; const form = document.querySelector(css); \
             return entered.filter(([name, value]) => {{ \
             const fields = [...form.querySelectorAll(`[name=\"${{name}}\"]:not([type=\"hidden\"])`)]; \
             if (secret.includes(name)) return fields.some((field) => field.value !== ''); \
             if (fields[0].type !== 'checkbox') return fields[0].value !== value; \
             return value === '' ? fields.some((box) => box.checked) : !fields.some((box) => box.value === value && box.checked); }})",
            json!([form.css, entered, form.secret])
        );
        self.ask(&script).await
    }

    async fn shows_no_secret(&self, form: &Form<'_>, entered: &[(&str, &str)]) {
        let html = self.client.source().await.expect("a page");
        for (name, value) in entered.iter().filter(|(name, value)| form.secret.contains(name) && !value.is_empty()) {
            assert!(!html.contains(value), "{name} is shown by {}: {html}", form.css);
        }
    }
}

fn script_of(form: &Form<'_>, (name, said): (&str, &str), expression: &str) -> String {
    let css = format!("{} [name=\"{name}\"]:not([type=\"hidden\"])", form.css);
    let known = json!([css, said]);
    format!(
        "const [css, said] = {known}; const field = document.querySelector(css); return field !== null && ({expression})"
    )
}

/// Whatever is done is a line of the audit log.
async fn deeds(app: &TestApp) -> usize {
    let lines = app.store.audit_lines(None, LINES_MAX).await.expect("the audit log can be read");
    // What somebody failed to do is written down, too.
    lines.iter().filter(|line| !line.action.starts_with("fail to ")).count()
}
