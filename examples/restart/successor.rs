//! The hand-over from one process to the next: the listening socket, the log and the generation.

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

/// The environment variable with the generation, which clients see.
const GENERATION: &str = "RESTART_GENERATION";

/// Returns the generation of this process. The first one is 1.
pub(crate) fn generation() -> u64 {
    env::var(GENERATION).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Returns the socket that this process was started with.
pub(crate) fn inherited() -> io::Result<Option<(TcpListener, SocketAddr)>> {
    let Some(listener) = ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    // systemd sets only some options.
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

/// Requests the log. This may block, because the process has nothing else to do yet.
fn receive() -> io::Result<Vec<u8>> {
    writeln!(io::stdout(), "ready for the log")?;
    let mut input = io::stdin().lock();
    let mut len = [0; 8];
    input.read_exact(&mut len)?;
    let (len, mut log) = (u64::from_le_bytes(len), Vec::new());
    input.take(len).read_to_end(&mut log)?;
    if log.len() as u64 == len { Ok(log) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Waits until this process alone may publish.
pub(crate) fn consent() -> io::Result<()> {
    if generation() == 1 { Ok(()) } else { io::stdin().read_exact(&mut [0]) }
}

/// Starts a successor, waits until it serves, and returns its process ID. After a failure the log is unchanged.
pub(crate) async fn start(listener: &TcpListener, log: &MemoryLog, patience: Duration) -> Result<u32, String> {
    let mut child = spawn(listener)?;
    let handed_over = match timeout(patience, hand_over(&mut child, log)).await {
        Ok(handed_over) => handed_over,
        Err(_) => Err(format!("it does not serve after {patience:?}")),
    };
    if handed_over.is_ok() {
        // The successor now outlives this process.
        mem::forget(child);
    } else {
        // Until the successor is gone, both processes might publish. A failure to kill it means that it is gone.
        let _ = child.kill().await;
        log.unseal();
    }
    handed_over
}

fn spawn(listener: &TcpListener) -> Result<Child, String> {
    // The path by which this process was started. A link at that path may lead to a newer program by now.
    let arguments: Vec<_> = env::args_os().collect();
    let (program, arguments) = arguments.split_first().ok_or("the name of the program is not known")?;
    let mut command = process::Command::new(program);
    command.args(arguments);
    command.env("LISTEN_FDS", "1").env(GENERATION, (generation() + 1).to_string());
    // systemd sets these variables for this process alone.
    for name in ["LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"] {
        command.env_remove(name);
    }
    let parent_fd: OwnedFd = listener.try_clone().map_err(|error| error.to_string())?.into();
    command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).map_err(|error| error.to_string())?;
    // Only two lines of the output matter. This process ends before it could read more.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Command::from(command).kill_on_drop(true).spawn().map_err(|error| format!("{program:?}: {error}"))
}

/// Gives the log to a successor that is ready, lets it serve, and returns its process ID.
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
        // Nothing after this step may fail.
        input.write_all(b"\n").await.ok()
    }
    .await;
    if is_done.is_some() {
        return Ok(id);
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    Err(format!("it has ended with {status}"))
}

/// Notifies systemd, if it started this service, that this process serves now.
pub(crate) fn notify() -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let state = format!("READY=1\nMAINPID={}", process::id());
    UnixDatagram::unbound()?.send_to(state.as_bytes(), path).map(|_| ())
}
