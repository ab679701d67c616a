//! What a server of Redis is to be like.

use std::fmt::Write as _;
use std::path::Path;

use super::RedisServer;

/// In the folder of a server: its data, and what TLS needs.
pub(super) const DATA: &str = "data";
pub(super) const AUTHORITY: &str = "ca.pem";
pub(super) const CERTIFICATE: &str = "server.pem";
pub(super) const KEY: &str = "server-key.pem";

/// What a server is to be like. By itself: in memory, with no password, no TLS and no master.
#[derive(Clone, Debug, Default)]
pub struct RedisSetup {
    persistent: bool,
    pub(super) password: Option<String>,
    master: Option<(u16, Option<String>)>,
    pub(super) tls: bool,
    lines: Vec<String>,
}

impl RedisSetup {
    /// A server in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every write is on disk before it is answered.
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Clients have to tell the password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// It follows the other, over TCP with no TLS.
    pub fn replica_of(mut self, master: &RedisServer) -> Self {
        self.master = Some((master.port(), master.password().map(String::from)));
        self
    }

    /// It has a port for TLS too. Clients need no certificate.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// One more line of the configuration file, `maxmemory 10mb` say. Overrides what is there.
    pub fn config(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts it, and waits until it answers.
    pub fn start(self) -> RedisServer {
        RedisServer::new(self)
    }

    /// The configuration file of a server with this folder and these ports.
    pub(super) fn configuration(&self, folder: &Path, port: u16, tls_port: Option<u16>) -> String {
        let path = |name: &str| quoted(&folder.join(name).to_string_lossy());
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("port {port}"),
            format!("dir {}", path(DATA)),
            // A full copy to a replica begins at once, and a replica in memory leaves no file of it behind.
            "repl-diskless-sync-delay 0".to_owned(),
            "rdb-del-sync-files yes".to_owned(),
            "save \"\"".to_owned(),
        ];
        if self.persistent {
            lines.extend(["appendonly yes", "appendfsync always"].map(String::from));
        }
        if let Some(password) = &self.password {
            lines.push(format!("requirepass {}", quoted(password)));
        }
        if let Some((port, password)) = &self.master {
            lines.push(format!("replicaof 127.0.0.1 {port}"));
            lines.extend(password.as_deref().map(|password| format!("masterauth {}", quoted(password))));
        }
        if let Some(port) = tls_port {
            lines.push(format!("tls-port {port}\ntls-auth-clients no"));
            for (name, file) in [("ca-cert", AUTHORITY), ("cert", CERTIFICATE), ("key", KEY)] {
                lines.push(format!("tls-{name}-file {}", path(file)));
            }
        }
        lines.extend_from_slice(&self.lines);
        lines.join("\n") + "\n"
    }
}

/// As one word of a configuration file.
fn quoted(word: &str) -> String {
    word.bytes().fold("\"".to_owned(), |mut quoted, byte| {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', byte.into()]),
            b' '..=b'~' => quoted.push(byte.into()),
            _ => write!(quoted, "\\x{byte:02x}").expect("a string takes everything"),
        }
        quoted
    }) + "\""
}
