use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use axum::{
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};
use http::Method;
use kernel::Slug;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::rpc::{FRAME, MESSAGE_LIMIT};

/// Makes the schema of a body in the document's own component list.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Who may call an operation. There is no default: an operation can't be made without saying it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Any verified caller of a tenant.
    Authenticated,
    /// A caller of a tenant whose role grants this.
    Permission(&'static str),
    /// A caller of a tenant with a permission made from the path: `{module}.{model}.read`.
    PathPermission(&'static str),
    /// The operator, or a user of the Platform tenant with this permission. No wildcard covers it.
    Platform(&'static str),
    /// The operator, or a caller of a tenant whose role grants this: each sees what is theirs.
    OperatorOr(&'static str),
    /// The operator alone.
    Operator,
}

impl Access {
    /// As it stands in the API's description.
    pub fn rule(&self) -> String {
        match self {
            Self::Public => "public".to_owned(),
            Self::Authenticated => "authenticated".to_owned(),
            Self::Permission(name)
            | Self::PathPermission(name)
            | Self::Platform(name)
            | Self::OperatorOr(name) => (*name).to_owned(),
            Self::Operator => "operator".to_owned(),
        }
    }
}

/// Whether an Idempotency-Key is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// GET, PUT and DELETE: repeating changes nothing more.
    Harmless,
    /// With a key, the first answer comes again.
    Welcome,
    /// Money moves: a key must be there.
    Required,
}

/// One entry of the operation table: what the gateway enforces, the docs tell and the isolation suite walks.
#[derive(Clone)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The address under `/api/v1` with `{parameters}`, or a protocol address as it is.
    pub path: String,
    /// Its stable name, unique in the product: `createWallet`.
    pub id: &'static str,
    /// The service that answers.
    pub service: &'static str,
    /// A line.
    pub summary: &'static str,
    /// More, in Markdown.
    pub description: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether it may be repeated.
    pub repeat: Repeat,
    /// The body it takes.
    pub body: Option<SchemaOf>,
    /// The query parameters it takes.
    pub query: Option<SchemaOf>,
    /// The status of success and the body that comes with it.
    pub answer: (u16, Option<SchemaOf>),
    /// How it can fail beyond what every operation can.
    pub problems: &'static [Slug],
    /// A body to try.
    pub example: Option<&'static str>,
    /// Most bytes of a body.
    pub body_limit: usize,
    /// Whether the body is not JSON and flows through.
    pub streams: bool,
    /// Of a gRPC method: its messages.
    pub rpc: Option<Rpc>,
    /// The fields of a multipart body.
    pub form: Option<SchemaOf>,
    /// How long the answer may take, where that is longer than usual: what flows in has to have come first.
    pub patience: Option<Duration>,
    /// The plan's limit that it uses up: refused early once that is reached.
    pub uses: Option<&'static str>,
}

/// The messages of a gRPC method, by full name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rpc {
    /// What it takes.
    pub request: String,
    /// What it answers.
    pub response: String,
}

/// The limit of JSON bodies.
pub const JSON_LIMIT: usize = 1_000_000;

/// Where the API lies.
pub const BASE: &str = "/api/v1";

impl Operation {
    fn new(method: Method, path: String, id: &'static str, access: Access) -> Self {
        let repeat = if method == Method::POST || method == Method::PATCH {
            Repeat::Welcome
        } else {
            Repeat::Harmless
        };
        let status = if method == Method::DELETE { 204 } else { 200 };
        Self {
            method,
            path,
            id,
            service: "",
            summary: "",
            description: "",
            access,
            repeat,
            body: None,
            query: None,
            answer: (status, None),
            problems: &[],
            example: None,
            body_limit: JSON_LIMIT,
            streams: false,
            rpc: None,
            form: None,
            patience: None,
            uses: None,
        }
    }

    /// A gRPC method at `/{package}.{Service}/{Method}`; [`Routes::rpc_query`] and [`Routes::rpc_command`] take it.
    pub fn rpc(path: &str, id: &'static str, access: Access) -> Self {
        let operation = Self::new(Method::POST, path.to_owned(), id, access);
        Self { rpc: Some(Rpc::default()), body_limit: MESSAGE_LIMIT + FRAME, ..operation }
    }

    /// `GET /api/v1{path}`.
    pub fn get(path: &str, id: &'static str, access: Access) -> Self {
        Self::new(Method::GET, format!("{BASE}{path}"), id, access)
    }

    /// `POST /api/v1{path}`.
    pub fn post(path: &str, id: &'static str, access: Access) -> Self {
        Self::new(Method::POST, format!("{BASE}{path}"), id, access)
    }

    /// `PUT /api/v1{path}`.
    pub fn put(path: &str, id: &'static str, access: Access) -> Self {
        Self::new(Method::PUT, format!("{BASE}{path}"), id, access)
    }

    /// `PATCH /api/v1{path}`.
    pub fn patch(path: &str, id: &'static str, access: Access) -> Self {
        Self::new(Method::PATCH, format!("{BASE}{path}"), id, access)
    }

    /// `DELETE /api/v1{path}`.
    pub fn delete(path: &str, id: &'static str, access: Access) -> Self {
        Self::new(Method::DELETE, format!("{BASE}{path}"), id, access)
    }

    /// `GET {path}` outside of the API: an address that a protocol prescribes.
    pub fn protocol(path: &str, id: &'static str, access: Access) -> Self {
        Self::new(Method::GET, path.to_owned(), id, access)
    }

    /// `POST {path}` outside of the API: an address that a protocol prescribes.
    pub fn protocol_post(path: &str, id: &'static str, access: Access) -> Self {
        Self::new(Method::POST, path.to_owned(), id, access)
    }

    /// A line that says what it does.
    pub fn summary(mut self, text: &'static str) -> Self {
        self.summary = text;
        self
    }

    /// More, in Markdown.
    pub fn description(mut self, text: &'static str) -> Self {
        self.description = text;
        self
    }

    /// The JSON body it takes.
    pub fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// The query parameters it takes, as members of `T`.
    pub fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// The status of success and the body that comes with it.
    pub fn answer<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answer = (status, Some(SchemaGenerator::subschema_for::<T>));
        self
    }

    /// A list: `{data, meta}`.
    pub fn lists<T: JsonSchema>(mut self) -> Self {
        self.answer = (200, Some(SchemaGenerator::subschema_for::<super::Page<T>>));
        self
    }

    /// The status of a success without a body.
    pub fn status(mut self, status: u16) -> Self {
        self.answer = (status, None);
        self
    }

    /// How it can fail beyond what every operation can.
    pub fn problems(mut self, slugs: &'static [Slug]) -> Self {
        self.problems = slugs;
        self
    }

    /// A body to try, as JSON; of a gRPC method the message in protobuf's JSON form.
    pub fn example(mut self, json: &'static str) -> Self {
        self.example = Some(json);
        self
    }

    /// Money moves: an Idempotency-Key must be there.
    pub fn key_required(mut self) -> Self {
        self.repeat = Repeat::Required;
        self
    }

    /// It changes nothing, although it is a POST: no Idempotency-Key is kept for it.
    pub fn harmless(mut self) -> Self {
        self.repeat = Repeat::Harmless;
        self
    }

    /// Takes of what the plan allows under this name: `users`, `records`, `storageBytes`, `eventsPerDay`, `modules`. Once
    /// that is used up it is refused before the body is read; `tx.reserve` has the last word.
    pub fn uses(mut self, limit: &'static str) -> Self {
        self.uses = Some(limit);
        self
    }

    /// Takes a body of another kind than JSON, of up to `limit` bytes, as it flows in.
    pub fn streams(mut self, limit: usize) -> Self {
        self.streams = true;
        self.body_limit = limit;
        self
    }

    /// The body that flows in is `multipart/form-data` with these fields. The example is an object of them, with the
    /// content of the file as a text.
    pub fn form<T: JsonSchema>(mut self) -> Self {
        self.form = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// How long the answer may take: for bodies that flow in slowly.
    pub fn answers_within(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.access.rule())
    }
}

/// The operations of one service, each with its handler.
pub struct Routes<S> {
    service: &'static str,
    state: S,
    entries: Vec<(Operation, MethodRouter<(), Infallible>)>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// The operations of `service`, whose handlers take `state`.
    pub fn new(service: &'static str, state: S) -> Self {
        Self { service, state, entries: Vec::new() }
    }

    /// Adds an operation.
    ///
    /// # Panics
    /// For a method other than GET, POST, PUT, PATCH and DELETE, which [`Operation`] can't hold.
    pub fn add<H, T>(mut self, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(operation.method.clone())
            .expect("because an operation's method is one of the five that exist");
        let route = on(filter, handler).with_state(self.state.clone());
        self.entries.push((Operation { service: self.service, ..operation }, route));
        self
    }

    /// The table.
    pub fn finish(self) -> ServiceRoutes {
        ServiceRoutes { service: self.service, entries: self.entries }
    }
}

/// A service's table, complete.
pub struct ServiceRoutes {
    service: &'static str,
    entries: Vec<(Operation, MethodRouter<(), Infallible>)>,
}

impl ServiceRoutes {
    /// The service.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// The entries without their handlers.
    pub fn operations(&self) -> Vec<Arc<Operation>> {
        self.entries.iter().map(|(operation, _)| Arc::new(operation.clone())).collect()
    }

    /// More entries of the same service.
    pub fn merge(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    /// What answers the requests that come over the service's Link.
    pub fn router(self) -> axum::Router {
        self.entries
            .into_iter()
            .fold(axum::Router::new(), |router, (operation, route)| router.route(&operation.path, route))
            .fallback(async || super::Problem::from(kernel::Error::not_found("address")))
    }
}
