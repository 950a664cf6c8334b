//! Corridors: the one kind of channel, the contracts between services, and how they speak HTTP and gRPC.

#![forbid(unsafe_code)]

pub mod contracts;
pub mod http;
pub mod link;
pub mod rpc;
mod service;

pub use contracts::*;
pub use service::{Health, HealthState, Hear, KernelService, OnFailure, Subscription, Task, When};
