//! Files that people send: copied at receipt, told by a link, served to whoever has it.

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use wabridge::{
    app::open_files,
    domain::{inbound::InboundMediaKind, phone::PhoneNumber},
    services::media::deletion::Deletion,
    settings::{MediaStore, Settings},
    simulator::{Endpoint, Inbound, InboundContent, InboundMedia, Knobs},
    store::media::{MediaOverview, MediaOwner},
};

use crate::harness::{Bucket, Database, Message, NUMBER_ID, TestApp, caller, on_each_database, person};

const PUBLIC_URL: &str = "https://whatsapp.example.com";

async fn start(database: Database) -> TestApp {
    start_with(database, |_| {}).await
}

async fn start_with(database: Database, change: impl FnOnce(&mut crate::harness::Options)) -> TestApp {
    TestApp::start_with(database, |options| {
        options.settings.server.public_url = PUBLIC_URL.to_owned();
        options.settings.media.wait = Duration::from_millis(300);
        change(options);
    })
    .await
}

/// A person sends something; gives back what CleverTap is told.
async fn say(app: &TestApp, content: InboundContent, context_wamid: Option<String>) -> Value {
    let known = inbound(app).len();
    let message = Inbound { context_wamid, ..from(person(1), content) };
    app.simulator.inbound(&message).expect("the number exists");
    app.until("it is told", async || inbound(app).len() > known).await;
    inbound(app).pop().expect("it was told")
}

fn from(person: String, content: InboundContent) -> Inbound {
    Inbound { from: person, phone_number_id: NUMBER_ID.to_owned(), context_wamid: None, content }
}

fn inbound(app: &TestApp) -> Vec<Value> {
    let records = app.simulator.callback_records(None).into_iter();
    records.filter(|record| record.endpoint == Endpoint::Inbound).map(|record| record.entry).collect()
}

fn picture() -> InboundContent {
    InboundContent::Image(InboundMedia { caption: Some("is this right?".to_owned()), ..InboundMedia::default() })
}

fn document(bytes: &[u8], app: &TestApp) -> InboundContent {
    let media_id = app.simulator.add_media(NUMBER_ID, "application/pdf", bytes.to_vec());
    let filename = Some("रसीद 7.pdf".to_owned());
    InboundContent::Document(InboundMedia { media_id: Some(media_id), filename, ..InboundMedia::default() })
}

/// The path of the link in a callback.
fn link(told: &Value) -> String {
    let kind = told["type"].as_str().expect("every message has a type");
    let url = told[kind]["mediaURL"].as_str().unwrap_or_else(|| panic!("no link in {told}"));
    let path = url.strip_prefix(PUBLIC_URL).unwrap_or_else(|| panic!("{url} is not on the public URL"));
    assert!(path.starts_with("/media/"), "{path}");
    path.to_owned()
}

async fn ask(app: &TestApp, method: Method, path: &str, range: Option<&str>) -> reqwest::Response {
    let mut request = caller().request(method, app.at(path));
    if let Some(range) = range {
        request = request.header(header::RANGE, range);
    }
    request.send().await.expect("the bridge answers")
}

/// Waits until the file is there, and gives back its answer.
async fn fetch(app: &TestApp, path: &str) -> reqwest::Response {
    app.until("the file is copied", async || ask(app, Method::HEAD, path, None).await.status() == 200).await;
    ask(app, Method::GET, path, None).await
}

async fn status_and_text(app: &TestApp, path: &str) -> (StatusCode, String) {
    let answer = ask(app, Method::GET, path, None).await;
    (answer.status(), answer.text().await.expect("a text"))
}

fn header_of<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn counted(app: &TestApp) -> MediaOverview {
    app.store.count_media().await.expect("files can be counted")
}

async fn failed_reason(app: &TestApp) -> String {
    app.until("the copy is given up", async || counted(app).await.failed == 1).await;
    let failed = app.store.failed_media(5).await.expect("readable");
    failed[0].reason.clone().expect("a failed copy has a reason")
}

async fn a_picture_is_told_by_a_link_that_gives_its_bytes(database: Database) {
    let app = start(database).await;

    let told = say(&app, picture(), None).await;
    let path = link(&told);
    let answer = fetch(&app, &path).await;

    assert_eq!((&told["type"], &told["image"]["caption"]), (&json!("image"), &json!("is this right?")));
    assert_eq!(told["image"]["mimeType"], "image/jpeg");
    assert_eq!(answer.status(), 200);
    assert_eq!(header_of(&answer, "content-type"), "image/jpeg");
    assert_eq!(header_of(&answer, "content-disposition"), r#"inline; filename="image""#);
    assert_eq!(header_of(&answer, "x-content-type-options"), "nosniff");
    assert!(header_of(&answer, "content-security-policy").contains("sandbox"));
    assert!(header_of(&answer, "cache-control").starts_with("private"));
    let announced: usize = header_of(&answer, "content-length").parse().expect("its length is told before");
    let bytes = answer.bytes().await.expect("the whole file");
    assert_eq!(bytes.len(), announced);
    assert!(bytes.starts_with(&[0xff, 0xd8]), "it is the JPEG that was sent");
    app.finish().await;
}

async fn a_file_comes_back_byte_for_byte_whole_or_in_ranges(database: Database) {
    let app = start(database).await;
    // Several parts of the store's, and pieces of no round size.
    let sent: Vec<u8> = (0..12_345_678_u32).map(|number| (number % 251) as u8).collect();

    let told = say(&app, document(&sent, &app), None).await;
    let path = link(&told);
    let whole = fetch(&app, &path).await;
    let disposition = header_of(&whole, "content-disposition").to_owned();
    let whole = whole.bytes().await.expect("the whole file");
    let part = ask(&app, Method::GET, &path, Some("bytes=5242870-5242889")).await;
    let part_range = header_of(&part, "content-range").to_owned();
    let part_status = part.status();
    let part = part.bytes().await.expect("a part");
    let head = ask(&app, Method::HEAD, &path, None).await;
    let beyond = ask(&app, Method::GET, &path, Some("bytes=99999999-")).await;

    assert_eq!((&told["type"], &told["file"]), (&json!("file"), &told["document"]));
    assert!(whole == sent, "{} bytes came of {}", whole.len(), sent.len());
    assert!(disposition.starts_with("attachment; ") && disposition.contains("filename*=UTF-8''"), "{disposition}");
    assert_eq!((part_status.as_u16(), part_range.as_str()), (206, "bytes 5242870-5242889/12345678"));
    assert_eq!(part, sent[5_242_870..5_242_890]);
    assert_eq!(header_of(&head, "content-length"), "12345678");
    assert_eq!((beyond.status().as_u16(), header_of(&beyond, "content-range")), (416, "bytes */12345678"));
    app.finish().await;
}

async fn a_link_that_was_made_up_or_has_ended_leads_nowhere(database: Database) {
    let mut app = start(database).await;

    let path = link(&say(&app, picture(), None).await);
    assert_eq!(fetch(&app, &path).await.status(), 200);
    let mut changed = path.clone();
    let last = changed.pop().expect("a link is not empty");
    changed.push(if last == '0' { '1' } else { '0' });

    for wrong in [changed.as_str(), "/media/", "/media/a.b", "/media/..%2f..%2fmaster.key"] {
        assert_eq!(ask(&app, Method::GET, wrong, None).await.status(), 404, "{wrong}");
    }
    // What is told from now on ends soon, and what was told before does not.
    app.restart_with(|settings| settings.retention.media = Duration::from_secs(1)).await;
    let short = link(&say(&app, picture(), None).await);
    app.until("its file is copied", async || counted(&app).await.stored == 2).await;
    app.until("the link ends", async || ask(&app, Method::GET, &short, None).await.status() == 404).await;
    assert_eq!(ask(&app, Method::GET, &path, None).await.status(), 200);
    assert_eq!(counted(&app).await.stored, 2, "the file is still there, only its link has ended");
    app.finish().await;
}

async fn an_address_that_has_ended_is_asked_for_again(database: Database) {
    let app = start_with(database, |options| options.simulator.knobs.media_url_ms = 0).await;

    let path = link(&say(&app, picture(), None).await);
    app.until_counted("both tries of a copy found the address ended", |stats| stats.media_downloads_refused >= 2).await;
    let (status, text) = status_and_text(&app, &path).await;
    change(&app, |knobs| knobs.media_url_ms = 60_000);

    assert_eq!(status, 503, "{text}");
    assert_eq!(fetch(&app, &path).await.status(), 200);
    app.finish().await;
}

async fn a_request_waits_for_a_copy_that_is_under_way(database: Database) {
    let app = start_with(database, |options| {
        options.simulator.knobs.media_delay_ms = 1_000;
        options.settings.media.wait = Duration::from_secs(20);
    })
    .await;

    let path = link(&say(&app, picture(), None).await);
    let answers = futures_util::future::join_all((0..5).map(|_| ask(&app, Method::GET, &path, None))).await;

    assert!(answers.iter().all(|answer| answer.status() == 200));
    let stats = app.finish().await;
    assert_eq!(stats.media_downloads, 1, "however many ask, it is fetched once");
}

async fn a_request_that_waits_too_long_is_told_to_come_again(database: Database) {
    let app = start_with(database, |options| {
        options.simulator.knobs.media_delay_ms = 60_000;
        // A copy that is given up is tried again.
        options.settings.media.timeout = Duration::from_secs(3);
    })
    .await;

    let path = link(&say(&app, picture(), None).await);
    let answer = ask(&app, Method::GET, &path, None).await;
    change(&app, |knobs| knobs.media_delay_ms = 0);

    assert_eq!((answer.status().as_u16(), header_of(&answer, "retry-after")), (503, "5"));
    assert_eq!(fetch(&app, &path).await.status(), 200);
    app.finish().await;
}

async fn a_file_that_the_provider_does_not_have_is_given_up_with_its_reason(database: Database) {
    let app = start(database).await;
    // A number that the simulator does not know would be one more business number to it.

    let message = json!({"type": "image", "image": {"id": "gone", "mime_type": "image/jpeg"}});
    let message = message.as_object().expect("an object").clone();

    let path = link(&say(&app, InboundContent::Raw { message }, None).await);
    let reason = failed_reason(&app).await;
    let (status, text) = status_and_text(&app, &path).await;

    assert!(reason.starts_with("Graph answered HTTP 4"), "{reason}");
    assert_eq!(status, 410);
    assert!(text.contains("could not be copied"), "{text}");
    let status = app.command(&["status"]).await;
    assert!(status.contains("could not be copied 1") && status.contains("image: Graph answered"), "{status}");
    app.finish().await;
}

async fn what_is_too_large_or_of_no_allowed_type_is_not_copied(database: Database) {
    let app = start_with(database, |options| {
        options.settings.media.image_bytes = 10;
        options.settings.media.types = vec!["image/*".to_owned()];
    })
    .await;

    let path = link(&say(&app, picture(), None).await);
    let reason = failed_reason(&app).await;
    let other = link(&say(&app, document(b"%PDF", &app), None).await);
    app.until("both are given up", async || counted(&app).await.failed == 2).await;
    let (status, text) = status_and_text(&app, &other).await;

    assert!(reason.contains("10 are allowed"), "{reason}");
    assert_eq!(ask(&app, Method::GET, &path, None).await.status(), 410);
    assert!(status == 410 && text.contains("media.types"), "{status} {text}");
    assert_eq!(app.finish().await.media_downloads, 0);
}

async fn the_token_goes_to_no_host_that_nobody_named(database: Database) {
    let app = start_with(database, |options| {
        options.simulator.knobs.media_url_base = Some("http://localhost:9".to_owned());
    })
    .await;

    say(&app, picture(), None).await;

    let reason = failed_reason(&app).await;
    assert!(reason.contains("localhost") && reason.contains("media.hosts"), "{reason}");
    app.finish().await;
}

async fn a_file_that_whatsapp_lost_is_told_in_words(database: Database) {
    let app = start(database).await;
    let lost = |caption: Option<&str>| {
        let caption = caption.map(str::to_owned);
        InboundContent::Image(InboundMedia { missing: true, caption, ..InboundMedia::default() })
    };

    let bare = say(&app, lost(None), None).await;
    let with_words = say(&app, lost(Some("STOP")), None).await;

    assert_eq!((&bare["type"], &bare["text"]["body"]), (&json!("text"), &json!("[image]")));
    assert_eq!(with_words["text"]["body"], "STOP");
    assert_eq!(counted(&app).await, MediaOverview::default());
    app.finish().await;
}

async fn a_reply_with_a_file_stands_in_the_story_of_its_message(database: Database) {
    let app = start(database).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let wamid = app.stored(&message).await.provider_message_id.expect("WhatsApp gave it an id");

    let told = say(&app, picture(), Some(wamid)).await;
    fetch(&app, &link(&told)).await;
    let story = app.command(&["message", message.msg_id()]).await;

    assert_eq!(told["context"]["id"], message.msg_id());
    assert!(story.contains("with a file (image, image/jpeg, ") && story.contains("): stored"), "{story}");
    app.finish().await;
}

async fn a_kill_while_a_file_is_copied_costs_nothing_but_time(database: Database) {
    let mut app = start_with(database, |options| {
        options.as_process = true;
        options.simulator.knobs.media_delay_ms = 60_000;
    })
    .await;

    app.simulator.inbound(&from(person(1), picture())).expect("the number exists");
    app.until_counted("the file is asked for", |stats| stats.media_lookups >= 1).await;
    assert_eq!(counted(&app).await.pending, 1, "the row was there before the copying began");
    app.process().kill().await;
    change(&app, |knobs| knobs.media_delay_ms = 0);
    app.start_process().await;
    app.until("it is told", async || !inbound(&app).is_empty()).await;

    assert_eq!(fetch(&app, &link(&inbound(&app)[0])).await.status(), 200);
    app.finish().await;
}

async fn a_stored_file_that_somebody_deleted_is_fetched_again(database: Database) {
    let app = start(database).await;
    let path = link(&say(&app, picture(), None).await);
    assert_eq!(fetch(&app, &path).await.status(), 200);

    std::fs::remove_dir_all(&app.settings.media.directory).expect("the files are there");
    std::fs::create_dir(&app.settings.media.directory).expect("the folder can be written");

    assert_eq!(ask(&app, Method::GET, &path, None).await.status(), 503);
    app.until("it is copied anew", async || counted(&app).await.stored == 1).await;
    assert_eq!(fetch(&app, &path).await.status(), 200);
    app.finish().await;
}

fn keep_no_file_for_long(settings: &mut Settings) {
    settings.retention.media = Duration::from_secs(1);
    settings.retention.every = Duration::from_millis(50);
}

async fn old_files_are_deleted_and_leave_nothing(database: Database) {
    let mut app = start(database).await;

    for _ in 0..5 {
        say(&app, picture(), None).await;
    }
    app.until("all are stored", async || counted(&app).await.stored == 5).await;
    assert_eq!(files_in(&app), 5);
    app.restart_with(|settings| {
        keep_no_file_for_long(settings);
        settings.retention.rows_per_step = 2;
    })
    .await;

    app.until("all are gone", async || counted(&app).await == MediaOverview::default()).await;
    app.until("and their files", async || files_in(&app) == 0).await;
    app.finish().await;
}

async fn a_person_is_forgotten_with_all_files_and_others_are_not(database: Database) {
    let app = start(database).await;
    let mine = link(&say(&app, picture(), None).await);
    app.simulator.inbound(&from(person(2), picture())).expect("the number exists");
    app.until("both are stored", async || counted(&app).await.stored == 2).await;
    let files = open_files(&app.settings).expect("the store of files opens");
    let number = PhoneNumber::from_international(&person(1)).expect("a number");
    let owner = MediaOwner::Number(&number);
    let found = app.store.media_from(None, owner, 10).await.expect("readable");

    let deletion = Deletion { store: &app.store, files: &files, copy_timeout: Duration::from_secs(1), step: 10 };
    let forgotten = deletion.forget(None, owner).await.expect("it can be deleted");

    assert_eq!((found.len(), found[0].kind, forgotten), (1, InboundMediaKind::Image, 1));
    assert_eq!(ask(&app, Method::GET, &mine, None).await.status(), 404);
    assert!(app.store.media_from(None, owner, 10).await.expect("readable").is_empty());
    assert_eq!((counted(&app).await.stored, files_in(&app)), (1, 1), "what others sent stays");
    app.finish().await;
}

/// With its access key as an operator gives it, which no rendered tree shows.
async fn copies_may_lie_in_a_bucket_that_speaks_s3(database: Database) {
    let bucket = Bucket::start().await;
    let mut app = start_with(database, |options| {
        let media = &mut options.settings.media;
        media.store = MediaStore::S3;
        media.bucket = "files".to_owned();
        media.prefix = "wabridge/trial".to_owned();
        media.endpoint.clone_from(&bucket.url);
        media.access_key_id = Some("an-id".into());
        media.secret_access_key = Some("a-secret".into());
    })
    .await;
    // One that is written in one piece, and one that is written in parts.
    let large: Vec<u8> = (0..12_345_678_u32).map(|number| (number % 253) as u8).collect();

    for sent in [b"%PDF-1.7".to_vec(), large] {
        let path = link(&say(&app, document(&sent, &app), None).await);
        let whole = fetch(&app, &path).await.bytes().await.expect("the whole file");
        let part = ask(&app, Method::GET, &path, Some("bytes=1-3")).await.bytes().await.expect("a part");
        assert!(whole == sent, "{} bytes came of {}", whole.len(), sent.len());
        assert_eq!(part, sent[1..4]);
    }

    assert_eq!(bucket.unsigned(), 0, "every request is signed");
    let names = bucket.names();
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with("wabridge/trial/1/")), "{names:?}");
    app.restart_with(keep_no_file_for_long).await;
    app.until("old files leave the bucket", async || bucket.names().is_empty()).await;
    app.finish().await;
}

fn change(app: &TestApp, change: impl FnOnce(&mut Knobs)) {
    app.simulator.change_knobs(change).expect("valid knobs");
}

/// Files below the folder of copies.
pub(crate) fn files_in(app: &TestApp) -> usize {
    let mut folders = vec![app.settings.media.directory.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() { folders.push(path) } else { files += 1 }
        }
    }
    files
}

on_each_database![
    a_picture_is_told_by_a_link_that_gives_its_bytes,
    a_file_comes_back_byte_for_byte_whole_or_in_ranges,
    a_link_that_was_made_up_or_has_ended_leads_nowhere,
    an_address_that_has_ended_is_asked_for_again,
    a_request_waits_for_a_copy_that_is_under_way,
    a_request_that_waits_too_long_is_told_to_come_again,
    a_file_that_the_provider_does_not_have_is_given_up_with_its_reason,
    what_is_too_large_or_of_no_allowed_type_is_not_copied,
    the_token_goes_to_no_host_that_nobody_named,
    a_file_that_whatsapp_lost_is_told_in_words,
    a_reply_with_a_file_stands_in_the_story_of_its_message,
    a_kill_while_a_file_is_copied_costs_nothing_but_time,
    a_stored_file_that_somebody_deleted_is_fetched_again,
    old_files_are_deleted_and_leave_nothing,
    a_person_is_forgotten_with_all_files_and_others_are_not,
    copies_may_lie_in_a_bucket_that_speaks_s3,
];
