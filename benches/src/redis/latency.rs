//! How long it takes from publishing on one node to who reads it on another.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use memchr::memmem;
use ssekit_server::hub::Subscribe;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::publish::{ByHand, Publish, Reading, read};
use super::{TOPIC, node};
use crate::fanout::event;
use crate::fanout::histogram::Histogram;
use crate::process::wrong;
use crate::serve::feed::now;

const TICK: Duration = Duration::from_millis(1);
/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_millis(300);

type Times = Arc<Mutex<(u64, Histogram)>>;

/// By a node of ours to another.
pub(super) async fn of_nodes(url: &str, rate: u64, time: Duration) -> io::Result<Histogram> {
    let (one, other) = (node(url).await?, node(url).await?);
    let mut body = other.subscribe(Subscribe::topic(TOPIC)).map_err(io::Error::other)?.into_body();
    let times = Times::default();
    let task: JoinHandle<()> = tokio::spawn({
        let times = times.clone();
        async move {
            while let Some(Ok(chunk)) = body.next().await {
                take(&times, &chunk);
            }
        }
    });
    let histogram = publish(&one, &times, rate, time).await;
    task.abort();
    histogram
}

/// By hand.
pub(super) async fn by_hand(url: &str, has_stream: bool, rate: u64, time: Duration) -> io::Result<Histogram> {
    let times = Times::default();
    let _reading: Reading = read(url, has_stream, {
        let times = times.clone();
        move |block| take(&times, block)
    })
    .await?;
    publish(&ByHand::new(url, has_stream).await?, &times, rate, time).await
}

fn take(times: &Times, chunk: &[u8]) {
    let now = now();
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    for at in memmem::find_iter(chunk, event::START) {
        if let Some((_, time)) = event::parse(&chunk[at..]) {
            times.0 += 1;
            times.1.add(now.saturating_sub(time), 1);
        }
    }
}

async fn publish(publisher: &impl Publish, times: &Times, rate: u64, time: Duration) -> io::Result<Histogram> {
    sleep(PATIENCE).await;
    let (mut ticks, mut text) = (interval(TICK), String::new());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut published, mut due) = (0, 0.0);
    let mut last = tokio::spawn(async { Ok(()) });
    for _ in 0..time.as_millis() / TICK.as_millis() {
        ticks.tick().await;
        due += rate as f64 * TICK.as_secs_f64();
        while published < due as u64 {
            event::write(&mut text, published, now());
            last = tokio::spawn(publisher.publish(&text));
            published += 1;
        }
    }
    last.await??;
    sleep(PATIENCE).await;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    match times.0 == published {
        true => Ok(times.1.clone()),
        false => Err(wrong(format!("{} of {published} events", times.0))),
    }
}
