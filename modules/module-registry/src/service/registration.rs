//! Registering and updating modules.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fabric::{
    crypto::sha256,
    postgres::{Audit, Reason, Tx},
};
use kernel::{Ctx, Error, FieldCode, ModuleId, ModuleSlug, Result, Slug, Timestamp, check::Checks};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    ModuleRegistry,
    events::{self, ModuleEvent},
    http::wire::{ModuleOut, PlanOut, PlannedMigration, PlannedTable},
    manifest::{self, Manifest},
    migration_run::{self, End, Run},
    model,
    sql::{self, Checked, Migration},
    store::{attempts, modules},
};

/// What a module arrives as.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// `module.manifest.json`.
    pub manifest: Manifest,
    /// All migrations: file name and content.
    pub migrations: Vec<(String, String)>,
    /// Where the back-end is, when that is another address than the manifest's.
    pub backend_url: Option<String>,
}

/// What the caller means to do.
#[derive(Debug, Clone)]
enum Intent {
    /// There is no such module yet.
    Register,
    /// This module is there.
    Update(String),
    /// Whatever is needed.
    Either,
}

/// A bundle that keeps to the rules, before anyone looked at what is registered.
struct Prepared {
    slug: ModuleSlug,
    manifest: Manifest,
    migrations: Vec<(String, String)>,
    backend_url: Option<String>,
    content_hash: [u8; 32],
    checked: Checked,
}

/// What the present asks for.
struct Plan {
    present: Option<modules::ModuleRow>,
    fresh: Vec<Migration>,
    kind: &'static str,
    /// This very module is registered already.
    same: bool,
}

/// The answer leaves this much earlier than the request's end.
const MARGIN: Duration = Duration::from_millis(300);

impl ModuleRegistry {
    /// Registers a module. The same module again is answered with what there is.
    ///
    /// # Errors
    /// `validation-error` for the manifest, `module-rejected` for its SQL (with file and line), `conflict` for
    /// dependencies and names, `already-exists`, `deadline-exceeded` (the registration goes on when only the request's
    /// time is over).
    pub async fn register(self: &Arc<Self>, cx: &Ctx, bundle: Bundle) -> Result<ModuleOut> {
        self.in_its_own_time(cx, bundle, Intent::Register).await
    }

    /// Brings a registered module to another version, or the same one to another content.
    ///
    /// # Errors
    /// As [`ModuleRegistry::register`]; `not-found`.
    pub async fn update(self: &Arc<Self>, cx: &Ctx, named: String, bundle: Bundle) -> Result<ModuleOut> {
        self.in_its_own_time(cx, bundle, Intent::Update(named)).await
    }

    /// Registers or updates a module that the program itself brings; nothing happens when it is there as it should be.
    ///
    /// # Errors
    /// As [`ModuleRegistry::register`].
    pub async fn register_builtin(
        self: &Arc<Self>,
        cx: &Ctx,
        manifest_json: &str,
        migrations: Vec<(String, String)>,
        backend_url_override: Option<String>,
    ) -> Result<ModuleOut> {
        let manifest = ports::http::parse_json(manifest_json.as_bytes())?;
        let bundle = Bundle { manifest, migrations, backend_url: backend_url_override };
        self.in_its_own_time(cx, bundle, Intent::Either).await
    }

    /// Does everything that registering would do, takes it back, and tells what it was.
    ///
    /// # Errors
    /// As [`ModuleRegistry::register`].
    pub async fn validate(self: &Arc<Self>, cx: &Ctx, bundle: Bundle) -> Result<PlanOut> {
        let cx = self.patient(cx).with_idempotency(None);
        let mut tx = self.db.system(&cx, Reason::Modules).begin().await?;
        let prepared = self.prepare(bundle).await?;
        let plan = self.plan(&mut tx, &prepared, &Intent::Either).await?;
        let installs = !prepared.checked.migrations.is_empty() && !plan.same;
        if installs {
            let run = self.run_of(&cx, &prepared, &plan, End::RollBack);
            migration_run::run(self.schemas.clone(), run).await.map_err(|stopped| stopped.error)?;
        }
        Ok(plan_out(&prepared, &plan))
    }

    /// The work goes on when the caller leaves: a registration that is broken off in the middle helps nobody.
    async fn in_its_own_time(self: &Arc<Self>, cx: &Ctx, bundle: Bundle, intent: Intent) -> Result<ModuleOut> {
        let (this, patient) = (Arc::clone(self), self.patient(cx));
        let work = tokio::spawn(async move { this.carry_out(&patient, bundle, intent).await });
        let until = cx.deadline().checked_sub(MARGIN).unwrap_or(cx.deadline());
        match tokio::time::timeout_at(until.into(), work).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => Err(Error::internal(panic)),
            Err(_) => Err(Error::new(
                Slug::DeadlineExceeded,
                "The registration goes on; GET /api/v1/modules/registrations tells what becomes of it.",
            )),
        }
    }

    /// The same call with the time that a registration may take.
    fn patient(&self, cx: &Ctx) -> Ctx {
        Ctx::build(cx.sandbox().clone(), cx.clock().clone())
            .caller(cx.caller().clone())
            .request(cx.request())
            .trace(cx.trace())
            .locale(cx.locale())
            .client(cx.client().clone())
            .deadline(Instant::now() + self.install_timeout + Duration::from_secs(10))
            .finish()
            .with_idempotency(cx.idempotency().cloned())
    }

    async fn carry_out(&self, cx: &Ctx, bundle: Bundle, intent: Intent) -> Result<ModuleOut> {
        let mut tx = self.db.system(cx, Reason::Modules).begin().await?;
        let prepared = self.prepare(bundle).await?;
        let plan = self.plan(&mut tx, &prepared, &intent).await?;
        if !plan.same {
            let attempt = self.start_attempt(cx, &prepared, &plan).await?;
            if let Err(error) = self.make_it_so(cx, &mut tx, &prepared, &plan, attempt).await {
                drop(tx);
                self.note_failure(cx, &prepared, plan.present.as_ref().map(|row| row.id), attempt.id, &error).await;
                return Err(error);
            }
        }
        self.announce(&mut tx, prepared.slug.as_str()).await?;
        let row = modules::find_in(&mut tx, prepared.slug.as_str(), cx.tenant().ok()).await?;
        let row = row.ok_or_else(|| Error::internal("a module that was just registered is not there"))?;
        let answer = tx.commit(ModuleOut::of(row, true)).await;
        self.snapshots.forget();
        answer
    }

    /// Looks at the bundle itself.
    async fn prepare(&self, bundle: Bundle) -> Result<Prepared> {
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
    async fn plan(&self, tx: &mut Tx, prepared: &Prepared, intent: &Intent) -> Result<Plan> {
        let slug = prepared.slug.as_str();
        if !modules::try_lock(tx, slug).await? {
            return Err(Error::new(Slug::Conflict, format!("The module {slug} is being registered or removed just now.")));
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
                    Error::field("/manifest/name", FieldCode::NotAllowed, "is another module than the address names")
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

    fn run_of(&self, cx: &Ctx, prepared: &Prepared, plan: &Plan, end: End) -> Run {
        let hidden = prepared.manifest.data_api.models.iter().map(|model| (model.name.clone(), json!(model.hidden)));
        Run {
            slug: prepared.slug.clone(),
            fresh: plan.fresh.clone(),
            hidden: Value::Object(hidden.collect()),
            until: cx.deadline().min(Instant::now() + self.install_timeout),
            end,
        }
    }

    async fn start_attempt(&self, cx: &Ctx, prepared: &Prepared, plan: &Plan) -> Result<Attempt> {
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

    /// Changes schema and rows. Nothing remains of it after an error.
    async fn make_it_so(
        &self,
        cx: &Ctx,
        tx: &mut Tx,
        prepared: &Prepared,
        plan: &Plan,
        attempt: Attempt,
    ) -> Result<()> {
        if prepared.checked.migrations.is_empty() {
            return modules::adopt(tx, attempt.ticket).await.map(drop);
        }
        let run = self.run_of(cx, prepared, plan, End::Adopt(attempt.ticket));
        let Err(stopped) = migration_run::run(self.schemas.clone(), run).await else { return Ok(()) };
        if stopped.uncertain {
            let plain = cx.with_idempotency(None);
            let db = self.db.system(&plain, Reason::Modules);
            if modules::is_of_attempt(&db, prepared.slug.as_str(), attempt.id).await? {
                return Ok(());
            }
        }
        Err(stopped.error)
    }

    /// Leaves event and audit record of the module's last registration, once.
    pub(crate) async fn announce(&self, tx: &mut Tx, slug: &str) -> Result<()> {
        if !modules::mark_announced(tx, slug).await? {
            return Ok(());
        }
        let kind = attempts::finish_adopted(tx, slug).await?;
        let Some(row) = modules::find_in(tx, slug, None).await? else { return Ok(()) };
        let (event, action) = match kind.as_deref() {
            Some("update") => (events::UPDATED, "module.updated"),
            _ => (events::REGISTERED, "module.registered"),
        };
        let data = ModuleEvent {
            module_id: Some(row.id),
            slug,
            version: &row.version,
            scope: "sandbox",
            purged: false,
            reason: None,
        };
        tx.event(data.told_as(event)?)?;
        tx.audit(Audit::new(action, "module", row.id).metadata(&data))
    }

    async fn note_failure(&self, cx: &Ctx, prepared: &Prepared, id: Option<ModuleId>, attempt: Uuid, error: &Error) {
        let words = error.author_detail().unwrap_or(error.detail()).to_owned();
        let cx = cx.with_idempotency(None).until(Instant::now() + Duration::from_secs(5));
        let noted = async {
            let mut tx = self.db.system(&cx, Reason::Modules).begin().await?;
            attempts::finish(&mut tx, attempt, Some(&words)).await?;
            let data = ModuleEvent {
                module_id: id,
                slug: prepared.slug.as_str(),
                version: &prepared.manifest.version,
                scope: "sandbox",
                purged: false,
                reason: Some(&words),
            };
            tx.event(data.told_as(events::FAILED)?)?;
            let entity = id.map_or_else(|| prepared.slug.to_string(), |id| id.to_string());
            tx.audit(Audit::new("module.registration_failed", "module", entity).metadata(&data))?;
            tx.commit(()).await
        };
        if let Err(unnoted) = noted.await {
            tracing::warn!(error = ?unnoted, module = %prepared.slug, "a failed registration could not be noted");
        }
        tracing::info!(module = %prepared.slug, reason = words, "a module was not registered");
    }
}

#[derive(Clone, Copy)]
struct Attempt {
    id: Uuid,
    ticket: Uuid,
}

fn names(named: &str, slug: &str, active: Option<&modules::ModuleRow>) -> bool {
    active.is_some_and(|row| named == slug || Uuid::try_parse(named).is_ok_and(|id| id == row.id.uuid()))
}

fn plan_out(prepared: &Prepared, plan: &Plan) -> PlanOut {
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
