#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(inline)]
pub use ssekit_core::*;

#[cfg(feature = "axum")]
#[doc(inline)]
pub use ssekit_axum as axum;
#[cfg(feature = "server")]
#[doc(inline)]
pub use ssekit_server as server;
