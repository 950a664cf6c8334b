//! A sandbox's database with the CRM example in it, and data-layer on top.

use std::sync::Arc;

use axum::{Router, body::Body};
use bytes::Bytes;
use data_layer::{DataLayer, DataLayerDeps};
use fabric::postgres::Schemas;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kernel::{
    Actor, Caller, Client, Clock, Ctx, Error, FieldError, IdempotencyKey, ModuleSlug, Permissions, Result,
    SandboxName, Secret, SessionId, Slug, TenantId, UserId,
};
use ports::{
    KernelService, ModelRules, ModuleInfo, ModuleSnapshot, Modules, ModulesLink, Principal,
    http::{CursorKey, Failure},
    link::LinkOptions,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::SandboxDatabase;
use tower::ServiceExt as _;
use uuid::Uuid;

/// The running set-up of a test.
pub struct Ground {
    pub database: SandboxDatabase,
    pub acme: TenantId,
    pub globex: TenantId,
    /// A tenant without the module.
    pub bare: TenantId,
    router: Router,
}

struct Registry(Arc<ModuleSnapshot>);

#[async_trait::async_trait]
impl Modules for Registry {
    async fn snapshot(&self, _: &Ctx) -> Result<Arc<ModuleSnapshot>> {
        Ok(Arc::clone(&self.0))
    }

    async fn authenticate_key(&self, _: &Ctx, _: Secret) -> Result<Principal> {
        Err(Error::unauthorized())
    }
}

/// Who calls, and with what.
#[derive(Clone)]
pub struct Asking {
    pub cx: Ctx,
}

impl Asking {
    /// A user of a tenant with these permissions.
    pub fn of(tenant: TenantId, permissions: &[&str]) -> Self {
        let actor =
            Actor::User { id: UserId::new(), session: SessionId::new(), email: "ada@example.com".into() };
        let caller = Caller {
            tenant: Some(tenant),
            actor,
            permissions: Arc::new(Permissions::new(permissions.iter().map(|one| (*one).to_owned()))),
        };
        let client =
            Client { address: Some([192, 0, 2, 7].into()), agent: Some("curl/8".into()), host: None };
        Self {
            cx: Ctx::build(SandboxName::default_sandbox(), Clock::real())
                .caller(caller)
                .client(client)
                .finish(),
        }
    }

    /// The same with an Idempotency-Key.
    pub fn keyed(&self, key: Uuid, body: u8) -> Self {
        let key = IdempotencyKey { key, fingerprint: [body; 32] };
        Self { cx: self.cx.with_idempotency(Some(key)) }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: Bytes,
    pub failure: Option<Arc<Error>>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn lines(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn slug(&self) -> Option<Slug> {
        self.failure.as_ref().map(|error| error.slug())
    }

    pub fn fields(&self) -> Vec<FieldError> {
        self.failure.as_ref().map(|error| error.field_errors().to_vec()).unwrap_or_default()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

impl Ground {
    pub async fn start() -> Self {
        let database = SandboxDatabase::with(&["registry"]).await;
        register_crm(&database.schemas).await;
        let (acme, globex, bare) = (TenantId::new(), TenantId::new(), TenantId::new());
        let modules = ModulesLink::new(
            "modules",
            LinkOptions::default(),
            Arc::new(Registry(Arc::new(snapshot([acme, globex])))),
        );
        let service = DataLayer::create(DataLayerDeps {
            db: database.db.clone(),
            modules,
            cursor: CursorKey::new(&[2; 32]),
        });
        let router = service.routes().router();
        Self { database, acme, globex, bare, router }
    }

    pub async fn send(
        &self,
        who: &Asking,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/api/v1/data{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(who.cx.clone());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let failure = parts.extensions.get::<Failure>().map(|failure| Arc::clone(&failure.0));
        let text = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text, failure }
    }

    pub async fn get(&self, who: &Asking, path: &str) -> Answer {
        self.send(who, Method::GET, path, &[], Body::empty()).await
    }

    pub async fn post(&self, who: &Asking, path: &str, body: Value) -> Answer {
        let kind = [(header::CONTENT_TYPE.as_str(), "application/json")];
        self.send(who, Method::POST, path, &kind, Body::from(body.to_string())).await
    }

    pub async fn patch(&self, who: &Asking, path: &str, body: Value, if_match: Option<&str>) -> Answer {
        let mut headers = vec![(header::CONTENT_TYPE.as_str(), "application/json")];
        headers.extend(if_match.map(|tag| (header::IF_MATCH.as_str(), tag)));
        self.send(who, Method::PATCH, path, &headers, Body::from(body.to_string())).await
    }

    pub async fn delete(&self, who: &Asking, path: &str) -> Answer {
        self.send(who, Method::DELETE, path, &[], Body::empty()).await
    }

    /// What a statement answers to the superuser, as JSON.
    pub async fn look(&self, sql: &str) -> Value {
        let mut connection = PgConnection::connect_with(&self.database.admin).await.unwrap();
        let text = format!("select coalesce(json_agg(x), '[]')::text from ({sql}) x");
        let (text,): (String,) =
            sqlx::query_as(AssertSqlSafe(text)).persistent(false).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub async fn stop(self) {
        self.database.stop().await;
    }
}

/// As module-registry does it: the module's own SQL as its own role, then what the platform adds.
async fn register_crm(schemas: &Schemas) {
    schemas.module_role("crm").await.unwrap();
    let mut module = schemas.module("crm").await.unwrap();
    let mut transaction = module.connection.begin().await.unwrap();
    let mut run = String::from("select registration.open('crm');");
    for file in ["00001_companies", "00002_contacts", "00003_deals"] {
        let path = format!("{}/../../examples/crm/migrations/{file}.sql", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let (up, _) = text.split_once("-- +goose Down").unwrap();
        run += up;
    }
    run += "select registration.finish('crm', clock_timestamp());
            select registration.watch('crm', '{\"deals\":[\"internal_note\"]}');";
    sqlx::raw_sql(AssertSqlSafe(run)).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    module.close().await.unwrap();
}

fn snapshot(tenants: [TenantId; 2]) -> ModuleSnapshot {
    let slug: ModuleSlug = "crm".parse().unwrap();
    let rules = |hidden: &[&str], read_only: &[&str]| ModelRules {
        hidden: hidden.iter().map(|name| (*name).to_owned()).collect(),
        read_only: read_only.iter().map(|name| (*name).to_owned()).collect(),
    };
    let info = ModuleInfo {
        slug: slug.clone(),
        name: "@example/crm".into(),
        version: "1.0.0".into(),
        backend: None,
        models: [
            ("companies".to_owned(), rules(&[], &[])),
            ("contacts".to_owned(), rules(&[], &["score"])),
            ("deals".to_owned(), rules(&["internal_note"], &[])),
        ]
        .into(),
        permissions: Vec::new(),
        publishes: Vec::new(),
        subscribes: Vec::new(),
        revision: 1,
    };
    ModuleSnapshot {
        version: 1,
        modules: [(slug.clone(), Arc::new(info))].into(),
        installed: tenants.map(|tenant| (tenant, vec![slug.clone()])).into(),
    }
}
