use std::ops::ControlFlow;

use super::{Step, admit_within};
use crate::{
    credentials::Known,
    visit::{Arrival, Response},
    windows::{Class, Windows},
};

/// Counts a request of a tenant in the window of its plan. Strangers and the operator are of no tenant.
#[derive(Clone, Copy)]
pub(crate) struct TenantWindow;

impl Step for TenantWindow {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        let visit = &arrival.visit;
        let Some((known, tenant)) = visit.known.get().and_then(|known| Some((known, known.caller.tenant?)))
        else {
            return ControlFlow::Continue(());
        };
        let Some(taken) = Windows::take(&visit.core, tenant, || class_of(known)) else {
            return ControlFlow::Continue(());
        };
        admit_within(taken, &visit.of_tenant, |limit| {
            format!(
                "Too many requests of your tenant: its plan takes {limit} at once, and more as time goes on."
            )
        })
    }
}

/// Whoever may hand out roles administers the tenant.
fn class_of(known: &Known) -> Class {
    match known.caller.permissions.allow("roles.assign") {
        true => Class::Admins,
        false => Class::Members,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::tests::{Kernel, gateway, json};

    /// The status of a read, and what its head says is left of how much.
    async fn read(kernel: &Kernel, token: &str) -> (u16, String, String) {
        let request =
            http::Request::get("/api/v1/things/1").header("authorization", format!("Bearer {token}"));
        let response = kernel.send(request, "").await;
        let told =
            |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (response.status().as_u16(), told("ratelimit-remaining"), told("ratelimit-limit"))
    }

    #[tokio::test]
    async fn a_tenant_that_asks_more_than_its_plan_allows_is_429() {
        let kernel = gateway().await;
        {
            let limits = &mut kernel.stubs.standing.lock().unwrap().plan.limits;
            (limits.rps, limits.burst) = (Some(1), Some(100));
        }
        let begun = Instant::now();
        while read(&kernel, "reader").await.2 != "100" {
            assert!(begun.elapsed() < Duration::from_secs(5), "the plan is never learnt");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut last = read(&kernel, "reader").await;
        while last.0 == 200 {
            last = read(&kernel, "reader").await;
        }
        assert_eq!(last, (429, "0".to_owned(), "100".to_owned()));
        let request = http::Request::get("/api/v1/things/1").header("authorization", "Bearer reader");
        let refused = kernel.send(request, "").await;
        let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=200).contains(&wait), "{wait}");
        let problem = json(refused).await;
        assert!(problem["type"].as_str().unwrap().ends_with("/problems/rate-limited"), "{problem}");
        assert_eq!(read(&kernel, "red").await.0, 200, "another tenant");
        assert_eq!(read(&kernel, "ok_right").await.0, 403, "the operator is of none");
    }
}
