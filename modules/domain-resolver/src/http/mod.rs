//! The operations on the wire.

pub(crate) mod domains;
pub mod hosts;

use std::sync::Arc;

use ports::http::{Routes, ServiceRoutes};

use crate::DomainResolver;

/// All of them.
pub(crate) fn routes(resolver: Arc<DomainResolver>) -> ServiceRoutes {
    domains::add(hosts::add(Routes::new("domain-resolver", resolver))).finish()
}
