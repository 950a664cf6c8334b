use std::{ops::ControlFlow, sync::Arc};

use http::Method;
use kernel::{Ctx, Result, TenantId};
use ports::{
    Standing, SubscriptionState,
    http::{BASE, Operation, Repeat},
};

use super::{Step, admit};
use crate::visit::{Arrival, Response, Visit};

/// Holds a tenant's request against its subscription: the state first, then the limit that the operation uses up.
///
/// Reading never waits here for anybody: what is remembered decides. Only what changes something asks billing, once in a
/// while.
#[derive(Clone, Copy)]
pub(crate) struct Plan;

impl Step for Plan {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        admit(check(&arrival.visit).await)
    }
}

async fn check(visit: &Visit) -> Result<()> {
    let operation = &visit.operation()?.operation;
    // Strangers and the operator are of no tenant and have no plan.
    let Some(tenant) = visit.known.get().and_then(|known| known.caller.tenant) else { return Ok(()) };
    if always_open(operation) {
        return Ok(());
    }
    if !changes(operation) {
        return match may_not_read(visit, tenant).await? {
            true => Err(SubscriptionState::Terminated.refusal()),
            false => Ok(()),
        };
    }
    let standing = standing(visit, tenant).await?;
    let money_moves = operation.service == MONEY && standing.state != SubscriptionState::Terminated;
    if standing.state.is_read_only() && !money_moves {
        return Err(standing.state.refusal());
    }
    match operation.uses {
        // What was full a while ago may have room again: only billing can tell, and is asked only then.
        Some(limit) if standing.full.iter().any(|full| full == limit) => {
            visit.core.billing.check_limit(&asking(visit, tenant), limit.to_owned()).await
        }
        _ => Ok(()),
    }
}

async fn may_not_read(visit: &Visit, tenant: TenantId) -> Result<bool> {
    let standings = &visit.core.standings;
    if standings.is_closed(tenant) {
        return Ok(true);
    }
    // The one case in which a read asks: the clock was put forward, past what was known.
    if !standings.is_outdated(tenant, visit.core.clock.now()).await {
        return Ok(false);
    }
    Ok(standing(visit, tenant).await?.state == SubscriptionState::Terminated)
}

/// Money goes on while a tenant is suspended: it could not even pay otherwise.
const MONEY: &str = "money";

/// Signing in and out, and billing itself: the ways out of every state.
fn always_open(operation: &Operation) -> bool {
    let rest = operation.path.strip_prefix(BASE).unwrap_or(&operation.path);
    operation.service == "billing" || rest.starts_with("/auth/")
}

fn changes(operation: &Operation) -> bool {
    match operation.method {
        Method::GET => false,
        Method::POST => operation.repeat != Repeat::Harmless || operation.streams,
        _ => true,
    }
}

async fn standing(visit: &Visit, tenant: TenantId) -> Result<Arc<Standing>> {
    let core = &visit.core;
    let ask = async { core.billing.standing(&asking(visit, tenant)).await };
    core.standings.of(tenant, core.clock.now(), ask).await
}

/// A context in which the gateway asks about the caller's tenant.
fn asking(visit: &Visit, tenant: TenantId) -> Ctx {
    visit.asking().within(tenant)
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, time::Duration};

    use http::request::Builder;
    use kernel::{Actor, ApiKeyId, Caller, Permissions};

    use super::*;
    use crate::{
        credentials::Known,
        layers::through,
        tests::{Kernel, gateway},
    };

    async fn sent(kernel: &Kernel, method: &str, path: &str) -> u16 {
        asked(kernel, http::Request::builder().method(method).uri(path)).await
    }

    async fn asked(kernel: &Kernel, request: Builder) -> u16 {
        let arrival = kernel.found(request);
        let caller = Caller {
            tenant: Some(kernel.stubs.blue),
            actor: Actor::Key(ApiKeyId::new()),
            permissions: Arc::new(Permissions::new(["*"])),
        };
        let known = Known { caller, of_platform: false, expires_at: None, digest: None };
        arrival.visit.known.get_or_init(|| Arc::new(known));
        through(Plan, arrival, |_| Response::default()).await.status().as_u16()
    }

    fn stands(kernel: &Kernel, state: SubscriptionState, full: &[&str]) {
        let mut standing = kernel.stubs.standing.lock().unwrap();
        standing.state = state;
        standing.full = full.iter().map(|name| (*name).to_owned()).collect();
        kernel.core.standings.forget();
    }

    #[tokio::test]
    async fn a_suspended_tenant_reads_and_moves_money() {
        let kernel = gateway().await;
        for state in [SubscriptionState::Suspended, SubscriptionState::Canceled] {
            stands(&kernel, state, &[]);
            assert_eq!(sent(&kernel, "POST", "/api/v1/things").await, 402);
            assert_eq!(sent(&kernel, "GET", "/api/v1/things").await, 200);
            assert_eq!(sent(&kernel, "POST", "/api/v1/transfers").await, 200);
        }
        for state in [SubscriptionState::Trialing, SubscriptionState::Active, SubscriptionState::PastDue] {
            stands(&kernel, state, &[]);
            assert_eq!(sent(&kernel, "POST", "/api/v1/things").await, 200);
        }
    }

    #[tokio::test]
    async fn a_terminated_tenant_does_not_even_read() {
        let kernel = gateway().await;
        stands(&kernel, SubscriptionState::Terminated, &[]);
        kernel.core.standings.close(vec![kernel.stubs.blue]);
        for (method, path) in
            [("GET", "/api/v1/things"), ("POST", "/api/v1/things"), ("POST", "/api/v1/transfers")]
        {
            assert_eq!(sent(&kernel, method, path).await, 402, "{method} {path}");
        }
        assert_eq!(sent(&kernel, "POST", "/api/v1/auth/leave").await, 200);
        kernel.core.standings.close(Vec::new());
        assert_eq!(sent(&kernel, "GET", "/api/v1/things").await, 200);
    }

    #[tokio::test]
    async fn reading_asks_nobody_and_changing_asks_once() {
        let kernel = gateway().await;
        let times = || kernel.stubs.stood.load(Ordering::Relaxed);
        sent(&kernel, "GET", "/api/v1/things").await;
        assert_eq!(times(), 0);
        for _ in 0..3 {
            sent(&kernel, "POST", "/api/v1/things").await;
        }
        assert_eq!(times(), 1);
        kernel.core.standings.forget();
        sent(&kernel, "POST", "/api/v1/things").await;
        assert_eq!(times(), 2);
    }

    #[tokio::test]
    async fn what_is_remembered_ends_when_the_next_step_is_due() {
        let kernel = gateway().await;
        kernel.stubs.standing.lock().unwrap().until =
            Some(kernel.core.clock.now().plus(Duration::from_secs(86_400)));
        let times = || kernel.stubs.stood.load(Ordering::Relaxed);
        sent(&kernel, "POST", "/api/v1/things").await;
        sent(&kernel, "GET", "/api/v1/things").await;
        assert_eq!(times(), 1);
        let offset_micros = 2 * 86_400 * 1_000_000;
        kernel.core.clock.adjust(kernel::ClockSetting { offset_micros, frozen_at: None });
        kernel.stubs.standing.lock().unwrap().state = SubscriptionState::Terminated;
        assert_eq!(sent(&kernel, "GET", "/api/v1/things").await, 402, "a read notices it, too");
        assert_eq!(times(), 2);
    }

    #[tokio::test]
    async fn a_limit_is_refused_early_only_while_billing_says_so() {
        let kernel = gateway().await;
        stands(&kernel, SubscriptionState::Active, &["things"]);
        assert_eq!(sent(&kernel, "POST", "/api/v1/uploads").await, 402);
        // Nothing of this limit.
        assert_eq!(sent(&kernel, "POST", "/api/v1/things").await, 200);
        // There is room again, though the gateway remembers otherwise.
        kernel.stubs.standing.lock().unwrap().full.clear();
        assert_eq!(sent(&kernel, "POST", "/api/v1/uploads").await, 200);
    }
}
