//! From a row of the registry to a running cell.

use std::sync::{Arc, PoisonError};

use fabric::{
    blobs::Blobs,
    postgres::{Login, Logins},
};
use gateway::{GatewaySettings, RateLimit};
use integration_hub::Echo;
use kernel::{Error, Result, SandboxName, Slug};
use notify::MailSettings;
use ports::http::ServiceRoutes;

use crate::{
    cell::{Cell, CellDeps, draining},
    control::SandboxRow,
    estate::{Estate, EstateOptions, Slot},
};

impl Estate {
    /// Opens a cell; the caller holds the slot's change lock.
    pub(crate) async fn open_cell(
        self: &Arc<Self>,
        slot: &Slot,
        name: &SandboxName,
        row: &SandboxRow,
    ) -> Result<Arc<Cell>> {
        // Whoever works on it is waited for, and the sandbox may be another one then.
        let unchanged = self.unchanged(name).await?;
        let row = unchanged.as_ref().map_or(row, |unchanged| &unchanged.row);
        match row.state.as_str() {
            "ready" | "failed" => {}
            _ => return Err(draining()),
        }
        match self.wake(name, row).await {
            Ok(cell) => {
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
                slot.set(Some(Arc::clone(&cell)));
                Ok(cell)
            }
            Err(error) => {
                let reason = format!("{error:?}");
                tracing::error!(sandbox = %name, reason, "the sandbox can't be opened");
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), reason);
                Err(Error::new(
                    Slug::DependencyUnavailable,
                    format!("The sandbox {name} can't be opened; /health says why. Other sandboxes are not affected."),
                )
                .because(error))
            }
        }
    }

    async fn wake(self: &Arc<Self>, name: &SandboxName, row: &SandboxRow) -> Result<Arc<Cell>> {
        let logins = Logins::new(name, self.sandbox_key(row));
        let database = name.database();
        if row.schema_fingerprint != self.templates.fingerprint() && !self.cluster().is_single() {
            let owner = logins.options(&self.parts.cluster, Login::Owner, &database);
            let applied = self.templates.migrations().apply(&owner).await.map_err(Error::internal)?;
            if applied > 0 {
                tracing::info!(sandbox = %name, applied, "migrated");
            }
            self.control.set_schema(name.as_str(), self.templates.fingerprint()).await?;
        }
        let cell = self.cell_on(&database, name, row, logins, self.blobs_of(row)?).await?;
        if let Err(error) = self.see_to_owner(&cell).await {
            cell.close().await;
            return Err(error);
        }
        Ok(cell)
    }

    /// A cell on a database that has today's schema.
    pub(crate) async fn cell_on(
        self: &Arc<Self>,
        database: &str,
        name: &SandboxName,
        row: &SandboxRow,
        logins: Logins,
        blobs: Blobs,
    ) -> Result<Arc<Cell>> {
        Cell::open(CellDeps {
            row,
            name: name.clone(),
            database: database.to_owned(),
            key: self.sandbox_key(row),
            logins,
            parts: &self.parts,
            blobs,
            file_pool: self.file_pool.clone(),
            most_image_bytes: self.options.config.files.max_image_bytes,
            control: self.control.clone(),
            settings: self.gateway_settings(name, row),
            issuer: self.issuer(name),
            hosts: self.own_hosts(),
            hash_pool: self.hash_pool.clone(),
            metrics: Arc::clone(&self.metrics),
            operator: self.operator.clone(),
            dialler: self.dialler.clone(),
            echo: self.echo.as_ref().map(Echo::url),
            dns: self.dns.clone(),
            hostnames: Arc::new(self.hostnames.of(&self.control, name, row.id)),
            outside: outside(&self.options.public_url),
            flag_file: Arc::clone(&self.flag_file),
            backends: self.options.backends.clone(),
            install_timeout: self.options.config.modules.install_timeout,
            mail: self.mail_settings(),
            process_routes: self.process_routes(),
        })
        .await
    }

    /// Operations that no service of the sandbox has: the sandbox verbs, and what the embedder adds.
    fn process_routes(self: &Arc<Self>) -> Vec<ServiceRoutes> {
        let extra = self.options.extra_routes.iter().map(|make| make());
        std::iter::once(crate::http::routes(self)).chain(extra).collect()
    }

    fn gateway_settings(&self, name: &SandboxName, row: &SandboxRow) -> GatewaySettings {
        let config = &self.options.config;
        GatewaySettings {
            request_timeout: config.limits.request_timeout,
            public_url: self.issuer(name),
            trusted_proxies: config.listen.trusted_proxies.clone(),
            version: self.options.version,
            rate: Some(RateLimit {
                per_second: config.limits.requests_per_second,
                burst: config.limits.burst,
            }),
            demo: self.demo_people(row),
            ..GatewaySettings::default()
        }
    }

    fn mail_settings(&self) -> MailSettings {
        let mail = &self.options.config.mail;
        MailSettings { server: mail.server.clone(), from: mail.from.clone(), timeout: mail.timeout }
    }

    fn own_hosts(&self) -> Vec<String> {
        own_hosts(&self.options)
    }

    /// The address of a sandbox: the public one, with the sandbox's own host where it is not the default.
    pub fn issuer(&self, name: &SandboxName) -> String {
        let public = self.options.public_url.trim_end_matches('/');
        if name.is_default() {
            return public.to_owned();
        }
        let (scheme, rest) = public.split_once("://").unwrap_or(("http", public));
        let port =
            rest.rsplit_once(':').map(|(_, port)| port).filter(|p| p.bytes().all(|b| b.is_ascii_digit()));
        match port {
            Some(port) => format!("{scheme}://{name}.localhost:{port}"),
            None => format!("{scheme}://{name}.localhost"),
        }
    }
}

/// The host of the public address, without brackets and port.
fn outside(public_url: &str) -> String {
    let rest = public_url.split_once("://").map_or(public_url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    domain_resolver::normal(authority)
}

/// Names of the default sandbox beside localhost: that of the public address, and those configured.
pub(crate) fn own_hosts(options: &EstateOptions) -> Vec<String> {
    let public = options.config.public_url.as_ref().map(|url| url.host().to_owned());
    public.into_iter().chain(options.config.hosts.iter().cloned()).collect()
}
