//! What a manifest must keep to: one sentence per mistake, each with its JSON pointer.

use std::collections::BTreeSet;

use kernel::{FieldCode, ModuleSlug, check::Checks};
use semver::Version;

use super::{Backend, DataApi, Events, Manifest, form};

/// Most entries of any list of a manifest.
const MOST_ENTRIES: usize = 500;

const METHODS: [&str; 4] = ["GET", "POST", "PATCH", "DELETE"];

/// The module's slug: its name without the scope.
///
/// # Errors
/// A sentence about the name.
pub fn slug_of(name: &str) -> Result<ModuleSlug, String> {
    let parts = name.strip_prefix('@').and_then(|rest| rest.split_once('/'));
    let (scope, slug) = parts.ok_or_else(|| "must be of the form @scope/name".to_owned())?;
    let scope_fits = (1..=39).contains(&scope.len())
        && !scope.starts_with('-')
        && scope.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !scope_fits {
        return Err(
            "needs a scope of 1 to 39 lower-case letters, digits and hyphens between @ and /".to_owned()
        );
    }
    slug.parse::<ModuleSlug>().map_err(|bad| bad.to_string())
}

/// Whether a `kernelSdkVersion` takes this version of the platform in; `None` when it is not a range.
pub fn sdk_fits(sdk_range: &str) -> Option<bool> {
    let ours = Version::parse(env!("CARGO_PKG_VERSION")).ok()?;
    Some(form::range(sdk_range)?.matches(&ours))
}

/// Notes every mistake, with pointers below `at` (`""`, or `/manifest` within a request).
pub fn check(manifest: &Manifest, at: &str, checks: &mut Checks) {
    let mut rules = Rules { at, slug: String::new(), permissions: BTreeSet::new(), checks };
    match slug_of(&manifest.name) {
        Ok(slug) => rules.slug = slug.to_string(),
        Err(sentence) => rules.wrong("/name", FieldCode::InvalidFormat, sentence),
    }
    rules.head(manifest);
    rules.permissions(&manifest.permissions);
    if let Some(backend) = &manifest.backend {
        rules.backend(backend);
    }
    rules.events(&manifest.events);
    rules.data_api(&manifest.data_api, manifest.backend.is_some());
    rules.front_end(manifest);
    rules.dependencies(manifest);
}

/// Notes what is wrong with an address that takes the place of the manifest's.
pub fn check_backend_url(url: Option<&str>, has_backend: bool, checks: &mut Checks) {
    let Some(url) = url else { return };
    if let Some(fault) = form::base_url_fault(url) {
        checks.refuse("/backendUrl", FieldCode::InvalidFormat, fault);
    }
    checks.ensure(
        has_backend,
        "/backendUrl",
        FieldCode::NotAllowed,
        "the manifest has no backend that could be there",
    );
}

struct Rules<'a> {
    at: &'a str,
    /// Empty when the name is not usable; what depends on it is not looked at then.
    slug: String,
    permissions: BTreeSet<String>,
    checks: &'a mut Checks,
}

impl Rules<'_> {
    fn wrong(&mut self, field: &str, code: FieldCode, message: impl Into<String>) {
        self.checks.refuse(&format!("{}{field}", self.at), code, message);
    }

    fn bounded(&mut self, field: &str, entries: usize) {
        if entries > MOST_ENTRIES {
            let message = format!("takes at most {MOST_ENTRIES} entries, got {entries}");
            self.wrong(field, FieldCode::TooLong, message);
        }
    }

    fn text(&mut self, field: &str, text: Option<&String>, most: usize) {
        if let Some(text) = text {
            self.checks.length(&format!("{}{field}", self.at), text, 1, most);
        }
    }

    fn head(&mut self, manifest: &Manifest) {
        match Version::parse(&manifest.version) {
            Ok(version) if version.pre.is_empty() && version.build.is_empty() => {}
            _ => self.wrong("/version", FieldCode::InvalidFormat, "must be a version of the form X.Y.Z"),
        }
        self.checks.length(&format!("{}/description", self.at), &manifest.description, 0, 255);
        match sdk_fits(&manifest.kernel_sdk_version) {
            Some(true) => {}
            Some(false) => self.wrong(
                "/kernelSdkVersion",
                FieldCode::NotAllowed,
                format!(
                    "does not take in this version of Platform Kernel, {}: widen the range if the module works with it",
                    env!("CARGO_PKG_VERSION")
                ),
            ),
            None => self.wrong(
                "/kernelSdkVersion",
                FieldCode::InvalidFormat,
                "must be a semver range like \">=0.1.0, <2.0.0\"",
            ),
        }
        self.text("/icon", manifest.icon.as_ref(), 100);
        self.text("/category", manifest.category.as_ref(), 100);
        self.text("/author", manifest.author.as_ref(), 200);
    }

    fn permissions(&mut self, permissions: &[String]) {
        self.bounded("/permissions", permissions.len());
        for (index, permission) in permissions.iter().enumerate() {
            let field = format!("/permissions/{index}");
            let parts = form::words(permission);
            if parts.len() != 3 {
                let message =
                    "must be of the form {module}.{resource}.{action}, in lower-case letters, digits and _";
                self.wrong(&field, FieldCode::InvalidFormat, message);
            } else if !self.slug.is_empty() && parts[0] != self.slug {
                let message = format!("must begin with {}.: a module grants only what is its own", self.slug);
                self.wrong(&field, FieldCode::NotAllowed, message);
            } else if !self.permissions.insert(permission.clone()) {
                self.wrong(&field, FieldCode::NotAllowed, "is there twice");
            }
        }
    }

    fn declared(&mut self, field: &str, permission: Option<&String>) {
        if let Some(permission) = permission
            && !self.permissions.contains(permission)
        {
            let message =
                format!("names {permission}, which is not among the module's permissions: add it there");
            self.wrong(field, FieldCode::NotAllowed, message);
        }
    }

    fn backend(&mut self, backend: &Backend) {
        if let Some(fault) = form::base_url_fault(&backend.url) {
            self.wrong("/backend/url", FieldCode::InvalidFormat, fault);
        }
        if backend.health_check.as_ref().is_some_and(|path| !form::path(path, false)) {
            self.wrong("/backend/healthCheck", FieldCode::InvalidFormat, "must be a path like /health");
        }
        if let Some(timeout) = backend.timeout_ms {
            let timeout = i64::try_from(timeout).unwrap_or(i64::MAX);
            self.checks.range(&format!("{}/backend/timeoutMs", self.at), timeout, 100, 60_000);
        }
        self.bounded("/backend/routes", backend.routes.len());
        let mut seen = BTreeSet::new();
        for (index, route) in backend.routes.iter().enumerate() {
            let field = format!("/backend/routes/{index}");
            if !METHODS.contains(&route.method.as_str()) {
                let message = "must be GET, POST, PATCH or DELETE";
                self.wrong(&format!("{field}/method"), FieldCode::NotAllowed, message);
            }
            if !form::path(&route.path, true) {
                let message = "must be a path like /deals/{id}/win: no empty segments, each parameter once";
                self.wrong(&format!("{field}/path"), FieldCode::InvalidFormat, message);
            } else if !seen.insert((route.method.as_str(), shape(&route.path))) {
                let message = format!("{} {} is there twice", route.method, route.path);
                self.wrong(&field, FieldCode::NotAllowed, message);
            }
            self.declared(&format!("{field}/permission"), route.permission.as_ref());
        }
    }

    fn events(&mut self, events: &Events) {
        self.bounded("/events/publishes", events.publishes.len());
        self.bounded("/events/subscribes", events.subscribes.len());
        let mut seen = BTreeSet::new();
        for (index, kind) in events.publishes.iter().enumerate() {
            let field = format!("/events/publishes/{index}");
            let parts = form::words(kind);
            if parts.len() != 3 {
                let message =
                    "must be of the form {module}.{entity}.{verb}, in lower-case letters, digits and _";
                self.wrong(&field, FieldCode::InvalidFormat, message);
            } else if !self.slug.is_empty() && parts[0] != self.slug {
                let message =
                    format!("must begin with {}.: a module tells only of its own things", self.slug);
                self.wrong(&field, FieldCode::NotAllowed, message);
            } else if !seen.insert(kind) {
                self.wrong(&field, FieldCode::NotAllowed, "is there twice");
            }
        }
        for (index, pattern) in events.subscribes.iter().enumerate() {
            let words = form::words(pattern.strip_suffix(".*").unwrap_or(pattern));
            if words.is_empty() || words.len() > 4 {
                let message = "must be a type like data.crm.deals.created, or a beginning like data.crm.*";
                self.wrong(&format!("/events/subscribes/{index}"), FieldCode::InvalidFormat, message);
            }
        }
    }

    fn data_api(&mut self, api: &DataApi, has_backend: bool) {
        self.bounded("/dataApi/models", api.models.len());
        let mut names = BTreeSet::new();
        for (index, model) in api.models.iter().enumerate() {
            let field = format!("/dataApi/models/{index}");
            if !form::word(&model.name) {
                let message = "must be the name of a table: lower-case letters, digits and _, a letter first";
                self.wrong(&format!("{field}/name"), FieldCode::InvalidFormat, message);
            } else if !names.insert(model.name.as_str()) {
                self.wrong(&format!("{field}/name"), FieldCode::NotAllowed, "is there twice");
            }
            for (list, columns) in [("hidden", &model.hidden), ("readOnly", &model.read_only)] {
                self.bounded(&format!("{field}/{list}"), columns.len());
                for (place, column) in columns.iter().enumerate() {
                    let place = format!("{field}/{list}/{place}");
                    if !form::word(column) {
                        self.wrong(&place, FieldCode::InvalidFormat, "must be the name of a column");
                    } else if list == "hidden" && matches!(column.as_str(), "id" | "tenant_id" | "version") {
                        let message = format!("{column} can't be hidden: the API works by it");
                        self.wrong(&place, FieldCode::NotAllowed, message);
                    }
                }
            }
        }
        self.bounded("/dataApi/hooks", api.hooks.len());
        for (name, path) in &api.hooks {
            let field = format!("/dataApi/hooks/{}", name.replace('~', "~0").replace('/', "~1"));
            let parts: Vec<&str> = name.split('.').collect();
            let fits = matches!(parts.as_slice(), [model, "create" | "update" | "delete", "before"] if names.contains(model));
            if !fits {
                let message =
                    "must be named {model}.{create|update|delete}.before, with a model of the data API";
                self.wrong(&field, FieldCode::InvalidFormat, message);
            }
            if !form::path(path, false) {
                self.wrong(
                    &field,
                    FieldCode::InvalidFormat,
                    "must be a path of the back-end like /hooks/deal",
                );
            }
            if !has_backend {
                self.wrong(
                    &field,
                    FieldCode::NotAllowed,
                    "needs a back-end that can be asked: add `backend`",
                );
            }
        }
    }

    fn front_end(&mut self, manifest: &Manifest) {
        if let Some(entry) = &manifest.entry
            && !form::path(entry, false)
            && let Some(fault) = form::base_url_fault(entry)
        {
            self.wrong(
                "/entry",
                FieldCode::InvalidFormat,
                format!("{fault}; a path on this server is fine, too"),
            );
        }
        if manifest.route.as_ref().is_some_and(|route| !form::path(route, false) || route == "/") {
            self.wrong("/route", FieldCode::InvalidFormat, "must be a path like /crm");
        }
        self.text("/exposedComponent", manifest.exposed_component.as_ref(), 200);
        if let Some(widget) = &manifest.dashboard_widget {
            self.text("/dashboardWidget/title", Some(&widget.title), 100);
            self.text("/dashboardWidget/exposedComponent", Some(&widget.exposed_component), 200);
            self.declared("/dashboardWidget/permission", widget.permission.as_ref());
        }
        self.bounded("/embeds", manifest.embeds.len());
        for (index, embed) in manifest.embeds.iter().enumerate() {
            self.text(&format!("/embeds/{index}/slot"), Some(&embed.slot), 100);
            self.text(&format!("/embeds/{index}/exposedComponent"), Some(&embed.exposed_component), 200);
        }
        for (list, names) in [
            ("notificationChannels", &manifest.notification_channels),
            ("authProviders", &manifest.auth_providers),
        ] {
            self.bounded(&format!("/{list}"), names.len());
            for (index, name) in names.iter().enumerate() {
                if !form::word(name) {
                    let message = "must be lower-case letters, digits and _, a letter first";
                    self.wrong(&format!("/{list}/{index}"), FieldCode::InvalidFormat, message);
                }
            }
        }
    }

    fn dependencies(&mut self, manifest: &Manifest) {
        self.bounded("/dependencies", manifest.dependencies.len());
        for (name, range) in &manifest.dependencies {
            let field = format!("/dependencies/{}", name.replace('~', "~0").replace('/', "~1"));
            if let Err(sentence) = slug_of(name) {
                self.wrong(&field, FieldCode::InvalidFormat, format!("the name {sentence}"));
            } else if *name == manifest.name {
                self.wrong(&field, FieldCode::NotAllowed, "a module can't need itself");
            }
            if form::range(range).is_none() {
                self.wrong(&field, FieldCode::InvalidFormat, "must be a semver range like \"^1.2.0\"");
            }
        }
    }
}

/// A path with its parameters' names left out: two that differ in them alone are the same route.
fn shape(path: &str) -> String {
    path.split('/')
        .map(|segment| if segment.starts_with('{') { "{}" } else { segment })
        .collect::<Vec<_>>()
        .join("/")
}
