use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    domain::{
        account::{Account, AccountPolicy, Connection, Credentials, Hold, SenderPolicy},
        channel::{MessagingLimit, NumberState},
        ids::{AccountKey, ConnectionKey, Place, SenderKey, SubscriptionKey, WebhookKey},
        phone::PhoneNumber,
        template::{TemplateCategory, TemplateComponents, TemplateStatus, TemplateText},
        webhook::Webhook,
        webhook_settings::WebhookSettings,
    },
    services::{disk::DiskSpace, messaging_limit::LimitUse},
    settings::Settings,
    store::{
        activity::Tally,
        callbacks::{CursorState, Trouble},
        channels::Channel,
        configuration::Configuration,
        overview::QueueOverview,
        suppression_syncs::SyncOverview,
        templates::TemplateSync,
    },
};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const SENDER: SenderKey = SenderKey(1);
const SUBSCRIPTION: SubscriptionKey = SubscriptionKey(1);

/// One account with one number and one subscription, all well.
struct Scene {
    configuration: Configuration,
    observed: Observed,
    before: Vec<AlarmRecord>,
    templates: Vec<Template>,
    slow_for: Duration,
}

impl Scene {
    fn new() -> Self {
        let connection = Arc::new(Connection {
            key: ConnectionKey(1),
            id: "meta-main".to_owned(),
            provider: "meta".to_owned(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            hold: None,
            changed_at: UnixMillis(0),
        });
        let account = Account {
            key: AccountKey(1),
            id: "acme".to_owned(),
            name: "Acme".to_owned(),
            platform: "clevertap".to_owned(),
            enabled: true,
            policy: AccountPolicy::default(),
            credentials: Credentials::default(),
        };
        let sender = Sender {
            key: SENDER,
            account: account.key,
            connection: connection.clone(),
            number: PhoneNumber::from_international("+918880110022").expect("a number"),
            provider_number_id: "100000000000001".to_owned(),
            provider_account_id: "200000000000001".to_owned(),
            messages_per_second: 10,
            pace: 10,
            policy: SenderPolicy::default(),
            hold: None,
        };
        let subscription = Subscription {
            key: SUBSCRIPTION,
            account: account.key,
            kind: EventKind::Status,
            sender: None,
            webhook: None,
            dialect: "clevertap".to_owned(),
            url: "https://in1.example.com/callback/token".into(),
            hold: None,
            is_on: true,
        };
        Self {
            configuration: Configuration {
                accounts: vec![account],
                connections: vec![connection],
                senders: vec![sender],
                subscriptions: vec![subscription],
                ..Configuration::default()
            },
            observed: Observed { at: NOW, ..Observed::default() },
            before: vec![],
            templates: vec![],
            slow_for: PACE_WINDOW,
        }
    }

    fn wrong(self) -> Vec<Condition> {
        let templates = Arc::new(self.templates);
        let (snapshot, thresholds) = (Snapshot::new(self.configuration), Settings::defaults().alarms);
        let slow = slow_numbers(&self.observed, &snapshot, &thresholds);
        let slow_since = slow.into_iter().map(|sender| (sender, NOW.minus(self.slow_for))).collect();
        conditions(&Evidence {
            observed: &self.observed,
            snapshot: &snapshot,
            slow_since: &slow_since,
            templates: &|_| Arc::clone(&templates),
            before: &self.before,
            thresholds: &thresholds,
        })
    }

    fn kinds(self) -> Vec<AlarmKind> {
        self.wrong().into_iter().map(|condition| condition.kind).collect()
    }
}

fn template(name: &str, status: TemplateStatus) -> Template {
    Template {
        provider_id: "1".to_owned(),
        name: name.to_owned(),
        language: "en".to_owned(),
        status,
        category: TemplateCategory::Marketing,
        components: TemplateComponents {
            header: None,
            body: TemplateText::parse("Hello".to_owned()),
            footer: None,
            buttons: vec![],
            limited_time_offer: None,
            carousel: None,
        },
        time_to_live_s: None,
    }
}

#[test]
fn a_template_that_whatsapp_stopped_is_an_alarm_and_one_that_never_was_approved_is_none() {
    let mut scene = Scene::new();
    scene.templates = vec![
        template("offer", TemplateStatus::Approved),
        template("sale", TemplateStatus::Paused),
        template("old_sale", TemplateStatus::Disabled),
        template("draft", TemplateStatus::Rejected),
        template("new", TemplateStatus::Pending),
    ];

    let wrong = scene.wrong();

    let told: Vec<(AlarmKind, &str)> =
        wrong.iter().map(|condition| (condition.kind, condition.subject.as_str())).collect();
    assert_eq!(
        told,
        [
            (AlarmKind::TemplateStopped, "template old_sale (en) of 200000000000001"),
            (AlarmKind::TemplateStopped, "template sale (en) of 200000000000001"),
        ]
    );
    assert!(wrong[1].text.to_lowercase().contains("paused"), "{}", wrong[1].text);
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn sent(sent: u64, heard: u64) -> BTreeMap<SenderKey, Tally> {
    BTreeMap::from([(SENDER, Tally { sent, heard, ..Tally::default() })])
}

#[test]
fn where_all_is_well_there_is_no_alarm() {
    assert_eq!(Scene::new().wrong(), []);
}

#[test]
fn a_webhook_that_was_switched_off_is_told_with_the_reason_and_one_that_a_person_switched_off_is_not() {
    let webhook = |name: &str, switched_off: Option<Hold>| {
        Arc::new(Webhook {
            key: WebhookKey(1),
            name: name.to_owned(),
            enabled: false,
            paused: false,
            settings: WebhookSettings::default(),
            old_signing_secrets: vec![],
            switched_off,
            created_at: NOW,
            updated_at: NOW,
        })
    };
    let off = Hold::by_answer(NOW, "it answered HTTP 500 for 3 days".to_owned());
    let mut scene = Scene::new();
    scene.configuration.webhooks = vec![webhook("orders", Some(off)), webhook("unused", None)];

    let wrong = scene.wrong();

    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!((wrong[0].kind, wrong[0].subject.as_str()), (AlarmKind::WebhookSwitchedOff, "webhook orders"));
    assert!(wrong[0].text.contains("it answered HTTP 500 for 3 days"), "{wrong:?}");
}

#[test]
fn a_hold_says_why_and_how_it_ends() {
    let mut scene = Scene::new();
    let hold = Some(Hold::by_answer(NOW.minus(minutes(5)), "payment problem of +919876500001".to_owned()));
    scene.configuration.senders[0].hold = hold.clone();
    scene.observed.queues.insert(
        SENDER,
        QueueOverview { queued: 5, oldest_queued: Some(NOW.minus(minutes(600))), ..QueueOverview::default() },
    );

    let wrong = scene.wrong();

    assert_eq!(wrong.len(), 1, "that its queue waits is no alarm of its own: {wrong:?}");
    assert_eq!((wrong[0].kind, wrong[0].subject.as_str()), (AlarmKind::NumberHeld, "number +918880110022"));
    assert!(wrong[0].remedy.contains("wabridge release +918880110022"), "{wrong:?}");
    assert!(wrong[0].text.contains("payment") && !wrong[0].text.contains("9876500001"), "no people: {wrong:?}");
}

#[test]
fn webhooks_are_silent_when_messages_were_sent_and_nothing_was_heard_until_something_is() {
    let kinds = |lately, just_now, raised: bool| {
        let mut scene = Scene::new();
        (scene.observed.lately, scene.observed.just_now) = (lately, just_now);
        scene.before = raised
            .then(|| AlarmRecord {
                kind: AlarmKind::WebhooksSilent,
                subject: "number +918880110022".to_owned(),
                text: String::new(),
                raised_at: NOW,
                over_at: None,
                told_at: None,
                told_by: String::new(),
                told: false,
            })
            .into_iter()
            .collect();
        scene.kinds()
    };

    assert_eq!(kinds(sent(20, 0), sent(0, 0), false), [AlarmKind::WebhooksSilent]);
    assert_eq!(kinds(sent(20, 1), sent(0, 1), false), [], "one was heard of");
    assert_eq!(kinds(sent(19, 0), sent(0, 0), false), [], "too few to tell");
    assert_eq!(kinds(sent(500, 0), sent(490, 0), false), [], "webhooks take a moment");
    assert_eq!(kinds(BTreeMap::new(), BTreeMap::new(), true), [AlarmKind::WebhooksSilent], "silence is no all clear");
    assert_eq!(kinds(sent(0, 1), sent(0, 1), true), []);
}

#[test]
fn a_queue_is_late_when_it_waits_while_its_number_is_idle_and_not_while_it_sends_at_its_pace() {
    let kinds = |waits: u64, sent_at_pace: u64, expired: u64| {
        let mut scene = Scene::new();
        let oldest_queued = Some(NOW.minus(minutes(waits)));
        scene.observed.queues.insert(SENDER, QueueOverview { queued: 9, oldest_queued, ..QueueOverview::default() });
        scene.observed.at_pace = sent(sent_at_pace, 1);
        scene.observed.lately = BTreeMap::from([(SENDER, Tally { sent: 1, heard: 1, expired, ..Tally::default() })]);
        scene.kinds()
    };

    assert_eq!(kinds(31, 100, 0), [AlarmKind::QueueLate], "10 a second would be 2,400 in four minutes");
    assert_eq!(kinds(31, 2_400, 0), [], "a campaign that takes hours is not late");
    assert_eq!(kinds(29, 0, 0), []);
    assert_eq!(kinds(0, 2_400, 3), [AlarmKind::QueueLate], "messages expired");
}

#[test]
fn a_number_that_was_just_released_has_time_to_get_going_and_quiet_hours_are_meant() {
    let late = || {
        let mut scene = Scene::new();
        let oldest_queued = Some(NOW.minus(minutes(600)));
        scene.observed.queues.insert(SENDER, QueueOverview { queued: 9, oldest_queued, ..QueueOverview::default() });
        scene
    };

    assert_eq!(late().kinds(), [AlarmKind::QueueLate]);
    assert_eq!(Scene { slow_for: minutes(4), ..late() }.kinds(), []);
    let mut quiet = late();
    // 14:13 in UTC.
    let hours = serde_json::json!({"from": "13:00", "to": "15:00", "categories": ["marketing"]});
    quiet.configuration.accounts[0].policy.quiet_hours = serde_json::from_value(hours).ok();
    assert!(quiet.configuration.accounts[0].policy.quiet_hours.is_some(), "they can be read");
    assert_eq!(quiet.kinds(), []);
}

#[test]
fn a_platform_that_does_not_want_to_hear_of_opt_outs_is_told_of() {
    let mut scene = Scene::new();
    let informed = SyncOverview { refused: 3, ..SyncOverview::default() };
    scene.observed.informed.insert(AccountKey(1), informed);

    assert_eq!(scene.kinds(), [AlarmKind::SubscriptionsRefused]);
}

#[test]
fn a_callback_url_is_told_when_it_fails_for_long_and_at_once_when_it_is_held() {
    let kinds = |trouble: Trouble| {
        let mut scene = Scene::new();
        scene.observed.cursors.insert(SUBSCRIPTION, CursorState { cursor: Place(0), trouble });
        scene.kinds()
    };
    let failing = |since| Trouble { failures: 3, failing_since: Some(NOW.minus(minutes(since))), ..Trouble::default() };

    assert_eq!(kinds(failing(14)), []);
    assert_eq!(kinds(failing(15)), [AlarmKind::CallbacksFailing]);
    let hold = Some(Hold::by_answer(NOW, "HTTP 404".to_owned()));
    assert_eq!(kinds(Trouble { hold, ..failing(0) }), [AlarmKind::CallbacksFailing]);
}

#[test]
fn a_token_that_is_refused_and_a_red_number_and_a_full_disk_are_told() {
    let mut scene = Scene::new();
    let owner = owner_of(&scene.configuration.senders[0]);
    let failure = Some((NOW, "HTTP 401: 190: the token has expired".to_owned()));
    scene.observed.syncs.insert(owner.clone(), TemplateSync { failure, ..TemplateSync::default() });
    let state = NumberState { quality: Quality::Red, ..NumberState::default() };
    scene.observed.channels.insert(SENDER, Channel { state: Some((NOW, state)), failure: None, limit_before: None });
    scene.observed.disks =
        vec![DiskSpace { directory: "data".into(), free_bytes: 9_000_000_000, total_bytes: 100_000_000_000 }];

    assert_eq!(scene.kinds(), [AlarmKind::TokenRefused, AlarmKind::QualityRed, AlarmKind::DiskFull]);

    let mut scene = Scene::new();
    let failure = Some((NOW, "HTTP 500: 1: try later".to_owned()));
    scene.observed.syncs.insert(owner, TemplateSync { failure, ..TemplateSync::default() });
    assert_eq!(scene.kinds(), [], "a hiccup says nothing about the token");
}

#[test]
fn a_reached_limit_is_wrong_as_long_as_messages_wait_for_it() {
    let wrong_with = |waiting| {
        let mut scene = Scene::new();
        let reached = LimitUse { people_max: 250, people: 250, next_free_at: Some(NOW), waiting };
        scene.observed.limits.insert(SENDER, reached);
        scene.wrong()
    };

    assert_eq!(wrong_with(0), [], "nobody waits");
    let wrong = wrong_with(7);

    assert_eq!(wrong.len(), 1);
    assert_eq!((wrong[0].kind, wrong[0].subject.as_str()), (AlarmKind::LimitReached, "number +918880110022"));
    assert!(
        wrong[0].text.contains("7 messages wait, the next place is free at 2026-09-21T14:13:20Z"),
        "{}",
        wrong[0].text
    );
}

#[test]
fn a_messaging_limit_that_changed_is_news_for_a_day() {
    let wrong_after = |hours: u64| {
        let mut scene = Scene::new();
        let state = NumberState { messaging_limit: Some(MessagingLimit::People(250)), ..NumberState::default() };
        let changed_at = NOW.minus(Duration::from_secs(hours * 3600));
        let limit_before = Some((changed_at, MessagingLimit::People(1_000)));
        scene.observed.channels.insert(SENDER, Channel { state: Some((NOW, state)), failure: None, limit_before });
        scene.wrong()
    };

    let wrong = wrong_after(23);
    assert_eq!(wrong.iter().map(|one| one.kind).collect::<Vec<_>>(), [AlarmKind::TierChanged]);
    assert!(
        wrong[0].text.contains("250 people a day since") && wrong[0].text.contains("1000 people a day"),
        "{wrong:?}"
    );
    assert_eq!(wrong_after(24), []);
}
