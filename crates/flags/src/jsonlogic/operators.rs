use std::{collections::BTreeMap, sync::Arc};

use super::{
    Run,
    compare::{equal, less, same},
    node::{Node, Stop, parse_float},
};

type Answer = Result<Node, Stop>;

impl Run {
    /// What an object comes to: an operation if it has one member, itself otherwise.
    pub(super) fn apply(&mut self, rule: &Node, data: &Node) -> Answer {
        self.step()?;
        let Node::Map(members) = rule else { return Err(Stop) };
        let (1, Some((operator, values))) = (members.len(), members.iter().next()) else {
            return Ok(rule.clone());
        };
        self.operation(operator, values, data)
    }

    /// Values with their operations done, one level deep.
    pub(super) fn values(&mut self, values: &Node, data: &Node) -> Answer {
        match values {
            Node::Map(_) => self.apply(values, data),
            Node::List(entries) => {
                let done = entries.iter().map(|entry| match entry {
                    Node::Map(_) => self.apply(entry, data),
                    other => Ok(other.clone()),
                });
                Ok(Node::List(done.collect::<Result<_, _>>()?))
            }
            other => Ok(other.clone()),
        }
    }

    fn operation(&mut self, operator: &str, values: &Node, data: &Node) -> Answer {
        match operator {
            // These look at their parts themselves.
            "and" => self.first(values, data, false),
            "or" => self.first(values, data, true),
            "if" | "?:" => self.condition(values, data),
            "filter" => self.filter(values, data),
            "map" => self.map(values, data),
            "reduce" => self.reduce(values, data),
            "all" => self.all(values, data),
            "none" => self.none(values, data),
            "some" => self.some(values, data),
            "var" => self.var(values, data),
            _ => {
                let values = self.values(values, data)?;
                self.simple(operator, &values, data)
            }
        }
    }

    fn simple(&mut self, operator: &str, values: &Node, data: &Node) -> Answer {
        let truth = |truth: bool| Ok(Node::Bool(truth));
        match operator {
            "==" => truth(pair(values)?.is_some_and(|(a, b)| equal(a, b))),
            "!=" => truth(!pair(values)?.is_some_and(|(a, b)| equal(a, b))),
            "===" => truth(pair(values).ok().flatten().is_some_and(|(a, b)| same(a, b))),
            "!==" => truth(!pair(values).ok().flatten().is_some_and(|(a, b)| same(a, b))),
            "<" => truth(ordered(values, less)?),
            "<=" => truth(ordered(values, |a, b| less(a, b) || equal(a, b))?),
            ">" => truth(ordered(values, |a, b| less(b, a))?),
            ">=" => truth(ordered(values, |a, b| less(b, a) || equal(b, a))?),
            "!" => truth(!first_or_all(values).is_true()),
            "!!" => truth(first_or_all(values).is_true()),
            "in" => truth(super::lists::contains(values)?),
            "merge" => super::lists::merge(values),
            "missing" => self.missing(values, data),
            "missing_some" => self.missing_some(values, data),
            "set" => self.set(values, data),
            "cat" => cat(values),
            "substr" => substr(values),
            "max" => extreme(values, |a, b| b > a),
            "min" => extreme(values, |a, b| a > b),
            "abs" => abs(values),
            "%" => match values.list()? {
                [a, b, ..] => Ok(Node::Number(a.number()? % b.number()?)),
                _ => Err(Stop),
            },
            "+" => sum(values),
            "-" => minus(values),
            "*" => match values {
                Node::List(entries) => {
                    entries.iter().try_fold(1.0, |all, entry| Ok(all * entry.number()?)).map(Node::Number)
                }
                _ => Ok(Node::Number(1.0)),
            },
            "/" => match values {
                Node::List(entries) => fold(entries, |a, b| a / b),
                _ => Ok(Node::Number(0.0)),
            },
            _ => Err(Stop),
        }
    }

    /// `and` and `or`: the first value that decides, else the last.
    fn first(&mut self, values: &Node, data: &Node, wanted: bool) -> Answer {
        let mut last = Node::Null;
        for value in values.list()? {
            last = self.values(value, data)?;
            if last.is_true() == wanted {
                break;
            }
        }
        Ok(last)
    }

    fn condition(&mut self, values: &Node, data: &Node) -> Answer {
        let mut clauses = values.list()?;
        while let [condition, then, rest @ ..] = clauses {
            if self.values(condition, data)?.is_true() {
                return self.clause(then, data);
            }
            clauses = rest;
        }
        match clauses {
            [otherwise] => self.clause(otherwise, data),
            _ => Ok(Node::Null),
        }
    }

    fn clause(&mut self, clause: &Node, data: &Node) -> Answer {
        match self.values(clause, data)? {
            found @ Node::Map(_) => self.apply(&found, data),
            found => Ok(found),
        }
    }

    fn var(&mut self, values: &Node, data: &Node) -> Answer {
        let values = self.values(values, data)?;
        self.find(&values, data)
    }

    /// What a path leads to.
    pub(super) fn find(&mut self, wanted: &Node, data: &Node) -> Answer {
        let wanted = match wanted {
            Node::Map(_) | Node::List(_) => self.values(wanted, data)?,
            other => other.clone(),
        };
        let (path, default) = match &wanted {
            Node::Null if data.is_primitive() => return Ok(data.clone()),
            Node::Null => return Ok(Node::Null),
            Node::Text(path) if path.is_empty() => return Ok(data.clone()),
            Node::Text(path) => (path.to_string(), Node::Null),
            Node::Number(_) => (wanted.to_text()?, Node::Null),
            Node::List(parts) => match &**parts {
                [] => return Ok(data.clone()),
                [Node::Text(path), default] => (path.to_string(), default.clone()),
                [Node::Text(path), ..] => (path.to_string(), Node::Null),
                _ => return Err(Stop),
            },
            Node::Bool(_) | Node::Map(_) if *data == Node::Null => return Ok(Node::Null),
            Node::Bool(_) | Node::Map(_) => return Err(Stop),
        };
        let mut at = data;
        if *at == Node::Null {
            return Ok(default);
        }
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let next = match at {
                Node::Map(members) => members.get(step),
                Node::List(entries) => parse_float(step)
                    .filter(|place| *place > -1.0 && *place < 1e15)
                    .and_then(|place| entries.get(place as usize)),
                _ => None,
            };
            match next {
                Some(found) if *found != Node::Null => at = found,
                _ => return Ok(default),
            }
        }
        Ok(at.clone())
    }

    fn missing(&mut self, values: &Node, data: &Node) -> Answer {
        let one;
        let names = match values {
            Node::Text(_) => {
                one = [values.clone()];
                &one[..]
            }
            other => other.list()?,
        };
        Ok(Node::List(self.not_there(names, data)?.into()))
    }

    fn missing_some(&mut self, values: &Node, data: &Node) -> Answer {
        let [needed, names, ..] = values.list()? else { return Err(Stop) };
        let (needed, names) = (needed.number()?, names.list()?);
        let missing = self.not_there(names, data)?;
        let found = names.len() - missing.len();
        Ok(if needed.trunc() > found as f64 { Node::List(missing.into()) } else { Node::empty() })
    }

    fn not_there(&mut self, names: &[Node], data: &Node) -> Result<Vec<Node>, Stop> {
        let mut missing = Vec::new();
        for name in names {
            self.step()?;
            if self.find(name, data)? == Node::Null {
                missing.push(name.clone());
            }
        }
        Ok(missing)
    }

    fn set(&mut self, values: &Node, data: &Node) -> Answer {
        let Node::List(parts) = values else { return Ok(Node::Null) };
        match &**parts {
            [] => Ok(Node::Null),
            [Node::Map(members), Node::Text(name), value, ..] => {
                let value = self.values(value, data)?;
                let mut members: BTreeMap<Arc<str>, Node> = (**members).clone();
                members.insert(Arc::clone(name), value);
                Ok(Node::Map(Arc::new(members)))
            }
            [object, ..] => Ok(object.clone()),
        }
    }
}

/// The first two of a list; none of a shorter one.
fn pair(values: &Node) -> Result<Option<(&Node, &Node)>, Stop> {
    match values.list()? {
        [a, b, ..] => Ok(Some((a, b))),
        _ => Ok(None),
    }
}

/// Of two, or of three one after the other.
fn ordered(values: &Node, holds: impl Fn(&Node, &Node) -> bool) -> Result<bool, Stop> {
    match values.list()? {
        [a, b, c] => Ok(holds(a, b) && holds(b, c)),
        [a, b, ..] => Ok(holds(a, b)),
        _ => Ok(false),
    }
}

fn first_or_all(values: &Node) -> &Node {
    match values {
        Node::List(entries) => entries.first().unwrap_or(values),
        other => other,
    }
}

fn cat(values: &Node) -> Answer {
    match values {
        Node::Text(_) => Ok(values.clone()),
        Node::List(entries) => match &**entries {
            [one] => Ok(Node::text(&one.to_text()?)),
            many => {
                let text = many.iter().map(Node::to_text).collect::<Result<String, _>>()?;
                Ok(Node::text(text.trim()))
            }
        },
        _ => Err(Stop),
    }
}

fn substr(values: &Node) -> Answer {
    let (text, from, length) = match values.list()? {
        [text, from, length] => (text, from, Some(length)),
        [text, from, ..] => (text, from, None),
        _ => return Err(Stop),
    };
    let text: Vec<char> = text.to_text()?.chars().collect();
    let count = i64::try_from(text.len()).map_err(|_| Stop)?;
    let mut from = from.number()? as i64;
    if from < 0 {
        from = from.saturating_add(count);
    }
    if from < 0 || from > count {
        return Ok(Node::text(&text.iter().collect::<String>()));
    }
    let length = length.map_or(Ok(count), |length| length.number().map(|length| length as i64))?;
    let to = if length < 0 { length.saturating_add(count) } else { from.saturating_add(length) }.min(count);
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let part = range.and_then(|(from, to)| text.get(from..to)).ok_or(Stop)?;
    Ok(Node::text(&part.iter().collect::<String>()))
}

fn extreme(values: &Node, replaces: impl Fn(f64, f64) -> bool) -> Answer {
    let Node::List(entries) = values else { return Ok(Node::Null) };
    let Some((first, rest)) = entries.split_first() else { return Ok(Node::Null) };
    let found = rest.iter().try_fold(first.number()?, |best, entry| {
        let value = entry.number()?;
        Ok(if replaces(best, value) { value } else { best })
    });
    found.map(Node::Number)
}

fn abs(values: &Node) -> Answer {
    match values {
        Node::List(entries) => entries.first().map_or(Ok(0.0), Node::number),
        other => other.number(),
    }
    .map(|value| Node::Number(value.abs()))
}

fn sum(values: &Node) -> Answer {
    match values {
        Node::List(entries) => entries.iter().try_fold(0.0, |all, entry| Ok(all + entry.number()?)),
        other => other.number(),
    }
    .map(Node::Number)
}

fn minus(values: &Node) -> Answer {
    match values {
        Node::List(entries) => match &**entries {
            [one] => Ok(Node::Number(-one.number()?)),
            many => fold(many, |a, b| a - b),
        },
        _ => Ok(Node::Number(0.0)),
    }
}

fn fold(entries: &[Node], step: impl Fn(f64, f64) -> f64) -> Answer {
    let Some((first, rest)) = entries.split_first() else { return Ok(Node::Number(0.0)) };
    rest.iter().try_fold(first.number()?, |all, entry| Ok(step(all, entry.number()?))).map(Node::Number)
}
