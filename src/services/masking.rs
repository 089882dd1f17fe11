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

/// The same of a text about a message that has this id of its platform: ids tell nobody's number, and whoever looks for one must find
/// it whole.
pub fn text_about(actor: &Actor, said: &str, id: &str) -> String {
    // Of digits alone it could be a person's number.
    let is_id = id.contains(|sign: char| !sign.is_ascii_digit() && !"+ -".contains(sign));
    match is_id && !actor.may(Permission::ReadPersonal) {
        true => said.split(id).map(|part| text(actor, part)).collect::<Vec<_>>().join(id),
        false => text(actor, said),
    }
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
        let said = "7|1790000000|20261120|7|0 came for +919876500001 already";
        let seen = text_about(&actor(Role::ReadOnly), said, "7|1790000000|20261120|7|0");
        assert_eq!(seen, "7|1790000000|20261120|7|0 came for 91********01 already");
        assert_eq!(text_about(&actor(Role::ReadOnly), "to 919876500001", "919876500001"), "to 91********01");
        let person = PhoneNumber::from_international("919876500001").expect("a number");
        assert_eq!(number(&actor(Role::ReadOnly), &person), "+919******001");
    }
}
