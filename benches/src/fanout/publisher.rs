//! What publishes, in the server's process and on its thread.

use std::str::FromStr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::event;
use crate::serve::feed::now;

/// How long the publisher waits at least. What is due by then goes out in one go.
const TICK: Duration = Duration::from_millis(1);

/// What a server is to publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    pub events: u64,
    /// How many in a second.
    pub rate: f64,
    pub stamp: Stamp,
}

/// Which time an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// When it was due. So a publisher that does not come to publish is not forgiven.
    Due,
    /// When it was published, so that the timer by which it was is none of the latency.
    Now,
}

/// Where a server learns what it is to publish.
pub type Jobs = mpsc::UnboundedReceiver<Job>;

impl Job {
    /// As a line that is said to a server.
    pub fn line(self) -> String {
        let stamp = match self.stamp {
            Stamp::Due => "due",
            Stamp::Now => "now",
        };
        format!("{} {} {stamp}", self.events, self.rate)
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let parse = || {
            let mut words = line.split(' ');
            let (events, rate) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let stamp = match words.next()? {
                "due" => Stamp::Due,
                "now" => Stamp::Now,
                _ => return None,
            };
            Some(Self { events, rate, stamp }).filter(|job| job.rate > 0.0)
        };
        parse().ok_or_else(|| format!("{line:?} is nothing to publish"))
    }
}

/// What is published to.
pub trait Topic {
    /// Has an event with this data.
    fn publish(&mut self, text: &str);

    /// All that is due has been published. True if there is something left to do at the next tick.
    fn flush(&mut self) -> bool {
        false
    }
}

impl<F: FnMut(&str)> Topic for F {
    fn publish(&mut self, text: &str) {
        self(text);
    }
}

/// Does the jobs. An event's number is one more than that of the event before it, whatever job that was of.
pub async fn run(mut jobs: Jobs, mut topic: impl Topic) {
    let mut text = String::new();
    let mut number = 0;
    while let Some(job) = jobs.recv().await {
        let (start, start_time) = (Instant::now(), now());
        let after = |event: u64| Duration::from_secs_f64(event as f64 / job.rate);
        let mut published = 0;
        loop {
            while published < job.events && after(published) <= start.elapsed() {
                let time = match job.stamp {
                    Stamp::Due => start_time + after(published).as_nanos() as u64,
                    Stamp::Now => now(),
                };
                event::write(&mut text, number, time);
                topic.publish(&text);
                published += 1;
                number += 1;
            }
            let is_left = topic.flush();
            let next = match (published < job.events, is_left) {
                (false, false) => break,
                (true, false) => start + after(published),
                (_, true) => start,
            };
            sleep_until(next.max(Instant::now() + TICK)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for stamp in [Stamp::Due, Stamp::Now] {
            let job = Job { events: 7, rate: 12.5, stamp };
            assert_eq!(job.line().parse(), Ok(job));
        }
        for line in ["", "7", "7 1", "7 1 soon", "x 1 now", "7 0 now"] {
            line.parse::<Job>().expect_err(line);
        }
    }
}
