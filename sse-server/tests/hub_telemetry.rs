//! The metrics and the tracing spans of a hub.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt, StreamExt};
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use ssekit_core::Event;
use ssekit_server::hub::{Hub, HubOptions, MemoryLog, RetentionOptions, Subscribe};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

/// A recorder that keeps the last value of each metric.
#[derive(Clone, Default)]
struct Remember(Arc<Mutex<BTreeMap<String, f64>>>);

struct Value(String, Remember);

impl Value {
    fn put(&self, value: f64) {
        self.1.0.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl CounterFn for Value {
    fn increment(&self, _: u64) {
        panic!("an event is not to cost anything");
    }

    fn absolute(&self, value: u64) {
        self.put(value as f64);
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {
        panic!("an event is not to cost anything");
    }

    fn decrement(&self, _: f64) {
        panic!("an event is not to cost anything");
    }

    fn set(&self, value: f64) {
        self.put(value);
    }
}

impl Remember {
    fn value(&self, key: &Key) -> Arc<Value> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        Arc::new(Value(key.name().to_owned() + &labels.collect::<String>(), self.clone()))
    }
}

impl Recorder for Remember {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Tracing remembers who wants to know of a client for all threads, and forgets now and then who has just come to it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Publishes three events, of which the client gets two, and the client goes.
fn one_client(hub: &Hub) {
    let mut stream = hub.subscribe(Subscribe::topic("a")).unwrap();
    assert!(stream.next().now_or_never().is_some());
    for topic in ["a", "b", "a"] {
        hub.publish(topic, Event::data("x")).now().unwrap();
    }
    assert!(stream.next().now_or_never().is_some());
}

#[test]
fn stats_are_recorded_only_on_request() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Remember::default();
    metrics::with_local_recorder(&recorder, || {
        let hub = Hub::with_log(
            MemoryLog::new(RetentionOptions::new().with_max_events(3)),
            HubOptions::new().with_name("news").with_max_clients(1),
        );
        one_client(&hub);
        assert!(recorder.0.lock().unwrap().is_empty());
        let _client = hub.subscribe(Subscribe::topic("a")).unwrap();
        assert!(hub.subscribe(Subscribe::topic("a")).is_err());
        hub.stats().record();
        // Another hub does not overwrite the values.
        Hub::default().stats().record();
    });
    let values = recorder.0.lock().unwrap();
    for (name, expected) in [
        ("ssekit_hub_clients hub=news", 1.0),
        ("ssekit_hub_topics hub=news", 2.0),
        ("ssekit_hub_events hub=news", 3.0),
        ("ssekit_hub_max_lag_events hub=news", 0.0),
        ("ssekit_hub_published_total hub=news", 3.0),
        ("ssekit_hub_evicted_total hub=news", 0.0),
        ("ssekit_hub_delivered_total hub=news", 2.0),
        ("ssekit_hub_gaps_total hub=news", 0.0),
        ("ssekit_hub_rejected_total hub=news", 1.0),
        ("ssekit_hub_resumes_total hub=news outcome=fresh", 2.0),
        ("ssekit_hub_resumes_total hub=news outcome=gap", 0.0),
        ("ssekit_hub_published_total hub=default", 0.0),
    ] {
        assert_eq!(values.get(name), Some(&expected), "{name}");
    }
    assert_eq!(values.len(), 2 * (13 + 6), "one value for each hub");
}

/// Writes down spans and events.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Vec<String>>, AtomicU64)>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(format!("span {}", span.metadata().name()));
        span.record(&mut fields);
        self.0.0.lock().unwrap().push(fields.0);
        Id::from_u64(self.0.1.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(format!("in {}:", event.parent().map_or(0, Id::into_u64)));
        event.record(&mut fields);
        self.0.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn client_has_a_span_and_an_event_has_none() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let hub = Hub::default();
        one_client(&hub);
    });
    let lines = lines.0.0.lock().unwrap();
    let [span, subscribed, closed] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(span, "span sse_client id=1 resume=\"fresh\"");
    assert_eq!(subscribed, "in 1: message=subscribed");
    assert!(closed.starts_with("in 1: message=closed reason=\"client_gone\" events=2 bytes="), "{closed}");
}
