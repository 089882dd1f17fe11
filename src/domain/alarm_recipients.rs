//! Who is told of alarms besides those whom the server's settings name. People set it; a change is a merge patch.

use serde::{Deserialize, Serialize};

use super::{alarm::AlarmKind, webhook::SecretText};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlarmRecipients {
    pub emails: Vec<String>,
    /// Who knows it may post to it.
    pub webhook_url: Option<SecretText>,
    /// Signs what is posted.
    pub webhook_secret: Option<SecretText>,
    /// Words of the only kinds that are told; none: all. Another version may know more of them.
    pub kinds: Vec<String>,
}

impl AlarmRecipients {
    /// Whether an alarm of this kind is for them.
    pub fn want(&self, kind: AlarmKind) -> bool {
        are_wanted(&self.kinds, kind)
    }
}

/// Whether these words of kinds, of which none means all, have this one.
pub fn are_wanted(kinds: &[String], kind: AlarmKind) -> bool {
    kinds.is_empty() || kinds.iter().any(|word| word == kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_kinds_all_are_wanted() {
        let some = AlarmRecipients { kinds: vec!["disk_full".to_owned()], ..AlarmRecipients::default() };
        assert!(some.want(AlarmKind::DiskFull) && !some.want(AlarmKind::QueueLate));
        assert!(AlarmKind::ALL.into_iter().all(|kind| AlarmRecipients::default().want(kind)));
    }
}
