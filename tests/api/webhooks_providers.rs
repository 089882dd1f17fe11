//! What a provider tells and the bridge has few words for, or none: from the provider's webhook to whoever wants it, in our shape and
//! in the provider's own, proved as each receiver wants it, and once however often it comes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    commbox, gallabox, gotallo,
    harness::{APP_SECRET, Database, NUMBER_ID, Receiver, Request, WABA_ID, on_each_database, person},
    webhooks_events::Scene,
    webhooks_out::verify,
};

/// What Gallabox alone has words for, in both generations of its names.
const GALLABOX_ALONE: [&str; 26] = [
    "Contact.created",
    "Contact.updated",
    "Contact.mapped",
    "Contact.unmapped",
    "Contact.Created",
    "Contact.Updated",
    "Contact.Tag.Mapped",
    "Contact.Tag.Unmapped",
    "Conversation.created",
    "Conversation.updated",
    "Conversation.Tag.mapped",
    "Conversation.Tag.unmapped",
    "Conversation.Create",
    "Conversation.Update",
    "Conversation.Resolve",
    "Conversation.Followup",
    "Conversation.UnAttended",
    "Conversation.Tag.Mapped",
    "Conversation.Tag.Unmapped",
    "Conversation.HandoverAgentFallback",
    "Conversation.InactiveAgentFallback",
    "Conversation.AI.Analyse",
    "Broadcast.WA.Message.Status.Received",
    "Broadcast.WA.Message.Status.Failed",
    "Broadcast.WA.Message.Engaged.Received",
    "An.Event.That.Comes.Later",
];

/// CommBox's kinds of activities: remark, status, forward, reply to that, channel, assignment, tags, follow-up and so on.
const ACTIVITIES: std::ops::RangeInclusive<u8> = 1..=23;
const ASSIGNMENT: u8 = 6;

/// What CommBox has besides: its entity, what happened, and the element that it is about.
const COMMBOX_ALONE: [(&str, &str, &str); 10] = [
    ("Satisfaction", "OnSubmit", "Satisfaction"),
    ("Form", "OnSubmit", "Form"),
    ("Tag", "OnAdd", "Tag"),
    ("Tag", "OnUpdate", "Tag"),
    ("Chat", "OnUserExit", "Chat"),
    ("Object", "OnNew", "Object"),
    ("Object", "OnUpdateTag", "Object"),
    ("User", "OnNew", "User"),
    ("User", "OnUpdate", "User"),
    ("User", "OnUpdateTag", "User"),
];

/// Something that Gallabox tells of a chat, and how it is told on.
struct Said {
    /// As Gallabox names it, and as it is named to a receiver that was written for Gallabox.
    names: (&'static str, &'static str),
    /// As we name it.
    event: &'static str,
    body: Value,
    /// A receiver that was written for Gallabox gets it as it came.
    as_it_came: bool,
}

fn digits(number: usize) -> String {
    person(number).trim_start_matches('+').to_owned()
}

/// One object for all of them: only the name, which is in a header, tells them apart.
fn gallabox_object() -> Value {
    json!({"id": "66c1", "accountId": WABA_ID, "channelId": NUMBER_ID, "contactId": "66c2", "status": "OPEN",
        "phone": person(1), "updatedAt": "2026-11-20T09:15:00.000Z"})
}

/// A message of a person; each has an id of its own.
fn gallabox_message(id: &str, kind: &str, part: &Value) -> Value {
    json!({"id": format!("66-{id}"), "conversationId": "66c1", "accountId": WABA_ID, "channelId": NUMBER_ID,
        "contactId": "66c2", "sender": "66c2", "contact": {"name": "Asha", "phone": [digits(1)]},
        "whatsapp": {"id": format!("wamid.{id}"), "from": digits(1), "type": kind, "time": "1790000200",
            "status": "received", kind: part}})
}

fn gallabox_payment(id: &str) -> Value {
    json!({"id": id, "accountId": WABA_ID, "channelId": NUMBER_ID, "status": "captured", "timestamp": "1790000200",
        "recipient_id": digits(1), "payment": {"reference_id": "order-42", "currency": "INR",
            "amount": {"value": 21_050, "offset": 100}}})
}

fn gallabox_template(updated_at: &str) -> Value {
    json!({"accountId": WABA_ID, "name": "order_update", "language": "en", "status": "approved", "updatedAt": updated_at})
}

fn of_chats() -> Vec<Said> {
    let form = json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "size": "M", "unknown": [1]}});
    let cart = json!({"catalog_id": "c1", "note": "of its own", "product_items":
        [{"product_retailer_id": "SKU-1", "quantity": 2, "item_price": 10.5, "currency": "INR"}]});
    let tap = json!({"type": "button_reply", "button_reply": {"id": "y", "title": "Yes"}});
    let text = json!({"body": "hello"});
    let said = |names, event, body| Said { names, event, body, as_it_came: false };
    let as_it_came = |names, event, body| Said { names, event, body, as_it_came: true };
    let (received, interaction) = ("Message.Received", "Message.WA.Interaction.Received");
    let (flow, cart_received) = ("Message.Flow.Received", "Message.WA.Cart.Received");
    let payment = "Message.WA.Payment.Status.Received";
    vec![
        said(("Message.received", received), "message.received", gallabox_message("t1", "text", &text)),
        said((received, received), "message.received", gallabox_message("t2", "text", &text)),
        said((interaction, interaction), "message.interaction", gallabox_message("i1", "interactive", &tap)),
        as_it_came(("Message.flow.received", flow), "message.flow", gallabox_message("f1", "interactive", &form)),
        as_it_came((flow, flow), "message.flow", gallabox_message("f2", "interactive", &form)),
        as_it_came(("Message.WA.Cart.received", cart_received), "message.cart", gallabox_message("c1", "order", &cart)),
        as_it_came((cart_received, cart_received), "message.cart", gallabox_message("c2", "order", &cart)),
        as_it_came(("Message.WA.Payment.status.received", payment), "message.payment", gallabox_payment("wamid.p1")),
        as_it_came((payment, payment), "message.payment", gallabox_payment("wamid.p2")),
        said(("Template.status", "Template.Status"), "template.status", gallabox_template("2026-11-20T09:15:00Z")),
        said(("Template.Status", "Template.Status"), "template.status", gallabox_template("2026-11-20T09:16:00Z")),
    ]
}

/// As a receiver of Gallabox's verifies.
fn gallabox_verifies(request: &Request, secret: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(request.body.as_bytes());
    request.header("x-gallabox-signature") == STANDARD.encode(mac.finalize().into_bytes())
}

fn assert_all_differ(requests: &[Request]) {
    let mut ids: Vec<&str> = requests.iter().map(|request| request.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "each event has an id of its own");
}

async fn what_gallabox_alone_knows_is_told_under_its_name_as_it_came(database: Database) {
    let scene = Scene::over(gallabox::start(database, gallabox::WEBHOOK_SECRET, |_| {}).await).await;
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let secret = scene.webhook("ours", &ours, &["gallabox.*"], json!({"payload": "complete"})).await;
    let their_secret = scene.webhook("theirs", &theirs, &["gallabox.*"], json!({"profile": "gallabox"})).await;
    let body = gallabox_object();

    for name in GALLABOX_ALONE.into_iter().chain(GALLABOX_ALONE) {
        assert_eq!(gallabox::post(&scene.app, name, &body, APP_SECRET).await, 200, "{name}");
    }
    scene.came(&ours, GALLABOX_ALONE.len()).await;
    scene.came(&theirs, GALLABOX_ALONE.len()).await;
    scene.app.settled().await;

    let (told, passed_on) = (ours.requests(), theirs.requests());
    assert_eq!((told.len(), passed_on.len()), (GALLABOX_ALONE.len(), GALLABOX_ALONE.len()), "repeats tell nothing");
    for (name, (told, passed_on)) in GALLABOX_ALONE.iter().zip(told.iter().zip(&passed_on)) {
        assert!(verify(told, &secret), "{name}: {told:?}");
        let json = told.json();
        assert_eq!(
            (&json["type"], &json["data"]["channel"]["provider"]),
            (&json!("gallabox.event"), &json!("gallabox"))
        );
        assert_eq!(json["data"]["provider_event"], json!({"name": name, "payload": body}));
        assert_eq!(json["data"]["raw"], body);

        assert_eq!((passed_on.header("x-event-name"), &passed_on.body), (*name, &body.to_string()));
        assert!(gallabox_verifies(passed_on, &their_secret), "{name}: {passed_on:?}");
    }
    assert_all_differ(&told);
    scene.app.finish().await;
}

async fn forms_carts_payments_and_taps_at_gallabox_are_told_in_both_shapes(database: Database) {
    let scene = Scene::over(gallabox::start(database, gallabox::WEBHOOK_SECRET, |_| {}).await).await;
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let events = [
        "message.received",
        "message.interaction",
        "message.flow",
        "message.cart",
        "message.payment",
        "template.status",
        "gallabox.event",
    ];
    let secret = scene.webhook("ours", &ours, &events, json!({"payload": "complete"})).await;
    let their_secret = scene.webhook("theirs", &theirs, &events, json!({"profile": "gallabox"})).await;
    let said = of_chats();

    for one in said.iter().chain(&said) {
        assert_eq!(gallabox::post(&scene.app, one.names.0, &one.body, APP_SECRET).await, 200, "{}", one.names.0);
    }
    // Of what an agent writes only Gallabox's own echo comes, and it is nobody's news.
    let mut own = gallabox_message("own", "text", &json!({"body": "How can we help?"}));
    own["sender"] = json!("agent-1");
    assert_eq!(gallabox::post(&scene.app, "Message.Send", &own, APP_SECRET).await, 200);
    scene.came(&ours, said.len()).await;
    scene.came(&theirs, said.len()).await;
    scene.app.settled().await;

    let (told, passed_on) = (ours.requests(), theirs.requests());
    assert_eq!((told.len(), passed_on.len()), (said.len(), said.len()), "repeats and echoes tell nothing");
    for Said { names: (name, word), event, body, as_it_came } in &said {
        let of_it = |request: &&Request| request.json()["data"]["raw"] == *body;
        let one = told.iter().find(of_it).unwrap_or_else(|| panic!("{name} was not told: {told:?}"));
        assert!(verify(one, &secret), "{name}: {one:?}");
        assert_eq!(one.event(), *event, "{name}");
        if *as_it_came {
            let written = body.to_string();
            let same = passed_on.iter().find(|request| request.body == written);
            let same = same.unwrap_or_else(|| panic!("{name} was not passed on as it came: {passed_on:?}"));
            assert_eq!(same.header("x-event-name"), *word, "{name}");
        }
    }
    let mut words: Vec<&str> = passed_on.iter().map(|request| request.header("x-event-name")).collect();
    let mut wanted: Vec<&str> = said.iter().map(|one| one.names.1).collect();
    words.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(words, wanted);
    assert!(passed_on.iter().all(|request| gallabox_verifies(request, &their_secret)), "{passed_on:?}");
    assert_all_differ(&told);
    scene.app.finish().await;
}

/// An event of CommBox, in JSON and in XML.
fn commbox_event((entity, what, element): (&str, &str, &str), number: usize) -> [(String, String); 2] {
    let (id, at) = (number.to_string(), "2026-11-20T09:15:00Z");
    let json = json!({"Event": {"Subscription": entity, "Name": what, "Brand": "box",
        element: {"Id": id, "CreateDate": at, "Remark": "quick & good"}}});
    let xml = format!(
        r#"<Event Subscription="{entity}" Name="{what}" Brand="box"><{element} Id="{id}" CreateDate="{at}"><Remark>quick &amp; good</Remark></{element}></Event>"#
    );
    let name = format!("{entity}.{what}");
    [(name.clone(), json.to_string()), (name, xml)]
}

fn commbox_activity(kind: u8) -> [(String, String); 2] {
    let json = json!({"Event": {"Subscription": "Object", "Name": "OnNewActivity", "Brand": "box", "Object": {
        "Id": "501", "Activities": {"Activity": {"Id": format!("9{kind}"), "Type": kind.to_string(),
            "CreateDate": "2026-11-20T09:15:00Z", "Data": "{\"manager\":\"17\"}"}}}}});
    let xml = format!(
        r#"<Event Subscription="Object" Name="OnNewActivity" Brand="box"><Object Id="501"><Activities><Activity Id="9{kind}" Type="{kind}" CreateDate="2026-11-20T09:15:00Z"><Data>{{"manager":"17"}}</Data></Activity></Activities></Object></Event>"#
    );
    let name = "Object.OnNewActivity".to_owned();
    [(name.clone(), json.to_string()), (name, xml)]
}

/// All of it, and the one event that CommBox shows without a name.
fn commbox_said() -> Vec<(String, String)> {
    let bare = json!({"payload": {"Message": "hello", "Content": {}, "ManagerId": "0", "CreateDate": "2026-11-20T09:15:00Z",
        "User": {"Identity": {}, "Id": "31", "Phone1": digits(1)}}});
    let events = COMMBOX_ALONE.into_iter().zip(1..).flat_map(|(event, number)| commbox_event(event, number));
    let all = events.chain(ACTIVITIES.flat_map(commbox_activity));
    all.chain([("Object.OnNew".to_owned(), bare.to_string())]).collect()
}

async fn what_commbox_alone_knows_is_told_under_its_name_as_it_came(database: Database) {
    let scene = Scene::over(commbox::start(database, commbox::KEY).await).await;
    let [ours, json, xml, assignments] =
        [Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await];
    let login = json!({"kind": "basic", "user": "box", "password": "a-word"});
    let like_commbox = |format: &str| json!({"profile": "commbox", "format": format, "authentication": login});
    let secret = scene.webhook("ours", &ours, &["commbox.event"], json!({"payload": "complete"})).await;
    scene.webhook("in-json", &json, &["commbox.*"], like_commbox("json")).await;
    scene.webhook("in-xml", &xml, &["commbox.*"], like_commbox("xml")).await;
    let kind = json!({"pointer": "/data/provider_event/payload/Event/Object/Activities/Activity/Type",
        "value": ASSIGNMENT.to_string()});
    scene.webhook("assignments", &assignments, &["commbox.event"], json!({"filter": {"json": [kind]}})).await;
    let said = commbox_said();
    let basic = format!("Basic {}", STANDARD.encode(format!("wabridge:{}", commbox::SECRET)));

    for (name, body) in said.iter().chain(&said) {
        let answer = scene.app.post(commbox::PATH, &[("Authorization", &basic)], body.clone()).await;
        assert_eq!(answer.http_status, 200, "{name}: {body}");
    }
    for receiver in [&ours, &json, &xml] {
        scene.came(receiver, said.len()).await;
    }
    scene.app.settled().await;

    let all = [ours.requests(), json.requests(), xml.requests()];
    assert_eq!(all.each_ref().map(Vec::len), [said.len(); 3], "repeats tell nothing");
    let [told, in_json, in_xml] = all;
    for (index, (name, body)) in said.iter().enumerate() {
        let is_xml = body.starts_with('<');
        assert!(verify(&told[index], &secret), "{name}");
        let json = told[index].json();
        assert_eq!(json["type"], "commbox.event");
        assert_eq!(json["data"]["provider_event"]["name"], *name);
        let payload = if is_xml { json!(body) } else { serde_json::from_str(body).expect("it is JSON") };
        assert_eq!((&json["data"]["provider_event"]["payload"], &json["data"]["raw"]), (&payload, &payload));

        let (entity, what) = name.split_once('.').expect("a name has two parts");
        if is_xml {
            assert_eq!(&in_xml[index].body, body);
            let envelope = json!({"Subscription": entity, "Name": what, "Brand": "acme", "Payload": body});
            assert_eq!(in_json[index].json(), json!({"Event": envelope}));
        } else {
            assert_eq!(&in_json[index].body, body);
            let envelope = format!(r#"<Event Subscription="{entity}" Name="{what}" Brand="acme"><Payload>"#);
            assert!(in_xml[index].body.contains(&envelope), "{}", in_xml[index].body);
        }
        assert!(in_xml[index].header("content-type").starts_with("application/xml"));
        assert_eq!(in_xml[index].header("authorization"), "Basic Ym94OmEtd29yZA==");
        assert_eq!(in_json[index].header("authorization"), "Basic Ym94OmEtd29yZA==");
    }
    assert_all_differ(&told);
    // XML is told as a text, which no pointer leads into.
    assert_eq!(assignments.requests().len(), 1, "one kind of activity is wanted");
    assert_eq!(scene.app.store.count_unrecognized().await.expect("countable"), (0, 0), "nothing is put aside");
    scene.app.finish().await;
}

async fn what_gotallo_alone_knows_and_what_was_deleted_there_is_told_as_it_came(database: Database) {
    let scene = Scene::over(gotallo::start(database, |_| {}).await).await;
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let events = ["gotallo.event", "message.deleted"];
    let secret = scene.webhook("ours", &ours, &events, json!({"payload": "complete"})).await;
    scene.webhook("theirs", &theirs, &events, json!({"profile": "gotallo"})).await;
    let message = |kind: &str, status: &str| {
        json!({"id": "91", "ext_identifier": "wamid.91", "platform_id": NUMBER_ID, "tenant_id": "t", "outbound": false,
            "type": kind, "status": status, "timestamp": "2026-11-20T09:15:00Z",
            "modified_timestamp": "2026-11-20T09:15:02Z", "chat_user": {"phone_number": digits(1)}})
    };
    let said = [message("EVENT", "READ"), message("TEXT", "DELETED")];

    for body in said.iter().chain(&said) {
        let path = format!("/webhooks/gotallo/{}/{}", crate::harness::CONNECTION, gotallo::URL_TOKEN);
        assert_eq!(scene.app.post(&path, &[], body.to_string()).await.http_status, 200, "{body}");
    }
    scene.came(&ours, said.len()).await;
    scene.came(&theirs, said.len()).await;
    scene.app.settled().await;

    let (told, passed_on) = (ours.requests(), theirs.requests());
    assert_eq!((told.len(), passed_on.len()), (said.len(), said.len()), "repeats tell nothing");
    assert_eq!(told.iter().map(Request::event).collect::<Vec<_>>(), ["gotallo.event", "message.deleted"]);
    assert!(told.iter().zip(&said).all(|(told, said)| verify(told, &secret) && told.json()["data"]["raw"] == *said));
    let bodies: Vec<&str> = passed_on.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(bodies, said.each_ref().map(Value::to_string));
    scene.app.finish().await;
}

async fn what_a_provider_told_can_be_told_again_and_is_known_by_its_id(database: Database) {
    let scene = Scene::over(gallabox::start(database, gallabox::WEBHOOK_SECRET, |_| {}).await).await;
    let receiver = Receiver::start().await;
    scene.webhook("crm", &receiver, &["gallabox.event"], json!({})).await;
    for name in ["Conversation.HandoverAgentFallback", "Conversation.Resolve"] {
        assert_eq!(gallabox::post(&scene.app, name, &gallabox_object(), APP_SECRET).await, 200);
    }
    let first = scene.came(&receiver, 2).await;
    scene.app.settled().await;
    let shown = scene.app.call(Method::GET, "/api/v1/webhooks/crm", &scene.token, None).await.body;
    let url = shown["cursors"][0]["callback_url"].as_i64().expect("a number");

    let wanted = json!({"callback_url": url, "state": "all"});
    let asked = scene.app.call(Method::POST, "/api/v1/replays", &scene.token, Some(wanted)).await;
    assert!(asked.http_status < 300, "{asked:?}");
    let all = scene.came(&receiver, 4).await;

    let ids = |requests: &[Request]| -> Vec<String> {
        requests.iter().map(|request| request.header("webhook-id").to_owned()).collect()
    };
    assert_eq!(ids(&all[2..]), ids(&first), "who remembers ids drops them");
    assert!(all[2..].iter().zip(&first).all(|(again, first)| again.body == first.body));
    scene.app.finish().await;
}

on_each_database![
    what_gallabox_alone_knows_is_told_under_its_name_as_it_came,
    forms_carts_payments_and_taps_at_gallabox_are_told_in_both_shapes,
    what_commbox_alone_knows_is_told_under_its_name_as_it_came,
    what_gotallo_alone_knows_and_what_was_deleted_there_is_told_as_it_came,
    what_a_provider_told_can_be_told_again_and_is_known_by_its_id,
];
