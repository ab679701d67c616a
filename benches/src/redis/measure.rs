//! What is measured, each as figures of one run.

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::counted::{Job, instructions};
use super::fan::fan;
use super::fill::{catch_up, old, range, read_all};
use super::publish::{ByHand, Load, Publish, rate, raw_rate, read};
use super::{Place, latency, node};
use crate::report::Figures;
use crate::serve::axum::block_on;

/// Who publishes. The first two by hand read all of it as well, as a node does.
pub const PUBLISHERS: [&str; 6] = [OURS, "xadd-xread", "publish-subscribe", "xadd", "publish", "raw"];
/// Who is read on another node.
pub const READERS: [&str; 3] = [OURS, "xadd-xread", "publish-subscribe"];
pub const OURS: &str = "ssekit";
/// How many events a second are published then, and for how many seconds.
pub const RATES: [(u64, u64); 2] = [(100, 5), (10_000, 3)];
pub const QUANTILES: [f64; 2] = [0.5, 0.99];
/// Where the log of a hub is that has subscribers in its process, and what hands events out by it one by one.
pub const HUBS: [(&str, Job); 2] = [("in memory", Job::FanInMemory), ("on Redis", Job::FanOnRedis)];
pub const SUBSCRIBERS: u64 = 1000;
/// How many events there are at once when they go as fast as they can.
pub const BURST: u64 = 100;
/// How many old events there are.
pub const OLD: u64 = 90_000;

const WARM_UP: Duration = Duration::from_millis(200);
const TIME: Duration = Duration::from_secs(1);
const BURSTS: [(u64, u64); 2] = [(300, 1), (100, BURST)];
/// With how many events instructions are counted, and that is less those of the first.
const COUNTED: [u64; 2] = [2000, 10_000];
const COUNTED_EACH: [u64; 2] = [200, 1200];
/// With how many subscribers, likewise, and how many events.
const COUNTED_SUBSCRIBERS: [u64; 2] = [100, 500];
const COUNTED_FANNED: u64 = 100;

/// What there is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Publishing,
    Latency,
    Fan,
    Reading,
    Instructions,
}

impl What {
    pub const ALL: [(&str, Self); 5] = [
        ("publishing", Self::Publishing),
        ("latency", Self::Latency),
        ("fan", Self::Fan),
        ("reading", Self::Reading),
        ("instructions", Self::Instructions),
    ];
}

/// The time for each event that is acknowledged, in ns.
pub fn publishing_id(load: Load, name: &str) -> String {
    format!("publishing/{load:?}/{name}")
}

/// The CPU time for it, of this process, in ns.
pub fn publishing_cpu_id(load: Load, name: &str) -> String {
    format!("publishing-cpu/{load:?}/{name}")
}

/// How many events were in a batch.
pub fn batch_id(load: Load) -> String {
    format!("batch/{load:?}")
}

/// From publishing to reading on another node, in ns, of which so many of 1 take less.
pub fn latency_id(rate: u64, quantile: f64, name: &str) -> String {
    format!("latency/{rate}/{quantile}/{name}")
}

/// The time for each delivery, with so many events at once, in ns.
pub fn fan_id(burst: u64, hub: &str) -> String {
    format!("fan/{burst}/{hub}")
}

/// The CPU time for it.
pub fn fan_cpu_id(burst: u64, hub: &str) -> String {
    format!("fan-cpu/{burst}/{hub}")
}

/// Its instructions.
pub fn fan_instructions_id(hub: &str) -> String {
    format!("fan-instructions/{hub}")
}

/// The time for each entry that a node reads, or a late client or `XRANGE` by hand, in ns.
pub fn reading_id(what: &str) -> String {
    format!("reading/{what}")
}

/// The CPU time for it, of this process.
pub fn reading_cpu_id(what: &str) -> String {
    format!("reading-cpu/{what}")
}

/// Instructions for each event.
pub fn instructions_id(job: &str) -> String {
    format!("instructions/{job}")
}

/// All of it, or some, once.
///
/// # Errors
///
/// Those of the server.
pub fn run(place: &Place, has: impl Fn(What) -> bool) -> io::Result<Figures> {
    let mut figures = Figures::new();
    for (name, what) in What::ALL.iter().filter(|(_, what)| has(*what)) {
        eprintln!("  {name}");
        match what {
            What::Publishing => publishing(place, &mut figures)?,
            What::Latency => latencies(place, &mut figures)?,
            What::Fan => fans(place, &mut figures)?,
            What::Reading => reading(place, &mut figures)?,
            What::Instructions => count(place, &mut figures)?,
        }
    }
    Ok(figures)
}

/// Of this process.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn publishing(place: &Place, figures: &mut Figures) -> io::Result<()> {
    let url = &place.url();
    for load in Load::ALL {
        for name in PUBLISHERS {
            place.wipe();
            let has_stream = name.starts_with("xadd");
            let (rate, cpu) = if name == "raw" {
                raw_rate(place.0.addr(), load, WARM_UP)?;
                let before = cpu();
                (raw_rate(place.0.addr(), load, TIME)?, cpu() - before)
            } else {
                block_on(async {
                    if name == OURS {
                        let hub = node(url).await?;
                        let before = hub.log().status();
                        let rates = rate_warm(&hub, load).await?;
                        let after = hub.log().status();
                        let batch =
                            (after.published - before.published) as f64 / (after.batches - before.batches) as f64;
                        figures.insert(batch_id(load), batch);
                        return Ok(rates);
                    }
                    let _reading = match name.contains('-') {
                        true => Some(read(url, has_stream, |_| ()).await?),
                        false => None,
                    };
                    rate_warm(&ByHand::new(url, has_stream).await?, load).await
                })?
            };
            eprintln!("    {load:?}, {name}: {rate:.0}");
            figures.insert(publishing_id(load, name), 1e9 / rate);
            figures.insert(publishing_cpu_id(load, name), cpu / (rate * TIME.as_secs_f64()));
        }
    }
    Ok(())
}

/// The rate, and the CPU time.
async fn rate_warm(publisher: &impl Publish, load: Load) -> io::Result<(f64, f64)> {
    rate(publisher, load, WARM_UP).await?;
    let before = cpu();
    Ok((rate(publisher, load, TIME).await?, cpu() - before))
}

fn latencies(place: &Place, figures: &mut Figures) -> io::Result<()> {
    let url = &place.url();
    for (rate, seconds) in RATES {
        for name in READERS {
            place.wipe();
            let time = Duration::from_secs(seconds);
            let times = block_on(async {
                match name {
                    OURS => latency::of_nodes(url, rate, time).await,
                    name => latency::by_hand(url, name.starts_with("xadd"), rate, time).await,
                }
            })?;
            for quantile in QUANTILES {
                let time = times.quantile(quantile).map(|time| (latency_id(rate, quantile, name), time as f64));
                figures.extend(time);
            }
        }
    }
    Ok(())
}

fn fans(place: &Place, figures: &mut Figures) -> io::Result<()> {
    let url = place.url();
    for (bursts, burst) in BURSTS {
        for (hub, job) in HUBS {
            place.wipe();
            let url = (job == Job::FanOnRedis).then_some(&*url);
            let (time, cpu) = block_on(async {
                let (time, before) = fan(url, SUBSCRIBERS, bursts, burst, || (Instant::now(), cpu())).await?;
                Ok((time.elapsed().as_nanos() as f64, cpu() - before))
            })?;
            let deliveries = (bursts * burst * SUBSCRIBERS) as f64;
            figures.insert(fan_id(burst, hub), time / deliveries);
            figures.insert(fan_cpu_id(burst, hub), cpu / deliveries);
        }
    }
    Ok(())
}

fn reading(place: &Place, figures: &mut Figures) -> io::Result<()> {
    let url = &place.url();
    let mut insert = |what: &str, (time, before): (Instant, f64)| {
        figures.insert(reading_id(what), time.elapsed().as_nanos() as f64 / OLD as f64);
        figures.insert(reading_cpu_id(what), (cpu() - before) / OLD as f64);
    };
    let begin = || (Instant::now(), cpu());
    place.wipe();
    let begun = block_on(async { read_all(url, OLD, begin).await })?;
    insert("read", begun);
    place.wipe();
    block_on(async {
        let first = old(url, OLD).await?;
        let hub = node(url).await?;
        let begun = begin();
        catch_up(&hub, first, OLD).await?;
        insert("catch-up", begun);
        let begun = begin();
        range(url, first, OLD).await?;
        insert("xrange", begun);
        Ok(())
    })
}

fn count(place: &Place, figures: &mut Figures) -> io::Result<()> {
    let each = |job: Job, counts: [u64; 2]| {
        let [few, many] = counts.map(|events| instructions(place, job, events, 0));
        Ok::<_, io::Error>(few?.zip(many?).map(|(few, many)| (many - few) / (counts[1] - counts[0]) as f64))
    };
    for (name, job) in Job::ALL {
        let counted = match job {
            Job::PublishEach | Job::ReadEach => each(job, COUNTED_EACH)?,
            Job::Publish | Job::Read | Job::CatchUp => each(job, COUNTED)?,
            Job::FanInMemory | Job::FanOnRedis => None,
        };
        figures.extend(counted.map(|counted| (instructions_id(name), counted)));
    }
    for (hub, job) in HUBS {
        let [few, many] = COUNTED_SUBSCRIBERS.map(|subscribers| instructions(place, job, COUNTED_FANNED, subscribers));
        let deliveries = (COUNTED_SUBSCRIBERS[1] - COUNTED_SUBSCRIBERS[0]) * (COUNTED_FANNED + 10);
        let counted = few?.zip(many?).map(|(few, many)| (many - few) / deliveries as f64);
        figures.extend(counted.map(|counted| (fan_instructions_id(hub), counted)));
    }
    Ok(())
}
