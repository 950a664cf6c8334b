use std::ops::ControlFlow;

use http::HeaderMap;
use kernel::{Error, Result, Slug};
use ports::http::Access;

use super::{Step, admit};
use crate::{
    credentials::Known,
    pages::METRICS_ID,
    visit::{Arrival, Response, Visit},
};

/// Holds the caller against the access rule of the operation.
#[derive(Clone, Copy)]
pub(crate) struct Permission;

impl Step for Permission {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        admit(check(&arrival.visit, arrival.request.headers()))
    }
}

fn check(visit: &Visit, headers: &HeaderMap) -> Result<()> {
    let operation = &visit.operation()?.operation;
    let known = visit.known.get().ok_or_else(Error::unauthorized)?;
    if operation.id == METRICS_ID && from_this_machine(visit, headers) {
        return Ok(());
    }
    let permission = visit.matched().and_then(|matched| matched.permission.as_deref());
    allow(known, &operation.access, permission)
}

/// The rule itself. `from_path` is the permission that the path makes, for [`Access::PathPermission`].
fn allow(known: &Known, access: &Access, from_path: Option<&str>) -> Result<()> {
    if *access == Access::Public {
        return Ok(());
    }
    if known.is_stranger() {
        return Err(Error::unauthorized());
    }
    let granted = |permission: &str| match known.caller.permissions.allow(permission) {
        true => Ok(()),
        false => Err(Error::forbidden(permission)),
    };
    match access {
        Access::Public => Ok(()),
        Access::Authenticated => of_a_tenant(known),
        Access::Permission(permission) => of_a_tenant(known).and_then(|()| granted(permission)),
        Access::PathPermission(template) => {
            of_a_tenant(known).and_then(|()| granted(from_path.unwrap_or(template)))
        }
        Access::Platform(permission) => {
            // By name: what belongs to the platform is covered by no wildcard, whatever it is called.
            let named = || known.caller.permissions.iter().any(|grant| grant == *permission);
            if known.is_operator() || (known.of_platform && named()) {
                Ok(())
            } else {
                Err(Error::forbidden(permission))
            }
        }
        Access::OperatorOr(_) | Access::Operator if known.is_operator() => Ok(()),
        Access::OperatorOr(permission) => of_a_tenant(known).and_then(|()| granted(permission)),
        Access::Operator => {
            Err(Error::new(Slug::Forbidden, "Only the operator of this installation may do this."))
        }
    }
}

fn of_a_tenant(known: &Known) -> Result<()> {
    if known.caller.tenant.is_some() {
        return Ok(());
    }
    Err(Error::new(
        Slug::Forbidden,
        "This belongs to a tenant and the operator is of none; use a token or key of the tenant.",
    ))
}

/// Whether a program of this machine asks, with nobody in between. A proxy on the machine gives itself away.
fn from_this_machine(visit: &Visit, headers: &HeaderMap) -> bool {
    let forwarded =
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "via"];
    visit.peer.is_some_and(|peer| peer.is_loopback())
        && !forwarded.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::{Actor, ApiKeyId, Caller, Permissions, TenantId};

    use super::*;
    use crate::{layers::through, tests::gateway};

    fn caller(grants: &[&'static str], of_platform: bool) -> Known {
        let caller = Caller {
            tenant: Some(TenantId::new()),
            actor: Actor::Key(ApiKeyId::new()),
            permissions: Arc::new(Permissions::new(grants.iter().copied())),
        };
        Known { caller, of_platform, expires_at: None, digest: None }
    }

    fn status(known: &Known, access: &Access) -> u16 {
        allow(known, access, Some("crm.deals.read"))
            .map_or_else(|error| error.slug().status().as_u16(), |()| 200)
    }

    #[test]
    fn every_rule_is_kept() {
        let (stranger, operator) = (Known::stranger(), Known::operator());
        let (owner, reader) = (caller(&["*"], false), caller(&["wallets.read", "crm.*"], false));
        let keeper = caller(&["plans.write", "modules.register"], true);
        let rules = [
            (Access::Public, [200, 200, 200, 200, 200]),
            (Access::Authenticated, [401, 403, 200, 200, 200]),
            (Access::Permission("wallets.read"), [401, 403, 200, 200, 403]),
            (Access::Permission("wallets.write"), [401, 403, 200, 403, 403]),
            (Access::PathPermission("{module}.{model}.read"), [401, 403, 200, 200, 403]),
            (Access::Platform("modules.register"), [401, 200, 403, 403, 200]),
            (Access::Platform("plans.write"), [401, 200, 403, 403, 200]),
            (Access::OperatorOr("wallets.read"), [401, 200, 200, 200, 403]),
            (Access::OperatorOr("wallets.write"), [401, 200, 200, 403, 403]),
            (Access::Operator, [401, 200, 403, 403, 403]),
        ];
        for (access, expected) in rules {
            let got = [&stranger, &operator, &owner, &reader, &keeper].map(|known| status(known, &access));
            assert_eq!(got, expected, "{access:?}");
        }
    }

    #[test]
    fn a_platform_permission_needs_the_platforms_tenant() {
        let elsewhere = caller(&["modules.register"], false);
        assert_eq!(status(&elsewhere, &Access::Platform("modules.register")), 403);
        let owner_of_the_platform = caller(&["*"], true);
        assert_eq!(
            status(&owner_of_the_platform, &Access::Platform("plans.write")),
            403,
            "a wildcard is not enough"
        );
    }

    #[tokio::test]
    async fn metrics_are_for_the_operator_and_this_machine() {
        let kernel = gateway().await;
        let asked = async |peer: &str, header: Option<&str>| {
            let mut request = http::Request::get("/metrics");
            if let Some(header) = header {
                request = request.header(header, "127.0.0.1");
            }
            let mut arrival = kernel.found(request);
            Arc::get_mut(&mut arrival.visit).unwrap().peer = Some(peer.parse().unwrap());
            arrival.visit.known.get_or_init(|| Arc::new(Known::stranger()));
            through(Permission, arrival, |_| Response::default()).await.status().as_u16()
        };
        assert_eq!(asked("127.0.0.1", None).await, 200);
        assert_eq!(asked("::1", None).await, 200);
        assert_eq!(asked("192.0.2.1", None).await, 401);
        assert_eq!(asked("127.0.0.1", Some("x-forwarded-for")).await, 401, "a proxy stands in between");
    }
}
