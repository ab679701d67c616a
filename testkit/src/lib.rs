//! What the tests and fuzz targets of ssekit share: a naive reference decoder, the conformance cases, ways to
//! cut a stream, generators, and the bodies of the properties that proptest and the fuzzers check. With the feature
//! `hub`, the hub's too, with `client` the client's; with `redis`, a server of Redis and a proxy that fails, with `tls`
//! certificates.

#![forbid(unsafe_code)]

pub mod alloc_count;
pub mod cases;
#[cfg(feature = "tls")]
pub mod certificates;
#[cfg(feature = "client")]
pub mod client;
pub mod cut;
pub mod decode;
#[cfg(feature = "hub")]
pub mod hub;
pub mod props;
#[cfg(all(feature = "redis", unix))]
pub mod redis;
pub mod reference;
pub mod strategies;
