//! A removal gives up names and secrets, and no message that was accepted: not by an instance that has not heard of it, and
//! not by one that is accepting in the same moment.

use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::account::{AccountPolicy, Credentials, SenderPolicy},
    store::{
        configuration::{
            AccountRecord, Configuration, ConfigurationRecords, ConnectionRecord, Removal, Removed, SenderRecord,
            SubscriptionRecord, place_of_account, place_of_connection,
        },
        rotate::Resealed,
        vault::{MasterKey, Vault},
    },
};

const NUMBER: &str = "+918880110022";

fn number() -> PhoneNumber {
    PhoneNumber::from_international(NUMBER).expect("a number")
}

/// One account with one number, whose rows have the keys of the bench.
async fn configure(store: &Store) {
    let secret = |text: &str| -> secrecy::SecretString { text.into() };
    let url = |sender: Option<PhoneNumber>| SubscriptionRecord {
        account: "acme".to_owned(),
        kind: EventKind::Status,
        sender,
        dialect: "clevertap".to_owned(),
        url: Some(secret("https://example.com/hush")),
    };
    let records = ConfigurationRecords {
        connections: vec![ConnectionRecord {
            id: "main".to_owned(),
            provider: "meta".to_owned(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::from([("access_token".to_owned(), vec![secret("hush")])]),
        }],
        accounts: vec![AccountRecord {
            id: "acme".to_owned(),
            name: "Acme".to_owned(),
            platform: "clevertap".to_owned(),
            enabled: true,
            policy: AccountPolicy::default(),
            credentials: Credentials { passcodes: vec![secret("hush")], ..Credentials::default() },
        }],
        senders: vec![SenderRecord {
            account: "acme".to_owned(),
            connection: "main".to_owned(),
            number: number(),
            provider_number_id: "1".to_owned(),
            provider_account_id: "2".to_owned(),
            messages_per_second: 80,
            policy: SenderPolicy::default(),
        }],
        subscriptions: vec![url(None), url(Some(number()))],
        ..ConfigurationRecords::default()
    };
    let written = store.change_configuration(|_| Ok::<_, ()>((records, ()))).await.expect("written");
    written.expect("nobody refuses");
}

/// The number; with its account and connection, when `all` go.
async fn remove(store: &Store, all: bool) -> Removed {
    let decide = |stored: &Configuration| {
        let sender = stored.sender(&number()).expect("it is there");
        Ok::<_, ()>(Removal {
            senders: vec![sender.key],
            account: all.then_some(sender.account),
            connection: all.then_some(sender.connection.key),
            audit: vec![],
        })
    };
    store.remove(decide).await.expect("written").expect("nobody refuses")
}

#[tokio::test]
async fn an_instance_that_has_not_heard_of_a_removal_accepts_nothing_for_it() {
    on_each_database(|store| async move {
        configure(&store).await;
        let bench = Bench::new(store).await;
        let earlier = bench.accept("7|1", "a").await.message;
        let Removed::HasWork(work) = remove(&bench.store, false).await else { panic!("a message waits") };
        assert_eq!((work.queued, work.sending), (1, 0));
        bench.mark(bench.epoch, &[earlier]).await;
        let Removed::HasWork(work) = remove(&bench.store, false).await else { panic!("it is being sent") };
        assert_eq!((work.queued, work.sending), (0, 1));
        let submitted = Finding::Submitted { provider_message_id: "wamid.1".to_owned() };
        bench.settle(bench.epoch, earlier, submitted).await;
        assert!(matches!(remove(&bench.store, false).await, Removed::Done));

        let late = bench.committer.accept(bench.message("7|2", "a"), PATIENCE).await;
        assert!(matches!(late, Err(CommitError::Removed)), "{late:?}");
        let again = bench.committer.accept(bench.message("7|2", "a"), PATIENCE).await;
        assert!(matches!(again, Err(CommitError::Removed)), "nor when it is asked for once more: {again:?}");

        assert_eq!(bench.queued().await, [], "nothing waits that nobody would send");
        let old = bench.store.message(earlier).await.expect("readable").expect("it exists");
        let again = bench.store.send_again(&old, old.expires_at, "again", &entry()).await.expect("written");
        assert!(!again, "and nobody can send an old one again");
    })
    .await;
}

fn entry() -> crate::store::audit::AuditEntry {
    let actor = crate::domain::operator::Actor::of_command_line("tests");
    crate::store::audit::AuditEntry::new(&actor, "resend message", "one")
}

#[tokio::test]
async fn a_message_that_is_being_accepted_in_that_moment_keeps_its_number() {
    on_each_database(|store| async move {
        // There nobody writes beside the one who does.
        if store.is_sqlite() {
            return;
        }
        configure(&store).await;
        let open = store.begin().await.expect("begun");
        let sql = "INSERT INTO outbound_messages (id, account, sender, class, category, state, platform_message_id, recipient, \
                   request, expires_at) VALUES (1, 1, 1, 1, 1, 0, '7|1', '+919876500001', '{}', 1)";
        execute(&open, sql, vec![]).await.expect("written");

        assert!(matches!(remove(&store, false).await, Removed::Busy), "it may be that something comes to wait");
        open.commit().await.expect("committed");

        let Removed::HasWork(work) = remove(&store, false).await else { panic!("it came") };
        assert_eq!(work.queued, 1);
        assert_eq!(store.load_configuration().await.expect("readable").senders.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn secrets_are_gone_at_once_and_the_rest_can_be_sealed_anew() {
    on_each_database(|store| async move {
        configure(&store).await;
        assert!(matches!(remove(&store, true).await, Removed::Done));

        let open = async |sql: &str, place: fn(&str) -> String| {
            let row = query(store.reader(), sql, vec![]).await.expect("readable").remove(0);
            let (id, sealed): (String, Vec<u8>) =
                (row.try_get("", "id").expect("a name"), row.try_get("", "sealed").expect("bytes"));
            let opened = store.vault().open_sealed(&place(&id), &sealed).expect("it is sealed by its new name");
            (id, String::from_utf8(opened.to_vec()).expect("text"))
        };
        let (id, secrets) = open("SELECT id, secrets AS sealed FROM connections", place_of_connection).await;
        assert_eq!((id.as_str(), secrets.as_str()), ("removed 1", "{}"));
        let (_, credentials) = open("SELECT id, credentials AS sealed FROM accounts", place_of_account).await;
        assert!(!credentials.contains("hush"), "{credentials}");
        let sql = "SELECT MAX(LENGTH(url)) AS longest, MAX(url_hint) AS hint FROM subscriptions";
        let row = query(store.reader(), sql, vec![]).await.expect("readable").remove(0);
        let nothing = store.vault().seal("anything", b"").len();
        assert_eq!(row.try_get::<i32>("", "longest").expect("a length"), i32::try_from(nothing).expect("short"));
        assert_eq!(row.try_get::<String>("", "hint").expect("a text"), "");

        configure(&store).await;
        let new = MasterKey::random();
        let done = store.reseal(&Vault::new(&new), PATIENCE, entry()).await.expect("everything can be opened");
        assert!(matches!(done, Resealed::Done { .. }));
        let store = store.with_vault(Vault::new(&new));
        let stored = store.load_configuration().await.expect("readable");
        assert_eq!(
            (stored.accounts.len(), stored.senders.len(), stored.subscriptions.len()),
            (1, 1, 2),
            "the new ones"
        );
        assert_ne!(stored.accounts[0].key, stored.past.accounts[0].key, "nobody gets another one's history");
        assert_ne!(stored.senders[0].key, stored.past.senders[0].key);
        assert_eq!(stored.past.senders[0].number, number());
    })
    .await;
}
