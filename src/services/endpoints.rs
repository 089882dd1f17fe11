//! By which of a provider's two endpoints a template goes.
//!
//! The template's category and the connection's setting say where a message goes first. A provider may know better: a
//! business account may have lost one of the endpoints, a template may have changed its category since the list was
//! read. Then the message is sent once more by the other endpoint, and that is remembered, or each of a campaign's
//! million messages would cost two requests. What was learned is believed for a while; after that one message
//! finds out anew. Memory of this process only: after a restart the first messages learn it again.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::directory::owner_of;
use crate::{
    domain::{
        account::Sender,
        outbound::{OutboundMessage, SendBody},
    },
    store::templates::TemplateOwner,
};

/// The templates that go by the other endpoint than the one that they ought to go by.
#[derive(Default)]
pub struct Endpoints(Mutex<HashMap<Route, Instant>>);

/// A template of a business account, in one language.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    owner: TemplateOwner,
    name: String,
    language: String,
}

/// What was learned is believed for so long.
const BELIEVED_FOR: Duration = Duration::from_secs(3600);
/// While one message finds out whether it is still so, the others go on as before.
const FINDING_OUT: Duration = Duration::from_secs(30);
/// Templates remembered at most. A business account has up to 6,000; beyond the limit a message more is asked twice.
const ROUTES_MAX: usize = 20_000;

impl Route {
    /// `None` for a message that has only one way.
    pub fn of(sender: &Sender, message: &OutboundMessage) -> Option<Self> {
        match &message.body {
            SendBody::Template(filled) => {
                Some(Self { owner: owner_of(sender), name: filled.name.clone(), language: filled.language.clone() })
            }
            SendBody::Freeform(_) => None,
        }
    }
}

impl Endpoints {
    /// Whether a message goes by the other endpoint first.
    pub fn goes_by_other(&self, route: &Route, now: Instant) -> bool {
        let mut known = self.0.lock().expect("no holder can panic");
        let Some(until) = known.get_mut(route) else { return false };
        let believed = now < *until;
        if !believed {
            *until = now + FINDING_OUT;
        }
        believed
    }

    /// A message of this template went by the other endpoint, or by the one where it ought to go.
    pub fn learn(&self, route: Route, by_other: bool, now: Instant) {
        let mut known = self.0.lock().expect("no holder can panic");
        match known.get_mut(&route) {
            Some(until) if by_other => *until = (*until).max(now + BELIEVED_FOR),
            Some(_) => drop(known.remove(&route)),
            None if by_other => {
                if known.len() >= ROUTES_MAX {
                    known.retain(|_, until| now < *until);
                }
                if known.len() < ROUTES_MAX {
                    known.insert(route, now + BELIEVED_FOR);
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ConnectionKey;

    fn route(name: &str) -> Route {
        let owner = TemplateOwner { connection: ConnectionKey(1), provider_account_id: "200000000000001".to_owned() };
        Route { owner, name: name.to_owned(), language: "en".to_owned() }
    }

    #[test]
    fn what_one_message_learned_the_next_ones_know_until_it_is_old() {
        let (endpoints, now) = (Endpoints::default(), Instant::now());
        assert!(!endpoints.goes_by_other(&route("offer"), now));

        endpoints.learn(route("offer"), true, now);

        assert!(endpoints.goes_by_other(&route("offer"), now));
        assert!(!endpoints.goes_by_other(&route("receipt"), now), "another template is another matter");
        let later = now + BELIEVED_FOR;
        assert!(!endpoints.goes_by_other(&route("offer"), later), "one message finds out");
        assert!(endpoints.goes_by_other(&route("offer"), later), "the others go on as before");
    }

    #[test]
    fn a_message_that_goes_its_own_way_again_ends_it() {
        let (endpoints, now) = (Endpoints::default(), Instant::now());
        endpoints.learn(route("offer"), true, now);

        endpoints.learn(route("offer"), false, now);

        assert!(!endpoints.goes_by_other(&route("offer"), now));
    }

    #[test]
    fn memory_is_bounded() {
        let (endpoints, now) = (Endpoints::default(), Instant::now());
        for number in 0..ROUTES_MAX + 10 {
            endpoints.learn(route(&number.to_string()), true, now);
        }

        assert_eq!(endpoints.0.lock().expect("no holder can panic").len(), ROUTES_MAX);
        let later = now + BELIEVED_FOR;
        endpoints.learn(route("new"), true, later);
        assert!(endpoints.goes_by_other(&route("new"), later), "what is old makes room");
    }
}
