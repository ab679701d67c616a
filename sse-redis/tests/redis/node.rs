//! A node of several, and its clients.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use ssekit_core::{Decoder, Event};
use ssekit_redis::{RedisConnectError, RedisLog, RedisOptions, RedisSource, RedisStatus, redis};
use ssekit_server::hub::{Hub, HubOptions, Position, PublishError, RetentionOptions, Subscribe};
use ssekit_server::{KeepAlive, LastEventId};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// The timeout for anything that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A hub on Redis, and its log.
#[derive(Clone, Debug)]
pub(crate) struct RedisHub {
    hub: Hub,
    log: RedisLog,
}

impl RedisHub {
    pub(crate) async fn connect(
        source: impl Into<RedisSource>,
        options: RedisOptions,
        retention: RetentionOptions,
    ) -> Result<Self, RedisConnectError> {
        let log = RedisLog::connect(source, options, retention).await?;
        Ok(Self { hub: Hub::with_log(log.clone(), HubOptions::new()), log })
    }

    pub(crate) fn log(&self) -> &RedisLog {
        &self.log
    }
}

impl Deref for RedisHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.hub
    }
}

pub(crate) fn options() -> RedisOptions {
    RedisOptions::new("test:events").with_timeout(Duration::from_secs(1))
}

pub(crate) async fn node(url: &str) -> RedisHub {
    node_with(url, options(), RetentionOptions::new()).await
}

pub(crate) async fn node_with(url: &str, options: RedisOptions, retention: RetentionOptions) -> RedisHub {
    let client = redis::Client::open(url).unwrap();
    RedisHub::connect(client, options, retention).await.unwrap()
}

pub(crate) async fn publish(hub: &RedisHub, data: &str) -> Result<Position, PublishError> {
    hub.publish("news", Event::data(data)).await
}

/// Publishes an event until it is acknowledged. Tries again after every error.
pub(crate) async fn publish_at_last(hub: &RedisHub, data: &str) -> Position {
    let end = Instant::now() + PATIENCE;
    loop {
        match publish(hub, data).await {
            Ok(position) => return position,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn last_id(position: Position) -> Option<LastEventId> {
    LastEventId::try_from(&*position.to_string()).ok()
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn until_status(hub: &RedisHub, what: &str, is_so: impl Fn(&RedisStatus) -> bool) {
    until(what, || is_so(&hub.log().status())).await;
}

/// An event that a client has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) event_type: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

#[derive(Default)]
struct Got {
    messages: Vec<Message>,
    last_id: String,
    bytes: usize,
    has_ended: bool,
}

pub(crate) struct Client {
    got: Arc<Mutex<Got>>,
    task: JoinHandle<()>,
}

impl Client {
    pub(crate) fn start(hub: &RedisHub, last: Option<&str>) -> Self {
        let last = last.map(|last| LastEventId::try_from(last).unwrap());
        Self::subscribe(hub, Subscribe::prefix("").with_last_event_id(last))
    }

    pub(crate) fn subscribe(hub: &RedisHub, subscribe: Subscribe) -> Self {
        let got = Arc::new(Mutex::new(Got::default()));
        let mut body =
            hub.subscribe(subscribe).unwrap().into_body().with_keep_alive(KeepAlive::every(Duration::from_millis(100)));
        let task = tokio::spawn({
            let got = got.clone();
            async move {
                let mut decoder = Decoder::new();
                while let Some(chunk) = body.next().await {
                    let chunk = chunk.unwrap();
                    let mut got = got.lock().unwrap();
                    got.bytes += chunk.len();
                    let mut rest = &chunk[..];
                    while let Some(event) = decoder.next_event(&mut rest).unwrap() {
                        got.messages.push(Message {
                            event_type: event.event_type.to_owned(),
                            data: event.data.to_owned(),
                            id: event.last_event_id.to_owned(),
                        });
                    }
                    got.last_id = decoder.last_event_id().to_owned();
                }
                got.lock().unwrap().has_ended = true;
            }
        });
        Self { got, task }
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.got.lock().unwrap().messages.clone()
    }

    /// Returns the data of all published events.
    pub(crate) fn data(&self) -> Vec<String> {
        let messages = self.messages().into_iter();
        messages.filter(|message| message.event_type == "message").map(|message| message.data).collect()
    }

    /// Returns the data of all events that the hub itself sent.
    pub(crate) fn told(&self) -> Vec<String> {
        let messages = self.messages().into_iter();
        messages.filter(|message| message.event_type != "message").map(|message| message.data).collect()
    }

    pub(crate) fn last_id(&self) -> String {
        self.got.lock().unwrap().last_id.clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.got.lock().unwrap().has_ended
    }

    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let is_in_time = timeout(PATIENCE, async {
            while !is_so(self) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        let is_in_time = is_in_time.await.is_ok();
        let messages = self.messages();
        let (count, last) = (messages.len(), &messages[messages.len().saturating_sub(20)..]);
        let ended = self.has_ended();
        assert!(is_in_time, "not in time: {what}: {count} messages, ended {ended}, told {:?}, {last:#?}", self.told());
    }

    pub(crate) async fn until_data(&self, data: &[&str]) {
        self.until(&format!("{data:?}"), |client| client.data() == data).await;
    }

    /// Waits for a keep-alive, and asserts that the stream is open.
    pub(crate) async fn is_kept_alive(&self) {
        let bytes = self.got.lock().unwrap().bytes;
        self.until("keep-alive", |client| client.got.lock().unwrap().bytes > bytes).await;
        assert!(!self.has_ended());
    }

    /// Asserts that no event arrived twice, and that events are in order within each epoch and of the epochs.
    pub(crate) fn assert_in_order(&self) {
        let mut seen = BTreeMap::new();
        let mut last = None::<Position>;
        for message in self.messages() {
            let position: Position = message.id.parse().unwrap();
            if message.event_type == "message" {
                assert!(last.is_none_or(|last| last < position), "{position} behind {last:?}");
                assert_eq!(seen.insert(message.data.clone(), position), None, "twice: {message:?}");
                last = Some(position);
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}
