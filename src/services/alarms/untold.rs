//! Why nobody was told of an alarm.

use super::WayShown;
use crate::{domain::alarm_recipients::are_wanted, store::alarms::AlarmRecord};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// Only the log has it, and will.
    NoWay,
    /// The same, because whoever could be told wants other kinds alone.
    NotWanted,
    /// The server has not come to it, or every way that it is for failed.
    NotTaken,
}

impl Untold {
    /// By the ways as they are now; `None`: somebody was told.
    pub fn of(record: &AlarmRecord, ways: &[WayShown]) -> Option<Self> {
        match record.told_at {
            Some(_) if !record.told_by.is_empty() => None,
            Some(_) if ways.is_empty() => Some(Self::NoWay),
            Some(_) if !ways.iter().any(|way| are_wanted(&way.kinds, record.kind)) => Some(Self::NotWanted),
            Some(_) | None => Some(Self::NotTaken),
        }
    }

    pub const fn in_words(self) -> &'static str {
        match self {
            Self::NoWay => "no way is set up",
            Self::NotWanted => "nobody who could be told wants this kind",
            Self::NotTaken => "no way has taken it yet",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{alarm::AlarmKind, time::UnixMillis};

    #[test]
    fn that_there_is_no_way_is_not_said_of_one_that_wants_other_kinds_or_fails() {
        let record = |told_at: Option<i64>, told_by: &str| AlarmRecord {
            kind: AlarmKind::NumberHeld,
            subject: "number +918880110022".to_owned(),
            text: "on hold".to_owned(),
            raised_at: UnixMillis(0),
            over_at: None,
            told_at: told_at.map(UnixMillis),
            told_by: told_by.to_owned(),
            told: told_at.is_some(),
        };
        let way = |kinds: &[AlarmKind]| WayShown {
            name: "console webhook",
            by: "webhook",
            to: "https://hooks.example.com/…".to_owned(),
            is_of_settings: false,
            kinds: kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        };
        let (all, full) = (way(&[]), way(&[AlarmKind::DiskFull]));
        for (told_at, told_by, ways, expected) in [
            (Some(0), "console webhook", vec![], None),
            (Some(0), "", vec![], Some(Untold::NoWay)),
            (Some(0), "", vec![full.clone()], Some(Untold::NotWanted)),
            (Some(0), "", vec![full, all.clone()], Some(Untold::NotTaken)),
            (None, "", vec![all], Some(Untold::NotTaken)),
            (None, "", vec![], Some(Untold::NotTaken)),
        ] {
            assert_eq!(Untold::of(&record(told_at, told_by), &ways), expected, "{told_at:?} {told_by} {ways:?}");
        }
    }
}
