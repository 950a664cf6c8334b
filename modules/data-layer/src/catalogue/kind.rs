//! The types of columns that records know.

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// `uuid`
    Uuid,
    /// `text`
    Text,
    /// `varchar(n)` or `char(n)`: at most that many characters.
    Varchar(u32),
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `numeric`, with digits in all and digits after the point when the column limits them.
    Numeric(Option<(u16, i16)>),
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `boolean`
    Bool,
    /// `date`
    Date,
    /// `time` without a zone.
    Time,
    /// `timestamp` without a zone.
    Timestamp,
    /// `timestamptz`
    Timestamptz,
    /// `interval`, on the wire an ISO 8601 duration.
    Interval,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `bytea`, on the wire base64.
    Bytea,
    /// An enum of the module's schema.
    Enum {
        /// The schema of the type.
        schema: String,
        /// The type.
        name: String,
        /// Its values in their order.
        values: Vec<String>,
    },
    /// An array of one of the kinds above.
    Array(Box<ColumnKind>),
    /// Any other type, by its name: shown as Postgres writes it, set as a string, tested only for null.
    Other(String),
}

impl ColumnKind {
    /// The kind of a base type by its name in `pg_type` and the column's type modifier (-1: none).
    pub fn base(type_name: &str, modifier: i32) -> Self {
        match type_name {
            "uuid" => Self::Uuid,
            "text" => Self::Text,
            // The modifier counts a header of four bytes.
            "varchar" | "bpchar" => match u32::try_from(modifier - 4) {
                Ok(length) if modifier >= 4 => Self::Varchar(length),
                _ => Self::Text,
            },
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "numeric" => Self::Numeric(numeric_digits(modifier)),
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "bool" => Self::Bool,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::Timestamptz,
            "interval" => Self::Interval,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "bytea" => Self::Bytea,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The type to cast a bound text to, ready for SQL; none for a kind that values are never compared with.
    pub(crate) fn cast(&self) -> Option<String> {
        Some(match self {
            Self::Uuid => "uuid".to_owned(),
            Self::Text | Self::Varchar(_) => "text".to_owned(),
            Self::Int2 => "int2".to_owned(),
            Self::Int4 => "int4".to_owned(),
            Self::Int8 => "int8".to_owned(),
            Self::Numeric(_) => "numeric".to_owned(),
            Self::Float4 => "float4".to_owned(),
            Self::Float8 => "float8".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time => "time".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Timestamptz => "timestamptz".to_owned(),
            Self::Interval => "interval".to_owned(),
            Self::Enum { schema, name, .. } => {
                format!("{}.{}", crate::query::quote_ident(schema), crate::query::quote_ident(name))
            }
            Self::Json | Self::Jsonb | Self::Bytea | Self::Array(_) | Self::Other(_) => return None,
        })
    }

    /// Whether values have an order that `sort`, `gt` and the like can use.
    pub fn is_ordered(&self) -> bool {
        self.cast().is_some()
    }

    /// Whether this is text that patterns and full-text search apply to.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Varchar(_))
    }

    /// The name for messages.
    pub fn label(&self) -> String {
        match self {
            Self::Uuid => "a UUID".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Varchar(length) => format!("text of at most {length} characters"),
            Self::Int2 | Self::Int4 | Self::Int8 => "a whole number".to_owned(),
            Self::Numeric(_) | Self::Float4 | Self::Float8 => "a number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Date => "a date (YYYY-MM-DD)".to_owned(),
            Self::Time => "a time of day (HH:MM:SS)".to_owned(),
            Self::Timestamp => "a local date and time (YYYY-MM-DDTHH:MM:SS)".to_owned(),
            Self::Timestamptz => "an RFC 3339 date and time".to_owned(),
            Self::Interval => "an ISO 8601 duration".to_owned(),
            Self::Json | Self::Jsonb => "JSON".to_owned(),
            Self::Bytea => "bytes in base64".to_owned(),
            Self::Enum { values, .. } => format!("one of {}", values.join(", ")),
            Self::Array(element) => format!("an array, each element {}", element.label()),
            Self::Other(name) => format!("text that Postgres reads as {name}"),
        }
    }
}

/// Digits in all and after the point from the modifier of a `numeric` column (PostgreSQL, `numeric.c`).
fn numeric_digits(modifier: i32) -> Option<(u16, i16)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let precision = u16::try_from((packed >> 16) & 0xffff).ok()?;
    let scale = i16::try_from(((packed & 0x7ff) ^ 1024) - 1024).ok()?;
    Some((precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_modifiers_give_lengths_and_digits() {
        assert_eq!(ColumnKind::base("varchar", 204), ColumnKind::Varchar(200));
        assert_eq!(ColumnKind::base("varchar", -1), ColumnKind::Text);
        assert_eq!(ColumnKind::base("numeric", ((12 << 16) | 2) + 4), ColumnKind::Numeric(Some((12, 2))));
        assert_eq!(ColumnKind::base("numeric", -1), ColumnKind::Numeric(None));
        assert_eq!(ColumnKind::base("inet", -1), ColumnKind::Other("inet".to_owned()));
    }
}
