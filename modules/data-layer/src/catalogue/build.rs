//! From rows of `pg_catalog` to a [`Catalogue`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use serde::Deserialize;

use super::{
    AUTOMATIC_COLUMNS, Catalogue, Check, Column, ColumnKind, ColumnPair, Model, Relation, RelationKind,
    Unique,
};

/// Everything the builder needs, as plain rows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CatalogueRows {
    /// The ordinary tables of the schema.
    pub tables: Vec<TableRow>,
    /// Their columns, in the order of their position.
    pub columns: Vec<ColumnRow>,
    /// Their primary keys, unique constraints, foreign keys and checks.
    pub constraints: Vec<ConstraintRow>,
}

/// One table.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TableRow {
    /// Its name.
    pub table: String,
    /// `obj_description` of it.
    pub comment: Option<String>,
}

/// One column; of an array the type is that of the elements, of a domain that of its base.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ColumnRow {
    /// The table it belongs to.
    pub table: String,
    /// Its name.
    pub column: String,
    /// The schema of the (element's) type.
    pub type_schema: String,
    /// `typname` of the (element's) type.
    pub type_name: String,
    /// `atttypmod`, -1 where there is none.
    pub modifier: i32,
    /// Whether the column is an array of that type.
    pub is_array: bool,
    /// The labels in order when the type is an enum, else empty.
    pub enum_values: Vec<String>,
    /// `attnotnull`
    pub not_null: bool,
    /// Whether it has a default, or is an identity column.
    pub has_default: bool,
    /// Whether it is generated, or an identity that is always Postgres' own.
    pub generated: bool,
    /// `col_description` of it.
    pub comment: Option<String>,
}

/// What a constraint row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    /// A primary key or a unique constraint or index.
    Unique,
    /// A foreign key.
    Foreign,
    /// A check.
    Check,
}

/// One constraint.
#[derive(Clone, Debug, Deserialize)]
pub struct ConstraintRow {
    /// The table it stands on.
    pub table: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ConstraintKind,
    /// Its columns in order.
    pub columns: Vec<String>,
    /// Of a foreign key the table it refers to, when that is in the same schema.
    pub target_table: Option<String>,
    /// Of a foreign key the columns it refers to, in the order of `columns`.
    pub target_columns: Vec<String>,
}

/// The manifest's rules for the fields of one model.
#[derive(Clone, Debug, Default)]
pub struct FieldRules {
    /// Columns no client sees.
    pub hidden: BTreeSet<String>,
    /// Columns no client sets.
    pub read_only: BTreeSet<String>,
}

/// A table that cannot serve as a model, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The table.
    pub table: String,
    /// What it lacks.
    pub reason: String,
}

impl Catalogue {
    /// Makes the catalogue of one module. `rules` are the manifest's, by model.
    ///
    /// Tables without the columns that every record needs are left out and named in the second part of the answer.
    pub fn build(
        module: &str,
        schema: &str,
        rows: CatalogueRows,
        rules: &BTreeMap<String, FieldRules>,
    ) -> (Self, Vec<Unusable>) {
        let mut models = BTreeMap::new();
        let mut unusable = Vec::new();
        let mut columns: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        for row in rows.columns {
            columns.entry(row.table.clone()).or_default().push(column(row));
        }
        for row in rows.tables {
            let columns = columns.remove(&row.table).unwrap_or_default();
            if let Err(reason) = fit_for_records(&columns) {
                unusable.push(Unusable { table: row.table, reason });
                continue;
            }
            let rules = rules.get(&row.table).cloned().unwrap_or_default();
            let model = Model {
                name: row.table.clone(),
                schema: schema.to_owned(),
                table: row.table.clone(),
                comment: row.comment,
                columns,
                uniques: Vec::new(),
                checks: Vec::new(),
                relations: Vec::new(),
                // `id` stays visible: it is the record's address, and lists are ordered by it.
                hidden: rules.hidden.into_iter().filter(|name| name != "id").collect(),
                read_only: rules.read_only,
                plain_read: OnceLock::new(),
            };
            models.insert(row.table, model);
        }
        for row in &rows.constraints {
            let Some(model) = models.get_mut(&row.table) else { continue };
            let (name, columns) = (row.name.clone(), row.columns.clone());
            match row.kind {
                ConstraintKind::Unique => model.uniques.push(Unique { name, columns }),
                ConstraintKind::Check => model.checks.push(Check { name, columns }),
                ConstraintKind::Foreign => {}
            }
        }
        relate(&mut models, &rows.constraints);
        (Self { module: module.to_owned(), schema: schema.to_owned(), models }, unusable)
    }
}

fn column(row: ColumnRow) -> Column {
    let bpchar = row.type_name == "bpchar";
    let element = if row.enum_values.is_empty() {
        ColumnKind::base(&row.type_name, row.modifier)
    } else {
        ColumnKind::Enum { schema: row.type_schema, name: row.type_name, values: row.enum_values }
    };
    let kind = match (row.is_array, element) {
        (false, element) => element,
        (true, ColumnKind::Other(name)) => ColumnKind::Other(format!("{name}[]")),
        // No reading of their own on the wire, or no comparison with other text.
        (true, ColumnKind::Bytea) => ColumnKind::Other("bytea[]".to_owned()),
        (true, ColumnKind::Varchar(_)) if bpchar => ColumnKind::Other("bpchar[]".to_owned()),
        (true, element) => ColumnKind::Array(Box::new(element)),
    };
    Column {
        name: row.column,
        kind,
        nullable: !row.not_null,
        has_default: row.has_default,
        generated: row.generated,
        comment: row.comment,
    }
}

/// Whether a table has the automatic columns, each of the type the kernel's triggers rely on.
fn fit_for_records(columns: &[Column]) -> Result<(), String> {
    for name in AUTOMATIC_COLUMNS {
        let Some(column) = columns.iter().find(|column| column.name == name) else {
            return Err(format!("column {name} is missing"));
        };
        let fits = match name {
            "id" | "tenant_id" => column.kind == ColumnKind::Uuid && !column.nullable,
            "version" => matches!(column.kind, ColumnKind::Int4 | ColumnKind::Int8),
            _ => column.kind == ColumnKind::Timestamptz,
        };
        if !fits {
            return Err(format!("column {name} has the wrong type or may be null"));
        }
    }
    Ok(())
}

/// Adds the relations: every to-one first, so that to-many names can yield to nothing but columns.
fn relate(models: &mut BTreeMap<String, Model>, constraints: &[ConstraintRow]) {
    let mut keys: Vec<(&ConstraintRow, &str, Vec<ColumnPair>)> = constraints
        .iter()
        .filter_map(|row| {
            let target = row.target_table.as_deref()?;
            if row.kind != ConstraintKind::Foreign
                || !models.contains_key(&row.table)
                || !models.contains_key(target)
            {
                return None;
            }
            let pairs = tenant_pairs(row)?;
            Some((row, target, pairs))
        })
        .collect();
    // The catalogue's order is not promised; names must not depend on it.
    keys.sort_by(|a, b| (&a.0.table, &a.0.name).cmp(&(&b.0.table, &b.0.name)));

    let mut reverse = Vec::new();
    for (row, target, pairs) in keys {
        let Some(model) = models.get_mut(&row.table) else { continue };
        let mut names = Vec::new();
        if let [pair] = pairs.as_slice() {
            names.extend(pair.here.strip_suffix("_id").filter(|stem| !stem.is_empty()));
        }
        names.extend([target, row.name.as_str()]);
        let Some(name) = free_name(model, &names) else { continue };
        let here = pairs.iter().map(|pair| ColumnPair { here: pair.there.clone(), there: pair.here.clone() });
        reverse.push((target.to_owned(), row.table.clone(), name.clone(), here.collect(), row.name.clone()));
        model.relations.push(Relation {
            name,
            kind: RelationKind::ToOne,
            target: target.to_owned(),
            pairs,
            constraint: row.name.clone(),
        });
    }
    let mut ways: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (target, table, ..) in &reverse {
        *ways.entry((target.clone(), table.clone())).or_default() += 1;
    }
    for (target, table, to_one, pairs, constraint) in reverse {
        let several = ways.get(&(target.clone(), table.clone())).is_some_and(|count| *count > 1);
        let Some(model) = models.get_mut(&target) else { continue };
        let by = format!("{table}_by_{to_one}");
        // With two foreign keys from one table the bare name would be a riddle.
        let names: Vec<&str> = if several { vec![&by] } else { vec![&table, &by] };
        let Some(name) = free_name(model, &names) else { continue };
        model.relations.push(Relation { name, kind: RelationKind::ToMany, target: table, pairs, constraint });
    }
}

/// The pairs of a foreign key besides the tenant's; none unless it compares `tenant_id` with `tenant_id`.
fn tenant_pairs(row: &ConstraintRow) -> Option<Vec<ColumnPair>> {
    if row.columns.len() != row.target_columns.len() {
        return None;
    }
    let (tenant, rest): (Vec<_>, Vec<_>) = row
        .columns
        .iter()
        .zip(&row.target_columns)
        .partition(|(here, there)| *here == "tenant_id" && *there == "tenant_id");
    let pairs: Vec<ColumnPair> = rest
        .into_iter()
        .map(|(here, there)| ColumnPair { here: here.clone(), there: there.clone() })
        .collect();
    (tenant.len() == 1 && !pairs.is_empty()).then_some(pairs)
}

/// The first name that no column and no relation of the model has yet.
fn free_name(model: &Model, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find(|name| model.column(name).is_none() && model.relation(name).is_none())
        .map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::sample;

    #[test]
    fn relations_come_from_foreign_keys_in_both_directions() {
        let crm = sample::crm();
        let contacts = crm.model("contacts").unwrap();
        let company = contacts.relation("company").unwrap();
        assert_eq!((company.kind, company.target.as_str()), (RelationKind::ToOne, "companies"));
        assert_eq!(company.pairs, [ColumnPair { here: "company_id".into(), there: "id".into() }]);
        let back = crm.model("companies").unwrap().relation("contacts").unwrap();
        assert_eq!((back.kind, back.target.as_str()), (RelationKind::ToMany, "contacts"));
        assert_eq!(back.pairs, [ColumnPair { here: "id".into(), there: "company_id".into() }]);
    }

    #[test]
    fn two_foreign_keys_from_one_table_give_two_named_ways_back() {
        let crm = sample::crm();
        let contacts = crm.model("contacts").unwrap();
        let names: Vec<&str> = contacts.relations.iter().map(|relation| relation.name.as_str()).collect();
        assert_eq!(names, ["company", "deals_by_contact", "deals_by_referrer"]);
    }

    #[test]
    fn a_foreign_key_without_the_tenant_is_no_relation() {
        let mut rows = sample::crm_rows();
        for row in rows.constraints.iter_mut().filter(|row| row.kind == ConstraintKind::Foreign) {
            row.columns.retain(|column| column != "tenant_id");
            row.target_columns.retain(|column| column != "tenant_id");
        }
        let (crm, _) = Catalogue::build("crm", "module_crm", rows, &BTreeMap::new());
        assert!(crm.models.values().all(|model| model.relations.is_empty()));
    }

    #[test]
    fn a_table_without_automatic_columns_is_left_out_and_named() {
        let mut rows = sample::crm_rows();
        rows.columns.retain(|row| !(row.table == "deals" && row.column == "version"));
        let (crm, unusable) = Catalogue::build("crm", "module_crm", rows, &BTreeMap::new());
        assert!(crm.model("deals").is_none());
        assert_eq!(
            unusable,
            [Unusable { table: "deals".into(), reason: "column version is missing".into() }]
        );
        assert!(crm.model("companies").unwrap().relation("deals").is_none());
    }

    #[test]
    fn a_broken_constraint_names_its_visible_fields() {
        let crm = sample::crm();
        let contacts = crm.model("contacts").unwrap();
        assert_eq!(contacts.constrained_columns("contacts_email_key"), ["email"]);
        assert_eq!(contacts.constrained_columns("contacts_company_fk"), ["company_id"]);
        assert!(contacts.constrained_columns("nobody").is_empty());
    }

    #[test]
    fn the_id_is_always_visible() {
        let mut rules = BTreeMap::new();
        rules.insert(
            "contacts".to_owned(),
            FieldRules { hidden: ["id".to_owned()].into(), ..FieldRules::default() },
        );
        let (crm, _) = Catalogue::build("crm", "module_crm", sample::crm_rows(), &rules);
        let contacts = crm.model("contacts").unwrap();
        assert!(contacts.visible("id").is_some());
    }
}
