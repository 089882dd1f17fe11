//! The other side of the wire: answers as the example says, and remembers what it was asked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// One answer of an example.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Answer {
    status: u16,
    /// As JSON; a string stands for exactly that text.
    body: Value,
    retry_after: Option<String>,
    headers: BTreeMap<String, String>,
    /// Close the connection without a word.
    close: bool,
}

impl Default for Answer {
    fn default() -> Self {
        let body = json!({ "messaging_product": "whatsapp", "messages": [{ "id": "wamid.DEFAULT" }] });
        Self { status: 200, body, retry_after: None, headers: BTreeMap::new(), close: false }
    }
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        if self.close {
            return Vec::new();
        }
        let body = self.body.as_str().map_or_else(|| self.body.to_string(), str::to_owned);
        let retry_after = self.retry_after.as_ref().map_or(String::new(), |wait| format!("retry-after: {wait}\r\n"));
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {} Example\r\nconnection: close\r\n{retry_after}{headers}", self.status);
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}

/// Headers that are no provider's own; the authorization is shown by itself.
const OF_EVERY_REQUEST: [&str; 7] =
    ["accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent"];

/// What was asked: the line, the authorization, headers of the provider's own, the body.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) authorization: String,
    /// Those that no client sends by itself, by their lower-case names.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Gives these answers, one connection each, and returns what it was asked when all are given or when it
/// is told that nobody else comes.
pub(crate) struct Server {
    pub(crate) url: String,
    served: JoinHandle<()>,
    asked: tokio::sync::mpsc::UnboundedReceiver<Asked>,
}

impl Server {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (remember, asked) = tokio::sync::mpsc::unbounded_channel();
        let served = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a client connects");
                remember.send(read_request(&mut stream).await).expect("the test waits for it");
                stream.write_all(&answer.bytes()).await.expect("the client reads");
            }
        });
        Self { url, served, asked }
    }

    /// Everything that was asked. An answer that nobody fetched is not waited for.
    pub(crate) fn stop(mut self) -> Vec<Asked> {
        self.served.abort();
        let mut all = Vec::new();
        while let Ok(asked) = self.asked.try_recv() {
            all.push(asked);
        }
        all
    }
}

async fn read_request(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.expect("the client writes"), 0, "the client closed");
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).expect("a head is ASCII");
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
    };
    let length: usize = header("content-length").parse().unwrap_or(0);
    while bytes.len() < head_end + length {
        assert_ne!(stream.read_buf(&mut bytes).await.expect("the client writes"), 0, "the client closed");
    }
    let own = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let own = own.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let headers = own.filter(|(name, _)| !OF_EVERY_REQUEST.contains(&name.as_str())).collect();
    Asked {
        headers,
        line: head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned(),
        authorization: header("authorization"),
        body: String::from_utf8(bytes[head_end..].to_vec()).expect("a body is UTF-8"),
    }
}
