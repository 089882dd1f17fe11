//! What of people somebody may see: whole for those with the permission, enough to recognise for others.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use crate::{
    domain::{
        attempt::AnswerExcerpt,
        operator::{Actor, Permission},
        phone::PhoneNumber,
    },
    net::redact,
};

/// WhatsApp's ids of messages have the person's number in them, encoded.
static WAMID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\bwamid\.[A-Za-z0-9+/=_-]+").expect("the pattern is a constant that the tests compile")
});
const WAMID_MASKED: &str = "wamid.…";
const BODY_HIDDEN: &str = "…";

/// A person's number.
pub fn number(actor: &Actor, number: &PhoneNumber) -> String {
    if actor.may(Permission::ReadPersonal) { number.as_e164().to_owned() } else { number.to_string() }
}

/// The provider's id of a message.
pub fn provider_id(actor: &Actor, id: &str) -> String {
    if actor.may(Permission::ReadPersonal) { id.to_owned() } else { WAMID_MASKED.to_owned() }
}

/// What some system said, in which there may be numbers.
pub fn text(actor: &Actor, text: &str) -> String {
    if actor.may(Permission::ReadPersonal) {
        return text.to_owned();
    }
    let without_ids: Cow<'_, str> = WAMID.replace_all(text, WAMID_MASKED);
    redact::text(&without_ids)
}

/// How a webhook's receiver answered. Its body may quote what it was told, with every word that somebody wrote.
pub fn excerpt(actor: &Actor, excerpt: &AnswerExcerpt) -> AnswerExcerpt {
    let hidden = !actor.may(Permission::ReadPersonal) && !excerpt.body.is_empty();
    AnswerExcerpt {
        headers: excerpt.headers.iter().map(|(name, value)| (name.clone(), text(actor, value))).collect(),
        body: if hidden { BODY_HIDDEN.to_owned() } else { excerpt.body.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operator::{Role, Via};

    fn actor(role: Role) -> Actor {
        Actor { name: "asha".to_owned(), via: Via::Console, address: None, permissions: role.permissions() }
    }

    #[test]
    fn who_only_looks_sees_neither_numbers_nor_ids_that_hold_them() {
        let said = "sent, taken as wamid.HBgMOTE5ODc2NTAwMDAxFQIAERgS+/=, for +919876500001";
        let seen = text(&actor(Role::ReadOnly), said);
        assert_eq!(seen, "sent, taken as wamid.…, for 91********01");
        assert_eq!(text(&actor(Role::Operator), said), said);
        let person = PhoneNumber::from_international("919876500001").expect("a number");
        assert_eq!(number(&actor(Role::ReadOnly), &person), "+919******001");
    }
}
