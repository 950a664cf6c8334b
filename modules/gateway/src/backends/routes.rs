use http::Method;
use kernel::ModuleSlug;
use ports::BackendRoute;

/// A module's own routes, ready to be looked up.
pub(super) struct Routes {
    get: matchit::Router<Route>,
    post: matchit::Router<Route>,
    patch: matchit::Router<Route>,
    delete: matchit::Router<Route>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// The permission that the caller needs; none: any caller of the tenant.
    pub permission: Option<Box<str>>,
}

impl Routes {
    /// Takes the routes of a manifest. One that can't be routed is left out and told in the log; the registry refuses
    /// such manifests.
    pub(super) fn new(module: &ModuleSlug, routes: &[BackendRoute]) -> Self {
        let mut made = Self {
            get: matchit::Router::new(),
            post: matchit::Router::new(),
            patch: matchit::Router::new(),
            delete: matchit::Router::new(),
        };
        for BackendRoute { method, path, permission } in routes {
            let router = match method.as_str() {
                "GET" => &mut made.get,
                "POST" => &mut made.post,
                "PATCH" => &mut made.patch,
                "DELETE" => &mut made.delete,
                _ => continue,
            };
            let route = Route { permission: permission.as_deref().map(Into::into) };
            if let Err(error) = router.insert(path.as_str(), route) {
                tracing::warn!(%module, method, path, %error, "a module's route can't be served");
            }
        }
        made
    }

    /// The route of a path on the back-end. HEAD is served where GET is.
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<&Route> {
        let router = match *method {
            Method::GET | Method::HEAD => &self.get,
            Method::POST => &self.post,
            Method::PATCH => &self.patch,
            Method::DELETE => &self.delete,
            _ => return None,
        };
        router.at(path).ok().map(|hit| hit.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_found_by_method_and_template() {
        let route = |method: &str, path: &str, permission: Option<&str>| BackendRoute {
            method: method.into(),
            path: path.into(),
            permission: permission.map(Into::into),
        };
        let routes = Routes::new(
            &"crm".parse().unwrap(),
            &[
                route("GET", "/reports/pipeline", Some("crm.reports.read")),
                route("POST", "/deals/{id}/win", Some("crm.deals.write")),
                route("GET", "/open", None),
                route("GET", "/bad/{", None),
            ],
        );
        let permission =
            |method: Method, path: &str| routes.find(&method, path).map(|route| route.permission.as_deref());
        assert_eq!(permission(Method::GET, "/reports/pipeline"), Some(Some("crm.reports.read")));
        assert_eq!(permission(Method::HEAD, "/reports/pipeline"), Some(Some("crm.reports.read")));
        assert_eq!(permission(Method::POST, "/deals/7/win"), Some(Some("crm.deals.write")));
        assert_eq!(permission(Method::GET, "/open"), Some(None));
        assert_eq!(permission(Method::POST, "/open"), None);
        assert_eq!(permission(Method::GET, "/deals/7/win"), None);
        assert_eq!(permission(Method::GET, "/reports/pipeline/"), None);
    }
}
