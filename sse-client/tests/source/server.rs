//! A server on raw sockets that follows a script, even where it violates HTTP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest wait for something that happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The head of a stream that ends with the connection.
pub(crate) const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// The head of a stream in HTTP chunks.
pub(crate) const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A step of the server after it has read the request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Writes all bytes at once.
    Write(Vec<u8>),
    /// Writes byte by byte.
    Trickle(Vec<u8>),
    /// Waits until the client has returned this many items.
    Seen(usize),
    /// Makes the end of the connection a reset.
    Reset,
    /// Keeps the connection open until the client closes it.
    Hold,
}

pub(crate) fn write(bytes: impl AsRef<[u8]>) -> Act {
    Act::Write(bytes.as_ref().to_vec())
}

/// Writes one HTTP chunk.
pub(crate) fn chunk(bytes: impl AsRef<[u8]>) -> Act {
    let bytes = bytes.as_ref();
    Act::Write([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}

pub(crate) fn status(line: &str, headers: &str, body: &str) -> Act {
    write(format!("HTTP/1.1 {line}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()))
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// The method and the path.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Returns all values of a header field.
    pub(crate) fn header(&self, name: &str) -> Vec<&[u8]> {
        self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| &**value).collect()
    }
}

/// A server that handles one connection after the other by its script, and then answers 204, which ends the source.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<VecDeque<Vec<Act>>>>,
    seen: watch::Sender<usize>,
    acts: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(script: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, watcher) = watch::channel(0);
        let (done, acts) = watch::channel(0);
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let task = tokio::spawn(serve(listener, script.clone(), requests.clone(), watcher, done));
        Self { addr, requests, script, seen, acts, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Adds connections to the script.
    pub(crate) fn plan(&mut self, script: Vec<Vec<Act>>) {
        self.script.lock().unwrap().extend(script);
    }

    /// Notes that the client has returned another item.
    pub(crate) fn saw_one(&self) {
        self.seen.send_modify(|seen| *seen += 1);
    }

    /// Waits until the server has done this many acts.
    pub(crate) async fn did(&mut self, acts: usize) {
        timeout(SOON, self.acts.wait_for(|done| *done >= acts)).await.unwrap().unwrap();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    script: Arc<Mutex<VecDeque<Vec<Act>>>>,
    requests: Arc<Mutex<Vec<Request>>>,
    mut seen: watch::Receiver<usize>,
    done: watch::Sender<usize>,
) {
    let end = vec![write("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")];
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let acts = script.lock().unwrap().pop_front().unwrap_or_else(|| end.clone());
        let Some(request) = read_request(&mut stream).await else { continue };
        requests.lock().unwrap().push(request);
        for act in acts {
            // An error means that the client has gone.
            let _ = match act {
                Act::Write(bytes) => stream.write_all(&bytes).await,
                Act::Trickle(bytes) => trickle(&mut stream, &bytes).await,
                Act::Seen(items) => {
                    seen.wait_for(|seen| *seen >= items).await.unwrap();
                    Ok(())
                }
                Act::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
                Act::Hold => stream.read(&mut [0]).await.map(drop),
            };
            done.send_modify(|done| *done += 1);
        }
    }
}

async fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Reads a request. Returns `None` if the client closes the connection instead.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let read = timeout(SOON, stream.read_buf(&mut bytes)).await.unwrap();
        read.ok().filter(|n| *n > 0)?;
    };
    let mut lines = bytes[..head].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let line = String::from_utf8(lines.next().unwrap().to_vec()).unwrap();
    let headers: Vec<_> = lines
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let name = String::from_utf8(line[..colon].to_ascii_lowercase()).unwrap();
            (name, line[colon + 1..].trim_ascii().to_vec())
        })
        .collect();
    let mut request = Request { line: line.rsplit_once(' ').unwrap().0.to_owned(), headers, body: Vec::new() };
    let length = request
        .header("content-length")
        .first()
        .map_or(0, |value| String::from_utf8(value.to_vec()).unwrap().parse().unwrap());
    while bytes.len() < head + 4 + length {
        assert!(timeout(SOON, stream.read_buf(&mut bytes)).await.unwrap().unwrap() > 0);
    }
    request.body = bytes[head + 4..].to_vec();
    Some(request)
}
