//! Checked conditions: references into the catalogue and values in normal form, no text of the request's own.

use kernel::FieldCode;

use super::value::{self, Misfit};
use super::{text, value::from_text};
use crate::catalogue::{Column, ColumnKind, Model, Relation};

/// What a record must fulfil.
#[derive(Clone, Debug)]
pub(super) enum Condition<'a> {
    All(Vec<Condition<'a>>),
    Any(Vec<Condition<'a>>),
    /// Everything for which the inner condition is not true, null included.
    Not(Box<Condition<'a>>),
    Test(Test<'a>),
}

/// One column against one value, at the end of to-one relations.
#[derive(Clone, Debug)]
pub(super) struct Test<'a> {
    pub hops: Vec<Hop<'a>>,
    pub column: &'a Column,
    pub check: Check,
}

/// A step along a to-one relation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop<'a> {
    pub relation: &'a Relation,
    pub target: &'a Model,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Compare(Comparison, String),
    Like { pattern: String, any_case: bool },
    In(Vec<String>),
    Null(bool),
    True(bool),
    ContainsJson(String),
    ContainsElements(Vec<String>),
    Search(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    pub fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

const OPERATORS: &str = "eq, neq, gt, gte, lt, lte, like, ilike, in, is, contains, fts, each also after not.";

/// Reads `op.value` for a column. With `quotes`, as in groups, a single value may stand in double quotes.
pub(super) fn check(kind: &ColumnKind, test: &str, quotes: bool) -> Result<(Check, bool), Misfit> {
    let (negated, test) = test.strip_prefix("not.").map_or((false, test), |rest| (true, rest));
    let bad = |message: String| Misfit { code: FieldCode::InvalidFormat, message };
    let Some((operator, operand)) = test.split_once('.') else {
        return Err(bad(format!("A filter is op.value; op is one of {OPERATORS}.")));
    };
    let refused = || Misfit {
        code: FieldCode::NotAllowed,
        message: format!("The operator {} does not apply to {}.", text::shown(operator), kind.label()),
    };
    let one = || {
        let value = if quotes { text::unquote(operand) } else { Some(operand.to_owned()) };
        value.ok_or_else(|| bad("The closing double quote of the value is missing or misplaced.".to_owned()))
    };
    let compare = |comparison| {
        let ordered = kind.is_ordered() && *kind != ColumnKind::Bool;
        if !(ordered || (comparison == Comparison::Equal && *kind == ColumnKind::Bool)) {
            return Err(refused());
        }
        Ok(Check::Compare(comparison, from_text(kind, &one()?)?))
    };
    let like = |any_case| {
        if !kind.is_text() {
            return Err(refused());
        }
        let pattern =
            pattern(&one()?).ok_or_else(|| bad("A pattern must not end with a lone \\.".to_owned()))?;
        Ok(Check::Like { pattern, any_case })
    };
    let check = match operator {
        "eq" => compare(Comparison::Equal),
        "neq" => return compare(Comparison::Equal).map(|check| (check, !negated)),
        "gt" => compare(Comparison::Greater),
        "gte" => compare(Comparison::GreaterOrEqual),
        "lt" => compare(Comparison::Less),
        "lte" => compare(Comparison::LessOrEqual),
        "like" => like(false),
        "ilike" => like(true),
        "in" if kind.cast().is_some() => list(kind, operand).map(Check::In),
        "is" => match (operand, kind) {
            ("null", _) => Ok(Check::Null(true)),
            ("not_null", _) => Ok(Check::Null(false)),
            ("true", ColumnKind::Bool) => Ok(Check::True(true)),
            ("false", ColumnKind::Bool) => Ok(Check::True(false)),
            ("true" | "false", _) => Err(refused()),
            _ => Err(bad("After is. comes null, not_null, true or false.".to_owned())),
        },
        "contains" => match kind {
            ColumnKind::Json | ColumnKind::Jsonb => from_text(kind, &one()?).map(Check::ContainsJson),
            ColumnKind::Array(element) if element.cast().is_some() => {
                list(element, operand).map(Check::ContainsElements)
            }
            _ => Err(refused()),
        },
        "fts" if kind.is_text() => one().map(Check::Search),
        "in" | "fts" => Err(refused()),
        _ => Err(bad(format!("There is no operator {}; there are {OPERATORS}.", text::shown(operator)))),
    }?;
    Ok((check, negated))
}

/// `(a,"b,c")`, each of the given kind.
fn list(kind: &ColumnKind, operand: &str) -> Result<Vec<String>, Misfit> {
    let items = text::inside(operand).filter(|inner| !inner.is_empty()).and_then(text::split_list);
    let values: Option<Vec<String>> = items.and_then(|items| items.into_iter().map(text::unquote).collect());
    let Some(values) = values else {
        let message =
            "A list is (a,b), at least one value; values with commas or parentheses in double quotes.";
        return Err(Misfit { code: FieldCode::InvalidFormat, message: message.to_owned() });
    };
    values.iter().map(|item| value::from_text(kind, item)).collect()
}

/// `*` as well as `%` stands for any text; `\` takes either literally. None when the last `\` escapes nothing.
fn pattern(operand: &str) -> Option<String> {
    let mut pattern = String::with_capacity(operand.len());
    let mut chars = operand.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => pattern.push('%'),
            '\\' => pattern.extend(['\\', chars.next()?]),
            other => pattern.push(other),
        }
    }
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &ColumnKind, test: &str) -> Result<(Check, bool), FieldCode> {
        check(kind, test, false).map_err(|misfit| misfit.code)
    }

    #[test]
    fn values_keep_their_dots() {
        let equal = |value: &str| Check::Compare(Comparison::Equal, value.to_owned());
        assert_eq!(read(&ColumnKind::Text, "eq.a.b.c").unwrap(), (equal("a.b.c"), false));
        assert_eq!(read(&ColumnKind::Text, "eq.").unwrap(), (equal(""), false));
        assert_eq!(read(&ColumnKind::Text, "not.neq.x").unwrap(), (equal("x"), false));
    }

    #[test]
    fn quotes_are_read_in_groups_only() {
        let kind = ColumnKind::Text;
        assert_eq!(
            check(&kind, r#"eq."a,b""#, true).ok().unwrap().0,
            Check::Compare(Comparison::Equal, "a,b".into())
        );
        assert_eq!(read(&kind, r#"eq."a""#).unwrap().0, Check::Compare(Comparison::Equal, "\"a\"".into()));
    }

    #[test]
    fn lists_hold_at_least_one_value_of_the_type() {
        let read_in = |test| read(&ColumnKind::Int4, test);
        assert_eq!(read_in("in.(1,2)").unwrap().0, Check::In(vec!["1".into(), "2".into()]));
        for wrong in ["in.()", "in.1,2", "in.(1,x)", "in.(1,)", "in.(1", "in.(\"1)"] {
            assert_eq!(read_in(wrong), Err(FieldCode::InvalidFormat), "{wrong}");
        }
    }

    #[test]
    fn patterns_take_stars_and_escapes() {
        let like = |pattern: &str| Check::Like { pattern: pattern.into(), any_case: true };
        assert_eq!(read(&ColumnKind::Text, "ilike.a*b%").unwrap().0, like("a%b%"));
        assert_eq!(read(&ColumnKind::Text, r"ilike.50\%\*").unwrap().0, like(r"50\%\*"));
        assert_eq!(read(&ColumnKind::Text, r"ilike.a\"), Err(FieldCode::InvalidFormat));
    }

    #[test]
    fn an_operator_must_suit_its_column() {
        for (kind, test) in [
            (ColumnKind::Bool, "gt.true"),
            (ColumnKind::Int4, "like.1*"),
            (ColumnKind::Jsonb, "eq.{}"),
            (ColumnKind::Text, "contains.x"),
            (ColumnKind::Text, "is.true"),
            (ColumnKind::Uuid, "fts.x"),
            (ColumnKind::Other("inet".into()), "eq.1"),
            (ColumnKind::Bytea, "in.(x)"),
        ] {
            assert_eq!(read(&kind, test), Err(FieldCode::NotAllowed), "{test}");
        }
        for wrong in ["", "eq", "equals.1", "not.1", "is.maybe", "EQ.1"] {
            assert_eq!(read(&ColumnKind::Int4, wrong), Err(FieldCode::InvalidFormat), "{wrong}");
        }
    }
}
