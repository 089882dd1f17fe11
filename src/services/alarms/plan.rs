//! Who is told what now. Pure: what was known, what is wrong, and the time.

use std::time::Duration;

use super::letter::{Line, LineState};
use crate::{
    domain::{
        alarm::{AlarmKind, Condition},
        time::UnixMillis,
    },
    store::alarms::AlarmRecord,
};

/// What follows from one look.
#[derive(Debug, Default)]
pub struct Plan {
    /// Everything that is known from now on, before anybody is told.
    records: Vec<AlarmRecord>,
    /// What operators should hear now.
    pub tell: Vec<Line>,
    /// What nobody has to remember any more.
    pub gone: Vec<AlarmRecord>,
}

/// Compares what is wrong with what operators know.
pub fn plan(before: &[AlarmRecord], wrong: &[Condition], every: Duration, now: UnixMillis) -> Plan {
    let mut plan = Plan::default();
    for condition in wrong {
        let known = before.iter().find(|record| is_about(record, condition.kind, &condition.subject));
        let record = raised(known, condition, now);
        if is_due(&record, every, now) {
            plan.tell.push(Line {
                state: if record.told { LineState::Lasts } else { LineState::Raised },
                kind: record.kind,
                subject: record.subject.clone(),
                since: record.raised_at,
                text: condition.text.clone(),
                remedy: Some(condition.remedy.clone()),
            });
        }
        plan.records.push(record);
    }
    let over =
        |record: &&AlarmRecord| !wrong.iter().any(|condition| is_about(record, condition.kind, &condition.subject));
    for record in before.iter().filter(over) {
        let record = AlarmRecord { over_at: record.over_at.or(Some(now)), ..record.clone() };
        if record.told {
            plan.tell.push(Line {
                state: LineState::Over,
                kind: record.kind,
                subject: record.subject.clone(),
                since: record.raised_at,
                text: format!("it is over; it was: {}", record.text),
                remedy: None,
            });
        } else if record.told_at.is_none_or(|told_at| now.since(told_at) >= every) {
            plan.gone.push(record);
            continue;
        }
        plan.records.push(record);
    }
    plan
}

impl Plan {
    /// How everything stands when the letter was taken, or was not.
    pub fn after(&self, told: bool, now: UnixMillis) -> Vec<AlarmRecord> {
        let mut records = self.records.clone();
        for line in self.tell.iter().filter(|_| told) {
            for record in records.iter_mut().filter(|record| is_about(record, line.kind, &line.subject)) {
                match line.state {
                    LineState::Raised | LineState::Lasts => {
                        record.told_at = Some(now);
                        record.told = true;
                    }
                    LineState::Over => record.told = false,
                    LineState::Test => {}
                }
            }
        }
        records
    }
}

fn is_about(record: &AlarmRecord, kind: AlarmKind, subject: &str) -> bool {
    record.kind == kind && record.subject == subject
}

/// The record of something that is wrong now. What was over begins anew, but what operators heard lately still counts.
fn raised(known: Option<&AlarmRecord>, condition: &Condition, now: UnixMillis) -> AlarmRecord {
    let lasts = known.filter(|record| record.over_at.is_none());
    AlarmRecord {
        kind: condition.kind,
        subject: condition.subject.clone(),
        text: condition.text.clone(),
        raised_at: lasts.map_or(now, |record| record.raised_at),
        over_at: None,
        told_at: known.and_then(|record| record.told_at),
        told: known.is_some_and(|record| record.told),
    }
}

fn is_due(record: &AlarmRecord, every: Duration, now: UnixMillis) -> bool {
    match record.told_at {
        None => true,
        Some(told_at) => (!record.told || record.kind.reminds()) && now.since(told_at) >= every,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(6 * 3600);

    fn at(minutes: i64) -> UnixMillis {
        UnixMillis(minutes * 60_000)
    }

    fn held() -> Condition {
        Condition {
            kind: AlarmKind::NumberHeld,
            subject: "number +918880110022".to_owned(),
            text: "it is on hold".to_owned(),
            remedy: "release it".to_owned(),
        }
    }

    /// Looks at these minutes, when it is wrong or well; what was told, with the minute.
    fn told(kind: AlarmKind, looks: impl IntoIterator<Item = (i64, bool)>, taken: bool) -> Vec<(i64, LineState)> {
        let mut records = Vec::new();
        let mut told = Vec::new();
        for (minute, wrong) in looks {
            let wrong: Vec<Condition> = wrong.then(|| Condition { kind, ..held() }).into_iter().collect();
            let plan = plan(&records, &wrong, EVERY, at(minute));
            told.extend(plan.tell.iter().map(|line| (minute, line.state)));
            records = plan.after(taken, at(minute));
        }
        told
    }

    #[test]
    fn what_lasts_is_told_once_in_each_period() {
        let looks = (0..=800).map(|minute| (minute, true));
        assert_eq!(
            told(AlarmKind::NumberHeld, looks.clone(), true),
            [(0, LineState::Raised), (360, LineState::Lasts), (720, LineState::Lasts)]
        );
        assert_eq!(told(AlarmKind::TemplateStopped, looks, true), [(0, LineState::Raised)], "it may last for ever");
    }

    #[test]
    fn the_end_is_told_once() {
        assert_eq!(
            told(AlarmKind::NumberHeld, [(0, true), (1, false), (2, false), (400, false)], true),
            [(0, LineState::Raised), (1, LineState::Over)]
        );
    }

    #[test]
    fn what_comes_and_goes_is_not_told_each_time() {
        let looks = (0..=400).map(|minute| (minute, minute % 2 == 0));
        assert_eq!(
            told(AlarmKind::NumberHeld, looks, true),
            [(0, LineState::Raised), (1, LineState::Over), (360, LineState::Raised), (361, LineState::Over)]
        );
    }

    #[test]
    fn what_nobody_took_is_told_again_and_its_end_is_no_news() {
        assert_eq!(
            told(AlarmKind::NumberHeld, [(0, true), (1, true), (2, false)], false),
            [(0, LineState::Raised), (1, LineState::Raised)]
        );
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let first = plan(&[], &[held()], EVERY, at(0)).after(true, at(0));
        let over = plan(&first, &[], EVERY, at(1)).after(true, at(1));
        assert_eq!(over.len(), 1, "it is remembered for the period");

        let later = plan(&over, &[], EVERY, at(361));

        assert_eq!((later.gone.len(), later.after(true, at(361)).len()), (1, 0));
    }
}
