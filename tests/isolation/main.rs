//! The isolation suite: what one tenant, one sandbox or one role must never learn or change of another.
//!
//! It is made from the operation table of a running kernel, so a new route is in it without anyone adding it, and from
//! Postgres' catalogue, so a new table is, too. Two tenants are planted with data, Alpha and Beta; then Beta tries, over
//! HTTP, over gRPC and in SQL, to reach what is Alpha's. Two guards stand between them: the filter that every statement carries
//! (`kernel.owns`) and row-level security. Each must hold alone; with neither, every table must be seen to be open, or
//! the suite would prove nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests: a panic is a failed test")]

mod crm;
mod crossing;
mod doors;
mod forks;
mod guards;
mod knowledge;
mod messages;
mod modules;
mod planting;
mod references;
mod report;
mod requests;
mod routes;
mod snapshot;
mod stage;
mod tables;

use guards::Guards;
use report::Report;
use snapshot::Snapshot;
use stage::Stage;

/// Everything that is tried against a running kernel. Alpha's data are the same afterwards.
async fn every_attempt(stage: &mut Stage, report: &mut Report) {
    let before = Snapshot::of(stage).await;
    crossing::lists_and_reads(stage, report).await;
    crossing::ids_in_addresses(stage, report).await;
    crossing::ids_in_queries(stage, report).await;
    crossing::cursors(stage, report).await;
    crossing::credentials_in_messages(stage, report).await;
    crossing::hosts(stage, report).await;
    crossing::lists_and_reads(stage, report).await;
    references::ids_in_bodies(stage, report).await;
    references::values_taken_again(stage, report).await;
    before.expect_same(&Snapshot::of(stage).await, report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_tenant_reaches_another() {
    let mut stage = Stage::open(Guards::Both).await;
    let mut report = Report::new("both guards");
    doors::without_a_credential(&stage, &mut report).await;
    doors::with_a_credential_of_another_sandbox(&stage, &mut report).await;
    doors::without_the_permission(&stage, &mut report).await;
    doors::platform_operations_as_a_fresh_owner(&stage, &mut report).await;
    every_attempt(&mut stage, &mut report).await;
    tables::probe(&stage, &mut report).await;
    modules::one_module_two_tenants(&stage, &mut report).await;
    report.finish(&stage);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_level_security_alone_keeps_tenants_apart() {
    let mut stage = Stage::open(Guards::PoliciesAlone).await;
    let mut report = Report::new("row-level security alone");
    every_attempt(&mut stage, &mut report).await;
    tables::probe(&stage, &mut report).await;
    report.finish(&stage);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_applications_filter_alone_keeps_tenants_apart() {
    let mut stage = Stage::open(Guards::FilterAlone).await;
    let mut report = Report::new("the application's filter alone");
    every_attempt(&mut stage, &mut report).await;
    report.finish(&stage);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_neither_guard_every_table_is_open() {
    let mut stage = Stage::open(Guards::Neither).await;
    let mut report = Report::new("neither guard");
    let (all, open) = tables::open_to_another_tenant(&stage).await;
    println!("tables of tenants, all open to another tenant with neither guard:");
    for table in &open {
        println!("  {table}");
    }
    assert_eq!(
        all, open,
        "these stayed shut for a reason that the suite does not know: it would not see them leak"
    );
    crossing::lists_and_reads(&mut stage, &mut report).await;
    crossing::ids_in_addresses(&mut stage, &mut report).await;
    let leaking = report.leaking_routes();
    println!("routes that tell another tenant's data with neither guard: {}", leaking.len());
    for route in &leaking {
        println!("  {route}");
    }
    assert!(!leaking.is_empty(), "nothing leaked with neither guard: the suite does not see leaks");
    stage.close().await;
}
