//! Changes as forms and programs ask for them, on real databases.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Configuring, Kind, Patch, Subject, Written};
use crate::{
    domain::{
        operator::{Actor, Role, Via},
        phone::PhoneNumber,
        template::{ListedTemplate, Template, TemplateCategory, TemplateComponents, TemplateStatus, TemplateText},
        time::UnixMillis,
    },
    services::operators::{FieldProblem, Refusal},
    settings::Settings,
    store::{Store, audit::AuditLine, testing::on_each_database},
};

fn actor(role: Role) -> Actor {
    Actor { name: "asha".to_owned(), via: Via::Console, address: None, permissions: role.permissions() }
}

fn patch(value: Value) -> Patch {
    value.as_object().expect("an object").clone()
}

struct Stage {
    store: Store,
    configuring: Configuring,
}

impl Stage {
    async fn new(store: Store) -> Self {
        let configuring = Configuring::load(store.clone(), &Settings::defaults()).await.expect("a key");
        Self { store, configuring }
    }

    /// A connection, an account and a number.
    async fn configured(store: Store) -> Self {
        let stage = Self::new(store).await;
        for (kind, thing) in [
            (Kind::Connection, connection()),
            (Kind::Account, account()),
            (Kind::Sender, sender("+918880110022", "100000000000001")),
        ] {
            stage.add(kind, thing).await.expect("nothing is in its way");
        }
        stage
    }

    async fn add(&self, kind: Kind, thing: Value) -> Result<Written, Refusal> {
        self.configuring.add(&actor(Role::Operator), kind, &patch(thing)).await
    }

    async fn change(&self, subject: &Subject, what: Value) -> Result<Written, Refusal> {
        self.configuring.change(&actor(Role::Operator), subject, &patch(what), None).await
    }

    async fn last_line(&self) -> AuditLine {
        self.store.audit_lines(None, 1).await.expect("readable").remove(0)
    }
}

fn connection() -> Value {
    json!({"id": "meta-main", "provider": "meta", "access_token": "token-1", "app_secret": ["new", "old"], "verify_token": "v"})
}

fn account() -> Value {
    json!({
        "id": "acme", "name": "Acme ${HOME}", "platform": "clevertap", "clevertap_account_id": "TEST-ACC-1",
        "clevertap_passcode": "pass-1", "delivery_report_callback_url": "https://reports.example.com/dlr?key=1",
        "quiet_hours": {"from": "21:00", "to": "09:00"}, "headers": {"X-Api-Key": "head"},
        "allowed_addresses": ["203.0.113.0/24"], "expire_after": {"marketing": "2h"}
    })
}

fn sender(number: &str, id: &str) -> Value {
    json!({"account": "acme", "number": number, "connection": "meta-main", "phone_number_id": id, "waba_id": "200000000000001",
        "messages_per_second": 250, "inbound_message_callback_url": "https://reports.example.com/in"})
}

fn acme() -> Subject {
    Subject::Account("acme".to_owned())
}

fn number(text: &str) -> Subject {
    Subject::Sender(PhoneNumber::from_international(text).expect("a number"))
}

#[track_caller]
fn problems(refused: Result<Written, Refusal>) -> BTreeMap<String, String> {
    let refusal = refused.expect_err("it cannot be done");
    let Refusal::Problems(problems) = refusal else { panic!("{refusal}") };
    problems.into_iter().map(|FieldProblem { field, message }| (field, message)).collect()
}

#[tokio::test]
async fn what_is_added_is_stored_and_what_is_not_named_stays() {
    on_each_database(|store| async move {
        let stage = Stage::configured(store).await;

        let done = stage.change(&acme(), json!({"time_zone": "Asia/Kolkata", "quiet_hours": {"to": "08:00"}})).await;

        let done = done.expect("it fits");
        let told: Vec<String> = done.changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["~ account acme: time_zone \"UTC\" -> \"Asia/Kolkata\", quiet_hours.to \"09:00\" -> \"08:00\""]
        );
        let stored = stage.store.load_configuration().await.expect("readable");
        let account = stored.account("acme").expect("stored");
        assert_eq!(account.name, "Acme ${HOME}", "nothing of the server's environment gets into it");
        assert_eq!(account.credentials.passcodes[0].expose_secret(), "pass-1");
        assert_eq!(account.credentials.headers["x-api-key"].expose_secret(), "head");
        assert_eq!(account.policy.expire_after.marketing.as_secs(), 7200);
        assert_eq!(stored.subscriptions.len(), 2, "the callback URLs stay, too");
        assert_eq!(stored.senders[0].messages_per_second, 250);
        let seen = stage.configuring.see(&actor(Role::ReadOnly), &acme()).await.expect("it is there");
        assert_eq!(seen, done.seen, "what was written is what is seen afterwards");
        assert_eq!(seen.text("time_zone"), "Asia/Kolkata");
        assert_eq!(seen.secrets["delivery_report_callback_url"], "https://reports.example.com/…");
        assert!(!format!("{seen:?}").contains("pass-1"), "{seen:?}");
    })
    .await;
}

#[tokio::test]
async fn asking_for_what_is_so_already_writes_nothing() {
    on_each_database(|store| async move {
        let stage = Stage::configured(store).await;
        let version = stage.store.versions().await.expect("readable");
        let lines = stage.store.audit_lines(None, 50).await.expect("readable").len();

        for (subject, same) in [
            (acme(), json!({"name": "Acme ${HOME}", "clevertap_passcode": "pass-1"})),
            (number("+918880110022"), json!({"messages_per_second": 250})),
            (Subject::Connection("meta-main".to_owned()), json!({"api_version": null})),
        ] {
            assert!(stage.change(&subject, same).await.expect("it fits").changes.is_empty(), "{subject}");
        }

        assert_eq!(stage.store.versions().await.expect("readable"), version);
        assert_eq!(stage.store.audit_lines(None, 50).await.expect("readable").len(), lines);
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_told_field_by_field_and_changes_nothing() {
    on_each_database(|store| async move {
        let stage = Stage::configured(store).await;

        let subject = acme();
        let wrong = stage.change(
            &subject,
            json!({"time_zone": "Moon", "quiet_hours": {"from": "25:00"}, "expire_after": {"utility": "ten"}, "id": "other",
                "delivery_report_callback_url": "http://plain.example.com", "senders": [], "colour": "red", "enabled": "yes"}),
        );
        let found = problems(wrong.await);

        let fields: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            [
                "colour",
                "delivery_report_callback_url",
                "enabled",
                "expire_after.utility",
                "id",
                "quiet_hours.from",
                "senders",
                "time_zone"
            ]
        );
        assert!(found["time_zone"].contains("Asia/Kolkata"), "{found:?}");
        let stored = stage.store.load_configuration().await.expect("readable");
        assert_eq!(stored.account("acme").expect("stored").policy.time_zone, "UTC");

        let found = problems(stage.add(Kind::Account, json!({"id": "acme", "platform": "clevertap"})).await);
        assert_eq!(found["id"], "is taken: there is account acme already");
        assert!(found["clevertap_passcode"].contains("is missing"), "{found:?}");
        let found = problems(stage.add(Kind::Sender, json!({"account": "nobody", "number": "+91"})).await);
        let fields: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(fields, ["account", "connection", "number", "phone_number_id", "waba_id"]);
        let found = problems(stage.add(Kind::Sender, sender("+918880110033", "100000000000001")).await);
        assert!(found["phone_number_id"].contains("+918880110022"), "{found:?}");
        let found = problems(stage.add(Kind::Connection, json!({"id": "Main", "provider": "meta"})).await);
        let fields: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(fields, ["access_token", "app_secret", "id", "verify_token"]);
    })
    .await;
}

#[tokio::test]
async fn whoever_saw_an_older_state_is_refused() {
    on_each_database(|store| async move {
        let stage = Stage::configured(store).await;
        let asha = actor(Role::Operator);
        let before = stage.configuring.see(&asha, &acme()).await.expect("it is there").version;
        // A URL stands in a row of its own, and is a part of the account all the same.
        let url = json!({"inbound_message_callback_url": "https://reports.example.com/in"});
        let after = stage.change(&acme(), url).await.expect("it fits").seen.version;
        assert_ne!(before, after);

        let rename = patch(json!({"name": "Acme"}));
        let late = stage.configuring.change(&asha, &acme(), &rename, Some(&before)).await;
        let Err(Refusal::Meanwhile(what)) = late else { panic!("{late:?}") };
        assert_eq!(what, "account acme");
        stage.configuring.change(&asha, &acme(), &rename, Some(&after)).await.expect("nobody was faster");
        let gone = stage.change(&Subject::Account("nobody".to_owned()), json!({})).await;
        assert!(matches!(gone, Err(Refusal::NotFound(_))), "{gone:?}");
    })
    .await;
}

#[tokio::test]
async fn each_change_has_a_line_that_tells_no_secret() {
    on_each_database(|store| async move {
        let stage = Stage::configured(store).await;
        let refused = stage.configuring.change(&actor(Role::ReadOnly), &acme(), &patch(json!({"name": "X"})), None).await;
        assert!(matches!(refused, Err(Refusal::NotAllowed(_))), "{refused:?}");

        let what = json!({"clevertap_passcode": "pass-2", "bearer_token": "bear", "headers": null, "default_country": "IN",
            "delivery_report_callback_url": "https://other.example.com/secret"});
        stage.change(&acme(), what).await.expect("it fits");

        let line = stage.last_line().await;
        assert_eq!((line.actor.as_str(), line.action.as_str(), line.subject.as_str()), ("asha", "change account", "acme"));
        let json = |text: &Option<String>| serde_json::from_str::<Value>(text.as_deref().expect("told")).expect("JSON");
        assert_eq!(
            json(&line.before),
            json!({"clevertap_passcode": "set", "bearer_token": null, "headers": "set", "default_country": null,
                "delivery_report_callback_url": "set"})
        );
        assert_eq!(
            json(&line.after),
            json!({"clevertap_passcode": "changed", "bearer_token": "set", "headers": null, "default_country": "IN",
                "delivery_report_callback_url": "changed"})
        );
        stage.change(&Subject::Connection("meta-main".to_owned()), json!({"access_token": "t2"})).await.expect("it fits");
        assert_eq!(json(&stage.last_line().await.after), json!({"access_token": "changed"}));
        stage.change(&number("+918880110022"), json!({"messages_per_second": 80})).await.expect("it fits");
        assert_eq!(json(&stage.last_line().await.before), json!({"messages_per_second": 250}));
        let all = format!("{:?}", stage.store.audit_lines(None, 50).await.expect("readable"));
        for secret in ["pass-1", "pass-2", "bear\"", "head\"", "token-1", "t2", "key=1", "/secret"] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_old_passcode_is_forgotten_by_the_next_change_after_its_end() {
    on_each_database(|store| async move {
        let stage = Stage::configured(store).await;
        let old = |until: UnixMillis| {
            json!({"clevertap_passcode": "pass-2", "clevertap_old_passcode": "pass-1",
                "clevertap_old_passcode_until": until.to_string()})
        };
        let until = UnixMillis(4_102_444_800_000);
        stage.change(&acme(), old(until)).await.expect("it fits");
        stage.change(&acme(), json!({"name": "Acme"})).await.expect("it fits");
        let stored = stage.store.load_configuration().await.expect("readable");
        let kept = stored.account("acme").expect("stored").credentials.old_passcodes.clone().expect("kept");
        assert_eq!((kept.passcodes[0].expose_secret(), kept.until), ("pass-1", until));

        stage.change(&acme(), old(UnixMillis(1_000))).await.expect("it fits");
        stage.change(&acme(), json!({"name": "Acme Retail"})).await.expect("it fits");

        let stored = stage.store.load_configuration().await.expect("readable");
        assert!(stored.account("acme").expect("stored").credentials.old_passcodes.is_none());
    })
    .await;
}

fn listed(name: &str, language: &str, body: &str) -> ListedTemplate {
    ListedTemplate {
        template: Template {
            provider_id: format!("{name}-{language}"),
            name: name.to_owned(),
            language: language.to_owned(),
            status: TemplateStatus::Approved,
            category: TemplateCategory::Utility,
            components: TemplateComponents {
                body: TemplateText::parse(body.to_owned()),
                ..TemplateComponents::default()
            },
            time_to_live_s: None,
        },
        listing: "{}".to_owned(),
    }
}

#[tokio::test]
async fn a_template_stands_for_another_of_the_same_shape_only() {
    on_each_database(|store| async move {
        let stage = Stage::configured(store).await;
        let stored = stage.store.load_configuration().await.expect("readable");
        let owner = crate::services::directory::owner_of(&stored.senders[0]);
        let list = [
            listed("old", "en", "Hi {{1}}"),
            listed("old", "hi", "Hi {{1}}"),
            listed("new", "en", "Hello {{1}}!"),
            listed("new", "hi", "Hello {{1}}!"),
            listed("longer", "en", "Hello {{1}} and {{2}}"),
            listed("english", "en", "Hello {{1}}"),
        ];
        stage.store.replace_templates(&owner, None, &list, UnixMillis(1)).await.expect("stored");

        for (new, said) in [
            ("longer", "1 variable in the body"),
            ("english", "is not: add that translation"),
            ("nowhere", "no such template"),
        ] {
            let subject = acme();
            let refused = stage.change(&subject, json!({"template_aliases": {"Old": new}})).await;
            let found = problems(refused);
            assert!(found["template_aliases.old"].contains(said), "{found:?}");
        }
        let chain = stage.change(&acme(), json!({"template_aliases": {"old": "new", "new": "english"}})).await;
        assert!(problems(chain)["template_aliases.old"].contains("no alias itself"));
        stage.change(&acme(), json!({"template_aliases": {"Old": "new", "gone": "new"}})).await.expect("both fit");

        let stored = stage.store.load_configuration().await.expect("readable");
        let policy = &stored.account("acme").expect("stored").policy;
        assert_eq!((policy.template_meant(" OLD"), policy.template_meant("other")), ("new", "other"));
    })
    .await;
}
