//! A program that reads an event stream, between a server of the test's and what it prints.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::process::{command, signal};
use crate::support::{SOON, example};

pub(crate) struct Server(TcpListener);

impl Server {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.local_addr().unwrap())
    }

    /// The next request.
    pub(crate) async fn request(&self) -> (Connection, Request) {
        let (mut stream, _) = timeout(SOON, self.0.accept()).await.unwrap().unwrap();
        let mut bytes = Vec::new();
        let request = loop {
            assert!(timeout(SOON, stream.read_buf(&mut bytes)).await.unwrap().unwrap() > 0, "{bytes:?}");
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let request = Request { head, body: bytes[end + 4..].to_vec() };
            let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
            if request.body.len() >= length {
                break request;
            }
        };
        (Connection(stream), request)
    }

    /// The next request, which is answered by an event stream.
    pub(crate) async fn opened(&self) -> (Connection, Request) {
        let (mut connection, request) = self.request().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").await;
        (connection, request)
    }

    /// The next request, which is answered by this: the status, header fields, and the body.
    pub(crate) async fn refused(&self, status: u16, fields: &str, body: &str) -> Request {
        let (mut connection, request) = self.request().await;
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n");
        connection.write(head + body).await;
        request
    }
}

pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Its end is that of the response.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn write(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// Waits until the client has gone.
    pub(crate) async fn gone(mut self) {
        assert_eq!(timeout(SOON, self.0.read(&mut [0])).await.unwrap().unwrap_or_default(), 0);
    }
}

/// An example, for arguments and variables to be added to.
pub(crate) fn tool(name: &str) -> Command {
    loopback(command(&example::program(name)))
}

/// The same, with a file as its standard input.
pub(crate) fn tool_with_input(name: &str, input: &Path) -> Command {
    let mut command = command(Path::new("sh"));
    command.args(["-c", r#"exec <"$0"; exec "$@""#]).arg(input).arg(example::program(name));
    loopback(command)
}

/// The same, with a terminal as its standard output, and these arguments, as a shell takes them.
pub(crate) fn tool_on_a_terminal(name: &str, arguments: &str) -> Command {
    let mut command = command(Path::new("sh"));
    let program = example::program(name);
    // A child of its own, since it waits for whichever ends.
    command.args(["-c", r#"script -qec "$0" /dev/null; exit $?"#]).env("TERM", "xterm");
    command.arg(format!("'{}' {arguments} 2>/dev/null", program.display()));
    loopback(command)
}

fn loopback(mut command: Command) -> Command {
    // Whatever proxies this machine has.
    command.env("NO_PROXY", "127.0.0.1").env_remove("no_proxy");
    command
}

pub(crate) struct Tool {
    child: Child,
    /// Its end is that of the group.
    stdin: Option<ChildStdin>,
    out: Option<ChildStdout>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Tool {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), out: child.stdout.take(), err, child }
    }

    /// What it prints next is this.
    pub(crate) async fn prints(&mut self, text: &str) {
        let mut read = Vec::new();
        let out = self.out.as_mut().unwrap();
        while read.len() < text.len() {
            let mut rest = AsyncReadExt::take(&mut *out, (text.len() - read.len()) as u64);
            let n = timeout(SOON, rest.read_buf(&mut read)).await;
            let n = n.unwrap_or_else(|_| panic!("not {text:?} in time, but {:?}", String::from_utf8_lossy(&read)));
            assert!(n.unwrap() > 0, "not {text:?}, but {:?} and the end", String::from_utf8_lossy(&read));
        }
        assert_eq!(String::from_utf8_lossy(&read), text);
    }

    /// The next line on its standard error.
    pub(crate) async fn said(&mut self) -> String {
        timeout(SOON, self.err.next_line()).await.expect("it says something in time").unwrap().unwrap_or_default()
    }

    /// The next line on its standard error is this.
    pub(crate) async fn says(&mut self, line: &str) {
        assert_eq!(self.said().await, line);
    }

    pub(crate) fn close_output(&mut self) {
        self.out = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id().expect("it has not ended"), name);
    }

    /// Waits for its end by this status, behind which it has printed and said nothing more than this.
    pub(crate) async fn ends(mut self, status: i32, printed: &str, said: &str) {
        let (out, err) = self.ended(status).await;
        assert_eq!((&*out, &*err), (printed, said));
    }

    /// The same: what else it has printed and said.
    pub(crate) async fn ended(&mut self, status: i32) -> (String, String) {
        let ended = timeout(SOON, self.child.wait()).await.expect("it ends in time").unwrap();
        // The group's end, which has these open too.
        self.stdin = None;
        let (mut out, mut err) = (Vec::new(), String::new());
        let rest = async {
            if let Some(stdout) = &mut self.out {
                stdout.read_to_end(&mut out).await.unwrap();
            }
            while let Some(line) = self.err.next_line().await.unwrap() {
                err += &line;
                err.push('\n');
            }
        };
        timeout(SOON, rest).await.unwrap();
        assert_eq!(ended.code(), Some(status), "{err}");
        (String::from_utf8_lossy(&out).into_owned(), err)
    }
}
