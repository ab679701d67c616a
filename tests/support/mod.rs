//! What the end-to-end tests are made with.

pub(crate) mod example;
pub(crate) mod live;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod webdriver;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, process as this};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Only a failure takes this long.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// On a machine that has not started it lately, a browser has a great deal to read first.
pub(crate) const START: Duration = Duration::from_secs(60);

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Looks again and again, until there is something to see.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A request over a connection of its own.
pub(crate) async fn request(addr: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
    Ok(connect(addr).await?.send_request(request).await?)
}

/// A connection for several requests.
pub(crate) async fn connect(addr: SocketAddr) -> Result<http1::SendRequest<Full<Bytes>>> {
    let io = TokioIo::new(TcpStream::connect(addr).await?);
    let (sender, connection) = http1::handshake(io).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// An empty directory, which goes with the test.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        // Not below `target`: the browser makes a socket in it, whose path must be short.
        let path = env::temp_dir().join(format!("ssekit-{name}-{}", this::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
