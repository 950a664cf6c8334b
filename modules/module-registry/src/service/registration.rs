//! Registering and updating modules.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fabric::postgres::{Audit, Reason, Tx};
use kernel::{Ctx, Error, ModuleId, ModuleSlug, Result, Slug};
use uuid::Uuid;

use super::preparation::{Attempt, Intent, Plan, Prepared, plan_out};
use crate::{
    ModuleRegistry,
    events::{self, ModuleEvent},
    http::{plan::PlanOut, wire::ModuleOut},
    manifest::Manifest,
    migration_run::{self, End},
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
        let plan = self.try_out(&cx, &mut tx, bundle).await;
        tx.rollback().await;
        plan
    }

    async fn try_out(&self, cx: &Ctx, tx: &mut Tx, bundle: Bundle) -> Result<PlanOut> {
        let prepared = self.prepare(bundle).await?;
        let plan = self.plan(tx, &prepared, &Intent::Either).await?;
        if !prepared.checked.migrations.is_empty() && !plan.same {
            let run = self.run_of(cx, &prepared, &plan, End::RollBack);
            migration_run::run(&self.schemas, &run).await.map_err(|stopped| stopped.error)?;
        }
        Ok(plan_out(&prepared, &plan))
    }

    /// The work goes on when the caller leaves: a registration that is broken off in the middle helps nobody.
    async fn in_its_own_time(
        self: &Arc<Self>,
        cx: &Ctx,
        bundle: Bundle,
        intent: Intent,
    ) -> Result<ModuleOut> {
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
        let mut tried = None;
        match self.settle(cx, &mut tx, bundle, intent, &mut tried).await {
            Ok(answer) => {
                let answer = tx.commit(answer).await;
                self.snapshots.forget();
                answer
            }
            Err(error) => {
                // Before the answer: whoever reads it may try again at once, and the lock must be free then.
                tx.rollback().await;
                if let Some(tried) = tried {
                    self.note_failure(cx, &tried, &error).await;
                }
                Err(error)
            }
        }
    }

    /// Everything between begin and commit. `tried` tells what is under way once somebody can see it.
    async fn settle(
        &self,
        cx: &Ctx,
        tx: &mut Tx,
        bundle: Bundle,
        intent: Intent,
        tried: &mut Option<Tried>,
    ) -> Result<ModuleOut> {
        let prepared = self.prepare(bundle).await?;
        let plan = self.plan(tx, &prepared, &intent).await?;
        if !plan.same {
            let attempt = self.start_attempt(cx, &prepared, &plan).await?;
            *tried = Some(Tried {
                attempt: attempt.id,
                slug: prepared.slug.clone(),
                version: prepared.manifest.version.clone(),
                module: plan.present.as_ref().map(|row| row.id),
            });
            self.make_it_so(cx, tx, &prepared, &plan, attempt).await?;
            // It is so, whatever becomes of this transaction.
            *tried = None;
        }
        self.announce(tx, prepared.slug.as_str()).await?;
        let row = modules::find_in(tx, prepared.slug.as_str(), cx.tenant().ok()).await?;
        let row = row.ok_or_else(|| Error::internal("a module that was just registered is not there"))?;
        Ok(ModuleOut::of(row, true))
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
        let Err(stopped) = migration_run::run(&self.schemas, &run).await else { return Ok(()) };
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

    async fn note_failure(&self, cx: &Ctx, tried: &Tried, error: &Error) {
        let words = error.author_detail().unwrap_or(error.detail()).to_owned();
        tracing::info!(module = %tried.slug, reason = words, "a module was not registered");
        let cx = cx.with_idempotency(None);
        let noted = async {
            let mut tx = self.db.system(&cx, Reason::Modules).begin().await?;
            attempts::finish(&mut tx, tried.attempt, &words).await?;
            let data = ModuleEvent {
                module_id: tried.module,
                slug: tried.slug.as_str(),
                version: &tried.version,
                scope: "sandbox",
                purged: false,
                reason: Some(&words),
            };
            tx.event(data.told_as(events::FAILED)?)?;
            let entity = tried.module.map_or_else(|| tried.slug.to_string(), |id| id.to_string());
            tx.audit(Audit::new("module.registration_failed", "module", entity).metadata(&data))?;
            tx.commit(()).await
        };
        if let Err(unnoted) = noted.await {
            tracing::warn!(error = ?unnoted, module = %tried.slug, "a failed registration could not be noted");
        }
    }
}

/// A registration that is under way and can be seen.
struct Tried {
    attempt: Uuid,
    slug: ModuleSlug,
    version: String,
    module: Option<ModuleId>,
}
