//! Compares the table, the metrics that streams emit, and their values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use ssekit_core::{EncodedEvent, Event};

use super::{Kind, Metric, all, describe_metrics, table};
use crate::{DrainOptions, EventBody, StreamGroup};

/// The calls that a recorder received.
#[derive(Default)]
struct Records {
    /// Kind, unit and description by name.
    described: BTreeMap<String, (Kind, Option<Unit>, String)>,
    /// Name, kind and names of the labels.
    registered: BTreeSet<(String, String, Vec<String>)>,
    /// By name and label values: the sum of a counter or gauge, the recorded values of a histogram.
    values: BTreeMap<String, Vec<f64>>,
}

#[derive(Clone, Default)]
struct TestRecorder(Arc<Mutex<Records>>);

struct Handle {
    key: String,
    kind: Kind,
    recorder: TestRecorder,
}

impl Handle {
    fn add(&self, value: f64) {
        let mut records = self.recorder.0.lock().unwrap();
        let values = records.values.entry(self.key.clone()).or_default();
        match (self.kind, values.first_mut()) {
            (Kind::Counter | Kind::Gauge, Some(sum)) => *sum += value,
            _ => values.push(value),
        }
    }
}

impl CounterFn for Handle {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, value: u64) {
        self.recorder.0.lock().unwrap().values.insert(self.key.clone(), vec![value as f64]);
    }
}

impl GaugeFn for Handle {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.recorder.0.lock().unwrap().values.insert(self.key.clone(), vec![value]);
    }
}

impl HistogramFn for Handle {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

impl TestRecorder {
    fn describe(&self, kind: Kind, name: &KeyName, unit: Option<Unit>, description: &SharedString) {
        let described = (kind, unit, description.to_string());
        self.0.lock().unwrap().described.insert(name.as_str().to_owned(), described);
    }

    fn register(&self, kind: Kind, key: &Key) -> Arc<Handle> {
        let labels = key.labels().map(|label| label.key().to_owned()).collect();
        self.0.lock().unwrap().registered.insert((key.name().to_owned(), format!("{kind:?}"), labels));
        let values: String = key.labels().map(|label| format!(" {}", label.value())).collect();
        Arc::new(Handle { key: key.name().to_owned() + &values, kind, recorder: self.clone() })
    }

    fn value(&self, key: &str) -> Vec<f64> {
        self.0.lock().unwrap().values.get(key).cloned().unwrap_or_default()
    }
}

impl Recorder for TestRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Counter, &name, unit, &description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Gauge, &name, unit, &description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Histogram, &name, unit, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(Kind::Counter, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(Kind::Gauge, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.register(Kind::Histogram, key))
    }
}

/// Runs `test` with a recorder, on a runtime whose clock is paused.
fn with_recorder(test: impl AsyncFnOnce(&TestRecorder)) -> TestRecorder {
    let recorder = TestRecorder::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(test(&recorder)));
    recorder
}

#[test]
fn documented_table_is_that_of_the_code() {
    assert!(include_str!("table.md").contains(&table()), "replace the table by this one:\n{}", table());
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    for Metric { name, kind, unit, .. } in all() {
        assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(*unit == Unit::Seconds, name.ends_with("_seconds"), "{name}");
        assert_eq!(*unit == Unit::Bytes, name.contains("_bytes"), "{name}");
    }
}

#[test]
fn each_metric_is_described_by_its_row() {
    let recorder = with_recorder(async |_| describe_metrics());
    let described = std::mem::take(&mut recorder.0.lock().unwrap().described);
    let expected =
        all().map(|metric| (metric.name.to_owned(), (metric.kind, Some(metric.unit), metric.description.to_owned())));
    assert_eq!(described, expected.collect());
}

#[test]
fn streams_emit_the_metrics_of_the_table_with_their_labels() {
    let recorder = with_recorder(async |_| {
        let group = StreamGroup::with_name("api");
        let body = || EventBody::new(stream::iter([Event::data("one")])).with_group(&group);
        let _: Vec<_> = body().collect().await;
        group.drain(DrainOptions::new()).await;
        let _: Vec<_> = body().collect().await;
    });
    let registered = std::mem::take(&mut recorder.0.lock().unwrap().registered);
    let expected = super::STREAMS.iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        (metric.name.to_owned(), format!("{:?}", metric.kind), labels)
    });
    assert_eq!(registered, expected.collect());
}

#[test]
fn values_of_a_stream_count_its_events_bytes_and_times() {
    let recorder = with_recorder(async |recorder| {
        let group = StreamGroup::with_name("api");
        let (sender, body) = EventBody::channel(16);
        let mut body = body.with_group(&group);
        let preamble = body.next().await.unwrap().unwrap();
        assert_eq!(recorder.value("ssekit_streams_open api"), [1.0]);
        assert_eq!(recorder.value("ssekit_stream_bytes_total api"), [preamble.len() as f64]);
        assert_eq!(recorder.value("ssekit_stream_first_event_seconds api"), [0.0; 0]);

        tokio::time::sleep(Duration::from_secs(2)).await;
        sender.send(Event::data("one")).await.unwrap();
        sender.send(Event::data("two")).await.unwrap();
        let chunk = body.next().await.unwrap().unwrap();
        assert_eq!(recorder.value("ssekit_stream_bytes_total api"), [(preamble.len() + chunk.len()) as f64]);

        tokio::time::sleep(Duration::from_secs(3)).await;
        sender.finish();
        while body.next().await.is_some() {}
    });
    let value = |name: &str| recorder.value(name);
    assert_eq!(value("ssekit_streams_open api"), [0.0]);
    assert_eq!(value("ssekit_streams_closed_total api stream_end"), [1.0]);
    assert_eq!(value("ssekit_stream_events_total api"), [2.0]);
    assert_eq!(value("ssekit_stream_first_event_seconds api"), [2.0]);
    assert_eq!(value("ssekit_stream_duration_seconds api"), [5.0]);
}

#[test]
fn stream_without_a_group_counts_as_default() {
    let recorder = with_recorder(async |_| {
        let mut body = EventBody::new(stream::pending::<EncodedEvent>());
        assert!(body.next().now_or_never().is_some());
        drop(body);
    });
    assert_eq!(recorder.value("ssekit_streams_closed_total default client_gone"), [1.0]);
    assert_eq!(recorder.value("ssekit_streams_open default"), [0.0]);
}

#[test]
fn stream_opened_during_a_drain_counts_as_rejected_only() {
    let recorder = with_recorder(async |_| {
        let group = StreamGroup::with_name("api");
        group.drain(DrainOptions::new()).await;
        let body = EventBody::new(stream::pending::<EncodedEvent>()).with_group(&group);
        let _: Vec<_> = body.collect().await;
    });
    assert_eq!(recorder.value("ssekit_streams_rejected_total api"), [1.0]);
    assert_eq!(recorder.value("ssekit_streams_open api"), [0.0; 0]);
}

/// An item of a hub's stream is a page of several events.
#[cfg(feature = "hub")]
#[test]
fn events_of_a_hub_are_counted_one_by_one() {
    use crate::hub::{Hub, HubOptions, Subscribe};

    let recorder = with_recorder(async |_| {
        let hub = Hub::new(HubOptions::new().with_name("prices"));
        let mut body = hub.subscribe(Subscribe::topic("a")).unwrap().into_body();
        body.next().await.unwrap().unwrap();
        for _ in 0..5 {
            hub.publish("a", Event::data("x")).now().unwrap();
        }
        body.next().await.unwrap().unwrap();
    });
    assert_eq!(recorder.value("ssekit_stream_events_total prices"), [5.0]);
    assert_eq!(recorder.value("ssekit_stream_first_event_seconds prices").len(), 1);
}

#[cfg(feature = "hub")]
#[test]
fn hub_emits_the_metrics_of_the_table_with_their_labels() {
    let recorder = with_recorder(async |_| crate::hub::Hub::default().stats().record());
    let registered = std::mem::take(&mut recorder.0.lock().unwrap().registered);
    let expected = super::HUB.iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        (metric.name.to_owned(), format!("{:?}", metric.kind), labels)
    });
    assert_eq!(registered, expected.collect());
}
