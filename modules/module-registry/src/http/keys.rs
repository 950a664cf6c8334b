//! Module keys of a tenant.

use kernel::Slug;
use ports::http::{
    Access, Created, Cx, NoContent, Operation, Page, Paging, Path, Query, Result, Routes, State,
};
use uuid::Uuid;

use super::{
    Registry,
    wire::{ModuleKeyOut, NewModuleKeyOut},
};

const CONFIGURE: Access = Access::Permission("modules.configure");

pub(super) fn add(table: Routes<Registry>) -> Routes<Registry> {
    table
        .add(
            Operation::post("/modules/{id}/keys", "createModuleKey", CONFIGURE)
                .summary("Make a key with which the module works on its own behalf in the tenant.")
                .description(
                    "It grants exactly the manifest's permissions, and is shown this once. Keys that are there already \
                     end an hour later.",
                )
                .answer::<NewModuleKeyOut>(201)
                .problems(&[Slug::NotFound, Slug::InvalidState]),
            create,
        )
        .add(
            Operation::get("/modules/{id}/keys", "listModuleKeys", CONFIGURE)
                .summary("List the module's keys that are good now.")
                .query::<Paging>()
                .lists::<ModuleKeyOut>()
                .problems(&[Slug::NotFound, Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::delete("/modules/{id}/keys/{keyId}", "revokeModuleKey", CONFIGURE)
                .summary("End a module's key at once.")
                .problems(&[Slug::NotFound]),
            revoke,
        )
}

async fn create(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
) -> Result<Created<NewModuleKeyOut>> {
    Ok(Created(registry.create_key(&cx, &id).await?))
}

async fn list(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Page<ModuleKeyOut>> {
    Ok(registry.list_keys(&cx, &id, paging).await?)
}

async fn revoke(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path((id, key)): Path<(String, Uuid)>,
) -> Result<NoContent> {
    registry.revoke_key(&cx, &id, key).await?;
    Ok(NoContent)
}
