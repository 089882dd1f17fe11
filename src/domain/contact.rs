//! A person who wrote to one of an account's numbers: by what the person is known, and what the account says of them.
//!
//! Contacts are light: made and moved by what people write, and never by what is only sent to them. Whether somebody wants marketing
//! messages is not kept here but in the suppression list, which decides what is sent.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    ids::{AccountKey, MessageId, NotAnId},
    phone::PhoneNumber,
    suppression::{Scope, Source, Suppression},
    time::UnixMillis,
};

/// A contact of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub id: ContactId,
    pub account: AccountKey,
    /// Not known of a person who hides it.
    pub phone: Option<PhoneNumber>,
    /// The provider's id of the person, when it has one.
    pub user_id: Option<String>,
    pub name: Option<String>,
    /// Somebody of the account wrote the name: that of the profile does not replace it.
    pub name_is_ours: bool,
    pub tags: Tags,
    pub first_seen: UnixMillis,
    pub last_seen: UnixMillis,
}

impl Contact {
    /// What makes the person one: the number, or the provider's id of somebody who hides it.
    pub fn who(&self) -> String {
        let by_id = || self.user_id.clone().unwrap_or_default();
        self.phone.as_ref().map_or_else(by_id, |phone| phone.as_e164().to_owned())
    }

    /// Takes in what a message tells about its writer; says whether anything is news beside the moment.
    pub fn heard(&mut self, user_id: Option<&str>, name: Option<&str>, at: UnixMillis) -> bool {
        let before = self.clone();
        self.last_seen = self.last_seen.max(at);
        if let Some(user_id) = user_id {
            self.user_id = Some(user_id.to_owned());
        }
        if let Some(name) = name.and_then(profile_name).filter(|_| !self.name_is_ours) {
            self.name = Some(name);
        }
        (&self.user_id, &self.name) != (&before.user_id, &before.name)
    }
}

impl Contact {
    /// The same person was known twice: what the other contact says is this one's too, where this one says nothing else.
    pub fn absorb(&mut self, other: &Self) {
        if self.name.is_none() || (other.name_is_ours && !self.name_is_ours) {
            (self.name, self.name_is_ours) = (other.name.clone(), other.name_is_ours);
        }
        self.user_id = self.user_id.take().or_else(|| other.user_id.clone());
        self.tags.0.extend(other.tags.0.iter().cloned());
        while self.tags.0.len() > TAGS_MAX {
            self.tags.0.pop_last();
        }
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

/// Longer names are cut: they stand in lists.
pub const NAME_CHARS_MAX: usize = 120;

/// A profile's name as it is kept; none when nothing is in it.
pub fn profile_name(text: &str) -> Option<String> {
    let name: String = text.trim().chars().filter(|one| !one.is_control()).take(NAME_CHARS_MAX).collect();
    Some(name).filter(|name| !name.is_empty())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let as_message = MessageId(self.0).to_string();
                let (_, digits) = as_message.split_once('_').expect("an id has a prefix");
                write!(f, "{}{digits}", $prefix)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let digits = text.strip_prefix($prefix).ok_or(NotAnId)?;
                format!("msg_{digits}").parse::<MessageId>().map(|id| Self(id.0))
            }
        }
    };
}
pub(super) use id;

id!(
    /// Made like a message's, so it tells when the contact was first heard of.
    ContactId "con_"
);

/// Short words that an account gives to contacts and conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeSet<String>);

/// More are a list in the wrong place.
pub const TAGS_MAX: usize = 50;
pub const TAG_CHARS_MAX: usize = 60;

impl Tags {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn to_vec(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }

    pub fn has(&self, tag: &str) -> bool {
        self.0.contains(tag)
    }

    /// As the tables keep them.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a list of texts is JSON")
    }

    /// The reverse; what cannot be read is none.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// What these would be with some more and without some; an error says what to change.
    pub fn changed(&self, add: &[String], remove: &[String]) -> Result<Self, String> {
        let mut tags = self.0.clone();
        for tag in remove {
            tags.remove(tag.trim());
        }
        for tag in add {
            tags.insert(checked(tag)?);
        }
        if tags.len() > TAGS_MAX {
            return Err(format!("{} tags are too many, keep at most {TAGS_MAX}", tags.len()));
        }
        Ok(Self(tags))
    }

    /// Those of `self` that `other` has not.
    pub fn without(&self, other: &Self) -> Vec<String> {
        self.0.difference(&other.0).cloned().collect()
    }
}

fn checked(tag: &str) -> Result<String, String> {
    let tag = tag.trim();
    let length = tag.chars().count();
    if !(1..=TAG_CHARS_MAX).contains(&length) || tag.chars().any(|one| one.is_control() || one == ',') {
        return Err(format!("a tag has 1 to {TAG_CHARS_MAX} characters of one line, and no comma"));
    }
    Ok(tag.to_owned())
}

/// Whether somebody wants marketing messages, as far as anybody said; `entries` are all of the person's in the suppression list.
pub fn opt_in<'a>(entries: impl IntoIterator<Item = &'a Suppression>) -> Option<bool> {
    let mut answer = None;
    for entry in entries {
        match (entry.source, entry.lifted) {
            (Source::Person | Source::Operator, false) => return Some(false),
            (Source::Person | Source::Operator, true) => answer = Some(true),
            (Source::BlockList, _) => {}
        }
    }
    answer
}

/// What an entry of the suppression list says about marketing, as webhooks tell it: of the block list nothing.
pub fn wish_of(entry: &Suppression) -> Option<Scope> {
    match entry.source {
        Source::Person | Source::Operator => Some(entry.scope),
        Source::BlockList => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact() -> Contact {
        Contact {
            id: ContactId(7),
            account: AccountKey(1),
            phone: PhoneNumber::from_international("+919876500001"),
            user_id: None,
            name: None,
            name_is_ours: false,
            tags: Tags::default(),
            first_seen: UnixMillis(10),
            last_seen: UnixMillis(10),
        }
    }

    #[test]
    fn an_id_is_read_as_it_is_written_and_is_no_messages() {
        let id = ContactId(1 << 40);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with("con_"));
        assert!(MessageId(1 << 40).to_string().parse::<ContactId>().is_err());
    }

    #[test]
    fn a_name_of_ours_stays_when_the_profile_has_another() {
        let mut person = contact();
        assert!(person.heard(None, Some(" Asha\n"), UnixMillis(20)));
        assert_eq!(person.name.as_deref(), Some("Asha"));
        assert!(!person.heard(None, Some("Asha"), UnixMillis(15)), "nothing is new");
        assert_eq!(person.last_seen, UnixMillis(20), "what comes late does not move it back");

        person.name_is_ours = true;
        assert!(!person.heard(None, Some("Asha K"), UnixMillis(30)));
        assert_eq!(person.name.as_deref(), Some("Asha"));
        assert!(person.heard(Some("IN.1"), None, UnixMillis(31)));
    }

    #[test]
    fn one_who_was_known_twice_has_the_tags_of_both_and_the_name_that_somebody_gave() {
        let tags = |words: &[&str]| Tags(words.iter().map(|word| (*word).to_owned()).collect());
        let mut person = Contact { name: Some("Asha".to_owned()), tags: tags(&["vip"]), ..contact() };
        let other = Contact {
            id: ContactId(9),
            user_id: Some("IN.1".to_owned()),
            name: Some("Asha K".to_owned()),
            name_is_ours: true,
            tags: tags(&["mumbai", "vip"]),
            first_seen: UnixMillis(5),
            last_seen: UnixMillis(50),
            ..contact()
        };

        person.absorb(&other);

        assert_eq!((person.id, person.tags.to_vec()), (ContactId(7), vec!["mumbai".to_owned(), "vip".to_owned()]));
        assert_eq!((person.name.as_deref(), person.user_id.as_deref()), (Some("Asha K"), Some("IN.1")));
        assert_eq!((person.first_seen, person.last_seen), (UnixMillis(5), UnixMillis(50)));
        let many: Vec<String> = (0..TAGS_MAX).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        person.absorb(&Contact { tags: tags(&many), ..contact() });
        assert_eq!(person.tags.to_vec().len(), TAGS_MAX);
        assert_eq!(person.name.as_deref(), Some("Asha K"), "the profile's name does not replace it");
    }

    #[test]
    fn tags_are_added_once_and_bounded() {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let tags = Tags::default().changed(&own(&[" vip ", "vip", "mumbai"]), &[]).expect("good ones");
        assert_eq!(tags.to_vec(), ["mumbai", "vip"]);
        assert_eq!(Tags::from_json(&tags.to_json()), tags);
        let fewer = tags.changed(&[], &own(&["vip"])).expect("good ones");
        assert_eq!(tags.without(&fewer), ["vip"]);
        for odd in ["", " ", "a\nb", "a,b", &"x".repeat(TAG_CHARS_MAX + 1)] {
            assert!(tags.changed(&own(&[odd]), &[]).is_err(), "{odd:?}");
        }
        let many: Vec<String> = (0..=TAGS_MAX).map(|number| number.to_string()).collect();
        assert!(tags.changed(&many, &[]).is_err());
    }
}
