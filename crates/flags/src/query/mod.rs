//! The query language of targeting rules (nikunjy/rules): `attribute operator value`, joined by `and` and `or` from
//! left to right, with `not (…)` and parentheses.
//!
//! What the original's parser would guess at, or pass over in silence (it reads `a eq 1 AND b eq 2` as `a eq 1`), is
//! refused here: a rule that is taken gives the same answer there and here.

mod lexer;
mod parser;
mod run;

use semver::Version;

use crate::context::Context;

/// A query, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Query(Chain);

/// Terms joined from left to right.
#[derive(Debug, Clone)]
struct Chain {
    first: Term,
    rest: Vec<(Join, Term)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    And,
    Or,
}

#[derive(Debug, Clone)]
enum Term {
    /// `( … )`, `not ( … )`.
    Group { negated: bool, inside: Box<Chain> },
    /// `attribute pr`.
    Present(Vec<Box<str>>),
    /// `attribute operator value`.
    Compare { path: Vec<Box<str>>, operator: Operator, value: Literal },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Co,
    Sw,
    Ew,
    In,
}

#[derive(Debug, Clone)]
enum Literal {
    Bool(bool),
    Null,
    Version(Version),
    /// Lower case: texts are compared in it.
    Text(Box<str>),
    Double(f64),
    Long(i64),
    Longs(Vec<i64>),
    Doubles(Vec<f64>),
    Texts(Vec<Box<str>>),
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parser::parse(text).map(Self)
    }

    /// Whether it applies. A query that asks something senseless of what it finds (`age gt null`) applies to nobody.
    pub(crate) fn applies(&self, context: &Context) -> bool {
        run::applies(&self.0, context)
    }
}

/// Lower case as Go has it: each character by itself.
fn lower(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            // The one character whose lower case is two in Rust and one in Go.
            'İ' => 'i',
            c => c.to_lowercase().next().unwrap_or(c),
        })
        .collect()
}
