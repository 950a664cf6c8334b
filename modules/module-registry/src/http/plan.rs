//! What a trial tells, on the wire.

use schemars::JsonSchema;
use serde::Serialize;

use crate::sql::{ColumnModel, TableModel};

/// Everything that registering would do. All of it was done once, and taken back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanOut {
    /// The module's short name.
    pub slug: String,
    /// Its full name.
    pub name: String,
    /// The version.
    pub version: String,
    /// `register`, `update`, or `nothing` when this very module is registered.
    pub action: &'static str,
    /// The version that is registered now.
    pub present_version: Option<String>,
    /// Its migrations.
    pub migrations: Vec<PlannedMigration>,
    /// Its tables after all migrations.
    pub tables: Vec<PlannedTable>,
    /// What roles will be able to grant.
    pub permissions: Vec<String>,
    /// Types it will publish.
    pub publishes: Vec<String>,
    /// Types it will hear.
    pub subscribes: Vec<String>,
    /// Its routes, below `/api/v1/m/{slug}`.
    pub routes: Vec<String>,
    /// Its tables with an API, below `/api/v1/data/{slug}`.
    pub models: Vec<String>,
}

/// A migration in a plan.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedMigration {
    /// Its file.
    pub file: String,
    /// How many statements it has.
    pub statements: usize,
    /// Whether it would run; else it ran for an earlier version.
    pub runs: bool,
}

/// A table in a plan.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedTable {
    /// Its name.
    pub name: String,
    /// Its columns; those that the platform adds are not listed.
    pub columns: Vec<PlannedColumn>,
    /// The tables that it refers to.
    pub references: Vec<String>,
}

/// A column in a plan.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether it may be null.
    pub nullable: bool,
}

impl PlannedTable {
    /// A table of the checker.
    pub fn of(table: &TableModel) -> Self {
        let column = |column: &ColumnModel| PlannedColumn {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
            nullable: column.nullable,
        };
        Self {
            name: table.name.clone(),
            columns: table.columns.iter().map(column).collect(),
            references: table.foreign_keys.iter().map(|key| key.references.clone()).collect(),
        }
    }
}
