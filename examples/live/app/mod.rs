//! The parts of `live` and `live_actix` that do not depend on the web framework.

mod chat;
mod hub_stats;
mod machine;
mod tail;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use ssekit::hub::{
    Hub, HubOptions, HubResponse, MemoryLog, RetentionOptions, SlowConsumerPolicy, StartFrom, Subscribe,
};
use ssekit::redis::{RedisLog, RedisOptions, redis::Client};
use ssekit::server::{DrainOptions, DrainReport, LastEventId, SseRequest};
use ssekit::{EncodedEvent, Event, event_type};
use sysinfo::System;

use crate::common::{self, listen, shutdown};
use tail::Tail;

pub(crate) const PAGE: &str = include_str!("index.html");
/// The maximum length of a request body. Each framework enforces it.
pub(crate) const MAX_BODY: usize = 16 << 10;

/// The maximum number of events that the hub keeps.
const MAX_EVENTS: usize = 10_000;

/// The topic of the chat on all nodes. Events of one machine have their own topic on each node: see [`App::topic`].
const CHAT: &str = "chat";
const MACHINE: &str = "machine";
const LOG: &str = "log";

/// The application, for a framework to serve.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) hub: Hub,
    /// The name of this node among the nodes that share one Redis.
    node: Arc<str>,
    tail: Option<Arc<str>>,
}

/// The answer to a request: a status and a text.
pub(crate) type Answer = (u16, String);

/// The first event of each connection. The hub's resume event follows, with the client's position.
#[derive(Serialize)]
struct Hello<'a> {
    /// The time when the events began, in this process or in Redis: the first part of their IDs.
    server: String,
    host: Option<String>,
    cpus: usize,
    last_event_id: Option<&'a str>,
    tail: Option<&'a str>,
}

impl App {
    fn new(hub: Hub, addr: SocketAddr, tail: Option<&Path>) -> Self {
        let host = System::host_name().unwrap_or_else(|| addr.ip().to_string());
        let node = format!("{host}:{}", addr.port()).into();
        Self { hub, node, tail: tail.map(|path| path.display().to_string().into()) }
    }

    /// Returns the topic of events of this node only.
    fn topic(&self, what: &str) -> String {
        format!("{what}/{}", self.node)
    }

    /// Responds with the event stream: the connection's position, missed events, and then all new events.
    pub(crate) fn events(&self, request: &SseRequest) -> HubResponse {
        let last_event_id = request.last_event_id();
        let hello = Hello {
            server: self.hub.position().epoch.to_string(),
            host: System::host_name(),
            cpus: available_parallelism().map_or(1, usize::from),
            last_event_id: last_event_id.map(LastEventId::as_str),
            tail: self.tail.as_deref(),
        };
        let mut subscribe = Subscribe::topics([&*self.topic(MACHINE), &*self.topic(LOG), CHAT]).with_resume_event();
        if let Ok(hello) = EncodedEvent::json(&Event::new().with_event_type(event_type!("hello")), &hello) {
            subscribe = subscribe.with_first_event(hello);
        }
        if last_event_id.is_none() {
            // A new client receives all kept events of the chat and of the log. Events of the machine have a key, so the client
            // receives only the latest.
            subscribe = subscribe.with_start(StartFrom::Oldest).with_policy(SlowConsumerPolicy::Coalesce);
        }
        let result = self.hub.subscribe(subscribe.with_last_event_id(last_event_id.cloned()));
        HubResponse::new(request, result).with_reconnection_time(Duration::from_secs(1))
    }

    /// Answers a load balancer whether this node accepts new clients.
    pub(crate) fn ready(&self) -> Answer {
        match self.hub.is_ready() {
            true => (200, "ready".to_owned()),
            false => (503, "the server shuts down, or Redis is away".to_owned()),
        }
    }

    /// Returns how the streams end when the program ends.
    pub(crate) fn end() -> DrainOptions {
        let bye = Event::data("the server shuts down").with_event_type(event_type!("bye"));
        DrainOptions::new().with_farewell(bye).with_reconnection_time(Duration::from_secs(1))
    }
}

/// Runs the program `name`. `serve` is the part of the framework: it serves the application until the signal.
pub(crate) async fn main<S>(name: &str, serve: S) -> ExitCode
where
    S: AsyncFnOnce(TcpListener, App, Signal) -> io::Result<DrainReport>,
{
    let run = async |Arguments { addr, tail, redis }| {
        let (listener, local) = listen(&addr)?;
        let signal = shutdown()?;
        let hub = open_hub(redis.as_deref()).await?;
        let app = App::new(hub, local, tail.as_deref());
        tokio::spawn(machine::sample(app.clone()));
        if let Some(path) = &tail {
            tokio::spawn(Tail::open(path.clone()).await.follow(app.clone()));
        }
        announce(name, local, tail);
        let report = serve(listener, app, Box::pin(signal)).await.map_err(|error| error.to_string())?;
        let _ = writeln!(io::stdout(), "{name} ends: {report}");
        Ok(())
    };
    common::main(name, &help(name), arguments(), run).await
}

/// Creates the hub: its log is in memory, or in the Redis with this URL, which several nodes share.
async fn open_hub(redis: Option<&str>) -> Result<Hub, String> {
    let retention = RetentionOptions::new().with_max_events(MAX_EVENTS).with_max_bytes(4 << 20);
    let options = HubOptions::new().with_name("live").with_max_clients(10_000);
    let Some(url) = redis else { return Ok(Hub::with_log(MemoryLog::new(retention), options)) };
    // The URL may contain a password, so the errors name only the address.
    let client = Client::open(url).map_err(|error| format!("cannot use the URL of --redis: {error}"))?;
    let addr = client.get_connection_info().addr().to_string();
    // Every event in Redis is in memory too. A message that cannot be published fails after two seconds.
    let redis = RedisOptions::new("ssekit:live").with_max_events(MAX_EVENTS).with_preload(MAX_EVENTS);
    let redis = redis.with_timeout(Duration::from_secs(2));
    let log = RedisLog::connect(client, redis, retention).await;
    log.map(|log| Hub::with_log(log, options)).map_err(|error| format!("cannot use Redis at {addr}: {error}"))
}

/// A future that is ready when the program must end.
pub(crate) type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Returns the time in milliseconds since 1970.
fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or_default()
}

struct Arguments {
    addr: String,
    tail: Option<PathBuf>,
    /// The URL of Redis, which may contain a password.
    redis: Option<String>,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments = Arguments { addr: "127.0.0.1:8080".to_owned(), tail: None, redis: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => arguments.addr = parser.value()?.string()?,
            Long("tail") => arguments.tail = Some(parser.value()?.into()),
            Long("redis") => {
                let url = parser.value()?.into_string();
                arguments.redis = Some(url.map_err(|_| "the URL of --redis is no Unicode")?);
            }
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

fn help(name: &str) -> String {
    format!(
        "\
Serves live data of this machine and a chat as an event stream, and a page that shows them.

Usage: {name} [--addr HOST:PORT] [--tail FILE] [--redis URL]

  --addr HOST:PORT  where to listen (default 127.0.0.1:8080; port 0 takes a free one)
  --tail FILE       also send what is appended to FILE, an event a record: a line, with the
                    lines below it that are blank or begin with a space or a tab
  --redis URL       have the events in Redis or Valkey (redis://HOST:PORT/): all who do so serve
                    one chat, and a page goes on at any of them
"
    )
}

/// Prints the addresses to open. Standard output may be closed, so errors are ignored.
fn announce(name: &str, local: SocketAddr, tail: Option<PathBuf>) {
    let tail = match tail {
        Some(path) => format!("append  lines to {} and see them come", path.display()),
        None => "start it with --tail FILE to see a file's new lines too".to_owned(),
    };
    let _ = write!(
        io::stdout(),
        "ssekit {name} is listening on http://{local}/\n\n\
        \x20 open    http://{local}/\n\
        \x20 or      curl -N http://{local}/events\n\
        \x20 or      curl -sN http://{local}/events | cargo run --release --example decode\n\
        \x20 chat    curl -d '{{\"name\": \"me\", \"text\": \"hello\"}}' http://{local}/chat\n\
        \x20 numbers curl http://{local}/hub_stats\n\
        \x20 health  curl http://{local}/ready, and /live\n\
        \x20 {tail}\n"
    );
}
