//! A program that goes with the test, and all that it says.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, thread};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::until;

pub(crate) struct Process {
    name: &'static str,
    child: Child,
    /// Its end is that of the group, also when the program itself has ended.
    _stdin: Option<ChildStdin>,
    /// Its whole lines yet, on standard output and standard error.
    lines: Arc<Mutex<Vec<String>>>,
}

/// Runs a program in a group of processes of its own, which is killed when standard input ends: that it does however the
/// test ends, and a test that is killed can do nothing itself.
const IN_A_GROUP: &str = r#"exec 3<&0; (read -r _ <&3; kill -s KILL 0) & exec "$0" "$@" 3<&- </dev/null"#;

/// For [`Process::start`], and for arguments and variables to be added to.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(IN_A_GROUP).arg(program).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let lines = Arc::default();
        keep(child.stdout.take(), &lines);
        keep(child.stderr.take(), &lines);
        Ok(Self { name, _stdin: child.stdin.take(), child, lines })
    }

    /// What follows `before` in the line that it stands in, or how the program has ended without such a line.
    pub(crate) async fn says(&mut self, before: &str, limit: Duration) -> Result<String, ExitStatus> {
        until(&format!("{} says {before:?}", self.name), limit, async || {
            // Before its lines, for those of a program that has ended to be complete, or almost.
            let ended = self.child.try_wait().unwrap();
            self.said(before).map(Ok).or(ended.map(Err))
        })
        .await
    }

    /// What follows `before`, if it has said so yet: the program, or one that it has started.
    pub(crate) fn said(&self, before: &str) -> Option<String> {
        self.lines.lock().unwrap().iter().find_map(|line| Some(line.split_once(before)?.1.to_owned()))
    }

    pub(crate) fn signal(&self, signal: &str) {
        self::signal(self.child.id().expect("it has not ended"), signal);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        timeout(limit, self.child.wait()).await.unwrap_or_else(|_| panic!("{} goes on", self.name)).unwrap()
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Sends a signal, `TERM` say.
pub(crate) fn signal(process: u32, signal: &str) {
    let status = std::process::Command::new("sh").args(["-c", &format!("kill -s {signal} {process}")]).status();
    assert!(status.unwrap().success());
}

fn keep(output: Option<impl AsyncRead + Send + Unpin + 'static>, lines: &Arc<Mutex<Vec<String>>>) {
    let mut output = BufReader::new(output.unwrap()).lines();
    let lines = lines.clone();
    tokio::spawn(async move {
        while let Ok(Some(line)) = output.next_line().await {
            lines.lock().unwrap().push(line);
        }
    });
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            let lines = self.lines.lock().map(|lines| lines.join("\n")).unwrap_or_default();
            eprintln!("--- what {} said:\n{lines}", self.name);
        }
    }
}
