//! The log lines, and the metrics that a recorder receives.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata as MetricMetadata, Recorder, SharedString,
    Unit,
};
use ssekit_testkit::redis::RedisSetup;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::node::{node, publish, publish_at_last, until_status};

/// Remembers the log lines of the crate.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = fmt::Write::write_fmt(self.0, format_args!(" {field}={value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ssekit_redis")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut Line(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Remembers the last value of each metric.
#[derive(Clone, Default)]
struct Values(Arc<Mutex<BTreeMap<String, f64>>>);

struct Value(String, Values);

impl CounterFn for Value {
    fn increment(&self, _: u64) {}

    fn absolute(&self, value: u64) {
        GaugeFn::set(self, value as f64);
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.1.0.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl Recorder for Values {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &MetricMetadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Value(key.name().to_owned(), self.clone())))
    }

    fn register_gauge(&self, key: &Key, _: &MetricMetadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Value(key.name().to_owned(), self.clone())))
    }

    fn register_histogram(&self, _: &Key, _: &MetricMetadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

// The test runs on one thread, so the subscriber receives the log lines of all tasks.
#[tokio::test]
async fn what_goes_wrong_is_logged_and_counted_and_no_event_is() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let server = RedisSetup::new().start();
    let hub = node(&server.url()).await;
    for n in 0..10 {
        publish(&hub, &n.to_string()).await.unwrap();
    }
    let id = format!("{}-*", hub.position().epoch);
    for _ in 0..10 {
        server.command(&[b"XADD", b"test:events", id.as_bytes(), b"foo", b"bar"]);
    }
    until_status(&hub, "all", |status| status.entries == 20).await;
    server.kill();
    until_status(&hub, "away", |status| !status.is_reading && !status.is_writing && !status.is_answering).await;
    server.start();
    until_status(&hub, "back", |status| status.is_ready()).await;
    publish_at_last(&hub, "last").await;
    until_status(&hub, "told", |status| status.entries >= 22).await;

    let lines = lines.0.lock().unwrap().clone();
    let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert!(lines.iter().all(|line| line.contains("key=\"test:events\"")), "{lines:#?}");
    for (part, expected) in [
        // Logged after 1, 2, 4 and 8 entries.
        ("WARN message=an entry in redis is no event", 4),
        ("skipped=8", 1),
        ("INFO message=an epoch begins", 2),
        ("all clients are told", 1),
        ("part=Reader", 2),
        ("part=Writer", 2),
        ("part=Maintenance", 2),
        ("redis is back", 3),
    ] {
        assert_eq!(count(part), expected, "{part}: {lines:#?}");
    }
    // Single events are not logged.
    assert!(lines.len() <= 16, "{lines:#?}");

    let values = Values::default();
    metrics::with_local_recorder(&values, || hub.log().status().record());
    let values = values.0.lock().unwrap();
    let (status, value) = (hub.log().status(), |name: &str| values.get(name).copied());
    assert_eq!(value("ssekit_redis_ready"), Some(1.0));
    assert_eq!(value("ssekit_redis_published_total"), Some(11.0));
    assert_eq!(value("ssekit_redis_skipped_total"), Some(10.0));
    assert_eq!(value("ssekit_redis_entries_total"), Some(status.entries as f64));
    assert_eq!(value("ssekit_redis_disconnects_total"), Some(status.disconnects as f64));
    assert_eq!(values.len(), 10);
}
