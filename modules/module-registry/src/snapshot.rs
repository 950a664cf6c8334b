//! Everything that is active, in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fabric::postgres::{Database, Reason};
use kernel::{Ctx, ModuleId, ModuleSlug, Result};
use ports::ModuleSnapshot;

use crate::{
    manifest::Manifest,
    model,
    store::modules::{self, SnapshotRow},
};

/// The public snapshot, and the manifests behind it.
pub(crate) struct Loaded {
    /// What other services get.
    pub public: Arc<ModuleSnapshot>,
    /// By slug.
    pub manifests: BTreeMap<String, (ModuleId, Manifest)>,
}

impl Loaded {
    /// The manifest of an active module.
    pub fn manifest(&self, slug: &str) -> Option<&Manifest> {
        self.manifests.get(slug).map(|(_, manifest)| manifest)
    }
}

/// Keeps the snapshot no older than a second behind the database, for one small question a second at most.
#[derive(Default)]
pub(crate) struct Snapshots {
    present: RwLock<Option<Present>>,
    /// Held by the one who asks the database; the others go on with what there is.
    asking: tokio::sync::Mutex<()>,
    /// Changes that were committed by this process.
    changes: AtomicU64,
    /// Where back-ends that the process runs itself really are, by module name.
    backends: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Present {
    loaded: Arc<Loaded>,
    checked: Instant,
    /// The changes that were committed when the database was asked.
    changes: u64,
}

/// How old an answer may be: what another process changes is seen within this time.
const FRESH: Duration = Duration::from_secs(1);

impl Snapshots {
    /// Nothing is known yet. `backends` says where back-ends that the process runs itself really are, by module name: it
    /// counts for a module whose address is still the one of its manifest.
    pub fn new(backends: BTreeMap<String, String>) -> Self {
        Self { backends, ..Self::default() }
    }

    /// The snapshot. Without a database to ask, what was known last.
    ///
    /// # Errors
    /// What the database says when nothing is known yet.
    pub async fn current(&self, cx: &Ctx, db: &Database) -> Result<Arc<Loaded>> {
        let known = self.present();
        if let Some(present) = known.as_ref().filter(|present| self.is_fresh(present)) {
            return Ok(Arc::clone(&present.loaded));
        }
        let _asking = match (self.asking.try_lock(), known) {
            (Ok(turn), _) => turn,
            // Somebody asks already. Who knows nothing, or has just changed something, waits for the answer.
            (Err(_), Some(present)) if self.knows_own_changes(&present) => return Ok(present.loaded),
            (Err(_), _) => self.asking.lock().await,
        };
        let known = self.present();
        if let Some(present) = known.as_ref().filter(|present| self.is_fresh(present)) {
            return Ok(Arc::clone(&present.loaded));
        }
        // Both are taken before the question: a change that is made meanwhile is looked for again.
        let (checked, changes) = (Instant::now(), self.changes.load(Ordering::Acquire));
        match self.ask(cx, db, known.as_ref()).await {
            Ok(loaded) => {
                let fresh = Present { loaded: Arc::clone(&loaded), checked, changes };
                *self.present.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
                Ok(loaded)
            }
            Err(error) => match known {
                Some(present) => {
                    tracing::warn!(?error, "the modules could not be read; going on with what was known");
                    Ok(present.loaded)
                }
                None => Err(error),
            },
        }
    }

    /// Something was committed here: the next answer comes from the database.
    pub fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn present(&self) -> Option<Present> {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn knows_own_changes(&self, present: &Present) -> bool {
        present.changes == self.changes.load(Ordering::Acquire)
    }

    fn is_fresh(&self, present: &Present) -> bool {
        self.knows_own_changes(present) && present.checked.elapsed() < FRESH
    }

    async fn ask(&self, cx: &Ctx, db: &Database, known: Option<&Present>) -> Result<Arc<Loaded>> {
        let db = db.system(cx, Reason::Modules);
        if let Some(known) = known
            && modules::snapshot_version(&db).await? == known.loaded.public.version
        {
            return Ok(Arc::clone(&known.loaded));
        }
        modules::snapshot(&db).await.map(|row| Arc::new(loaded(row, &self.backends)))
    }
}

fn loaded(row: SnapshotRow, backends: &BTreeMap<String, String>) -> Loaded {
    let mut public = ModuleSnapshot { version: row.version, ..ModuleSnapshot::default() };
    let mut manifests = BTreeMap::new();
    for module in row.modules.0 {
        let declared = module.manifest.backend.as_ref().map(|backend| backend.url.as_str());
        let own = backends.get(&module.manifest.name).filter(|_| module.backend_url.as_deref() == declared);
        let address = own.map(String::as_str).or(module.backend_url.as_deref());
        let Some(info) = model::info(&module.manifest, address, module.revision) else {
            tracing::error!(slug = module.slug, "a registered module has an unusable name and is left out");
            continue;
        };
        public.modules.insert(info.slug.clone(), Arc::new(info));
        manifests.insert(module.slug, (module.id, module.manifest));
    }
    for (tenant, slug) in row.installed.0 {
        if let Ok(slug) = slug.parse::<ModuleSlug>()
            && public.modules.contains_key(&slug)
        {
            public.installed.entry(tenant).or_default().push(slug);
        }
    }
    Loaded { public: Arc::new(public), manifests }
}

#[cfg(test)]
mod tests {
    use fabric::postgres::Json;
    use kernel::TenantId;
    use serde_json::json;

    use super::*;
    use crate::store::modules::SnapshotModule;

    fn row(version: i64) -> SnapshotRow {
        let module: SnapshotModule = serde_json::from_value(json!({
            "slug": "crm", "id": ModuleId::new(), "backend_url": "http://127.0.0.1:1", "revision": 7,
            "manifest": { "name": "@example/crm", "version": "1.0.0", "kernelSdkVersion": "*",
                "backend": { "url": "http://elsewhere" },
                "dataApi": { "models": [{ "name": "deals", "autoApi": true }, { "name": "notes" }] } },
        }))
        .unwrap();
        let tenant = TenantId::new();
        SnapshotRow {
            version,
            modules: Json(vec![module]),
            installed: Json(vec![(tenant, "crm".into()), (tenant, "gone".into())]),
        }
    }

    #[test]
    fn a_snapshot_shows_where_the_back_end_is_and_which_tables_have_an_api() {
        let loaded = loaded(row(3), &BTreeMap::new());
        let crm = &loaded.public.modules[&"crm".parse::<ModuleSlug>().unwrap()];
        assert_eq!(crm.backend.as_ref().unwrap().url, "http://127.0.0.1:1");
        assert_eq!(crm.models.keys().collect::<Vec<_>>(), ["deals"]);
        assert_eq!(crm.revision, 7);
        let installed = loaded.public.installed.values().next().unwrap();
        assert_eq!(installed.iter().map(ModuleSlug::as_str).collect::<Vec<_>>(), ["crm"]);
    }

    #[test]
    fn a_change_makes_the_next_answer_come_from_the_database() {
        let snapshots = Snapshots::default();
        let present = Present {
            loaded: Arc::new(loaded(row(1), &BTreeMap::new())),
            checked: Instant::now(),
            changes: 0,
        };
        assert!(snapshots.is_fresh(&present));
        snapshots.forget();
        assert!(!snapshots.is_fresh(&present));
    }
}
