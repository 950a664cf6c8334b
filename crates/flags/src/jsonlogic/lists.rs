use std::sync::Arc;

use super::{
    Run,
    node::{Node, Stop},
};

type Answer = Result<Node, Stop>;

impl Run {
    /// The list that an operation on lists is about; null for what is neither a list nor an operation.
    fn subject(&mut self, parts: &[Node], data: &Node) -> Answer {
        match parts.first().ok_or(Stop)? {
            list @ Node::List(_) => Ok(list.clone()),
            rule @ Node::Map(_) => self.apply(rule, data),
            _ => Ok(Node::Null),
        }
    }

    /// Logic with the variables filled in that can be. What is filled in is logic from then on, as in the original.
    fn solved(&mut self, logic: &Node, data: &Node) -> Answer {
        self.step()?;
        match logic {
            Node::Map(members) => {
                let mut solved = std::collections::BTreeMap::new();
                for (name, value) in members.iter() {
                    if &**name != "var" {
                        let value = self.solved(value, data)?;
                        solved.insert(Arc::clone(name), value);
                        continue;
                    }
                    let own = matches!(value, Node::Text(path) if path.is_empty() || path.starts_with('.'));
                    let found = if own { Node::Null } else { self.find(value, data)? };
                    if found != Node::Null {
                        return Ok(found);
                    }
                    solved.insert(Arc::clone(name), value.clone());
                }
                Ok(Node::Map(Arc::new(solved)))
            }
            Node::List(entries) => {
                let solved = entries.iter().map(|entry| self.solved(entry, data));
                Ok(Node::List(solved.collect::<Result<_, _>>()?))
            }
            other => Ok(other.clone()),
        }
    }

    pub(super) fn filter(&mut self, values: &Node, data: &Node) -> Answer {
        let parts = values.list()?;
        let [_, logic, ..] = parts else { return Ok(Node::empty()) };
        let subject = self.subject(parts, data)?;
        if subject == Node::Null {
            return Ok(Node::empty());
        }
        let (entries, logic) = (subject.list()?, self.solved(logic, data)?);
        let mut kept = Vec::new();
        for entry in entries {
            self.step()?;
            if self.values(&logic, entry)?.is_true() {
                kept.push(entry.clone());
            }
        }
        Ok(Node::List(kept.into()))
    }

    pub(super) fn map(&mut self, values: &Node, data: &Node) -> Answer {
        let parts = values.list()?;
        let [_, logic, ..] = parts else { return Ok(Node::empty()) };
        let subject = self.subject(parts, data)?;
        if subject == Node::Null {
            return Ok(Node::empty());
        }
        let done = subject.list()?.iter().map(|entry| {
            self.step()?;
            self.values(logic, entry)
        });
        Ok(Node::List(done.collect::<Result<_, _>>()?))
    }

    pub(super) fn reduce(&mut self, values: &Node, data: &Node) -> Answer {
        let parts = values.list()?;
        let [_, logic, start, ..] = parts else { return Ok(Node::Number(0.0)) };
        let start = match start {
            Node::Map(_) => self.apply(start, data)?,
            other => other.clone(),
        };
        let kind = match &start {
            Node::Bool(_) => "bool",
            Node::Number(_) => "number",
            Node::Text(_) => "string",
            _ => return Err(Stop),
        };
        let subject = self.subject(parts, data)?;
        if subject == Node::Null {
            return Ok(Node::Number(0.0));
        }
        let mut accumulator = start;
        for entry in subject.list()?.iter().filter(|entry| **entry != Node::Null) {
            let about = [
                (Arc::from("current"), entry.clone()),
                (Arc::from("accumulator"), accumulator),
                (Arc::from("valueType"), Node::text(kind)),
            ];
            let answer = self.apply(logic, &Node::Map(Arc::new(about.into())))?;
            accumulator = match kind {
                "bool" => Node::Bool(answer.is_true()),
                "number" => Node::Number(answer.number()?),
                _ => Node::text(&answer.to_text()?),
            };
        }
        Ok(accumulator)
    }

    pub(super) fn all(&mut self, values: &Node, data: &Node) -> Answer {
        let parts = values.list()?;
        let subject = self.subject(parts, data)?;
        if !subject.is_true() {
            return Ok(Node::Bool(false));
        }
        let logic = self.solved(parts.get(1).ok_or(Stop)?, data)?;
        for entry in subject.list()? {
            let logic = self.solved(&logic, entry)?;
            if !self.apply(&logic, entry)?.is_true() {
                return Ok(Node::Bool(false));
            }
        }
        Ok(Node::Bool(true))
    }

    pub(super) fn none(&mut self, values: &Node, data: &Node) -> Answer {
        let parts = values.list()?;
        let subject = self.subject(parts, data)?;
        if !subject.is_true() {
            return Ok(Node::Bool(true));
        }
        let logic = self.solved(parts.get(1).ok_or(Stop)?, data)?;
        for entry in subject.list()? {
            if self.apply(&logic, entry)?.is_true() {
                return Ok(Node::Bool(false));
            }
        }
        Ok(Node::Bool(true))
    }

    pub(super) fn some(&mut self, values: &Node, data: &Node) -> Answer {
        let parts = values.list()?;
        let subject = self.subject(parts, data)?;
        if !subject.is_true() {
            return Ok(Node::Bool(false));
        }
        let logic = parts.get(1).ok_or(Stop)?;
        for entry in subject.list()? {
            let logic = self.solved(logic, data)?;
            let logic = self.solved(&logic, entry)?;
            if self.apply(&logic, entry)?.is_true() {
                return Ok(Node::Bool(true));
            }
        }
        Ok(Node::Bool(false))
    }
}

/// `in`: a text in a text, a value in a list; a list within the list is a range.
pub(super) fn contains(values: &Node) -> Result<bool, Stop> {
    let (wanted, within) = match values.list()? {
        [wanted, within, ..] => (wanted, within),
        [_] => return Ok(false),
        [] => return Err(Stop),
    };
    let entries = match (within, wanted) {
        (Node::Text(within), Node::Text(wanted)) => return Ok(within.contains(&**wanted)),
        (Node::Text(_), _) => return Err(Stop),
        (Node::List(entries), _) => entries,
        _ => return Ok(false),
    };
    for entry in entries.iter() {
        let found = match (entry, wanted) {
            (Node::List(range), _) => {
                let [from, to, ..] = &**range else { return Err(Stop) };
                let wanted = wanted.number()?;
                wanted >= from.number()? && to.number()? >= wanted
            }
            (_, Node::Number(wanted)) => entry.number()? == *wanted,
            (Node::Map(_), Node::Map(_)) => return Err(Stop),
            _ => entry == wanted,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn merge(values: &Node) -> Answer {
    if values.is_primitive() {
        return Ok(Node::List([values.clone()].into()));
    }
    let merged = values.list()?.iter().flat_map(|value| match value {
        Node::List(entries) => entries.to_vec(),
        other => vec![other.clone()],
    });
    Ok(Node::List(merged.collect()))
}
