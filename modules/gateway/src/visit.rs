//! One request on its way through the layers.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::body::Body;
use http::{HeaderValue, Method, Uri};
use kernel::{Actor, Ctx, Error, IdempotencyKey, RequestId, Result, TenantId, TraceContext};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    core::Core,
    credentials::Known,
    door::{PeerAddr, Secure},
    problem::{Form, Scene},
    rate::Allowance,
    rpc,
    table::{Entry, Found, Matched},
    traffic::UnderWay,
};

pub(crate) type Request = http::Request<Body>;
pub(crate) type Response = http::Response<Body>;

/// What the layers are handed: the request, and what is known about it so far.
pub(crate) struct Arrival {
    pub request: Request,
    pub visit: Arc<Visit>,
    /// Its place among what is under way, taken when it came in.
    pub place: Option<UnderWay>,
    /// The room that its body takes, once it was read: until the head of the answer is there.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Arrival {
    pub(crate) fn new(request: Request, visit: Arc<Visit>) -> Self {
        Self { request, visit, place: None, room: None }
    }
}

/// What is known about a request. Each layer fills in its part once; the layers around it read it on the way out.
pub(crate) struct Visit {
    pub core: Arc<Core>,
    pub arrived: Instant,
    /// When the head of the answer must be there.
    pub deadline: Instant,
    pub method: Method,
    pub uri: Uri,
    /// The address at the other end of the connection.
    pub peer: Option<IpAddr>,
    /// Whether the connection is TLS that ends here.
    pub tls: bool,
    /// Whether it is a gRPC call.
    pub rpc: bool,
    pub identity: OnceLock<Identity>,
    pub client: OnceLock<Origin>,
    pub host: OnceLock<AskedHost>,
    pub found: OnceLock<Found>,
    /// The origin of the page that asks, if it may.
    pub page: OnceLock<AllowedOrigin>,
    pub known: OnceLock<Arc<Known>>,
    /// What is left to the client's address, and to the caller's tenant.
    pub of_address: OnceLock<Allowance>,
    pub of_tenant: OnceLock<Allowance>,
    pub idempotency: OnceLock<IdempotencyKey>,
    pub cx: OnceLock<Ctx>,
}

/// What the request is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub request: RequestId,
    pub trace: TraceContext,
}

/// Where the request really comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub address: Option<IpAddr>,
    /// Whether the client spoke TLS, here or to a trusted proxy.
    pub https: bool,
}

/// An origin whose pages may call.
#[derive(Debug, Clone)]
pub(crate) struct AllowedOrigin {
    pub origin: HeaderValue,
    /// The tenant whose domain it is; none for our own origin.
    pub tenant: Option<TenantId>,
}

/// The host that was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct AskedHost {
    /// As it was sent, with its port.
    pub authority: Option<Arc<str>>,
    /// Lower case, without port.
    pub name: Option<Arc<str>>,
    /// The tenant that it names.
    pub tenant: Option<TenantId>,
}

impl Visit {
    pub(crate) fn new(core: Arc<Core>, request: &Request) -> Self {
        let arrived = Instant::now();
        let rpc = rpc::is_call(request);
        // A caller who would wait for less gets less. One that says nonsense is refused, but not here.
        let waits = if rpc { rpc::timeout(request.headers()).ok().flatten() } else { None };
        let patience = core.settings.request_timeout;
        Self {
            deadline: arrived + waits.map_or(patience, |waits| waits.min(patience)),
            core,
            arrived,
            rpc,
            method: request.method().clone(),
            uri: request.uri().clone(),
            peer: request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip().to_canonical()),
            tls: request.extensions().get::<Secure>().is_some_and(|secure| secure.0),
            identity: OnceLock::new(),
            client: OnceLock::new(),
            host: OnceLock::new(),
            found: OnceLock::new(),
            page: OnceLock::new(),
            known: OnceLock::new(),
            of_address: OnceLock::new(),
            of_tenant: OnceLock::new(),
            idempotency: OnceLock::new(),
            cx: OnceLock::new(),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        *self.identity.get_or_init(|| Identity { request: RequestId::new(), trace: TraceContext::start() })
    }

    pub(crate) fn origin(&self) -> Origin {
        *self.client.get_or_init(|| Origin { address: self.peer, https: self.tls })
    }

    /// The host with its port as the client sent it.
    pub(crate) fn authority(&self) -> &str {
        self.host.get().and_then(|host| host.authority.as_deref()).unwrap_or("")
    }

    pub(crate) fn matched(&self) -> Option<&Matched> {
        match self.found.get() {
            Some(Found::Operation(matched)) => Some(matched),
            _ => None,
        }
    }

    /// The entry of the operation table that answers.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.matched().map(|matched| self.core.table.entry(matched.entry))
    }

    /// The entry, for layers that stand behind the look-up.
    ///
    /// # Errors
    /// `internal` when there was none.
    pub(crate) fn operation(&self) -> Result<&Entry> {
        self.entry()
            .ok_or_else(|| Error::internal("a layer behind the look-up was reached without an operation"))
    }

    /// A context in which the gateway itself asks others about this request.
    pub(crate) fn asking(&self) -> Ctx {
        let Identity { request, trace } = self.identity();
        Ctx::build(self.core.sandbox.clone(), self.core.clock.clone())
            .request(request)
            .trace(trace)
            .deadline(self.deadline)
            .finish()
    }

    /// Whether the caller may see what is said for authors.
    pub(crate) fn is_author(&self) -> bool {
        self.known.get().is_some_and(|known| {
            known.caller.actor == Actor::Operator || known.caller.permissions.allow("modules.register")
        })
    }

    pub(crate) fn scene(&self) -> Scene<'_> {
        let Identity { request, trace } = self.identity();
        let known_method = self.entry().is_some_and(|entry| entry.operation.rpc.is_some());
        Scene {
            public_url: &self.core.settings.public_url,
            instance: self.uri.path(),
            request,
            trace,
            author: self.is_author(),
            form: if self.rpc { Form::Rpc { known_method } } else { Form::Http },
        }
    }

    /// The template of the route, for logs and metrics.
    pub(crate) fn route(&self) -> &str {
        self.entry().map_or("unmatched", |entry| entry.operation.path.as_str())
    }
}
