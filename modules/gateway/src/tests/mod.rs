//! A small kernel for tests of the layers, and tests of the whole way through them.

mod backends;
mod rpc;
mod whole;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::body::Body;
use fabric::{
    cache::Cache,
    dialler::{Dialler, DiallerOptions},
};
use http::request::Builder;
use http_body_util::BodyExt as _;
use kernel::{
    Actor, Caller, Clock, Ctx, Error, Permissions, Result, Secret, SessionId, Slug, TenantId, UserId,
};
use ports::{
    Billing, BillingLink, Domains, DomainsLink, Iam, IamLink, ModuleSnapshot, ModuleTokenRequest, Modules,
    ModulesLink, PlanInfo, PlanLimits, Principal, Standing, SubscriptionState, TenantInfo, UserInfo,
    http::{Access, Created, Cx, NoContent, One, Operation, Raw, Routes, ServiceRoutes, State},
    link::LinkOptions,
};

use crate::{
    Gateway, GatewayDeps, GatewaySettings, Metrics, OperatorGate,
    core::Core,
    flags::FlagUses,
    visit::{Arrival, Response, Visit},
};

/// Stands in for iam, module-registry, domain-resolver and billing. The token `good` is a user of the tenant `blue`.
pub(crate) struct Stubs {
    pub blue: TenantId,
    pub red: TenantId,
    pub user: UserId,
    pub asked: AtomicU64,
    pub tokens: AtomicU64,
    pub snapshot: std::sync::Mutex<Arc<ModuleSnapshot>>,
    /// How every tenant stands, and how often that was asked.
    pub standing: std::sync::Mutex<Standing>,
    pub stood: AtomicU64,
}

const GRANTS: [&str; 4] = ["things.read", "things.write", "crm.deals.read", "modules.install"];

impl Stubs {
    fn principal(&self, tenant: TenantId, actor: Actor, grants: &[&'static str]) -> Principal {
        let permissions = Arc::new(Permissions::new(grants.iter().copied()));
        Principal {
            caller: Caller { tenant: Some(tenant), actor, permissions },
            expires_at: None,
            of_platform: false,
        }
    }
}

#[async_trait::async_trait]
impl Iam for Stubs {
    async fn authenticate(&self, _: &Ctx, credential: Secret) -> Result<Principal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let user =
            || Actor::User { id: self.user, session: SessionId::new(), email: "ada@example.com".into() };
        match credential.expose() {
            "good" => Ok(self.principal(self.blue, user(), &GRANTS)),
            "red" => Ok(self.principal(self.red, user(), &GRANTS)),
            "reader" => Ok(self.principal(self.blue, user(), &["things.read"])),
            "author" => Ok(self.principal(self.blue, user(), &["modules.register", "crm.deals.read"])),
            _ => Err(Error::unauthorized().because("token of another sandbox")),
        }
    }
    async fn permissions(&self, _: &Ctx, _: TenantId, _: UserId) -> Result<Arc<Permissions>> {
        Ok(Arc::default())
    }
    async fn tenant(&self, _: &Ctx, _: TenantId) -> Result<Option<TenantInfo>> {
        Ok(None)
    }
    async fn tenant_by_slug(&self, _: &Ctx, _: String) -> Result<Option<TenantInfo>> {
        Ok(None)
    }
    async fn is_ancestor(&self, _: &Ctx, _: TenantId, _: TenantId) -> Result<bool> {
        Ok(false)
    }
    async fn user(&self, _: &Ctx, _: UserId) -> Result<Option<UserInfo>> {
        Ok(None)
    }
    async fn owners(&self, _: &Ctx, _: TenantId) -> Result<Vec<UserId>> {
        Ok(Vec::new())
    }
    async fn module_token(&self, _: &Ctx, request: ModuleTokenRequest) -> Result<Secret> {
        self.tokens.fetch_add(1, Ordering::Relaxed);
        Ok(Secret::new(format!("token for {} with {}", request.name, request.permissions.join(","))))
    }
    async fn sign(&self, _: &Ctx, _: &'static str, _: serde_json::Value) -> Result<String> {
        Ok(String::new())
    }
    async fn jwks(&self, _: &Ctx) -> Result<Arc<serde_json::Value>> {
        Ok(Arc::default())
    }
}

#[async_trait::async_trait]
impl Modules for Stubs {
    async fn snapshot(&self, _: &Ctx) -> Result<Arc<ModuleSnapshot>> {
        Ok(Arc::clone(&self.snapshot.lock().unwrap()))
    }
    async fn authenticate_key(&self, _: &Ctx, key: Secret) -> Result<Principal> {
        match key.expose() {
            "mk_right" => {
                let actor = Actor::Module { slug: "crm".parse().unwrap(), on_behalf_of: None };
                Ok(self.principal(self.blue, actor, &["crm.deals.read"]))
            }
            _ => Err(Error::unauthorized()),
        }
    }
}

#[async_trait::async_trait]
impl Domains for Stubs {
    async fn tenant_of_host(&self, _: &Ctx, host: String) -> Result<Option<TenantId>> {
        match host.as_str() {
            "blue.acme.localhost" => Ok(Some(self.blue)),
            "shop.example" => Ok(Some(self.blue)),
            "red.acme.localhost" => Ok(Some(self.red)),
            "api.example.com" => Ok(None),
            _ => Err(Error::not_found("host")),
        }
    }
}

#[async_trait::async_trait]
impl Billing for Stubs {
    async fn standing(&self, _: &Ctx) -> Result<Arc<Standing>> {
        self.stood.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(self.standing.lock().unwrap().clone()))
    }
    async fn is_terminated(&self, _: &Ctx) -> Result<bool> {
        Ok(self.standing.lock().unwrap().state == SubscriptionState::Terminated)
    }
    async fn check_limit(&self, _: &Ctx, what: String) -> Result<()> {
        match self.standing.lock().unwrap().full.contains(&what) {
            true => Err(Error::new(Slug::PlanLimitExceeded, format!("No more {what}."))),
            false => Ok(()),
        }
    }
    async fn terminated(&self, _: &Ctx) -> Result<Vec<TenantId>> {
        Ok(Vec::new())
    }
    async fn record_usage(&self, _: &Ctx, _: &'static str, _: i64) -> Result<()> {
        Ok(())
    }
}

/// Knows `ok_right` and the session `session`.
pub(crate) struct Gate;

impl OperatorGate for Gate {
    fn verify_key(&self, key: &str) -> bool {
        key == "ok_right"
    }
    fn verify_session(&self, cookie: &str) -> bool {
        cookie == "session"
    }
    fn cookie_name(&self) -> &str {
        "pk_operator"
    }
    fn installation(&self) -> &str {
        "0a0b0c0d"
    }
}

fn things() -> ServiceRoutes {
    const READ: Access = Access::Permission("things.read");
    const WRITE: Access = Access::Permission("things.write");
    Routes::new("things", ())
        .add(Operation::get("/things", "listThings", READ).summary("Things"), async || One::new(["thing"]))
        .add(
            Operation::get("/things/{id}", "getThing", READ).summary("A thing").problems(&[Slug::NotFound]),
            async |Cx(cx): Cx| {
                One::new(serde_json::json!({ "tenant": cx.tenant().ok(), "locale": cx.locale() }))
            },
        )
        .add(
            Operation::post("/things", "createThing", WRITE)
                .summary("Make")
                .body::<Vec<u8>>()
                .answer::<Vec<u8>>(201),
            async |Cx(cx): Cx, Raw(body): Raw| -> ports::http::Result<Created<serde_json::Value>> {
                let key = cx.idempotency().map(|key| key.key.to_string());
                Ok(Created(serde_json::json!({ "bytes": body.len(), "key": key })))
            },
        )
        .add(
            Operation::post("/uploads", "createUpload", WRITE)
                .summary("Upload")
                .streams(5_000_000)
                .uses("things"),
            async |body: bytes::Bytes| One::new(body.len()),
        )
        .add(Operation::get("/panic", "panic", Access::Public).summary("Panics"), async || -> NoContent {
            panic!("the handler fell over")
        })
        .add(
            Operation::get("/slow", "slow", Access::Public).summary("Never answers"),
            async || -> NoContent { std::future::pending().await },
        )
        .add(
            Operation::get("/stream", "stream", Access::Public).summary("Never ends"),
            async |State(()): State<()>| {
                Body::from_stream(
                    futures::stream::pending::<std::result::Result<bytes::Bytes, std::io::Error>>(),
                )
            },
        )
        .add(Operation::post("/auth/login", "login", Access::Public).summary("Sign in"), async || {
            One::new("tokens")
        })
        .add(Operation::post("/auth/refresh", "refreshTokens", Access::Public).summary("Go on"), async || {
            One::new("tokens")
        })
        .add(Operation::post("/auth/logout", "logout", Access::Public).summary("Leave"), async || {
            One::new("ended")
        })
        .add(
            Operation::get("/register", "registerThing", Access::Platform("modules.register")).summary("P"),
            async || NoContent,
        )
        .finish()
}

fn money() -> ServiceRoutes {
    const WRITE: Access = Access::Permission("things.write");
    Routes::new("money", ())
        .add(
            Operation::post("/transfers", "createTransfer", WRITE).summary("Move").key_required(),
            async || NoContent,
        )
        .finish()
}

fn iam() -> ServiceRoutes {
    Routes::new("iam", ())
        .add(Operation::post("/auth/leave", "leave", Access::Authenticated).summary("Leave"), async || {
            NoContent
        })
        .finish()
}

/// A gateway of the sandbox `acme` with a service of things.
pub(crate) struct Kernel {
    pub gateway: Arc<Gateway>,
    pub core: Arc<Core>,
    pub stubs: Arc<Stubs>,
}

pub(crate) async fn gateway() -> Kernel {
    gateway_with(|settings| settings).await
}

pub(crate) async fn gateway_with(change: impl FnOnce(GatewaySettings) -> GatewaySettings) -> Kernel {
    gateway_on(Cache::in_memory(1 << 20), change).await
}

/// A replica beside others on the same cache.
pub(crate) async fn gateway_on(
    cache: Cache,
    change: impl FnOnce(GatewaySettings) -> GatewaySettings,
) -> Kernel {
    let stubs = Arc::new(Stubs {
        blue: TenantId::new(),
        red: TenantId::new(),
        user: UserId::new(),
        asked: AtomicU64::new(0),
        tokens: AtomicU64::new(0),
        snapshot: std::sync::Mutex::default(),
        standing: std::sync::Mutex::new(Standing {
            state: SubscriptionState::Active,
            plan: PlanInfo { id: uuid::Uuid::nil(), name: "pro".to_owned(), limits: PlanLimits::default() },
            full: Vec::new(),
            until: None,
        }),
        stood: AtomicU64::new(0),
    });
    let options = LinkOptions::default;
    let trusted_proxies = vec![kernel::config::Network::parse("10.0.0.0/8").unwrap()];
    let deps = GatewayDeps {
        sandbox: "acme".parse().unwrap(),
        clock: Clock::real(),
        services: vec![things().merge(rpc::methods()), money(), iam()],
        iam: IamLink::new("iam", options(), Arc::clone(&stubs) as Arc<dyn Iam>),
        modules: ModulesLink::new("modules", options(), Arc::clone(&stubs) as Arc<dyn Modules>),
        domains: DomainsLink::new("domains", options(), Arc::clone(&stubs) as Arc<dyn Domains>),
        billing: BillingLink::new("billing", options(), Arc::clone(&stubs) as Arc<dyn Billing>),
        operator: Arc::new(Gate),
        cache,
        dialler: Dialler::new(DiallerOptions { allowed: backends::loopback(), ..DiallerOptions::default() })
            .unwrap(),
        settings: change(GatewaySettings { trusted_proxies, ..GatewaySettings::default() }),
        metrics: Arc::new(Metrics::new()),
        flag_uses: FlagUses::default(),
    };
    let gateway = Gateway::create(deps).unwrap();
    Kernel { core: Arc::clone(gateway.core()), gateway, stubs }
}

impl Kernel {
    /// A request at the outermost layer.
    pub fn arrival(&self, request: Builder) -> Arrival {
        let request = request.body(Body::empty()).unwrap();
        let visit = Arc::new(Visit::new(Arc::clone(&self.core), &request));
        Arrival::new(request, visit)
    }

    /// A request whose operation was looked up already.
    pub fn found(&self, request: Builder) -> Arrival {
        let arrival = self.arrival(request);
        let asked = arrival.request.headers().get("access-control-request-method");
        let method = asked.map_or(arrival.request.method().as_str(), |method| method.to_str().unwrap());
        let found = self.core.table.find(&method.parse().unwrap(), arrival.request.uri().path());
        arrival.visit.found.get_or_init(|| found);
        arrival
    }

    /// Sends a request the whole way.
    pub async fn send(&self, request: Builder, body: impl Into<Body>) -> Response {
        self.gateway.call(request.body(body.into()).unwrap()).await
    }
}

pub(crate) async fn json(response: Response) -> serde_json::Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}
