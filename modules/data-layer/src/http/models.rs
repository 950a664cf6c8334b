use std::sync::Arc;

use ports::http::{Cx, One, Page, Path, Result, State};
use serde_json::Value;

use crate::{
    DataLayer,
    service::{ModelOut, Place},
};

pub(super) async fn list(State(data): State<Arc<DataLayer>>, Cx(cx): Cx) -> Result<Page<ModelOut>> {
    Ok(Page::whole(data.models(&cx).await?))
}

pub(super) async fn schema(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model)): Path<(String, String)>,
) -> Result<One<Value>> {
    Ok(One::new(data.schema(&cx, &Place { module, model }).await?))
}
