//! Files from outside, taken piece by piece: through the same door as everything else, never whole in memory, and
//! never more of them than was agreed.

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;

use super::{
    exchange::{Answer, Exchange, NoAnswer, OutgoingRequest},
    no_answer::classify,
    redact,
};

/// The beginning of an answer.
pub enum Opened {
    /// A 200 whose body is the file.
    File(Download),
    /// Anything else.
    Answer(Answer),
}

/// A file on its way.
pub struct Download {
    response: reqwest::Response,
    bytes_max: u64,
    taken: u64,
    /// As the other side names it.
    pub content_type: Option<String>,
}

/// A file did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the file broke off: {0}")]
    Off(NoAnswer),
}

impl Exchange {
    /// Makes one request whose answer may be a file of at most `bytes_max`. The request's timeout is for all of it.
    pub async fn open(&self, request: OutgoingRequest<'_>, bytes_max: u64) -> Result<Opened, NoAnswer> {
        let shown_url = redact::url(request.url);
        let request = self.prepare(request)?;
        let response = self.client.execute(request).await.map_err(classify)?;
        tracing::debug!(url = shown_url, "opened {shown_url}: {}", response.status().as_u16());
        if response.status().as_u16() != 200 {
            return self.read(response).await.map(Opened::Answer);
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        Ok(Opened::File(Download { response, bytes_max, taken: 0, content_type }))
    }
}

impl Download {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        // What is announced as too large need not be taken first.
        if self.response.content_length().is_some_and(|announced| announced > self.bytes_max) {
            return Err(Broken::TooLarge(self.bytes_max));
        }
        let piece = self.response.chunk().await.map_err(|error| Broken::Off(classify(error)))?;
        self.taken += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.taken > self.bytes_max { Err(Broken::TooLarge(self.bytes_max)) } else { Ok(piece) }
    }
}
