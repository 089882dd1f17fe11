//! Who must not be sent what, asked before every message.
//!
//! The database is the truth. Each instance keeps eight bytes for every entry in memory, so that the answer for
//! nearly everybody costs no more than a hash; only a hit asks the database, for the date and the reason, and to be
//! sure. Changes arrive in the order of their commits: those of this instance at once, those of others and of
//! commands within [`LOOK_EVERY`].
//!
//! Beyond `limits.suppressions_in_memory` entries the memory is given up, and every message costs one look-up.

use std::{collections::HashSet, sync::RwLock, time::Duration};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        ids::AccountKey,
        outbound::Category,
        phone::PhoneNumber,
        suppression::{PersonHash, PersonHasher, Scope, Source, Suppression},
    },
    pulse::Pulse,
    store::{
        Store, StoreError,
        suppressions::{Entry, Seen},
        wakeups::Wakeups,
    },
    telemetry,
};

pub struct Suppressions {
    store: Store,
    hasher: PersonHasher,
    entries_max: usize,
    held: RwLock<Held>,
    /// How far the changes are read. Locked while somebody reads on.
    seen: Mutex<Seen>,
}

enum Held {
    Entries(HashSet<u64>),
    TooMany,
}

/// How often to look without having been woken.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After this time every instance knows of a change that any process made; two looks, for one may just have begun.
pub const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// Entries read at once.
const PAGE: usize = 5_000;

impl Suppressions {
    /// Reads all that there are. Holds at most `entries_max` of them in memory.
    pub async fn load(store: Store, entries_max: usize) -> Result<Self, StoreError> {
        let suppressions = Self {
            hasher: store.person_hasher().await?.clone(),
            store,
            entries_max,
            held: RwLock::new(Held::Entries(HashSet::new())),
            seen: Mutex::default(),
        };
        suppressions.refresh().await?;
        Ok(suppressions)
    }

    /// Why a message of this category is not to be sent to this person, if it is not.
    pub async fn find(
        &self,
        account: AccountKey,
        recipient: &PhoneNumber,
        category: Category,
    ) -> Result<Option<Suppression>, StoreError> {
        let person = self.hasher.of_phone(recipient);
        if !self.is_possible(account, person, category) {
            return Ok(None);
        }
        let found = self.store.suppressions_of(account, person).await?;
        Ok(found.into_iter().find(|suppression| suppression.scope.covers(category)))
    }

    fn is_possible(&self, account: AccountKey, person: PersonHash, category: Category) -> bool {
        match &*self.held.read().expect("no holder can panic") {
            Held::TooMany => true,
            Held::Entries(entries) => Source::ALL.into_iter().any(|source| {
                let covering = [Scope::All, Scope::Marketing].into_iter().filter(|scope| scope.covers(category));
                covering.into_iter().any(|scope| entries.contains(&place(account, person, source, scope)))
            }),
        }
    }

    /// Reads what has changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        loop {
            let (changes, reached) = self.store.suppressions_after(&seen, PAGE).await?;
            self.take_over(&changes);
            *seen = reached;
            if changes.len() < PAGE {
                return Ok(());
            }
        }
    }

    fn take_over(&self, changes: &[Entry]) {
        let mut held = self.held.write().expect("no holder can panic");
        let Held::Entries(entries) = &mut *held else { return };
        for change in changes {
            for scope in [Scope::All, Scope::Marketing] {
                let place = place(change.account, change.person, change.source, scope);
                if change.lifted || scope != change.scope {
                    entries.remove(&place);
                } else {
                    entries.insert(place);
                }
            }
        }
        if entries.len() > self.entries_max {
            tracing::warn!(
                "there are more than {} suppressed people; from now on the database is asked before each message. \
                 Raise limits.suppressions_in_memory and restart",
                self.entries_max
            );
            *held = Held::TooMany;
        }
    }

    /// Keeps the memory fresh until `stop`.
    pub async fn follow(&self, wakeups: &Wakeups, stop: &CancellationToken, pulse: Pulse) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = wakeups.of_suppressions().notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.refresh().await {
                Ok(()) => pulse.beat(),
                Err(error) => {
                    tracing::error!(error = %telemetry::Chain(&error), "could not look for changes of the suppression list");
                }
            }
        }
        pulse.end();
    }
}

/// An entry's eight bytes: the lowest three bits say which of a person's entries it is.
fn place(account: AccountKey, person: PersonHash, source: Source, scope: Scope) -> u64 {
    let which = match (source, scope) {
        (Source::Person, Scope::Marketing) => 0,
        (Source::Person, Scope::All) => 1,
        (Source::BlockList, Scope::Marketing) => 2,
        (Source::BlockList, Scope::All) => 3,
        (Source::Operator, Scope::Marketing) => 4,
        (Source::Operator, Scope::All) => 5,
    };
    person.at(account) & !0b111 | which
}
