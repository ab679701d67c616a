//! Floors: no HTTP but a fixed head, and then the same bytes to each connection. It has no keep-alive, and nobody is let
//! go but for an error.

use std::cell::RefCell;
use std::fmt::Write;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::publisher::{self, Jobs, Topic};
use crate::serve::axum::{block_on, to_tokio};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
    transfer-encoding: chunked\r\n\r\n";
/// How many bytes are kept for those that lag behind. More would be a gap.
const KEPT: usize = 16 << 20;

/// Each event is a chunk and a write.
pub(super) fn serve(listener: TcpListener, jobs: Jobs) -> io::Result<()> {
    serve_with(listener, jobs, false)
}

/// All that is due at a time is one.
pub(super) fn serve_joined(listener: TcpListener, jobs: Jobs) -> io::Result<()> {
    serve_with(listener, jobs, true)
}

fn serve_with(listener: TcpListener, jobs: Jobs, is_joined: bool) -> io::Result<()> {
    block_on(LocalSet::new().run_until(async {
        let listener = to_tokio(listener)?;
        let clients = Rc::new(RefCell::new(Clients::default()));
        let topic = Log { clients: Rc::clone(&clients), events: String::new(), is_joined };
        tokio::task::spawn_local(publisher::run(jobs, topic));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let clients = Rc::clone(&clients);
            tokio::task::spawn_local(async move {
                if answer(&stream).await.is_ok() {
                    let mut clients = clients.borrow_mut();
                    let position = clients.end();
                    clients.list.push(Client { stream, position });
                }
            });
        }
    }))
}

/// Reads the request, which comes in one piece, and answers with the head.
async fn answer(stream: &TcpStream) -> io::Result<()> {
    stream.async_io(Interest::READABLE, || stream.try_read(&mut [0; 1024])).await?;
    // The first that is written fits.
    stream.async_io(Interest::WRITABLE, || stream.try_write(HEAD)).await.map(drop)
}

struct Client {
    stream: TcpStream,
    /// How many bytes it has been written.
    position: usize,
}

/// All connections, and the bytes for them.
#[derive(Default)]
struct Clients {
    list: Vec<Client>,
    /// The last ones, in chunks.
    bytes: Vec<u8>,
    /// The position of the first of them.
    first: usize,
}

impl Clients {
    fn end(&self) -> usize {
        self.first + self.bytes.len()
    }

    /// Makes these a chunk, and writes to each what it has not yet been written. True if somebody does not take it.
    fn write(&mut self, events: &str) -> bool {
        if self.bytes.len() > KEPT {
            // In halves, so that not each write moves what is kept.
            self.first += KEPT / 2;
            self.bytes.drain(..KEPT / 2);
        }
        if !events.is_empty() {
            // Writing to a `Vec` has no way to fail.
            let _ = io::Write::write_fmt(&mut self.bytes, format_args!("{:x}\r\n{events}\r\n", events.len()));
        }
        let (end, mut is_left) = (self.end(), false);
        self.list.retain_mut(|client| {
            let Some(left) = client.position.checked_sub(self.first) else { return false };
            if client.position == end {
                return true;
            }
            match client.stream.try_write(&self.bytes[left..]) {
                Ok(n) => client.position += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            is_left |= client.position < end;
            true
        });
        is_left
    }
}

/// The topic of such a server.
struct Log {
    clients: Rc<RefCell<Clients>>,
    events: String,
    is_joined: bool,
}

impl Topic for Log {
    fn publish(&mut self, text: &str) {
        // Writing to a `String` has no way to fail.
        let _ = write!(self.events, "data: {text}\n\n");
        if !self.is_joined {
            self.clients.borrow_mut().write(&self.events);
            self.events.clear();
        }
    }

    fn flush(&mut self) -> bool {
        let is_left = self.clients.borrow_mut().write(&self.events);
        self.events.clear();
        is_left
    }
}
