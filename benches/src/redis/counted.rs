//! Work that is done under a profiler, by a process of its own.

use std::env;
use std::io;
use std::process::Command;

use tokio::time::{Duration, sleep};

use super::fan::fan;
use super::fill::{catch_up, old, read_all, read_each};
use super::publish::Publish;
use super::{Place, node};
use crate::fanout::event;
use crate::report::count::parse_collected;
use crate::serve::axum::block_on;

/// What there is to do, so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Events, a thousand at a time.
    Publish,
    /// The same, one at a time.
    PublishEach,
    Read,
    ReadEach,
    CatchUp,
    FanInMemory,
    FanOnRedis,
}

impl Job {
    pub const ALL: [(&str, Self); 7] = [
        ("publish", Self::Publish),
        ("publish-each", Self::PublishEach),
        ("read", Self::Read),
        ("read-each", Self::ReadEach),
        ("catch-up", Self::CatchUp),
        ("fan-in-memory", Self::FanInMemory),
        ("fan-on-redis", Self::FanOnRedis),
    ];
}

/// Does it.
///
/// # Errors
///
/// Those of the server.
pub fn work(job: Job, url: &str, events: u64, subscribers: u64) -> io::Result<()> {
    block_on(async {
        match job {
            Job::Publish => publish(url, events, 1000).await,
            Job::PublishEach => publish(url, events, 1).await,
            Job::Read => read_all(url, events, || ()).await,
            Job::ReadEach => read_each(url, events).await,
            Job::CatchUp => {
                let first = old(url, events).await?;
                catch_up(&node(url).await?, first, events).await
            }
            Job::FanInMemory => fan(None, subscribers, events, 1, || ()).await,
            Job::FanOnRedis => fan(Some(url), subscribers, events, 1, || ()).await,
        }
    })
}

async fn publish(url: &str, events: u64, burst: u64) -> io::Result<()> {
    let (hub, mut text) = (node(url).await?, String::new());
    for first in (0..events).step_by(burst as usize) {
        let publishing: Vec<_> = (first..first + burst)
            .map(|number| {
                event::write(&mut text, number, 0);
                Publish::publish(&hub, &text)
            })
            .collect();
        for published in publishing {
            published.await?;
        }
    }
    while hub.log().status().entries < events {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// How many instructions of its own that takes, if there is valgrind.
pub(super) fn instructions(place: &Place, job: Job, events: u64, subscribers: u64) -> io::Result<Option<f64>> {
    place.wipe();
    let name = Job::ALL.iter().find(|(_, known)| *known == job).map_or("", |(name, _)| name);
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe()?);
    valgrind.args(["--job", name, &place.url(), &events.to_string(), &subscribers.to_string()]);
    let output = match valgrind.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = parse_collected(&said).filter(|_| output.status.success());
    collected.map(Some).ok_or_else(|| io::Error::other(format!("callgrind on {name}: {said}")))
}
