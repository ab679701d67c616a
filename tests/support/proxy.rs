//! The network between browser and server, as bad as wanted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What becomes of the connections, those that are open too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Carried,
    /// Carried for so many more bytes from the server, over all of them.
    CutAfter(usize),
    /// Closed with no word.
    Cut,
    /// Given an answer that is no event stream.
    Refused,
}

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    server: SocketAddr,
    fate: Arc<watch::Sender<Fate>>,
    refusals: Arc<watch::Sender<usize>>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let proxy = Self { addr, server, fate: Arc::new(watch::Sender::new(Fate::Carried)), refusals: Arc::default() };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((browser, _)) = listener.accept().await {
                let proxy = accepting.clone();
                tokio::spawn(async move { proxy.meet(browser).await });
            }
        });
        proxy
    }

    pub(crate) fn set(&self, fate: Fate) {
        self.fate.send_replace(fate);
    }

    /// How many requests for an event stream have been refused yet.
    pub(crate) fn refusals(&self) -> usize {
        *self.refusals.borrow()
    }

    async fn meet(&self, mut browser: TcpStream) -> io::Result<()> {
        let fate = *self.fate.borrow();
        match fate {
            Fate::Carried | Fate::CutAfter(_) => self.carry(browser).await,
            Fate::Cut => Ok(()),
            Fate::Refused => {
                // Closed with the request unread, the connection would be reset, and the answer might be lost.
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && browser.read_buf(&mut head).await? > 0 {}
                browser.write_all(UNAVAILABLE).await?;
                let is_stream = head.starts_with(b"GET /events");
                self.refusals.send_modify(|refusals| *refusals += usize::from(is_stream));
                browser.shutdown().await
            }
        }
    }

    async fn carry(&self, mut browser: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(self.server).await?;
        let (mut from_browser, mut to_browser) = browser.split();
        let (mut from_server, mut to_server) = server.split();
        let answer = async {
            let mut buffer = [0; 4096];
            loop {
                let read = from_server.read(&mut buffer).await?;
                let allowed = self.allow(read);
                to_browser.write_all(&buffer[..allowed]).await?;
                if read == 0 || allowed < read {
                    return Ok(());
                }
            }
        };
        let mut fates = self.fate.subscribe();
        let cut = fates.wait_for(|fate| matches!(fate, Fate::Cut | Fate::Refused));
        tokio::select! {
            // The bytes that are allowed are sent before the cut that they bring about.
            biased;
            ended = answer => ended,
            ended = tokio::io::copy(&mut from_browser, &mut to_server) => ended.map(|_| ()),
            _ = cut => Ok(()),
        }
    }

    fn allow(&self, bytes: usize) -> usize {
        let mut allowed = bytes;
        self.fate.send_modify(|fate| match *fate {
            Fate::CutAfter(left) if left <= bytes => (allowed, *fate) = (left, Fate::Cut),
            Fate::CutAfter(left) => *fate = Fate::CutAfter(left - bytes),
            Fate::Carried => {}
            Fate::Cut | Fate::Refused => allowed = 0,
        });
        allowed
    }
}
