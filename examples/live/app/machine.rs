//! Publishes the load of this machine every second.

use std::time::Duration;

use serde::Serialize;
use ssekit::{EncodedEvent, Event, event_type};
use sysinfo::System;
use tokio::time::{MissedTickBehavior, interval};

use super::{App, MACHINE, now};

#[derive(Serialize)]
struct Stats {
    /// The time in milliseconds since 1970.
    time: u64,
    /// The CPU usage in percent, over all cores.
    cpu: f32,
    cores: Vec<f32>,
    memory: Memory,
    /// The load averages over 1, 5 and 15 minutes.
    load: [f64; 3],
}

/// The memory of the machine, in bytes.
#[derive(Serialize)]
struct Memory {
    used: u64,
    total: u64,
}

pub(crate) async fn sample(app: App) {
    let topic = app.topic(MACHINE);
    let mut system = System::new();
    system.refresh_cpu_usage();
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // CPU usage is measured between two readings; this is the first.
    seconds.tick().await;
    loop {
        seconds.tick().await;
        system.refresh_cpu_usage();
        system.refresh_memory();
        let load = System::load_average();
        let stats = Stats {
            time: now(),
            cpu: tenths(system.global_cpu_usage()),
            cores: system.cpus().iter().map(|core| tenths(core.cpu_usage())).collect(),
            memory: Memory { used: system.used_memory(), total: system.total_memory() },
            load: [load.one, load.five, load.fifteen],
        };
        // Encoding plain numbers cannot fail. An event that is not published is not useful later.
        if let Ok(frame) = EncodedEvent::json(&Event::new().with_event_type(event_type!("stats")), &stats) {
            let _ = app.hub.publish_keyed(&topic, "stats", frame).await;
        }
    }
}

fn tenths(percent: f32) -> f32 {
    (percent * 10.0).round() / 10.0
}
