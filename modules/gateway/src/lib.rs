//! gateway

pub mod door;
