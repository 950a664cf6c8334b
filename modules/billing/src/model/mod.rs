//! The rules, without I/O.

pub(crate) mod invoice;
pub(crate) mod period;
pub(crate) mod plan;
pub(crate) mod subscription;
