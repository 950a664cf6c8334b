//! Modules of the sandbox.

use axum::{extract::DefaultBodyLimit, handler::Handler};
use kernel::Slug;
use ports::http::{
    Access, Body, Created, Cx, NoContent, One, Operation, Page, Paging, Path, Query, Result, Routes, State,
};

use super::{
    Registry,
    plan::PlanOut,
    wire::{BundleIn, ModuleOut, RegistrationOut, RegistrationsQuery, UnregisterQuery, VersionOut},
};
use crate::Bundle;

/// Most bytes of a module: manifest and migrations.
const BUNDLE_LIMIT: usize = 5_000_000;

const REGISTER: Access = Access::Platform("modules.register");
const LIST: Access = Access::Permission("modules.list");

const REFUSALS: &[Slug] = &[
    Slug::ModuleRejected,
    Slug::AlreadyExists,
    Slug::Conflict,
    Slug::PayloadTooLarge,
    Slug::DependencyUnavailable,
    Slug::DeadlineExceeded,
];

const EXAMPLE: &str = r#"{
  "manifest": {
    "name": "@example/notes", "version": "1.0.0", "kernelSdkVersion": ">=0.1.0",
    "permissions": ["notes.notes.read", "notes.notes.write", "notes.notes.delete"],
    "dataApi": { "models": [{ "name": "notes", "autoApi": true }] }
  },
  "migrations": [{
    "file": "00001_notes.sql",
    "sql": "-- +goose Up\ncreate table notes (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, text text not null);\n-- +goose Down\ndrop table notes;\n"
  }]
}"#;

/// An operation that takes a whole module.
fn takes_a_module(operation: Operation) -> Operation {
    Operation { body_limit: BUNDLE_LIMIT, ..operation.body::<BundleIn>().example(EXAMPLE).problems(REFUSALS) }
}

pub(super) fn add(table: Routes<Registry>) -> Routes<Registry> {
    table
        .add(
            Operation::get("/modules", "listModules", LIST)
                .summary("List the modules of the sandbox.")
                .description("By name, with whether the caller's tenant has installed them.")
                .query::<Paging>()
                .lists::<ModuleOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            takes_a_module(Operation::post("/modules", "registerModule", REGISTER))
                .summary("Register a module.")
                .description(
                    "Checks manifest, dependencies and SQL, runs the migrations in the module's own schema, puts its \
                     tables under row-level security and makes its permissions and routes known, all in one \
                     transaction. Whatever fails, nothing remains; `errors` names file and line.",
                )
                .answer::<ModuleOut>(201),
            register.layer(DefaultBodyLimit::max(BUNDLE_LIMIT)),
        )
        .add(
            takes_a_module(Operation::post("/modules/validate", "validateModule", REGISTER).harmless())
                .summary("Try a module without keeping anything.")
                .description("Does everything that registering or updating would do, takes it back, and tells what it was.")
                .answer::<PlanOut>(200),
            validate.layer(DefaultBodyLimit::max(BUNDLE_LIMIT)),
        )
        .add(
            Operation::get("/modules/registrations", "listModuleRegistrations", REGISTER)
                .summary("List the last tries to register or update modules.")
                .query::<RegistrationsQuery>()
                .lists::<RegistrationOut>()
                .problems(&[Slug::InvalidCursor]),
            registrations,
        )
        .add(
            Operation::get("/modules/{id}", "getModule", LIST)
                .summary("Get a module, by short name or id.")
                .answer::<ModuleOut>(200)
                .problems(&[Slug::NotFound]),
            get,
        )
        .add(
            takes_a_module(Operation::patch("/modules/{id}", "updateModule", REGISTER))
                .summary("Update a module.")
                .description(
                    "To a version that is not lower. Only migrations that have not run are run; the others must be \
                     unchanged.",
                )
                .answer::<ModuleOut>(200),
            update.layer(DefaultBodyLimit::max(BUNDLE_LIMIT)),
        )
        .add(
            Operation::delete("/modules/{id}", "unregisterModule", REGISTER)
                .summary("Take a module out of the sandbox.")
                .description(
                    "Its data are kept for 30 days, in which registering it again brings them back; `purge=true` \
                     deletes them at once, of all tenants.",
                )
                .query::<UnregisterQuery>()
                .problems(&[Slug::NotFound, Slug::Conflict]),
            unregister,
        )
        .add(
            Operation::get("/modules/{id}/versions", "listModuleVersions", LIST)
                .summary("List the versions of a module that were registered.")
                .query::<Paging>()
                .lists::<VersionOut>()
                .problems(&[Slug::NotFound, Slug::InvalidCursor]),
            versions,
        )
}

impl From<BundleIn> for Bundle {
    fn from(body: BundleIn) -> Self {
        let migrations =
            body.migrations.into_iter().map(|migration| (migration.file, migration.sql)).collect();
        Self { manifest: body.manifest, migrations, backend_url: body.backend_url }
    }
}

async fn list(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Query(paging): Query<Paging>,
) -> Result<Page<ModuleOut>> {
    Ok(registry.list(&cx, paging).await?)
}

async fn register(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Body(body): Body<BundleIn>,
) -> Result<Created<ModuleOut>> {
    Ok(Created(registry.register(&cx, body.into()).await?))
}

async fn validate(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Body(body): Body<BundleIn>,
) -> Result<One<PlanOut>> {
    Ok(One::new(registry.validate(&cx, body.into()).await?))
}

async fn registrations(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Query(query): Query<RegistrationsQuery>,
) -> Result<Page<RegistrationOut>> {
    Ok(registry.registrations(&cx, query).await?)
}

async fn get(State(registry): State<Registry>, Cx(cx): Cx, Path(id): Path<String>) -> Result<One<ModuleOut>> {
    Ok(One::new(registry.get(&cx, &id).await?))
}

async fn update(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
    Body(body): Body<BundleIn>,
) -> Result<One<ModuleOut>> {
    Ok(One::new(registry.update(&cx, id, body.into()).await?))
}

async fn unregister(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
    Query(query): Query<UnregisterQuery>,
) -> Result<NoContent> {
    registry.unregister(&cx, &id, query.purge, query.force).await?;
    Ok(NoContent)
}

async fn versions(
    State(registry): State<Registry>,
    Cx(cx): Cx,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Page<VersionOut>> {
    Ok(registry.versions(&cx, &id, paging).await?)
}
