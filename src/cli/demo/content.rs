//! What the messages say: one shape for each kind of template in the simulator's sample list, as CleverTap writes it.

use serde_json::{Map, Value, json};

/// A document without its envelope.
pub(super) type Parts = Map<String, Value>;

/// The content of a message. The last three are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    OrderUpdate,
    OrderUpdateHindi,
    FestiveOffer,
    Invoice,
    ProductTour,
    StoreNearby,
    CartReminder,
    Coupon,
    LoginCode,
    Appointment,
    Welcome,
    FreeformText,
    FreeformImage,
    TooFewParameters,
    UnknownTemplate,
    PausedTemplate,
}

const NAMES: [&str; 8] = ["Asha", "Ravi", "Meera", "Karim", "Lena", "Farhan", "Divya", "Tomás"];

impl Content {
    /// What a campaign is made of, in turn; the first eight are of eight kinds.
    pub(super) const ORDINARY: &[Self] = &[
        Self::OrderUpdate,
        Self::FestiveOffer,
        Self::Invoice,
        Self::StoreNearby,
        Self::CartReminder,
        Self::Coupon,
        Self::LoginCode,
        Self::Appointment,
        Self::OrderUpdateHindi,
        Self::ProductTour,
        Self::Welcome,
    ];

    pub(super) fn write(self, place: usize) -> Parts {
        let name = NAMES[place % NAMES.len()];
        let order = format!("A-{}", 1_000 + place);
        match self {
            Self::OrderUpdate => template("order_update", "en", vec![body(&[name, &order])]),
            Self::OrderUpdateHindi => template("order_update", "hi", vec![body(&[name, &order])]),
            Self::FestiveOffer => festive_offer(name, place),
            Self::Invoice => {
                let file = json!({"mediaURL": "https://media.example/invoice.pdf", "filename": format!("{order}.pdf")});
                template("invoice_ready", "en_US", vec![header("file", file), body(&[name, "May"])])
            }
            Self::ProductTour => {
                let video = json!({"mediaURL": "https://media.example/tour.mp4"});
                template("product_tour", "en", vec![header("video", video)])
            }
            Self::StoreNearby => {
                let place = json!({"latitude": "19.0760", "longitude": "72.8777", "name": "Acme Retail, Bandra"});
                template("store_nearby", "en", vec![header("location", place), body(&[name])])
            }
            Self::CartReminder => cart_reminder(name, &order),
            Self::Coupon => {
                let coupon = json!([{"type": "coupon_code", "coupon_code": format!("SAVE{}", 10 + place % 20)}]);
                template("coupon", "en", vec![body(&[name]), button(0, "copy_code", "Copy offer code", coupon)])
            }
            Self::LoginCode => {
                let code = format!("{:06}", (482_913 + place * 7_919) % 1_000_000);
                template("login_code", "en", vec![body(&[&code])])
            }
            // The language is written as people write it into CleverTap's form.
            Self::Appointment => template("appointment", "en(uk)", vec![body(&[name, "Monday"])]),
            Self::Welcome => template("welcome", "en", vec![]),
            Self::FreeformText => {
                freeform("text", json!({"body": format!("Hello {name}, this is Acme Retail. How can we help?")}))
            }
            Self::FreeformImage => {
                freeform("image", json!({"mediaURL": "media.example/size-chart.jpg", "caption": "Our size chart"}))
            }
            Self::TooFewParameters => template("order_update", "en", vec![body(&[name])]),
            Self::UnknownTemplate => template("summer_sale", "en", vec![body(&[name])]),
            Self::PausedTemplate => template("winback", "en", vec![body(&[name])]),
        }
    }
}

fn festive_offer(name: &str, place: usize) -> Parts {
    let image = json!({"mediaURL": "https://media.example/offer.jpg"});
    let payload = |word: &str| json!([{"type": "payload", "payload": format!("{word}-{place}")}]);
    let components = vec![
        header("image", image),
        body(&[name, "20%"]),
        button(0, "quickReply", "Show me", payload("show")),
        button(1, "quickReply", "Stop promotions", payload("stop")),
    ];
    template("festive_offer", "en", components)
}

fn cart_reminder(name: &str, order: &str) -> Parts {
    let text = json!({"text": format!("Still thinking, {name}?"), "parameters": parameters(&[name])});
    let components = vec![
        header("text", text),
        body(&["blue kettle"]),
        button(0, "dynamicUrl", "Open cart", parameters(&[order])),
        button(1, "staticUrl", "Visit us", parameters(&["https://shop.example/"])),
        button(2, "callPhone", "Call us", parameters(&["+918880110022"])),
    ];
    template("cart_reminder", "en", components)
}

fn template(name: &str, language: &str, components: Vec<Value>) -> Parts {
    parts(json!({
        "isTemplate": true,
        "template": {"namespace": name, "languageCode": language},
        "components": components,
    }))
}

fn freeform(kind: &str, content: Value) -> Parts {
    parts(json!({"isTemplate": false, "type": kind, kind: content}))
}

fn header(kind: &str, content: Value) -> Value {
    json!({"type": "header", "header": {"type": kind, kind: content}})
}

fn body(texts: &[&str]) -> Value {
    json!({"type": "body", "body": {"parameters": parameters(texts)}})
}

fn button(index: usize, kind: &str, text: &str, parameters: Value) -> Value {
    json!({"type": "button", "index": index, "subType": kind, "buttonText": text, "parameters": parameters})
}

fn parameters(texts: &[&str]) -> Value {
    texts.iter().map(|text| json!({"type": "text", "text": text})).collect()
}

fn parts(object: Value) -> Parts {
    match object {
        Value::Object(parts) => parts,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Parts::new(),
    }
}
