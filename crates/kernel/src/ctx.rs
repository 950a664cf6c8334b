use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::{
    ApiKeyId, Clock, Error, ModuleSlug, RequestId, Result, SandboxName, SessionId, TenantId, Timestamp,
    UserId,
};

/// Who asks, for which tenant, by when: made once at the edge, passed by reference everywhere.
///
/// There is no other way to learn the tenant, the date, randomness or a new id. Cheap to clone.
#[derive(Clone)]
pub struct Ctx(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    sandbox: SandboxName,
    caller: Caller,
    request: RequestId,
    trace: TraceContext,
    deadline: Instant,
    locale: Arc<str>,
    idempotency: Option<IdempotencyKey>,
    clock: Clock,
    client: Client,
}

/// The verified caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant that the credential names; none for strangers and the operator.
    pub tenant: Option<TenantId>,
    /// Who it is.
    pub actor: Actor,
    /// What they may do.
    pub permissions: Arc<Permissions>,
}

impl Caller {
    /// Somebody without a credential.
    pub fn stranger() -> Self {
        Self { tenant: None, actor: Actor::Anonymous, permissions: Arc::default() }
    }
}

/// Kinds of callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// No credential.
    Anonymous,
    /// A person, signed in.
    User {
        /// Who.
        id: UserId,
        /// Through which sign-in.
        session: SessionId,
        /// Their address, for audit and modules.
        email: Arc<str>,
    },
    /// A program with an API key of a tenant.
    Key(ApiKeyId),
    /// An installed module: with its own key, or for a user with the gateway's module token.
    Module {
        /// Which.
        slug: ModuleSlug,
        /// The user it acts for, when it uses the token of a request.
        on_behalf_of: Option<UserId>,
    },
    /// A service itself, doing what nobody asked for just now.
    System(&'static str),
    /// Who runs the process.
    Operator,
}

impl Actor {
    /// The person behind the call, if there is one.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Module { on_behalf_of, .. } => *on_behalf_of,
            _ => None,
        }
    }

    /// A short word for the kind of actor: `user`, `key`, `module`, `system`, `operator`, `anonymous`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User { .. } => "user",
            Self::Key(_) => "key",
            Self::Module { .. } => "module",
            Self::System(_) => "system",
            Self::Operator => "operator",
        }
    }

    /// Names this caller among all of a sandbox, for idempotency and limits.
    pub fn name(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::User { id, .. } => format!("user:{id}"),
            Self::Key(id) => format!("key:{id}"),
            Self::Module { slug, on_behalf_of: None } => format!("module:{slug}"),
            Self::Module { slug, on_behalf_of: Some(user) } => format!("module:{slug}:{user}"),
            Self::System(service) => format!("system:{service}"),
            Self::Operator => "operator".to_owned(),
        }
    }
}

/// A set of granted permissions. `*` grants everything within the tenant, `{x}.*` everything that starts with `x.`;
/// neither reaches what belongs to the platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(BTreeSet<Box<str>>);

/// Permissions that no wildcard of a tenant's role covers.
const PLATFORM: [&str; 2] = ["system.", "sandboxes."];
const PLATFORM_EXACT: [&str; 2] = ["modules.register", "plans.write"];

impl Permissions {
    /// The set of these grants.
    pub fn new<T: Into<Box<str>>>(grants: impl IntoIterator<Item = T>) -> Self {
        Self(grants.into_iter().map(Into::into).collect())
    }

    /// Whether `wanted` is granted: exactly, or by a wildcard.
    pub fn allow(&self, wanted: &str) -> bool {
        if self.0.contains(wanted) {
            return true;
        }
        if Self::of_platform(wanted) {
            return false;
        }
        if self.0.contains("*") {
            return true;
        }
        wanted.match_indices('.').any(|(at, _)| {
            let mut wildcard = String::with_capacity(at + 2);
            wildcard.push_str(&wanted[..at]);
            wildcard.push_str(".*");
            self.0.contains(wildcard.as_str())
        })
    }

    /// Whether a permission belongs to the platform and must be granted by name.
    pub fn of_platform(permission: &str) -> bool {
        PLATFORM_EXACT.contains(&permission) || PLATFORM.iter().any(|prefix| permission.starts_with(prefix))
    }

    /// The grants, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// W3C trace context: where this call stands in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, shared by all spans of the trace.
    pub trace_id: u128,
    /// 8 bytes, of the calling span.
    pub span_id: u64,
}

impl TraceContext {
    /// The beginning of a trace.
    pub fn start() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: rand::random::<u64>().max(1) }
    }

    /// Reads a `traceparent` header; `None` if it is not well formed (W3C Trace Context, version 00).
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower_hex =
            |s: &str, n: usize| s.len() == n && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if version != "00" || parts.next().is_some() || !lower_hex(flags, 2) {
            return None;
        }
        if !lower_hex(trace, 32) || !lower_hex(span, 16) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        Some(Self { trace_id, span_id })
    }

    /// The header for a call that leaves from here.
    pub fn traceparent(self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }

    /// The trace id as it stands in logs and problems.
    pub fn trace_id_text(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// Key and fingerprint of a request that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// What the client chose.
    pub key: Uuid,
    /// SHA-256 over route and body: the same key with another fingerprint is a mistake of the client.
    pub fingerprint: [u8; 32],
}

/// Where the call came from, as far as it can be trusted.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// The real address.
    pub address: Option<IpAddr>,
    /// What the client calls itself, cut to 256 bytes.
    pub agent: Option<Arc<str>>,
    /// The host that the client asked for.
    pub host: Option<Arc<str>>,
}

impl Ctx {
    /// Begins a context for `sandbox` on its clock.
    pub fn build(sandbox: SandboxName, clock: Clock) -> CtxBuilder {
        CtxBuilder(Inner {
            sandbox,
            caller: Caller::stranger(),
            request: RequestId::new(),
            trace: TraceContext::start(),
            deadline: Instant::now() + DEFAULT_DEADLINE,
            locale: "en".into(),
            idempotency: None,
            clock,
            client: Client::default(),
        })
    }

    /// A context in which a service works on its own behalf.
    pub fn system(sandbox: SandboxName, clock: Clock, service: &'static str) -> Self {
        let caller = Caller { tenant: None, actor: Actor::System(service), permissions: Arc::default() };
        Self::build(sandbox, clock).caller(caller).finish()
    }

    /// The same call, now for `tenant`: for the few operations in which a service learns or makes the tenant
    /// (registration, sign-in, background work).
    pub fn within(&self, tenant: TenantId) -> Self {
        self.changed(|inner| inner.caller.tenant = Some(tenant))
    }

    /// The same call with another caller.
    pub fn with_caller(&self, caller: Caller) -> Self {
        self.changed(|inner| inner.caller = caller)
    }

    /// The same call, to be ended by `deadline` if that is earlier.
    pub fn until(&self, deadline: Instant) -> Self {
        self.changed(|inner| inner.deadline = inner.deadline.min(deadline))
    }

    /// The same call with the key under which it may be repeated.
    pub fn with_idempotency(&self, key: Option<IdempotencyKey>) -> Self {
        self.changed(|inner| inner.idempotency = key)
    }

    fn changed(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = (*self.0).clone();
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &SandboxName {
        &self.0.sandbox
    }

    /// The tenant.
    ///
    /// # Errors
    /// `unauthorized` when the caller belongs to none.
    pub fn tenant(&self) -> Result<TenantId> {
        self.0.caller.tenant.ok_or_else(Error::unauthorized)
    }

    /// The verified caller.
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.0.caller.actor
    }

    /// The signed-in person.
    ///
    /// # Errors
    /// `unauthorized` when the caller is not a person.
    pub fn user(&self) -> Result<UserId> {
        self.actor().user().ok_or_else(Error::unauthorized)
    }

    /// The id of the request.
    pub fn request(&self) -> RequestId {
        self.0.request
    }

    /// The place in the trace.
    pub fn trace(&self) -> TraceContext {
        self.0.trace
    }

    /// When the answer must be there, in real time.
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// How long is left; zero when it is too late.
    pub fn time_left(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }

    /// BCP 47 language of the caller.
    pub fn locale(&self) -> &str {
        &self.0.locale
    }

    /// Key and fingerprint, if the request may be repeated.
    pub fn idempotency(&self) -> Option<&IdempotencyKey> {
        self.0.idempotency.as_ref()
    }

    /// Where the call came from.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The date on the sandbox's clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The sandbox's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Bytes nobody can guess.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        rand::fill(&mut bytes);
        bytes
    }
}

/// Time to the response head unless configured otherwise.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("sandbox", &self.0.sandbox)
            .field("tenant", &self.0.caller.tenant)
            .field("actor", &self.0.caller.actor)
            .field("request", &self.0.request)
            .finish_non_exhaustive()
    }
}

/// Puts a [`Ctx`] together at the edge.
pub struct CtxBuilder(Inner);

impl CtxBuilder {
    /// The verified caller.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.0.caller = caller;
        self
    }

    /// The request's id.
    pub fn request(mut self, request: RequestId) -> Self {
        self.0.request = request;
        self
    }

    /// The place in the trace.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.0.trace = trace;
        self
    }

    /// When the answer must be there.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.0.deadline = deadline;
        self
    }

    /// BCP 47 language.
    pub fn locale(mut self, locale: &str) -> Self {
        self.0.locale = locale.into();
        self
    }

    /// Where the call came from.
    pub fn client(mut self, client: Client) -> Self {
        self.0.client = client;
        self
    }

    /// Done.
    pub fn finish(self) -> Ctx {
        Ctx(Arc::new(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_the_tenants_own_and_never_the_platform() {
        let owner = Permissions::new(["*"]);
        assert!(owner.allow("users.delete") && owner.allow("crm.contacts.read"));
        assert!(
            !owner.allow("modules.register")
                && !owner.allow("system.shutdown")
                && !owner.allow("sandboxes.list")
        );
        let module = Permissions::new(["crm.*", "modules.*"]);
        assert!(module.allow("crm.contacts.read") && module.allow("modules.install"));
        assert!(!module.allow("crmx.contacts.read") && !module.allow("modules.register"));
        assert!(Permissions::new(["modules.register"]).allow("modules.register"));
        assert!(!Permissions::default().allow("users.list"));
    }

    #[test]
    fn a_traceparent_is_read_and_continued() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceContext::parse(text).unwrap().traceparent(), text);
        let span = "00f067aa0ba902b7";
        for bad in ["", "00-0-0-01", &format!("00-{}-{span}-01", "0".repeat(32)), &text.to_uppercase()] {
            assert!(TraceContext::parse(bad).is_none(), "{bad}");
        }
    }
}
