//! Somebody on the way who misbehaves: a proxy before the simulator that loses answers, cuts them, lets callers hang, floods
//! them, sends them elsewhere. What it is not told to harm it passes on unchanged.
//!
//! It keeps a book of what it did to whom, so that a scenario can ask whether the right thing followed.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What is done to one request instead of passing it on, or to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misdeed {
    /// Passed on; the connection closes without an answer.
    LosesAnswer,
    /// Passed on; of the answer's body a part arrives, then the connection is reset.
    CutsBody,
    /// Passed on; what comes back is a page for people.
    AnswersPage,
    /// Passed on; the answer never ends.
    Floods,
    /// Passed on; the answer comes at one byte a second.
    Trickles,
    /// Read, and reset.
    Resets,
    /// Read, and nothing happens any more.
    FallsSilent,
    /// Read, and answered in another protocol.
    SpeaksGarbage,
    /// Refused with this status, and perhaps the wish to come again after so many seconds.
    Refuses(u16, Option<u32>),
    /// Sent elsewhere: to [`ELSEWHERE`], where nobody should come.
    Redirects,
}

impl Misdeed {
    /// Whether the simulator saw the request.
    pub(crate) fn passes_on(self) -> bool {
        match self {
            Self::LosesAnswer | Self::CutsBody | Self::AnswersPage | Self::Floods | Self::Trickles => true,
            Self::Resets | Self::FallsSilent | Self::SpeaksGarbage | Self::Refuses(..) | Self::Redirects => false,
        }
    }
}

/// One request that was harmed, or one to the same place that was not.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) body: String,
    pub(crate) misdeed: Option<Misdeed>,
}

/// Which requests, and what is done to them in turn.
#[derive(Clone, Debug)]
pub(crate) struct Harm {
    /// The path contains this.
    pub(crate) path: String,
    /// `None` is a request that is let through. Empty: all are.
    pub(crate) turns: Vec<Option<Misdeed>>,
}

const ELSEWHERE: &str = "/elsewhere";
/// More than anybody should take of an answer, and than the system takes for them.
const FLOOD_BYTES: usize = 64 << 20;
const GIVEN_UP_IS_SEEN_AFTER: Duration = Duration::from_millis(200);
const HEAD_BYTES_MAX: usize = 64 << 10;

pub(crate) struct Peer {
    url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    url: String,
    behind: String,
    client: reqwest::Client,
    harms: Mutex<Vec<(Harm, usize)>>,
    book: Mutex<Vec<Deed>>,
    most_taken: AtomicUsize,
    kept_waiting: AtomicUsize,
    most_kept_waiting: AtomicUsize,
    came_elsewhere: AtomicUsize,
}

impl Peer {
    /// In front of this URL.
    pub(crate) async fn start(behind: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(State {
            url: url.clone(),
            behind: behind.to_owned(),
            client: reqwest::Client::builder().no_proxy().build()?,
            harms: Mutex::default(),
            book: Mutex::default(),
            most_taken: AtomicUsize::new(0),
            kept_waiting: AtomicUsize::new(0),
            most_kept_waiting: AtomicUsize::new(0),
            came_elsewhere: AtomicUsize::new(0),
        });
        let served = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = served.clone();
                // A caller who goes away is no news here.
                tokio::spawn(async move { state.serve(stream).await.ok() });
            }
        });
        Ok(Self { url, state, task })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on, and nothing else.
    pub(crate) fn harm(&self, harms: Vec<Harm>) {
        *self.state.harms.lock().expect("no holder can panic") = harms.into_iter().map(|harm| (harm, 0)).collect();
    }

    /// All requests to harmed places, in the order in which they came.
    pub(crate) fn book(&self) -> Vec<Deed> {
        self.state.book.lock().expect("no holder can panic").clone()
    }

    /// The most bytes of one endless answer that could be written.
    pub(crate) fn most_taken(&self) -> usize {
        self.state.most_taken.load(Ordering::Relaxed)
    }

    /// The most requests that waited at a time for an answer that never came.
    pub(crate) fn most_kept_waiting(&self) -> usize {
        self.state.most_kept_waiting.load(Ordering::Relaxed)
    }

    /// How many requests followed a redirect.
    pub(crate) fn came_elsewhere(&self) -> usize {
        self.state.came_elsewhere.load(Ordering::Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Request {
    method: String,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl State {
    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut read = Vec::new();
        while let Some(request) = next_request(&mut stream, &mut read).await? {
            if request.path.starts_with(ELSEWHERE) {
                self.came_elsewhere.fetch_add(1, Ordering::Relaxed);
            }
            match self.turn(&request) {
                None => {
                    let Answer { head, body } = self.pass_on(&request).await?;
                    stream.write_all(head.as_bytes()).await?;
                    stream.write_all(&body).await?;
                }
                // Afterwards the connection is good for nothing.
                Some(misdeed) => return self.commit(misdeed, &request, stream).await,
            }
        }
        Ok(())
    }

    /// What is to be done to this request.
    fn turn(&self, request: &Request) -> Option<Misdeed> {
        let mut harms = self.harms.lock().expect("no holder can panic");
        let (harm, turn) = harms.iter_mut().find(|(harm, _)| request.path.contains(&harm.path))?;
        let misdeed = harm.turns.get(*turn % harm.turns.len().max(1)).copied().flatten();
        *turn += 1;
        let body = String::from_utf8_lossy(&request.body).into_owned();
        self.book.lock().expect("no holder can panic").push(Deed { body, misdeed });
        misdeed
    }

    async fn commit(&self, misdeed: Misdeed, request: &Request, mut stream: TcpStream) -> anyhow::Result<()> {
        let answer = if misdeed.passes_on() { Some(self.pass_on(request).await?) } else { None };
        match misdeed {
            Misdeed::LosesAnswer => {}
            Misdeed::CutsBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"messaging_product\"").await?;
                stream.flush().await?;
                // Time for it to arrive before the reset overtakes it.
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.set_zero_linger()?;
            }
            Misdeed::AnswersPage => {
                let page = "<html><body>Welcome to our network! Please log in.</body></html>";
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n", page.len());
                stream.write_all(format!("{head}Connection: close\r\n\r\n{page}").as_bytes()).await?;
            }
            Misdeed::Floods => self.flood(stream).await?,
            Misdeed::Trickles => {
                let Answer { head, body } = answer.context("it was passed on")?;
                stream.write_all(head.as_bytes()).await?;
                for byte in body {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    stream.write_all(&[byte]).await?;
                }
            }
            Misdeed::Resets => stream.set_zero_linger()?,
            Misdeed::FallsSilent => self.fall_silent(stream).await?,
            Misdeed::SpeaksGarbage => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\0\x01\x02\xff\xfe\r\n\r\n").await?,
            Misdeed::Refuses(status, retry_after) => {
                let again = retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
                let head = format!("HTTP/1.1 {status} Sorry\r\n{again}Content-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
            Misdeed::Redirects => {
                let head = "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nConnection: close\r\n";
                stream.write_all(format!("{head}Location: {}{ELSEWHERE}\r\n\r\n", self.url).as_bytes()).await?;
            }
        }
        Ok(())
    }

    /// Until the other side has had enough.
    async fn fall_silent(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        self.kept_waiting.fetch_add(1, Ordering::Relaxed);
        let mut byte = [0];
        let gone = stream.read(&mut byte);
        tokio::pin!(gone);
        let result = tokio::select! {
            result = &mut gone => result,
            // Who gave up in order to come again is gone by then, however busy the machine is.
            () = tokio::time::sleep(GIVEN_UP_IS_SEEN_AFTER) => {
                self.most_kept_waiting.fetch_max(self.kept_waiting.load(Ordering::Relaxed), Ordering::Relaxed);
                gone.await
            }
        };
        self.kept_waiting.fetch_sub(1, Ordering::Relaxed);
        result?;
        Ok(())
    }

    async fn flood(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {FLOOD_BYTES}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let (piece, mut taken) = (vec![b' '; 1 << 16], 0);
        while taken < FLOOD_BYTES && stream.write_all(&piece).await.is_ok() {
            taken += piece.len();
            self.most_taken.fetch_max(taken, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn pass_on(&self, request: &Request) -> anyhow::Result<Answer> {
        let method = reqwest::Method::from_bytes(request.method.as_bytes())?;
        let sent = self.client.request(method, format!("{}{}", self.behind, request.path));
        let answer = sent.headers(request.headers.clone()).body(request.body.clone()).send().await?;
        let mut head = format!("HTTP/1.1 {}\r\n", answer.status());
        for name in [CONTENT_TYPE, RETRY_AFTER] {
            if let Some(value) = answer.headers().get(&name) {
                head.push_str(&format!("{name}: {}\r\n", value.to_str()?));
            }
        }
        let body = answer.bytes().await?.to_vec();
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        Ok(Answer { head, body })
    }
}

/// `None` when the caller is done. What belongs to the request after it stays in `read`.
async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> anyhow::Result<Option<Request>> {
    const END: &[u8] = b"\r\n\r\n";
    let head_end = loop {
        if let Some(at) = read.windows(END.len()).position(|bytes| bytes == END) {
            break at + END.len();
        }
        anyhow::ensure!(read.len() < HEAD_BYTES_MAX, "the head is too long");
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(read.drain(..head_end).collect())?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().context("a request line")?.split(' ');
    let (method, path) = words.next().zip(words.next()).context("a method and a path")?;
    let (mut headers, mut length) = (HeaderMap::new(), 0);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse()?,
            "host" | "connection" | "transfer-encoding" => {}
            name => drop(headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?)),
        }
    }
    while read.len() < length {
        anyhow::ensure!(stream.read_buf(read).await? > 0, "the caller went away");
    }
    let body = read.drain(..length).collect();
    Ok(Some(Request { method: method.to_owned(), path: path.to_owned(), headers, body }))
}
