//! The types a module may use.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, TypeName, a_const};

use super::allow::{Inspector, Scope, shown, strings};

/// Name in the catalogue and name that people write.
const BUILTIN: &[(&str, &str)] = &[
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("numeric", "numeric"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("text", "text"),
    ("varchar", "varchar"),
    ("bpchar", "char"),
    ("uuid", "uuid"),
    ("date", "date"),
    ("time", "time"),
    ("timetz", "time with time zone"),
    ("timestamp", "timestamp"),
    ("timestamptz", "timestamptz"),
    ("interval", "interval"),
    ("json", "json"),
    ("jsonb", "jsonb"),
    ("bytea", "bytea"),
    ("inet", "inet"),
    ("cidr", "cidr"),
    ("macaddr", "macaddr"),
    ("bit", "bit"),
    ("varbit", "bit varying"),
    ("tsvector", "tsvector"),
    ("tsquery", "tsquery"),
    ("int4range", "int4range"),
    ("int8range", "int8range"),
    ("numrange", "numrange"),
    ("daterange", "daterange"),
    ("tsrange", "tsrange"),
    ("tstzrange", "tstzrange"),
    ("point", "point"),
];

/// Types that name objects of the catalogue, so that a cast to them asks whether the object exists.
const REG_TYPES: &[&str] = &[
    "regclass",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regtype",
    "regrole",
    "regnamespace",
    "regconfig",
    "regdictionary",
    "regcollation",
];

const SERIAL_TYPES: &[&str] = &["serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"];

/// Why a sequence is refused, wherever it hides.
pub(super) const SEQUENCE_MESSAGE: &str =
    "a sequence is shared by all tenants and tells each how much the others write";
/// What to use instead of a sequence.
pub(super) const SEQUENCE_FIX: &str =
    "Use uuid for id; number documents per tenant with a counter row of the tenant";

/// A type as a column uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypeUse {
    /// Name in the catalogue, such as `int4`, or of the module's enum.
    pub(super) base: String,
    /// Length or precision, in the order written.
    pub(super) modifiers: Vec<i32>,
    pub(super) array: bool,
}

impl TypeUse {
    /// Whether it is this plain type: no array, any modifier.
    pub(super) fn is(&self, base: &str) -> bool {
        self.base == base && !self.array
    }

    /// As people write it: `numeric(10,2)`, `text[]`.
    pub(super) fn shown(&self) -> String {
        let plain =
            BUILTIN.iter().find(|(name, _)| *name == self.base).map_or(self.base.as_str(), |(_, name)| name);
        let mut out = plain.to_owned();
        if !self.modifiers.is_empty() && self.base != "interval" {
            let list: Vec<String> = self.modifiers.iter().map(i32::to_string).collect();
            out.push_str(&format!("({})", list.join(",")));
        }
        if self.array {
            out.push_str("[]");
        }
        out
    }
}

/// Whether a table or enum of this name would hide a type of Postgres.
pub(super) fn is_builtin(name: &str) -> bool {
    const MORE: &[&str] = &[
        "xml", "money", "name", "oid", "char", "record", "void", "unknown", "box", "circle", "line", "lseg",
        "path", "polygon", "jsonpath", "macaddr8",
    ];
    BUILTIN.iter().any(|(base, _)| *base == name) || MORE.contains(&name)
}

pub(super) fn is_reg_type(name: &str) -> bool {
    REG_TYPES.contains(&name)
}

/// What a type name says, without judging it.
pub(super) fn describe(type_name: &TypeName) -> TypeUse {
    let base = strings(&type_name.names).last().copied().unwrap_or_default().to_owned();
    let modifiers = type_name.typmods.iter().filter_map(integer).collect();
    TypeUse { base, modifiers, array: !type_name.array_bounds.is_empty() }
}

/// The type of a column that names none.
pub(super) fn unknown() -> TypeUse {
    TypeUse { base: String::new(), modifiers: Vec::new(), array: false }
}

fn integer(node: &Node) -> Option<i32> {
    match &node.node {
        Some(NodeEnum::Integer(number)) => Some(number.ival),
        Some(NodeEnum::AConst(constant)) => match &constant.val {
            Some(a_const::Val::Ival(number)) if !constant.isnull => Some(number.ival),
            _ => None,
        },
        _ => None,
    }
}

impl Inspector<'_> {
    /// A type in a column or a cast: one of the list, or an enum of the module; arrays of those.
    pub(super) fn type_name(&mut self, type_name: Option<&TypeName>, scope: Scope) {
        let Some(type_name) = type_name else {
            self.refuse("type", "a type is missing", "Name a type");
            return;
        };
        let TypeName { names, type_oid, setof, pct_type, typmods, typemod: _, array_bounds, location } =
            type_name;
        self.at(*location);
        let parts = strings(names);
        if parts.len() != names.len() || *type_oid != 0 || *setof || *pct_type {
            self.refuse("type", "SETOF and %TYPE are not allowed", "Name a type");
            return;
        }
        if typmods.iter().chain(array_bounds).any(|modifier| integer(modifier).is_none()) {
            self.refuse(
                "type",
                "a type takes only whole numbers between its brackets",
                "Write for example numeric(12,2)",
            );
        }
        match parts.as_slice() {
            [name] if SERIAL_TYPES.contains(name) => {
                self.refuse("sequence", format!("{name}: {SEQUENCE_MESSAGE}"), SEQUENCE_FIX)
            }
            [name] | ["pg_catalog", name] if is_reg_type(name) => self.refuse(
                "reg-type",
                format!("{name} looks objects up in the system catalogue"),
                "Remove the cast; to_tsvector('english', …) needs none",
            ),
            [name] | ["pg_catalog", name] if BUILTIN.iter().any(|(base, _)| base == name) => {}
            [name] if self.schema.enums.contains_key(*name) => {}
            [own, name] if *own == self.schema.name && self.schema.enums.contains_key(*name) => {}
            [schema, name] if *schema != "pg_catalog" && *schema != self.schema.name => {
                self.qualifier("", schema, name)
            }
            [catalog, schema, name] => self.qualifier(catalog, schema, name),
            _ => {
                let name = shown(parts.last().copied().unwrap_or_default());
                let what = if scope == Scope::Definition { "column" } else { "statement" };
                self.refuse("type", format!("{name} is not a type a {what} may use"), "Use text, boolean, numbers, uuid, dates and times, json, bytea, inet, ranges, tsvector, an enum of the module, or arrays of these");
            }
        }
    }
}
