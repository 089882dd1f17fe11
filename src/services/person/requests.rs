//! What an owner asks about one person, from the console or the API: what there is, all of it, and to erase it.
//!
//! Tables are walked through, which takes a while on a large database. So counting goes on from one short request to the next, with
//! all that it knows in what it gives back; handing over is written while it is found; and erasing is done behind the answer, with a
//! row that says how far it is ([`store::erasures`](crate::store::erasures)), so that another process goes on with it when this one dies.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Erased, Person,
    export::{Document, Section, section_of},
};
use crate::{
    domain::{
        account::Account,
        operator::{Actor, Permission},
        phone::PhoneNumber,
    },
    services::{
        directory::Directory,
        operators::{Refusal, require},
    },
    store::{
        Store, StoreError,
        audit::AuditEntry,
        erasures::{Erasure, ErasureEnd, ErasureJob, LeftErasure},
        files::Files,
    },
    telemetry,
};

/// The service.
pub struct PersonRequests {
    store: Store,
    directory: Arc<Directory>,
    files: Files,
    /// As long as a copying of a file may still write it.
    copy_timeout: Duration,
    places: Arc<Semaphore>,
}

/// Erasures at the same time: each goes through all tables.
const ERASURES_AT_ONCE_MAX: usize = 2;
/// Erasures that are shown.
pub const ERASURES_SHOWN_MAX: usize = 50;
/// How long one request counts; a slice that is begun is finished.
const COUNT_TAKES_MAX: Duration = Duration::from_millis(400);
/// Between two notes of how far an erasure is.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// A longer state was not made here.
const STATE_CHARS_MAX: usize = 1_000;

/// What was found so far, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counting {
    /// Which of the person's tables.
    table: usize,
    /// How far in it.
    reached: Option<i64>,
    pub suppressions: u64,
    pub ids: u64,
    pub files: u64,
    #[serde(default)]
    pub contacts: u64,
    pub inbound: u64,
    pub messages: u64,
    pub refused_requests: u64,
    pub webhook_parts: u64,
    /// How far it is, in hundredths.
    pub percent: u8,
    /// Everything was gone through.
    pub done: bool,
}

impl Counting {
    /// As a form or a program carries it to the next request.
    pub fn state(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("numbers can be written as JSON"))
    }

    fn read(state: &str) -> Result<Self, Refusal> {
        let invalid =
            || Refusal::Invalid { field: "after", text: "begin again: this is no state of a count".to_owned() };
        if state.len() > STATE_CHARS_MAX {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(state).map_err(|_| invalid())?;
        serde_json::from_slice(&bytes).map_err(|_| invalid())
    }

    pub fn of(&self, section: Section) -> u64 {
        match section {
            Section::Suppressions => self.suppressions,
            Section::Ids => self.ids,
            Section::Files => self.files,
            Section::Contacts => self.contacts,
            Section::Inbound => self.inbound,
            Section::Messages => self.messages,
            Section::RefusedRequests => self.refused_requests,
            Section::WebhookParts => self.webhook_parts,
        }
    }

    fn add(&mut self, section: Section, count: usize) {
        let place = match section {
            Section::Suppressions => &mut self.suppressions,
            Section::Ids => &mut self.ids,
            Section::Files => &mut self.files,
            Section::Contacts => &mut self.contacts,
            Section::Inbound => &mut self.inbound,
            Section::Messages => &mut self.messages,
            Section::RefusedRequests => &mut self.refused_requests,
            Section::WebhookParts => &mut self.webhook_parts,
        };
        *place = place.saturating_add(count as u64);
    }

    pub fn is_empty(&self) -> bool {
        Section::ALL.into_iter().all(|section| self.of(section) == 0)
    }
}

impl PersonRequests {
    pub fn new(store: Store, directory: Arc<Directory>, files: Files, copy_timeout: Duration) -> Self {
        Self { store, directory, files, copy_timeout, places: Arc::new(Semaphore::new(ERASURES_AT_ONCE_MAX)) }
    }

    /// The number that somebody typed, and the accounts that are meant.
    fn meant(&self, phone: &str, account: Option<&str>) -> Result<(PhoneNumber, Vec<Arc<Account>>), Refusal> {
        let snapshot = self.directory.snapshot();
        let accounts: Vec<Arc<Account>> = match account {
            None => snapshot.accounts_ever().cloned().collect(),
            Some(id) => snapshot.accounts_ever().filter(|account| account.id == id).cloned().collect(),
        };
        if let Some(id) = account.filter(|_| accounts.is_empty()) {
            return Err(Refusal::Invalid { field: "account", text: format!("there is no account {id}") });
        }
        let country = accounts.iter().find_map(|account| account.policy.default_country.as_deref());
        let phone = PhoneNumber::parse(phone.trim(), country);
        let wrong = "this is no whole telephone number: write it with + and country code, like +919876500001";
        Ok((phone.map_err(|_| Refusal::Invalid { field: "phone", text: wrong.to_owned() })?, accounts))
    }

    async fn find(&self, phone: &str, account: Option<&str>) -> Result<Person, Refusal> {
        let (phone, accounts) = self.meant(phone, account)?;
        Ok(Person::find(self.store.clone(), self.directory.snapshot(), phone, accounts).await?)
    }

    /// Counts what is stored about somebody; goes on from `state`, which an earlier answer gave. Gives back the number as it is
    /// written, too.
    pub async fn count(
        &self,
        actor: &Actor,
        (phone, account): (&str, Option<&str>),
        state: Option<&str>,
    ) -> Result<(PhoneNumber, Counting), Refusal> {
        require(actor, Permission::ManagePersons)?;
        let person = self.find(phone, account).await?;
        let mut counting = match state {
            Some(state) => Counting::read(state)?,
            None => Counting {
                suppressions: person.suppressions().await?.len() as u64,
                ids: person.links.len() as u64,
                files: person.files().await?.len() as u64,
                contacts: person.contacts().await?.len() as u64,
                ..Counting::default()
            },
        };
        count_on(&person, &mut counting).await?;
        Ok((person.phone, counting))
    }

    /// All of it, as a document that is written while it is found. The audit log hears of it before it begins.
    pub async fn export(&self, actor: &Actor, (phone, account): (&str, Option<&str>)) -> Result<Document, Refusal> {
        require(actor, Permission::ManagePersons)?;
        let person = self.find(phone, account).await?;
        let entry = AuditEntry::new(actor, "export person", subject(&person.phone)).after(json!({"account": account}));
        self.store.note_in_audit(&entry).await?;
        Ok(Document::new(person))
    }

    /// Begins to erase it; `again` is the number, typed once more. Says under which key it can be looked at.
    pub async fn erase(
        &self,
        actor: &Actor,
        (phone, account): (&str, Option<&str>),
        again: &str,
        suppress: bool,
    ) -> Result<i32, Refusal> {
        require(actor, Permission::ManagePersons)?;
        let person = self.find(phone, account).await?;
        let same = self.meant(again, account).is_ok_and(|(again, _)| again == person.phone);
        if !same {
            let text = "type the same number once more: there is no way back from erasing".to_owned();
            return Err(Refusal::Invalid { field: "again", text });
        }
        let busy = || Refusal::Conflict("two erasures are under way: wait until one of them is done".to_owned());
        let place = self.places.clone().try_acquire_owned().map_err(|_| busy())?;
        let entry = AuditEntry::new(actor, "erase person", subject(&person.phone))
            .after(json!({"account": account, "send_nothing_more": suppress}));
        let job = ErasureJob {
            phone: person.phone.clone(),
            account: account.map(str::to_owned),
            suppress,
            actor: actor.name.clone(),
            via: actor.via,
        };
        let key = self.store.begin_erasure(&job, &entry).await?;
        self.go_on(place, person, (key, job, Erased::default()));
        Ok(key)
    }

    /// Goes on with erasures that a dead process has left.
    pub async fn take_up(&self) -> Result<(), StoreError> {
        while let Ok(place) = self.places.clone().try_acquire_owned() {
            let Some(LeftErasure { key, job, so_far }) = self.store.take_up_erasure().await? else { break };
            let subject = subject(&job.phone);
            tracing::info!("goes on with erasing {subject}, which another process had begun");
            match self.find(job.phone.as_e164(), job.account.as_deref()).await {
                Ok(person) => self.go_on(place, person, (key, job, Erased::from_json(&so_far))),
                Err(Refusal::Store(error)) => return Err(error),
                Err(refusal) => {
                    let end = ErasureEnd::Stopped(refusal.to_string());
                    end_of(&self.store, key, &Actor::of_job(job.actor, job.via), subject, &end).await;
                }
            }
        }
        Ok(())
    }

    /// Erases behind the answer.
    fn go_on(&self, place: OwnedSemaphorePermit, person: Person, (key, job, so_far): (i32, ErasureJob, Erased)) {
        let (store, files, copy_timeout) = (self.store.clone(), self.files.clone(), self.copy_timeout);
        tokio::spawn(async move {
            let end = match erase_watched(&store, key, &person, (&files, copy_timeout), (job.suppress, so_far)).await {
                Ok(erased) => ErasureEnd::Done(erased.to_json()),
                Err(error) => {
                    tracing::error!(error = %telemetry::Chain(&error), "erasing a person's data stopped");
                    let why = "the database did not answer, see the server's log: erase again, what is gone stays gone";
                    ErasureEnd::Stopped(why.to_owned())
                }
            };
            end_of(&store, key, &Actor::of_job(job.actor, job.via), subject(&person.phone), &end).await;
            drop(place);
        });
    }

    /// Those of late, the newest first.
    pub async fn erasures(&self, actor: &Actor) -> Result<Vec<Erasure>, Refusal> {
        require(actor, Permission::ManagePersons)?;
        Ok(self.store.erasures(ERASURES_SHOWN_MAX).await?)
    }

    pub async fn erasure(&self, actor: &Actor, key: i32) -> Result<Erasure, Refusal> {
        require(actor, Permission::ManagePersons)?;
        let found = self.store.erasure(key).await?;
        found.ok_or_else(|| Refusal::NotFound(format!("there is no erasure {key}, or it was long ago")))
    }
}

/// Writes down how it ended.
async fn end_of(store: &Store, key: i32, actor: &Actor, subject: String, end: &ErasureEnd) {
    let (action, told) = match end {
        ErasureEnd::Done(counts) => ("person erased", counts.clone()),
        ErasureEnd::Stopped(why) => ("person not erased", json!({"stopped": why})),
    };
    let entry = AuditEntry::new(actor, action, subject).after(told);
    if let Err(error) = store.end_erasure(key, end, &entry).await {
        tracing::error!(error = %telemetry::Chain(&error), "the end of an erasure is not written down");
    }
}

/// How the audit log names somebody of whom nothing is to be kept.
fn subject(phone: &PhoneNumber) -> String {
    format!("person {phone}")
}

/// Counts until the time is up, or everything is.
async fn count_on(person: &Person, counting: &mut Counting) -> Result<(), StoreError> {
    let (started, tables) = (Instant::now(), person.tables());
    while let Some(table) = tables.get(counting.table) {
        let mut walk = person.store.walk(*table).await?;
        if let Some(reached) = counting.reached {
            walk = walk.from(reached);
        }
        let section = section_of(*table);
        loop {
            let found = match section {
                Section::Messages => person.next_messages(&mut walk).await?.map(|all| all.len()),
                Section::Inbound => person.next_inbound(&mut walk).await?.map(|all| all.len()),
                Section::RefusedRequests => person.next_refused(&mut walk).await?.map(|all| all.len()),
                Section::WebhookParts => person.next_kept_parts(&mut walk).await?.map(|all| all.len()),
                Section::Suppressions | Section::Ids | Section::Files | Section::Contacts => None,
            };
            let Some(found) = found else { break };
            counting.add(section, found);
            counting.reached = Some(walk.reached());
            if started.elapsed() >= COUNT_TAKES_MAX {
                let behind = (counting.table as f64 + walk.share()) / tables.len() as f64;
                counting.percent = (behind * 100.0).clamp(0.0, 99.0) as u8;
                return Ok(());
            }
        }
        (counting.table, counting.reached) = (counting.table + 1, None);
    }
    (counting.percent, counting.done) = (100, true);
    Ok(())
}

/// Erases, and notes now and then how far that is.
async fn erase_watched(
    store: &Store,
    key: i32,
    person: &Person,
    files: (&Files, Duration),
    (suppress, so_far): (bool, Erased),
) -> Result<Erased, StoreError> {
    let far = Mutex::new((0.0, so_far));
    let erasing = person.erase(files, suppress, so_far, |share, erased| {
        *far.lock().unwrap_or_else(PoisonError::into_inner) = (share, *erased);
    });
    tokio::pin!(erasing);
    loop {
        tokio::select! {
            erased = &mut erasing => return erased,
            () = tokio::time::sleep(NOTE_EVERY) => {}
        }
        let (share, erased) = *far.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = store.move_erasure(key, share, &erased.to_json()).await {
            tracing::warn!(error = %telemetry::Chain(&error), "could not note how far an erasure is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_goes_on_with_what_it_knew() {
        let counting = Counting { table: 2, reached: Some(77), messages: 5, percent: 40, ..Counting::default() };

        assert_eq!(Counting::read(&counting.state()).ok(), Some(counting));
        for odd in ["", "x", "e30", &"A".repeat(STATE_CHARS_MAX + 1)] {
            assert!(Counting::read(odd).is_err(), "{odd}");
        }
    }
}
