//! Traces: one for each message, whoever takes which step of it and whenever, and never at anybody's cost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Attribute,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use wabridge::simulator::{Effect, Refusal, Rule};

use crate::harness::{
    ACCOUNT, BUSINESS_NUMBER, CREDENTIALS, Database, Message, NUMBER_ID, Options, PATIENCE, TestApp, on_each_database,
    person,
};

/// A collector that keeps what it is given.
#[derive(Clone)]
struct Collector {
    url: String,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// One request.
#[derive(Clone, Debug)]
struct Taken {
    /// The first line, and the headers in lower case.
    head: Vec<String>,
    body: Vec<u8>,
}

impl Collector {
    /// It answers with this.
    async fn start(http_status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let collector = Self { url, taken: Arc::default() };
        let taken = collector.taken.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let request = take(stream, http_status).await;
                taken.lock().expect("no holder can panic").push(request);
            }
        });
        collector
    }

    /// Of every request that was taken.
    fn requests(&self) -> Vec<Taken> {
        self.taken.lock().expect("no holder can panic").clone()
    }

    fn spans(&self) -> Vec<Span> {
        let decoded = self.requests().into_iter().map(|request| {
            ExportTraceServiceRequest::decode(request.body.as_slice()).expect("it is what OTLP calls a request")
        });
        let of_resources = decoded.flat_map(|request| request.resource_spans);
        of_resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// Waits until so many spans of this name have come.
    async fn until_it_has(&self, name: &str, count: usize) -> Vec<Span> {
        let named = || self.spans().into_iter().filter(|span| span.name == name).collect::<Vec<_>>();
        crate::harness::until(&format!("{count} spans named {name} have come"), async || named().len() >= count).await;
        named()
    }
}

async fn take(stream: TcpStream, http_status: u16) -> Taken {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a header");
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
            length = text.parse().expect("a number");
        }
        head.push(line.to_owned());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the body");
    let answer = format!("HTTP/1.1 {http_status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.get_mut().write_all(answer.as_bytes()).await.expect("the caller waits");
    Taken { head, body }
}

fn trace_all(options: &mut Options, collector: &Collector) {
    options.settings.traces.endpoint = collector.url.as_str().into();
    options.settings.traces.sample_ratio = 1.0;
    // What is not answered in time comes again, and each time is a step.
    options.simulator.knobs.webhook_timeout_ms = 60_000;
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |value: Attribute| {
        if let Attribute::StringValue(text) = value {
            return text;
        }
        let Attribute::IntValue(number) = value else { panic!("nothing else is told: {value:?}") };
        number.to_string()
    };
    let pairs = span.attributes.iter().cloned();
    pairs.map(|pair| (pair.key, text(pair.value.and_then(|value| value.value).expect("a value")))).collect()
}

/// Names with what they tell, sorted.
fn steps(spans: &[Span]) -> Vec<String> {
    let mut steps: Vec<String> = spans
        .iter()
        .map(|span| {
            let attributes = attributes(span);
            let told = attributes.get("wabridge.event").or(attributes.get("wabridge.outcome"));
            format!("{}: {}", span.name, told.expect("each tells something"))
        })
        .collect();
    steps.sort_unstable();
    steps
}

/// As CleverTap's callbacks, each with one status, would see it.
const STEPS: [&str; 8] = [
    "accept acme: accepted",
    "receive meta-main: delivered",
    "receive meta-main: read",
    "receive meta-main: sent",
    "relay acme: delivered",
    "relay acme: read",
    "relay acme: sent",
    "send meta-main: submitted",
];

async fn a_message_has_one_trace_from_its_acceptance_to_the_last_callback_across_a_kill(database: Database) {
    let collector = Collector::start(200).await;
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.simulator.knobs.webhooks_paused = true;
        trace_all(options, &collector);
    })
    .await;
    let message = Message::order_update(&person(7));

    app.accept(&message).await;
    // Either may be brought away first, and a kill takes what was not.
    collector.until_it_has("accept acme", 1).await;
    collector.until_it_has("send meta-main", 1).await;
    app.process().kill().await;
    app.start_process().await;
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = false).expect("a switch");
    app.settled().await;
    collector.until_it_has("relay acme", 3).await;
    let shown = app.command(&["message", message.msg_id(), "--json"]).await;
    let told = app.command(&["message", message.msg_id()]).await;
    let stored = app.stored(&message).await;
    app.finish().await;

    let spans = collector.spans();
    assert_eq!(steps(&spans), STEPS);
    let traces: BTreeSet<String> = spans.iter().map(|span| hex::encode(&span.trace_id)).collect();
    assert_eq!(traces.len(), 1, "one message, one trace: {traces:?}");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let trace_id = shown["messages"][0]["trace_id"].as_str().expect("it is traced");
    assert!(traces.contains(trace_id) && told.contains(&format!("trace: {trace_id}")), "{told}");
    let root = spans.iter().find(|span| span.name == "accept acme").expect("it was accepted");
    assert!(root.parent_span_id.is_empty());
    for span in &spans {
        let attributes = attributes(span);
        assert_eq!(attributes["messaging.system"], "whatsapp");
        assert_eq!(attributes["messaging.message.id"], stored.id.to_string());
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        assert!(span.status.is_none(), "nothing failed: {span:?}");
        assert!(span.span_id == root.span_id || span.parent_span_id == root.span_id, "all begin with acceptance");
    }
    assert_eq!(spans.iter().map(|span| &span.span_id).collect::<BTreeSet<_>>().len(), STEPS.len());
    assert_nothing_personal(&collector, &app_secrets(&message, &stored.provider_message_id.expect("it was sent")));
}

/// What nobody at a collector has any business with.
fn app_secrets(message: &Message, provider_message_id: &str) -> Vec<String> {
    let digits = |number: &str| number.trim_start_matches('+').to_owned();
    let recipient = digits(message.body["to"].as_str().expect("a number"));
    let of_caller = CREDENTIALS.map(|(_, value)| value.to_owned());
    let texts = [message.msg_id().to_owned(), "Asha".to_owned(), "A-17".to_owned(), "delivery-reports".to_owned()];
    let ids = [provider_message_id.to_owned(), recipient, digits(BUSINESS_NUMBER)];
    [&of_caller[..], &texts, &ids].concat()
}

fn assert_nothing_personal(collector: &Collector, secrets: &[String]) {
    for request in collector.requests() {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} was told: {text}");
        }
    }
}

async fn the_conventions_of_opentelemetry_are_kept(database: Database) {
    let collector = Collector::start(200).await;
    let app = TestApp::start_with(database, |options| {
        trace_all(options, &collector);
        options.settings.limits.accept_wait = PATIENCE;
        options.settings.limits.accept_wait_expected = PATIENCE;
        options.settings.traces.headers = Some("authorization=Bearer abc, x-team=ops".into());
    })
    .await;
    let refused = Message::order_update(&person(1));
    app.simulator.add_rule(Rule::recipient(&person(1), Effect::Refuse(Refusal::code(131026))));
    let caller = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let headers = [&CREDENTIALS[..], &[caller]].concat();

    let answer = app.post(&format!("/clevertap/{ACCOUNT}/messages"), &headers, refused.body.to_string()).await;
    assert!(answer.is_success(), "{answer:?}");
    app.accept(&refused).await;
    app.finish().await;

    let spans = collector.spans();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let [first, repeat] = named("accept acme")[..] else { panic!("accepted, and known again: {spans:#?}") };
    assert_eq!((first.kind(), repeat.trace_id == first.trace_id), (SpanKind::Server, true));
    assert_eq!(repeat.parent_span_id, first.span_id, "a trace begins once");
    assert_eq!(hex::encode(&first.links[0].trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex::encode(&first.links[0].span_id), "00f067aa0ba902b7");
    let accepted = attributes(first);
    assert_eq!(accepted["http.route"], "/clevertap/{account}/messages");
    assert_eq!(accepted["http.response.status_code"], "200");

    let [send] = named("send meta-main")[..] else { panic!("one try: {spans:#?}") };
    let sent = attributes(send);
    assert_eq!(
        (send.kind(), send.status.as_ref().map(|status| status.code())),
        (SpanKind::Client, Some(StatusCode::Error))
    );
    assert_eq!((sent["error.type"].as_str(), sent["wabridge.provider.code"].as_str()), ("unreachable", "131026"));
    assert_eq!((sent["messaging.operation.type"].as_str(), sent["wabridge.category"].as_str()), ("send", "utility"));
    let [relay] = named("relay acme")[..] else { panic!("one failure is told: {spans:#?}") };
    let relayed = attributes(relay);
    assert_eq!((relayed["wabridge.event"].as_str(), relayed["server.address"].as_str()), ("failed", "127.0.0.1"));

    let request = &collector.requests()[0];
    assert!(request.head[0].starts_with("POST /v1/traces "), "{request:?}");
    for header in ["authorization: Bearer abc", "x-team: ops", "content-type: application/x-protobuf"] {
        assert!(request.head.iter().any(|line| line == header), "{header} is missing in {:?}", request.head);
    }
}

async fn what_a_person_writes_has_a_trace_of_its_own_that_names_what_it_answers(database: Database) {
    let collector = Collector::start(200).await;
    let app = TestApp::start_with(database, |options| trace_all(options, &collector)).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let wamid = app.stored(&message).await.provider_message_id.expect("WhatsApp gave it an id");

    app.simulator.inbound_text(&person(1), NUMBER_ID, "yes please", Some(&wamid)).expect("the number exists");
    app.until_counted("it is told", |stats| stats.clevertap.inbound.values().sum::<u64>() == 1).await;
    app.finish().await;

    let (inbound, outbound): (Vec<Span>, Vec<Span>) = collector
        .spans()
        .into_iter()
        .partition(|span| attributes(span).get("wabridge.event").is_some_and(|event| event == "inbound"));
    assert_eq!(steps(&outbound), STEPS);
    assert_eq!(steps(&inbound), ["receive meta-main: inbound", "relay acme: inbound"]);
    // Either may be recorded first: the relay does not wait for whoever took the webhook.
    let named = |name: &str| inbound.iter().find(|span| span.name == name).expect("its step was just seen");
    let (received, relayed) = (named("receive meta-main"), named("relay acme"));
    assert!(received.parent_span_id.is_empty() && relayed.parent_span_id == received.span_id, "{inbound:#?}");
    assert!(received.trace_id == relayed.trace_id && received.trace_id != outbound[0].trace_id);
    assert_eq!(relayed.links[0].trace_id, outbound[0].trace_id, "it answers that message");
    let secrets = [app_secrets(&message, &wamid), vec!["yes please".to_owned()]].concat();
    assert_nothing_personal(&collector, &secrets);
}

async fn a_message_that_is_not_sampled_is_not_told(database: Database) {
    let collector = Collector::start(200).await;
    let app = TestApp::start_with(database, |options| {
        options.as_process = true;
        trace_all(options, &collector);
        options.settings.traces.sample_ratio = 1e-12;
    })
    .await;
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;
    let shown = app.command(&["message", message.msg_id(), "--json"]).await;
    // Whoever stops brings away what it has.
    app.finish().await;

    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["messages"][0]["trace_id"], Value::Null);
    assert_eq!(collector.requests().len(), 0, "{:#?}", collector.spans());
}

/// Spans by what became of them.
async fn spans_counted(app: &TestApp, result: &str) -> u64 {
    let (_, metrics) = app.get("/metrics").await;
    let name = format!("wabridge_trace_spans_total{{result=\"{result}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name}:\n{metrics}"))
}

async fn nothing_is_traced_unless_a_collector_is_named(database: Database) {
    let app = TestApp::start_with(database, |options| options.as_process = true).await;
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!((spans_counted(&app, "exported").await, spans_counted(&app, "dropped").await), (0, 0));
    let told = app.command(&["message", message.msg_id()]).await;
    assert!(!told.contains("trace"), "{told}");
    app.finish().await;
}

async fn a_collector_that_never_answers_holds_up_nobody(database: Database) {
    const MESSAGES: usize = 100;
    const QUEUE: usize = 16;
    // Connections are made, and nothing comes back.
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.settings.traces.endpoint = format!("http://{}", deaf.local_addr().expect("it is bound")).into();
        options.settings.traces.sample_ratio = 1.0;
        options.settings.traces.queue_spans = QUEUE;
        // Longer than the whole scenario: whoever waited for it would be seen.
        options.settings.traces.timeout = Duration::from_secs(3600);
    })
    .await;
    let messages: Vec<Message> = (0..MESSAGES).map(|number| Message::order_update(&person(number))).collect();

    app.accept_all(&messages).await;
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
    let all = (MESSAGES * STEPS.len()) as u64;
    // One portion of at most 512 is on its way, and the queue is full.
    let dropped_min = all - 512 - QUEUE as u64;
    app.until("the others are dropped", async || spans_counted(&app, "dropped").await >= dropped_min).await;
    assert_eq!(spans_counted(&app, "exported").await, 0);
    app.leave().await;
}

async fn a_collector_that_refuses_is_told_once_and_found_by_check(database: Database) {
    let (good, refusing) = (Collector::start(200).await, Collector::start(401).await);
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
        trace_all(options, &refusing);
    })
    .await;
    let check = async |app: &TestApp| {
        let (_, printed) = app.command_ending(&["check", "--json"]).await;
        let report: Value = serde_json::from_str(&printed).expect("JSON");
        let findings = report["findings"].as_array().expect("a list of findings").clone();
        let of_traces = |finding: &&Value| finding["about"].as_str().is_some_and(|about| about.contains("traces"));
        findings.iter().find(of_traces).map(|found| (found["level"].clone(), found["text"].to_string()))
    };

    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    app.until("all are dropped", async || spans_counted(&app, "dropped").await >= STEPS.len() as u64).await;
    let (level, text) = check(&app).await.expect("there is a collector");
    assert!(level == "wrong" && text.contains("HTTP 401"), "{text}");
    let log = String::from_utf8_lossy(&app.read_file(crate::harness::LOG_FILE)).into_owned();
    assert_eq!(log.matches("does not take spans").count(), 1, "{log}");

    app.settings.traces.endpoint = good.url.as_str().into();
    let (level, text) = check(&app).await.expect("there is a collector");
    assert!(level == "fine" && text.contains("100 %"), "{text}");
    app.settings.traces.endpoint = "".into();
    assert_eq!(check(&app).await, None, "who traces nothing needs no collector");
    app.finish().await;
}

on_each_database!(
    a_message_has_one_trace_from_its_acceptance_to_the_last_callback_across_a_kill,
    the_conventions_of_opentelemetry_are_kept,
    what_a_person_writes_has_a_trace_of_its_own_that_names_what_it_answers,
    a_message_that_is_not_sampled_is_not_told,
    nothing_is_traced_unless_a_collector_is_named,
    a_collector_that_never_answers_holds_up_nobody,
    a_collector_that_refuses_is_told_once_and_found_by_check,
);
