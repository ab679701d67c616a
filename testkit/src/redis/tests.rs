use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::{Certificates, Proxy, RedisServer, RedisSetup, Reply, RespClient, until};

const LIMIT: Duration = Duration::from_secs(10);
const A_WHILE: Duration = Duration::from_millis(200);

fn set(server: &RedisServer, value: &str) {
    assert_eq!(server.command(&[b"SET", b"key", value.as_bytes()]), Reply::ok());
}

fn get(server: &RedisServer) -> Reply {
    server.command(&[b"GET", b"key"])
}

fn answers(server: &RedisServer) -> bool {
    server.connect().and_then(|mut client| client.command(&[b"PING"])).is_ok()
}

/// A socket that is closed is open a little longer in a process that another test is just starting.
fn comes_true(is_true: impl Fn() -> bool) {
    until(LIMIT, || is_true().then_some(())).expect("it comes true");
}

fn is_silent(client: &mut RespClient) -> bool {
    client.set_limit(A_WHILE).unwrap();
    let answer = client.receive();
    client.set_limit(LIMIT).unwrap();
    matches!(answer, Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()))
}

#[test]
fn replies_are_read_whole() {
    let server = RedisSetup::new().start();
    let script = b"return {1, 'two', {false, {}}, redis.status_reply('FOUR'), ''}";
    let nested = Reply::Array(Some(vec![Reply::Bulk(None), Reply::Array(Some(vec![]))]));
    let expected = vec![Reply::Int(1), Reply::bulk("two"), nested, Reply::Simple("FOUR".to_owned()), Reply::bulk("")];
    assert_eq!(server.command(&[b"EVAL", script, b"0"]), Reply::Array(Some(expected)));
    assert_eq!(server.command(&[b"BLPOP", b"none", b"0.01"]), Reply::Array(None));
    assert!(matches!(server.command(&[b"NONE"]), Reply::Error(error) if error.starts_with("ERR unknown command")));
}

#[test]
fn data_survives_a_kill_on_disk_only() {
    for (setup, after) in [(RedisSetup::new().persistent(), Reply::bulk("1")), (RedisSetup::new(), Reply::Bulk(None))] {
        let server = setup.start();
        let port = server.port();
        set(&server, "1");
        server.kill();
        assert!(!answers(&server));
        server.start();
        assert_eq!((server.port(), get(&server)), (port, after.clone()));
        server.stop();
        assert!(!answers(&server));
        server.start();
        assert_eq!(get(&server), after);
        server.stop();
        server.wipe();
        server.start();
        assert_eq!(get(&server), Reply::Bulk(None));
    }
}

#[test]
fn the_password_is_needed() {
    let password = "p@ss: \"w\\rd\"/é\n";
    let server = RedisSetup::new().password(password).config("maxmemory 10mb").start();
    assert_eq!(server.url(), format!("redis://:p%40ss%3A%20%22w%5Crd%22%2F%C3%A9%0A@127.0.0.1:{}/", server.port()));
    let mut client = RespClient::connect(server.addr(), LIMIT).unwrap();
    let refused = client.command(&[b"GET", b"key"]).unwrap();
    assert!(matches!(refused, Reply::Error(error) if error.starts_with("NOAUTH")));
    assert_eq!(client.command(&[b"AUTH", password.as_bytes()]).unwrap(), Reply::ok());
    assert_eq!(client.command(&[b"GET", b"key"]).unwrap(), Reply::Bulk(None));
    let memory = Reply::Array(Some(vec![Reply::bulk("maxmemory"), Reply::bulk("10485760")]));
    assert_eq!(server.command(&[b"CONFIG", b"GET", b"maxmemory"]), memory);
}

#[test]
fn a_replica_follows_and_is_promoted() {
    let master = RedisSetup::new().password("secret one").start();
    let replica = RedisSetup::new().password("secret two").replica_of(&master).start();
    set(&master, "1");
    master.wait_for_replica();
    assert_eq!(get(&replica), Reply::bulk("1"));
    assert!(matches!(replica.command(&[b"DEL", b"key"]), Reply::Error(error) if error.starts_with("READONLY")));

    replica.pause();
    set(&master, "2");
    assert_eq!(master.replicas(A_WHILE), 0);
    replica.resume();
    master.wait_for_replica();
    assert_eq!(get(&replica), Reply::bulk("2"));

    master.kill();
    replica.promote();
    set(&replica, "3");
    replica.kill();
    replica.start();
    assert_eq!(get(&replica), Reply::Bulk(None));
    set(&replica, "4");
    master.start();
    master.follow(&replica);
    replica.wait_for_replica();
    assert_eq!(get(&master), Reply::bulk("4"));
}

#[test]
fn tls_is_trusted_by_the_authority_only() {
    let server = RedisSetup::new().password("secret").tls().start();
    assert_eq!(server.tls_url(), format!("rediss://:secret@127.0.0.1:{}/", server.tls_addr().port()));
    server.stop();
    server.start();
    let folder = server.folder();
    let other = folder.join("other.pem");
    std::fs::write(&other, Certificates::generate().authority).unwrap();
    std::fs::write(folder.join("client.pem"), &server.certificates().client).unwrap();
    std::fs::write(folder.join("client-key.pem"), &server.certificates().client_key).unwrap();
    let ask = |authority: &Path, more: &[&str]| {
        let port = server.tls_addr().port().to_string();
        let mut command = Command::new("redis-cli");
        command.current_dir(folder).args(["--no-auth-warning", "-a", "secret", "--tls", "-p", &port, "--cacert"]);
        let output = command.arg(authority).args(more).arg("PING").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let authority = folder.join("ca.pem");
    assert_eq!(ask(&authority, &[]), "PONG\n");
    assert_eq!(ask(&other, &[]), "");
    assert_eq!(server.command(&[b"CONFIG", b"SET", b"tls-auth-clients", b"yes"]), Reply::ok());
    assert_ne!(ask(&authority, &[]), "PONG\n");
    assert_eq!(ask(&authority, &["--cert", "client.pem", "--key", "client-key.pem"]), "PONG\n");
}

#[test]
fn a_paused_server_answers_later() {
    let server = RedisSetup::new().start();
    let mut client = server.connect().unwrap();
    server.pause();
    client.send(&[b"PING"]).unwrap();
    assert!(is_silent(&mut client));
    server.resume();
    assert_eq!(client.receive().unwrap(), Reply::Simple("PONG".to_owned()));
    server.pause();
    server.stop();
}

#[test]
fn a_server_waits_for_its_port_and_leaves_nothing() {
    let server = RedisSetup::new().persistent().start();
    set(&server, "1");
    server.stop();
    let taken = TcpListener::bind(server.addr()).unwrap();
    thread::scope(|scope| {
        let starting = scope.spawn(|| server.start());
        comes_true(|| server.log().contains("Address already in use"));
        drop(taken);
        starting.join().unwrap();
    });
    assert_eq!(get(&server), Reply::bulk("1"));
    let (addr, folder) = (server.addr(), server.folder().to_owned());
    assert!(folder.exists());
    drop(server);
    assert!(!folder.exists());
    comes_true(|| TcpListener::bind(addr).is_ok());
}

#[test]
fn everything_passes_through_the_proxy() {
    let server = RedisSetup::new().password("secret").start();
    let proxy = Proxy::start(server.addr());
    assert_eq!(server.url_by(proxy.addr()), format!("redis://:secret@127.0.0.1:{}/", proxy.port()));
    let mut client = server.connect_by(proxy.addr()).unwrap();
    let value = vec![b'x'; 3_000_000];
    assert_eq!(client.command(&[b"SET", b"key", &value]).unwrap(), Reply::ok());
    assert_eq!(client.command(&[b"GET", b"key"]).unwrap(), Reply::bulk(&value));
    assert_eq!(proxy.connections(), 1);
    drop(client);
    comes_true(|| proxy.connections() == 0);
}

#[test]
fn an_end_passes_in_its_direction_only() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(target.local_addr().unwrap());
    let mut client = TcpStream::connect(proxy.addr()).unwrap();
    let (mut server, _) = target.accept().unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut read = String::new();
    server.read_to_string(&mut read).unwrap();
    assert_eq!(read, "question");
    server.write_all(b"answer").unwrap();
    drop(server);
    read.clear();
    client.read_to_string(&mut read).unwrap();
    assert_eq!(read, "answer");
}

#[test]
fn a_cut_link_has_no_connections() {
    let server = RedisSetup::new().start();
    let proxy = Proxy::start(server.addr());
    let mut client = server.connect_by(proxy.addr()).unwrap();
    client.command(&[b"PING"]).unwrap();
    proxy.cut();
    assert_eq!(proxy.connections(), 0);
    assert!(!is_silent(&mut client));
    assert!(client.command(&[b"PING"]).is_err());
    // It may be closed before the client looks.
    assert!(server.connect_by(proxy.addr()).and_then(|mut client| client.command(&[b"PING"])).is_err());
    proxy.heal();
    assert!(client.command(&[b"PING"]).is_err());
    assert!(server.connect_by(proxy.addr()).unwrap().command(&[b"PING"]).is_ok());
}

#[test]
fn a_frozen_link_holds_everything() {
    let server = RedisSetup::new().start();
    let proxy = Proxy::start(server.addr());
    let mut old = server.connect_by(proxy.addr()).unwrap();
    let mut subscriber = server.connect_by(proxy.addr()).unwrap();
    old.command(&[b"PING"]).unwrap();
    subscriber.command(&[b"SUBSCRIBE", b"channel"]).unwrap();
    proxy.freeze();
    let mut new = server.connect_by(proxy.addr()).unwrap();
    old.send(&[b"SET", b"key", b"1"]).unwrap();
    new.send(&[b"PING"]).unwrap();
    assert_eq!(server.command(&[b"PUBLISH", b"channel", b"message"]), Reply::Int(1));
    assert!(is_silent(&mut old));
    assert!(is_silent(&mut new));
    assert!(is_silent(&mut subscriber));
    assert_eq!(get(&server), Reply::Bulk(None));
    assert_eq!(proxy.connections(), 3);
    proxy.heal();
    assert_eq!(old.receive().unwrap(), Reply::ok());
    assert_eq!(new.receive().unwrap(), Reply::Simple("PONG".to_owned()));
    let message = ["message", "channel", "message"].map(Reply::bulk).to_vec();
    assert_eq!(subscriber.receive().unwrap(), Reply::Array(Some(message)));

    // Nor is an end told.
    proxy.freeze();
    server.kill();
    assert!(is_silent(&mut old));
    proxy.cut();
    assert!(!is_silent(&mut old));
}

#[test]
fn a_slow_link_carries_everything_in_its_time() {
    let server = RedisSetup::new().start();
    let value = vec![b'x'; 50_000];
    assert_eq!(server.command(&[b"SET", b"key", &value]), Reply::ok());
    let proxy = Proxy::start(server.addr());
    let mut client = server.connect_by(proxy.addr()).unwrap();
    client.command(&[b"PING"]).unwrap();
    proxy.slow(100_000, Duration::from_millis(5));
    let start = Instant::now();
    assert_eq!(client.command(&[b"GET", b"key"]).unwrap(), Reply::bulk(&value));
    assert!(start.elapsed() >= Duration::from_millis(500));

    // Who waits for a slow link does not wait for one that is healed.
    proxy.slow(1, Duration::from_secs(3600));
    client.send(&[b"PING"]).unwrap();
    assert!(is_silent(&mut client));
    proxy.heal();
    assert_eq!(client.receive().unwrap(), Reply::Simple("PONG".to_owned()));
}

#[test]
fn a_target_moves() {
    let [one, two] = ["1", "2"].map(|value| {
        let server = RedisSetup::new().start();
        set(&server, value);
        server
    });
    let proxy = Proxy::start(one.addr());
    let mut client = one.connect_by(proxy.addr()).unwrap();
    assert_eq!(client.command(&[b"GET", b"key"]).unwrap(), Reply::bulk("1"));
    proxy.set_target(two.addr());
    assert!(client.command(&[b"GET", b"key"]).is_err());
    let mut client = two.connect_by(proxy.addr()).unwrap();
    assert_eq!(client.command(&[b"GET", b"key"]).unwrap(), Reply::bulk("2"));
}

#[test]
fn a_dropped_proxy_has_ended() {
    let server = RedisSetup::new().start();
    // With threads that wait for each of what they wait for.
    let faults: [fn(&Proxy); 4] = [|_| {}, Proxy::freeze, Proxy::cut, |proxy| proxy.slow(1, Duration::from_secs(3600))];
    for fault in faults {
        let proxy = Proxy::start(server.addr());
        let mut client = server.connect_by(proxy.addr()).unwrap();
        client.command(&[b"PING"]).unwrap();
        fault(&proxy);
        let _ = client.send(&[b"PING"]);
        let addr = proxy.addr();
        drop(proxy);
        client.set_limit(LIMIT).unwrap();
        while client.receive().is_ok() {}
        comes_true(|| TcpStream::connect(addr).is_err());
    }
}
