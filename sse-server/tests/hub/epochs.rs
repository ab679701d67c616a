//! Epochs of different logs.

use std::collections::BTreeSet;
use std::thread;

use ssekit_core::Event;
use ssekit_server::LastEventId;
use ssekit_server::hub::{Hub, ResumeOutcome, Subscribe};

use super::ready;

#[test]
fn logs_created_at_the_same_time_have_different_epochs() {
    let threads: Vec<_> = (0..4)
        .map(|_| thread::spawn(|| (0..1000).map(|_| Hub::default().position().epoch).collect::<Vec<_>>()))
        .collect();
    let epochs: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(epochs.iter().collect::<BTreeSet<_>>().len(), 4000);
}

#[test]
fn client_of_another_hub_receives_a_gap_event() {
    let hubs: [_; 2] = std::array::from_fn(|_| Hub::default());
    let [old, new] = hubs.each_ref().map(|hub| hub.publish("a", Event::data("x")).now().unwrap());
    assert_ne!(old.epoch, new.epoch);
    let last = LastEventId::try_from(&*old.to_string()).unwrap();
    let mut stream = hubs[1].subscribe(Subscribe::topic("a").with_last_event_id(Some(last))).unwrap();
    assert_eq!(stream.resume_outcome(), ResumeOutcome::EpochChanged);
    let text = ready(&hubs[1], &mut stream);
    assert!(text.contains("event: ssekit:gap\n") && text.ends_with("id: E-1\ndata: x\n\n"), "{text}");
}
