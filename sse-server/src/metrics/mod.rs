#![doc = include_str!("table.md")]

use metrics::Unit;

mod stream;
#[cfg(test)]
mod tests;

pub(crate) use stream::StreamMetrics;

/// One metric: the source of its registration, its description and its row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    /// The names of its labels, in order.
    pub(crate) labels: &'static [&'static str],
    pub(crate) description: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Metric {
    const fn counter(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str],
        description: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, unit, labels, description }
    }

    const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], description: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit, labels, description }
    }

    const fn histogram(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str],
        description: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram, unit, labels, description }
    }

    /// Tells the recorder the unit and the description.
    fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.unit, self.description),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.unit, self.description),
            Kind::Histogram => metrics::describe_histogram!(self.name, self.unit, self.description),
        }
    }

    /// Appends the row of the table.
    #[cfg(test)]
    fn write_row(&self, table: &mut String) {
        use std::fmt::Write;

        let Self { name, kind, unit, labels, description } = self;
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let kind = format!("{kind:?}").to_lowercase();
        let _ = writeln!(table, "| `{name}` | {kind} | {} | {labels} | {description} |", unit.as_str());
    }
}

pub(crate) const STREAMS_OPEN: Metric =
    Metric::gauge("ssekit_streams_open", Unit::Count, &["group"], "Streams that are open.");
pub(crate) const STREAMS_CLOSED: Metric = Metric::counter(
    "ssekit_streams_closed_total",
    Unit::Count,
    &["group", "reason"],
    "Streams that were closed, by close reason.",
);
pub(crate) const STREAMS_REJECTED: Metric = Metric::counter(
    "ssekit_streams_rejected_total",
    Unit::Count,
    &["group"],
    "Streams that were requested during a drain and told to reconnect later.",
);
pub(crate) const STREAM_DURATION: Metric = Metric::histogram(
    "ssekit_stream_duration_seconds",
    Unit::Seconds,
    &["group"],
    "Time from the opening to the end of a stream.",
);
pub(crate) const STREAM_FIRST_EVENT: Metric = Metric::histogram(
    "ssekit_stream_first_event_seconds",
    Unit::Seconds,
    &["group"],
    "Time from the opening of a stream to its first event.",
);
pub(crate) const STREAM_EVENTS: Metric =
    Metric::counter("ssekit_stream_events_total", Unit::Count, &["group"], "Events that were handed to the server.");
pub(crate) const STREAM_BYTES: Metric = Metric::counter(
    "ssekit_stream_bytes_total",
    Unit::Bytes,
    &["group"],
    "Bytes that were handed to the server, with keep-alives and control lines.",
);

/// The metrics of all streams.
const STREAMS: &[Metric] =
    &[STREAMS_OPEN, STREAMS_CLOSED, STREAMS_REJECTED, STREAM_DURATION, STREAM_FIRST_EVENT, STREAM_EVENTS, STREAM_BYTES];

pub(crate) const HUB_CLIENTS: Metric =
    Metric::gauge("ssekit_hub_clients", Unit::Count, &["hub"], "Clients of the hub.");
pub(crate) const HUB_TOPICS: Metric =
    Metric::gauge("ssekit_hub_topics", Unit::Count, &["hub"], "Topics that are remembered.");
pub(crate) const HUB_EVENTS: Metric = Metric::gauge("ssekit_hub_events", Unit::Count, &["hub"], "Events in memory.");
pub(crate) const HUB_BYTES: Metric =
    Metric::gauge("ssekit_hub_event_bytes", Unit::Bytes, &["hub"], "Bytes of the events in memory.");
pub(crate) const HUB_RETAINED: Metric = Metric::gauge(
    "ssekit_hub_retained_events",
    Unit::Count,
    &["hub"],
    "Older events that are retained as the newest of their key.",
);
pub(crate) const HUB_MAX_LAG: Metric = Metric::gauge(
    "ssekit_hub_max_lag_events",
    Unit::Count,
    &["hub"],
    "The largest number of events that one client has not read.",
);
pub(crate) const HUB_PUBLISHED: Metric =
    Metric::counter("ssekit_hub_published_total", Unit::Count, &["hub"], "Events that were published.");
pub(crate) const HUB_PUBLISHED_BYTES: Metric = Metric::counter(
    "ssekit_hub_published_bytes_total",
    Unit::Bytes,
    &["hub"],
    "Bytes of the events that were published.",
);
pub(crate) const HUB_EVICTED: Metric =
    Metric::counter("ssekit_hub_evicted_total", Unit::Count, &["hub"], "Events that were evicted from memory.");
pub(crate) const HUB_DELIVERED: Metric = Metric::counter(
    "ssekit_hub_delivered_total",
    Unit::Count,
    &["hub"],
    "Events that were delivered, once for each client.",
);
pub(crate) const HUB_DELIVERED_BYTES: Metric = Metric::counter(
    "ssekit_hub_delivered_bytes_total",
    Unit::Bytes,
    &["hub"],
    "Bytes of the events that were delivered.",
);
pub(crate) const HUB_GAPS: Metric =
    Metric::counter("ssekit_hub_gaps_total", Unit::Count, &["hub"], "Gap events that clients received.");
pub(crate) const HUB_REJECTED: Metric =
    Metric::counter("ssekit_hub_rejected_total", Unit::Count, &["hub"], "Subscribers that were rejected.");
pub(crate) const HUB_RESUMES: Metric = Metric::counter(
    "ssekit_hub_resumes_total",
    Unit::Count,
    &["hub", "outcome"],
    "Clients by the outcome of resuming.",
);

/// The metrics of a hub: see `HubStats::record`.
const HUB: &[Metric] = &[
    HUB_CLIENTS,
    HUB_TOPICS,
    HUB_EVENTS,
    HUB_BYTES,
    HUB_RETAINED,
    HUB_MAX_LAG,
    HUB_PUBLISHED,
    HUB_PUBLISHED_BYTES,
    HUB_EVICTED,
    HUB_DELIVERED,
    HUB_DELIVERED_BYTES,
    HUB_GAPS,
    HUB_REJECTED,
    HUB_RESUMES,
];

/// All metrics of this crate, in the order of the table.
fn all() -> impl Iterator<Item = &'static Metric> {
    STREAMS.iter().chain(HUB)
}

/// Tells the recorder the units and descriptions of all metrics of this crate.
///
/// Call this once, after the recorder was installed. Without it, the metrics have no descriptions.
///
/// ```
/// ssekit_server::metrics::describe_metrics();
/// ```
pub fn describe_metrics() {
    all().for_each(Metric::describe);
}

/// Returns the table of all metrics for the documentation of this module.
#[cfg(test)]
fn table() -> String {
    let mut table = String::from("| name | kind | unit | labels | description |\n|---|---|---|---|---|\n");
    all().for_each(|metric| metric.write_row(&mut table));
    table
}
