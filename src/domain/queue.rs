//! Parts of the queues: which waiting messages are meant, and what is to be done with them.
//!
//! A platform hands over a million messages in minutes, and a number needs hours to send them. So people must be able to stop
//! a campaign, a template, a number or an account in the middle, and to go on or give up. A [`QueueRule`] says so for
//! messages that wait and for those that arrive while it stands.

use serde::Serialize;

use super::{
    ids::{AccountKey, SenderKey},
    outbound::stored,
    time::UnixMillis,
};

/// Which messages are meant. What is not named fits everything; all that is named must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFilter {
    pub account: Option<AccountKey>,
    pub sender: Option<SenderKey>,
    /// As the platform names it.
    pub campaign: Option<String>,
    pub template: Option<String>,
    /// Only together with a template.
    pub language: Option<String>,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    pub account: AccountKey,
    pub sender: SenderKey,
    pub campaign: Option<&'a str>,
    /// Name and language, as they were asked for while it is not looked up yet; `None` when freeform.
    pub template: Option<(&'a str, &'a str)>,
}

/// What is to be done with the messages that a rule covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// They wait until they are resumed, or they expire.
    Pause,
    /// They are cancelled, and the platform is told so.
    Cancel,
}

stored!(RuleAction { Pause = 1 "pause", Cancel = 2 "cancel" });

/// An operator's word about a part of the queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRule {
    pub key: i32,
    pub action: RuleAction,
    pub filter: QueueFilter,
    pub reason: String,
    pub since: UnixMillis,
    /// It ends by itself; `None` when a person must end it.
    pub ends_at: Option<UnixMillis>,
    /// A person ended it: it holds no more, and what it kept back is on its way into the queues again.
    pub released_at: Option<UnixMillis>,
}

/// All rules, as every message is held against them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueRules(pub Vec<QueueRule>);

impl QueueFilter {
    /// Names nothing, so that everything is meant.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// It is about a template, and not about one campaign of it.
    pub fn is_template(&self) -> bool {
        self.template.is_some() && self.campaign.is_none()
    }

    pub fn covers(&self, message: &Waiting<'_>) -> bool {
        let (name, language) = message.template.unzip();
        self.account.is_none_or(|account| account == message.account)
            && self.sender.is_none_or(|sender| sender == message.sender)
            && fits(self.campaign.as_deref(), message.campaign)
            && fits(self.template.as_deref(), name)
            && fits(self.language.as_deref(), language)
    }

    /// Whether everything that this one names is named alike by `other`: releasing a campaign also releases the campaign at one
    /// number, and not the other way round.
    pub fn includes(&self, other: &Self) -> bool {
        self.account.is_none_or(|account| other.account == Some(account))
            && self.sender.is_none_or(|sender| other.sender == Some(sender))
            && fits(self.campaign.as_deref(), other.campaign.as_deref())
            && fits(self.template.as_deref(), other.template.as_deref())
            && fits(self.language.as_deref(), other.language.as_deref())
    }
}

/// Names are typed by people, and no two differ by case alone.
fn fits(wanted: Option<&str>, name: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| name.is_some_and(|name| name.eq_ignore_ascii_case(wanted)))
}

/// What ended a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleEnd {
    /// An operator let go on what it kept back.
    Operator,
    /// The time that it was made for was over.
    Time,
}

impl QueueRule {
    /// When and by what it ended; `None` while it is in force.
    pub fn end(&self, now: UnixMillis) -> Option<(UnixMillis, RuleEnd)> {
        let over = self.ends_at.filter(|end| *end <= now);
        match (self.released_at, over) {
            (Some(released), Some(over)) if over < released => Some((over, RuleEnd::Time)),
            (Some(released), _) => Some((released, RuleEnd::Operator)),
            (None, Some(over)) => Some((over, RuleEnd::Time)),
            (None, None) => None,
        }
    }

    pub fn holds(&self, now: UnixMillis) -> bool {
        self.end(now).is_none()
    }
}

impl QueueRules {
    /// The rule that decides about a message. To cancel goes before to pause: it is the later thought of the two.
    pub fn verdict(&self, message: &Waiting<'_>, now: UnixMillis) -> Option<&QueueRule> {
        self.0.iter().filter(|rule| rule.holds(now) && rule.filter.covers(message)).max_by_key(|rule| rule.action)
    }

    /// Whether a message that arrives now waits aside from the start.
    pub fn pauses(&self, message: &Waiting<'_>, now: UnixMillis) -> bool {
        self.verdict(message, now).is_some_and(|rule| rule.action == RuleAction::Pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn waiting<'a>() -> Waiting<'a> {
        Waiting {
            account: AccountKey(1),
            sender: SenderKey(2),
            campaign: Some("1790000000"),
            template: Some(("winter_sale", "en_US")),
        }
    }

    fn campaign(name: &str) -> QueueFilter {
        QueueFilter { campaign: Some(name.to_owned()), ..QueueFilter::default() }
    }

    fn rule(action: RuleAction, filter: QueueFilter) -> QueueRule {
        QueueRule { key: 1, action, filter, reason: "why".to_owned(), since: NOW, ends_at: None, released_at: None }
    }

    #[test]
    fn everything_that_is_named_must_fit() {
        let template = |name: &str, language: Option<&str>| QueueFilter {
            template: Some(name.to_owned()),
            language: language.map(str::to_owned),
            ..campaign("1790000000")
        };

        assert!(QueueFilter::default().covers(&waiting()));
        assert!(campaign("1790000000").covers(&waiting()));
        assert!(!campaign("1790000001").covers(&waiting()));
        assert!(template("Winter_Sale", None).covers(&waiting()), "people write names as they like");
        assert!(template("winter_sale", Some("en_us")).covers(&waiting()));
        assert!(!template("winter_sale", Some("hi")).covers(&waiting()));
        assert!(!QueueFilter { sender: Some(SenderKey(3)), ..campaign("1790000000") }.covers(&waiting()));
    }

    #[test]
    fn a_message_without_campaign_or_template_belongs_to_none() {
        let freeform = Waiting { campaign: None, template: None, ..waiting() };

        assert!(!campaign("1790000000").covers(&freeform));
        assert!(!campaign("").covers(&freeform));
        assert!(QueueFilter { account: Some(AccountKey(1)), ..QueueFilter::default() }.covers(&freeform));
    }

    #[test]
    fn a_wider_release_includes_narrower_rules() {
        let narrow = QueueFilter { sender: Some(SenderKey(2)), ..campaign("1790000000") };

        assert!(campaign("1790000000").includes(&narrow));
        assert!(!narrow.includes(&campaign("1790000000")));
        assert!(QueueFilter::default().includes(&narrow));
    }

    #[test]
    fn a_rule_is_ended_by_an_operator_or_by_its_time_whatever_comes_first() {
        let ended = |released_at: Option<i64>, ends_at: Option<i64>| {
            let at = |offset: i64| UnixMillis(NOW.0 + offset);
            let pause = rule(RuleAction::Pause, campaign("1790000000"));
            QueueRule { released_at: released_at.map(at), ends_at: ends_at.map(at), ..pause }
                .end(NOW)
                .map(|(at, end)| (at.0 - NOW.0, end))
        };
        assert_eq!(ended(None, None), None);
        assert_eq!(ended(None, Some(1)), None);
        assert_eq!(ended(None, Some(-5)), Some((-5, RuleEnd::Time)));
        assert_eq!(ended(Some(-2), Some(5)), Some((-2, RuleEnd::Operator)));
        assert_eq!(ended(Some(-2), Some(-5)), Some((-5, RuleEnd::Time)));
    }

    #[test]
    fn a_rule_that_ended_or_was_released_says_nothing() {
        let pause = rule(RuleAction::Pause, campaign("1790000000"));
        let cancel = QueueRule { ends_at: Some(NOW), ..rule(RuleAction::Cancel, campaign("1790000000")) };
        let verdict = |rules: &[&QueueRule]| {
            let rules = QueueRules(rules.iter().map(|rule| (*rule).clone()).collect());
            rules.verdict(&waiting(), NOW).map(|rule| rule.action)
        };

        assert_eq!(verdict(&[&pause, &cancel]), Some(RuleAction::Pause), "the other has ended");
        let standing = QueueRule { ends_at: None, ..cancel };
        assert_eq!(verdict(&[&pause, &standing]), Some(RuleAction::Cancel));
        assert_eq!(verdict(&[&QueueRule { released_at: Some(NOW), ..pause }]), None);
    }
}
