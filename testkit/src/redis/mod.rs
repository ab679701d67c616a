//! A server of Redis that goes with the test, and a network to it as bad as wanted.
//!
//! The server is a process of its own, with a directory and ports of its own, and ends with the test however that ends.
//! The program is that of the package `redis-tools` or `redis-server`; a server that the system runs is left alone.
//! Everything blocks, and panics with what the server said when it does not do what it should.

mod process;
mod proxy;
mod resp;
mod sentinel;
mod server;
mod setup;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use crate::certificates::Certificates;
pub use proxy::Proxy;
pub use resp::{Reply, RespClient};
pub use sentinel::RedisSentinel;
pub use server::RedisServer;
pub use setup::RedisSetup;

/// Asks until there is an answer, or the time is over.
fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= end {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
