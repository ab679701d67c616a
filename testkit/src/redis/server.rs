//! A server of Redis that goes with the test.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::process::{Process, program};
use super::setup::{AUTHORITY, CERTIFICATE, DATA, KEY};
use super::{Certificates, RedisSetup, Reply, RespClient, until};

/// How long a server may take to start, and to answer.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to end. Redis waits for replicas for up to 10 seconds.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Below the ports that a system gives to whoever asks for any: a connection does not take a server's while it is down.
const PORTS: Range<u16> = 20_000..32_000;

/// A server of Redis on ports of its own, with a directory of its own. Killed and removed on drop.
#[derive(Debug)]
pub struct RedisServer {
    setup: RedisSetup,
    folder: PathBuf,
    port: u16,
    tls_port: Option<u16>,
    certificates: Option<Certificates>,
    process: Mutex<Option<Process>>,
}

/// Another has the port.
#[derive(Debug)]
struct PortTaken;

impl RedisServer {
    pub(super) fn new(setup: RedisSetup) -> Self {
        let certificates = setup.tls.then(Certificates::generate);
        let process = Mutex::new(None);
        let mut server = Self { setup, folder: new_folder(), port: 0, tls_port: None, certificates, process };
        server.write_certificates().expect("the certificates can be written");
        fs::create_dir(server.data()).expect("a folder can be made");
        until(START_LIMIT, || {
            server.port = free_port();
            server.tls_port = server.setup.tls.then(free_port);
            let configuration = server.setup.configuration(&server.folder, server.port, server.tls_port);
            fs::write(server.file("redis.conf"), configuration).expect("the configuration can be written");
            server.launch().ok()
        })
        .unwrap_or_else(|| server.fail("finds no free port"));
        server
    }

    /// Its port for connections with no TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its port for TLS, if it has one.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// The address of its port for connections with no TLS.
    pub fn addr(&self) -> SocketAddr {
        local(self.port)
    }

    /// The address of its port for TLS. Panics if it has none.
    pub fn tls_addr(&self) -> SocketAddr {
        local(self.tls_port.expect("the server was set up with TLS"))
    }

    /// What its clients have to tell, if anything.
    pub fn password(&self) -> Option<&str> {
        self.setup.password.as_deref()
    }

    /// `redis://:password@127.0.0.1:port/`, with no more of it than there is.
    pub fn url(&self) -> String {
        self.url_by(self.addr())
    }

    /// The same by another way to it, such as a [`Proxy`](super::Proxy).
    pub fn url_by(&self, addr: SocketAddr) -> String {
        format!("redis://{}{addr}/", self.user_info())
    }

    /// `rediss://:password@127.0.0.1:port/`. Panics if it has no TLS.
    pub fn tls_url(&self) -> String {
        self.tls_url_by(self.tls_addr())
    }

    /// The same by another way to it.
    pub fn tls_url_by(&self, addr: SocketAddr) -> String {
        format!("rediss://{}{addr}/", self.user_info())
    }

    /// What its clients have to trust, and could show. Panics if it has no TLS.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("the server was set up with TLS")
    }

    /// The folder that holds all that it has. Removed on drop.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that it has said since it was first started.
    pub fn log(&self) -> String {
        fs::read(self.file("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Starts it again, on the same ports and with the same data, and waits until it answers. What was changed by
    /// `CONFIG SET` is as before.
    pub fn start(&self) {
        until(START_LIMIT, || self.launch().ok()).unwrap_or_else(|| self.fail("does not get its port back"));
    }

    /// Kills it, as a crash would, and waits for its end.
    pub fn kill(&self) {
        self.process().take().expect("the server runs").kill();
    }

    /// Has it end in order, and waits for that.
    pub fn stop(&self) {
        let mut process = self.process().take().expect("the server runs");
        // One that stands still is to hear the other. It may have ended as soon as it has.
        process.signal("CONT");
        process.signal("TERM");
        let ended = until(STOP_LIMIT, || process.ended());
        process.kill();
        if ended.is_none() {
            self.fail("does not stop");
        }
    }

    /// Removes its data. Panics if it runs.
    pub fn wipe(&self) {
        assert!(self.process().is_none(), "only a stopped server can be wiped");
        fs::remove_dir_all(self.data()).expect("a folder can be removed");
        fs::create_dir(self.data()).expect("a folder can be made");
    }

    /// Has it stand still: connections stay open, and new ones are taken by the system, but nothing is answered.
    pub fn pause(&self) {
        let mut process = self.process();
        let process = process.as_mut().expect("the server runs");
        process.signal("STOP");
        process.stopped();
    }

    /// Has it go on after [`pause`](Self::pause), with all that has come meanwhile.
    pub fn resume(&self) {
        self.process().as_mut().expect("the server runs").signal("CONT");
    }

    /// A new connection, that has told the password.
    pub fn connect(&self) -> io::Result<RespClient> {
        self.connect_by(self.addr())
    }

    /// The same by another way to it, such as a [`Proxy`](super::Proxy).
    pub fn connect_by(&self, addr: SocketAddr) -> io::Result<RespClient> {
        let mut client = RespClient::connect(addr, START_LIMIT)?;
        if let Some(password) = self.password() {
            match client.command(&[b"AUTH", password.as_bytes()])? {
                Reply::Simple(_) => {}
                refused => return Err(io::Error::other(format!("{refused:?}"))),
            }
        }
        Ok(client)
    }

    /// Its answer to a command, on a new connection.
    pub fn command(&self, command: &[&[u8]]) -> Reply {
        let answer = self.connect().and_then(|mut client| client.command(command));
        answer.unwrap_or_else(|error| self.fail(&format!("gives no answer: {error}")))
    }

    /// Makes a master of a replica, for good.
    pub fn promote(&self) {
        self.set(&[b"REPLICAOF", b"NO", b"ONE"]);
        self.set(&[b"CONFIG", b"REWRITE"]);
    }

    /// Makes a replica of a master, for good: what it has and the other has not is lost.
    pub fn follow(&self, master: &Self) {
        let password = master.password().unwrap_or_default();
        self.set(&[b"CONFIG", b"SET", b"masterauth", password.as_bytes()]);
        self.set(&[b"REPLICAOF", b"127.0.0.1", master.port.to_string().as_bytes()]);
        self.set(&[b"CONFIG", b"REWRITE"]);
    }

    /// Waits until a replica has all that was written until now. Panics if none has within 5 seconds.
    pub fn wait_for_replica(&self) {
        if self.replicas(Duration::from_secs(5)) == 0 {
            self.fail("has no replica that has everything");
        }
    }

    /// How many replicas have all that was written until now: waits for the first for so long.
    pub fn replicas(&self, limit: Duration) -> i64 {
        let limit = limit.as_millis().max(1).to_string();
        let ask = |mut client: RespClient| {
            // What is waited for is the end of the log at the connection's last command.
            client.command(&[b"PING"])?;
            client.command(&[b"WAIT", b"1", limit.as_bytes()])
        };
        match self.connect().and_then(ask) {
            Ok(Reply::Int(replicas)) => replicas,
            other => self.fail(&format!("does not wait for replicas: {other:?}")),
        }
    }

    fn set(&self, command: &[&[u8]]) {
        let answer = self.command(command);
        assert_eq!(answer, Reply::ok(), "{:?}", command.iter().map(|word| word.escape_ascii().to_string()));
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process, and waits until it answers.
    fn launch(&self) -> Result<(), PortTaken> {
        let mut running = self.process();
        assert!(running.is_none(), "the server runs already");
        let log_before = self.log().len();
        let process =
            Process::start(&program("redis-server", &self.folder), &self.file("redis.conf"), &self.file("log"));
        let mut process = process.unwrap_or_else(|error| self.fail(&format!("cannot be run: {error}")));
        let end = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = process.ended() {
                if self.log().get(log_before..).is_some_and(|log| log.contains("Address already in use")) {
                    return Err(PortTaken);
                }
                self.fail(&format!("has ended at once: {status}"));
            }
            match self.connect().and_then(|client| is_ready(client, process.id())) {
                Ok(true) => break,
                other if Instant::now() >= end => {
                    process.kill();
                    self.fail(&format!("does not start: {other:?}"));
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        *running = Some(process);
        Ok(())
    }

    fn write_certificates(&self) -> io::Result<()> {
        let Some(certificates) = &self.certificates else { return Ok(()) };
        fs::write(self.file(AUTHORITY), &certificates.authority)?;
        fs::write(self.file(CERTIFICATE), &certificates.server)?;
        fs::write(self.file(KEY), &certificates.server_key)
    }

    fn user_info(&self) -> String {
        self.password().map(|password| format!(":{}@", percent_encoded(password))).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn data(&self) -> PathBuf {
        self.file(DATA)
    }

    fn fail(&self, what: &str) -> ! {
        panic!("the server of Redis on port {} {what}; its log:\n{}", self.port, self.log())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(process) = self.process().take() {
            process.kill();
        }
        // What it has forked ends a little later, and may still write.
        until(Duration::from_secs(1), || fs::remove_dir_all(&self.folder).ok());
    }
}

/// Whether it has its data, and is the process that is meant: another may have had the port before.
fn is_ready(mut client: RespClient, process: u32) -> io::Result<bool> {
    let info = client.command(&[b"INFO", b"server"])?;
    let Reply::Bulk(Some(info)) = info else { return Err(io::Error::other(format!("{info:?}"))) };
    let is_it = String::from_utf8_lossy(&info).lines().any(|line| line == format!("process_id:{process}"));
    Ok(is_it && client.command(&[b"PING"])? == Reply::Simple("PONG".to_owned()))
}

pub(super) fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let name = format!("ssekit-redis-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return folder,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("no folder {folder:?}: {error}"),
        }
    }
}

pub(super) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time have IDs close to each other.
    let first = std::process::id().wrapping_mul(97);
    let mut ports = (0..PORTS.len()).map(|_| {
        let n = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) as usize;
        PORTS.clone().nth(n % PORTS.len()).expect("it is within")
    });
    ports.find(|port| TcpListener::bind(local(*port)).is_ok()).expect("a port is free")
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes everything"),
        }
        encoded
    })
}
