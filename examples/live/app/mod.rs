//! All of `live` and `live_actix` but the web framework.

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
/// No request's body is longer, for either framework to see to it.
pub(crate) const MAX_BODY: usize = 16 << 10;

/// The number of events that are kept.
const MAX_EVENTS: usize = 10_000;

/// The topic of what is said at all nodes. What is of one machine has a topic of its own at each: see [`App::topic`].
const CHAT: &str = "chat";
const MACHINE: &str = "machine";
const LOG: &str = "log";

/// The application, for a framework to serve.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) hub: Hub,
    /// Its name among those that have their events in the same Redis.
    node: Arc<str>,
    tail: Option<Arc<str>>,
}

/// How a request is answered: its status, and text.
pub(crate) type Answer = (u16, String);

/// The first event of each connection. The hub's own, which follows, says where the client stands.
#[derive(Serialize)]
struct Hello<'a> {
    /// When the events began, in this process or in Redis: the first part of their IDs.
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

    /// The topic of something that is of this node alone.
    fn topic(&self, what: &str) -> String {
        format!("{what}/{}", self.node)
    }

    /// The event stream: where this connection stands, what it has missed, and then all that comes.
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
            // All of the chat and the log that is kept, but of the machine, whose events have a key, how it is now.
            subscribe = subscribe.with_start(StartFrom::Oldest).with_policy(SlowConsumerPolicy::Coalesce);
        }
        let result = self.hub.subscribe(subscribe.with_last_event_id(last_event_id.cloned()));
        HubResponse::new(request, result).with_reconnection_time(Duration::from_secs(1))
    }

    /// Whether it is good to send clients here: for a load balancer.
    pub(crate) fn ready(&self) -> Answer {
        match self.hub.is_ready() {
            true => (200, "ready".to_owned()),
            false => (503, "the server shuts down, or Redis is away".to_owned()),
        }
    }

    /// How the streams end with the program.
    pub(crate) fn end() -> DrainOptions {
        let bye = Event::data("the server shuts down").with_event_type(event_type!("bye"));
        DrainOptions::new().with_farewell(bye).with_reconnection_time(Duration::from_secs(1))
    }
}

/// The program `name`, of which `serve` is what the framework does: to serve the application until the signal.
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

/// Comes when the program is to end.
pub(crate) type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Milliseconds since 1970.
fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or_default()
}

struct Arguments {
    addr: String,
    tail: Option<PathBuf>,
    /// A URL, which may have a password.
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

/// Says what to open. Whoever started it need not listen, so an error is none.
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
