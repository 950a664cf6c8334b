use crate::{context::Context, definition::RuleDefinition, jsonlogic::Logic, outcome::Outcome, query::Query};

/// A rule, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub name: Option<String>,
    pub disabled: bool,
    pub outcome: Outcome,
    condition: Condition,
}

#[derive(Debug, Clone)]
enum Condition {
    Always,
    Query(Query),
    Logic(Logic),
}

impl Rule {
    /// Makes a rule ready.
    ///
    /// # Errors
    /// What is wrong with its query.
    pub(crate) fn of(definition: &RuleDefinition) -> Result<Self, String> {
        Ok(Self {
            name: definition.name.clone(),
            disabled: definition.disable.unwrap_or_default(),
            outcome: Outcome::of(definition),
            condition: Condition::of(definition.query.as_deref().unwrap_or_default())?,
        })
    }

    /// Whether its query applies.
    pub(crate) fn applies(&self, context: &Context) -> bool {
        match &self.condition {
            Condition::Always => true,
            Condition::Query(query) => query.applies(context),
            Condition::Logic(logic) => logic.applies(context),
        }
    }
}

impl Condition {
    fn of(query: &str) -> Result<Self, String> {
        let query = joined(query);
        match query.as_str() {
            "" => Ok(Self::Always),
            logic if logic.starts_with('{') => Logic::parse(logic).map(Self::Logic),
            query => Query::parse(query).map(Self::Query),
        }
    }
}

/// The original takes the lines of a query without what they begin with, and puts nothing between them.
fn joined(query: &str) -> String {
    query.split('\n').map(|line| line.trim_start_matches([' ', '\t'])).collect()
}
