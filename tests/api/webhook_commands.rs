//! `wabridge webhook`: what is told again by command.

use serde_json::{Value, json};
use wabridge::domain::time::UnixMillis;

use crate::{
    contacts::Scene,
    harness::{Database, on_each_database, person},
};

async fn what_a_webhook_is_told_again_is_counted_first_and_confirmed(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears(&person(1), "hello");
    scene.told("message.received", 1).await;
    scene.told("contact.created", 1).await;
    scene.told("conversation.created", 1).await;
    scene.app.settled().await;
    let replay = async |more: &[&str]| {
        let arguments = [&["webhook", "replay", "crm", "--all"], more].concat();
        scene.app.command_saying(&arguments).await
    };
    let result = |printed: &str| -> Value { serde_json::from_str(printed).expect("JSON") };

    let (code, printed, said) = replay(&["--dry-run", "--json"]).await;
    assert_eq!(code, 0, "{said}");
    let counted = json!({"done": false, "dry_run": true, "events": 3, "replays": []});
    assert_eq!(result(&printed), counted);
    let (code, printed, _) = replay(&["--dry-run"]).await;
    assert!(code == 0 && printed.contains("3 events in all; this was a dry run"), "{printed}");
    let (code, printed, said) = replay(&[]).await;
    assert!(code == 1 && printed.is_empty() && said.contains("--yes"), "{printed} {said}");
    let replays = scene.app.store.replays_since(UnixMillis(0), 10).await.expect("readable");
    assert!(replays.is_empty(), "{replays:?}");

    let (code, printed, said) = replay(&["--yes", "--json"]).await;

    assert_eq!(code, 0, "{said}");
    let told = result(&printed);
    assert_eq!((&told["done"], &told["dry_run"], &told["events"]), (&json!(true), &json!(false), &json!(3)), "{told}");
    scene.told("message.received", 2).await;
    scene.told("contact.created", 2).await;
    scene.told("conversation.created", 2).await;
    assert_eq!(replay(&["--since", "2100-01-01", "--dry-run"]).await.0, 3, "nothing matches");
    scene.app.leave().await;
}

on_each_database![what_a_webhook_is_told_again_is_counted_first_and_confirmed];
