//! Template databases, from which sandboxes are cloned, and spare clones that stand ready.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use fabric::postgres::{
    Login, Logins, Migrations, Purpose, after_clone, embedded::pack_data, gather_statistics,
    template_database,
};
use kernel::{SandboxName, config::Config};
use uuid::Uuid;

use crate::{
    control::SandboxRow,
    error::OpenError,
    estate::{Estate, EstateOptions},
    seed::Seed,
    snapshots::SNAPSHOT,
};

/// The schema that templates have.
pub(crate) struct Templates {
    migrations: Migrations,
    fingerprint: String,
    /// Held by whoever makes a template.
    pub(crate) building: tokio::sync::Mutex<()>,
    /// Templates whose blobs are known to be there.
    laid: Mutex<HashSet<String>>,
}

impl Templates {
    pub(crate) fn new(migrations: Migrations) -> Self {
        let fingerprint = migrations.fingerprint();
        Self { migrations, fingerprint, building: tokio::sync::Mutex::new(()), laid: Mutex::default() }
    }

    pub(crate) fn migrations(&self) -> &Migrations {
        &self.migrations
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Clones of templates that wait for a name.
#[derive(Default)]
pub(crate) struct Spares {
    ready: Mutex<Vec<(String, String)>>,
    filling: AtomicBool,
}

impl Spares {
    fn take(&self, template: &str) -> Option<String> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let at = ready.iter().position(|(of, _)| of == template)?;
        Some(ready.swap_remove(at).1)
    }

    fn put(&self, template: &str, database: String) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push((template.to_owned(), database));
    }

    fn count(&self, template: &str) -> usize {
        self.ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|(of, _)| of == template)
            .count()
    }
}

impl Estate {
    /// The template database of a kind: `empty`, `demo` or a seed file, of this version's schema and content.
    pub(crate) fn template_of(&self, kind: &str) -> Result<String, OpenError> {
        let content = Seed::fingerprint(kind)?;
        let label = if kind == "demo" || kind == "empty" { kind } else { "file" };
        Ok(template_database(&format!("{label}{content}"), self.templates.fingerprint()))
    }

    /// Makes the template of a kind if this version's is not there.
    pub(crate) async fn ensure_template(self: &Arc<Self>, kind: &str) -> Result<String, OpenError> {
        let template = self.template_of(kind)?;
        if self.cluster().owner_of(&template).await?.is_none() {
            let _one_at_a_time = self.templates.building.lock().await;
            if self.cluster().owner_of(&template).await?.is_none() {
                self.build_template(kind, &template).await?;
            }
        }
        self.lay_files(kind, &template).await?;
        Ok(template)
    }

    /// Takes over the spares that lie ready from an earlier run. Answers what is of no use any more: templates of another
    /// schema, what was half built or stepped aside. It is dropped only when this version is known to fit the data.
    pub(crate) async fn adopt_spares(&self) -> Result<Vec<String>, OpenError> {
        let current = [self.template_of(&self.default_template())?, self.template_of("empty")?];
        let databases = self.cluster().databases("pk__").await?;
        let mut stale = self.clear_half_snapshots(&databases).await?;
        for name in databases.into_iter().filter(|name| !name.starts_with(SNAPSHOT)) {
            if let Some(of) = current.iter().find(|template| name.starts_with(&spare_prefix(template))) {
                self.spares.put(of, name);
            } else if !current.contains(&name) && self.is_stale(&name) {
                stale.push(name);
            }
        }
        Ok(stale)
    }

    /// Removes databases of no use, in the background: dropping takes the server a while.
    pub(crate) fn drop_stale(self: &Arc<Self>, stale: Vec<String>) {
        stale.into_iter().for_each(|name| self.drop_later(name));
    }

    pub(crate) fn is_stale(&self, name: &str) -> bool {
        name.starts_with("pk__build_")
            || name.starts_with("pk__gone_")
            || !name.contains(self.templates.fingerprint())
    }

    /// The blobs of a template lie in the data folder, its database may have come from elsewhere: packed into the program,
    /// or on a server that another installation used. What is missing is laid down again from the seed.
    async fn lay_files(&self, kind: &str, template: &str) -> Result<(), OpenError> {
        let laid = || self.templates.laid.lock().unwrap_or_else(PoisonError::into_inner);
        if laid().contains(template) {
            return Ok(());
        }
        if let Some(seed) = Seed::named(kind)? {
            seed.lay_files(&self.blobs_under(template)?).await?;
        }
        laid().insert(template.to_owned());
        Ok(())
    }

    async fn build_template(self: &Arc<Self>, kind: &str, template: &str) -> Result<(), OpenError> {
        let seed = Seed::named(kind)?;
        tracing::info!(kind, "making the template");
        let building = format!("pk__build_{}", Uuid::new_v4().simple());
        let name = SandboxName::default_sandbox();
        let row = SandboxRow::new(&format!("_{kind}"), kind, self.templates.fingerprint());
        let logins = Logins::template(self.sandbox_key(&row));
        self.cluster().create_database(&building, None).await?;
        self.cluster().let_in(&logins, &building).await?;
        let owner = logins.options(self.cluster(), Login::Owner, &building);
        self.templates.migrations().apply(&owner).await?;
        if let Some(seed) = seed {
            let blobs = self.blobs_under(template)?;
            // What a killed process left of the same template.
            blobs.delete_below(None).await?;
            let cell = self.cell_on(&building, &name, &row, logins.clone(), blobs).await?;
            let planted = seed.plant(&cell).await;
            cell.close().await;
            planted?;
        }
        self.clear_secrets(&logins, &building, Purpose::Template).await?;
        gather_statistics(&owner).await?;
        self.cluster().end_sessions(&building).await?;
        self.cluster().shut_out(&logins, &building).await?;
        self.cluster().rename_database(&building, template).await?;
        self.cluster().drop_logins(&logins).await?;
        Ok(())
    }

    /// Empties what a copy must not inherit.
    pub(crate) async fn clear_secrets(
        &self,
        logins: &Logins,
        database: &str,
        purpose: Purpose,
    ) -> Result<(), OpenError> {
        let owner = logins.options(self.cluster(), Login::Owner, database);
        after_clone(&owner, purpose).await?;
        Ok(())
    }

    /// Makes the database of a sandbox: a spare gets its name, or the template is cloned.
    pub(crate) async fn clone_template(&self, template: &str, database: &str) -> Result<(), OpenError> {
        if let Some(spare) = self.spares.take(template)
            && self.cluster().rename_database(&spare, database).await.is_ok()
        {
            return Ok(());
        }
        Ok(self.cluster().create_database(database, Some(template)).await?)
    }

    /// Keeps a spare of the default template ready. One at a time, in the background.
    pub(crate) async fn refill_spares(self: &Arc<Self>) {
        if self.cluster().is_single() {
            return;
        }
        let Ok(template) = self.template_of(&self.default_template()) else { return };
        if self.spares.count(&template) > 0 || self.spares.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let spare = format!("{}{}", spare_prefix(&template), &Uuid::new_v4().simple().to_string()[..8]);
        let made = self.cluster().create_database(&spare, Some(&template)).await;
        match made {
            Ok(()) => self.spares.put(&template, spare),
            Err(error) => tracing::debug!(%error, "no spare could be made"),
        }
        self.spares.filling.store(false, Ordering::Release);
    }
}

fn spare_prefix(template: &str) -> String {
    format!("{}_", template.replacen("pk__", "pk__spare_", 1))
}

/// Makes the data folder that a fresh installation unpacks: the server with this version's templates and a spare, and no
/// secret.
///
/// # Errors
/// What went wrong, as a sentence.
pub async fn build_packed_data(config: Config, out: &Path) -> Result<(), OpenError> {
    let folder = config.data_dir.clone();
    let estate = Estate::open(EstateOptions {
        config,
        public_url: "http://localhost:8080".to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        backends: std::collections::BTreeMap::new(),
        migrations: Migrations::sandbox(),
        extra_routes: Vec::new(),
    })
    .await?;
    estate.delete(&SandboxName::default_sandbox()).await?;
    estate.refill_spares().await;
    let empty = estate.ensure_template("empty").await?;
    tracing::info!(empty, "templates are ready");
    estate.clear_for_packing().await?;
    estate.close().await?;
    // The folder is held as long as the estate is there.
    drop(estate);
    let out = out.to_owned();
    let packed = tokio::task::spawn_blocking(move || pack_data(&folder.join("pgdata"), &out)).await;
    match packed {
        Ok(packed) => Ok(packed?),
        Err(panic) => Err(OpenError::Kernel(kernel::Error::internal(panic))),
    }
}
