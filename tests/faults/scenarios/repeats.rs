//! The same message a hundred times at once, across two instances and a `kill -9` of one of them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::{
    Course, DatabaseKind, Wish,
    checker::Verdict,
    load::{Answer, Caller, Message},
    scenarios::{A_CRASH, Scenario, until_some_moment},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "repeats",
    about: "the same message a hundred times at once, across two instances and a kill -9",
    databases: &[DatabaseKind::Postgres],
    rounds: 6,
    run: |course| Box::pin(run(course)),
};

const TIMES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);
const PER_SECOND: u32 = 100;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let mut stage = course.stage(Wish { instances: 2, messages_per_second: PER_SECOND, ..Wish::default() }).await?;
    let mut dice = course.dice();
    for round in 0..course.rounds as usize {
        let message = Message::new(round, &stage.lines[0]);
        let caller = stage.caller.clone();
        let storm = join_all((0..TIMES).map(|_| caller.ask(&message)));
        let kill = async {
            // Before, while and after it is sent.
            until_some_moment(&mut dice, 5..300).await;
            stage.kill(round % 2).await
        };
        let (_, killed) = tokio::join!(storm, kill);
        killed?;
        // After all that, the answer is what it was, to everybody.
        join_all((0..TIMES).map(|_| ask_until_answered(&caller, &message)))
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        stage.start(round % 2).await?;
    }
    course.end(stage, A_CRASH.times(course.rounds, PER_SECOND)).await
}

/// A hundred at once may be more than a busy machine can store in time; who is told so comes again.
async fn ask_until_answered(caller: &Caller, message: &Message) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match caller.ask(message).await {
            Answer::Success => return Ok(()),
            Answer::Refused(_) | Answer::Nothing if Instant::now() < deadline => {
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
            answer @ (Answer::Refused(_) | Answer::Nothing) => {
                anyhow::bail!("the instance that lives goes on answering {answer:?} to a message that was accepted")
            }
        }
    }
}
