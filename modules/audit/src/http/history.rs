use std::sync::Arc;

use kernel::Slug;
use ports::http::{Access, Cx, Operation, Page, Paging, Path, Query, Result, Routes, State, page_size};

use crate::{Audit, HistoryOut};

pub(super) fn add(routes: Routes<Arc<Audit>>) -> Routes<Arc<Audit>> {
    routes.add(
        // Not `{id}`: what a module tells of need not be named by a UUID.
        Operation::get("/audit/entity/{type}/{key}", "getEntityHistory", Access::Permission("audit.read"))
            .summary("List what happened to a thing, newest first, with what changed each time")
            .query::<Paging>()
            .lists::<HistoryOut>()
            .problems(&[Slug::InvalidCursor]),
        history,
    )
}

async fn history(
    State(audit): State<Arc<Audit>>,
    Cx(cx): Cx,
    Path((entity_type, entity_id)): Path<(String, String)>,
    Query(paging): Query<Paging>,
) -> Result<Page<HistoryOut>> {
    let limit = page_size(paging.limit)?;
    Ok(audit.history(&cx, entity_type, entity_id, limit, paging.cursor.as_deref()).await?)
}
