//! What is kept of what was said to a provider about a message.
//!
//! Of what the provider took: its answer, and a hash of the request. Requests are built from what is stored anyway, so one that is built
//! again and has the same hash is what was sent, and a second copy of each would only be a write. Of tests, and of tries that were not
//! taken: everything, word for word, within limits that a storm of refusals does not pass.

use crate::{
    domain::account::Connection,
    net::{
        excerpt::word_for_word,
        exchange::{Recorded, Tape},
    },
    services::per_minute::PerMinute,
    store::send_exchanges::{Said, SendExchange, Taken, request_hash},
};

/// Tests of which is kept what was said. A platform that gives no ids makes a test of everything.
const TESTS_PER_MINUTE: u32 = 30;
/// Tries that were not taken, of which is kept what was said. Their failures are all kept.
const REFUSED_PER_MINUTE: u32 = 120;
/// Of a request so much is kept. Meta's longest, ten cards, has some twenty thousand bytes.
const REQUEST_BYTES_MAX: usize = 32 * 1024;
/// Of an answer that is kept word for word.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// Of the answer to a message that was taken: it is kept of every message. Meta's has some two hundred bytes.
const TAKEN_BYTES_MAX: usize = 1024;

/// Decides what is kept.
#[derive(Default)]
pub struct Taping {
    tests: PerMinute,
    refused: PerMinute,
}

impl Taping {
    /// What is kept of one try.
    pub(super) fn keep(&self, tape: &Tape, connection: &Connection, is_test: bool, is_taken: bool) -> Said {
        let recorded = std::mem::take(&mut *tape.lock().expect("no holder can panic"));
        let is_kept = (is_test && self.tests.one_more(TESTS_PER_MINUTE))
            || (!is_taken && self.refused.one_more(REFUSED_PER_MINUTE));
        let cut = |text: &[u8], bytes_max| word_for_word(text, bytes_max, connection.secrets.values().flatten());
        let last = recorded.last().filter(|_| is_taken);
        let taken = last.and_then(|last| {
            let (_, answer) = last.answer.as_ref().ok()?;
            let answer = cut(answer, TAKEN_BYTES_MAX);
            Some(Taken { request_hash: request_hash(&last.body), answer })
        });
        let exchange = |recorded: &Recorded| SendExchange {
            attempt: None,
            started_at: recorded.started_at,
            took_ms: i32::try_from(recorded.took.as_millis()).unwrap_or(i32::MAX),
            url: recorded.url.clone(),
            request: cut(&recorded.body, REQUEST_BYTES_MAX),
            http_status: recorded.answer.as_ref().ok().and_then(|(status, _)| i16::try_from(*status).ok()),
            answer: match &recorded.answer {
                Ok((_, body)) => cut(body, ANSWER_BYTES_MAX),
                Err(why) => why.clone(),
            },
        };
        let exchanges = if is_kept { recorded.iter().map(exchange).collect() } else { vec![] };
        Said { taken, exchanges }
    }
}
