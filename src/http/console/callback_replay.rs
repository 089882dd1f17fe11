//! Telling again: what it would be, the yes, how far it has come, and ending it early.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Form, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callback_choice::because,
    callback_url::{Head, head, title},
    callbacks::PATH,
    frame::{long_time, sentence},
    page, see_other,
};
use crate::{
    clock,
    domain::{
        ids::{Place, SubscriptionKey},
        operator::{Actor, Permission},
        replay::ReplayOf,
        words::thousands,
    },
    http::Parts,
    services::{
        callbacks, masking,
        operators::{Refusal, require},
        replay::{self, Planned, Wish, plan},
    },
    store::{configuration::Configuration, replays::Replay, told::WantedStanding},
};

/// As an address has it, and, with the token, the form.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReplayForm {
    pub(super) of: String,
    pub(super) message: String,
    pub(super) place: String,
    /// Of what was left behind: the code of the last answer, and words of why.
    pub(super) code: String,
    pub(super) reason: String,
    pub(super) since: String,
    pub(super) until: String,
    /// Events a second.
    pub(super) rate: String,
}

#[derive(Template)]
#[template(path = "console/callback_replay.html")]
struct Page {
    frame: Frame,
    head: Head,
    form: ReplayForm,
    wrong: Option<String>,
    what: &'static str,
    count: i64,
    events: String,
    /// Of a webhook, of which all are told again: when that was made.
    made: Option<String>,
}

/// A replay, while it runs and afterwards.
#[derive(Template)]
#[template(path = "console/callback_progress.html")]
pub(super) struct ReplayPart {
    pub(super) id: i32,
    pub(super) key: i32,
    what: &'static str,
    asked: String,
    open: bool,
    done: i64,
    /// At least one, because a bar of nothing is full.
    wanted: i64,
    told: String,
    of: String,
    refused: i64,
    passed: i64,
    pace: String,
    left: Option<String>,
    note: Option<String>,
    /// For those who may end it, while it goes on.
    csrf: Option<String>,
}

/// `GET /console/callbacks/{url}/replay`
pub(super) async fn look(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    key: Path<i32>,
    form: Query<ReplayForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReplayCallbacks)?;
    let (form, actor) = (form.into_inner(), &visitor.actor);
    let url = callbacks::url(&parts.store, &parts.directory.snapshot(), actor, *key).await?;
    let (count, wrong) = events_of(form.planned(&parts, actor, *key).await)?;
    let webhook = url.subscription.webhook.as_ref();
    page(&Page {
        frame: Frame::new(&request, &visitor, title(&url), PATH),
        head: head(&url, "overview"),
        what: form.what(),
        made: webhook.filter(|_| form.is_all()).map(|webhook| long_time(webhook.created_at)),
        form,
        wrong,
        count,
        events: thousands(count),
    })
}

/// `POST /console/callbacks/{url}/replay`
pub(super) async fn begin(
    parts: Data<Parts>,
    visitor: Visitor,
    key: Path<i32>,
    form: Form<ReplayForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReplayCallbacks)?;
    callbacks::subscription(&parts.directory.snapshot(), &visitor.actor, *key)?;
    let rate = form.rate()?;
    let planned = form.planned(&parts, &visitor.actor, *key).await?;
    begin_planned(&parts, &visitor, &planned, rate).await?;
    Ok(see_other(&format!("{PATH}/{key}?done=replay")))
}

/// How many events would be told again, or what must be changed first.
pub(super) fn events_of(planned: Result<Vec<Planned>, Refusal>) -> Result<(i64, Option<String>), Trouble> {
    match planned {
        Ok(planned) => Ok((planned.iter().map(|part| part.events).sum(), None)),
        Err(Refusal::Invalid { text, .. }) => Ok((0, Some(sentence(&text)))),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Tells again what there still is of what somebody saw before.
pub(super) async fn begin_planned(
    parts: &Parts,
    visitor: &Visitor,
    planned: &[Planned],
    rate: Option<i32>,
) -> Result<Vec<Replay>, Trouble> {
    if planned.is_empty() {
        return Err(Refusal::Conflict("nothing matches any more, so nothing is told again".to_owned()).into());
    }
    Ok(replay::begin(&parts.store, &visitor.actor, planned, rate).await?)
}

/// `GET /console/callbacks/{url}/replays/{id}`
pub(super) async fn progress(
    parts: Data<Parts>,
    visitor: Visitor,
    path: Path<(i32, i32)>,
) -> Result<HttpResponse, Trouble> {
    let (_, id) = path.into_inner();
    let replay = replay::one(&parts.store, &visitor.actor, id).await?;
    page(&part(&visitor, &replay))
}

/// `POST /console/callbacks/{url}/replays/{id}/stop`
pub(super) async fn stop(
    parts: Data<Parts>,
    visitor: Visitor,
    path: Path<(i32, i32)>,
) -> Result<HttpResponse, Trouble> {
    let (key, id) = path.into_inner();
    replay::stop(&parts.store, &visitor.actor, id).await?;
    Ok(see_other(&format!("{PATH}/{key}?done=stopped")))
}

impl ReplayForm {
    /// What is told again: what is dead, unless something else is said.
    pub(super) fn selection(&self) -> Result<ReplayOf, Wrong> {
        Ok(asked::one_of("of", &self.of, &ReplayOf::ALL, ReplayOf::as_str)?.unwrap_or(ReplayOf::Dead))
    }

    /// Everything, and not about one message or event.
    fn is_all(&self) -> bool {
        self.of == ReplayOf::All.as_str() && self.message.is_empty() && self.place.is_empty()
    }

    /// The same in words.
    pub(super) fn what(&self) -> &'static str {
        selection_name(self.selection().unwrap_or(ReplayOf::Dead))
    }

    pub(super) fn rate(&self) -> Result<Option<i32>, Wrong> {
        asked::read("rate", &self.rate, "events a second, a number; empty for as fast as they are taken")
    }

    /// What it means now at one URL.
    pub(super) async fn planned(&self, parts: &Parts, actor: &Actor, key: i32) -> Result<Vec<Planned>, Refusal> {
        let configuration = parts.store.load_configuration().await?;
        let wish = self.wish(parts, actor, &configuration).await?;
        let wish = Wish { subscription: Some(SubscriptionKey(key)), ..wish };
        Ok(plan(&parts.store, &configuration, &wish).await?)
    }

    /// The same at any URL.
    pub(super) async fn wish(
        &self,
        parts: &Parts,
        actor: &Actor,
        configuration: &Configuration,
    ) -> Result<Wish, Refusal> {
        let (since, until) = asked::span(&self.since, &self.until)?;
        self.rate()?;
        let place: Option<i64> = asked::read("place", &self.place, "a place in the log, which is a number")?;
        let messages = callbacks::messages_meant(&parts.store, configuration, &self.message).await?;
        let of = self.selection()?;
        let wanted = match of {
            ReplayOf::Dead => WantedStanding::Dead,
            ReplayOf::NotRelayed => WantedStanding::NotRelayed,
            ReplayOf::Delivered | ReplayOf::All => WantedStanding::Delivered,
        };
        let because = because(actor, (&self.code, &self.reason), Some(wanted))?;
        Ok(Wish { of, because, account: None, subscription: None, messages, place: place.map(Place), since, until })
    }
}

fn selection_name(of: ReplayOf) -> &'static str {
    match of {
        ReplayOf::Dead => "dead events",
        ReplayOf::NotRelayed => "events that were not relayed",
        ReplayOf::Delivered => "delivered events",
        ReplayOf::All => "events, whatever became of them",
    }
}

pub(super) fn part(visitor: &Visitor, replay: &Replay) -> ReplayPart {
    let (done, per_second) = replay::pace(replay, clock::now());
    let open = replay.finished_at.is_none();
    let rest = (replay.wanted - done).max(0);
    let left = (open && done > 0).then(|| left_for(rest, per_second));
    let limit = replay.per_second.map(|rate| format!(" (at most {} wanted)", thousands(i64::from(rate))));
    ReplayPart {
        id: replay.id,
        key: replay.subscription.0,
        what: selection_name(replay.selection.of),
        asked: long_time(replay.created_at),
        open,
        done,
        wanted: replay.wanted.max(1),
        told: thousands(replay.told),
        of: thousands(replay.wanted),
        refused: replay.refused,
        passed: replay.passed,
        pace: format!("{per_second:.1} a second on average{}", limit.unwrap_or_default()),
        left,
        note: replay.note.as_ref().map(|note| masking::text(&visitor.actor, note)),
        csrf: (open && visitor.actor.may(Permission::ReplayCallbacks)).then(|| visitor.csrf.clone()),
    }
}

fn left_for(rest: i64, per_second: f64) -> String {
    let seconds = (rest as f64 / per_second.max(0.001)).ceil();
    match seconds {
        ..60.0 => format!("about {seconds:.0} s left"),
        ..3600.0 => format!("about {:.0} min left", (seconds / 60.0).ceil()),
        _ => format!("about {:.0} h left", (seconds / 3600.0).ceil()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_the_unit_that_fits() {
        let left = |rest| left_for(rest, 10.0);
        assert_eq!(left(45), "about 5 s left");
        assert_eq!(left(1_000), "about 2 min left");
        assert_eq!(left(100_000), "about 3 h left");
    }
}
