//! A sandbox's database on a real Postgres, and iam on top.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use axum::{Router, body::Body};
use fabric::postgres::PgConnectOptions;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use iam::{HashCost, HashPool, HashPoolOptions, Iam, IamDeps, SeedTenant, SeedUser, TenantKind};
use kernel::{
    Caller, Client, Clock, ClockSetting, Ctx, Error, IdempotencyKey, ModuleSlug, Result, SandboxName, Secret,
    Slug, TenantId,
};
use ports::{
    KernelService as _, ModuleInfo, ModuleSnapshot, Modules, ModulesLink, Principal, http::Failure,
    link::LinkOptions,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::SandboxDatabase;
use tower::ServiceExt as _;
use uuid::Uuid;

pub const SET_UP_TOKEN: &str = "su_of-this-test";
pub const ISSUER: &str = "http://localhost:8080";
pub const PASSWORD: &str = "tandem-gravel-42-owl";

/// The running set-up of a test.
pub struct Ground {
    pub iam: Arc<Iam>,
    pub database: SandboxDatabase,
    pub clock: Clock,
    modules: Arc<Registry>,
    router: Router,
}

#[derive(Default)]
struct Registry(RwLock<Arc<ModuleSnapshot>>);

#[async_trait::async_trait]
impl Modules for Registry {
    async fn snapshot(&self, _: &Ctx) -> Result<Arc<ModuleSnapshot>> {
        Ok(Arc::clone(&self.0.read().unwrap()))
    }

    async fn authenticate_key(&self, _: &Ctx, _: Secret) -> Result<Principal> {
        Err(Error::unauthorized())
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub failure: Option<Arc<Error>>,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }

    #[track_caller]
    pub fn refused(self, slug: Slug) -> Arc<Error> {
        let error = self.failure.unwrap_or_else(|| panic!("not refused: {} {}", self.status, self.body));
        assert_eq!(error.slug(), slug, "{error:?}");
        error
    }

    /// The stored answer of a repeated request.
    #[track_caller]
    pub fn replayed(self) -> Value {
        let error = self.failure.unwrap_or_else(|| panic!("not a replay: {} {}", self.status, self.body));
        let answer = error.replayed_answer().unwrap_or_else(|| panic!("not a replay: {error:?}"));
        serde_json::from_slice(answer).unwrap()
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

impl Ground {
    pub async fn start() -> Self {
        let database = SandboxDatabase::with(&["iam"]).await;
        let clock = Clock::real();
        let modules = Arc::new(Registry::default());
        let iam = Iam::create(IamDeps {
            cache: fabric::cache::Cache::in_memory(1 << 20),
            set_up_token: Some(Secret::new(SET_UP_TOKEN)),
            db: database.db.clone(),
            flags: flags::Flags::new(flags::FlagFile::built_in()),
            modules: ModulesLink::new(
                "modules",
                LinkOptions::default(),
                Arc::clone(&modules) as Arc<dyn Modules>,
            ),
            issuer: ISSUER.to_owned(),
            hash: HashCost::Sandbox,
            hash_pool: HashPool::new(HashPoolOptions::default()),
            sandbox: SandboxName::default_sandbox(),
            clock: clock.clone(),
        });
        let router = iam.routes().router();
        Self { iam, database, clock, modules, router }
    }

    /// The tenants and people of the demo.
    pub async fn with_demo() -> (Self, TenantId) {
        let ground = Self::start().await;
        let cx = ground.system();
        let slug = |text: &str| text.parse().unwrap();
        let tenants = [
            ("platform", "Platform", TenantKind::Platform, None),
            ("partner-one", "Partner One", TenantKind::Partner, Some("platform")),
            ("sandbox-corp", "Sandbox Corp", TenantKind::Client, Some("partner-one")),
        ];
        for (name, title, kind, above) in tenants {
            let seed = SeedTenant {
                id: None,
                slug: slug(name),
                name: title.into(),
                kind,
                parent_slug: above.map(slug),
            };
            let id = ground.iam.seed_tenant(&cx, seed.clone()).await.unwrap();
            assert_eq!(ground.iam.seed_tenant(&cx, seed).await.unwrap(), id, "seeding twice changes nothing");
        }
        let people = [
            ("admin", vec![("sandbox-corp", "Owner"), ("platform", "Owner")]),
            ("dev", vec![("sandbox-corp", "Admin")]),
            ("viewer", vec![("sandbox-corp", "Member")]),
        ];
        for (name, memberships) in people {
            let seed = SeedUser {
                email: format!("{name}@sandbox.localhost"),
                name: name.to_owned(),
                password: Secret::new("Sandbox2026!"),
                memberships: memberships
                    .into_iter()
                    .map(|(tenant, role)| (slug(tenant), role.to_owned()))
                    .collect(),
                verified: true,
                last_tenant: Some(slug("sandbox-corp")),
            };
            let user = ground.iam.seed_user(&cx, seed.clone()).await.unwrap();
            assert_eq!(ground.iam.seed_user(&cx, seed).await.unwrap(), user, "seeding twice changes nothing");
        }
        let corp = ground.iam.tenant_ids(&cx).await.unwrap()["sandbox-corp"];
        (ground, corp)
    }

    pub fn system(&self) -> Ctx {
        Ctx::system(SandboxName::default_sandbox(), self.clock.clone(), "test")
    }

    pub fn stranger(&self) -> Ctx {
        self.stranger_at(7)
    }

    pub fn stranger_at(&self, address: u8) -> Ctx {
        let client =
            Client { address: Some([192, 0, 2, address].into()), agent: Some("curl/8".into()), host: None };
        Ctx::build(SandboxName::default_sandbox(), self.clock.clone()).client(client).finish()
    }

    pub async fn who(&self, credential: &str) -> Result<Principal> {
        self.iam.authenticate(&self.stranger(), &Secret::new(credential)).await
    }

    /// Whoever holds this credential, as the gateway would let them in.
    pub async fn holder(&self, credential: &str) -> Ctx {
        self.caller(self.who(credential).await.unwrap().caller)
    }

    pub fn caller(&self, caller: Caller) -> Ctx {
        self.stranger().with_caller(caller)
    }

    pub async fn ask(&self, cx: &Ctx, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request =
            Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(cx.clone());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let failure = parts.extensions.get::<Failure>().map(|failure| Arc::clone(&failure.0));
        let text = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&text).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), body, failure }
    }

    pub async fn get(&self, cx: &Ctx, path: &str) -> Answer {
        self.ask(cx, Method::GET, &format!("/api/v1{path}"), None).await
    }

    pub async fn post(&self, cx: &Ctx, path: &str, body: Value) -> Answer {
        self.ask(cx, Method::POST, &format!("/api/v1{path}"), Some(body)).await
    }

    pub async fn patch(&self, cx: &Ctx, path: &str, body: Value) -> Answer {
        self.ask(cx, Method::PATCH, &format!("/api/v1{path}"), Some(body)).await
    }

    pub async fn delete(&self, cx: &Ctx, path: &str) -> Answer {
        self.ask(cx, Method::DELETE, &format!("/api/v1{path}"), None).await
    }

    pub async fn login(&self, name: &str) -> Value {
        let body = json!({ "email": format!("{name}@sandbox.localhost"), "password": "Sandbox2026!" });
        self.post(&self.stranger(), "/auth/login", body).await.expect(200)
    }

    /// Signed in as one of the demo's people.
    pub async fn signed_in(&self, name: &str) -> Ctx {
        self.holder(text(&self.login(name).await["accessToken"])).await
    }

    pub async fn register(&self, organization: &str, email: &str) -> Value {
        let body = json!({ "email": email, "password": PASSWORD, "name": "Olga Owner", "organization": organization });
        self.post(&self.stranger(), "/auth/register", body).await.expect(201)
    }

    /// Installs the CRM example for a tenant.
    pub fn install_crm(&self, tenant: TenantId) {
        let slug: ModuleSlug = "crm".parse().unwrap();
        let info = ModuleInfo {
            slug: slug.clone(),
            name: "@example/crm".into(),
            version: "1.0.0".into(),
            backend: None,
            models: Default::default(),
            permissions: vec!["crm.contacts.read".into(), "crm.contacts.write".into()],
            publishes: Vec::new(),
            subscribes: Vec::new(),
            revision: 1,
        };
        let mut now = self.modules.0.write().unwrap();
        *now = Arc::new(ModuleSnapshot {
            version: now.version + 1,
            modules: [(slug.clone(), Arc::new(info))].into(),
            installed: [(tenant, vec![slug])].into(),
        });
    }

    /// Moves the sandbox's clock.
    pub fn advance(&self, by: Duration) {
        let offset_micros = i64::try_from(by.as_micros()).unwrap();
        self.clock.adjust(ClockSetting { offset_micros, frozen_at: None });
    }

    /// What a statement answers to the superuser, as JSON.
    pub async fn look(&self, sql: &str) -> Value {
        let text = format!("select coalesce(json_agg(x), '[]')::text from ({sql}) x");
        let mut connection = PgConnection::connect_with(&self.database.admin).await.unwrap();
        let (text,): (String,) =
            sqlx::query_as(AssertSqlSafe(text)).persistent(false).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Runs statements as one of the logins.
    pub async fn run(&self, login: &PgConnectOptions, sql: &str) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect_with(login).await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.map(drop);
        connection.close().await.unwrap();
        done
    }

    /// The types of all events told so far, in order.
    pub async fn told(&self) -> Vec<String> {
        let rows = self.look("select type from kernel.outbox order by seq").await;
        rows.as_array().unwrap().iter().map(|row| text(&row["type"]).to_owned()).collect()
    }

    pub async fn stop(self) {
        self.database.stop().await;
    }
}

pub fn keyed(cx: &Ctx, key: Uuid) -> Ctx {
    cx.with_idempotency(Some(IdempotencyKey { key, fingerprint: [1; 32] }))
}
