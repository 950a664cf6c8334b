//! Running a query.
//!
//! The original walks its tree with one operand and one stack of objects for the whole query. Where a path ends at
//! nothing, both keep what an earlier condition left there, and a later one sees it (`o.gone.x eq 1 or n eq 9` then asks
//! for `n` within `o`). The same query must give the same answer, so it is done in the same way here.

use serde_json::Value;

use super::{Chain, Join, Literal, Operator, Term, lower};
use crate::context::Context;

/// What stands on the left of an operator.
#[derive(Debug, Clone, Copy)]
enum Operand<'c> {
    Nil,
    /// Numbers of the context itself are whole if they can be; those within objects are not.
    Int(i64),
    Float(f64),
    Text(&'c str),
    Bool(bool),
    Other,
}

/// Why a query has no answer: it then applies to nobody.
struct NoAnswer;

struct Walk<'c> {
    context: &'c Context,
    left: Operand<'c>,
    stack: Vec<Option<&'c Value>>,
    /// An operator was asked for that its value does not have.
    senseless: bool,
}

pub(super) fn applies(chain: &Chain, context: &Context) -> bool {
    let mut walk = Walk { context, left: Operand::Nil, stack: Vec::new(), senseless: false };
    let answer = walk.chain(chain);
    matches!(answer, Ok(true)) && !walk.senseless
}

impl<'c> Walk<'c> {
    fn chain(&mut self, chain: &Chain) -> Result<bool, NoAnswer> {
        let mut answer = self.term(&chain.first)?;
        for (join, term) in &chain.rest {
            if answer == (*join == Join::And) {
                answer = self.term(term)?;
            }
        }
        Ok(answer)
    }

    fn term(&mut self, term: &Term) -> Result<bool, NoAnswer> {
        match term {
            Term::Group { negated, inside } => Ok(self.chain(inside)? != *negated),
            Term::Present(path) => {
                self.go(path)?;
                Ok(!matches!(self.left, Operand::Nil))
            }
            Term::Compare { path, operator, value } => {
                self.go(path)?;
                Ok(self.compare(*operator, value))
            }
        }
    }

    fn go(&mut self, path: &[Box<str>]) -> Result<(), NoAnswer> {
        let Some((last, before)) = path.split_last() else { return Ok(()) };
        for name in before {
            let found = match self.stack.last() {
                None => self.own(name),
                Some(None) => return Ok(()),
                Some(Some(Value::Object(members))) => members.get(&**name).filter(|value| !value.is_null()),
                Some(Some(_)) => return Err(NoAnswer),
            };
            // What is always ours is no object: a path through it leads nowhere.
            if self.stack.is_empty() && is_ours(name) {
                return Err(NoAnswer);
            }
            self.stack.push(found);
        }
        match self.stack.pop() {
            None => self.left = self.top(last),
            Some(None) => return Ok(()),
            Some(Some(Value::Object(members))) => self.left = operand(members.get(&**last), false),
            Some(Some(_)) => return Err(NoAnswer),
        }
        self.stack.clear();
        Ok(())
    }

    fn own(&self, name: &str) -> Option<&'c Value> {
        self.context.attributes().get(name).filter(|value| !value.is_null())
    }

    fn top(&self, name: &str) -> Operand<'c> {
        match name {
            "key" | "targetingKey" => Operand::Text(self.context.key()),
            "anonymous" => Operand::Bool(self.context.is_anonymous()),
            _ => operand(self.own(name), true),
        }
    }

    fn compare(&mut self, operator: Operator, value: &Literal) -> bool {
        use Operator::{Co, Eq, Ew, Ge, Gt, In, Le, Lt, Ne, Sw};
        let left = self.left;
        let fits = match value {
            Literal::Bool(_) | Literal::Null => matches!(operator, Eq | Ne),
            Literal::Version(_) => !matches!(operator, Co | Sw | Ew | In),
            Literal::Double(_) | Literal::Long(_) | Literal::Longs(_) | Literal::Doubles(_) => {
                !matches!(operator, Co | Sw | Ew)
            }
            Literal::Text(_) | Literal::Texts(_) => true,
        };
        if !fits {
            self.senseless = true;
            return false;
        }
        match value {
            Literal::Null => matches!(left, Operand::Nil) == (operator == Eq),
            Literal::Bool(right) => match left {
                Operand::Bool(left) => (left == *right) == (operator == Eq),
                _ => false,
            },
            Literal::Version(right) => {
                let Operand::Text(text) = left else { return false };
                let Ok(left) = semver::Version::parse(text) else { return false };
                ordered(operator, Some(left.cmp_precedence(right)))
            }
            Literal::Text(right) => {
                let Operand::Text(left) = left else { return false };
                let left = lower(left);
                match operator {
                    Co => left.contains(&**right),
                    Sw => left.starts_with(&**right),
                    Ew => left.ends_with(&**right),
                    Eq | Ne | Gt | Lt | Ge | Le => ordered(operator, Some(left.as_str().cmp(right))),
                    In => false,
                }
            }
            Literal::Long(right) => {
                let left = match left {
                    Operand::Int(left) => left,
                    Operand::Float(left) => cut(left),
                    _ => return false,
                };
                ordered(operator, Some(left.cmp(right)))
            }
            Literal::Double(right) => {
                number(left).is_some_and(|left| ordered(operator, left.partial_cmp(right)))
            }
            Literal::Longs(list) => match left {
                Operand::Int(left) => operator == In && list.contains(&left),
                _ => false,
            },
            Literal::Doubles(list) => number(left).is_some_and(|left| operator == In && list.contains(&left)),
            Literal::Texts(list) => match left {
                Operand::Text(left) => operator == In && list.iter().any(|text| **text == *left),
                _ => false,
            },
        }
    }
}

fn is_ours(name: &str) -> bool {
    matches!(name, "key" | "targetingKey" | "anonymous")
}

fn operand(value: Option<&Value>, of_the_context_itself: bool) -> Operand<'_> {
    match value {
        None | Some(Value::Null) => Operand::Nil,
        Some(Value::Bool(value)) => Operand::Bool(*value),
        Some(Value::String(text)) => Operand::Text(text),
        Some(Value::Number(number)) => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            match of_the_context_itself && float.fract() == 0.0 && float.abs() < TWO_TO_63 {
                true => Operand::Int(cut(float)),
                false => Operand::Float(float),
            }
        }
        Some(Value::Array(_) | Value::Object(_)) => Operand::Other,
    }
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// A float as a whole number, towards zero; what does not fit is the least one, as in Go on common machines.
fn cut(float: f64) -> i64 {
    if float.abs() < TWO_TO_63 { float as i64 } else { i64::MIN }
}

fn number(operand: Operand<'_>) -> Option<f64> {
    match operand {
        Operand::Int(value) => Some(value as f64),
        Operand::Float(value) => Some(value),
        _ => None,
    }
}

fn ordered(operator: Operator, order: Option<std::cmp::Ordering>) -> bool {
    let Some(order) = order else { return operator == Operator::Ne };
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Gt => order.is_gt(),
        Operator::Lt => order.is_lt(),
        Operator::Ge => order.is_ge(),
        Operator::Le => order.is_le(),
        Operator::Co | Operator::Sw | Operator::Ew | Operator::In => false,
    }
}
