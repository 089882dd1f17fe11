//! Providers that are asked what happened: where a look goes on that was broken off.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use wabridge::{
    domain::time::UnixMillis,
    providers::{
        Provider,
        polls::{PollMemory, Polled},
    },
};

use crate::{
    server::{Answer, Server},
    wire::{exchange, runtime, sender},
};

/// In 2026.
const SINCE: UnixMillis = UnixMillis(1_790_000_000_000);
const LATER: UnixMillis = UnixMillis(SINCE.0 + 600_000);
/// What was said so long before the newest may still come.
const LATE: Duration = Duration::from_secs(120);

fn gallabox() -> &'static dyn Provider {
    wabridge::providers::find("gallabox").expect("it is known")
}

fn answer(answer: Value) -> Answer {
    serde_json::from_value(answer).expect("an answer of the right shape")
}

fn conversations(contacts: &[&str]) -> Answer {
    let at = LATER.to_string();
    let listed = contacts.iter().map(|contact| json!({"id": contact, "contactId": contact, "updatedAt": at}));
    answer(json!({"body": listed.collect::<Vec<_>>()}))
}

fn text_of(contact: &str) -> Answer {
    let at = LATER;
    answer(json!({"body": {"data": [{"id": format!("id-{contact}"), "contactId": contact, "sender": contact,
        "channelId": "100000000000001", "createdAt": at.to_string(),
        "whatsapp": {"id": format!("wamid.{contact}"), "from": "919876500001", "type": "text", "status": "received",
            "time": (at.0 / 1000).to_string(), "text": {"body": contact}}}]}}))
}

fn told(polled: &Polled) -> Vec<&str> {
    polled.parsed.inbound.iter().map(|inbound| inbound.message.provider_message_id.as_str()).collect()
}

#[test]
fn a_look_that_is_throttled_on_its_way_goes_on_where_it_ended() {
    let throttled = |retry_after: Option<&str>| {
        answer(json!({"status": 429, "retry_after": retry_after, "body": {"message": "Too many requests"}}))
    };
    let both = || conversations(&["c-1", "c-2"]);
    let answers = vec![
        both(),
        text_of("c-1"),
        throttled(Some("300")),
        both(),
        throttled(None),
        both(),
        text_of("c-2"),
        conversations(&["c-1", "c-2"]),
        text_of("c-1"),
        text_of("c-2"),
    ];
    runtime().block_on(async {
        let server = Server::start(answers).await;
        let from = sender(gallabox(), &server.url, BTreeMap::new());
        let mut memory = PollMemory::default();
        let mut look = async || gallabox().poll(&exchange(), &from, SINCE, &mut memory).await;

        let first = look().await;
        assert_eq!((told(&first), first.until), (vec!["wamid.c-1"], SINCE), "what was not read may be older");
        assert_eq!(first.failure.and_then(|failure| failure.wait), Some(Duration::from_secs(300)));
        let second = look().await;
        assert_eq!((told(&second).len(), second.until), (0, SINCE));
        assert_eq!(second.failure.and_then(|failure| failure.wait), Some(Duration::from_secs(60)));
        let third = look().await;
        assert_eq!((told(&third), third.until), (vec!["wamid.c-2"], LATER.minus(LATE)));
        assert!(third.failure.is_none() && third.missed.is_none());
        // All is looked at once more, and nothing is given again.
        assert!(told(&look().await).is_empty());

        let asked: Vec<String> = server.stop().into_iter().map(|asked| asked.line).collect();
        assert_eq!(asked.len(), 10, "{asked:#?}");
        assert!(asked[6].contains("contactId=c-2"), "c-1 was read already: {asked:#?}");
    });
}

#[test]
fn a_list_that_does_not_reach_back_is_asked_for_longer_and_what_is_beyond_is_said() {
    let listed = |count: usize, oldest: UnixMillis| {
        let at = |place: usize| if place == 0 { oldest } else { SINCE };
        // Nobody is in them, so that no messages are asked for.
        let listed = (0..count).rev().map(|place| json!({"id": place, "updatedAt": at(place).to_string()}));
        answer(json!({"body": {"conversations": listed.collect::<Vec<_>>()}}))
    };
    let (before, after) = (SINCE.minus(Duration::from_secs(1)), SINCE.plus(Duration::from_secs(1)));
    for (answers, found, missed) in [
        (vec![listed(50, after), listed(120, after)], 120, false),
        (vec![listed(50, after), listed(200, before)], 200, false),
        (vec![listed(50, after), listed(200, after), listed(800, after)], 800, true),
        // It gives no more, however many are asked for.
        (vec![listed(50, after), listed(50, after)], 50, true),
    ] {
        runtime().block_on(async {
            let server = Server::start(answers.clone()).await;
            let from = sender(gallabox(), &server.url, BTreeMap::new());
            let polled = gallabox().poll(&exchange(), &from, SINCE, &mut PollMemory::default()).await;
            assert_eq!((polled.parsed.skipped.len(), polled.missed.is_some()), (found, missed), "{:?}", polled.failure);
            let asked: Vec<String> = server.stop().into_iter().map(|asked| asked.line).collect();
            let limits = ["limit=50", "limit=200", "limit=800"];
            assert!(asked.iter().zip(limits).all(|(asked, limit)| asked.ends_with(limit)), "{asked:?}");
            assert_eq!(asked.len(), answers.len());
        });
    }
}

#[test]
fn a_message_from_the_future_does_not_hide_those_that_come_until_then() {
    runtime().block_on(async {
        let mut ahead = serde_json::Map::new();
        ahead.insert("date".to_owned(), json!("Mon, 21 Sep 2026 15:06:50 GMT"));
        let listed = answer(json!({"body": [{"id": "c-1", "contactId": "c-1"}], "headers": ahead.clone()}));
        let odd = json!([{"id": "x", "contactId": "c-1", "sender": "c-1", "createdAt": "2031-01-01T00:00:00Z",
            "whatsapp": {"id": "wamid.X", "from": "919876500001", "type": "text", "status": "received", "time": "1925000000",
                "text": {"body": "soon"}}}]);
        let server = Server::start(vec![listed, answer(json!({"body": odd, "headers": ahead}))]).await;
        let from = sender(gallabox(), &server.url, BTreeMap::new());

        let polled = gallabox().poll(&exchange(), &from, SINCE, &mut PollMemory::default()).await;

        assert_eq!(told(&polled), ["wamid.X"]);
        let theirs = UnixMillis::from_seconds(1_790_003_210);
        assert_eq!(polled.until, theirs.minus(LATE), "by their own clock");
    });
}
