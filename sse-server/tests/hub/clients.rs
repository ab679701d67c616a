//! Admission, listing and removal of clients.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use ssekit_core::Event;
use ssekit_server::hub::{Disconnect, Hub, HubOptions, RejectionReason, SessionPolicy, Subscribe, Subscription};
use ssekit_server::{CloseReason, DrainOptions};
use tokio::time::advance;

use super::{SECOND, body_ready, publish};

#[tokio::test(start_paused = true)]
async fn clients_listed_by_key_until_their_streams_close() {
    let hub = Hub::default();
    let of_user = |user: &str| Subscribe::topic("a").with_prefix("b").with_key(user).with_key("tenant:1");
    let mut one = hub.subscribe(of_user("user:1")).unwrap().into_body();
    let two = hub.subscribe(of_user("user:2")).unwrap();
    assert_eq!((hub.len(), hub.count_of("tenant:1"), hub.count_of("user:1"), hub.count_of("none")), (2, 2, 1, 0));
    advance(SECOND).await;
    body_ready(&hub, &mut one);
    publish(&hub, "a", ["1", "2"]);
    body_ready(&hub, &mut one);
    advance(2 * SECOND).await;
    let clients = hub.clients_of("user:1");
    let info = &clients[0];
    let names = |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!((names(&info.topics), names(&info.prefixes)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(names(&info.keys), ["tenant:1", "user:1"]);
    assert_eq!((info.age, info.last_write, info.lag), (3 * SECOND, Some(2 * SECOND), 0));
    let bytes = 2 * format!("id: {}-1\ndata: 1\n\n", hub.stats().next.epoch).len() as u64;
    assert_eq!((info.events, info.bytes, info.gaps), (2, bytes, 0));
    let behind = &hub.clients_of("user:2")[0];
    let ids = |after, max| hub.clients_after(after, max).iter().map(|client| client.id).collect::<Vec<_>>();
    assert_eq!((ids(0, 9), ids(0, 1), ids(1, 9), ids(2, 9)), (vec![1, 2], vec![1], vec![2], vec![]));
    assert_eq!((behind.lag, behind.last_write, behind.events), (2, None, 0));
    assert_eq!(hub.stats().max_lag, 2);

    assert!(hub.disconnect(info.id, &Disconnect::new().with_reason("bye\nnow")));
    assert_eq!(body_ready(&hub, &mut one), ("event: ssekit:disconnect\ndata: bye\ndata: now\n\n".to_owned(), true));
    assert!(!hub.disconnect(info.id, &Disconnect::new()));
    assert_eq!((hub.len(), hub.count_of("tenant:1"), hub.count_of("user:1")), (1, 1, 0));
    assert_eq!(hub.disconnect_key("tenant:1", &Disconnect::new().immediately()), 1);
    let (handle, mut two) = (two.handle(), two);
    assert!(two.next().now_or_never().is_some_and(|end| end.is_none()), "a stream by itself ends too");
    assert_eq!((handle.close_reason(), hub.len(), hub.count_of("tenant:1")), (Some(CloseReason::Disconnected), 0, 0));
    assert_eq!(hub.topics().iter().map(|topic| topic.clients).sum::<usize>(), 0);
}

/// The filter owns a value that calls the hub when it is dropped.
#[test]
fn filter_of_rejected_client_dropped_without_lock() {
    struct Asks(Hub, Arc<AtomicUsize>);

    impl Drop for Asks {
        fn drop(&mut self) {
            self.1.fetch_add(1 + self.0.len(), Ordering::Relaxed);
        }
    }

    let hub = Hub::new(HubOptions::new().with_max_clients(0));
    let count = Arc::<AtomicUsize>::default();
    let asks = Asks(hub.clone(), count.clone());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let subscribe = Subscribe::topic("a").with_filter(move |_| asks.1.load(Ordering::Relaxed) == 0);
        let _ = sender.send(hub.subscribe(subscribe).is_err());
    });
    assert_eq!(receiver.recv_timeout(10 * SECOND), Ok(true));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn clients_over_limits_rejected() {
    let options = HubOptions::new().with_max_clients(4).with_max_clients_per_key(2).with_max_clients_per_topic(3);
    let hub = Hub::new(options.with_retry_after(10 * SECOND));
    let subscribe = |topic: &str, key: &str| hub.subscribe(Subscribe::topic(topic).with_key(key));
    let reason = |result: Result<Subscription, ssekit_server::hub::Rejection>| {
        let rejection = result.unwrap_err();
        assert!((10 * SECOND..20 * SECOND).contains(&rejection.retry_after()), "{rejection:?}");
        (rejection.reason(), rejection.status())
    };
    let one = subscribe("a", "1").unwrap();
    let _two = subscribe("a", "1").unwrap();
    assert_eq!(reason(subscribe("a", "1")), (RejectionReason::KeyFull { max: 2 }, 429));
    let _three = subscribe("a", "2").unwrap();
    assert_eq!(reason(subscribe("a", "3")), (RejectionReason::TopicFull { max: 3 }, 503));
    let _four = subscribe("b", "3").unwrap();
    assert_eq!(reason(subscribe("b", "4")), (RejectionReason::Full { max: 4 }, 503));
    drop(one);
    let _again = subscribe("a", "1").unwrap();
    assert_eq!(hub.stats().rejected, 3);

    let long = "x".repeat(257);
    let rejection = hub.subscribe(Subscribe::prefix(&long)).unwrap_err();
    assert_eq!((rejection.reason(), rejection.is_temporary()), (RejectionReason::NameTooLong { len: 257 }, false));
    let names: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    let rejection = hub.subscribe(Subscribe::topics(names.iter().map(String::as_str))).unwrap_err();
    assert_eq!((rejection.reason(), rejection.status()), (RejectionReason::TooManyNames { count: 257 }, 400));
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_session_follow_its_policy() {
    let hub = Hub::new(HubOptions::new().with_max_clients(2));
    let subscribe = |policy| hub.subscribe(Subscribe::topic("a").with_session("s", policy));
    let mut one = subscribe(SessionPolicy::Share).unwrap().into_body();
    let mut two = subscribe(SessionPolicy::Share).unwrap().into_body();
    assert_eq!(subscribe(SessionPolicy::RejectNew).unwrap_err().reason(), RejectionReason::SessionTaken);
    body_ready(&hub, &mut one);
    // The clients whose session is taken over make room.
    let three = subscribe(SessionPolicy::TakeOver).unwrap();
    assert_eq!(body_ready(&hub, &mut one), ("id: ssekit:done\n\n".to_owned(), true));
    assert_eq!(body_ready(&hub, &mut two), (": \n\nid: E-0\n\nid: ssekit:done\n\n".to_owned(), true));
    assert_eq!((hub.len(), hub.count_of("s"), hub.streams().closed_count(CloseReason::Disconnected)), (1, 1, 2));
    drop((one, two, three));
    assert!(subscribe(SessionPolicy::RejectNew).is_ok());

    // Each limit is reached in turn.
    for options in [HubOptions::new().with_max_clients_per_topic(1), HubOptions::new().with_max_clients_per_key(1)] {
        let hub = Hub::new(options);
        let subscribe = || Subscribe::topic("a").with_prefix("b").with_session("s", SessionPolicy::TakeOver);
        let _one = hub.subscribe(subscribe()).unwrap();
        let _two = hub.subscribe(subscribe()).unwrap();
        assert!(hub.subscribe(Subscribe::topic("a").with_key("s")).is_err());
    }
}

/// The older clients need not be polled, nor read.
#[tokio::test(start_paused = true)]
async fn taken_over_session_frees_only_its_own_place() {
    let options = HubOptions::new().with_max_clients(2).with_max_clients_per_topic(1).with_max_clients_per_key(1);
    let hub = Hub::new(options);
    let subscribe = || hub.subscribe(Subscribe::topic("a").with_prefix("p").with_session("s", SessionPolicy::TakeOver));
    let mut bodies: Vec<_> = (0..10).map(|_| subscribe().unwrap().into_body()).collect();
    assert_eq!((hub.len(), hub.count_of("s")), (1, 1));
    let last = bodies.pop().unwrap();
    for body in &mut bodies {
        assert_eq!(body_ready(&hub, body), (": \n\nid: E-0\n\nid: ssekit:done\n\n".to_owned(), true));
    }
    assert_eq!((hub.len(), last.handle().close_reason()), (1, None));
    let other = Subscribe::topic("a").with_session("t", SessionPolicy::TakeOver);
    assert_eq!(hub.subscribe(other).unwrap_err().reason(), RejectionReason::TopicFull { max: 1 });

    assert_eq!(hub.disconnect_key("s", &Disconnect::new().immediately()), 1);
    assert_eq!((hub.len(), last.handle().close_reason()), (0, Some(CloseReason::Disconnected)), "at once");
}

#[tokio::test(start_paused = true)]
async fn drain_delivers_unread_events() {
    let hub = Hub::default();
    let mut body = hub.subscribe(Subscribe::topic("a")).unwrap().into_body();
    body_ready(&hub, &mut body);
    publish(&hub, "a", ["1"]);
    let options = DrainOptions::new().with_farewell(Event::data("bye")).with_reconnection_time(Duration::ZERO);
    let mut drain = std::pin::pin!(hub.drain(options));
    assert!(drain.as_mut().now_or_never().is_none());
    let (text, is_over) = body_ready(&hub, &mut body);
    assert_eq!((&*text, is_over), ("id: E-1\ndata: 1\n\ndata: bye\n\nretry: 0\n\n", true));
    let report = drain.await;
    assert_eq!((report.open, report.drained, hub.len(), hub.streams().is_ready()), (1, 1, 0, false));
    let mut late = hub.subscribe(Subscribe::topic("a")).unwrap().into_body();
    let (text, is_over) = body_ready(&hub, &mut late);
    assert!(text.starts_with("retry: ") && is_over && hub.is_empty(), "{text}");
}

/// A stream that is over is removed even if its body is not polled.
#[tokio::test(start_paused = true)]
async fn stalled_client_is_removed() {
    let hub = Hub::default();
    let mut body = hub.subscribe(Subscribe::topic("a")).unwrap().into_body();
    body_ready(&hub, &mut body);
    publish(&hub, "a", ["1"]);
    assert!(body.next().await.is_some());
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((hub.len(), hub.streams().closed_count(CloseReason::SlowConsumer)), (0, 1));
    assert!(body.next().await.is_none());
}

#[test]
fn first_event_that_cannot_be_encoded_rejects_the_subscriber() {
    let hub = Hub::default();
    let failed = |text| Err::<Event<'_>, _>(text);
    let subscribe = Subscribe::topic("a").with_first_event(failed("first")).with_first_event(failed("second"));
    let rejection = hub.subscribe(subscribe).unwrap_err();
    assert_eq!((rejection.reason(), rejection.is_temporary()), (RejectionReason::FirstEvent, false));
    assert_eq!(rejection.source().unwrap().to_string(), "first");
    assert_eq!((hub.len(), hub.stats().rejected), (0, 1));
}

#[cfg(feature = "serde")]
#[test]
fn snapshots_are_serialised_and_displayed() {
    use ssekit_server::hub::{MemoryLog, RetentionOptions};

    let log = MemoryLog::with_epoch(7, RetentionOptions::new());
    let hub = Hub::with_log(log, HubOptions::new().with_name("news"));
    let _client = hub.subscribe(Subscribe::topic("a").with_key("k")).unwrap();
    hub.publish("a", Event::data("x")).now().unwrap();
    hub.finish_topic("b").unwrap();
    let json = |value: serde_json::Result<serde_json::Value>| value.unwrap();
    let stats = json(serde_json::to_value(hub.stats()));
    assert_eq!((&stats["name"], &stats["next"], &stats["published"]), (&"news".into(), &"7-2".into(), &1.into()));
    assert_eq!((&stats["resumes"]["fresh"], &stats["closed"]["client_gone"]), (&1.into(), &0.into()));
    let client = json(serde_json::to_value(&hub.clients()[0]));
    assert_eq!((&client["resume"], &client["lag"], &client["keys"][0]), (&"fresh".into(), &1.into(), &"k".into()));
    assert!(client["age"].is_f64() && client["last_write"].is_null(), "{client}");
    let topic = json(serde_json::to_value(&hub.topics()[0]));
    assert_eq!(topic.to_string(), r#"{"clients":1,"events":1,"is_finished":false,"name":"a"}"#);
    assert_eq!(hub.topics()[0].to_string(), "topic a: 1 events, 1 clients");
    assert!(hub.stats().to_string().starts_with("hub news: 1 clients, 2 topics, 1 events of "), "{}", hub.stats());
    assert!(hub.clients()[0].to_string().starts_with("client 1: fresh "), "{}", hub.clients()[0]);
    assert!(hub.stats().resumes.to_string().starts_with("1 fresh, 0 up_to_date, "));
}
