use super::*;
use crate::{
    domain::{
        account::{Connection, SenderPolicy},
        channel::NumberState,
        ids::{AccountKey, ConnectionKey},
    },
    store::testing::on_each_database,
};

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn sender(key: i32, connection: i32, waba: &str, sharing: &str) -> Sender {
    let connection = Connection {
        key: ConnectionKey(connection),
        id: format!("connection-{connection}"),
        provider: "meta".to_owned(),
        settings: BTreeMap::from([(Sharing::SETTING.to_owned(), sharing.to_owned())]),
        secrets: BTreeMap::new(),
        hold: None,
        changed_at: UnixMillis(0),
    };
    Sender {
        key: SenderKey(key),
        account: AccountKey(1),
        connection: Arc::new(connection),
        number: PhoneNumber::from_international(&format!("+91888011002{key}")).expect("a number"),
        provider_number_id: key.to_string(),
        provider_account_id: waba.to_owned(),
        messages_per_second: 80,
        pace: 80,
        policy: SenderPolicy::default(),
        hold: None,
    }
}

/// What was read of numbers, at which second.
fn channels(read: &[(i32, i64, MessagingLimit)]) -> BTreeMap<SenderKey, Channel> {
    let channel = |(key, at, limit): &(i32, i64, MessagingLimit)| {
        let state = NumberState { messaging_limit: Some(limit.clone()), ..NumberState::default() };
        let channel =
            Channel { state: Some((UnixMillis::from_seconds(*at), state)), failure: None, limit_before: None };
        (SenderKey(*key), channel)
    };
    read.iter().map(channel).collect()
}

fn limits(senders: &[Sender], read: &[(i32, i64, MessagingLimit)]) -> BTreeMap<i32, (String, u64)> {
    let limits = limits_of(senders.iter(), &channels(read)).into_iter();
    limits.map(|(key, limit)| (key.0, (limit.portfolio.to_string(), limit.people_max))).collect()
}

#[test]
fn what_was_read_last_of_any_number_is_the_limit_of_all_that_share_it() {
    let senders = [sender(1, 1, "w1", "waba"), sender(2, 2, "w1", ""), sender(3, 1, "w2", "waba")];
    let read = [(1, 10, MessagingLimit::People(250)), (2, 20, MessagingLimit::People(2_000))];

    let of_w1 = ("business account w1 at meta".to_owned(), 2_000);
    assert_eq!(limits(&senders, &read), BTreeMap::from([(1, of_w1.clone()), (2, of_w1)]), "of w2 nothing is known");
}

#[test]
fn a_connection_may_be_one_portfolio_or_not_be_counted() {
    let senders = [sender(1, 1, "w1", "connection"), sender(2, 1, "w2", "connection"), sender(3, 2, "w3", "off")];
    let read = [(1, 10, MessagingLimit::People(250)), (3, 10, MessagingLimit::People(250))];

    let shared = ("connection connection-1".to_owned(), 250);
    assert_eq!(limits(&senders, &read), BTreeMap::from([(1, shared.clone()), (2, shared)]));
}

#[test]
fn what_is_unlimited_or_not_understood_is_not_counted() {
    let senders = [sender(1, 1, "w1", "waba"), sender(2, 1, "w1", "waba")];
    let people = |people| (1, 10, MessagingLimit::People(people));

    assert!(limits(&senders, &[people(250), (2, 20, MessagingLimit::Unlimited)]).is_empty());
    assert!(limits(&senders, &[people(PEOPLE_COUNTED_MAX + 1)]).is_empty());
    assert!(limits(&senders, &[(1, 10, MessagingLimit::Other("TIER_NOT_SET".to_owned()))]).is_empty());
    let unclear = (2, 20, MessagingLimit::Other("TIER_NOT_SET".to_owned()));
    assert_eq!(limits(&senders, &[people(250), unclear]).len(), 2, "a word that says nothing takes nothing back");
}

#[test]
fn a_limit_is_told_with_what_waits_and_until_when() {
    let mut state = LimitUse { people_max: 250, people: 12, next_free_at: None, waiting: 0 };
    assert_eq!(state.told(), "12 of 250 people were written to first within 24 hours");
    assert!(!state.holds_back());

    state = LimitUse { people: 250, next_free_at: Some(NOW), waiting: 1, ..state };
    assert!(
        state.told().contains("1 message waits, the next place is free at 2026-11-18T11:06:40Z"),
        "{}",
        state.told()
    );
    assert!(state.holds_back());
}

#[tokio::test]
async fn what_was_noted_is_read_again_in_pages_and_only_for_a_day() {
    on_each_database(|store| async move {
        let (senders, ids) = ([sender(1, 1, "w1", "waba")], MessageIds::new(0));
        let row = |at: UnixMillis, contact, people: Vec<u64>| RecentPeople {
            id: ids.next(at),
            sender: SenderKey(1),
            contact,
            people,
        };
        let old = row(NOW.minus(DAY + Duration::from_secs(60)), Contact::Business, vec![1, 2, 3]);
        let mut rows = vec![old, row(NOW.minus(Duration::from_secs(3600)), Contact::Person, vec![9])];
        rows.extend((0..2 * PAGE as u64).map(|person| row(NOW, Contact::Business, vec![person / 2, 7_000_000_000])));
        store.add_recent_people(&rows).await.expect("written");

        let read = channels(&[(1, 10, MessagingLimit::People(250))]);
        let used = limit_use(&store, senders.iter(), &read, NOW).await.expect("readable")[&SenderKey(1)];

        assert_eq!((used.people, used.people_max), (PAGE as u64 + 1, 250));
    })
    .await;
}
