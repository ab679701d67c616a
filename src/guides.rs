//! Guides: event streams on any framework, the comparison with other crates, and how to migrate from each of them.
//!
//! The modules have no items. Their pages are the files of the folder `docs` of the package.

/// A page with a tested program for each framework: hyper, tower, axum, actix-web, warp, salvo and poem.
#[doc = include_str!("../docs/frameworks.md")]
pub mod frameworks {}

/// A comparison of ssekit with five other crates, with a source for each cell.
#[doc = include_str!("../docs/comparison.md")]
pub mod comparison {}

/// A guide for programs that use the `Sse` response of axum.
#[doc = include_str!("../docs/migrating/axum-sse.md")]
pub mod migrating_from_axum_sse {}

/// A guide for programs that use the module `sse` of actix-web-lab.
#[doc = include_str!("../docs/migrating/actix-web-lab.md")]
pub mod migrating_from_actix_web_lab {}

/// A guide for programs that use eventsource-stream.
#[doc = include_str!("../docs/migrating/eventsource-stream.md")]
pub mod migrating_from_eventsource_stream {}

/// A guide for programs that use reqwest-eventsource.
#[doc = include_str!("../docs/migrating/reqwest-eventsource.md")]
pub mod migrating_from_reqwest_eventsource {}

/// A guide for programs that use eventsource-client.
#[doc = include_str!("../docs/migrating/eventsource-client.md")]
pub mod migrating_from_eventsource_client {}

/// How to run a hub on several nodes, with Redis or Valkey.
#[doc = include_str!("../docs/several-nodes.md")]
pub mod several_nodes {}
