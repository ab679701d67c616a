//! A Sentinel that goes with the test.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::process::{Process, program};
use super::server::{free_port, new_folder};
use super::{RedisServer, Reply, RespClient, until};

/// How long it may take to find a master's replica.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A Sentinel that watches a server, by the name of `mymaster`, and lets its replica take over half a second after it was
/// last heard of. Killed and removed on drop.
#[derive(Debug)]
pub struct RedisSentinel {
    folder: PathBuf,
    addr: SocketAddr,
    process: Option<Process>,
}

impl RedisSentinel {
    /// Starts it, and waits until it knows of a replica.
    pub fn start(master: &RedisServer) -> Self {
        let folder = new_folder();
        let started = until(START_LIMIT, || {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let config = format!(
                "bind 127.0.0.1\nport {}\nsentinel monitor mymaster 127.0.0.1 {} 1\n\
                 sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n",
                addr.port(),
                master.port()
            );
            let path = folder.join("sentinel.conf");
            fs::write(&path, config).expect("the configuration can be written");
            let mut process = Process::start(&program("redis-sentinel", &folder), &path, &folder.join("log")).ok()?;
            // If another has the port, it ends.
            until(START_LIMIT, || (process.ended().is_some() || replicas(addr) == Some(1)).then_some(()));
            let is_up = process.ended().is_none() && replicas(addr) == Some(1);
            is_up.then_some((addr, process))
        });
        let (addr, process) = started.expect("the sentinel knows of a replica");
        Self { folder, addr, process: Some(process) }
    }

    /// Where it is asked for `mymaster`.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn replicas(addr: SocketAddr) -> Option<usize> {
    let mut client = RespClient::connect(addr, Duration::from_secs(1)).ok()?;
    match client.command(&[b"SENTINEL", b"REPLICAS", b"mymaster"]).ok()? {
        Reply::Array(Some(replicas)) => Some(replicas.len()),
        _ => None,
    }
}

impl Drop for RedisSentinel {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
        // What is left is in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
