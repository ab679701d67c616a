//! How `SocketOptions` end the connections of clients that vanish and of clients that do not read.
#![cfg(all(feature = "net", target_os = "linux"))]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use ssekit_server::{SocketOptions, TcpKeepAlive};

/// Only a failure takes this long.
const SOON: Duration = Duration::from_secs(20);
/// Set when the test program runs itself as the client.
const CLIENT: &str = "SSEKIT_TEST_CLIENT";

/// No data is in flight, so the TCP keep-alive ends the connection.
#[test]
fn idle_connection_of_a_vanished_client_ends() {
    let second = Duration::from_secs(1);
    let keep_alive = TcpKeepAlive::new().with_idle(second).with_interval(second).with_probes(1);
    let options = none().with_keep_alive(Some(keep_alive));
    in_a_network("idle_connection_of_a_vanished_client_ends", &options, |_| ());
}

/// Data is in flight, so no probes are sent, and the user timeout ends the connection.
#[test]
fn connection_with_unacknowledged_data_of_a_vanished_client_ends() {
    let options = none().with_user_timeout(Some(Duration::from_secs(1)));
    in_a_network("connection_with_unacknowledged_data_of_a_vanished_client_ends", &options, |mut connection| {
        connection.write_all(b"data: anybody there?\n\n").unwrap();
    });
}

#[test]
fn connection_of_a_client_that_does_not_read_ends() {
    let limited = SocketOptions::new().with_user_timeout(Some(Duration::from_secs(1)));
    let [stuck, reading, unlimited] =
        [&limited, &limited, &SocketOptions::new().with_user_timeout(None)].map(|options| {
            let listener = options.listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (accept(&listener), client)
        });
    fill(&unlimited.0);
    // The buffer of this client has room for all data, so it need not read.
    (&reading.0).write_all(b"data: 1\n\n").unwrap();

    let error = end(|| (&stuck.0).write(&[b'x'; 4096])).expect("open, and its client does not read");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(is_open(&unlimited.0));
    assert!(is_open(&reading.0));
}

#[test]
fn unsent_limit_bounds_the_memory_for_a_client_that_does_not_read() {
    let options = none().with_send_buffer(Some(1 << 20));
    let [limited, unlimited] = [&options.clone().with_unsent_limit(Some(16 * 1024)), &options].map(|options| {
        let listener = options.listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        fill(&accept(&listener))
    });
    // Both numbers include the buffer of the client.
    assert!(limited + 64 * 1024 < unlimited, "{limited} bytes with a limit, {unlimited} without");
}

/// Serves a client in its own network over two connections, one with the options and one without. Then the network goes
/// down. The connection with the options must end, and the other one must stay open.
fn in_a_network(test: &str, options: &SocketOptions, then: impl Fn(&TcpStream)) {
    if env::var_os(CLIENT).is_some() {
        return be_the_client();
    }
    let Some(mut network) = Network::new(test) else { return };
    let [(limited, addr), (plain, plain_addr)] =
        [options.listen(network.outside()), TcpListener::bind(network.outside())].map(|listener| {
            let listener = listener.unwrap();
            let addr = listener.local_addr().unwrap();
            (listener, addr)
        });
    network.connect(&[addr, plain_addr]);
    let [limited, plain] = [accept(&limited), accept(&plain)];
    assert!(is_open(&limited) && is_open(&plain));

    network.take_down();
    then(&limited);
    then(&plain);
    let error = end(|| (&limited).read(&mut [0])).expect("open, and its client has vanished");
    // The kind of error depends on whether the neighbour is still known.
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::HostUnreachable), "{error}");
    assert!(is_open(&plain), "it ends by itself, and the test shows nothing");
}

/// A network namespace with a client in it, and a link to it from here.
///
/// The namespace has no name, so nothing is left of it or of the link when the client has ended. The client ends when its
/// standard input closes, so when the test ends in any way.
struct Network {
    client: Child,
    link: String,
    /// The first of four addresses from the range of RFC 2544 for tests.
    base: u32,
}

impl Network {
    /// Returns `None` if a namespace cannot be created, for example without root.
    fn new(test: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = run("unshare", &["--net", "ip", "link", "add", "type", "veth"]) {
            eprintln!("skipped: no network namespaces here: {error}");
            return None;
        }
        let client = Command::new("unshare")
            .arg("--net")
            .arg(env::current_exe().unwrap())
            .args(["--exact", test])
            .env(CLIENT, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (process::id() * 4 + count) % (1 << 15) * 4;
        let network = Self { client, link: format!("sse{}x{count}", process::id()), base };
        until("its own network", || network.is_apart());
        let [link, pid] = [&network.link, &network.client.id().to_string()];
        let [outside, inside] = [1, 2].map(|n| format!("{}/30", Ipv4Addr::from(base + n)));
        run("ip", &["link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid]).unwrap();
        run("ip", &["addr", "add", &outside, "dev", link]).unwrap();
        run("ip", &["link", "set", link, "up"]).unwrap();
        network.inside(&["ip", "addr", "add", &inside, "dev", "eth0"]);
        network.inside(&["ip", "link", "set", "eth0", "up"]);
        Some(network)
    }

    /// Returns the address of this end of the link, with any port.
    fn outside(&self) -> SocketAddr {
        (Ipv4Addr::from(self.base + 1), 0).into()
    }

    /// Makes the client connect.
    fn connect(&mut self, addrs: &[SocketAddr]) {
        let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
        writeln!(self.client.stdin.as_mut().unwrap(), "{}", addrs.join(" ")).unwrap();
    }

    /// Drops all packets of the client from now on.
    fn take_down(&self) {
        self.inside(&["ip", "link", "set", "eth0", "down"]);
    }

    fn inside(&self, command: &[&str]) {
        let pid = self.client.id().to_string();
        run("nsenter", &[&["--net", "--target", &pid][..], command].concat()).unwrap();
    }

    /// Returns whether the client has moved to its own network.
    fn is_apart(&self) -> bool {
        let [ours, its] =
            ["self", &self.client.id().to_string()].map(|pid| fs::read_link(format!("/proc/{pid}/ns/net")));
        its.is_ok_and(|its| its != ours.unwrap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Removed at once, before the system gives up the connections of the client.
        let _ = run("ip", &["link", "del", &self.link]);
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// Runs as the client: connects on request, and holds the connections.
fn be_the_client() {
    let mut lines = io::stdin().lines();
    let addrs = lines.next().unwrap().unwrap();
    let connections: Vec<_> = addrs.split(' ').map(|addr| TcpStream::connect(addr).unwrap()).collect();
    lines.for_each(drop);
    drop(connections);
}

/// Returns options that only set `TCP_NODELAY`.
fn none() -> SocketOptions {
    SocketOptions::new().with_keep_alive(None).with_user_timeout(None).with_unsent_limit(None)
}

fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(args).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", args.join(" "), said.trim())))
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut connection = None;
    until("a client", || {
        connection = listener.accept().ok();
        connection.is_some()
    });
    let (connection, _) = connection.unwrap();
    connection.set_nonblocking(true).unwrap();
    connection
}

/// Writes until the system takes no more, and returns the number of bytes.
fn fill(mut connection: &TcpStream) -> usize {
    let mut taken = 0;
    loop {
        match connection.write(&[b'x'; 16 * 1024]) {
            Ok(n) => taken += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return taken;
            }
        }
    }
}

fn is_open(mut connection: &TcpStream) -> bool {
    connection.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Returns the error that ends a connection.
fn end(mut turn: impl FnMut() -> io::Result<usize>) -> Option<io::Error> {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        match turn() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(20)),
            Err(error) => return Some(error),
            Ok(n) => assert_ne!(n, 0, "its client has closed it"),
        }
    }
    None
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
