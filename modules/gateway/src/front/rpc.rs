//! gRPC at the front: which port takes what, and the two services that are the process's own, health and reflection.
//! Neither wakes a sandbox, and both are anybody's, like `/ready` and `/openapi.json`.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::body::Body;
use futures::{Stream, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use kernel::{Error, Result};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tonic::Status;
use tonic_health::pb::{
    FILE_DESCRIPTOR_SET as HEALTH, HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use super::readiness::Readiness;
use crate::{door::Listener, problem::Form, rpc::is_call};

/// Streams of these two services at a time.
const MOST_STREAMS: usize = 256;
/// How long a client that asks about contracts may think between two questions.
const IDLE: Duration = Duration::from_secs(30);
/// The same while the process stops: what was asked is still answered, and nothing is waited for.
const LAST: Duration = Duration::from_secs(1);
/// How often a change of readiness is looked for on behalf of those who watch.
const LOOK: Duration = Duration::from_millis(250);

/// How a refusal of the front is written.
pub(super) fn form(request: &Request<Body>) -> Form {
    if !is_call(request) {
        return Form::Http;
    }
    let known_method =
        proto::Method::at(request.uri().path()).is_some() && Port::of(request).check(request).is_ok();
    Form::Rpc { known_method }
}

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// The API and gRPC.
    Whole,
    /// gRPC of every service.
    Rpc,
    /// gRPC of iam.
    Iam,
}

impl Port {
    pub(super) fn of(request: &Request<Body>) -> Self {
        match request.extensions().get::<Listener>() {
            Some(Listener("grpc")) => Self::Rpc,
            Some(Listener("iam")) => Self::Iam,
            _ => Self::Whole,
        }
    }

    /// Whether the request may come by this port.
    ///
    /// # Errors
    /// `not-found`, saying what the port is for.
    pub(super) fn check(self, request: &Request<Body>) -> Result<()> {
        let (fits, what) = match self {
            Self::Whole => (true, ""),
            Self::Rpc => (is_call(request), "gRPC and /health"),
            Self::Iam => {
                let iam = request.uri().path().starts_with("/platform.iam.");
                (is_call(request) && iam, "gRPC of platform.iam and /health")
            }
        };
        if fits {
            return Ok(());
        }
        let detail = format!("This port is for {what}; everything is answered on the ports of the gateway.");
        Err(Error::new(kernel::Slug::NotFound, detail))
    }
}

type Answering = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Answers what is asked about the process and its contracts.
pub(super) struct Desk {
    health: Answering,
    reflection: Answering,
    reflection_alpha: Answering,
    streams: Arc<Semaphore>,
    readiness: Arc<Readiness>,
}

impl Desk {
    /// # Panics
    /// When the descriptors that the build made are none; a test reads them.
    pub(super) fn new(readiness: Arc<Readiness>) -> Self {
        use tonic_reflection::{pb, server::Builder};
        let known = || {
            Builder::configure()
                .include_reflection_service(false)
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(HEALTH)
                // What the details of a status are.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(pb::v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(pb::v1alpha::FILE_DESCRIPTOR_SET)
        };
        let reflection = known().build_v1().expect("because the build wrote these descriptors");
        let alpha = known().build_v1alpha().expect("because the build wrote these descriptors");
        let health = HealthServer::new(ProcessHealth(Arc::clone(&readiness)));
        Self {
            health: boxed(health),
            reflection: boxed(reflection),
            reflection_alpha: boxed(alpha),
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            readiness,
        }
    }

    /// The answer, if the call is for one of the two; else the request again.
    pub(super) async fn asked(&self, request: Request<Body>) -> Result<Response<Body>, Request<Body>> {
        if !is_call(&request) {
            return Err(request);
        }
        let service = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or("");
        let answering = match service {
            "grpc.health.v1.Health" => self.health.clone(),
            "grpc.reflection.v1.ServerReflection" => self.reflection.clone(),
            "grpc.reflection.v1alpha.ServerReflection" => self.reflection_alpha.clone(),
            _ => return Err(request),
        };
        let request = request.map(|body| self.bounded(body));
        // A probe gets its answer however many watch.
        if request.uri().path().ends_with("/Check") {
            return Ok(answering.oneshot(request).await.unwrap_or_else(|never| match never {}));
        }
        let Ok(place) = Arc::clone(&self.streams).try_acquire_owned() else {
            let full = Status::resource_exhausted("Too many streams are open; try again in a moment.");
            return Ok(full.into_http());
        };
        let response = answering.oneshot(request).await.unwrap_or_else(|never| match never {});
        // The place is taken until the body goes.
        Ok(response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _held = &place;
                frame
            }))
        }))
    }

    /// A body that ends when nothing comes for a while, or when the process stops.
    fn bounded(&self, body: Body) -> Body {
        let readiness = Arc::clone(&self.readiness);
        let frames = stream::unfold(body, move |mut body| {
            let readiness = Arc::clone(&readiness);
            async move {
                let stopping = async {
                    readiness.closed().await;
                    sleep(LAST).await;
                };
                tokio::select! {
                    biased;
                    frame = timeout(IDLE, body.frame()) => frame.ok().flatten().map(|frame| (frame, body)),
                    () = stopping => None,
                }
            }
        });
        Body::new(StreamBody::new(frames))
    }
}

fn boxed<S, B>(service: S) -> Answering
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    BoxCloneSyncService::new(service.map_response(|response: Response<B>| response.map(Body::new)))
}

/// grpc.health.v1: the whole (`""`) and each service by name are as ready as the process.
struct ProcessHealth(Arc<Readiness>);

impl ProcessHealth {
    fn knows(name: &str) -> bool {
        name.is_empty() || proto::services().any(|service| service == name)
    }
}

#[tonic::async_trait]
impl Health for ProcessHealth {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        match Self::knows(&request.get_ref().service) {
            true => Ok(tonic::Response::new(said(serving(&self.0)))),
            false => Err(Status::not_found("There is no such service; reflection lists them.")),
        }
    }

    /// Tells each change. Ends when the process stops, so that nothing is waited for then.
    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        if !Self::knows(&request.get_ref().service) {
            let once = stream::iter([Ok(said(ServingStatus::ServiceUnknown))]);
            return Ok(tonic::Response::new(Box::pin(once)));
        }
        let readiness = Arc::clone(&self.0);
        let changes = stream::unfold(None, move |last| {
            let readiness = Arc::clone(&readiness);
            async move {
                loop {
                    let now = serving(&readiness);
                    if last != Some(now) {
                        return Some((Ok(said(now)), Some(now)));
                    }
                    if readiness.is_closing() {
                        return None;
                    }
                    // Whether it has passed or the process stops: then there is something new to say.
                    let _ = timeout(LOOK, readiness.closed()).await;
                }
            }
        });
        Ok(tonic::Response::new(Box::pin(changes)))
    }
}

fn serving(readiness: &Readiness) -> ServingStatus {
    match readiness.now() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

fn said(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
