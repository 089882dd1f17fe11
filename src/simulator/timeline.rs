//! Plays a scenario: its knobs and rules at once, its timeline by a task of its own.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;

use super::{
    events,
    scenario::{Scenario, Step, TimelineStart},
    state::World,
    templates::TemplateList,
};

const PROBLEMS_KEPT_MAX: usize = 100;

/// How far a scenario has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScenarioProgress {
    pub description: String,
    /// Steps of the timeline.
    pub steps: usize,
    pub steps_done: usize,
    /// Steps that could not happen, in words.
    pub problems: Vec<String>,
}

/// Turns the knobs, replaces the rules, and starts the timeline; an earlier one ends.
pub(super) fn play(world: &Arc<World>, scenario: Scenario) -> Result<(), String> {
    if !scenario.templates.is_empty() {
        let mut entries = world.templates().entries().to_vec();
        let same = |left: &Value, right: &Value| left["name"] == right["name"] && left["language"] == right["language"];
        entries.retain(|entry| !scenario.templates.iter().any(|template| same(entry, template)));
        entries.extend(scenario.templates);
        world.set_templates(TemplateList::new(entries)?);
    }
    events::turn(world, &scenario.knobs)?;
    *world.rules().given() = scenario.rules;
    let (description, steps) = (scenario.description, scenario.timeline.len());
    let sends_before = world.tally().stats.sends_received;
    let task = run(Arc::downgrade(world), scenario.timeline, scenario.timeline_from, sends_before);
    let mut playing = world.playing();
    playing.progress = ScenarioProgress { description, steps, ..ScenarioProgress::default() };
    if let Some(earlier) = playing.task.replace(tokio::spawn(task)) {
        earlier.abort();
    }
    Ok(())
}

/// What is being played.
#[derive(Default)]
pub(super) struct Playing {
    pub(super) progress: ScenarioProgress,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The world is not kept alive by its timeline.
async fn run(world: Weak<World>, steps: Vec<Step>, from: TimelineStart, sends_before: u64) {
    if from == TimelineStart::FirstSend {
        wait_for_a_send(&world, sends_before).await;
    }
    let start = tokio::time::Instant::now();
    for step in steps {
        tokio::time::sleep_until(start + step.at).await;
        let Some(world) = world.upgrade() else { return };
        let outcome = events::happen(&world, &step.event);
        let mut playing = world.playing();
        playing.progress.steps_done += 1;
        if let Err(problem) = outcome {
            tracing::warn!(problem, at = ?step.at, "a step of the scenario could not happen");
            let kept = &mut playing.progress.problems;
            if kept.len() < PROBLEMS_KEPT_MAX {
                kept.push(format!("at {:?}: {problem}", step.at));
            }
        }
        drop(playing);
        world.tell();
    }
}

async fn wait_for_a_send(world: &Weak<World>, sends_before: u64) {
    // Looked at rather than listened for, because listening would keep the world alive.
    const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);
    while world.upgrade().is_some_and(|world| world.tally().stats.sends_received <= sends_before) {
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}
