use std::{ops::ControlFlow, sync::Arc};

use kernel::{Error, Result, TenantId};

use super::{Step, admit};
use crate::{
    front::{
        SandboxByHeader,
        host::{Meaning, authority_of, bare, meaning},
    },
    visit::{Arrival, AskedHost, Response, Visit},
};

/// Finds the tenant that the host names. The credential must agree with it: see the layer that authenticates.
#[derive(Clone, Copy)]
pub(crate) struct Host;

impl Step for Host {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        let authority = authority_of(&arrival.request).map(Arc::<str>::from);
        let by_header = arrival.request.extensions().get::<SandboxByHeader>().is_some();
        admit(asked(&arrival.visit, authority, by_header).await.map(|host| {
            arrival.visit.host.get_or_init(|| host);
        }))
    }
}

async fn asked(visit: &Visit, authority: Option<Arc<str>>, by_header: bool) -> Result<AskedHost> {
    let Some(authority) = authority else { return Ok(AskedHost::default()) };
    let name: Arc<str> = match bare(&authority) {
        Some(name) => name.as_ref().into(),
        None => return Err(Error::not_found("host")),
    };
    // A client that can't set hosts names the sandbox in a header: its host is somebody else's and names no tenant.
    let tenant = if by_header { None } else { tenant_of(visit, &name).await? };
    Ok(AskedHost { authority: Some(authority), name: Some(name), tenant })
}

async fn tenant_of(visit: &Visit, name: &str) -> Result<Option<TenantId>> {
    match meaning(name) {
        Meaning::Own | Meaning::Sandbox(_) => Ok(None),
        Meaning::Tenant { .. } | Meaning::Name => {
            visit.core.domains.tenant_of_host(&visit.asking(), name.to_owned()).await
        }
        Meaning::Nothing => Err(Error::not_found("host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layers::through, tests::gateway};

    #[tokio::test]
    async fn a_host_names_a_tenant_or_none() {
        let kernel = gateway().await;
        for (host, status, tenant) in [
            ("localhost:8080", 200, None),
            ("127.0.0.1", 200, None),
            ("acme.localhost", 200, None),
            ("Blue.acme.localhost.:8443", 200, Some(kernel.stubs.blue)),
            ("nobody.acme.localhost", 404, None),
            ("a.b.c.localhost", 404, None),
            ("user@localhost", 404, None),
        ] {
            let arrival = kernel.arrival(http::Request::get("/").header("host", host));
            let visit = Arc::clone(&arrival.visit);
            let response = through(Host, arrival, |_| Response::default()).await;
            assert_eq!(response.status(), status, "{host}");
            assert_eq!(visit.host.get().and_then(|host| host.tenant), tenant, "{host}");
        }
    }
}
