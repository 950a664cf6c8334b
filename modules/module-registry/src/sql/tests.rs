//! The allow-list seen by an attacker, by an honest author and by chance.

mod files;
mod friendly;
mod hostile;
mod hostile_expressions;
mod mutation;
mod shapes;

use super::{Checked, Violation, check};

/// A table to attack; ten lines, so that the statement under test stands on line 12.
const GROUND: &str = "-- +goose Up
create type stage as enum ('lead', 'won');
create table deals (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null,
  title text not null,
  amount numeric(12,2),
  stage stage not null default 'lead',
  tags text[],
  extra jsonb
);
";

/// Checks one file of the module `crm`.
fn one(content: &str) -> Result<Checked, Vec<Violation>> {
    let outcome = check("crm", &[("00001_first.sql".to_owned(), content.to_owned())]);
    let stopped =
        outcome.as_ref().is_err_and(|list| list.iter().any(|violation| violation.rule == "unexamined"));
    assert!(!stopped, "the checker panicked on {content}");
    outcome
}

/// Checks statements after [`GROUND`].
fn after_ground(sql: &str) -> Result<Checked, Vec<Violation>> {
    one(&format!("{GROUND}{sql}\n"))
}
