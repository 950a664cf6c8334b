//! `GET /reports/pipeline`: reading through the kernel's data API.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::http::App;
use crate::pipeline::{Line, Pipeline};
use crate::problem::Problem;

/// Pages of a hundred deals that a report reads at most.
const MAX_PAGES: usize = 100;
/// Less than the manifest's `timeoutMs`.
const DEADLINE: Duration = Duration::from_secs(9);

#[derive(Serialize)]
pub(super) struct PipelineOut {
    stages: Vec<Line>,
    /// False when there were more deals than one report reads.
    complete: bool,
}

/// Sums the caller's deals by stage and currency.
///
/// It shows how a list is followed page by page. For sums alone `POST …/deals/analytics` is one
/// call and reads nothing over the wire.
pub(super) async fn pipeline(State(app): State<App>, caller: Caller) -> Result<Json<PipelineOut>, Problem> {
    caller.needs("crm.reports.read")?;
    let report = tokio::time::timeout(DEADLINE, sum_up(&app, &caller)).await;
    report.map_err(|_| Problem::deadline_exceeded())?.map(Json)
}

async fn sum_up(app: &App, caller: &Caller) -> Result<PipelineOut, Problem> {
    let kernel = app.kernel.on_behalf(caller);
    let mut pipeline = Pipeline::default();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let page = kernel.deals(cursor.as_deref()).await?;
        for deal in page.data {
            pipeline.add(deal)?;
        }
        cursor = page.meta.cursor.filter(|_| page.meta.has_more);
        if cursor.is_none() {
            break;
        }
    }
    Ok(PipelineOut { stages: pipeline.into_lines(), complete: cursor.is_none() })
}
