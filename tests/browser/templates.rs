//! Templates and the test bench: a test filled in with its preview beside it, sent, and followed; a request pasted and explained.

use super::{
    browser::{Browser, Shape},
    harness::{Database, Message, TestApp, person},
};

const ORDER_UPDATE: &str = "/console/templates/meta-main/200000000000001/order_update/en";

/// What CleverTap has is another text, and once too little.
async fn a_template_that_drifted(app: &TestApp) {
    let body = serde_json::json!({"type": "body", "body": {"text": "Dear Asha, your order A-17 is late.", "parameters": [
        {"type": "text", "text": "Asha"}, {"type": "text", "text": "A-17"}]}});
    app.accept(&Message::template(&person(1), "order_update", "en").part(body)).await;
    let refused = app.send(&Message::template(&person(2), "order_update", "en").values(&["Asha"])).await;
    assert_eq!(refused.code(), 2001);
    app.settled().await;
}

async fn a_test_is_filled_in_sent_and_followed(shape: Shape) {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    a_template_that_drifted(&app).await;
    let browser = Browser::signed_in(&app, shape).await;

    browser.open(&app.at("/console/templates")).await;
    browser.until("they are listed", "return document.querySelectorAll('[data-row]').length === 19").await;
    browser.fill("q", "order").await;
    browser.until("some fit", "return document.querySelectorAll('[data-row]').length < 10").await;
    browser.open(&app.at(ORDER_UPDATE)).await;
    browser.until("it is compared", "return document.body.innerText.includes('the body needs 2 variables')").await;
    browser.look("template-differences").await;
    browser.follow("Try it out").await;
    browser.until("the form is there", "return document.querySelector('#body_1')?.value === 'Asha'").await;

    let choose = |name: &str, value: &str| {
        format!(
            "const field = document.querySelector('#{name}'); field.value = '{value}'; \
             field.dispatchEvent(new Event('change', {{bubbles: true}}))"
        )
    };
    browser.ask(&choose("template", "coupon")).await;
    // What was just put in listens a moment later.
    let another = "return document.querySelector('#button_1')?.value === 'SAVE20' \
                   && !document.querySelector('.htmx-added, .htmx-settling')";
    browser.until("the fields are another's", another).await;
    browser.ask(&choose("template", "order_update")).await;
    let back = "return document.querySelector('#body_2')?.value === 'A-17' \
                && !document.querySelector('.htmx-added, .htmx-settling')";
    browser.until("they are back", back).await;
    browser.fill("body_1", "Ravi").await;
    let shown = "return document.querySelector('#preview').innerText.includes('Hi Ravi, your order A-17')";
    browser.until("the preview follows", shown).await;
    browser.fill("to", "12").await;
    browser.press("Only check").await;
    browser.until("it says what is wrong", "return document.body.innerText.includes('It would be refused')").await;
    browser.look("test-bench-refused").await;
    assert_eq!(browser.ask("return document.querySelector('#body_1').value").await, "Ravi", "what was typed stays");
    browser.fill("to", &person(3)).await;
    browser.press("Send to the phone").await;
    let read =
        "return [...document.querySelectorAll('.timeline .what')].some((line) => line.innerText.startsWith('read'))";
    browser.until("the person has read it", read).await;
    let said = "return document.querySelector('#exchanges').innerText.includes('wamid.')";
    browser.until("what was said is shown", said).await;
    browser.look("test-bench-sent").await;

    browser.open(&app.at("/console/test-bench/explain")).await;
    let request = Message::template(&person(4), "order_update", "en").values(&["Asha"]).body.to_string();
    browser.fill("payload", &request).await;
    browser.press("Explain").await;
    browser.until("it is explained", "return document.querySelector('.checks') !== null").await;
    browser.look("test-bench-explained").await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_filled_in_sent_and_followed_in_the_light() {
    a_test_is_filled_in_sent_and_followed(Shape::Desk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_filled_in_sent_and_followed_in_the_dark() {
    a_test_is_filled_in_sent_and_followed(Shape::Dark).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_filled_in_sent_and_followed_on_a_phone() {
    a_test_is_filled_in_sent_and_followed(Shape::Phone).await;
}
