//! Where the events are: in this process, or in Redis for several.

use std::time::Duration;

use ssekit::EncodedEvent;
use ssekit::hub::{ClientInfo, Hub, HubOptions, HubStats, Position, Rejection, Subscribe, Subscription};
use ssekit::redis::{RedisLog, RedisOptions, RedisPublishError, redis::Client};
use ssekit::server::StreamGroup;

/// So many events are kept.
const MAX_EVENTS: usize = 10_000;

#[derive(Clone)]
pub(crate) enum AnyHub {
    Memory(Hub),
    Redis(Hub<RedisLog>),
}

impl AnyHub {
    pub(super) fn in_memory() -> Self {
        Self::Memory(Hub::new(options()))
    }

    /// Or why not. The URL may have a password, and is not told.
    pub(super) async fn on_redis(url: &str) -> Result<Self, String> {
        let client = Client::open(url).map_err(|error| format!("cannot use the URL of --redis: {error}"))?;
        let addr = client.get_connection_info().addr().to_string();
        // All are in memory too. Nobody waits for longer than this to hear that a message is not sent.
        let redis = RedisOptions::new("ssekit:live").with_max_events(MAX_EVENTS).with_preload(MAX_EVENTS);
        let redis = redis.with_timeout(Duration::from_secs(2));
        let hub = RedisLog::connect(client, redis, options()).await;
        hub.map(Self::Redis).map_err(|error| format!("cannot use Redis at {addr}: {error}"))
    }

    pub(super) async fn publish(
        &self,
        topic: &str,
        event: impl Into<EncodedEvent>,
    ) -> Result<Position, RedisPublishError> {
        match self {
            Self::Memory(hub) => Ok(hub.publish(topic, event)?),
            Self::Redis(hub) => hub.publish(topic, event).await,
        }
    }

    /// The same, of an event that is the newest state of what the key names.
    pub(super) async fn publish_keyed(
        &self,
        topic: &str,
        key: &str,
        event: impl Into<EncodedEvent>,
    ) -> Result<Position, RedisPublishError> {
        match self {
            Self::Memory(hub) => Ok(hub.publish_keyed(topic, key, event)?),
            Self::Redis(hub) => hub.publish_keyed(topic, key, event).await,
        }
    }

    pub(super) fn subscribe(&self, subscribe: Subscribe) -> Result<Subscription, Rejection> {
        match self {
            Self::Memory(hub) => hub.subscribe(subscribe),
            Self::Redis(hub) => hub.subscribe(subscribe),
        }
    }

    /// Why nobody should be sent here, if there is a reason.
    pub(super) fn is_unready(&self) -> Option<String> {
        if !self.streams().is_ready() {
            return Some("the server shuts down".to_owned());
        }
        match self {
            Self::Redis(hub) if !hub.log().is_ready() => {
                Some(hub.log().status().error.map_or_else(|| "no Redis".to_owned(), |error| error.to_string()))
            }
            _ => None,
        }
    }

    pub(super) fn position(&self) -> Position {
        match self {
            Self::Memory(hub) => hub.position(),
            Self::Redis(hub) => hub.position(),
        }
    }

    pub(super) fn stats(&self) -> HubStats {
        match self {
            Self::Memory(hub) => hub.stats(),
            Self::Redis(hub) => hub.stats(),
        }
    }

    /// The first clients, so many.
    pub(super) fn clients(&self, max: usize) -> Vec<ClientInfo> {
        match self {
            Self::Memory(hub) => hub.clients_after(0, max),
            Self::Redis(hub) => hub.clients_after(0, max),
        }
    }

    pub(crate) fn streams(&self) -> &StreamGroup {
        match self {
            Self::Memory(hub) => hub.streams(),
            Self::Redis(hub) => hub.streams(),
        }
    }
}

fn options() -> HubOptions {
    HubOptions::new().with_max_events(MAX_EVENTS).with_max_bytes(4 << 20).with_max_clients(10_000)
}
