//! A server that is replaced by a new version of itself, with nobody refused, no event stream broken off, and no event lost
//! or doubled.
//!
//! `cargo run --release --example restart -- [--addr HOST:PORT] [--retry MS] [--patience SECONDS]`
//!
//! On SIGHUP it starts its successor, which is whatever stands at the path of its own program by then, and gives it its
//! listening socket and the hub's log. Then it stops to accept; it tells its clients when to come back, and ends. They go on
//! behind their last event, whichever process that was from. If the successor fails, or says nothing for the patience, the
//! server goes on and says why. Whoever connects meanwhile waits in the socket's queue, which both have.
//!
//! Only one of them ever publishes. They agree by the successor's standard input and output:
//!
//! 1. The successor starts, and says a line when all that is missing is the log.
//! 2. The server seals its hub, and sends the log, and how many bytes that has before it. From here on who publishes is
//!    told to try again.
//! 3. The successor has imported the log, and says so in a second line. It accepts nothing yet.
//! 4. The server answers with one byte: from now on the log is the successor's, which serves, and publishes.
//!
//! Before that byte the server can change its mind: it kills the successor, and when that is gone it unseals its hub. It
//! never does so behind it.
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
//! who connects waits until the old server has drained and the new one has started, and the log begins anew.

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
