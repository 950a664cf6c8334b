use std::sync::Arc;

use audit::Audit;
use billing::Billing;
use data_layer::DataLayer;
use domain_resolver::DomainResolver;
use event_bus::EventBus;
use fabric::jobs::Jobs;
use files::Files;
use gateway::FeatureFlags;
use iam::Iam;
use integration_hub::IntegrationHub;
use module_registry::ModuleRegistry;
use money::Money;
use notify::Notify;
use ports::KernelService;

/// The services of a cell.
pub struct Services {
    /// Identity, access, tenants.
    pub iam: Arc<Iam>,
    /// Records of modules.
    pub data_layer: Arc<DataLayer>,
    /// Domain events.
    pub event_bus: Arc<EventBus>,
    /// Uploads and pictures.
    pub files: Arc<Files>,
    /// The audit trail.
    pub audit: Arc<Audit>,
    /// Plans, subscriptions, use.
    pub billing: Arc<Billing>,
    /// Modules.
    pub modules: Arc<ModuleRegistry>,
    /// Calls to third parties.
    pub integrations: Arc<IntegrationHub>,
    /// Hosts.
    pub domains: Arc<DomainResolver>,
    /// Mail, inboxes, websockets.
    pub notify: Arc<Notify>,
    /// Wallets and the ledger.
    pub money: Arc<Money>,
    /// Feature flags.
    pub flags: Arc<FeatureFlags>,
}

impl Services {
    /// All of them, in the order of the architecture.
    pub fn each(&self) -> Vec<Arc<dyn KernelService>> {
        vec![
            self.iam.clone(),
            self.data_layer.clone(),
            self.event_bus.clone(),
            self.notify.clone(),
            self.files.clone(),
            self.money.clone(),
            self.audit.clone(),
            self.billing.clone(),
            self.modules.clone(),
            self.integrations.clone(),
            self.domains.clone(),
            self.flags.clone(),
        ]
    }
}

impl Services {
    /// Adds what each service does for the durable jobs of its kinds.
    pub(super) fn jobs(&self, jobs: Jobs) -> Jobs {
        let jobs = self.iam.jobs(jobs);
        let jobs = self.notify.jobs(jobs);
        let jobs = self.files.jobs(jobs);
        let jobs = self.money.jobs(jobs);
        let jobs = self.billing.jobs(jobs);
        let jobs = self.integrations.jobs(jobs);
        self.domains.jobs(jobs)
    }
}
