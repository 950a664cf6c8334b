//! What a tenant does with modules.

use kernel::Slug;
use ports::http::{Access, Cx, One, Operation, Page, Path, Query, Result, Routes, State};

use super::{
    Registry,
    wire::{ActiveModuleOut, InstallationOut, UninstallQuery, UninstalledOut},
};

pub(super) fn add(table: Routes<Registry>) -> Routes<Registry> {
    table
        .add(
            Operation::get("/modules/active", "listActiveModules", Access::Authenticated)
                .summary("List the modules that are switched on for the tenant.")
                .description("All of them at once, with what a front-end needs to show them.")
                .lists::<ActiveModuleOut>(),
            active,
        )
        .add(
            Operation::post("/modules/{id}/install", "installModule", Access::Permission("modules.install"))
                .summary("Install a registered module in the tenant.")
                .answer::<InstallationOut>(200)
                .uses("modules")
                .problems(&[Slug::NotFound, Slug::Conflict, Slug::PlanLimitExceeded]),
            install,
        )
        .add(
            Operation::post("/modules/{id}/enable", "enableModule", Access::Permission("modules.configure"))
                .summary("Switch an installed module on.")
                .answer::<InstallationOut>(200)
                .problems(&[Slug::NotFound, Slug::InvalidState, Slug::Conflict]),
            enable,
        )
        .add(
            Operation::post(
                "/modules/{id}/disable",
                "disableModule",
                Access::Permission("modules.configure"),
            )
            .summary("Switch an installed module off; its data stay.")
            .answer::<InstallationOut>(200)
            .problems(&[Slug::NotFound, Slug::InvalidState, Slug::Conflict]),
            disable,
        )
        .add(
            Operation::post(
                "/modules/{id}/uninstall",
                "uninstallModule",
                Access::Permission("modules.uninstall"),
            )
            .summary("Take a module out of the tenant.")
            .description(
                "The tenant's rows stay for the next installation; `purge=true` deletes them, and no others.",
            )
            .query::<UninstallQuery>()
            .answer::<UninstalledOut>(200)
            .problems(&[Slug::NotFound, Slug::InvalidState, Slug::Conflict]),
            uninstall,
        )
}

async fn active(State(registry): State<Registry>, Cx(cx): Cx) -> Result<Page<ActiveModuleOut>> {
    Ok(registry.active(&cx).await?)
}

async fn install(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
) -> Result<One<InstallationOut>> {
    Ok(One::new(registry.install(&cx, &id).await?))
}

async fn enable(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
) -> Result<One<InstallationOut>> {
    Ok(One::new(registry.switch(&cx, &id, true).await?))
}

async fn disable(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
) -> Result<One<InstallationOut>> {
    Ok(One::new(registry.switch(&cx, &id, false).await?))
}

async fn uninstall(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
    Query(query): Query<UninstallQuery>,
) -> Result<One<UninstalledOut>> {
    Ok(One::new(registry.uninstall(&cx, &id, query.purge).await?))
}
