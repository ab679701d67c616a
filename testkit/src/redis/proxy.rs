//! The network between a server and its clients, as bad as wanted.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long it may take to connect to the target.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What is read at once, and so what is kept of each direction while nothing passes.
const BUFFER: usize = 16 * 1024;

/// What passes at once over a slow link, at the most; and no more than it carries in a tenth of a second.
const SLOW_CHUNK: usize = 4 * 1024;

/// A proxy for TCP on a port of its own. Its connections and threads end on drop.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    link: Arc<Link>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts one that carries everything to the target, which need not be there yet.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        let state =
            State { target, fate: Fate::Carried, pace: None, is_over: false, last: 0, connections: BTreeMap::new() };
        let link = Arc::new(Link { state: Mutex::new(state), changed: Condvar::new() });
        let acceptor = thread::spawn({
            let link = link.clone();
            move || link.accept(&listener)
        });
        Self { addr, link, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of that.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Carries new connections to another target, and cuts those to the old one: as an address moves at a failover. Faults
    /// stay.
    pub fn set_target(&self, target: SocketAddr) {
        self.link.change(|state| {
            state.target = target;
            state.close_all();
        });
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.link.change(|state| {
            state.fate = Fate::Cut;
            state.close_all();
        });
    }

    /// Keeps connections open, new ones too, and lets nothing pass that is sent from now on, not even an end.
    pub fn freeze(&self) {
        self.link.change(|state| state.fate = Fate::Frozen);
    }

    /// Ends all faults. What a frozen link has held passes, in order.
    pub fn heal(&self) {
        self.link.change(|state| {
            state.fate = Fate::Carried;
            state.pace = None;
        });
    }

    /// Carries so many bytes a second in each direction of each connection, in chunks of up to 4 KiB that each are late by
    /// the delay besides. Panics at a rate of 0.
    pub fn slow(&self, bytes_per_second: u32, delay: Duration) {
        assert!(bytes_per_second > 0, "a link that carries nothing is a frozen one");
        self.link.change(|state| {
            state.fate = Fate::Carried;
            state.pace = Some(Pace { bytes_per_second, delay });
        });
    }

    /// How many connections are open, or on their way to the target.
    pub fn connections(&self) -> usize {
        self.link.state().connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.link.change(|state| {
            state.is_over = true;
            state.close_all();
        });
        // The acceptor looks when somebody comes. If it has ended by another, the port is closed already.
        let is_awake = match TcpStream::connect(self.addr) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        };
        if let Some(acceptor) = self.acceptor.take().filter(|_| is_awake) {
            let ended = acceptor.join();
            assert!(ended.is_ok() || thread::panicking(), "a thread of the proxy has panicked");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Carried,
    Frozen,
    Cut,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    bytes_per_second: u32,
    delay: Duration,
}

impl Pace {
    fn chunk(self) -> usize {
        (self.bytes_per_second as usize / 10).clamp(1, SLOW_CHUNK)
    }

    fn time(self, bytes: usize) -> Duration {
        self.delay + Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_per_second))
    }
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    fate: Fate,
    pace: Option<Pace>,
    is_over: bool,
    last: u64,
    /// Those that are open: the client's end, and the target's if it is reached. What is not here is closed.
    connections: BTreeMap<u64, (TcpStream, Option<TcpStream>)>,
}

impl State {
    fn close(&mut self, connection: u64) {
        if let Some((client, server)) = self.connections.remove(&connection) {
            // Fails if the other end is gone.
            for stream in [Some(client), server].into_iter().flatten() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn close_all(&mut self) {
        while let Some(&connection) = self.connections.keys().next() {
            self.close(connection);
        }
    }
}

#[derive(Debug)]
struct Link {
    state: Mutex<State>,
    changed: Condvar,
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Until the proxy is dropped; the threads of all connections have then ended too.
    fn accept(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            loop {
                let accepted = listener.accept();
                let mut state = self.state();
                if state.is_over {
                    return;
                }
                let Ok((client, _)) = accepted else {
                    drop(state);
                    thread::sleep(Duration::from_millis(10));
                    continue;
                };
                let Ok(kept) = client.try_clone() else { continue };
                if state.fate == Fate::Cut {
                    continue;
                }
                state.last += 1;
                let connection = state.last;
                state.connections.insert(connection, (kept, None));
                scope.spawn(move || {
                    // Fails as the ends do, and with them the connection.
                    let _ = self.carry(connection, &client);
                    self.state().close(connection);
                });
            }
        });
    }

    /// Connects to the target, and carries both directions until both have ended.
    fn carry(&self, connection: u64, client: &TcpStream) -> io::Result<()> {
        self.pass(connection)?;
        let target = self.state().target;
        let server = TcpStream::connect_timeout(&target, CONNECT_LIMIT)?;
        for stream in [client, &server] {
            stream.set_nodelay(true)?;
        }
        // If it was closed meanwhile, to another target say, it is not there any more.
        self.state().connections.get_mut(&connection).ok_or(io::ErrorKind::NotConnected)?.1 = Some(server.try_clone()?);
        thread::scope(|scope| {
            scope.spawn(|| self.carry_one_way(connection, &server, client));
            self.carry_one_way(connection, client, &server);
        });
        Ok(())
    }

    fn carry_one_way(&self, connection: u64, from: &TcpStream, to: &TcpStream) {
        if self.copy(connection, from, to).is_err() {
            self.state().close(connection);
        }
    }

    fn copy(&self, connection: u64, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = from.read(&mut buffer)?;
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                let mut len = rest.len();
                if let Some(pace) = self.pass(connection)? {
                    len = len.min(pace.chunk());
                    self.wait(connection, pace.time(len))?;
                    // It may have been frozen since.
                    self.pass(connection)?;
                }
                to.write_all(&rest[..len])?;
                rest = &rest[len..];
            }
            if read == 0 {
                self.pass(connection)?;
                return to.shutdown(Shutdown::Write);
            }
        }
    }

    /// Waits while the link is frozen, and says how slow it is. An error if the connection is closed.
    fn pass(&self, connection: u64) -> io::Result<Option<Pace>> {
        let mut state = self.state();
        loop {
            if !state.connections.contains_key(&connection) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            if state.fate != Fate::Frozen {
                return Ok(state.pace);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for so long, or until the link is not slow any more, or the connection closed.
    fn wait(&self, connection: u64, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        let mut state = self.state();
        while state.pace.is_some() && state.connections.contains_key(&connection) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}
