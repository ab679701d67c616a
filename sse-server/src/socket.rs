//! Socket options for servers of event streams.

use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(not(windows))]
use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
use std::os::windows::io::AsSocket;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// The most clients that wait to be accepted. The system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;
/// Linux refuses more probes.
const MOST_PROBES: u32 = 127;
/// Linux refuses more seconds.
const LONGEST_KEEP_ALIVE: u64 = 32_767;
/// Linux refuses more milliseconds, because the value is a signed integer of 32 bits.
const LONGEST_USER_TIMEOUT: u64 = i32::MAX as u64;

/// TCP socket options for a server of event streams.
///
/// With them, the server notices a client that is gone or does not read, and the kernel holds little memory for it.
///
/// Set them on the listener. On Linux, every accepted connection inherits all of them.
///
/// | option | default | socket option | platforms |
/// |---|---|---|---|
/// | [nodelay](Self::with_nodelay) | on | `TCP_NODELAY` | all |
/// | [keep-alive](Self::with_keep_alive) | 16 s, 2 s, 2 probes | `SO_KEEPALIVE`, `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT` | see [`TcpKeepAlive`] |
/// | [user timeout](Self::with_user_timeout) | 20 s | `TCP_USER_TIMEOUT` | Linux, Android, Fuchsia |
/// | [unsent limit](Self::with_unsent_limit) | 128 KiB | `TCP_NOTSENT_LOWAT` | Linux, Android |
/// | [send buffer](Self::with_send_buffer) | that of the system | `SO_SNDBUF` | all |
///
/// Options that the platform lacks are skipped. Only Linux is known to pass all options from a listener to its
/// connections. On other platforms, also [`apply`](Self::apply) them to each connection.
///
/// # Example
///
/// ```
/// use ssekit_server::SocketOptions;
///
/// # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
/// let listener = SocketOptions::new().listen(([127, 0, 0, 1], 0).into())?;
/// // For example for `axum::serve`.
/// let listener = tokio::net::TcpListener::from_std(listener)?;
/// # let _ = listener;
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SocketOptions {
    nodelay: bool,
    keep_alive: Option<TcpKeepAlive>,
    user_timeout: Option<Duration>,
    unsent_limit: Option<u32>,
    send_buffer: Option<usize>,
}

impl SocketOptions {
    /// Creates the default options: see the table above.
    pub fn new() -> Self {
        Self {
            nodelay: true,
            keep_alive: Some(TcpKeepAlive::new()),
            user_timeout: Some(Duration::from_secs(20)),
            unsent_limit: Some(128 * 1024),
            send_buffer: None,
        }
    }

    /// Sets `TCP_NODELAY` (tcp(7); on by default).
    ///
    /// When it is off, Nagle's algorithm (RFC 9293, section 3.7.4) delays an event while an earlier one is not
    /// acknowledged: for a round trip, or for as long as the client delays its acknowledgement.
    pub fn with_nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets the probes of an idle connection. `None` keeps the setting of the socket; a new socket sends no probes.
    ///
    /// Probes apply while no data is in flight. While data is in flight, the system resends it, and the
    /// [user timeout](Self::with_user_timeout) applies.
    pub fn with_keep_alive(mut self, keep_alive: Option<TcpKeepAlive>) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Sets `TCP_USER_TIMEOUT` (tcp(7), RFC 5482; 20 seconds by default).
    ///
    /// It limits how long written data may stay unacknowledged, or unsent because the window of the client is shut. The
    /// connection then fails with [`io::ErrorKind::TimedOut`]. `None` keeps the setting of the socket. A new socket resends
    /// for a quarter of an hour, and waits forever for a client that does not read.
    ///
    /// The time is rounded up to milliseconds, from 1 to 2³¹ − 1 (24.8 days).
    ///
    /// - The limit ends the connection of a client that reads nothing for that long, once its receive buffer is full. A
    ///   slow client stays while its window opens within the limit. Over a network, 40 KB in 20 seconds are enough. On the
    ///   same machine, for example behind a local proxy, Linux opens the window in steps of 64 KB, and 100 KB in 20 seconds
    ///   are not enough.
    /// - On Linux, the limit also replaces the [number of probes](TcpKeepAlive::with_probes) of an idle connection. The
    ///   connection ends at a probe if nothing came for that long and an earlier probe was sent. To survive one lost probe,
    ///   the limit must be longer than the idle time and the interval together, as the defaults are.
    pub fn with_user_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.user_timeout = timeout.map(|timeout| {
            let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
            Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX).clamp(1, LONGEST_USER_TIMEOUT))
        });
        self
    }

    /// Sets `TCP_NOTSENT_LOWAT` (Linux's ip-sysctl, `tcp_notsent_lowat`; 128 KiB by default).
    ///
    /// It limits the bytes that are written but not sent yet. The socket is writable again when less than half of the limit
    /// is left. `None` keeps the setting of the socket; most systems have no limit.
    ///
    /// The limit bounds how far a stream runs ahead of a slow client, and so how old an event is when it arrives. Bytes that
    /// are sent but not acknowledged do not count, so long round trips do not slow a connection down. The last write may
    /// exceed the limit by some tens of kilobytes. 0 counts as 1.
    pub fn with_unsent_limit(mut self, bytes: Option<u32>) -> Self {
        // The system would take 0 for its own limit.
        self.unsent_limit = bytes.map(|bytes| bytes.max(1));
        self
    }

    /// Sets `SO_SNDBUF` (socket(7)), in bytes, at most 2³¹ − 1. `None`, the default, keeps the setting of the socket.
    ///
    /// It limits the bytes that are written and not acknowledged. A new socket has a buffer that grows with its connection,
    /// which suits most servers.
    ///
    /// Linux doubles the value for its own bookkeeping, up to `net.core.wmem_max` and at least a few kilobytes. Other
    /// systems may refuse a large value.
    pub fn with_send_buffer(mut self, bytes: Option<usize>) -> Self {
        self.send_buffer = bytes.map(|bytes| bytes.min(i32::MAX as usize));
        self
    }

    /// Creates a nonblocking listener at `addr` with these options. Port 0 means any free port.
    ///
    /// Up to 1024 clients wait to be accepted, if the system allows as many. Like [`TcpListener::bind`], it sets
    /// `SO_REUSEADDR` except on Windows, so that a server can restart while old connections linger.
    ///
    /// # Errors
    ///
    /// Fails when the system refuses the address: it is in use, it does not belong to this machine, or its port needs more
    /// rights.
    pub fn listen(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        // The options are set before a client can connect.
        self.set(&socket)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }

    /// Sets these options on an existing socket, such as a listener from systemd or an accepted connection.
    ///
    /// Connections that already wait to be accepted do not inherit the options of the listener.
    ///
    /// # Errors
    ///
    /// Fails when the system refuses an option, for example because the socket is not a TCP socket. Earlier options stay
    /// set.
    pub fn apply(&self, socket: &impl AsSocket) -> io::Result<()> {
        self.set(&SockRef::from(socket))
    }

    fn set(&self, socket: &Socket) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(keep_alive) = self.keep_alive {
            socket.set_tcp_keepalive(&keep_alive.for_system())?;
        }
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        #[cfg(any(target_os = "android", target_os = "linux"))]
        if let Some(bytes) = self.unsent_limit {
            socket.set_tcp_notsent_lowat(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        Ok(())
    }
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How the system probes an idle connection (`SO_KEEPALIVE`; socket(7), RFC 9293, section 3.8.4).
///
/// When the client is gone, the connection fails with [`io::ErrorKind::TimedOut`] after idle time + interval × probes. On
/// Linux, [`SocketOptions::with_user_timeout`] can end it earlier.
///
/// A client does not see the probes, and they also work between requests. A [`KeepAlive`](crate::KeepAlive) writes to the
/// stream instead. OpenBSD and Haiku ignore all three values, Solaris the interval and the number of probes.
///
/// ```
/// use std::time::Duration;
/// use ssekit_server::{SocketOptions, TcpKeepAlive};
///
/// let keep_alive = TcpKeepAlive::new().with_idle(Duration::from_secs(60));
/// let options = SocketOptions::new()
///     .with_keep_alive(Some(keep_alive))
///     .with_user_timeout(Some(Duration::from_secs(64)));
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct TcpKeepAlive {
    idle: Duration,
    interval: Duration,
    probes: u32,
}

impl TcpKeepAlive {
    /// Creates the default: a probe after 16 seconds, another one 2 seconds later, and the end after 20 seconds.
    ///
    /// A stream with its own keep-alive every 15 seconds is never probed.
    pub fn new() -> Self {
        Self { idle: Duration::from_secs(16), interval: Duration::from_secs(2), probes: 2 }
    }

    /// Sets the idle time before the first probe (`TCP_KEEPIDLE`; 16 seconds by default).
    ///
    /// The time is rounded up to seconds, from 1 to 32,767 (9.1 hours).
    pub fn with_idle(mut self, time: Duration) -> Self {
        self.idle = whole_seconds(time);
        self
    }

    /// Sets the time between two probes (`TCP_KEEPINTVL`; 2 seconds by default). It is rounded like the idle time.
    pub fn with_interval(mut self, time: Duration) -> Self {
        self.interval = whole_seconds(time);
        self
    }

    /// Sets the number of unanswered probes after which the connection ends (`TCP_KEEPCNT`; 2 by default), from 1 to 127.
    pub fn with_probes(mut self, probes: u32) -> Self {
        self.probes = probes.clamp(1, MOST_PROBES);
        self
    }

    fn for_system(self) -> TcpKeepalive {
        let keep_alive = TcpKeepalive::new().with_time(self.idle);
        #[cfg(any(
            target_os = "android",
            target_os = "dragonfly",
            target_os = "freebsd",
            target_os = "fuchsia",
            target_os = "illumos",
            target_os = "linux",
            target_os = "netbsd",
            target_vendor = "apple",
            windows,
        ))]
        let keep_alive = keep_alive.with_interval(self.interval).with_retries(self.probes);
        keep_alive
    }
}

impl Default for TcpKeepAlive {
    fn default() -> Self {
        Self::new()
    }
}

/// Rounds up to seconds within the range of Linux. 0 seconds would be an error.
fn whole_seconds(time: Duration) -> Duration {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    Duration::from_secs(seconds.clamp(1, LONGEST_KEEP_ALIVE))
}

// Only on Linux do connections inherit all options, and can all options be read back.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpStream, UdpSocket};

    use super::*;

    /// What a socket says of itself.
    #[derive(Clone, Debug, PartialEq)]
    struct Options {
        nodelay: bool,
        keep_alive: bool,
        idle: u64,
        interval: u64,
        probes: u32,
        user_timeout: Option<Duration>,
        unsent_limit: u32,
        send_buffer: usize,
    }

    fn read(socket: &impl AsSocket) -> Options {
        let socket = SockRef::from(socket);
        Options {
            nodelay: socket.tcp_nodelay().unwrap(),
            keep_alive: socket.keepalive().unwrap(),
            idle: socket.tcp_keepalive_time().unwrap().as_secs(),
            interval: socket.tcp_keepalive_interval().unwrap().as_secs(),
            probes: socket.tcp_keepalive_retries().unwrap(),
            user_timeout: socket.tcp_user_timeout().unwrap(),
            unsent_limit: socket.tcp_notsent_lowat().unwrap(),
            send_buffer: socket.send_buffer_size().unwrap(),
        }
    }

    fn local() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    /// The next connection, and its client.
    fn accept(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        (listener.accept().unwrap().0, client)
    }

    /// Every option, other than by default and than a new socket's.
    fn unusual() -> SocketOptions {
        let keep_alive =
            TcpKeepAlive::new().with_idle(Duration::from_secs(61)).with_interval(Duration::from_secs(7)).with_probes(5);
        SocketOptions::new()
            .with_keep_alive(Some(keep_alive))
            .with_user_timeout(Some(Duration::from_millis(12_345)))
            .with_unsent_limit(Some(54_321))
            .with_send_buffer(Some(20_000))
    }

    fn assert_unusual(options: &Options) {
        let expected = Options {
            nodelay: true,
            keep_alive: true,
            idle: 61,
            interval: 7,
            probes: 5,
            user_timeout: Some(Duration::from_millis(12_345)),
            unsent_limit: 54_321,
            send_buffer: 40_000,
        };
        assert_eq!(*options, expected);
    }

    #[test]
    fn accepted_connection_inherits_every_option() {
        let system = TcpListener::bind(local()).unwrap();
        let (plain, _client) = accept(&system);
        let plain = read(&plain);
        for (options, expected) in [
            (unusual(), None),
            (
                SocketOptions::new(),
                Some(Options {
                    nodelay: true,
                    keep_alive: true,
                    idle: 16,
                    interval: 2,
                    probes: 2,
                    user_timeout: Some(Duration::from_secs(20)),
                    unsent_limit: 131_072,
                    send_buffer: plain.send_buffer,
                }),
            ),
        ] {
            let listener = options.listen(local()).unwrap();
            let (connection, _client) = accept(&listener);
            let read = read(&connection);
            match expected {
                Some(expected) => assert_eq!(read, expected),
                None => assert_unusual(&read),
            }
            // It was not so by itself.
            assert_ne!(read.nodelay, plain.nodelay);
            assert_ne!(read.keep_alive, plain.keep_alive);
            assert_ne!(read.idle, plain.idle);
            assert_ne!(read.interval, plain.interval);
            assert_ne!(read.probes, plain.probes);
            assert_ne!(read.user_timeout, plain.user_timeout);
            assert_ne!(read.unsent_limit, plain.unsent_limit);
        }
    }

    #[test]
    fn ipv6_connection_inherits_every_option() {
        let Ok(listener) = unusual().listen("[::1]:0".parse().unwrap()) else {
            eprintln!("skipped: no IPv6 here");
            return;
        };
        let (connection, _client) = accept(&listener);
        assert_unusual(&read(&connection));
    }

    #[test]
    fn option_of_none_keeps_the_setting() {
        let listener = unusual().listen(local()).unwrap();
        let none = SocketOptions::new()
            .with_keep_alive(None)
            .with_user_timeout(None)
            .with_unsent_limit(None)
            .with_send_buffer(None);
        none.apply(&listener).unwrap();
        assert_unusual(&read(&listener));

        let plain = read(&TcpListener::bind(local()).unwrap());
        let listener = none.with_nodelay(false).listen(local()).unwrap();
        assert_eq!(read(&listener), plain);
    }

    #[test]
    fn values_that_the_system_refuses_are_clamped() {
        let keep_alive = TcpKeepAlive::new().with_idle(Duration::ZERO).with_interval(Duration::from_nanos(1));
        let least = SocketOptions::new()
            .with_keep_alive(Some(keep_alive.with_probes(0)))
            .with_user_timeout(Some(Duration::ZERO))
            .with_unsent_limit(Some(0))
            .with_send_buffer(Some(0));
        let least = read(&least.listen(local()).unwrap());
        assert_eq!((least.idle, least.interval, least.probes, least.unsent_limit), (1, 1, 1, 1));
        assert_eq!(least.user_timeout, Some(Duration::from_millis(1)));
        assert!(least.send_buffer > 0);

        let keep_alive = TcpKeepAlive::new().with_idle(Duration::MAX).with_interval(Duration::MAX);
        let most = SocketOptions::new()
            .with_keep_alive(Some(keep_alive.with_probes(u32::MAX)))
            .with_user_timeout(Some(Duration::MAX))
            .with_unsent_limit(Some(u32::MAX))
            .with_send_buffer(Some(usize::MAX));
        let most = read(&most.listen(local()).unwrap());
        assert_eq!((most.idle, most.interval, most.probes, most.unsent_limit), (32_767, 32_767, 127, u32::MAX));
        assert_eq!(most.user_timeout, Some(Duration::from_millis(i32::MAX as u64)));
        assert!(most.send_buffer > least.send_buffer);
    }

    #[test]
    fn fractions_are_rounded_up() {
        let keep_alive =
            TcpKeepAlive::new().with_idle(Duration::from_millis(1500)).with_interval(Duration::from_secs(3));
        let options = SocketOptions::new()
            .with_keep_alive(Some(keep_alive))
            .with_user_timeout(Some(Duration::from_micros(2_500_001)));
        let read = read(&options.listen(local()).unwrap());
        assert_eq!((read.idle, read.interval, read.user_timeout), (2, 3, Some(Duration::from_millis(2501))));
    }

    #[test]
    fn options_applied_to_a_listener_reach_later_connections() {
        let listener = TcpListener::bind(local()).unwrap();
        let addr = listener.local_addr().unwrap();
        let _early = TcpStream::connect(addr).unwrap();
        unusual().apply(&listener).unwrap();
        let _late = TcpStream::connect(addr).unwrap();
        assert_eq!(read(&listener.accept().unwrap().0).user_timeout, None);
        assert_unusual(&read(&listener.accept().unwrap().0));
    }

    #[test]
    fn options_are_applied_to_a_connection() {
        let listener = TcpListener::bind(local()).unwrap();
        let (connection, _client) = accept(&listener);
        unusual().apply(&connection).unwrap();
        assert_unusual(&read(&connection));
    }

    #[test]
    fn udp_socket_is_an_error() {
        assert!(SocketOptions::new().apply(&UdpSocket::bind(local()).unwrap()).is_err());
    }

    #[test]
    fn listener_is_nonblocking_and_reuses_its_port() {
        let listener = SocketOptions::new().listen(local()).unwrap();
        assert!(SockRef::from(&listener).nonblocking().unwrap());
        let addr = listener.local_addr().unwrap();
        assert_eq!(SocketOptions::new().listen(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // The side that closes first keeps the port for a while.
        let (connection, client) = accept(&listener);
        drop((connection, client, listener));
        SocketOptions::new().listen(addr).unwrap();
    }
}
