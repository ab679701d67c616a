//! A server that replaces itself by a new version. No client is refused, no stream breaks off, and no event is lost or sent
//! twice.
//!
//! `cargo run --release --example restart -- [--addr HOST:PORT] [--retry MS] [--patience SECONDS]`
//!
//! On SIGHUP the server starts its successor: the program that is at its own path at that time. It gives the successor the
//! listening socket and the log of the hub. Then it accepts no more connections, tells its clients when to reconnect, and
//! ends. The clients resume after their last event. If the successor fails or is silent for too long, the server continues
//! and prints the reason. Clients that connect in the meantime wait in the queue of the shared socket.
//!
//! Only one process publishes at a time. The processes agree through the standard input and output of the successor:
//!
//! 1. The successor starts, and prints a line when only the log is missing.
//! 2. The server seals its log, and sends the length of the log and the log. Publishers must now try again later.
//! 3. The successor imports the log, and prints a second line. It accepts no connection yet.
//! 4. The server answers with one byte. From now on, the successor owns the log, serves and publishes.
//!
//! Before that byte, the server can still stop the successor: it kills that process, waits for its end and unseals the log.
//! After that byte, it never does so.
//!
//! The socket is file descriptor 3, as systemd passes it, so systemd can provide the first one:
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
//! # The successor reports that it is the service now.
//! NotifyAccess=all
//! ExecStart=/usr/local/bin/restart
//! ExecReload=kill -HUP $MAINPID
//! ```
//!
//! `systemctl reload restart` then does what is described above. `systemctl restart restart` refuses no client either, but
//! a new client waits until the old server has drained and the new one has started, and the log starts empty.

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
