//! The form of a connection, which is drawn from what its provider says it must be given.

use wabridge::providers;

use crate::harness::{CONNECTION, Database, TestApp, on_each_database};

async fn each_provider_is_asked_for_each_of_its_settings(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;

    for provider in providers::ALL {
        let form = asha.get(&format!("/console/new-connection?provider={}", provider.slug())).await;
        assert_eq!(form.status, 200, "{}", provider.slug());
        for setting in provider.settings() {
            let (slug, name) = (provider.slug(), setting.name);
            assert!(form.text.contains(&format!("name=\"{name}\"")), "{slug}: {name}");
            for (choice, _) in setting.choices {
                assert!(form.text.contains(&format!("value=\"{choice}\"")), "{slug}: {name} = {choice}");
            }
        }
    }
    app.leave().await;
}

async fn a_connection_says_which_fields_are_to_be_subscribed_at_its_provider(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;

    let page = asha.get(&format!("/console/connections/{CONNECTION}")).await.text;

    let fields = providers::find("meta").expect("it is built in").webhook_form().fields;
    assert!(fields.contains(&"messages"), "{fields:?}");
    for field in fields {
        assert!(page.contains(&format!("<code class=\"nowrap\">{field}</code>")), "{field}: {page}");
    }
    app.leave().await;
}

on_each_database![
    each_provider_is_asked_for_each_of_its_settings,
    a_connection_says_which_fields_are_to_be_subscribed_at_its_provider,
];
