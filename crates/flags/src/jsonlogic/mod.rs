//! JsonLogic (<https://jsonlogic.com>) as the original evaluates it, with `diegoholiveira/jsonlogic`: its oddities are
//! kept, because a rule must apply to the same people there and here. What makes that library panic (an operator on a
//! value of the wrong type) makes a rule apply to nobody.

mod compare;
mod lists;
mod node;
mod operators;

pub(crate) use node::Node;
use node::Stop;

use crate::context::Context;

/// A rule, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Logic(Node);

/// Operators.
const OPERATORS: [&str; 35] = [
    "and",
    "or",
    "filter",
    "map",
    "reduce",
    "all",
    "none",
    "some",
    "in",
    "missing",
    "missing_some",
    "var",
    "set",
    "cat",
    "substr",
    "merge",
    "if",
    "?:",
    "max",
    "min",
    "+",
    "-",
    "*",
    "/",
    "%",
    "abs",
    "!",
    "!!",
    "===",
    "!==",
    "<",
    "<=",
    ">",
    ">=",
    "==",
];

impl Logic {
    /// Reads a rule: a JSON object.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rule: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        let rule = Node::from(&rule);
        known(&rule)?;
        Ok(Self(rule))
    }

    /// Whether it applies.
    pub(crate) fn applies(&self, context: &Context) -> bool {
        let mut run = Run { left: MOST_STEPS };
        match run.apply(&self.0, context.document()) {
            Ok(answer) => answer.counts_as_applied(),
            Err(Stop) => false,
        }
    }
}

/// Every object of one member is an operation, and the operator must be one that exists.
fn known(rule: &Node) -> Result<(), String> {
    match rule {
        Node::Map(members) => {
            if let (1, Some(name)) = (members.len(), members.keys().next())
                && !OPERATORS.contains(&&**name)
                && &**name != "!="
            {
                return Err(format!("there is no operator {name:?}"));
            }
            members.values().try_for_each(known)
        }
        Node::List(entries) => entries.iter().try_for_each(known),
        _ => Ok(()),
    }
}

/// A rule may put a caller's lists into each other; it stops after so many operations.
const MOST_STEPS: u32 = 50_000;

/// One run of a rule.
struct Run {
    left: u32,
}

impl Run {
    fn step(&mut self) -> Result<(), Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applies(rule: &serde_json::Value, context: &Context) -> bool {
        Logic::parse(&rule.to_string()).unwrap().applies(context)
    }

    #[test]
    fn rules_are_checked_when_they_are_read() {
        assert!(Logic::parse("{").unwrap_err().contains("no JSON"));
        assert!(Logic::parse(r#"{"and":[{"likes":[1]}]}"#).unwrap_err().contains("likes"));
        assert!(Logic::parse(r#"{"!=":[{"var":"a"},{"x":1,"y":2}]}"#).is_ok());
    }

    #[test]
    fn a_rule_that_goes_on_and_on_is_stopped() {
        let many: Vec<u32> = (0..400).collect();
        let context = Context::new("u").with("many", many);
        let all = |inner: serde_json::Value| json!({"some":[{"var":"many"}, inner]});
        assert!(applies(&all(json!({"==":[{"var":""}, 7]})), &context));
        let long = json!({"!":[{"map":[{"var":"many"}, {"map":[[1,2,3,4,5,6,7,8,9,0], {"cat":["a", {"cat":["b", {"cat":[
            {"cat":["x"]}, {"cat":["y"]}, {"cat":["z"]}, {"cat":["x"]}, {"cat":["y"]}, {"cat":["z"]},
            {"cat":["x"]}, {"cat":["y"]}, {"cat":["z"]}, {"cat":["x"]}, {"cat":["y"]}, {"cat":["z"]}]}]}]}]}]}]});
        assert!(
            !applies(&json!({"or":[long.clone(), true]}), &context),
            "60,000 operations: it applies to nobody"
        );
        assert!(applies(&json!({"or":[long, true]}), &Context::new("u").with("many", vec![1])));
    }

    #[test]
    fn a_value_of_the_wrong_type_applies_to_nobody() {
        for rule in [json!({"in":[1,"abc"]}), json!({"+":[true]}), json!({"and":true}), json!({"/":[1,0]})] {
            assert!(!applies(&rule, &Context::new("u")), "{rule}");
            assert!(
                !applies(&json!({"if":[rule,true,true]}), &Context::new("u")) || rule == json!({"/":[1,0]})
            );
        }
    }
}
