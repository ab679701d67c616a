//! A server that is replaced by a new version of itself, with nobody refused and no event stream broken off.
//!
//! `cargo run --release --example restart -- [--addr HOST:PORT] [--retry MS] [--patience SECONDS]`
//!
//! On SIGHUP it starts its successor, which is whatever stands at the path of its own program by then, and gives it its
//! listening socket. When the successor says that it serves, the server stops to accept; it tells its clients when to
//! come back, and ends. If the successor fails, or says nothing for the patience, the server goes on and says why.
//! Whoever connects meanwhile waits in the socket's queue, which both have.
//!
//! The socket is file descriptor 3, as systemd has it, so that systemd can be the first to give it:
//!
//! ```ini
//! # restart.socket
//! [Socket]
//! ListenStream=8080
//!
//! [Install]
//! WantedBy=sockets.target
//!
//! # restart.service
//! [Service]
//! Type=notify
//! # The successor says that it is the service from now on.
//! NotifyAccess=all
//! ExecStart=/usr/local/bin/restart
//! ExecReload=kill -HUP $MAINPID
//! ```
//!
//! `systemctl reload restart` is then what is described above. `systemctl restart restart` refuses nobody either, but
//! who connects waits until the old server has drained and the new one has started.

#[path = "../common/mod.rs"]
#[cfg(unix)]
mod common;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod successor;

#[cfg(unix)]
#[tokio::main]
async fn main() -> std::process::ExitCode {
    server::main().await
}

#[cfg(not(unix))]
fn main() {
    eprintln!("restart: needs file descriptors that a process can give to another: Linux, macOS, ...");
}
