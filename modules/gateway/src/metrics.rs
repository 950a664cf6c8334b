//! What is counted, and how Prometheus reads it. One for the process: the gateways of all sandboxes count here.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;
use ports::link::LinkStats;

/// Upper edges of the buckets of times, in milliseconds. The limits that alerts ask about are among them.
const EDGES_MS: [f64; 15] =
    [0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1_000.0, 2_500.0, 10_000.0, 30_000.0];

/// Statuses that are told apart; all others are one.
const STATUSES: [u16; 30] = [
    101, 200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 402, 403, 404, 405, 409, 410, 412, 413, 415,
    422, 428, 429, 431, 500, 501, 502, 503, 504,
];

/// What the method of a gRPC call is counted as; its status is the one that HTTP has for its problem.
pub(crate) const GRPC: &str = "gRPC";

/// Writes further series into an answer of `/metrics`.
pub type Source = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// Service, method and template of a route.
type RouteKey = (&'static str, String, String);

/// All counters of the process.
#[derive(Default)]
pub struct Metrics {
    series: Mutex<BTreeMap<RouteKey, Arc<Series>>>,
    sources: Mutex<Vec<Source>>,
    unshared: AtomicU64,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds something that others count; asked on every reading.
    pub fn add_source(&self, source: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// Counts that what a tenant asked could not be shared with other replicas.
    pub(crate) fn count_unshared(&self) {
        self.unshared.fetch_add(1, Relaxed);
    }

    /// The counters of a route; the same for all sandboxes.
    pub(crate) fn series(&self, service: &'static str, method: &str, route: &str) -> Arc<Series> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(series.entry((service, method.to_owned(), route.to_owned())).or_default())
    }

    /// Everything, in the text format of Prometheus. `more` adds what only the asker knows.
    pub fn text(&self, more: impl FnOnce(&mut Exposition)) -> String {
        let mut out = Exposition::default();
        {
            let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
            for ((service, method, route), counted) in series.iter() {
                counted.write(&mut out, service, method, route);
            }
        }
        out.counter(
            "rate_window_unshared_total",
            "Times that a tenant's requests could not be counted together with those at other replicas.",
            &[],
            self.unshared.load(Relaxed) as f64,
        );
        for source in self.sources.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            source(&mut out);
        }
        more(&mut out);
        out.finish()
    }
}

/// The counters of one route, by status. Many threads write without a lock.
pub(crate) struct Series {
    by_status: [OnceLock<Box<Times>>; STATUSES.len() + 1],
}

impl Default for Series {
    fn default() -> Self {
        Self { by_status: std::array::from_fn(|_| OnceLock::new()) }
    }
}

#[derive(Default)]
struct Times {
    buckets: [AtomicU64; EDGES_MS.len() + 1],
    total_micros: AtomicU64,
}

impl Series {
    /// Counts an answer.
    pub(crate) fn record(&self, status: StatusCode, time: Duration) {
        let place = STATUSES.binary_search(&status.as_u16()).unwrap_or(STATUSES.len());
        let times = self.by_status[place].get_or_init(Box::default);
        let millis = time.as_secs_f64() * 1_000.0;
        times.buckets[EDGES_MS.partition_point(|edge| *edge < millis)].fetch_add(1, Relaxed);
        times.total_micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn write(&self, out: &mut Exposition, service: &str, method: &str, route: &str) {
        let (requests, durations) = match method {
            GRPC => ("grpc_server_requests_total", "grpc_server_request_duration_ms"),
            _ => ("http_server_requests_total", "http_server_request_duration_ms"),
        };
        for (place, times) in self.by_status.iter().enumerate() {
            let Some(times) = times.get() else { continue };
            let status = STATUSES.get(place).map_or_else(|| "other".to_owned(), u16::to_string);
            let labels =
                [("service", service), ("method", method), ("route", route), ("status_code", &status)];
            let counts: Vec<u64> = times.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
            let count = counts.iter().sum::<u64>();
            let total = times.total_micros.load(Relaxed) as f64 / 1_000.0;
            out.counter(requests, "Requests answered.", &labels, count as f64);
            out.histogram(durations, "Time to the head of the answer.", &labels, &EDGES_MS, &counts, total);
        }
    }
}

/// The text format of Prometheus, put together family by family.
#[derive(Default)]
pub struct Exposition(BTreeMap<&'static str, Family>);

struct Family {
    help: &'static str,
    kind: &'static str,
    lines: String,
}

impl Exposition {
    /// A value that only grows.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: f64) {
        self.line(name, help, "counter", name, labels, None, value);
    }

    /// A value that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: f64) {
        self.line(name, help, "gauge", name, labels, None, value);
    }

    /// A distribution; `counts` has one entry more than `edges`, for what lies above.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        edges: &[f64],
        counts: &[u64],
        total: f64,
    ) {
        let mut sum = 0;
        for (at, count) in counts.iter().enumerate() {
            sum += count;
            let edge = edges.get(at).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.line(
                name,
                help,
                "histogram",
                &format!("{name}_bucket"),
                labels,
                Some(("le", &edge)),
                sum as f64,
            );
        }
        self.line(name, help, "histogram", &format!("{name}_sum"), labels, None, total);
        self.line(name, help, "histogram", &format!("{name}_count"), labels, None, sum as f64);
    }

    #[expect(clippy::too_many_arguments, reason = "a line of the format has these parts")]
    fn line(
        &mut self,
        family: &'static str,
        help: &'static str,
        kind: &'static str,
        name: &str,
        labels: &[(&str, &str)],
        last: Option<(&str, &str)>,
        value: f64,
    ) {
        let lines =
            &mut self.0.entry(family).or_insert_with(|| Family { help, kind, lines: String::new() }).lines;
        lines.push_str(name);
        for (at, (label, text)) in labels.iter().copied().chain(last).enumerate() {
            lines.push(if at == 0 { '{' } else { ',' });
            let _ = write!(lines, "{label}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() && last.is_none() { "" } else { "}" };
        let _ = writeln!(lines, "{close} {value}");
    }

    fn finish(self) -> String {
        self.0.into_iter().fold(String::new(), |mut text, (name, family)| {
            let Family { help, kind, lines } = family;
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
            text
        })
    }
}

fn escaped(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains(['\\', '"', '\n']) {
        return text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into();
    }
    text.into()
}

/// Writes how links are doing, for links of the given sandbox.
pub fn link_series(out: &mut Exposition, sandbox: &str, links: &[LinkStats]) {
    for link in links {
        let labels = [("sandbox", sandbox), ("link", link.name.as_str())];
        out.gauge("link_queue_depth", "Calls that wait in front of a link.", &labels, link.queued as f64);
        out.gauge("link_in_flight", "Places of a link that are taken.", &labels, link.in_flight as f64);
        out.counter(
            "link_calls_total",
            "Calls to a link, refused ones included.",
            &labels,
            link.calls as f64,
        );
        out.counter("link_rejected_total", "Calls that a link refused.", &labels, link.rejected as f64);
        out.counter(
            "link_panicked_total",
            "Calls that panicked behind a link.",
            &labels,
            link.panicked as f64,
        );
        out.counter(
            "link_timed_out_total",
            "Calls stopped at their deadline.",
            &labels,
            link.timed_out as f64,
        );
        let (wait, time) = (&link.wait, &link.time);
        out.counter(
            "link_wait_ms_sum",
            "Time waited in front of a link.",
            &labels,
            wait.total_micros / 1_000.0,
        );
        out.counter("link_wait_ms_count", "Calls that got through a link.", &labels, wait.count as f64);
        out.counter(
            "link_time_ms_sum",
            "Time that calls took behind a link.",
            &labels,
            time.total_micros / 1_000.0,
        );
        out.counter("link_time_ms_count", "Calls that ended behind a link.", &labels, time.count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_counted_by_status_with_its_times() {
        let metrics = Metrics::new();
        let series = metrics.series("money", "GET", "/api/v1/wallets/{id}");
        series.record(StatusCode::OK, Duration::from_micros(400));
        series.record(StatusCode::OK, Duration::from_millis(3));
        series.record(StatusCode::IM_A_TEAPOT, Duration::from_secs(60));
        let again = metrics.series("money", "GET", "/api/v1/wallets/{id}");
        again.record(StatusCode::OK, Duration::from_millis(1));
        let text = metrics.text(|out| out.gauge("sandbox_cells", "Cells.", &[("state", "a\"b")], 2.0));
        let labels = r#"{service="money",method="GET",route="/api/v1/wallets/{id}",status_code="200""#;
        for line in [
            format!("http_server_requests_total{labels}}} 3"),
            format!("http_server_request_duration_ms_bucket{labels},le=\"0.5\"}} 1"),
            format!("http_server_request_duration_ms_bucket{labels},le=\"1\"}} 2"),
            format!("http_server_request_duration_ms_bucket{labels},le=\"5\"}} 3"),
            format!("http_server_request_duration_ms_bucket{labels},le=\"+Inf\"}} 3"),
            format!("http_server_request_duration_ms_count{labels}}} 3"),
            "# TYPE http_server_request_duration_ms histogram".to_owned(),
            "sandbox_cells{state=\"a\\\"b\"} 2".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(
            text.contains("status_code=\"other\"")
                && text.matches("# TYPE http_server_requests_total").count() == 1
        );
    }
}
