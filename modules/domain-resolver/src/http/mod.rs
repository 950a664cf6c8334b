//! The operations on the wire.

pub mod hosts;

use std::sync::Arc;

use ports::http::{Routes, ServiceRoutes};

use crate::DomainResolver;

/// All of them.
pub(crate) fn routes(resolver: Arc<DomainResolver>) -> ServiceRoutes {
    hosts::add(Routes::new("domain-resolver", resolver)).finish()
}
