use super::Step;
use crate::{
    rpc,
    visit::{Response, Visit},
};

/// One line in the log (target `access`) and one count in the metrics for each answer. The query is left out: it may
/// hold secrets.
#[derive(Clone, Copy)]
pub(crate) struct AccessLog;

impl Step for AccessLog {
    fn leave(self, visit: &Visit, response: Response) -> Response {
        let (status, took) = (rpc::counted(&response), visit.arrived.elapsed());
        match visit.entry() {
            Some(entry) => entry.series.record(status, took),
            None => visit.core.table.unmatched().record(status, took),
        }
        if tracing::enabled!(target: "access", tracing::Level::INFO) {
            let identity = visit.identity();
            let caller = visit.known.get().map(|known| &known.caller);
            tracing::info!(
                target: "access",
                service = visit.entry().map_or("gateway", |entry| entry.operation.service),
                sandbox = %visit.core.sandbox,
                tenant = caller.and_then(|caller| caller.tenant).map(tracing::field::display),
                request_id = %identity.request,
                trace_id = %identity.trace.trace_id_text(),
                actor = caller.map_or("anonymous", |caller| caller.actor.kind()),
                client = visit.origin().address.map(tracing::field::display),
                method = visit.method.as_str(),
                path = visit.uri.path(),
                route = visit.route(),
                status = status.as_u16(),
                ms = took.as_secs_f64() * 1_000.0,
                "answered"
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::{layers::through, tests::gateway};

    #[tokio::test]
    async fn answers_are_counted_by_route() {
        let kernel = gateway().await;
        for path in ["/api/v1/things/1", "/api/v1/things/2", "/nowhere"] {
            let arrival = kernel.found(http::Request::get(path));
            through(AccessLog, arrival, |_| Response::default()).await;
        }
        let arrival = kernel.found(http::Request::get("/api/v1/things/1"));
        let teapot = |_| {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        };
        through(AccessLog, arrival, teapot).await;
        let text = kernel.core.metrics.text(|_| {});
        let route = r#"service="things",method="GET",route="/api/v1/things/{id}""#;
        assert!(
            text.contains(&format!("http_server_requests_total{{{route},status_code=\"200\"}} 2")),
            "{text}"
        );
        assert!(
            text.contains(&format!("http_server_requests_total{{{route},status_code=\"404\"}} 1")),
            "{text}"
        );
        assert!(text.contains("route=\"unmatched\",status_code=\"200\"} 1"), "{text}");
    }
}
