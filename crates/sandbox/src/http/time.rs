//! A sandbox's clock, and what is planted in it.

use kernel::Slug;
use ports::http::{Access, Body, Cx, One, Operation, Path, Result, Routes, State};

use super::{Held, addressed, estate, whole};
use crate::{
    clocks::{ClockIn, ClockOut},
    planting::SeedIn,
    seed::SeedReport,
};

pub(super) fn add(routes: Routes<Held>) -> Routes<Held> {
    routes
        .add(
            Operation::get("/sandboxes/{name}/clock", "getSandboxClock", Access::Operator)
                .summary("What a sandbox's clock shows")
                .answer::<ClockOut>(200),
            show,
        )
        .add(
            Operation::post("/sandboxes/{name}/clock", "setSandboxClock", Access::Operator)
                .summary("Put a sandbox's clock forward, stop it or let it run")
                .description(
                    "Tokens, holds, trials, dunning and due jobs follow it. It goes forward only; take a snapshot first to \
                     be able to go back. `{\"mode\":\"set\",\"to\":…}`, `{\"mode\":\"advance\",\"seconds\":…}`, \
                     `{\"mode\":\"freeze\"}`, `{\"mode\":\"follow\"}`.",
                )
                .body::<ClockIn>()
                .example(r#"{"mode":"advance","seconds":86400}"#)
                .answer::<ClockOut>(200),
            set,
        )
        .add(
            Operation::post("/sandboxes/{name}/seed", "seedSandbox", Access::Operator)
                .summary("Plant a seed: tenants, users, modules, records; what is there already stays")
                .body::<SeedIn>()
                .example(r#"{"template":"demo"}"#)
                .answer::<SeedReport>(200)
                .problems(&[Slug::InvalidState, Slug::Conflict]),
            seed,
        )
}

async fn show(State(held): State<Held>, Path(text): Path<String>) -> Result<One<ClockOut>> {
    Ok(One::new(estate(&held)?.clock(&addressed(&text)?).await?))
}

async fn set(
    State(held): State<Held>,
    Cx(cx): Cx,
    Path(text): Path<String>,
    Body(body): Body<ClockIn>,
) -> Result<One<ClockOut>> {
    let (estate, name) = (estate(&held)?, addressed(&text)?);
    Ok(One::new(whole(async move { estate.set_clock(&cx, &name, body).await }).await?))
}

async fn seed(
    State(held): State<Held>,
    Cx(cx): Cx,
    Path(text): Path<String>,
    Body(body): Body<SeedIn>,
) -> Result<One<SeedReport>> {
    let (estate, name) = (estate(&held)?, addressed(&text)?);
    Ok(One::new(whole(async move { estate.seed(&cx, &name, body).await }).await?))
}
