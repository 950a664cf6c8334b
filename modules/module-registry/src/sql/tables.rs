//! The rules about tables: what a model table must have, and the tenant in every key.

use super::Findings;
use super::Violation;
use super::allow::{Origin, shown};
use super::model::{Column, ForeignKey, KeyKind, Schema, Table};

/// Reports every table that breaks a rule after all Up sections.
pub(super) fn check(schema: &Schema, found: &mut Findings) {
    violations(schema).into_iter().for_each(|violation| found.add(violation));
}

/// Reports what a Down section broke: rules that held, or were broken in the same way, before its Up.
pub(super) fn check_down(schema: &Schema, earlier: &Schema, found: &mut Findings) {
    let known = violations(earlier);
    for violation in violations(schema) {
        if !known.iter().any(|other| other.rule == violation.rule && other.message == violation.message) {
            found.add(violation);
        }
    }
}

fn violations(schema: &Schema) -> Vec<Violation> {
    let mut all = Vec::new();
    for table in schema.tables.values() {
        let mut rules = Rules { schema, table, all: &mut all };
        rules.id();
        rules.tenant();
        rules.kept_columns();
        rules.keys();
        for key in &table.foreign_keys {
            rules.foreign_key(key);
        }
    }
    all
}

struct Rules<'a> {
    schema: &'a Schema,
    table: &'a Table,
    all: &'a mut Vec<Violation>,
}

impl Rules<'_> {
    fn report(&mut self, origin: &Origin, rule: &'static str, message: String, fix: &str) {
        self.all.push(origin.violation(rule, message, fix));
    }

    fn id(&mut self) {
        const FIX: &str = "Write `id uuid primary key default gen_random_uuid()`";
        let name = shown(&self.table.name);
        match self.table.column("id") {
            Some(column) if column.type_use.is("uuid") && !column.generated => {}
            Some(column) => {
                let message = format!("id of table {name} is {}, not a plain uuid", column.type_use.shown());
                self.report(&column.origin, "id-column", message, FIX);
            }
            None => {
                self.report(&self.table.origin, "id-column", format!("table {name} has no column id"), FIX)
            }
        }
        let primary = self.table.primary_key();
        let primary: Vec<&str> = primary.iter().map(String::as_str).collect();
        if primary != ["id"] && primary != ["tenant_id", "id"] {
            let message = format!("the primary key of table {name} is ({}), not (id)", primary.join(", "));
            let key = self.table.keys.iter().find(|key| key.kind == KeyKind::Primary);
            let origin = key.map_or(&self.table.origin, |key| &key.origin);
            self.report(
                origin,
                "primary-key",
                message,
                "Make id the primary key, or (tenant_id, id); other keys can be UNIQUE (tenant_id, …)",
            );
        }
    }

    fn tenant(&mut self) {
        const FIX: &str = "Write `tenant_id uuid not null`; the kernel fills it";
        let name = shown(&self.table.name);
        let Some(column) = self.table.column("tenant_id") else {
            self.report(
                &self.table.origin,
                "tenant-column",
                format!("table {name} has no column tenant_id"),
                FIX,
            );
            return;
        };
        if !column.type_use.is("uuid") || !column.not_null {
            let message = format!("tenant_id of table {name} is not `uuid not null`");
            self.report(&column.origin, "tenant-column", message, FIX);
        } else if column.has_default || column.generated {
            let message = format!(
                "tenant_id of table {name} has a default or is generated, which could name another tenant"
            );
            self.report(&column.origin, "tenant-column", message, FIX);
        }
    }

    /// Columns that the kernel keeps by trigger, if the module wrote them itself.
    fn kept_columns(&mut self) {
        let kept: [(&str, &str); 4] = [
            ("created_at", "timestamptz"),
            ("updated_at", "timestamptz"),
            ("deleted_at", "timestamptz"),
            ("version", "int4"),
        ];
        for (name, base) in kept {
            let Some(column) = self.table.column(name) else { continue };
            if let Some(fault) = kept_fault(column, base) {
                let shown_type = if base == "int4" { "integer" } else { base };
                let message = format!(
                    "{name} of table {} {fault}, but the kernel keeps it as {shown_type}",
                    shown(&self.table.name)
                );
                self.report(
                    &column.origin,
                    "kernel-column",
                    message,
                    "Leave the column out; it is added at installation",
                );
            }
        }
    }

    fn keys(&mut self) {
        for key in self.table.keys.iter().filter(|key| key.kind != KeyKind::Primary) {
            if key.columns.iter().flatten().any(|column| column == "tenant_id") {
                continue;
            }
            let columns: Vec<&str> =
                key.columns.iter().map(|column| column.as_deref().unwrap_or("expression")).collect();
            let message = format!(
                "UNIQUE ({}) of table {} holds over all tenants, so that one tenant learns the values of another",
                columns.join(", "),
                shown(&self.table.name)
            );
            self.report(
                &key.origin,
                "tenant-in-key",
                message,
                "Begin it with tenant_id: UNIQUE (tenant_id, …)",
            );
        }
    }

    fn foreign_key(&mut self, key: &ForeignKey) {
        let target = self.schema.target_columns(key);
        let pairs = || key.columns.iter().zip(&target);
        let matched = key.columns.len() == target.len()
            && pairs().any(|(own, other)| own == "tenant_id" && other == "tenant_id");
        // tenant_id on one side only would tie a row to another tenant's.
        let crossed = pairs().any(|(own, other)| (own == "tenant_id") != (other == "tenant_id"));
        if matched && !crossed {
            return;
        }
        let message = format!(
            "the foreign key ({}) of table {} to {} lets a row point at another tenant's",
            key.columns.join(", "),
            shown(&self.table.name),
            shown(&key.references)
        );
        let column =
            key.columns.iter().find(|column| *column != "tenant_id").map_or("company_id", String::as_str);
        let fix =
            format!("Write FOREIGN KEY (tenant_id, {column}) REFERENCES {} (tenant_id, id)", key.references);
        self.report(&key.origin, "tenant-in-key", message, &fix);
    }
}

fn kept_fault(column: &Column, base: &str) -> Option<String> {
    if !column.type_use.is(base) {
        return Some(format!("is {}", column.type_use.shown()));
    }
    if column.generated {
        return Some("is generated".into());
    }
    if column.name == "deleted_at" && (column.not_null || column.has_default) {
        return Some("would mark each new row as deleted".into());
    }
    None
}
