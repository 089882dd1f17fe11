//! Scenarios from a file, played.

use serde_json::json;
use wabridge::simulator::{Scenario, Simulator, SimulatorSettings};

use crate::harness::*;

fn settings(scenario: &str) -> SimulatorSettings {
    SimulatorSettings { scenario: Some(Scenario::read(scenario).expect("a scenario")), ..one_webhook_at_a_time() }
}

#[tokio::test]
async fn rules_say_what_happens_to_whom() {
    let world = TestWorld::start(settings(
        r#"
        [knobs]
        status_script = "sent@1,read@2"

        [[rules]]
        template = "order_update"
        nth = 2
        refuse = { code = 131049 }

        [[rules]]
        text_contains = "hello"
        kind = "text"
        reply = { reaction = { emoji = "🙏" } }

        [[rules]]
        recipient_suffix = "77"
        statuses = "delivered@1,sent@2x2"
        "#,
    ))
    .await;
    let text = json!({"messaging_product": "whatsapp", "to": PERSON, "type": "text", "text": {"body": "hello there"}});

    let codes = [
        world.send(&order_update(PERSON, "a")).await.code(),
        world.send(&order_update(PERSON, "b")).await.code(),
        world.send(&order_update("+919876500077", "c")).await.code(),
    ];
    let greeted = world.send(&text).await;
    world.until(|stats| stats.updates_waiting == 0 && stats.inbound_taken == 1).await;

    assert_eq!(codes, [0, 131049, 0]);
    assert_eq!(world.receiver.statuses_of("a"), ["sent", "read"]);
    assert_eq!(world.receiver.statuses_of("c"), ["delivered", "sent", "sent"]);
    let reaction = &world.receiver.messages()[0]["reaction"];
    assert_eq!(*reaction, json!({"message_id": greeted.body["messages"][0]["id"], "emoji": "🙏"}));
}

#[tokio::test]
async fn a_timeline_happens_in_its_order_after_the_first_send() {
    let world = TestWorld::start(settings(
        r#"
        timeline_from = "first_send"

        [[timeline]]
        at = "40ms"
        inbound = { from = "+919876512345", content = { text = { body = "are you there?" } } }

        [[timeline]]
        at = "20ms"
        template_status = { name = "order_update", language = "en", status = "PAUSED" }

        [[timeline]]
        at = "30ms"
        template_removed = { name = "never_there" }
        "#,
    ))
    .await;

    assert_eq!(world.handle.scenario().steps_done, 0, "nobody has sent anything");
    assert_eq!(world.send(&order_update(PERSON, "a")).await.status, 200);
    world.until(|stats| stats.inbound_taken == 1).await;

    let progress = world.handle.scenario();
    assert_eq!((progress.steps, progress.steps_done), (3, 3));
    assert!(progress.problems[0].contains("never_there"), "{:?}", progress.problems);
    assert_eq!(world.send(&order_update(PERSON, "b")).await.code(), 132015);
}

#[tokio::test]
async fn another_scenario_can_be_played_while_it_runs() {
    let world = TestWorld::start(settings("[[rules]]\nrefuse = { code = 131049 }\n")).await;
    let put = async |text: &'static str| {
        let url = format!("{}/control/scenario", world.simulator.url());
        read(world.client.put(url).body(text).send().await.expect("an answer")).await.expect("a body")
    };

    assert_eq!(world.send(&order_update(PERSON, "a")).await.code(), 131049);
    let wrong = put("[[rules]]\nrefuze = {}\n").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body["error"].as_str().is_some_and(|error| error.contains("line 2") && error.contains("refuze")));
    assert_eq!(put("description = 'calm'\n").await.status, 200);
    assert_eq!(world.send(&order_update(PERSON, "a")).await.status, 200);
    assert_eq!(world.handle.scenario().description, "calm");
}

#[tokio::test]
async fn a_scenario_file_that_is_wrong_keeps_the_simulator_from_starting() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trial.toml");
    std::fs::write(&path, "[[timeline]]\nat = \"5s\"\nnumber_quality = { quality = 7 }\n").expect("the folder is ours");

    let settings = SimulatorSettings { scenario_file: Some(path), ..SimulatorSettings::default() };
    let Err(error) = Simulator::start(settings).await else { panic!("7 is not a quality") };

    let text = error.to_string();
    assert!(text.contains("trial.toml") && text.contains("line 3") && text.contains("quality"), "{text}");
}
