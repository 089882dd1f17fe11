//! Files: uploaded, sent, received, fetched.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wabridge::simulator::{Inbound, InboundContent, InboundMedia, SimulatorSettings};

use crate::harness::*;

/// As clients write it, with this type of file.
async fn upload(world: &TestWorld, mime_type: &str, contents: &[u8]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in [("messaging_product", "whatsapp"), ("type", mime_type)] {
        body.extend(format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    let head = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: ";
    body.extend(format!("{head}{mime_type}\r\n\r\n").bytes());
    body.extend(contents);
    body.extend(b"\r\n--edge--\r\n");
    let url = format!("{}/v26.0/{SENDER}/media", world.simulator.url());
    let request = world.client.post(url).bearer_auth(TOKEN).body(body);
    let request = request.header("Content-Type", "multipart/form-data; boundary=edge");
    read(request.send().await.expect("an answer")).await.expect("a body")
}

fn image_by_id(id: &Value) -> Value {
    json!({"messaging_product": "whatsapp", "to": PERSON, "type": "image", "image": {"id": id}})
}

#[tokio::test]
async fn an_uploaded_file_can_be_sent_fetched_and_deleted() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let contents = b"a picture\r\n--edg? no\r\n".repeat(1_000);

    let id = upload(&world, "image/png", &contents).await.body["id"].clone();
    let path = id.as_str().expect("an id").to_owned();
    let found = world.graph("GET", &format!("{path}?phone_number_id={SENDER}"), None).await;
    let url = found.body["url"].as_str().expect("a URL").to_owned();

    assert_eq!(found.body["mime_type"], "image/png");
    assert_eq!(found.body["file_size"], contents.len());
    assert_eq!(found.body["sha256"], hex::encode(Sha256::digest(&contents)));
    assert_eq!(world.fetch(&url, Some(TOKEN)).await, (200, contents.clone()));
    assert_eq!(world.fetch(&url, None).await.0, 401);
    assert_eq!(world.fetch(&url.replace("hash=", "hash=0"), Some(TOKEN)).await.0, 404);
    assert_eq!(world.send(&image_by_id(&id)).await.status, 200);
    assert_eq!(world.graph("GET", &format!("{path}?phone_number_id=999"), None).await.code(), 100);

    assert_eq!(world.graph("DELETE", &path, None).await.body, json!({"success": true}));
    assert_eq!(world.fetch(&url, Some(TOKEN)).await.0, 404);
    assert_eq!(world.send(&image_by_id(&id)).await.code(), 131009, "it is gone");
}

#[tokio::test]
async fn uploads_that_whatsapp_would_not_take_are_refused() {
    let world = TestWorld::start(SimulatorSettings::default()).await;

    assert_eq!(upload(&world, "image/gif", b"GIF89a").await.code(), 100);
    assert_eq!(upload(&world, "image/png", &vec![0; 5 * 1024 * 1024 + 1]).await.code(), 131053);
    let no_form = world.graph("POST", &format!("{SENDER}/media"), Some(json!({"file": "x"}))).await;
    assert_eq!(no_form.code(), 100);
    world.handle.change_knobs(|knobs| knobs.may_message = false).expect("valid knobs");
    let forbidden = upload(&world, "image/png", b"x").await;
    assert_eq!((forbidden.status, forbidden.code()), (403, 10));
}

#[tokio::test]
async fn a_media_url_ends_and_can_be_asked_for_again() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let id = world.handle.add_media(SENDER, "application/pdf", "%PDF-1.4");
    let look_up = async || world.graph("GET", &id, None).await.body["url"].as_str().expect("a URL").to_owned();

    world.handle.change_knobs(|knobs| knobs.media_url_ms = 0).expect("valid knobs");
    let over = look_up().await;
    world.handle.change_knobs(|knobs| knobs.media_url_ms = 300_000).expect("valid knobs");
    let again = look_up().await;

    assert_eq!(world.fetch(&over, Some(TOKEN)).await.0, 404);
    assert_eq!(world.fetch(&again, Some(TOKEN)).await.0, 200);
    let stats = world.handle.stats();
    assert_eq!((stats.media_lookups, stats.media_downloads, stats.media_downloads_refused), (2, 1, 1));
    world.handle.change_knobs(|knobs| knobs.media_status = Some(503)).expect("valid knobs");
    assert_eq!(world.fetch(&again, Some(TOKEN)).await.0, 503);
}

#[tokio::test]
async fn people_send_files_of_every_kind_with_their_digest() {
    let world = TestWorld::start(one_webhook_at_a_time()).await;
    let media = || InboundMedia { size_bytes: Some(70_000), caption: Some("look".into()), ..InboundMedia::default() };
    let kinds = [
        ("image", InboundContent::Image(media())),
        ("video", InboundContent::Video(media())),
        ("audio", InboundContent::Audio(media())),
        ("audio", InboundContent::Voice(media())),
        ("document", InboundContent::Document(media())),
        ("sticker", InboundContent::Sticker(media())),
    ];
    for (_, content) in kinds.clone() {
        let inbound = Inbound { from: PERSON.into(), phone_number_id: SENDER.into(), context_wamid: None, content };
        world.handle.inbound(&inbound).expect("every number exists");
    }
    world.until(|stats| stats.inbound_taken == 6).await;

    let messages = world.receiver.messages();
    for ((kind, _), message) in kinds.iter().zip(&messages) {
        let object = &message[kind];
        assert_eq!(message["type"], *kind);
        let (status, contents) = world.fetch(object["url"].as_str().expect("a URL"), Some(TOKEN)).await;
        assert_eq!((status, contents.len().abs_diff(70_000) < 2_000), (200, true), "{kind}: {}", contents.len());
        assert_eq!(object["sha256"], STANDARD.encode(Sha256::digest(&contents)));
        let found = world.graph("GET", object["id"].as_str().expect("an id"), None).await;
        assert_eq!(found.body["mime_type"], object["mime_type"]);
    }
    assert_eq!((&messages[2]["audio"]["voice"], &messages[3]["audio"]["voice"]), (&json!(false), &json!(true)));
    assert_eq!(messages[4]["document"]["filename"], "document.pdf");
}

#[tokio::test]
async fn a_file_can_be_missing_although_somebody_sent_it() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let inbound = json!({"from": PERSON, "phone_number_id": SENDER, "content": {"video": {"missing": true}}});

    world.post("/control/inbound", inbound).await;
    world.until(|stats| stats.inbound_taken == 1).await;

    let message = &world.receiver.messages()[0];
    assert!(message["video"].get("id").is_none() && message["video"].get("url").is_none());
    assert_eq!(message["errors"][0]["code"], 131052);
}
