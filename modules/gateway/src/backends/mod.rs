//! Installed modules' own back-ends: `/api/v1/m/{slug}/…`, proxied through the guarded dialler.

mod headers;
mod proxy;
mod routes;
mod upgrade;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use fabric::{
    breaker::{Breaker, Outcome},
    dialler::Dialler,
};
use http::Uri;
use kernel::{Ctx, Error, ModuleSlug, Permissions, Result, Secret, Slug};
use ports::{
    ModuleInfo, ModuleSnapshot, ModuleTokenRequest,
    http::Failure,
    link::{HttpLink, LinkOptions, LinkStats},
};

use crate::{
    credentials::CredentialDigest,
    traffic::Traffic,
    visit::{Request, Response, Visit},
};
use proxy::{Forward, Proxy};
use routes::Routes;

/// How the address of a module's back-end begins.
const PREFIX: &str = "/api/v1/m/";

/// Tokens of 60 s are used for at most this long, so that each has most of its life before it.
const TOKEN_REUSED: Duration = Duration::from_secs(20);

/// The queue in front of one back-end: a slow one must not take the places of the others.
const QUEUE: LinkOptions = LinkOptions { depth: 64, concurrency: 128 };

/// The link's deadline comes this much after the proxy's own, which can say more.
const GRACE: Duration = Duration::from_millis(250);

/// The bounds of `timeoutMs`.
const LEAST_TIMEOUT: Duration = Duration::from_millis(1);
const MOST_TIMEOUT: Duration = Duration::from_secs(300);

type TokenKey = (CredentialDigest, ModuleSlug, i64);

/// The back-ends that were called so far, by module.
pub(crate) struct Backends {
    dialler: Dialler,
    upstreams: Mutex<HashMap<ModuleSlug, Arc<Upstream>>>,
    tokens: moka::sync::Cache<TokenKey, Secret>,
}

/// One module's back-end as its revision says.
struct Upstream {
    revision: i64,
    base: Uri,
    timeout: Duration,
    routes: Routes,
    /// These outlive a revision that leaves the address as it is.
    address: Arc<Address>,
}

struct Address {
    url: String,
    breaker: Breaker,
    link: HttpLink,
}

impl Backends {
    pub(crate) fn new(dialler: Dialler) -> Self {
        let tokens = moka::sync::Cache::builder().max_capacity(20_000).time_to_live(TOKEN_REUSED).build();
        Self { dialler, upstreams: Mutex::default(), tokens }
    }

    /// The queues in front of back-ends.
    pub(crate) fn link_stats(&self) -> Vec<LinkStats> {
        self.lock().values().map(|upstream| upstream.address.link.stats()).collect()
    }

    /// Each back-end's breaker: 0 closed, 1 probing, 2 open.
    pub(crate) fn breakers(&self) -> Vec<(ModuleSlug, u8)> {
        let upstreams = self.lock();
        upstreams.iter().map(|(slug, upstream)| (slug.clone(), upstream.address.breaker.state())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ModuleSlug, Arc<Upstream>>> {
        // Nothing under this lock can panic halfway.
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The back-end of a module; none when it has none, or its address can't be read.
    fn upstream(
        &self,
        module: &ModuleInfo,
        snapshot: &ModuleSnapshot,
        traffic: &Traffic,
    ) -> Option<Arc<Upstream>> {
        let backend = module.backend.as_ref()?;
        let mut upstreams = self.lock();
        let known = upstreams.get(&module.slug);
        if let Some(known) =
            known.filter(|known| known.revision == module.revision && known.address.url == backend.url)
        {
            return Some(Arc::clone(known));
        }
        let address = match known.filter(|known| known.address.url == backend.url) {
            Some(known) => Arc::clone(&known.address),
            None => {
                let proxy = Proxy { dialler: self.dialler.clone(), traffic: traffic.clone() };
                let link = HttpLink::http(format!("module {}", module.slug), QUEUE, proxy);
                Arc::new(Address { url: backend.url.clone(), breaker: Breaker::new(), link })
            }
        };
        let upstream = Arc::new(Upstream {
            revision: module.revision,
            base: backend.url.parse().ok()?,
            timeout: Duration::from_millis(backend.timeout_ms).clamp(LEAST_TIMEOUT, MOST_TIMEOUT),
            routes: Routes::new(&module.slug, &backend.routes),
            address,
        });
        upstreams.retain(|slug, _| snapshot.modules.contains_key(slug));
        upstreams.insert(module.slug.clone(), Arc::clone(&upstream));
        Some(upstream)
    }
}

/// Sends a request to the back-end of the module that its path names.
///
/// # Errors
/// `not-found` when the module is not installed for the caller's tenant or has no such route, `forbidden`,
/// `circuit-open`, `dependency-unavailable`, `deadline-exceeded`, and what a link answers.
pub(crate) async fn serve(visit: &Visit, cx: &Ctx, mut request: Request) -> Result<Response> {
    let core = &visit.core;
    let nothing = || Error::not_found("address");
    let (slug, path) = split(request.uri().path()).ok_or_else(nothing)?;
    let snapshot = core.modules.snapshot(cx).await?;
    let module = snapshot.for_tenant(cx.tenant()?, slug).ok_or_else(nothing)?;
    let upstream = core.backends.upstream(module, &snapshot, &core.traffic).ok_or_else(nothing)?;
    let route = upstream.routes.find(request.method(), path).ok_or_else(nothing)?;
    let held = &cx.caller().permissions;
    if let Some(permission) = &route.permission
        && !held.allow(permission)
    {
        return Err(Error::forbidden(permission));
    }
    let breaker = &upstream.address.breaker;
    let ticket = breaker.enter(Instant::now()).map_err(|wait| {
        Error::new(Slug::CircuitOpen, "The module's back-end failed several times and gets a pause.")
            .retry_after(wait)
    })?;
    let token = token(visit, cx, module, held).await?;
    let timeout = upstream.timeout.min(cx.time_left());
    let uri = headers::target(&upstream.base, path, request.uri().query()).ok_or_else(nothing)?;
    request.extensions_mut().insert(Forward { uri, token, https: visit.origin().https, timeout });
    let answer = upstream.address.link.call(&cx.until(Instant::now() + timeout + GRACE), request).await;
    ticket.end(Instant::now(), outcome(&answer));
    answer
}

/// The module and the path on its back-end. A path that could mean another one on the other side (dot segments, coded
/// slashes) is none: the permission is checked for what the path says here.
fn split(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PREFIX)?;
    let at = rest.find('/')?;
    let (slug, path) = rest.split_at(at);
    let fits = path.split('/').skip(1).all(|segment| {
        let coded = segment.to_ascii_lowercase();
        let plain = coded.replace("%2e", ".");
        !segment.is_empty()
            && plain != "."
            && plain != ".."
            && !segment.contains(['\\', ';'])
            && !["%2f", "%5c", "%00", "%25"].iter().any(|bad| coded.contains(bad))
    });
    fits.then_some((slug, path))
}

/// A token with which the back-end knows the caller. One for each credential, module and revision, used again for a
/// while: signing costs more than the rest of the way.
async fn token(visit: &Visit, cx: &Ctx, module: &ModuleInfo, held: &Permissions) -> Result<Secret> {
    let tokens = &visit.core.backends.tokens;
    let digest = visit.known.get().and_then(|known| known.digest).ok_or_else(Error::unauthorized)?;
    let key = (digest, module.slug.clone(), module.revision);
    if let Some(token) = tokens.get(&key) {
        return Ok(token);
    }
    let permissions =
        module.permissions.iter().filter(|permission| held.allow(permission)).cloned().collect();
    let asked = ModuleTokenRequest { module: module.slug.clone(), name: module.name.clone(), permissions };
    let token = visit.core.iam.module_token(cx, asked).await?;
    tokens.insert(key, token.clone());
    Ok(token)
}

/// What an answer says about the back-end. An error of its own making (500) is an answer: a mistake in one of its
/// routes must not close the others.
fn outcome(answer: &Result<Response>) -> Outcome {
    let of_slug = |slug: Slug| match slug {
        Slug::DependencyUnavailable | Slug::UpstreamFailed | Slug::DeadlineExceeded => Outcome::Failed,
        _ => Outcome::Unknown,
    };
    match answer {
        Err(error) => of_slug(error.slug()),
        Ok(response) => match response.extensions().get::<Failure>() {
            Some(Failure(error)) => of_slug(error.slug()),
            None if matches!(response.status().as_u16(), 502..=504) => Outcome::Failed,
            None => Outcome::Answered,
        },
    }
}

/// Whether a client asks to leave HTTP for another protocol.
pub(crate) fn asks_to_switch(request: &Request) -> bool {
    upgrade::asked(request).is_some()
}

#[cfg(test)]
mod tests;
