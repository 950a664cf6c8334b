//! From a bundle to what has to be done.

use std::time::{Duration, Instant};

use fabric::{
    crypto::sha256,
    postgres::{Reason, Tx},
};
use kernel::{Ctx, Error, FieldCode, ModuleId, ModuleSlug, Result, Slug, Timestamp, check::Checks};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Bundle;
use crate::{
    ModuleRegistry,
    http::plan::{PlanOut, PlannedMigration, PlannedTable},
    manifest::{self, Manifest},
    migration_run::{End, Run},
    model,
    sql::{self, Checked, Migration},
    store::{attempts, modules},
};

/// What the caller means to do.
#[derive(Debug, Clone)]
pub(super) enum Intent {
    /// There is no such module yet.
    Register,
    /// This module is there.
    Update(String),
    /// Whatever is needed.
    Either,
}

/// A bundle that keeps to the rules, before anyone looked at what is registered.
pub(super) struct Prepared {
    pub(super) slug: ModuleSlug,
    pub(super) manifest: Manifest,
    pub(super) migrations: Vec<(String, String)>,
    pub(super) backend_url: Option<String>,
    pub(super) content_hash: [u8; 32],
    pub(super) checked: Checked,
}

/// What the present asks for.
pub(super) struct Plan {
    pub(super) present: Option<modules::ModuleRow>,
    pub(super) fresh: Vec<Migration>,
    pub(super) kind: &'static str,
    /// This very module is registered already.
    pub(super) same: bool,
}

/// A try that is written down.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) id: Uuid,
    pub(super) ticket: Uuid,
}

impl ModuleRegistry {
    /// Looks at the bundle itself.
    pub(super) async fn prepare(&self, bundle: Bundle) -> Result<Prepared> {
        let Bundle { manifest, migrations, backend_url } = bundle;
        let mut checks = Checks::new();
        manifest::check(&manifest, "/manifest", &mut checks);
        manifest::check_backend_url(backend_url.as_deref(), manifest.backend.is_some(), &mut checks);
        checks.finish()?;
        let slug = manifest::slug_of(&manifest.name)
            .map_err(|sentence| Error::field("/manifest/name", FieldCode::InvalidFormat, sentence))?;
        let permit = self.checkers.acquire().await.map_err(Error::internal)?;
        let name = slug.clone();
        let (migrations, checked) = tokio::task::spawn_blocking(move || {
            let checked = sql::check(name.as_str(), &migrations);
            (migrations, checked)
        })
        .await
        .map_err(Error::internal)?;
        drop(permit);
        let checked = checked.map_err(model::violations)?;
        model::models_are_tables(&manifest, &checked.tables)?;
        let url = backend_url.or_else(|| manifest.backend.as_ref().map(|backend| backend.url.clone()));
        let content_hash = hash_of(&manifest, &migrations, url.as_deref())?;
        Ok(Prepared { slug, manifest, migrations, backend_url: url, content_hash, checked })
    }

    /// Looks at what is registered, with the module locked.
    pub(super) async fn plan(&self, tx: &mut Tx, prepared: &Prepared, intent: &Intent) -> Result<Plan> {
        let slug = prepared.slug.as_str();
        if !modules::try_lock(tx, slug).await? {
            return Err(Error::new(
                Slug::Conflict,
                format!("The module {slug} is being registered or removed just now."),
            ));
        }
        let present = modules::find_in(tx, slug, None).await?;
        if let Some(other) = present.as_ref().filter(|row| row.name != prepared.manifest.name) {
            return Err(Error::new(
                Slug::Conflict,
                format!("The name {slug} is taken by {}; choose another name after the scope.", other.name),
            ));
        }
        let active = present.as_ref().filter(|row| row.active());
        let same = active.is_some_and(|row| row.content_hash == prepared.content_hash);
        match (intent, active) {
            (Intent::Update(named), _) if !names(named, slug, active) => {
                return Err(if modules::find_in(tx, named, None).await?.is_some_and(|row| row.active()) {
                    Error::field(
                        "/manifest/name",
                        FieldCode::NotAllowed,
                        "is another module than the address names",
                    )
                } else {
                    Error::not_found("module")
                });
            }
            (Intent::Register, Some(row)) if !same => {
                return Err(Error::new(
                    Slug::AlreadyExists,
                    format!("{} is registered in version {}; update it with PATCH.", row.name, row.version),
                ));
            }
            (Intent::Update(_) | Intent::Either, Some(row))
                if !model::goes_forward(&row.version, &prepared.manifest.version) =>
            {
                let message = format!("must not be below {}, which is registered", row.version);
                return Err(Error::field("/manifest/version", FieldCode::NotAllowed, message));
            }
            _ => {}
        }
        model::resolve(&prepared.manifest, &modules::neighbours(tx).await?)?;
        let applied = modules::applied(tx, slug).await?;
        let fresh = model::new_migrations(&applied, &prepared.migrations, &prepared.checked)?;
        let kind = if active.is_some() { "update" } else { "register" };
        Ok(Plan { fresh: fresh.into_iter().cloned().collect(), kind, same, present })
    }

    pub(super) fn run_of(&self, cx: &Ctx, prepared: &Prepared, plan: &Plan, end: End) -> Run {
        let hidden =
            prepared.manifest.data_api.models.iter().map(|model| (model.name.clone(), json!(model.hidden)));
        Run {
            slug: prepared.slug.clone(),
            fresh: plan.fresh.clone(),
            hidden: Value::Object(hidden.collect()),
            until: cx.deadline().min(Instant::now() + self.install_timeout),
            end,
        }
    }

    pub(super) async fn start_attempt(&self, cx: &Ctx, prepared: &Prepared, plan: &Plan) -> Result<Attempt> {
        let attempt = Attempt { id: Uuid::now_v7(), ticket: Uuid::from_bytes(cx.random()) };
        let migrations = prepared.migrations.iter().map(|(file, sql)| json!({ "file": file, "sql": sql }));
        let fresh = plan.fresh.iter().filter_map(|migration| {
            let (_, sql) = prepared.migrations.iter().find(|(file, _)| *file == migration.file)?;
            let hash = hex(&model::hash_of_file(sql));
            Some(json!({ "number": migration.version, "file": migration.file, "hash": hash }))
        });
        let id = plan.present.as_ref().map_or_else(ModuleId::new, |row| row.id);
        let content = json!({
            "id": id, "name": prepared.manifest.name, "manifest": prepared.manifest,
            "backendUrl": prepared.backend_url, "contentHash": hex(&prepared.content_hash),
            "migrations": migrations.collect::<Vec<_>>(), "applied": fresh.collect::<Vec<_>>(),
        });
        let plain = cx.with_idempotency(None);
        attempts::start(
            &self.db.system(&plain, Reason::Modules),
            attempts::NewAttempt {
                id: attempt.id,
                slug: prepared.slug.as_str(),
                version: &prepared.manifest.version,
                kind: plan.kind,
                started_by: cx.actor().name(),
                late_at: Timestamp::real().plus(self.install_timeout + Duration::from_secs(60)),
                ticket: attempt.ticket,
                content,
                base_revision: plan.present.as_ref().map(|row| row.revision),
            },
        )
        .await?;
        Ok(attempt)
    }
}

fn names(named: &str, slug: &str, active: Option<&modules::ModuleRow>) -> bool {
    active.is_some_and(|row| named == slug || Uuid::try_parse(named).is_ok_and(|id| id == row.id.uuid()))
}

pub(super) fn plan_out(prepared: &Prepared, plan: &Plan) -> PlanOut {
    let manifest = &prepared.manifest;
    let runs = |migration: &Migration| plan.fresh.iter().any(|fresh| fresh.version == migration.version);
    let routes = manifest.backend.iter().flat_map(|backend| &backend.routes);
    PlanOut {
        slug: prepared.slug.to_string(),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        action: if plan.same { "nothing" } else { plan.kind },
        present_version: plan.present.as_ref().filter(|row| row.active()).map(|row| row.version.clone()),
        migrations: prepared
            .checked
            .migrations
            .iter()
            .map(|m| PlannedMigration { file: m.file.clone(), statements: m.up.len(), runs: runs(m) })
            .collect(),
        tables: prepared.checked.tables.iter().map(PlannedTable::of).collect(),
        permissions: manifest.permissions.clone(),
        publishes: manifest.events.publishes.clone(),
        subscribes: manifest.events.subscribes.clone(),
        routes: routes.map(|route| format!("{} {}", route.method, route.path)).collect(),
        models: manifest.data_api.models.iter().filter(|m| m.auto_api).map(|m| m.name.clone()).collect(),
    }
}

/// Over everything that makes a module what it is; files in the order of their names.
fn hash_of(manifest: &Manifest, migrations: &[(String, String)], url: Option<&str>) -> Result<[u8; 32]> {
    let mut files: Vec<_> = migrations.iter().collect();
    files.sort();
    let text = serde_json::to_vec(&(manifest, files, url)).map_err(Error::internal)?;
    Ok(sha256(&[&text]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| format!("{text}{byte:02x}"))
}
