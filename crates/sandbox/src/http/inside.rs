//! A sandbox's clock, what is planted in it, and whether it may speak outward.

use kernel::Slug;
use ports::http::{Access, Body, Cx, One, Operation, Path, Result, Routes, State};

use super::{Held, addressed, estate, whole};
use crate::{
    clocks::{ClockIn, ClockOut},
    outward::Outward,
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
        .add(
            Operation::get("/sandboxes/{name}/allow-outbound", "getSandboxOutbound", Access::Operator)
                .summary("Whether a sandbox may speak to the world outside")
                .answer::<Outward>(200),
            outward,
        )
        .add(
            Operation::post("/sandboxes/{name}/allow-outbound", "allowSandboxOutbound", Access::Operator)
                .summary("Let a sandbox speak to the world outside, or keep it from it")
                .description(
                    "A fork, and what is made from a snapshot, may not: its mail stays in its outbox and calls to third \
                     parties are refused.",
                )
                .body::<Outward>()
                .example(r#"{"allowed":true}"#)
                .answer::<Outward>(200),
            allow_outbound,
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

async fn outward(State(held): State<Held>, Path(text): Path<String>) -> Result<One<Outward>> {
    Ok(One::new(estate(&held)?.outward(&addressed(&text)?).await?))
}

async fn allow_outbound(
    State(held): State<Held>,
    Cx(cx): Cx,
    Path(text): Path<String>,
    Body(body): Body<Outward>,
) -> Result<One<Outward>> {
    let (estate, name) = (estate(&held)?, addressed(&text)?);
    Ok(One::new(whole(async move { estate.allow_outbound(&cx, &name, body).await }).await?))
}
