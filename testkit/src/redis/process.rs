//! The process of a server.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::until;

/// Runs a program in a group of processes of its own, which is killed when standard input ends: that it does however the
/// test ends, and a test that is killed can do nothing itself.
const IN_A_GROUP: &str = r#"exec 3<&0; (read -r _ <&3; kill -s KILL 0) & exec "$0" "$@" 3<&- </dev/null"#;

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Its end is that of the group, of what the server has forked too.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// What it says is added to the log.
    pub(super) fn start(program: &Path, config: &Path, log: &Path) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(IN_A_GROUP).arg(program).arg(config).process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(File::try_clone(&log)?).stderr(log).spawn()?;
        Ok(Self { _stdin: child.stdin.take(), child })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child")
    }

    pub(super) fn signal(&mut self, signal: &str) {
        // One that has ended and was waited for has no ID any more: it may be another's.
        assert_eq!(self.ended(), None, "the server has ended by itself");
        let command = format!("kill -s {signal} {}", self.id());
        let status = Command::new("sh").args(["-c", &command]).status().expect("there is a shell");
        assert!(status.success(), "{command}: {status}");
    }

    /// Waits until it stands still, where the system tells.
    pub(super) fn stopped(&self) {
        let path = format!("/proc/{}/stat", self.id());
        // The state is what follows the name, which is in parentheses and may hold some.
        let is_stopped = || match std::fs::read_to_string(&path) {
            Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')).then_some(()),
            Err(_) => Some(()),
        };
        until(Duration::from_secs(5), is_stopped).expect("a process stands still when it was stopped");
    }

    pub(super) fn kill(mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
        self.child.wait().expect("it is a child");
    }
}

/// Where the program is. Debian has it in `redis-tools` by the name of a tool. What it does depends on the name that it is
/// called by: a link with the right one is then made in `folder`.
pub(super) fn program(name: &str, folder: &Path) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    if let Some(program) = find(name) {
        return program;
    }
    let tool = find("redis-check-rdb").expect("there is a redis-server, or the package redis-tools");
    let link = folder.join(name);
    if !link.exists() {
        symlink(tool, &link).expect("a link can be made");
    }
    link
}
