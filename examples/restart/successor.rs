//! From one process to the next: the listening socket, and who is which.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{self, Stdio};
use std::time::Duration;
use std::{env, io, mem};

use command_fds::{CommandFdExt, FdMapping};
use listenfd::ListenFd;
use ssekit::server::SocketOptions;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Counts the processes, for their clients to see which they are served by.
const GENERATION: &str = "RESTART_GENERATION";

/// 1 is the first.
pub(crate) fn generation() -> u64 {
    env::var(GENERATION).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The socket that this process was started with, if it was.
pub(crate) fn inherited() -> io::Result<Option<(TcpListener, SocketAddr)>> {
    let Some(listener) = ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    // Systemd sets but some of them.
    SocketOptions::new().apply(&listener)?;
    let local = listener.local_addr()?;
    Ok(Some((listener, local)))
}

/// Starts a successor, and waits until it serves; its process ID.
pub(crate) async fn start(listener: &TcpListener, patience: Duration) -> Result<u32, String> {
    // What this process was called by, not what it is: a link to the program may lead to a newer one by now.
    let arguments: Vec<_> = env::args_os().collect();
    let (program, arguments) = arguments.split_first().ok_or("the name of the program is not known")?;
    let mut command = process::Command::new(program);
    command.args(arguments);
    command.env("LISTEN_FDS", "1").env(GENERATION, (generation() + 1).to_string());
    // Systemd's, for this process alone.
    for name in ["LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"] {
        command.env_remove(name);
    }
    let parent_fd: OwnedFd = listener.try_clone().map_err(|error| error.to_string())?.into();
    command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).map_err(|error| error.to_string())?;
    // Of its output only the first line counts, and only for this process, which will not be there to read more.
    command.stdin(Stdio::null()).stdout(Stdio::piped());

    let mut child = Command::from(command);
    let mut child = child.kill_on_drop(true).spawn().map_err(|error| format!("{program:?}: {error}"))?;
    let mut output = BufReader::new(child.stdout.take().ok_or("it has no output")?).lines();
    match timeout(patience, output.next_line()).await {
        Ok(Ok(Some(_))) => {}
        Ok(_) => {
            let status = child.wait().await.map_err(|error| error.to_string())?;
            return Err(format!("it has ended with {status}"));
        }
        Err(_) => return Err(format!("it does not serve after {patience:?}")),
    }
    let id = child.id().ok_or("it has ended")?;
    // From now on it does not go with this process.
    mem::forget(child);
    Ok(id)
}

/// Tells systemd, if it has started this service, that this process is the one that serves.
pub(crate) fn notify() -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let state = format!("READY=1\nMAINPID={}", process::id());
    UnixDatagram::unbound()?.send_to(state.as_bytes(), path).map(|_| ())
}
