//! The provider and the callback URL misbehave: answers lost after accepting, connections closed before, throttling, errors
//! with and without a document, hanging, callbacks refused and answered too late.

use wabridge::simulator::{CallbackRule, Effect, Refusal, RefusalBody, Rule};

use crate::{
    Course, Wish,
    checker::{Allowed, Verdict},
    scenarios::{BOTH, REPLIES, Scenario, under_load, until_some_moment},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "peers",
    about: "lost answers, resets, 429, 5xx, garbage and silence from the provider and from the callback URL",
    databases: BOTH,
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { messages_per_second: 200, load_per_second: 60, replies: REPLIES, ..Wish::default() };
    let cost = Allowed {
        // A connection that closes without an answer says nothing.
        unknown: usize::MAX,
        // A callback that was taken and answered too late must be told again.
        told_twice: usize::MAX,
        ..Allowed::default()
    };
    under_load(course, wish, cost, async |stage, dice| {
        stage.simulator.set_rules(provider_faults());
        stage.simulator.set_callback_rules(callback_faults());
        until_some_moment(dice, 3_000..5_000).await;
        stage.simulator.set_rules(vec![]);
        stage.simulator.set_callback_rules(vec![]);
        Ok(())
    })
    .await
}

fn provider_faults() -> Vec<Rule> {
    let of = |share, effect| Rule { share, ..Rule::everybody(effect) };
    let refused = |http_status, body| Refusal { http_status: Some(http_status), body, ..Refusal::code(0) };
    vec![
        of(0.05, Effect::LoseAnswer),
        of(0.05, Effect::DropConnection),
        of(0.02, Effect::Refuse(Refusal::code(130_429))),
        of(0.05, Effect::Refuse(refused(503, RefusalBody::Html))),
        of(0.05, Effect::Refuse(refused(500, RefusalBody::Empty))),
        of(0.02, Effect::Delay { ms: 3_000 }),
    ]
}

fn callback_faults() -> Vec<CallbackRule> {
    let of = |share, answer_status, hang_ms| CallbackRule { share, answer_status, hang_ms, ..CallbackRule::default() };
    vec![of(0.1, 500, 0), of(0.1, 503, 0), of(0.05, 429, 0), of(0.05, 200, 3_000)]
}
