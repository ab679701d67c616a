//! The work of a client in a process of its own, and its figures.

use std::fs;
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::feed::{Feed, Writes};
use super::{Client, Gives};
use crate::Totals;
use crate::process::wrong;
use crate::report::Figures;

/// Runs the work, and counts its allocations.
pub type Counter = fn(&mut dyn FnMut()) -> u64;

/// The number of streams that are open before memory is measured.
const IDLE_WARM_UP: usize = 20;
/// How long an idle stream is polled.
const QUIET: Duration = Duration::from_millis(1);

/// The work of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Read the feed, once.
    Once(Feed),
    /// Read the feed for about this time, after a warm-up, and measure the cost of an event.
    Read(Feed, Duration),
    /// Open this many streams, receive an event from each, and measure the memory of a stream.
    Idle(usize),
}

/// The names of the figures: of an event the CPU time in ns, the allocations and the waits; of an idle stream the bytes.
pub const FIGURES: [&str; 4] = ["cpu", "allocations", "waits", "idle"];

/// Does the work as this client.
pub(super) fn run<C: Client>(address: SocketAddr, job: Job, count: Counter) -> io::Result<Figures> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let client = C::new()?;
    match job {
        Job::Once(feed) => {
            let (found, _) = read(&runtime, &client, address, feed, count)?;
            check::<C>(feed, found)?;
            Ok(Figures::new())
        }
        Job::Read(feed, time) => {
            let once = Feed { times: 1, ..feed };
            let (found, _) = read(&runtime, &client, address, once, count)?;
            check::<C>(once, found)?;
            let feed = fill(&runtime, &client, address, once, time)?;

            let before = Usage::now()?;
            let (found, allocations) = read(&runtime, &client, address, feed, count)?;
            let after = Usage::now()?;
            check::<C>(feed, found)?;
            let events = feed.totals(Gives::Owned).events as f64;
            let (cpu, waits) = (after.cpu - before.cpu, after.waits - before.waits);
            let figures = [cpu / events, allocations as f64 / events, waits as f64 / events];
            Ok(FIGURES.map(str::to_owned).into_iter().zip(figures).collect())
        }
        Job::Idle(count) => runtime.block_on(async {
            let warm_up = open::<C>(&client, address, IDLE_WARM_UP).await?;
            let before = memory()?;
            let streams = open::<C>(&client, address, count).await?;
            let after = memory()?;
            drop((warm_up, streams));
            let idle = after.saturating_sub(before) as f64 / count as f64;
            Ok(Figures::from([(FIGURES[3].to_owned(), idle)]))
        }),
    }
}

/// Reads a feed to its end. Returns the totals and the number of allocations.
fn read<C: Client>(
    runtime: &Runtime,
    client: &C,
    address: SocketAddr,
    feed: Feed,
    count: Counter,
) -> io::Result<(Totals, u64)> {
    let mut found = io::Result::Ok(Totals::default());
    let allocations = count(&mut || {
        found = runtime.block_on(async {
            let mut totals = Totals::default();
            let mut stream = client.open(address, feed).await?;
            while C::next(&mut stream, &mut totals).await? {}
            Ok(black_box(totals))
        });
    });
    Ok((found?, allocations))
}

/// Returns the feed, repeated so often that reading takes about this time.
fn fill<C: Client>(
    runtime: &Runtime,
    client: &C,
    address: SocketAddr,
    mut feed: Feed,
    time: Duration,
) -> io::Result<Feed> {
    loop {
        let start = Instant::now();
        read(runtime, client, address, feed, |work| {
            work();
            0
        })?;
        let taken = start.elapsed();
        // A shorter time measures the start of the connection.
        if taken > time / 8 {
            let times = feed.times as f64 * time.as_secs_f64() / taken.as_secs_f64();
            return Ok(Feed { times: times.ceil() as u64, ..feed });
        }
        feed.times *= 2;
    }
}

/// Fails unless the feed has these totals.
fn check<C: Client>(feed: Feed, found: Totals) -> io::Result<()> {
    let expected = feed.totals(C::GIVES);
    if found == expected { Ok(()) } else { Err(wrong(format!("{} has found {found:?}, not {expected:?}", C::NAME))) }
}

async fn open<C: Client>(client: &C, address: SocketAddr, count: usize) -> io::Result<Vec<C::Stream>> {
    let feed = Feed { workload: "openai", writes: Writes::Idle, times: 1 };
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = client.open(address, feed).await?;
        let mut totals = Totals::default();
        while totals.data_bytes == 0 {
            if !C::next(&mut stream, &mut totals).await? {
                return Err(wrong(format!("{} has no event", C::NAME)));
            }
        }
        // Polls once more: a waiting client may use less memory than an unpolled one.
        if timeout(QUIET, C::next(&mut stream, &mut totals)).await.is_ok() {
            return Err(wrong(format!("{} has more than an event", C::NAME)));
        }
        streams.push(stream);
    }
    Ok(streams)
}

/// The resources that this process has used.
struct Usage {
    cpu: f64,
    waits: u64,
}

impl Usage {
    fn now() -> io::Result<Self> {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let waits = number_in("/proc/thread-self/status", "voluntary_ctxt_switches:")?;
        Ok(Self { cpu: time.tv_sec as f64 * 1e9 + time.tv_nsec as f64, waits })
    }
}

/// Returns the anonymous memory of this process in bytes.
fn memory() -> io::Result<u64> {
    Ok(number_in("/proc/self/smaps_rollup", "Anonymous:")? * 1024)
}

fn number_in(path: &str, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| wrong(format!("{path} has no {name}")))
}
