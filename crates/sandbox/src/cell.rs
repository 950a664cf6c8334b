//! A cell: one sandbox's services, wired to each other, with their tasks.

mod feeding;
mod following;
mod replicas;
mod services;
mod sleeping;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use audit::{Audit, AuditDeps};
use billing::{Billing, BillingDeps};
use data_layer::{DataLayer, DataLayerDeps};
use domain_resolver::{DomainResolver, DomainResolverDeps, Hostnames};
use event_bus::{EventBus, EventBusDeps};
use fabric::{
    blobs::Blobs,
    cache::Cache,
    crypto::RootKey,
    dialler::Dialler,
    dns::Dns,
    jobs::{Jobs, JobsOptions},
    log::{
        Consumer, Contexts, EventLog, News, Patterns, PostgresLog, Relay, Subscriptions,
        kafka::{Feed, Kafka},
    },
    postgres::{Database, DatabaseOptions, Login, Logins, Reason, Schemas},
};
use files::{FilePool, Files, FilesDeps};
use flags::{FlagFile, Flags};
use gateway::{
    FeatureFlags, FeatureFlagsDeps, FlagUses, Gateway, GatewayDeps, GatewaySettings, Metrics, OperatorGate,
};
use iam::{HashCost, HashPool, Iam, IamDeps};
use integration_hub::{IntegrationHub, IntegrationHubDeps};
use kernel::{Actor, Caller, Clock, Ctx, CtxBuilder, Error, Result, SandboxName, Slug};
use module_registry::{ModuleRegistry, ModuleRegistryDeps};
use money::{Money, MoneyDeps};
use notify::{MailSettings, Notify, NotifyDeps};
use ports::{
    BillingLink, DomainsLink, IamLink, ModulesLink,
    http::{CursorKey, ServiceRoutes},
    link::LinkOptions,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::services::Services;
use crate::{
    clocks,
    control::{Control, SandboxRow},
    parts::Parts,
    people,
};

/// One sandbox, running.
pub struct Cell {
    name: SandboxName,
    /// The generation it was opened in.
    pub(crate) generation: i64,
    clock: Clock,
    db: Database,
    cache: Cache,
    log: Arc<dyn EventLog>,
    news: Arc<News>,
    /// What carries its events to Kafka, where there is one.
    feed: Option<Arc<Feed>>,
    services: Services,
    gateway: Arc<Gateway>,
    stop: CancellationToken,
    tasks: TaskTracker,
    faulted: Arc<AtomicBool>,
}

/// What a cell is made from.
pub(crate) struct CellDeps<'a> {
    pub row: &'a SandboxRow,
    pub name: SandboxName,
    pub database: String,
    pub key: RootKey,
    pub logins: Logins,
    pub parts: &'a Parts,
    /// The sandbox's own.
    pub blobs: Blobs,
    pub file_pool: FilePool,
    pub most_image_bytes: u64,
    pub control: Control,
    pub settings: GatewaySettings,
    pub issuer: String,
    pub hosts: Vec<String>,
    pub hash_pool: HashPool,
    pub metrics: Arc<Metrics>,
    pub operator: Arc<dyn OperatorGate>,
    pub dialler: Dialler,
    pub echo: Option<String>,
    pub dns: Dns,
    pub hostnames: Arc<dyn Hostnames>,
    /// Where domains that tenants add must lead.
    pub outside: String,
    pub flag_file: Arc<FlagFile>,
    pub backends: BTreeMap<String, String>,
    pub install_timeout: Duration,
    pub mail: MailSettings,
    /// Operations of the process itself, such as the sandbox verbs.
    pub process_routes: Vec<ServiceRoutes>,
}

/// Connections of each role that one sandbox may have at once.
const POOL: usize = 8;

impl Cell {
    /// Wires the services and starts their tasks. The database must have today's schema.
    pub(crate) async fn open(deps: CellDeps<'_>) -> Result<Arc<Self>> {
        let CellDeps { name, key, logins, parts, .. } = deps;
        let is_own = deps.database == name.database();
        let options = |login| logins.options(&parts.cluster, login, &deps.database);
        let db = Database::new(DatabaseOptions {
            app: options(Login::App),
            system: options(Login::System),
            data: options(Login::Data),
            budget: Arc::clone(&parts.budget),
            pool_size: POOL,
            key: key.clone(),
        });
        let clock = Clock::real();
        let cx = Ctx::system(name.clone(), clock.clone(), "sandbox");
        clock.adjust(clocks::setting(&db.system(&cx, Reason::Sandbox)).await?);

        let iam_link = IamLink::unbound("iam", LinkOptions::default());
        let modules_link = ModulesLink::unbound("module-registry", LinkOptions::default());
        let domains_link = DomainsLink::unbound("domain-resolver", LinkOptions::default());
        let billing_link = BillingLink::unbound("billing", LinkOptions::default());
        let cursor = CursorKey::new(&key.derive(&["cursor"]));
        let cache = parts.cache.part(&format!("{}.{}", deps.row.id, deps.row.generation));
        let news = News::new();
        let log: Arc<dyn EventLog> = Arc::new(PostgresLog::new(db.clone(), Arc::clone(&news)));
        let subscriptions = Subscriptions::new(db.clone());

        let notify = Notify::create(NotifyDeps {
            db: db.clone(),
            log: Arc::clone(&log),
            iam: iam_link.clone(),
            modules: modules_link.clone(),
            domains: domains_link.clone(),
            billing: billing_link.clone(),
            cursor: cursor.clone(),
            sandbox: name.clone(),
            clock: clock.clone(),
            public_url: deps.issuer.clone(),
            mail: deps.mail,
        })?;
        let (flags, flag_uses) = (Flags::new(deps.flag_file), FlagUses::default());
        let feature_flags = FeatureFlags::create(FeatureFlagsDeps {
            db: db.clone(),
            flags: flags.clone(),
            cursor: cursor.clone(),
            uses: flag_uses.clone(),
        });
        let iam = Iam::create(IamDeps {
            db: db.clone(),
            flags,
            modules: modules_link.clone(),
            issuer: deps.issuer.clone(),
            set_up_token: people::set_up_token(deps.row, &key),
            hash: HashCost::Sandbox,
            hash_pool: deps.hash_pool,
            sandbox: name.clone(),
            clock: clock.clone(),
            cache: cache.part("iam"),
        });
        let modules = ModuleRegistry::create(ModuleRegistryDeps {
            db: db.clone(),
            schemas: Schemas::new(parts.cluster.clone(), logins, deps.database),
            cursor: cursor.clone(),
            install_timeout: deps.install_timeout,
            backends: deps.backends,
        });
        let integrations = IntegrationHub::create(IntegrationHubDeps {
            db: db.clone(),
            dialler: deps.dialler.clone(),
            echo: deps.echo,
            cursor: cursor.clone(),
        });
        let domains = DomainResolver::create(DomainResolverDeps {
            sandbox: name.clone(),
            iam: iam_link.clone(),
            hosts: deps.hosts,
            db: db.clone(),
            dns: deps.dns,
            hostnames: deps.hostnames,
            cursor: cursor.clone(),
            target: deps.outside,
        });
        let audit =
            Audit::create(AuditDeps { db: db.clone(), iam: iam_link.clone(), cursor: cursor.clone() });
        let billing =
            Billing::create(BillingDeps { db: db.clone(), iam: iam_link.clone(), cursor: cursor.clone() });
        let event_bus = EventBus::create(EventBusDeps {
            db: db.clone(),
            log: Arc::clone(&log),
            subscriptions: subscriptions.clone(),
            modules: modules_link.clone(),
            cursor: cursor.clone(),
        });
        let money =
            Money::create(MoneyDeps { db: db.clone(), iam: iam_link.clone(), cursor: cursor.clone() });
        let (control, id) = (deps.control, deps.row.id);
        let files = Files::create(FilesDeps {
            db: db.clone(),
            blobs: deps.blobs,
            iam: iam_link.clone(),
            billing: billing_link.clone(),
            pool: deps.file_pool,
            cursor: cursor.clone(),
            public_url: deps.issuer,
            most_image_bytes: deps.most_image_bytes,
            read_elsewhere: Arc::new(move || {
                let control = control.clone();
                Box::pin(async move { control.has_descendants(id).await })
            }),
        });
        let data_layer =
            DataLayer::create(DataLayerDeps { db: db.clone(), modules: modules_link.clone(), cursor });

        iam_link.bind(&(iam.clone() as Arc<dyn ports::Iam>))?;
        modules_link.bind(&(modules.clone() as Arc<dyn ports::Modules>))?;
        domains_link.bind(&(domains.clone() as Arc<dyn ports::Domains>))?;
        billing_link.bind(&(billing.clone() as Arc<dyn ports::Billing>))?;

        let services = Services {
            iam,
            data_layer,
            event_bus,
            notify,
            files,
            money,
            audit,
            billing,
            modules,
            integrations,
            domains,
            flags: feature_flags,
        };
        let mut routes: Vec<ServiceRoutes> = services.each().iter().map(|service| service.routes()).collect();
        routes.extend(deps.process_routes);
        let gateway = Gateway::create(GatewayDeps {
            sandbox: name.clone(),
            clock: clock.clone(),
            services: routes,
            iam: iam_link,
            modules: modules_link,
            domains: domains_link,
            billing: billing_link.clone(),
            operator: deps.operator,
            cache: cache.part("gateway"),
            dialler: deps.dialler,
            settings: deps.settings,
            metrics: deps.metrics,
            flag_uses,
        })
        .map_err(Error::internal)?;

        // A template that is being made, in another database, has nothing to tell the world.
        let kafka = parts.kafka.as_ref().filter(|_| is_own);
        let feed = kafka.map(|kafka| {
            let contexts = Contexts::new(name.clone(), clock.clone(), "event-bus");
            Feed::new(db.clone(), Arc::clone(kafka), contexts, name.clone(), deps.row.generation)
        });
        let cell = Arc::new(Self {
            name,
            generation: deps.row.generation,
            clock,
            db,
            cache,
            log,
            news,
            feed,
            services,
            gateway,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            faulted: Arc::default(),
        });
        let closed = billing_link.terminated(&cell.cx("gateway")).await?;
        cell.gateway.learn_standings(closed);
        cell.share_rights().await?;
        cell.share_news().await?;
        cell.start(kafka, &subscriptions, billing_link)?;
        Ok(cell)
    }

    fn start(
        self: &Arc<Self>,
        kafka: Option<&Arc<Kafka>>,
        subscriptions: &Subscriptions,
        billing: BillingLink,
    ) -> Result<()> {
        let contexts = |service| Contexts::new(self.name.clone(), self.clock.clone(), service);
        let relay = Relay::new(self.db.clone(), Arc::clone(&self.news), contexts("event-bus"));
        let stop = self.stop.clone();
        self.tasks.spawn(async move { relay.run(stop).await });
        if let Some(kafka) = kafka {
            self.feed_kafka(kafka)?;
        }
        self.follow_rights()?;
        self.follow_standings(billing)?;
        self.follow_flags()?;
        let jobs = Jobs::new(self.db.clone(), self.cx("jobs"), JobsOptions::default());
        let jobs = Arc::new(self.services.jobs(jobs));
        self.tasks.spawn(jobs.run(self.stop.clone()));
        for service in self.services.each() {
            let name = service.name();
            for wish in service.subscriptions() {
                let consumer =
                    Consumer::new(wish.name, Patterns::new(wish.types.iter().copied())?, wish.hear);
                let (log, subscriptions) = (Arc::clone(&self.log), subscriptions.clone());
                self.tasks.spawn(consumer.run(log, subscriptions, contexts(name), self.stop.clone()));
            }
            for task in service.tasks() {
                self.tasks.spawn(crate::keeper::run_task(
                    task,
                    self.fresh_cx(name),
                    self.db.written(),
                    self.stop.clone(),
                    Arc::clone(&self.faulted),
                ));
            }
        }
        Ok(())
    }

    /// Makes a context for each run of a task: a deadline is counted from when it was made.
    fn fresh_cx(&self, service: &'static str) -> impl Fn() -> CtxBuilder + Send + 'static {
        let (name, clock) = (self.name.clone(), self.clock.clone());
        let caller = Caller { tenant: None, actor: Actor::System(service), permissions: Arc::default() };
        move || Ctx::build(name.clone(), clock.clone()).caller(caller.clone())
    }

    /// A context in which `service` works on its own behalf.
    pub fn cx(&self, service: &'static str) -> Ctx {
        Ctx::system(self.name.clone(), self.clock.clone(), service)
    }

    /// The sandbox.
    pub fn name(&self) -> &SandboxName {
        &self.name
    }

    /// Its data.
    pub fn db(&self) -> &Database {
        &self.db
    }

    /// Its events.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// Tells those who listen to its events that there is something new.
    pub(crate) fn news(&self) -> &News {
        &self.news
    }

    /// What carries its events to Kafka.
    pub(crate) fn feed(&self) -> Option<&Arc<Feed>> {
        self.feed.as_ref()
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its services.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Its way in.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// A task failed in a way that takes the sandbox out of service.
    pub(crate) fn is_faulted(&self) -> bool {
        self.faulted.load(Ordering::Relaxed)
    }

    /// Running requests get a moment, then everything ends: tasks, connections.
    pub(crate) async fn close(&self) {
        self.gateway.drain().await;
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await.is_err() {
            tracing::warn!(sandbox = %self.name, "tasks did not end in time; their connections are ended");
        }
        self.db.close();
    }
}

/// What a caller hears while a sandbox is closed for a moment.
pub(crate) fn draining() -> Error {
    Error::new(Slug::Draining, "The sandbox is being copied, reset or closed; repeat in a moment.")
}
