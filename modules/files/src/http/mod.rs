//! The wire: one file per resource.

mod content;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod presigned;
mod upload;

use std::sync::Arc;

use ports::http::{Routes, ServiceRoutes};

use crate::{Files, NAME};

type Service = Arc<Files>;

/// Every operation of the service.
pub(crate) fn routes(files: Service) -> ServiceRoutes {
    let routes = Routes::new(NAME, files);
    let routes = upload::add(routes);
    let routes = presigned::add(routes);
    let routes = files::add(routes);
    let routes = content::add(routes);
    images::add(routes).finish()
}
