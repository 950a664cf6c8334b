use semver::Version;

use super::{
    Chain, Join, Literal, Operator, Term,
    lexer::{Token, tokens},
    lower,
};

/// Parentheses within each other, at most; the original's own limit.
const MOST_DEPTH: usize = 64;
/// Entries of a list and conditions of a query, at most; the original's own limits.
const MOST_ENTRIES: usize = 1000;
/// Steps of an attribute's path, at most; the original's own limit.
const MOST_STEPS: usize = 128;

/// Reads a query.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn parse(text: &str) -> Result<Chain, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens: &tokens, next: 0, conditions: 0, depth: 0 };
    while parser.peek() == Some(&Token::Space) {
        parser.next += 1;
    }
    let chain = parser.chain()?;
    while parser.peek() == Some(&Token::Space) {
        parser.next += 1;
    }
    match parser.peek() {
        None => Ok(chain),
        Some(Token::Name(word)) if matches!(word.to_ascii_lowercase().as_str(), "and" | "or") => {
            Err(parser
                .wrong("write and and or in lower case: the original passes over what follows this one"))
        }
        Some(_) => Err(parser.wrong("the query should end here, or go on with one space and `and` or `or`")),
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: &'t [(usize, Token<'t>)],
    next: usize,
    conditions: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token<'t>> {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> Option<&'t Token<'t>> {
        self.tokens.get(self.next + by).map(|(_, token)| token)
    }

    fn take(&mut self) -> Option<&'t Token<'t>> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn wrong(&self, what: &str) -> String {
        match self.tokens.get(self.next) {
            Some((at, _)) => {
                let rest: String = self.text[*at..].chars().take(20).collect();
                format!("{what} (at {}: {rest:?})", at + 1)
            }
            None => format!("{what} (at the end)"),
        }
    }

    fn space(&mut self, between: &str) -> Result<(), String> {
        if self.peek() != Some(&Token::Space) {
            return Err(
                self.wrong(&format!("a space is needed {between}; lines of a query are joined without one"))
            );
        }
        self.next += 1;
        if self.peek() == Some(&Token::Space) {
            return Err(self.wrong("there are two spaces; one parts the words"));
        }
        Ok(())
    }

    fn chain(&mut self) -> Result<Chain, String> {
        let first = self.term()?;
        let mut rest = Vec::new();
        while let (Some(Token::Space), Some(Token::Join(word))) = (self.peek(), self.ahead(1)) {
            self.next += 2;
            let join = if *word == "and" { Join::And } else { Join::Or };
            self.space("behind `and` and `or`")?;
            rest.push((join, self.term()?));
        }
        Ok(Chain { first, rest })
    }

    fn term(&mut self) -> Result<Term, String> {
        let negated = self.peek() == Some(&Token::Not);
        if negated {
            self.next += 1;
            if self.peek() == Some(&Token::Space) {
                self.next += 1;
            }
            if self.peek() != Some(&Token::Open) {
                return Err(self.wrong("`not` stands before parentheses: not (…)"));
            }
        }
        if self.peek() == Some(&Token::Open) {
            return self.group(negated);
        }
        self.conditions += 1;
        if self.conditions > MOST_ENTRIES {
            return Err(format!("a query has at most {MOST_ENTRIES} conditions"));
        }
        let path = self.path()?;
        self.space("behind the attribute")?;
        match self.take() {
            Some(Token::Present) => Ok(Term::Present(path)),
            Some(Token::Operator(word)) => {
                let operator = operator(word);
                self.space("behind the operator")?;
                Ok(Term::Compare { path, operator, value: self.value()? })
            }
            _ => {
                self.next -= 1;
                Err(self.wrong("an operator is needed: eq, ne, gt, lt, ge, le, co, sw, ew, in or pr"))
            }
        }
    }

    fn group(&mut self, negated: bool) -> Result<Term, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(format!("parentheses stand at most {MOST_DEPTH} deep"));
        }
        self.next += 1;
        if self.peek() == Some(&Token::Space) {
            self.next += 1;
        }
        let inside = Box::new(self.chain()?);
        if self.peek() == Some(&Token::Space) {
            self.next += 1;
        }
        if self.take() != Some(&Token::Close) {
            self.next -= 1;
            return Err(self.wrong("a closing parenthesis is needed"));
        }
        self.depth -= 1;
        Ok(Term::Group { negated, inside })
    }

    fn path(&mut self) -> Result<Vec<Box<str>>, String> {
        let mut path = Vec::new();
        loop {
            match self.take() {
                Some(Token::Name(name)) if path.len() < MOST_STEPS => path.push(Box::from(*name)),
                Some(Token::Name(_)) => return Err(format!("a path has at most {MOST_STEPS} steps")),
                _ => {
                    self.next -= 1;
                    return Err(self.wrong(
                        "the name of an attribute is needed: a letter, then letters, digits, `-`, `_` and `:`; words \
                         of the language can't be names",
                    ));
                }
            }
            if self.peek() != Some(&Token::Dot) {
                return Ok(path);
            }
            self.next += 1;
        }
    }

    fn value(&mut self) -> Result<Literal, String> {
        let literal = match self.take() {
            Some(Token::Bool(value)) => Literal::Bool(*value),
            Some(Token::Null) => Literal::Null,
            Some(Token::Text(text)) => Literal::Text(lower(text).into()),
            Some(Token::Version(text)) => Version::parse(text).map(Literal::Version).map_err(|error| {
                self.next -= 1;
                self.wrong(&format!("no semantic version: {error}"))
            })?,
            Some(Token::Double(text)) => Literal::Double(self.double(text)?),
            Some(Token::Int(text)) => Literal::Long(self.long(text, "")?),
            Some(Token::Minus) => match self.take() {
                Some(Token::Int(text)) => Literal::Long(self.long(text, "-")?),
                _ => {
                    self.next -= 1;
                    return Err(self.wrong("a number is needed behind the minus"));
                }
            },
            Some(Token::ListOpen) => return self.list(),
            _ => {
                self.next -= 1;
                return Err(self.wrong(
                    "a value is needed: a \"text\", a number, a version like 1.2.3, true, false, null or a [list]",
                ));
            }
        };
        Ok(literal)
    }

    fn long(&self, text: &str, sign: &str) -> Result<i64, String> {
        format!("{sign}{text}").parse().map_err(|_| format!("{sign}{text} does not fit into 64 bits"))
    }

    fn double(&self, text: &str) -> Result<f64, String> {
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
        value.ok_or_else(|| format!("{text} is too large a number"))
    }

    fn list(&mut self) -> Result<Literal, String> {
        let mut list = match self.peek() {
            Some(Token::Text(_)) => Literal::Texts(Vec::new()),
            Some(Token::Double(_)) => Literal::Doubles(Vec::new()),
            Some(Token::Int(_)) => Literal::Longs(Vec::new()),
            _ => {
                return Err(self.wrong(
                    "a list has texts, or whole numbers of 0 and above, or numbers with a point; at least one",
                ));
            }
        };
        let mut length = 0;
        loop {
            length += 1;
            if length > MOST_ENTRIES {
                return Err(format!("a list has at most {MOST_ENTRIES} entries"));
            }
            match (&mut list, self.take()) {
                (Literal::Texts(texts), Some(Token::Text(text))) => texts.push(Box::from(*text)),
                (Literal::Doubles(doubles), Some(Token::Double(text))) => doubles.push(self.double(text)?),
                (Literal::Longs(longs), Some(Token::Int(text))) => longs.push(self.long(text, "")?),
                _ => {
                    self.next -= 1;
                    return Err(
                        self.wrong("all entries of a list are of one kind, with a comma between them")
                    );
                }
            }
            match self.take() {
                Some(Token::Comma) => {}
                Some(Token::ListClose) => return Ok(list),
                _ => {
                    self.next -= 1;
                    return Err(self.wrong("a comma or ] is needed, without a space before it"));
                }
            }
        }
    }
}

fn operator(word: &str) -> Operator {
    match word.to_ascii_lowercase().as_str() {
        "eq" | "==" => Operator::Eq,
        "ne" | "!=" => Operator::Ne,
        "gt" | ">" => Operator::Gt,
        "lt" | "<" => Operator::Lt,
        "ge" | ">=" => Operator::Ge,
        "le" | "<=" => Operator::Le,
        "co" => Operator::Co,
        "sw" => Operator::Sw,
        "ew" => Operator::Ew,
        _ => Operator::In,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_original_would_guess_at_is_refused_with_the_place() {
        for (text, words) in [
            ("", "name of an attribute"),
            ("n", "a space is needed behind the attribute"),
            ("n eq", "a space is needed behind the operator"),
            ("n eq ", "a value is needed"),
            ("n  eq 1", "two spaces"),
            ("n eq 1 AND m eq 2", "lower case"),
            ("n eq 1and m eq 2", "should end here"),
            ("n eq 1 and", "a space is needed behind `and`"),
            ("not n eq 1", "not (…)"),
            ("(n eq 1", "closing parenthesis"),
            ("n eq 1)", "should end here"),
            ("n eq 'a'", "double quotes"),
            ("n eq \"a", "closing quote"),
            ("n eq \"\\x\"", "backslash"),
            ("n eq 5e+1", "means nothing"),
            ("n eq 05", "should end here"),
            ("n eq True", "a value is needed"),
            ("n in []", "at least one"),
            ("n in [-1]", "at least one"),
            ("n in [1,\"a\"]", "one kind"),
            ("n in [1 ,2]", "without a space"),
            ("n eq 99999999999999999999", "64 bits"),
            ("in eq 1", "can't be names"),
            ("a.eq eq 1", "can't be names"),
            ("n\teq 1", "tab"),
            ("n = 1", "no operator"),
            ("n like 1", "an operator is needed"),
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.contains(words), "{text}: {told}");
        }
        assert!(parse("name eq 1 oops").unwrap_err().ends_with("(at 11: \"oops\")"));
    }

    #[test]
    fn everything_has_a_limit() {
        assert!(parse(&format!("{}a eq 1{}", "(".repeat(64), ")".repeat(64))).is_ok());
        assert!(parse(&format!("{}a eq 1{}", "(".repeat(65), ")".repeat(65))).unwrap_err().contains("64"));
        assert!(parse(&vec!["a eq 1"; 1001].join(" or ")).unwrap_err().contains("1000"));
        assert!(parse(&format!("a in [{}]", vec!["1"; 1001].join(","))).unwrap_err().contains("1000"));
        assert!(parse(&format!("{} pr", vec!["a"; 129].join("."))).unwrap_err().contains("128"));
    }
}
