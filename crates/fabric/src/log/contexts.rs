use kernel::{Clock, Ctx, DomainEvent, SandboxName, TraceContext};

/// Makes the contexts in which background work runs: fresh ones, for each has its own deadline.
#[derive(Debug, Clone)]
pub struct Contexts {
    sandbox: SandboxName,
    clock: Clock,
    service: &'static str,
}

impl Contexts {
    /// Contexts of `service` in a sandbox, on its clock.
    pub fn new(sandbox: SandboxName, clock: Clock, service: &'static str) -> Self {
        Self { sandbox, clock, service }
    }

    /// For work across tenants.
    pub fn own(&self) -> Ctx {
        Ctx::system(self.sandbox.clone(), self.clock.clone(), self.service)
    }

    /// For what is done on hearing an event: by the service, within the event's tenant, in the event's trace.
    pub fn of(&self, event: &DomainEvent) -> Ctx {
        let mut trace = TraceContext::start();
        let told = event.trace_id.as_deref().and_then(|text| u128::from_str_radix(text, 16).ok());
        trace.trace_id = told.filter(|id| *id != 0).unwrap_or(trace.trace_id);
        let own = self.own();
        let cx = Ctx::build(self.sandbox.clone(), self.clock.clone())
            .caller(own.caller().clone())
            .trace(trace)
            .finish();
        match event.tenant_id {
            Some(tenant) => cx.within(tenant),
            None => cx,
        }
    }
}
