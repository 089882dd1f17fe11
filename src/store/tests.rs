//! What the store promises of messages, on both databases.

mod plans;
mod removal;

use std::{sync::Arc, time::Duration};

use super::{
    Store,
    batch::{BatchLimits, CommitError, Committer},
    execute,
    ingest::{Ingest, ReceivedMessage, UnreadPart},
    leases::{LeaseKind, OfOthers},
    outbound::{Acceptance, Mark, MessageKey, NewMessage, SendAttempt, Settlement},
    query,
    retain::Aging,
    send_exchanges::{Said, Taken},
    testing::on_each_database,
    wakeups::Wakeups,
};
use crate::{
    clock,
    domain::{
        attempt::{Attempt, AttemptOutcome},
        callback::EventKind,
        failure::{Failure, FailureReason},
        ids::{AccountKey, ConnectionKey, MessageId, MessageIds, Place, SenderKey},
        inbound::{InboundContent, InboundMessage},
        outbound::{Category, Class, SendState},
        phone::PhoneNumber,
        progress::Finding,
        status::{DeliveryStatus, StatusUpdate},
        time::UnixMillis,
    },
};

const ACCOUNT: AccountKey = AccountKey(1);
const SENDER: SenderKey = SenderKey(1);
const CONNECTION: ConnectionKey = ConnectionKey(1);
const PATIENCE: Duration = Duration::from_secs(20);
const INSTANCE: &str = "one";

/// A store with its committer, and a lease of the one number.
#[derive(Clone)]
struct Bench {
    store: Store,
    committer: Committer,
    epoch: i64,
}

impl Bench {
    async fn new(store: Store) -> Self {
        Self::with_node(store, 0).await
    }

    async fn with_node(store: Store, node: i32) -> Self {
        let limits = BatchLimits { rows_max: 500, queued_rows_max: 20_000, repeat_window: Duration::from_secs(3600) };
        let ids = Arc::new(MessageIds::new(node));
        let (committer, writing) =
            Committer::new(store.clone(), ids, Arc::new(Wakeups::default()), limits, Arc::default()).await;
        tokio::spawn(writing);
        let epoch = take_lease(&store, INSTANCE).await.expect("nobody has it");
        Self { store, committer, epoch }
    }

    async fn accept(&self, platform_id: &str, content: &str) -> Acceptance {
        let message = self.message(platform_id, content);
        self.committer.accept(message, PATIENCE).await.expect("stored")
    }

    fn message(&self, platform_id: &str, content: &str) -> NewMessage {
        let now = clock::now();
        NewMessage {
            id: self.committer.next_id(now),
            account: ACCOUNT,
            sender: SENDER,
            category: Category::Utility,
            platform_message_id: platform_id.to_owned(),
            campaign: None,
            recipient: PhoneNumber::from_international("919876500101").expect("a number"),
            template: None,
            request: "{}".to_owned(),
            expires_at: now.plus(Duration::from_secs(3600)),
            key: Some(MessageKey::new(platform_id, content.as_bytes())),
            paused: false,
        }
    }

    async fn queued(&self) -> Vec<MessageId> {
        let head = self.store.queue_head(SENDER, Class::Utility, 100).await.expect("readable");
        head.into_iter().map(|message| message.id).collect()
    }

    async fn mark(&self, epoch: i64, messages: &[MessageId]) -> Vec<MessageId> {
        let mark = Mark { sender: SENDER, epoch, messages: messages.to_vec() };
        self.committer.mark_sending(mark).await.expect("written")
    }

    async fn settle(&self, epoch: i64, message: MessageId, finding: Finding) {
        let settlement = Settlement { message, epoch, finding, attempt: None };
        self.committer.settle(vec![settlement]).await.expect("written");
    }

    /// Accepted, marked, and taken by the provider.
    async fn sent(&self, platform_id: &str, provider_id: &str) -> MessageId {
        let message = self.accept(platform_id, "a").await.message;
        self.mark(self.epoch, &[message]).await;
        self.settle(self.epoch, message, Finding::Submitted { provider_message_id: provider_id.to_owned() }).await;
        message
    }

    async fn ingest(&self, statuses: Vec<StatusUpdate>, inbound: Vec<ReceivedMessage>) -> super::ingest::Ingested {
        let statuses = statuses.into_iter().map(|status| (SENDER, status)).collect();
        let ingest = Ingest { statuses, inbound, ..Ingest::of(CONNECTION) };
        self.committer.ingest(ingest).await.expect("written")
    }

    async fn told(&self) -> Vec<DeliveryStatus> {
        let (events, _) = self.store.events_after(ACCOUNT, EventKind::Status, Place(0), 1000).await.expect("readable");
        events.into_iter().filter_map(|event| event.status).collect()
    }

    async fn state(&self, message: MessageId) -> SendState {
        self.store.message(message).await.expect("readable").expect("it exists").state
    }

    async fn count(&self, table: &str) -> i64 {
        let rows = query(self.store.reader(), format!("SELECT COUNT(*) AS n FROM {table}"), vec![]).await;
        rows.expect("readable")[0].try_get("", "n").expect("a number")
    }
}

async fn take_lease(store: &Store, instance: &str) -> Option<i64> {
    let lasts = Duration::from_secs(60);
    let taken =
        store.take_leases(instance, LeaseKind::Sender, &[SENDER.0], lasts, OfOthers::RunOut).await.expect("readable");
    taken.first().map(|lease| lease.epoch)
}

fn status(provider_id: &str, status: DeliveryStatus) -> StatusUpdate {
    StatusUpdate {
        provider_message_id: provider_id.to_owned(),
        message: None,
        provider_number_id: "1".to_owned(),
        status,
        occurred_at: UnixMillis(1_795_000_000_000),
        price: None,
        failure: None,
        entry: "{}".to_owned(),
    }
}

fn reply(provider_id: &str, replies_to: Option<&str>) -> ReceivedMessage {
    ReceivedMessage {
        account: ACCOUNT,
        sender: SENDER,
        message: InboundMessage {
            provider_message_id: provider_id.to_owned(),
            from: PhoneNumber::from_international("919876500101"),
            from_user_id: None,
            from_name: None,
            occurred_at: UnixMillis(1_795_000_000_000),
            replies_to: replies_to.map(str::to_owned),
            content: InboundContent::Text { body: "yes".to_owned() },
        },
        entry: "{}".to_owned(),
    }
}

#[tokio::test]
async fn fifty_repeats_at_once_are_one_message() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;

        let asked = (0..50).map(|_| bench.accept("7|1", "a"));
        let answers = futures_util::future::join_all(asked).await;

        assert_eq!(answers.iter().filter(|answer| !answer.repeat).count(), 1);
        assert!(answers.iter().all(|answer| answer.message == answers[0].message && !answer.odd));
        assert_eq!(bench.queued().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_same_id_with_other_content_is_another_message_and_odd() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;

        let first = bench.accept("7|1", "a").await;
        let second = bench.accept("7|1", "b").await;

        assert!(!first.odd && second.odd && !second.repeat);
        assert_eq!(bench.queued().await, [first.message, second.message]);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_nobody_waits_for_is_not_sent_until_it_is_asked_for_again() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;

        let refused = bench.committer.accept(bench.message("7|1", "a"), Duration::ZERO).await;
        // Whatever the committer writes next, it cancels before.
        bench.accept("7|2", "a").await;
        let queued_before = bench.queued().await.len();
        let again = bench.accept("7|1", "a").await;

        assert!(matches!(refused, Err(CommitError::TooSlow)), "{refused:?}");
        assert_eq!(queued_before, 1);
        assert!(bench.queued().await.contains(&again.message));
    })
    .await;
}

#[tokio::test]
async fn only_the_owner_marks_and_only_once() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let message = bench.accept("7|1", "a").await.message;

        assert_eq!(bench.mark(bench.epoch + 1, &[message]).await, []);
        assert_eq!(bench.mark(bench.epoch, &[message]).await, [message]);
        assert_eq!(bench.mark(bench.epoch, &[message]).await, [message], "the answer to the first may have been lost");
        assert_eq!(bench.queued().await, []);
    })
    .await;
}

#[tokio::test]
async fn what_was_cancelled_or_set_aside_meanwhile_is_not_marked() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let free = bench.accept("free", "a").await.message;
        let cancelled = bench.accept("cancelled", "a").await.message;
        let aside = bench.accept("aside", "a").await.message;
        let read_ahead = bench.queued().await;
        assert_eq!(read_ahead, [free, cancelled, aside]);

        assert_eq!(bench.store.cancel_waiting(&[cancelled], "wrong price").await.expect("written"), 1);
        let expires_at = bench.store.message(aside).await.expect("readable").expect("it exists").expires_at;
        bench.settle(0, aside, Finding::Postponed { due_at: expires_at }).await;

        assert_eq!(bench.mark(bench.epoch, &read_ahead).await, [free]);
        assert_eq!(bench.state(cancelled).await, SendState::Cancelled);
        assert_eq!(bench.told().await, [DeliveryStatus::Failed]);
        assert_eq!(bench.store.cancel_waiting(&[free, cancelled], "again").await.expect("written"), 0, "too late");
        assert!(bench.accept("cancelled", "a").await.repeat, "a repeat gets its answer");
        assert_eq!(bench.state(cancelled).await, SendState::Cancelled, "and wakes nobody");
        assert_eq!(bench.store.put_back(&[aside, cancelled, free]).await.expect("written"), 1);
        assert_eq!(bench.queued().await, [aside]);
    })
    .await;
}

#[tokio::test]
async fn a_late_owner_changes_nothing() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let message = bench.accept("7|1", "a").await.message;
        bench.mark(bench.epoch, &[message]).await;

        let successor = take_lease(&bench.store, INSTANCE).await.expect("the same instance takes over");
        let adopted = bench.store.adopt_sending(SENDER, successor, clock::now()).await.expect("written");
        bench.settle(bench.epoch, message, Finding::Returned).await;

        assert_eq!(adopted, 1);
        assert_eq!(bench.state(message).await, SendState::Unknown);
        assert_eq!(bench.mark(bench.epoch, &[message]).await, []);
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_somebody_holds_is_not_taken() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;

        assert_eq!(take_lease(&bench.store, "two").await, None);

        let run = bench.store.register_instance(INSTANCE).await.expect("written").run;
        let held = bench.store.renew_leases(INSTANCE, run, Duration::from_secs(60)).await.expect("written");
        let held = held.expect("this is the latest run").held;
        bench.store.give_back_leases(INSTANCE, &held).await.expect("written");
        assert_eq!(take_lease(&bench.store, "two").await, Some(bench.epoch + 1));
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_would_never_end_is_taken_once_its_owner_must_be_dead() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let sql = "UPDATE leases SET expires_at = expires_at + 3600000";
        query(&bench.store.writer, sql, vec![]).await.expect("written");
        let take = async |of_others| {
            let lasts = Duration::from_secs(60);
            bench
                .store
                .take_leases("two", LeaseKind::Sender, &[SENDER.0], lasts, of_others)
                .await
                .expect("written")
                .len()
        };

        assert_eq!(take(OfOthers::RunOut).await, 0);
        assert_eq!(take(OfOthers::OrNeverEnding).await, 1);
        assert_eq!(take_lease(&bench.store, "three").await, None);
    })
    .await;
}

#[tokio::test]
async fn an_owner_renews_what_ran_out_and_nobody_took() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let run = bench.store.register_instance(INSTANCE).await.expect("written").run;
        query(&bench.store.writer, "UPDATE leases SET expires_at = 1", vec![]).await.expect("written");

        let renewal = bench.store.renew_leases(INSTANCE, run, Duration::from_secs(60)).await.expect("written");

        let held = renewal.expect("this is the latest run").held;
        assert_eq!(held.iter().map(|lease| lease.epoch).collect::<Vec<_>>(), [bench.epoch]);
        assert_eq!(take_lease(&bench.store, "two").await, None);
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_lets_nothing_wait_for_longer_than_it_was_put_off() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let messages = [bench.accept("7|1", "a").await.message, bench.accept("7|2", "a").await.message];
        bench.mark(bench.epoch, &messages).await;
        let failure = Failure::new(FailureReason::Other, None, "busy");
        let due_at = clock::now().plus(Duration::from_secs(30));
        bench.settle(bench.epoch, messages[0], Finding::Retry { due_at, failure }).await;
        let successor = take_lease(&bench.store, INSTANCE).await.expect("the same instance takes over");
        bench.store.adopt_sending(SENDER, successor, due_at).await.expect("written");
        let (set_back, grace) = (clock::now().minus(Duration::from_secs(3600)), Duration::from_secs(20));

        assert_eq!(bench.store.bring_nearer(SENDER, clock::now(), grace).await.expect("written"), 0, "all is well");
        assert_eq!(bench.store.bring_nearer(SENDER, set_back, grace).await.expect("written"), 2);

        let soon = set_back.plus(Duration::from_secs(40));
        let retries = bench.store.due_retries(SENDER, soon, &[], 10).await.expect("readable");
        assert_eq!(retries.iter().map(|message| message.id).collect::<Vec<_>>(), [messages[0]]);
        assert_eq!(bench.store.unknown_due(SENDER, soon, 10).await.expect("readable"), [messages[1]]);
        assert_eq!(bench.store.newest_message(set_back).await.expect("readable"), Some(messages[1]));
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_a_report_overtook_is_kept() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let message = bench.accept("7|1", "a").await.message;
        bench.mark(bench.epoch, &[message]).await;
        let evidence = StatusUpdate { message: Some(message), ..status("wamid.1", DeliveryStatus::Sent) };
        bench.ingest(vec![evidence], vec![]).await;
        assert_eq!(bench.store.taken(message).await.expect("readable"), None);

        let answer_of = |provider_id: &str| {
            let taken = Taken { request_hash: 7, answer: provider_id.to_owned() };
            let attempt = Attempt {
                started_at: clock::now(),
                took: Duration::from_millis(30),
                outcome: AttemptOutcome::Succeeded,
                http_status: Some(200),
                note: String::new(),
                excerpt: None,
            };
            let said = Said { taken: Some(taken.clone()), exchanges: vec![] };
            let finding = Finding::Submitted { provider_message_id: provider_id.to_owned() };
            let attempt = Some(SendAttempt { attempt, said });
            (taken, Settlement { message, epoch: bench.epoch, finding, attempt })
        };
        let (kept, answer) = answer_of("wamid.1");
        let (_, of_another_send) = answer_of("wamid.2");
        bench.committer.settle(vec![answer]).await.expect("written");
        bench.committer.settle(vec![of_another_send]).await.expect("written");

        assert_eq!(bench.store.taken(message).await.expect("readable"), Some(kept));
        let stored = bench.store.message(message).await.expect("readable").expect("it exists");
        assert_eq!((stored.took_ms, stored.provider_message_id.as_deref()), (Some(30), Some("wamid.1")));
    })
    .await;
}

#[tokio::test]
async fn statuses_late_twice_and_in_any_order_are_told_once_and_in_order() {
    on_each_database(|store| async move {
        use DeliveryStatus::{Delivered, Read, Sent};
        let bench = Bench::new(store).await;
        let message = bench.sent("7|1", "wamid.1").await;

        bench.ingest(vec![status("wamid.1", Read), status("wamid.1", Sent)], vec![]).await;
        bench.ingest(vec![status("wamid.1", Delivered), status("wamid.1", Read)], vec![]).await;

        assert_eq!(bench.told().await, [Sent, Delivered, Read]);
        let stored = bench.store.message(message).await.expect("readable").expect("it exists");
        assert_eq!(stored.delivery, Some(Read));
    })
    .await;
}

#[tokio::test]
async fn a_status_that_comes_before_its_message_is_known_is_kept_and_matched() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let message = bench.accept("7|1", "a").await.message;
        bench.mark(bench.epoch, &[message]).await;

        let early = bench.ingest(vec![status("wamid.1", DeliveryStatus::Delivered)], vec![]).await;
        let told_before = bench.told().await;
        bench.settle(bench.epoch, message, Finding::Submitted { provider_message_id: "wamid.1".to_owned() }).await;

        assert_eq!(early.parked, 1);
        assert_eq!(told_before, []);
        assert_eq!(bench.told().await, [DeliveryStatus::Sent, DeliveryStatus::Delivered]);
        assert_eq!(bench.count("unrecognized").await, 0);
    })
    .await;
}

/// Whatever comes while a commit runs goes into one batch: here all answers with all statuses.
#[tokio::test]
async fn a_status_that_comes_together_with_the_answer_to_its_send_is_matched() {
    const SENDS: usize = 20;
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let mut sends = Vec::with_capacity(SENDS);
        for number in 0..SENDS {
            let message = bench.accept(&format!("7|{number}"), "a").await.message;
            bench.mark(bench.epoch, &[message]).await;
            sends.push((message, format!("wamid.{number}")));
        }

        let answers = sends.iter().map(|(message, id)| {
            bench.settle(bench.epoch, *message, Finding::Submitted { provider_message_id: id.clone() })
        });
        let reports = sends.iter().map(|(_, id)| bench.ingest(vec![status(id, DeliveryStatus::Delivered)], vec![]));
        futures_util::future::join(futures_util::future::join_all(answers), futures_util::future::join_all(reports))
            .await;

        assert_eq!(bench.count("unrecognized").await, 0, "none is kept as of an unknown message");
        assert_eq!(bench.told().await.len(), 2 * SENDS);
    })
    .await;
}

#[tokio::test]
async fn our_own_id_in_a_status_is_evidence_that_an_unknown_message_went_out() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let message = bench.accept("7|1", "a").await.message;
        bench.mark(bench.epoch, &[message]).await;
        let successor = take_lease(&bench.store, INSTANCE).await.expect("the same instance takes over");
        bench.store.adopt_sending(SENDER, successor, clock::now()).await.expect("written");

        let evidence = StatusUpdate { message: Some(message), ..status("wamid.9", DeliveryStatus::Sent) };
        bench.ingest(vec![evidence], vec![]).await;

        assert_eq!(bench.state(message).await, SendState::Submitted);
        assert_eq!(bench.store.unknown_due(SENDER, clock::now(), 10).await.expect("readable"), []);
    })
    .await;
}

#[tokio::test]
async fn an_id_of_ours_from_another_number_is_not_believed() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let message = bench.accept("7|1", "a").await.message;

        let foreign = StatusUpdate { message: Some(message), ..status("wamid.9", DeliveryStatus::Sent) };
        let ingest = Ingest { statuses: vec![(SenderKey(2), foreign)], ..Ingest::of(CONNECTION) };
        let taken = bench.committer.ingest(ingest).await.expect("written");

        assert_eq!(taken.parked, 1);
        assert_eq!(bench.state(message).await, SendState::Queued);
    })
    .await;
}

#[tokio::test]
async fn a_reply_is_logged_once_and_knows_what_it_quotes() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let message = bench.sent("7|1", "wamid.1").await;

        let quoting = || reply("wamid.in.1", Some("wamid.1"));
        let taken = bench.ingest(vec![], vec![quoting(), quoting()]).await;
        bench.ingest(vec![], vec![quoting()]).await;

        let (events, _) = bench.store.events_after(ACCOUNT, EventKind::Inbound, Place(0), 10).await.expect("readable");
        assert_eq!(taken.repeated, 1);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].message, Some(message));
        assert_eq!(events[0].platform_message_id.as_deref(), Some("7|1"));
    })
    .await;
}

#[tokio::test]
async fn a_job_that_cannot_be_written_fails_alone() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        let taken = bench.accept("7|1", "a").await.message;
        // A number that is taken already: the row cannot be inserted.
        let bad = NewMessage { id: taken, key: None, ..bench.message("7|2", "a") };

        let (failed, stored) = tokio::join!(
            bench.committer.accept(bad, PATIENCE),
            bench.committer.accept(bench.message("7|3", "a"), PATIENCE),
        );

        assert!(matches!(failed, Err(CommitError::Failed(_))), "{failed:?}");
        assert!(stored.is_ok(), "{stored:?}");
    })
    .await;
}

#[tokio::test]
async fn many_writers_leave_no_gap_and_no_reader_misses_a_place() {
    on_each_database(|store| async move {
        const WRITERS: usize = 4;
        const EACH: usize = 40;
        let benches = futures_util::future::join_all(
            (0..WRITERS).map(|node| Bench::with_node(store.clone(), i32::try_from(node).expect("small"))),
        )
        .await;
        let writing = benches.iter().enumerate().map(|(writer, bench)| async move {
            for number in 0..EACH {
                bench.ingest(vec![], vec![reply(&format!("wamid.{writer}.{number}"), None)]).await;
            }
        });
        let reading = async {
            let mut seen: Vec<i64> = Vec::new();
            while seen.len() < WRITERS * EACH {
                let after = Place(seen.last().copied().unwrap_or(0));
                let (events, _) = store.events_after(ACCOUNT, EventKind::Inbound, after, 7).await.expect("readable");
                seen.extend(events.iter().map(|event| event.place.0));
                tokio::task::yield_now().await;
            }
            seen
        };

        let (seen, _) = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::join!(reading, futures_util::future::join_all(writing))
        })
        .await
        .expect("a reader that missed a place waits for ever");

        let all: Vec<i64> = (1..).take(WRITERS * EACH).collect();
        assert_eq!(seen, all);
    })
    .await;
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_what_is_open_is_not() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        bench.sent("7|1", "wamid.1").await;
        let open = bench.accept("7|2", "a").await.message;
        let unread = UnreadPart { pointer: "/entry/0".to_owned(), reason: "odd".to_owned(), entry: "\0{}".to_owned() };
        let inbound = vec![reply("wamid.in", None)];
        let ingest = Ingest { inbound, skipped: vec![unread], ..Ingest::of(CONNECTION) };
        bench.committer.ingest(ingest).await.expect("written");
        let later = clock::now().plus(Duration::from_secs(5));

        while bench.store.forget_message_keys(later, 1).await.expect("written") > 0 {}
        while bench.store.forget_events(ACCOUNT, later, 1).await.expect("written") > 0 {}
        while bench.store.forget_messages(later, 1).await.expect("written") > 0 {}
        while bench.store.forget_aged(Aging::UnreadParts, later, 1).await.expect("written") > 0 {}

        assert_eq!(bench.queued().await, [open]);
        for table in ["message_keys", "provider_ids", "events", "inbound_keys", "unrecognized"] {
            assert_eq!(bench.count(table).await, 0, "{table}");
        }
        assert_eq!(bench.count("outbound_messages").await, 1);
    })
    .await;
}

#[tokio::test]
async fn forgetting_events_looks_no_further_than_the_first_young_ones() {
    on_each_database(|store| async move {
        let bench = Bench::new(store).await;
        for id in ["wamid.1", "wamid.2", "wamid.3"] {
            bench.ingest(vec![], vec![reply(id, None)]).await;
        }
        let old = UnixMillis(1_000);
        for place in [1, 3] {
            let sql = "UPDATE events SET recorded_at = $1 WHERE place = $2";
            execute(&bench.store.writer, sql, vec![old.0.into(), i64::into(place)]).await.expect("written");
        }

        let before = UnixMillis(2_000);
        let mut gone = vec![];
        for _ in 0..2 {
            gone.push(bench.store.forget_events(ACCOUNT, before, 1).await.expect("written"));
        }

        assert_eq!(gone, [1, 0], "the third is old too, and lies behind one that is not");
        assert_eq!(bench.count("events").await, 2);
    })
    .await;
}
