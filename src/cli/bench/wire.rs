//! HTTP/1.1 with as little work as possible: one kept connection, whole requests as bytes, answers with a
//! Content-Length. A client with every comfort would take the processor time that is being measured.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A larger answer is not one of ours.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const ANSWER_BYTES_USUAL: usize = 1024;

pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer that is still in the connection's buffer.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// Status line and headers.
    pub(super) head: &'a str,
    pub(super) body: &'a [u8],
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // A request is one write: there is nothing to wait for.
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(ANSWER_BYTES_USUAL) })
    }

    /// Writes a whole request and reads the whole answer.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.received.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break read_head(&self.received[..end]).map(|head| Head { body_at: end + 4, ..head })?;
            }
            self.receive().await?;
        };
        let end = head.body_at + head.body_bytes;
        while self.received.len() < end {
            self.receive().await?;
        }
        let text = std::str::from_utf8(&self.received[..head.body_at]).unwrap_or_default();
        Ok(Answer { status: head.status, head: text, body: &self.received[head.body_at..end] })
    }

    async fn receive(&mut self) -> io::Result<()> {
        let bytes = self.stream.read_buf(&mut self.received).await?;
        match bytes {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if self.received.len() > ANSWER_BYTES_MAX => Err(odd("the answer does not end")),
            _ => Ok(()),
        }
    }
}

struct Head {
    status: u16,
    body_at: usize,
    body_bytes: usize,
}

fn read_head(head: &[u8]) -> io::Result<Head> {
    let head = std::str::from_utf8(head).map_err(|_| odd("the answer's head is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    match (status, length) {
        (Some(status), Some(body_bytes)) => Ok(Head { status, body_at: 0, body_bytes }),
        _ => Err(odd("the answer has no status or no Content-Length")),
    }
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A page, for whoever has the cookie.
pub(super) fn page(path: &str, cookie: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nCookie: {cookie}\r\n\r\n")
}

/// A form that is sent. The values are written as they are: letters, digits and spaces.
pub(super) fn form(path: &str, fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect();
    let body = fields.join("&");
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One request on a connection of its own, for what is asked now and then.
pub(super) async fn ask(address: SocketAddr, method: &str, path: &str, json: &str) -> io::Result<(u16, String)> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    let mut connection = Connection::open(address).await?;
    let answer = connection.exchange(request.as_bytes()).await?;
    Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_head_is_read_whatever_the_case_of_its_names() {
        let head = read_head(b"HTTP/1.1 200 OK\r\nContent-LENGTH: 20\r\nx: y").expect("a head");
        assert_eq!((head.status, head.body_bytes), (200, 20));
        assert!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").is_err());
    }

    #[tokio::test]
    async fn an_answer_that_comes_in_pieces_is_read_whole_and_the_connection_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            for piece in [
                "HTTP/1.1 200 OK\r\ncontent-",
                "length: 4\r\n\r\nab",
                "cd",
                "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            ] {
                stream.write_all(piece.as_bytes()).await.expect("the client reads");
                stream.flush().await.expect("the client reads");
                tokio::task::yield_now().await;
                if piece == "cd" {
                    stream.readable().await.expect("the client writes");
                    let mut request = [0; 16];
                    while stream.read(&mut request).await.expect("the client writes") < 2 {}
                }
            }
            stream
        });
        let mut connection = Connection::open(address).await.expect("somebody listens");

        let first = connection.exchange(b"one").await.expect("an answer");
        assert_eq!((first.status, first.body), (200, &b"abcd"[..]));
        let second = connection.exchange(b"two").await.expect("another one");
        assert_eq!((second.status, second.body), (500, &b""[..]));
        drop(serving.await.expect("the server ends well"));
    }
}
