//! Reading bodies: no more, no longer and no more at once than we are willing to.

use std::time::Duration;

use actix_web::{
    http::StatusCode,
    web::{Bytes, BytesMut, Payload},
};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A request that never became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProblem {
    TooLarge {
        limit_bytes: usize,
    },
    TooSlow,
    Broken,
    /// Others have taken all the room that there is.
    NoRoom,
}

/// A body must be complete within this time of its headers.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

impl BodyProblem {
    pub fn message(self) -> String {
        match self {
            Self::TooLarge { limit_bytes } => {
                format!("the body is larger than the {limit_bytes} bytes that are accepted here; make it smaller")
            }
            Self::TooSlow => format!("the body was not complete after {} seconds", BODY_TIME_MAX.as_secs()),
            Self::Broken => "the body broke off".to_owned(),
            Self::NoRoom => "too much is being sent at once; send it again".to_owned(),
        }
    }

    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Reads a body of a caller whom we know, or a small one.
pub async fn read_body(payload: Payload, limit_bytes: usize) -> Result<Bytes, BodyProblem> {
    in_time(gather(payload, limit_bytes, |_| Ok(()))).await
}

async fn in_time<T>(reading: impl Future<Output = Result<T, BodyProblem>>) -> Result<T, BodyProblem> {
    tokio::time::timeout(BODY_TIME_MAX, reading).await.unwrap_or(Err(BodyProblem::TooSlow))
}

/// Puts a body together. Before bytes are kept, `make_room` is told how many there will be.
///
/// A body waits for its commit, and many do at once: it takes what it needs, not the 32 KiB that the framework's own
/// collector begins with, nor a slice of its connection's buffer that keeps all of that.
async fn gather(
    mut payload: Payload,
    limit_bytes: usize,
    mut make_room: impl FnMut(usize) -> Result<(), BodyProblem>,
) -> Result<Bytes, BodyProblem> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyProblem::Broken)?;
        let length = bytes.len() + chunk.len();
        if length > limit_bytes {
            return Err(BodyProblem::TooLarge { limit_bytes });
        }
        make_room(length)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Memory for the bodies of callers who can prove who they are only by the whole body. It is taken as bytes arrive, so
/// those who send slowly, or not at all, take none from others.
#[derive(Debug)]
pub struct BodyRoom(Semaphore);

/// A body, and the room that it takes until it is dropped.
pub struct RoomyBody<'a> {
    pub bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

/// What a permit stands for: counting single bytes would overflow.
const ROOM_UNIT_BYTES: usize = 1024;

impl BodyRoom {
    pub fn new(bytes: usize) -> Self {
        Self(Semaphore::new((bytes / ROOM_UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS)))
    }

    /// Reads a body of at most so many bytes.
    pub async fn read(&self, payload: Payload, limit_bytes: usize) -> Result<RoomyBody<'_>, BodyProblem> {
        let mut room: Option<SemaphorePermit<'_>> = None;
        let bytes = in_time(gather(payload, limit_bytes, |length| {
            let taken = room.as_ref().map_or(0, SemaphorePermit::num_permits);
            let needed = length.div_ceil(ROOM_UNIT_BYTES) - taken;
            let needed = u32::try_from(needed).map_err(|_| BodyProblem::TooLarge { limit_bytes })?;
            let more = self.0.try_acquire_many(needed).map_err(|_| BodyProblem::NoRoom)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            Ok(())
        }))
        .await?;
        Ok(RoomyBody { bytes, _room: room })
    }
}
