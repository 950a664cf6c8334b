//! HTTP: one file per resource.

mod anonymize;
mod export;
mod history;
mod proof;
mod records;

use std::sync::Arc;

use ports::http::{Routes, ServiceRoutes};

use crate::{Audit, NAME};

pub(crate) fn routes(audit: Arc<Audit>) -> ServiceRoutes {
    let routes = Routes::new(NAME, audit);
    let routes = records::add(routes);
    let routes = history::add(routes);
    let routes = export::add(routes);
    let routes = proof::add(routes);
    anonymize::add(routes).finish()
}
