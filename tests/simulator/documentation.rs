//! What docs/simulator.md promises: its examples are run here, and nothing is left out of its tables.

use serde_json::Value;
use wabridge::simulator::{Scenario, SimulatorSettings};

use crate::harness::*;

const GUIDE: &str = include_str!("../../docs/simulator.md");

/// The blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    let parts: Vec<&str> = GUIDE.split(opening.as_str()).skip(1).collect();
    parts.into_iter().map(|part| part.split("```").next().expect("a split has a first part")).collect()
}

#[test]
fn every_scenario_in_the_guide_is_right() {
    let scenarios = blocks("toml");
    assert!(scenarios.len() >= 3);
    for text in scenarios {
        Scenario::read(text).unwrap_or_else(|problem| panic!("{text}\n{problem}"));
    }
}

#[tokio::test]
async fn every_call_in_the_guide_works() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let calls: Vec<&str> =
        blocks("sh").into_iter().flat_map(str::lines).filter(|line| line.starts_with("curl")).collect();
    assert!(calls.len() >= 15);
    for call in calls {
        let path = call.split("http://127.0.0.1:4700").nth(1).expect("a call of the simulator");
        let path = path.split([' ', '\'']).next().expect("a split has a first part");
        let data = call.split("-d '").nth(1).map(|data| data.trim_end_matches('\'').to_owned());
        let usual = if data.is_some() { "POST" } else { "GET" };
        let method = call.split("-X ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or(usual);
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method of HTTP");
        let request = world.client.request(method, format!("{}{path}", world.simulator.url()));
        // As curl does.
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer =
            read(request.body(data.unwrap_or_default()).send().await.expect("an answer")).await.expect("a body");
        assert_eq!(answer.status, 200, "{call}\n{}", answer.body);
    }
}

#[test]
fn every_knob_event_and_content_stands_in_the_guide() {
    let knobs = serde_json::to_value(SimulatorSettings::default().knobs).expect("knobs are plain values");
    let mut names: Vec<String> = knobs.as_object().expect("an object").keys().cloned().collect();
    names.extend(variants::<wabridge::simulator::Event>());
    names.extend(variants::<wabridge::simulator::InboundContent>());
    names.extend(variants::<wabridge::simulator::Effect>());
    for name in names {
        assert!(GUIDE.contains(&format!("`{name}`")) || GUIDE.contains(&format!("\"{name}\"")), "{name} is missing");
    }
}

/// The names of an enum's variants, which serde tells whoever writes a wrong one.
fn variants<T: serde::de::DeserializeOwned>() -> Vec<String> {
    let wrong = serde_json::from_value::<T>(Value::from("no such thing"));
    let error = wrong.err().expect("there is no such variant").to_string();
    let (_, list) = error.split_once("expected one of ").expect("serde lists them");
    let names: Vec<String> = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(names.len() > 5);
    names
}
