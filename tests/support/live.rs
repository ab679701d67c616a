//! The example `live`, as its own process.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyStream, Full};
use hyper::Request;
use ssekit::EventStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::process::{Process, command};
use super::{SOON, request};

/// Where cargo puts it: beside the directory of this test.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join("live");
    // `cargo test` has just built it, but `cargo test --test browser` has not.
    if is_older_than_its_source(&program) {
        let name = match profile.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            name => name,
        };
        let status = std::process::Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "live", "--profile", name, "--target-dir"])
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(status.unwrap().success(), "cargo cannot build the example live");
    }
    program
});

fn is_older_than_its_source(program: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    let Ok(built) = modified(program) else { return true };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join("live");
    source.read_dir().unwrap().any(|entry| modified(&entry.unwrap().path()).unwrap() > built)
}

pub(crate) struct Live {
    process: Process,
    pub(crate) addr: SocketAddr,
}

/// An event as the page shows it, and as the server sends it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) data: String,
}

impl Live {
    /// Starts it on a free port, or again on the one it had.
    pub(crate) async fn start(addr: Option<SocketAddr>, tail: &Path) -> Self {
        let deadline = Instant::now() + SOON;
        let wanted = addr.map_or_else(|| "127.0.0.1:0".to_owned(), |addr| addr.to_string());
        loop {
            let mut command = command(&PROGRAM);
            let mut process = Process::start("live", command.args(["--addr", &wanted, "--tail"]).arg(tail)).unwrap();
            match process.says("ssekit live is listening on http://", SOON).await {
                Ok(addr) => return Self { addr: addr.strip_suffix('/').unwrap().parse().unwrap(), process },
                // The port may not be free again at once.
                Err(_) if addr.is_some() && Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
                Err(status) => panic!("live has ended: {status}"),
            }
        }
    }

    /// Gives it no chance to say goodbye.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await;
    }

    /// The first `count` records that this process has sent, once it has, by a client that is not a browser.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        // It sends all that it has to a client that comes from another process.
        let get = Request::get("/events").header("host", self.addr.to_string()).header("last-event-id", "0-0");
        let response = timeout(SOON, request(self.addr, get.body(Full::<Bytes>::default()).unwrap())).await;
        let body = BodyStream::new(response.unwrap().unwrap().into_body());
        let mut events = Box::pin(EventStream::new(body.try_filter_map(async |frame| Ok(frame.into_data().ok()))));
        let deadline = Instant::now() + SOON;
        let mut records = Vec::new();
        while records.len() < count {
            let event = timeout_at(deadline, events.next()).await;
            let Ok(Some(Ok(event))) = event else { panic!("not {count} records, but {records:#?}, then {event:?}") };
            if event.event_type == "line" {
                records.push(Record { id: event.last_event_id.to_string(), data: event.data.to_string() });
            }
        }
        records
    }
}
