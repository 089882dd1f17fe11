//! A checker that never found anything proves nothing: three builds that break one promise each must be caught.
//!
//! The feature `broken-engine` puts the three defects into the program, and an environment variable chooses one. They are
//! in a build of their own, because what all other tests look at must be what is shipped.

use tokio::sync::OnceCell;
use wabridge::sabotage::Sabotage;

use crate::{
    Course, DatabaseKind,
    checker::Finding,
    configuration::FaultsProvider,
    postgres::Postgres,
    run_course, say,
    scenarios::{Scenario, kill, pause},
};

/// Whether every broken engine is seen to be broken, and the same program without a defect is clean.
pub(crate) async fn all_are_caught(seed: u64, postgres: &OnceCell<Postgres>) -> bool {
    let mut good = true;
    for (sabotage, scenario, database) in [
        (Sabotage::AnswersBeforeCommit, &kill::SCENARIO, DatabaseKind::Sqlite),
        (Sabotage::ForgetsWork, &kill::SCENARIO, DatabaseKind::Sqlite),
        (Sabotage::NoFencing, &pause::SCENARIO, DatabaseKind::Postgres),
    ] {
        let caught = is_caught(sabotage, scenario, database, seed, postgres).await;
        say(&format!("{}: {}", sabotage.name(), if caught { "caught" } else { "NOT caught" }));
        good &= caught;
    }
    good
}

async fn is_caught(
    sabotage: Sabotage,
    scenario: &Scenario,
    database: DatabaseKind,
    seed: u64,
    postgres: &OnceCell<Postgres>,
) -> bool {
    let (provider, rounds) = (FaultsProvider::Meta, scenario.rounds);
    let (keep, times, sabotage_there) = (false, false, Some(sabotage));
    let course = Course { database, provider, rounds, seed, keep, times, sabotage: sabotage_there, postgres };
    let Some(verdict) = run_course(scenario, &course).await else { return false };
    verdict.findings.iter().any(|finding| convicts(finding, sabotage))
}

/// What shows this defect, and not merely that something is wrong.
fn convicts(finding: &Finding, sabotage: Sabotage) -> bool {
    match sabotage {
        Sabotage::AnswersBeforeCommit | Sabotage::ForgetsWork => matches!(finding, Finding::Lost { .. }),
        // Who wakes up and works on tells all again that happened while it slept; it sends twice, or too fast, only when
        // something waits at that moment.
        Sabotage::NoFencing => {
            matches!(finding, Finding::ToldTwice { .. } | Finding::SentTwice { .. } | Finding::OverPace { .. })
        }
    }
}
