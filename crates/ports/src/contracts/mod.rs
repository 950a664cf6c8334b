//! What services ask each other, a file for each service that is asked. Each contract is a trait; the caller holds a
//! handle that looks like it and goes over a Link. A transaction never crosses one of these: what must happen with a
//! change is heard as an event, or done as a durable job that the change enqueues.

mod billing;
mod domains;
mod iam;
mod mail;
mod modules;
mod money;

pub use billing::{Billing, BillingLink, PlanInfo, PlanLimits, Standing, SubscriptionState};
pub use domains::{Domains, DomainsLink};
pub use iam::{Iam, IamLink, ModuleTokenRequest, Principal, TenantInfo, UserInfo};
pub use mail::{MAIL_JOB, Mail, PRIVATE_LINK, PRIVATE_MAIL_JOB, PrivateMail};
pub use modules::{
    BackendRoute, ModelRules, ModuleBackend, ModuleInfo, ModuleSnapshot, Modules, ModulesLink,
};
pub use money::{Balance, Money, MoneyLink};
