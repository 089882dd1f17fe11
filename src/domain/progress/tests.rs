use super::*;
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn sending() -> Progress {
    Progress { state: SendState::Sending, epoch: Some(7), attempts: 1, ..Progress::queued() }
}

fn report(status: DeliveryStatus) -> StatusUpdate {
    StatusUpdate {
        provider_message_id: "wamid.1".to_owned(),
        message: None,
        provider_number_id: "1".to_owned(),
        status,
        occurred_at: NOW,
        price: None,
        failure: (status == DeliveryStatus::Failed).then(|| failure(FailureReason::Unreachable)),
        entry: "{}".to_owned(),
    }
}

fn failure(reason: FailureReason) -> Failure {
    Failure::new(reason, None, "because")
}

#[test]
fn a_guess_of_an_earlier_owner_changes_nothing() {
    let mut message = sending();

    assert_eq!(message.apply(&Finding::Returned, 6, NOW), None);
    assert_eq!(message, sending());
}

fn known_template() -> KnownTemplate {
    KnownTemplate {
        name: "winter_sale".to_owned(),
        language: "en".to_owned(),
        category: Category::Marketing,
        expires_at: NOW,
    }
}

#[test]
fn a_turn_in_which_nobody_was_asked_is_no_try() {
    let kept = Finding::KeptBack { due_at: NOW, failure: failure(FailureReason::Other) };
    let mut message = sending();

    assert_eq!(message.apply(&kept, 7, NOW), Some(vec![]));
    assert_eq!((message.state, message.attempts, message.due_at), (SendState::Queued, 0, Some(NOW)));
    assert_eq!(message.failure, Some(failure(FailureReason::Other)), "its story says what keeps it back");

    let mut message = Progress { failure: message.failure, ..sending() };
    assert_eq!(message.apply(&Finding::TemplateKnown(known_template()), 7, NOW), Some(vec![]));
    assert_eq!(message, Progress::queued(), "nothing keeps it back any more");
}

#[test]
fn that_the_provider_took_it_counts_whoever_says_so() {
    let mut message = Progress { state: SendState::Unknown, due_at: Some(NOW), ..Progress::queued() };

    let news = message.apply(&Finding::Submitted { provider_message_id: "wamid.1".into() }, 6, NOW);

    assert_eq!(news, Some(vec![]));
    assert_eq!((message.state, message.due_at), (SendState::Submitted, None));
}

#[test]
fn evidence_before_the_answer_settles_the_message() {
    let mut message = sending();

    let news = message.report(&report(DeliveryStatus::Sent));
    let late =
        message.apply(&Finding::Unknown { settle_at: NOW, failure: failure(FailureReason::UnknownOutcome) }, 7, NOW);

    assert_eq!(news.len(), 1);
    assert_eq!(late, None);
    assert_eq!(message.state, SendState::Submitted);
}

#[test]
fn evidence_after_a_reported_failure_is_still_told() {
    let mut message = Progress { state: SendState::Unknown, ..Progress::queued() };

    let failed = message.apply(&Finding::NoEvidence, 1, NOW).expect("it was unknown");
    let later = message.report(&report(DeliveryStatus::Delivered));

    assert_eq!(failed[0].status, DeliveryStatus::Failed);
    assert_eq!(later.iter().map(|news| news.status).collect::<Vec<_>>(), [DeliveryStatus::Delivered]);
    assert_eq!(message.state, SendState::Submitted);
}

#[test]
fn an_expired_message_is_reported_with_the_last_reason() {
    let mut message = Progress { failure: Some(failure(FailureReason::Unreachable)), ..Progress::queued() };

    let news = message.apply(&Finding::Expired, 1, NOW).expect("it was queued");

    let told = news[0].failure.as_ref().expect("a failure says why");
    assert_eq!(told.reason, FailureReason::Expired);
    assert!(told.text.contains("because"));
}

#[test]
fn a_message_throttled_until_it_expired_is_reported_as_throttled() {
    let throttled = Failure::new(FailureReason::TooManyToNumber, Some(130_429), "too fast");
    let mut message = Progress { failure: Some(throttled), ..Progress::queued() };

    let news = message.apply(&Finding::Expired, 1, NOW).expect("it was queued");

    let told = news[0].failure.as_ref().expect("a failure says why");
    assert_eq!((told.reason, told.code), (FailureReason::TooManyToNumber, Some(130_429)));
}

/// A message that was taken, failed, and is sent again.
fn sent_again() -> Progress {
    let mut message = sending();
    message.apply(&Finding::Submitted { provider_message_id: "wamid.1".into() }, 7, NOW);
    message.report(&report(DeliveryStatus::Failed));
    assert_eq!(message.apply(&Finding::SentAgain, 0, NOW), Some(vec![]));
    message
}

#[test]
fn what_was_sent_again_begins_anew_and_a_second_failure_is_told() {
    let mut message = sent_again();
    assert_eq!(message, Progress { attempts: 1, ..Progress::queued() });
    assert_eq!(message.apply(&Finding::SentAgain, 0, NOW), None, "it waits already");

    message.state = SendState::Sending;
    message.epoch = Some(8);
    let failed = message.apply(&Finding::GivenUp { failure: failure(FailureReason::Template) }, 8, NOW);

    assert_eq!(failed.map(|news| news.len()), Some(1));
    assert_eq!(message.failure, Some(failure(FailureReason::Template)));
}

#[test]
fn old_news_of_an_earlier_send_stops_nothing() {
    let failed = Some(DeliveryStatus::Failed);
    for old in [DeliveryStatus::Failed, DeliveryStatus::Sent] {
        let mut message = sent_again();
        assert_eq!(message.report_of_earlier(failed, &report(old)), []);
        assert_eq!(message, sent_again(), "it says nothing about the new send");
    }
    let mut message = sent_again();
    let read = message.report_of_earlier(Some(DeliveryStatus::Delivered), &report(DeliveryStatus::Read));
    assert_eq!((read, message.state), (vec![], SendState::Queued), "somebody wanted it twice");
}

#[test]
fn an_earlier_send_that_arrives_after_all_leaves_nothing_to_send() {
    let (failed, delivered) = (Some(DeliveryStatus::Failed), report(DeliveryStatus::Delivered));
    let mut waits = sent_again();
    let told = waits.report_of_earlier(failed, &delivered);
    assert_eq!(told.last().map(|news| news.status), Some(DeliveryStatus::Delivered));
    assert_eq!((waits.state, waits.delivery), (SendState::Submitted, Some(DeliveryStatus::Delivered)));

    let mut leaving = Progress { state: SendState::Sending, epoch: Some(8), ..sent_again() };
    assert!(!leaving.report_of_earlier(failed, &delivered).is_empty());
    assert_eq!((leaving.state, leaving.epoch), (SendState::Sending, Some(8)), "its own answer is still to come");
}

#[test]
fn silence_ends_in_a_failure_unless_better_news_came() {
    let silent = Finding::Silent { failure: failure(FailureReason::Unreachable) };
    let taken =
        Progress { state: SendState::Submitted, provider_message_id: Some("wamid.1".to_owned()), ..Progress::queued() };
    for (delivery, told) in [(None, 1), (Some(DeliveryStatus::Sent), 1)] {
        let mut message = Progress { delivery, ..taken.clone() };
        assert_eq!(message.apply(&silent, 0, NOW).map(|news| news.len()), Some(told));
        assert_eq!(message.report(&report(DeliveryStatus::Delivered)).len(), 1, "later evidence is told");
    }
    for delivery in [DeliveryStatus::Failed, DeliveryStatus::Delivered, DeliveryStatus::Read] {
        let mut message = Progress { delivery: Some(delivery), ..taken.clone() };
        assert_eq!(message.apply(&silent, 0, NOW), None);
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Found(Finding),
    Reported(Box<StatusUpdate>),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let findings = vec![
        Finding::Submitted { provider_message_id: "wamid.1".into() },
        Finding::Retry { due_at: NOW, failure: failure(FailureReason::Other) },
        Finding::Returned,
        Finding::KeptBack { due_at: NOW, failure: failure(FailureReason::Other) },
        Finding::TemplateKnown(known_template()),
        Finding::GivenUp { failure: failure(FailureReason::Template) },
        Finding::Unknown { settle_at: NOW, failure: failure(FailureReason::UnknownOutcome) },
        Finding::Postponed { due_at: NOW },
        Finding::Expired,
        Finding::NoEvidence,
        Finding::Resend,
        Finding::Cancelled { reason: "because".to_owned() },
        Finding::Silent { failure: failure(FailureReason::Unreachable) },
        Finding::SentAgain,
    ];
    let reports = [DeliveryStatus::Sent, DeliveryStatus::Failed, DeliveryStatus::Delivered, DeliveryStatus::Read];
    prop_oneof![
        proptest::sample::select(findings).prop_map(Happening::Found),
        proptest::sample::select(reports.to_vec()).prop_map(|status| Happening::Reported(Box::new(report(status)))),
    ]
}

proptest! {
    /// Whatever happens in whatever order: the row keeps the table's constraints, and what is told of one send rises.
    #[test]
    fn no_order_of_happenings_breaks_a_message(happenings in proptest::collection::vec(any_happening(), 0..20)) {
        let mut message = sending();
        let mut told = Vec::new();
        for happening in happenings {
            let anew = matches!(happening, Happening::Found(Finding::SentAgain)) && !message.is_open();
            let news = match happening {
                Happening::Found(finding) => message.apply(&finding, 7, NOW).unwrap_or_default(),
                Happening::Reported(update) => message.report(&update),
            };
            if anew {
                told.clear();
            }
            told.extend(news.into_iter().map(|news| news.status));
            prop_assert_eq!(message.state == SendState::Sending, message.epoch.is_some());
            prop_assert_eq!(message.state == SendState::Submitted, message.provider_message_id.is_some());
            prop_assert!(message.due_at.is_none() || matches!(message.state, SendState::Queued | SendState::Unknown));
        }
        prop_assert!(told.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
