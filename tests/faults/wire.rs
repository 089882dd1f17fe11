//! A wire that can be harmed: it carries connections to a server, and cuts them, forgets them, or is slow.
//!
//! It is also what a floating address or a load balancer would be: new connections go to whoever is named now, in turn when
//! several are.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How the wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Sound,
    /// Connections are closed, and new ones at once.
    Cut,
    /// Nothing arrives any more in either direction, and nobody is told. What was connected then, or tried to, is never
    /// heard of again, also when the wire is sound for others.
    HalfOpen,
    /// Sound until the next COMMIT: that arrives, its answer does not, and the wire is half open.
    HalfOpenAtCommit,
    /// So long does everything take that the server says.
    Slow(Duration),
}

#[derive(Clone)]
struct State {
    condition: Condition,
    servers: Vec<SocketAddr>,
}

pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    listening: JoinHandle<()>,
}

/// As the driver writes it.
const COMMIT: &[u8] = b"COMMIT";
const PORTION_BYTES: usize = 64 * 1024;

impl Wire {
    pub(crate) async fn to(servers: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(watch::Sender::new(State { condition: Condition::Sound, servers }));
        let shared = state.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, shared.clone()));
            }
        });
        Ok(Self { address, state, listening })
    }

    pub(crate) fn set(&self, condition: Condition) {
        self.state.send_modify(|state| state.condition = condition);
    }

    /// New connections go there.
    pub(crate) fn lead_to(&self, servers: Vec<SocketAddr>) {
        self.state.send_modify(|state| state.servers = servers);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn carry(client: TcpStream, state: Arc<watch::Sender<State>>) {
    let condition = state.borrow().condition;
    match condition {
        Condition::Cut => {}
        Condition::HalfOpen => swallow(client).await,
        Condition::Sound | Condition::HalfOpenAtCommit | Condition::Slow(_) => {
            let server = next_server(&state.borrow().servers);
            if let Ok(server) = TcpStream::connect(server).await {
                carry_between(client, server, &state).await;
            }
        }
    }
}

fn next_server(servers: &[SocketAddr]) -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    servers[NEXT.fetch_add(1, Ordering::Relaxed) % servers.len()]
}

async fn carry_between(mut client: TcpStream, mut server: TcpStream, state: &watch::Sender<State>) {
    // What waits to be sent together is not the delay that is meant here.
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let mut seen = state.subscribe();
    let harmed = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            () = forward(from_client, to_server, |portion| fall_silent_at_commit(state, portion)) => return,
            () = forward(from_server, to_client, |_| delay(state)) => return,
            harmed = seen.wait_for(|state| !passes(state.condition)) => harmed.map(|state| state.condition),
        }
    };
    if harmed.is_ok_and(|condition| condition == Condition::HalfOpen) {
        let forgotten = async {
            // The server finds out by itself, some time later, as its operating system does.
            drop(seen.wait_for(|state| state.condition != Condition::HalfOpen).await);
            drop(server);
        };
        tokio::join!(swallow(client), forgotten);
    }
}

fn passes(condition: Condition) -> bool {
    match condition {
        Condition::Sound | Condition::HalfOpenAtCommit | Condition::Slow(_) => true,
        Condition::Cut | Condition::HalfOpen => false,
    }
}

fn delay(state: &watch::Sender<State>) -> Duration {
    match state.borrow().condition {
        Condition::Slow(delay) => delay,
        Condition::Sound | Condition::Cut | Condition::HalfOpen | Condition::HalfOpenAtCommit => Duration::ZERO,
    }
}

/// Nothing is slow this way.
fn fall_silent_at_commit(state: &watch::Sender<State>, portion: &[u8]) -> Duration {
    if portion.windows(COMMIT.len()).any(|bytes| bytes == COMMIT) {
        state.send_if_modified(|state| {
            let now = state.condition == Condition::HalfOpenAtCommit;
            if now {
                state.condition = Condition::HalfOpen;
            }
            now
        });
    }
    Duration::ZERO
}

async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: impl Fn(&[u8]) -> Duration) {
    let mut portion = vec![0; PORTION_BYTES];
    while let Ok(length @ 1..) = from.read(&mut portion).await {
        let delay = delay(&portion[..length]);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&portion[..length]).await.is_err() {
            return;
        }
    }
}

/// Takes what comes and says nothing, until the other side gives up.
async fn swallow(mut client: TcpStream) {
    drop(tokio::io::copy(&mut client, &mut tokio::io::sink()).await);
}
