//! A sandbox's database on a real Postgres, and module-registry on top.

use std::{sync::Arc, time::Duration};

use fabric::postgres::{Database, Reason, Schemas};
use kernel::{Actor, Caller, Clock, Ctx, Permissions, SandboxName, SessionId, TenantId, UserId};
use module_registry::{Bundle, ModuleRegistry, ModuleRegistryDeps};
use ports::http::CursorKey;
use serde_json::{Value, json};
use testkit::SandboxDatabase;

/// The running set-up of a test.
pub struct Ground {
    pub database: SandboxDatabase,
    pub registry: Arc<ModuleRegistry>,
}

pub async fn ground() -> Ground {
    let database = SandboxDatabase::with(&["registry"]).await;
    let registry = registry(&database.db, &database.schemas, Duration::from_secs(60));
    Ground { database, registry }
}

/// The service, with this much time for a registration.
pub fn registry(db: &Database, schemas: &Schemas, install_timeout: Duration) -> Arc<ModuleRegistry> {
    ModuleRegistry::create(ModuleRegistryDeps {
        db: db.clone(),
        schemas: schemas.clone(),
        cursor: CursorKey::new(&[2; 32]),
        install_timeout,
        backends: Default::default(),
    })
}

impl Ground {
    /// One value, as the system sees it. The tests' statements are their own.
    pub async fn ask<T>(&self, statement: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        self.database
            .db
            .system(&operator(), Reason::Modules)
            .composed(statement.to_owned())
            .value()
            .await
            .unwrap()
    }

    /// Whether the module has a schema.
    pub async fn has_schema(&self, slug: &str) -> bool {
        self.ask(&format!("select exists (select 1 from pg_namespace where nspname = 'module_{slug}')")).await
    }

    /// How many events of a type were told.
    pub async fn told(&self, kind: &str) -> i64 {
        self.ask(&format!("select count(*) from kernel.outbox where type = '{kind}'")).await
    }

    pub async fn stop(self) {
        self.database.stop().await;
    }
}

/// Who runs the sandbox.
pub fn operator() -> Ctx {
    let caller = Caller { tenant: None, actor: Actor::Operator, permissions: Arc::default() };
    Ctx::build(SandboxName::default_sandbox(), Clock::real()).caller(caller).finish()
}

/// A user of a tenant who may do everything there.
pub fn owner(tenant: TenantId) -> Ctx {
    let actor = Actor::User { id: UserId::new(), session: SessionId::new(), email: "ada@example.com".into() };
    let caller = Caller { tenant: Some(tenant), actor, permissions: Arc::new(Permissions::new(["*"])) };
    Ctx::build(SandboxName::default_sandbox(), Clock::real()).caller(caller).finish()
}

pub const CRM: &str = include_str!("../../../../../examples/crm/module.manifest.json");

/// The CRM example's migrations.
pub fn crm_files() -> Vec<(String, String)> {
    [
        ("00001_companies.sql", include_str!("../../../../../examples/crm/migrations/00001_companies.sql")),
        ("00002_contacts.sql", include_str!("../../../../../examples/crm/migrations/00002_contacts.sql")),
        ("00003_deals.sql", include_str!("../../../../../examples/crm/migrations/00003_deals.sql")),
    ]
    .map(|(file, sql)| (file.to_owned(), sql.to_owned()))
    .to_vec()
}

/// A module `@test/{slug}` with these migrations.
pub fn module(slug: &str, version: &str, migrations: &[&str], more: Value) -> Bundle {
    let mut manifest =
        json!({ "name": format!("@test/{slug}"), "version": version, "kernelSdkVersion": ">=0.1.0" });
    for (member, value) in more.as_object().into_iter().flatten() {
        manifest[member] = value.clone();
    }
    let file = |(index, sql): (usize, &&str)| {
        (format!("{:05}_step.sql", index + 1), format!("-- +goose Up\n{sql}\n"))
    };
    Bundle {
        manifest: serde_json::from_value(manifest).unwrap(),
        migrations: migrations.iter().enumerate().map(file).collect(),
        backend_url: None,
    }
}

/// A table as a module writes it, on one line.
pub fn table(name: &str) -> String {
    format!(
        "create table {name} (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, text text);"
    )
}
