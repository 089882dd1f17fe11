//! The events that all callback URLs are to hear of, in one list, the newest first, and what became of each.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callback_again,
    callback_choice::{Choices, ChosenUrls, account_of, because, trying_href, url_name},
    callback_events::{Results, Row, TELL_ALL, TRY_ALL, replay_of, row, state_choices},
    callback_exchanges::Next,
    callbacks::{self, Choice, EVENTS_PATH},
    frame::{long_time, sentence, wants_part},
    page,
};
use crate::{
    domain::{
        callback::Subscription,
        operator::{Actor, Permission},
    },
    http::Parts,
    services::{
        callback_events::{Chosen, Found, Wanted, list as list_events},
        callbacks::messages_meant,
        directory::Snapshot,
        operators::{Refusal, require},
    },
    store::{
        told::{FoundCallback, WantedStanding},
        told_together::Positions,
    },
};

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AllForm {
    account: String,
    /// CleverTap's URLs, or webhooks'.
    of: String,
    /// A URL by its number.
    url: String,
    kind: String,
    state: String,
    /// An id of ours, the platform's or the provider's.
    message: String,
    /// The code of the last answer.
    code: String,
    reason: String,
    since: String,
    until: String,
    /// Where the page before ended.
    before: String,
}

#[derive(Template)]
#[template(path = "console/all_events.html")]
struct Page {
    frame: Frame,
    here: &'static str,
    form: AllForm,
    choices: Choices,
    states: Vec<Choice>,
    may_search_text: bool,
    results: Results,
}

/// `GET /console/callbacks/events`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<AllForm>,
) -> Result<HttpResponse, Trouble> {
    let (actor, form) = (&visitor.actor, form.into_inner());
    require(actor, Permission::ReadMessages)?;
    let snapshot = parts.directory.snapshot();
    let results = match form.found(&parts, &snapshot, actor).await {
        Ok(found) => results(&parts, &snapshot, actor, &form, found),
        Err(Refusal::Invalid { text, .. }) => Results::wrong(sentence(&text)),
        Err(refusal) => return Err(refusal.into()),
    };
    if wants_part(&request) {
        return page(&results);
    }
    page(&Page {
        frame: Frame::new(&request, &visitor, "Callback events", callbacks::PATH),
        here: "events",
        choices: Choices::of(&snapshot, &form.urls()),
        states: state_choices(),
        may_search_text: actor.may(Permission::ReadPersonal),
        form,
        results,
    })
}

fn results(parts: &Parts, snapshot: &Snapshot, actor: &Actor, form: &AllForm, found: Found) -> Results {
    let back_to = found.events.back_to.map(long_time);
    let next = found.events.next.map(|next| Next { href: form.at(&next.to_string()), back_to });
    let of_its_url = |(subscription, found): (Arc<Subscription>, FoundCallback)| {
        let mut row = row(parts, snapshot, actor, &subscription, found);
        row.url = Some((url_name(snapshot, &subscription), account_of(snapshot, &subscription)));
        row
    };
    let rows: Vec<Row> = found.events.callbacks.into_iter().map(of_its_url).collect();
    let (looked_at, urls) = (found.looked_at, found.urls);
    let note = (looked_at < urls).then(|| {
        format!(
            "Only {looked_at} of {urls} URLs are looked through at once: choose an account, or one URL, for the others."
        )
    });
    let act = form.act().filter(|_| actor.may(Permission::ReplayCallbacks) && !rows.is_empty());
    Results { wrong: None, note, is_filtered: form.is_filtered(), rows, next, act }
}

impl AllForm {
    fn urls(&self) -> ChosenUrls<'_> {
        ChosenUrls { account: &self.account, of: &self.of, url: &self.url, kind: &self.kind }
    }

    fn others(&self) -> [(&'static str, &str); 6] {
        [
            ("state", &self.state),
            ("message", &self.message),
            ("code", &self.code),
            ("reason", &self.reason),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    fn is_filtered(&self) -> bool {
        !self.urls().is_any() || self.others().into_iter().any(|(_, text)| !text.is_empty())
    }

    fn state(&self) -> Result<Option<WantedStanding>, Wrong> {
        asked::one_of("state", &self.state, &WantedStanding::ALL, WantedStanding::as_str)
    }

    async fn found(&self, parts: &Parts, snapshot: &Snapshot, actor: &Actor) -> Result<Found, Refusal> {
        let (chosen, mut wanted) = self.wanted(snapshot, actor)?;
        let from: Option<Positions> = asked::read("before", &self.before, "what a list’s next page has")?;
        let configuration = parts.store.load_configuration().await?;
        wanted.messages = messages_meant(&parts.store, &configuration, &self.message).await?;
        let from_where = (&parts.store, snapshot, &parts.settings.retention);
        list_events(from_where, actor, (&chosen, &wanted), (from.as_ref(), LINES_PER_PAGE)).await
    }

    /// What is looked for, but for the message; `Err` says what to change.
    fn wanted(&self, snapshot: &Snapshot, actor: &Actor) -> Result<(Chosen, Wanted), Wrong> {
        let (since, until) = asked::span(&self.since, &self.until)?;
        let state = self.state()?;
        let because = because(actor, (&self.code, &self.reason), state)?;
        Ok((self.urls().read(snapshot)?, Wanted { wanted: state, because, messages: None, since, until }))
    }

    fn at(&self, before: &str) -> String {
        asked::address(EVENTS_PATH, self.urls().fields().into_iter().chain(self.others()).chain([("before", before)]))
    }

    /// Where those that match are told again, or tried now.
    fn act(&self) -> Option<(&'static str, String)> {
        match self.state().ok()? {
            Some(WantedStanding::Owed | WantedStanding::Retrying) => Some((TRY_ALL, trying_href(self.urls().fields()))),
            // Everything at all URLs is nothing that somebody means by chance.
            None => None,
            wanted => {
                let of = replay_of(wanted, !self.code.is_empty() || !self.reason.is_empty())?;
                let others = self.others().into_iter().filter(|(name, _)| *name != "state");
                let fields = self.urls().fields().into_iter().chain([("replay", of)]).chain(others);
                Some((TELL_ALL, asked::address(callback_again::PATH, fields)))
            }
        }
    }
}
