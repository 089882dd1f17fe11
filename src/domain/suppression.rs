//! Who must not be sent what.
//!
//! A person can stop marketing messages in WhatsApp, a number's block list can name a person, and an operator
//! can put people on a list. Each of these is a [`Suppression`] of its own: what the person takes back does not
//! undo what an operator decided. A person is found by a keyed hash ([`PersonHasher`]), so that somebody who was
//! forgotten can still be left alone.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    failure::{Failure, FailureReason},
    ids::AccountKey,
    outbound::{Category, stored},
    phone::PhoneNumber,
    time::UnixMillis,
};

/// One reason why a person is not sent something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    pub account: AccountKey,
    pub person: PersonHash,
    pub source: Source,
    pub scope: Scope,
    /// It does not hold any more. Kept, because older news may still arrive.
    pub lifted: bool,
    /// Not known of people who hide it, and of people who were forgotten.
    pub phone: Option<PhoneNumber>,
    /// The provider's id of the person, when it has one.
    pub user_id: Option<String>,
    /// At most [`REASON_CHARS_MAX`] characters.
    pub reason: String,
    pub occurred_at: UnixMillis,
}

/// Longer reasons are cut: they stand in answers and on screens.
pub const REASON_CHARS_MAX: usize = 200;

/// Who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The person, through WhatsApp.
    Person,
    /// The block list of the business number, kept at the provider.
    BlockList,
    /// Somebody who runs the bridge.
    Operator,
}

/// What is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Marketing,
    All,
}

stored!(Source { Person = 1 "person", BlockList = 2 "block_list", Operator = 3 "operator" });
stored!(Scope { Marketing = 1 "marketing", All = 2 "all" });

impl Scope {
    /// Whether messages of this category are not sent.
    pub fn covers(self, category: Category) -> bool {
        match self {
            Self::Marketing => category == Category::Marketing,
            Self::All => true,
        }
    }
}

impl Suppression {
    /// What a provider's refusal of a message tells about its recipient, if anything.
    pub fn learned_from(
        failure: &Failure,
        account: AccountKey,
        hasher: &PersonHasher,
        phone: PhoneNumber,
        occurred_at: UnixMillis,
    ) -> Option<Self> {
        let (source, scope) = verdict_on_person(failure)?;
        Some(Self {
            account,
            person: hasher.of_phone(&phone),
            source,
            scope,
            lifted: false,
            phone: Some(phone),
            user_id: None,
            reason: short(&failure.text),
            occurred_at,
        })
    }

    /// The answer to a request for a message to this person: since when, why, and what would change it.
    /// Names no number: it goes into logs too.
    pub fn refusal(&self) -> String {
        let Self { occurred_at, reason, .. } = self;
        match self.source {
            Source::Person => format!(
                "to: this person has stopped marketing messages on {occurred_at} ({reason}); they can be sent again once the \
                 person resumes them in WhatsApp, or after `wabridge suppress remove`. Utility messages still go"
            ),
            Source::BlockList => format!(
                "to: the business number has blocked this person, as WhatsApp said on {occurred_at} ({reason}); unblock the \
                 person there, then `wabridge suppress remove`"
            ),
            Source::Operator => {
                let what = match self.scope {
                    Scope::Marketing => "marketing messages",
                    Scope::All => "all messages",
                };
                format!(
                    "to: this person is on the suppression list for {what} since {occurred_at} ({reason}); `wabridge suppress \
                     remove` takes the person off"
                )
            }
        }
    }

    /// What becomes of a message to this person that was accepted: before that was known, or before it was known what kind
    /// of message it is.
    pub fn failure(&self) -> Failure {
        let Self { occurred_at, reason, .. } = self;
        let (because, text) = match self.source {
            Source::Person => (FailureReason::OptedOut, "the person wants no marketing messages"),
            Source::BlockList => (FailureReason::Blocklisted, "the business number has blocked the person"),
            Source::Operator => (FailureReason::OptedOut, "the person is on the suppression list"),
        };
        Failure::new(because, None, &format!("{text} since {occurred_at}: {reason}"))
    }
}

/// What is written for the new number of a person who changed it at `at`: `old` and `new` are what is known of either number.
///
/// What holds for the old number holds for the new one too, unless it was lifted there after the change. What was lifted follows
/// only where nothing was said of the new number: whichever of both opted out, the person did.
pub fn following(
    old: &[Suppression],
    new: &[Suppression],
    (person, phone): (PersonHash, &PhoneNumber),
    at: UnixMillis,
) -> Vec<Suppression> {
    let follow = |entry: &Suppression| {
        let there = new.iter().find(|there| there.source == entry.source);
        let follows = there.is_none_or(|there| match there.lifted {
            true => !entry.lifted && there.occurred_at <= at,
            false => !entry.lifted && there.scope < entry.scope,
        });
        follows.then(|| Suppression {
            person,
            // Of somebody who was forgotten only the hash stays.
            phone: entry.phone.as_ref().map(|_| phone.clone()),
            occurred_at: there.map_or(entry.occurred_at, |there| entry.occurred_at.max(there.occurred_at)),
            ..entry.clone()
        })
    };
    old.iter().filter_map(follow).collect()
}

/// A refusal in the provider's own words may be about the person. What we concluded ourselves never is:
/// it would confirm itself for ever.
pub fn verdict_on_person(failure: &Failure) -> Option<(Source, Scope)> {
    failure.code?;
    match failure.reason {
        FailureReason::OptedOut => Some((Source::Person, Scope::Marketing)),
        FailureReason::Blocklisted => Some((Source::BlockList, Scope::All)),
        FailureReason::Credentials
        | FailureReason::Template
        | FailureReason::InvalidNumber
        | FailureReason::NumberInactive
        | FailureReason::TooManyToNumber
        | FailureReason::Unreachable
        | FailureReason::DeviceIncapable
        | FailureReason::OutsideWindow
        | FailureReason::BlockedByProvider
        | FailureReason::Expired
        | FailureReason::UnknownOutcome
        | FailureReason::Other
        | FailureReason::Cancelled => None,
    }
}

/// A reason that fits.
pub fn short(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}

/// Who a person is, without saying who. Sixteen bytes of a keyed hash: nobody without the key can go
/// through all telephone numbers and find the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonHash(pub [u8; 16]);

impl PersonHash {
    /// Eight bytes for a place in memory: the person at an account.
    pub fn at(self, account: AccountKey) -> u64 {
        // Odd, so that no two accounts meet.
        self.half() ^ u64::from(account.0.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Eight bytes for a place in memory: the person, whoever the account.
    pub fn half(self) -> u64 {
        let mut half = [0; 8];
        half.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(half)
    }
}

/// Makes the hashes, with the database's own key.
#[derive(Clone)]
pub struct PersonHasher {
    start: Hmac<Sha256>,
}

impl PersonHasher {
    pub fn new(key: &[u8; 32]) -> Self {
        Self { start: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    pub fn of_phone(&self, phone: &PhoneNumber) -> PersonHash {
        self.hash(&["phone:", phone.as_e164()])
    }

    /// A person by the provider's own id.
    pub fn of_user(&self, user_id: &str) -> PersonHash {
        self.hash(&["user:", user_id])
    }

    fn hash(&self, parts: &[&str]) -> PersonHash {
        let mut mac = self.start.clone();
        parts.iter().for_each(|part| mac.update(part.as_bytes()));
        let digest = mac.finalize().into_bytes();
        PersonHash(digest[..16].try_into().expect("an HMAC by SHA-256 has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone() -> PhoneNumber {
        PhoneNumber::from_international("+919876500001").expect("a number")
    }

    fn suppression(source: Source, scope: Scope) -> Suppression {
        let hasher = PersonHasher::new(&[7; 32]);
        Suppression {
            account: AccountKey(1),
            person: hasher.of_phone(&phone()),
            source,
            scope,
            lifted: false,
            phone: Some(phone()),
            user_id: None,
            reason: "a reason".to_owned(),
            occurred_at: UnixMillis(1_795_000_000_000),
        }
    }

    #[test]
    fn who_stopped_marketing_still_gets_everything_else() {
        let stopped = [Category::Freeform, Category::Authentication, Category::Utility, Category::Marketing]
            .map(|category| (Scope::Marketing.covers(category), Scope::All.covers(category)));

        assert_eq!(stopped, [(false, true), (false, true), (false, true), (true, true)]);
    }

    #[test]
    fn a_refusal_says_since_when_and_why_and_what_to_do_but_not_who() {
        for (source, scope) in
            [(Source::Person, Scope::Marketing), (Source::BlockList, Scope::All), (Source::Operator, Scope::All)]
        {
            let text = suppression(source, scope).refusal();

            assert!(text.contains("2026-11-18T11:06:40") && text.contains("(a reason)"), "{text}");
            assert!(text.contains("wabridge suppress remove") && !text.contains("98765"), "{text}");
        }
    }

    #[test]
    fn only_the_providers_own_words_tell_something_about_a_person() {
        let ours = suppression(Source::Person, Scope::Marketing).failure();
        let theirs = Failure { code: Some(131_050), ..ours.clone() };

        assert_eq!(verdict_on_person(&ours), None);
        assert_eq!(verdict_on_person(&theirs), Some((Source::Person, Scope::Marketing)));
        assert_eq!(verdict_on_person(&Failure::new(FailureReason::Unreachable, Some(131_026), "")), None);
    }

    #[test]
    fn whichever_number_opted_out_the_new_one_is() {
        const CHANGED: UnixMillis = UnixMillis(1_795_000_000_500);
        let to = PhoneNumber::from_international("+919876500009").expect("a number");
        let hash = PersonHasher::new(&[7; 32]).of_phone(&to);
        let entry = |lifted: bool, at: i64| Suppression {
            lifted,
            occurred_at: UnixMillis(CHANGED.0 + at),
            ..suppression(Source::Person, Scope::Marketing)
        };
        let follows = |old: &Suppression, new: &[Suppression]| -> Option<(bool, i64)> {
            let found = following(std::slice::from_ref(old), new, (hash, &to), CHANGED);
            assert!(found.iter().all(|one| one.person == hash && one.phone.as_ref() == Some(&to)), "{found:?}");
            found.first().map(|one| (one.lifted, one.occurred_at.0 - CHANGED.0))
        };
        let (out, welcome) = (entry(false, -500), entry(true, -500));

        assert_eq!(follows(&out, &[]), Some((false, -500)));
        assert_eq!(follows(&welcome, &[]), Some((true, -500)));
        assert_eq!(follows(&out, &[entry(true, -100)]), Some((false, -100)), "it is the later news, so it is written");
        assert_eq!(follows(&out, &[entry(true, 100)]), None, "the person said so after the change");
        assert_eq!(follows(&welcome, &[entry(false, -900)]), None);
        assert_eq!(follows(&out, &[entry(false, -900)]), None, "it holds already");
        let wider = Suppression { scope: Scope::All, ..out.clone() };
        assert_eq!(follows(&wider, &[entry(false, -100)]), Some((false, -100)));

        let forgotten = Suppression { phone: None, ..out };
        let found = following(&[forgotten], &[], (hash, &to), CHANGED);
        assert!(found.len() == 1 && found[0].phone.is_none(), "who was forgotten stays so: {found:?}");
    }

    #[test]
    fn a_hash_depends_on_the_key_and_the_kind_of_name() {
        let (one, other) = (PersonHasher::new(&[1; 32]), PersonHasher::new(&[2; 32]));

        assert_eq!(one.of_phone(&phone()), one.of_phone(&phone()));
        assert_ne!(one.of_phone(&phone()), other.of_phone(&phone()));
        assert_ne!(one.of_phone(&phone()), one.of_user(phone().as_e164()));
        let hash = one.of_phone(&phone());
        assert_ne!(hash.at(AccountKey(1)), hash.at(AccountKey(2)));
    }
}
