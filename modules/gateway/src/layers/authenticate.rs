use std::{ops::ControlFlow, sync::Arc};

use kernel::{Error, Result, Secret, Slug};
use ports::http::Access;

use super::{Step, admit};
use crate::{
    credentials::{Known, digest_of},
    operator::{KEY_PREFIX, Presented, presented},
    origin,
    problem::refuse,
    visit::{Arrival, Response, Visit},
};

/// What keys of modules begin with.
const MODULE_KEY_PREFIX: &str = "mk_";

/// Finds out whose credential it is. Whether one is needed is the next layer's question; a public operation takes a
/// caller with a bad one for a stranger, so that an old token in a client does not keep it from signing in.
#[derive(Clone, Copy)]
pub(crate) struct Authenticate;

impl Step for Authenticate {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        let visit = &arrival.visit;
        let credential = Credential::of(arrival);
        let known = match credential {
            Credential::Known(known) => Ok(known),
            Credential::Refused(error) => Err(error),
            Credential::Unknown(secret, digest) => verify(visit, secret, digest).await,
        };
        let public = visit.entry().is_some_and(|entry| entry.operation.access == Access::Public);
        let known = match known {
            Ok(known) => known,
            Err(_) if public => Arc::new(Known::stranger()),
            Err(error) => return ControlFlow::Break(refuse(error)),
        };
        admit(agrees_with_host(visit, &known).map(|()| {
            visit.known.get_or_init(|| known);
        }))
    }
}

/// What is known of a credential without asking anybody.
enum Credential {
    Known(Arc<Known>),
    Refused(Error),
    /// To be asked about.
    Unknown(Secret, [u8; 32]),
}

impl Credential {
    fn of(arrival: &Arrival) -> Self {
        let Arrival { request, visit, .. } = arrival;
        let gate = &visit.core.operator;
        match presented(request.headers(), gate.cookie_name()) {
            Presented::Nothing => Self::Known(Arc::new(Known::stranger())),
            Presented::Unusable => Self::Refused(Error::unauthorized()),
            Presented::Bearer(key) if key.starts_with(KEY_PREFIX) => match gate.verify_key(key) {
                true => Self::Known(Arc::new(Known::operator())),
                false => Self::Refused(Error::unauthorized()),
            },
            Presented::Bearer(token) => {
                let digest = digest_of(token);
                match visit.core.credentials.get(&digest, visit.core.clock.now()) {
                    Some(known) => Self::Known(known),
                    None => Self::Unknown(Secret::new(token), digest),
                }
            }
            Presented::Session(cookie) => {
                if !gate.verify_session(cookie) {
                    return Self::Known(Arc::new(Known::stranger()));
                }
                let settings = &visit.core.settings;
                let own = origin::cookie_may_count(
                    request.method(),
                    request.headers(),
                    visit.origin().https,
                    visit.authority(),
                    &settings.public_url,
                );
                match own {
                    true => Self::Known(Arc::new(Known::operator())),
                    false => Self::Refused(Error::new(
                        Slug::OriginNotAllowed,
                        "The operator's session counts for requests of the console's own pages only.",
                    )),
                }
            }
        }
    }
}

async fn verify(visit: &Visit, secret: Secret, digest: [u8; 32]) -> Result<Arc<Known>> {
    let (core, cx) = (&visit.core, visit.asking());
    let principal = if secret.expose().starts_with(MODULE_KEY_PREFIX) {
        core.modules.authenticate_key(&cx, secret).await?
    } else {
        core.iam.authenticate(&cx, secret).await?
    };
    let known = Arc::new(Known::of(principal, digest));
    core.credentials.remember(digest, &known);
    Ok(known)
}

/// A host that names a tenant belongs to nobody of another.
fn agrees_with_host(visit: &Visit, known: &Known) -> Result<()> {
    let named = visit.host.get().and_then(|host| host.tenant);
    match (named, known.caller.tenant) {
        (Some(host), Some(own)) if host != own => {
            Err(Error::not_found("address").because("the host names another tenant than the credential"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use kernel::Actor;

    use super::*;
    use crate::{layers::through, tests::gateway, tests::json, visit::AskedHost};

    #[tokio::test]
    async fn a_good_token_is_asked_about_once() {
        let kernel = gateway().await;
        for _ in 0..3 {
            let request = http::Request::get("/api/v1/things/1").header("authorization", "Bearer good");
            let arrival = kernel.found(request);
            let visit = Arc::clone(&arrival.visit);
            assert_eq!(through(Authenticate, arrival, |_| Response::default()).await.status(), 200);
            assert_eq!(visit.known.get().unwrap().caller.tenant, Some(kernel.stubs.blue));
        }
        assert_eq!(kernel.stubs.asked.load(Ordering::Relaxed), 1);
        kernel.core.credentials.forget();
        let request = http::Request::get("/api/v1/things/1").header("authorization", "Bearer good");
        through(Authenticate, kernel.found(request), |_| Response::default()).await;
        assert_eq!(kernel.stubs.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_bad_token_is_refused_except_where_anybody_may_call() {
        let kernel = gateway().await;
        for (path, token, status) in [
            ("/api/v1/things/1", "Bearer bad", 401),
            ("/api/v1/things/1", "Bearer ok_wrong", 401),
            ("/api/v1/things/1", "Bearer mk_wrong", 401),
            ("/api/v1/things/1", "Basic Zm9v", 401),
            ("/problems", "Bearer bad", 200),
        ] {
            let arrival = kernel.found(http::Request::get(path).header("authorization", token));
            let response = through(Authenticate, arrival, |_| Response::default()).await;
            assert_eq!(response.status(), status, "{path} {token}");
        }
    }

    #[tokio::test]
    async fn each_kind_of_credential_has_its_keeper() {
        let kernel = gateway().await;
        for (token, kind) in [("ok_right", "operator"), ("mk_right", "module"), ("good", "user")] {
            let request =
                http::Request::get("/api/v1/things/1").header("authorization", format!("Bearer {token}"));
            let arrival = kernel.found(request);
            let visit = Arc::clone(&arrival.visit);
            through(Authenticate, arrival, |_| Response::default()).await;
            assert_eq!(visit.known.get().unwrap().caller.actor.kind(), kind);
        }
    }

    #[tokio::test]
    async fn a_host_of_another_tenant_is_not_found() {
        let kernel = gateway().await;
        for (tenant, status) in [(Some(kernel.stubs.blue), 200), (Some(kernel.stubs.red), 404), (None, 200)] {
            let request = http::Request::get("/api/v1/things/1").header("authorization", "Bearer good");
            let arrival = kernel.found(request);
            arrival.visit.host.get_or_init(|| AskedHost { tenant, ..AskedHost::default() });
            let response = through(Authenticate, arrival, |_| Response::default()).await;
            assert_eq!(response.status(), status, "{tenant:?}");
        }
    }

    #[tokio::test]
    async fn the_operators_cookie_counts_for_our_own_pages() {
        let kernel = gateway().await;
        let answered = async |origin: Option<&str>, cookie: &str| {
            let mut request = http::Request::post("/api/v1/things").header("cookie", cookie);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let arrival = kernel.found(request);
            let authority = Some("localhost:8080".into());
            arrival.visit.host.get_or_init(|| AskedHost { authority, ..AskedHost::default() });
            let visit = Arc::clone(&arrival.visit);
            let response = through(Authenticate, arrival, |_| Response::default()).await;
            let actor = visit.known.get().map(|known| known.caller.actor.clone());
            (response.status().as_u16(), actor)
        };
        let own = Some("http://localhost:8080");
        assert_eq!(answered(own, "pk_operator=session").await, (200, Some(Actor::Operator)));
        assert_eq!(answered(own, "pk_operator=old").await, (200, Some(Actor::Anonymous)));
        assert_eq!(answered(Some("https://evil.example"), "pk_operator=session").await.0, 403);
        assert_eq!(answered(None, "pk_operator=session").await.0, 403);
    }

    #[tokio::test]
    async fn a_refusal_tells_nothing() {
        let arrival = gateway()
            .await
            .found(http::Request::get("/api/v1/things/1").header("authorization", "Bearer bad"));
        let scene = Arc::clone(&arrival.visit);
        let response =
            through(crate::layers::problems::Problems, arrival, |_| refuse(Error::unauthorized())).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(json(response).await["instance"], scene.uri.path());
    }
}
