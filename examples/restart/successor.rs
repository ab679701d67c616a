//! From one process to the next: the listening socket, the hub's log, and who is which.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{self, Stdio};
use std::time::Duration;
use std::{env, mem};

use command_fds::{CommandFdExt, FdMapping};
use listenfd::ListenFd;
use ssekit::hub::{MemoryLog, RetentionOptions};
use ssekit::server::SocketOptions;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
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

/// Returns the hub's log: a new one, or the log of the predecessor.
pub(crate) fn log() -> Result<MemoryLog, String> {
    if generation() == 1 {
        return Ok(MemoryLog::default());
    }
    let bytes = receive().map_err(|error| format!("cannot receive the log: {error}"))?;
    MemoryLog::import(&bytes, RetentionOptions::new()).map_err(|error| format!("cannot import the log: {error}"))
}

/// Asks for the log. It may block: this process has nothing else to do yet.
fn receive() -> io::Result<Vec<u8>> {
    writeln!(io::stdout(), "ready for the log")?;
    let mut input = io::stdin().lock();
    let mut len = [0; 8];
    input.read_exact(&mut len)?;
    let (len, mut log) = (u64::from_le_bytes(len), Vec::new());
    input.take(len).read_to_end(&mut log)?;
    if log.len() as u64 == len { Ok(log) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Waits until the log is this process's alone, to publish to.
pub(crate) fn consent() -> io::Result<()> {
    if generation() == 1 { Ok(()) } else { io::stdin().read_exact(&mut [0]) }
}

/// Starts a successor, waits until it serves, and returns its process ID. If it fails, the log is as it was.
pub(crate) async fn start(listener: &TcpListener, log: &MemoryLog, patience: Duration) -> Result<u32, String> {
    let mut child = spawn(listener)?;
    let handed_over = match timeout(patience, hand_over(&mut child, log)).await {
        Ok(handed_over) => handed_over,
        Err(_) => Err(format!("it does not serve after {patience:?}")),
    };
    if handed_over.is_ok() {
        // From now on it does not go with this process.
        mem::forget(child);
    } else {
        // Until it is gone, both might publish. That it cannot be killed means that it is.
        let _ = child.kill().await;
        log.unseal();
    }
    handed_over
}

fn spawn(listener: &TcpListener) -> Result<Child, String> {
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
    // Of its output only two lines count, and only for this process, which will not be there to read more.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Command::from(command).kill_on_drop(true).spawn().map_err(|error| format!("{program:?}: {error}"))
}

/// Gives the log to a successor, when it is ready, and lets it serve; its process ID.
async fn hand_over(child: &mut Child, log: &MemoryLog) -> Result<u32, String> {
    let id = child.id().ok_or("it has ended")?;
    let (mut input, output) = (child.stdin.take().ok_or("it has no input")?, child.stdout.take());
    let mut lines = BufReader::new(output.ok_or("it has no output")?).lines();
    let mut line = async || lines.next_line().await.ok().flatten();
    let is_done = async {
        line().await?;
        let bytes = log.seal();
        input.write_all(&(bytes.len() as u64).to_le_bytes()).await.ok()?;
        input.write_all(&bytes).await.ok()?;
        line().await?;
        // Nothing may come behind this that can fail.
        input.write_all(b"\n").await.ok()
    }
    .await;
    if is_done.is_some() {
        return Ok(id);
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    Err(format!("it has ended with {status}"))
}

/// Tells systemd, if it has started this service, that this process is the one that serves.
pub(crate) fn notify() -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let state = format!("READY=1\nMAINPID={}", process::id());
    UnixDatagram::unbound()?.send_to(state.as_bytes(), path).map(|_| ())
}
