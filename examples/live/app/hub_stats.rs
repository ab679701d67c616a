//! Returns the hub's counts as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use ssekit::hub::{ClientInfo, HubStats};

use super::App;

/// The maximum number of clients in the list.
const MAX_LISTED: usize = 100;

#[derive(Serialize)]
struct Stats {
    clients: usize,
    topics: usize,
    /// The IDs of the oldest event that the hub keeps, and of the next event.
    first: String,
    next: String,
    events: usize,
    bytes: usize,
    max_lag: u64,
    published: u64,
    delivered: u64,
    gaps: u64,
    rejected: u64,
    /// The number of clients by resume outcome.
    resumes: BTreeMap<&'static str, u64>,
    /// The number of closed streams by close reason.
    closed: BTreeMap<&'static str, u64>,
    /// The first clients.
    listed: Vec<Client>,
}

#[derive(Serialize)]
struct Client {
    id: u64,
    age_ms: u64,
    lag: u64,
    events: u64,
    bytes: u64,
}

impl App {
    pub(crate) fn hub_stats(&self) -> String {
        let stats = Stats::new(self.hub.stats(), &self.hub.clients_after(0, MAX_LISTED));
        // Encoding plain numbers cannot fail.
        serde_json::to_string(&stats).unwrap_or_default()
    }
}

impl Stats {
    fn new(stats: HubStats, clients: &[ClientInfo]) -> Self {
        Self {
            clients: stats.clients,
            topics: stats.topics,
            first: stats.first.to_string(),
            next: stats.next.to_string(),
            events: stats.events,
            bytes: stats.bytes,
            max_lag: stats.max_lag,
            published: stats.published,
            delivered: stats.delivered,
            gaps: stats.gaps,
            rejected: stats.rejected,
            resumes: stats.resumes.iter().collect(),
            closed: stats.closed.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
            listed: clients.iter().map(Client::new).collect(),
        }
    }
}

impl Client {
    fn new(client: &ClientInfo) -> Self {
        let age_ms = u64::try_from(client.age.as_millis()).unwrap_or(u64::MAX);
        Self { id: client.id, age_ms, lag: client.lag, events: client.events, bytes: client.bytes }
    }
}
