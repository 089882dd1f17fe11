//! Requests of the platform that we did not accept, as people look at them: who asked, what was wrong, what we answered.
//!
//! A request is kept as it came, beside what was wrong with it. From which number and to whom it was follows from it, and so
//! does the answer, when somebody looks.

use super::{
    accept::{KINDS_KEPT, kind_name},
    directory::Snapshot,
    masking,
    operators::{Refusal, require},
    search::{TEXT_CHARS_MAX, is_number, recipient},
};
use crate::{
    domain::{
        failure,
        ids::MessageId,
        operator::{Actor, Permission},
        phone::PhoneNumber,
        time::UnixMillis,
    },
    platforms::{self, Reply},
    store::{Store, refused::RefusedFilter, story::Refused},
};

/// One that was refused. Without the permission to see people there is no request, and the numbers in it are masked.
#[derive(Clone, Debug)]
pub struct RefusedShown {
    pub id: MessageId,
    pub at: UnixMillis,
    pub account: Option<String>,
    /// One word of [`KINDS_KEPT`].
    pub kind: String,
    pub platform_message_id: Option<String>,
    /// What was wrong.
    pub why: String,
    /// From which business number, as far as that can be read.
    pub from: Option<String>,
    pub to: Option<String>,
    pub answer: Option<Reply>,
    /// As it came.
    pub request: Option<String>,
}

/// A page of them, the newest first, and where the next one begins. `text`: a platform's id, or digits of a number that stands in
/// the request: a whole one, for whoever may not see numbers.
pub async fn list(
    store: &Store,
    snapshot: &Snapshot,
    actor: &Actor,
    text: &str,
    (mut filter, limit): (RefusedFilter, usize),
) -> Result<(Vec<RefusedShown>, Option<MessageId>), Refusal> {
    require(actor, Permission::ReadMessages)?;
    let text = text.trim();
    if text.chars().count() > TEXT_CHARS_MAX {
        let text = format!("an id or a number has at most {TEXT_CHARS_MAX} characters");
        return Err(Refusal::Invalid { field: "q", text });
    }
    if is_number(text) {
        filter.within = Some(recipient(snapshot, actor, text)?.trim_start_matches('+').to_owned());
    } else if !text.is_empty() {
        filter.platform_message_id = Some(text.to_owned());
    }
    let found = store.refused(&filter, limit).await?;
    Ok((found.requests.into_iter().map(|one| shown(snapshot, actor, one)).collect(), found.next))
}

fn shown(snapshot: &Snapshot, actor: &Actor, refused: Refused) -> RefusedShown {
    let account = snapshot.account_by_key(refused.account);
    let platform = account.and_then(|account| Some((account, platforms::find(&account.platform)?)));
    let request =
        platform.and_then(|(account, platform)| platform.parse_send(account, refused.request.as_bytes()).ok());
    let whole = actor.may(Permission::ReadPersonal);
    // Of what has no meaning as a whole, the numbers may be read all the same.
    let (from, to) = match (request, platform) {
        (Some(request), _) => (request.from, request.to),
        (None, Some((_, platform))) => platform.parties_within(refused.request.as_bytes()),
        (None, None) => (String::new(), String::new()),
    };
    let country = account.and_then(|account| account.policy.default_country.as_deref());
    let to = match PhoneNumber::parse(&to, country) {
        Ok(number) => masking::number(actor, &number),
        Err(_) => masking::text(actor, &to),
    };
    let id = refused.platform_message_id.as_deref().unwrap_or_default();
    let said = |text: &str| masking::text_about(actor, text, id);
    let kind = KINDS_KEPT.into_iter().find(|kind| kind_name(*kind) == refused.kind);
    let answer = platform.zip(kind).map(|((_, platform), kind)| {
        let reply = platform.reply(Err(&failure::Refusal::new(kind, refused.answer.as_str())));
        Reply { body: said(&reply.body), ..reply }
    });
    RefusedShown {
        id: refused.id,
        at: refused.at,
        account: account.map(|account| account.id.clone()),
        kind: refused.kind,
        why: said(&refused.answer),
        platform_message_id: refused.platform_message_id,
        from: Some(from).filter(|from| !from.is_empty()),
        to: Some(to).filter(|to| !to.is_empty()),
        answer,
        request: whole.then_some(refused.request),
    }
}
