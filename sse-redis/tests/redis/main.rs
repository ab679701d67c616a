//! Several hubs on one Redis: a real one, started for each test.

mod node;

mod basics;
mod faults;
mod poison;
mod retention;
mod secure;
mod telemetry;
mod topology;
