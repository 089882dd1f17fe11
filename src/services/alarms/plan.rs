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

/// How often to tell, and whether there is anybody to tell.
#[derive(Clone, Copy)]
pub struct Telling<'a> {
    pub every: Duration,
    /// Whether a way is set up for alarms of a kind. Else they go to the log alone.
    pub reaches_people: &'a dyn Fn(AlarmKind) -> bool,
}

/// Compares what is wrong with what operators know.
pub fn plan(before: &[AlarmRecord], wrong: &[Condition], telling: Telling<'_>, now: UnixMillis) -> Plan {
    let mut plan = Plan::default();
    for condition in wrong {
        let is_known = |record: &&AlarmRecord| {
            is_about(record, condition.kind, &condition.subject)
                && (!condition.kind.is_news() || record.text == condition.text)
        };
        let known = before.iter().find(is_known);
        let record = raised(known, condition, now);
        if is_due(&record, telling, now) {
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
        if record.told && !record.kind.is_news() {
            plan.tell.push(Line {
                state: LineState::Over,
                kind: record.kind,
                subject: record.subject.clone(),
                since: record.raised_at,
                text: format!("it is over; it was: {}", record.text),
                remedy: None,
            });
        } else if record.told_at.is_none_or(|told_at| now.since(told_at) >= telling.every) {
            plan.gone.push(record);
            continue;
        }
        plan.records.push(record);
    }
    plan
}

impl Plan {
    /// How everything stands after ways took the lines that are for them; `None`: nobody took this one.
    pub fn after(&self, told_by: impl Fn(&Line) -> Option<String>, now: UnixMillis) -> Vec<AlarmRecord> {
        let mut records = self.records.clone();
        for line in &self.tell {
            let Some(told_by) = told_by(line) else { continue };
            for record in records.iter_mut().filter(|record| is_about(record, line.kind, &line.subject)) {
                match line.state {
                    LineState::Raised | LineState::Lasts => {
                        record.told_at = Some(now);
                        record.told_by.clone_from(&told_by);
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
        told_by: known.map(|record| record.told_by.clone()).unwrap_or_default(),
        told: known.is_some_and(|record| record.told),
    }
}

/// What only the log was told is news for people as soon as there is a way to them.
fn is_due(record: &AlarmRecord, telling: Telling<'_>, now: UnixMillis) -> bool {
    match record.told_at {
        None => true,
        Some(_) if record.told_by.is_empty() && (telling.reaches_people)(record.kind) => true,
        Some(told_at) => (!record.told || record.kind.reminds()) && now.since(told_at) >= telling.every,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TELLING: Telling<'static> = Telling { every: Duration::from_secs(6 * 3600), reaches_people: &|_| true };
    const BY_MAIL: Option<&str> = Some("e-mail");

    fn by(way: Option<&str>) -> impl Fn(&Line) -> Option<String> + '_ {
        move |_| way.map(str::to_owned)
    }

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
    fn told(
        kind: AlarmKind,
        looks: impl IntoIterator<Item = (i64, bool)>,
        taken_by: Option<&str>,
    ) -> Vec<(i64, LineState)> {
        let mut records = Vec::new();
        let mut told = Vec::new();
        for (minute, wrong) in looks {
            let wrong: Vec<Condition> = wrong.then(|| Condition { kind, ..held() }).into_iter().collect();
            let plan = plan(&records, &wrong, TELLING, at(minute));
            told.extend(plan.tell.iter().map(|line| (minute, line.state)));
            records = plan.after(by(taken_by), at(minute));
        }
        told
    }

    #[test]
    fn what_lasts_is_told_once_in_each_period() {
        let looks = (0..=800).map(|minute| (minute, true));
        assert_eq!(
            told(AlarmKind::NumberHeld, looks.clone(), BY_MAIL),
            [(0, LineState::Raised), (360, LineState::Lasts), (720, LineState::Lasts)]
        );
        assert_eq!(told(AlarmKind::TemplateStopped, looks, BY_MAIL), [(0, LineState::Raised)], "it may last for ever");
    }

    #[test]
    fn news_is_told_once_whatever_the_period_and_its_end_is_none() {
        let changed = |text: &str| Condition { kind: AlarmKind::TierChanged, text: text.to_owned(), ..held() };
        let first = plan(&[], &[changed("1000")], TELLING, at(0));
        let known = first.after(by(BY_MAIL), at(0));
        let again = plan(&known, &[changed("1000")], TELLING, at(1));
        let other = plan(&known, &[changed("250")], TELLING, at(2));
        let known = other.after(by(BY_MAIL), at(2));
        let over = plan(&known, &[], TELLING, at(500));

        assert_eq!((first.tell.len(), again.tell.len(), other.tell.len(), over.tell.len()), (1, 0, 1, 0));
        assert_eq!((known.len(), over.gone.len()), (1, 1), "and then it is forgotten");
    }

    #[test]
    fn the_end_is_told_once() {
        assert_eq!(
            told(AlarmKind::NumberHeld, [(0, true), (1, false), (2, false), (400, false)], BY_MAIL),
            [(0, LineState::Raised), (1, LineState::Over)]
        );
    }

    #[test]
    fn what_comes_and_goes_is_not_told_each_time() {
        let looks = (0..=400).map(|minute| (minute, minute % 2 == 0));
        assert_eq!(
            told(AlarmKind::NumberHeld, looks, BY_MAIL),
            [(0, LineState::Raised), (1, LineState::Over), (360, LineState::Raised), (361, LineState::Over)]
        );
    }

    #[test]
    fn what_nobody_took_is_told_again_and_its_end_is_no_news() {
        assert_eq!(
            told(AlarmKind::NumberHeld, [(0, true), (1, true), (2, false)], None),
            [(0, LineState::Raised), (1, LineState::Raised)]
        );
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let first = plan(&[], &[held()], TELLING, at(0)).after(by(BY_MAIL), at(0));
        let over = plan(&first, &[], TELLING, at(1)).after(by(BY_MAIL), at(1));
        assert_eq!(over.len(), 1, "it is remembered for the period");

        let later = plan(&over, &[], TELLING, at(361));

        assert_eq!((later.gone.len(), later.after(by(BY_MAIL), at(361)).len()), (1, 0));
    }

    #[test]
    fn what_only_the_log_was_told_is_told_to_people_once_there_is_a_way() {
        let alone = Telling { reaches_people: &|_| false, ..TELLING };
        let logged = plan(&[], &[held()], alone, at(0)).after(by(Some("")), at(0));
        assert_eq!((logged[0].told_at, logged[0].told_by.as_str()), (Some(at(0)), ""));
        assert!(plan(&logged, &[held()], alone, at(1)).tell.is_empty(), "the log need not have it each minute");

        let then = plan(&logged, &[held()], TELLING, at(2));

        assert_eq!(then.tell.len(), 1);
        let told = then.after(by(BY_MAIL), at(2));
        assert_eq!(told[0].told_by, "e-mail");
        assert!(plan(&told, &[held()], TELLING, at(3)).tell.is_empty());
    }

    #[test]
    fn of_two_lines_each_counts_as_told_to_those_who_took_it() {
        let full = Condition { kind: AlarmKind::DiskFull, ..held() };
        let only_holds = |kind| kind == AlarmKind::NumberHeld;
        let telling = Telling { reaches_people: &only_holds, ..TELLING };
        let plan_of = |before: &[AlarmRecord], minute| plan(before, &[held(), full.clone()], telling, at(minute));
        let heard = |line: &Line| Some(if only_holds(line.kind) { "e-mail" } else { "" }.to_owned());

        let told = plan_of(&[], 0).after(heard, at(0));

        assert_eq!(told.iter().map(|record| record.told_by.as_str()).collect::<Vec<_>>(), ["e-mail", ""]);
        assert!(plan_of(&told, 1).tell.is_empty(), "whom nobody wants to hear of is no news each minute");
    }
}
