use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{
    Definition, Fault, check,
    definition::{RuleDefinition, Window},
    moment::Moment,
    rule::Rule,
    schedule,
};

/// A flag, checked and ready.
#[derive(Debug, Clone)]
pub struct Flag {
    definition: Definition,
    needs_key: bool,
    /// From the first to the last.
    stages: Vec<(Option<Moment>, Stage)>,
}

/// What a flag is between two of its steps.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub rules: Vec<Rule>,
    pub default: Rule,
    pub variations: Map<String, Value>,
    disabled: bool,
    window: Option<Window>,
}

impl Flag {
    /// Checks a flag and makes it ready.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(definition: Definition) -> Result<Self, Vec<Fault>> {
        let faults = check::faults(&definition);
        if !faults.is_empty() {
            return Err(faults);
        }
        let steps = definition.scheduled_rollout.iter();
        let stepped = steps.flat_map(|step| step.targeting.iter().chain(&step.default_rule));
        let rules = definition.targeting.iter().chain(&definition.default_rule).chain(stepped);
        let needs_key = rules.into_iter().any(RuleDefinition::needs_key);
        let stages =
            schedule::stages(&definition).into_iter().map(|(from, stage)| Ok((from, Stage::of(stage)?)));
        let stages = stages.collect::<Result<Vec<_>, String>>();
        let stages = stages.map_err(|message| vec![Fault { pointer: String::new(), message }])?;
        Ok(Self { needs_key, stages, definition })
    }

    /// As it was written.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    pub(crate) fn needs_key(&self) -> bool {
        self.needs_key
    }

    /// Whether the same context may get another value later.
    pub(crate) fn changes_with_time(&self) -> bool {
        !self.definition.scheduled_rollout.is_empty() || self.definition.experimentation.is_some()
    }

    pub(crate) fn stage(&self, now: DateTime<Utc>) -> &Stage {
        let due = self.stages.partition_point(|(from, _)| from.is_none_or(|from| from.0 <= now));
        // The first stage has no beginning: it is always due.
        &self.stages[due.saturating_sub(1)].1
    }
}

impl Stage {
    fn of(definition: Definition) -> Result<Self, String> {
        let rules = definition.targeting.iter().map(Rule::of).collect::<Result<_, _>>()?;
        Ok(Self {
            rules,
            default: Rule::of(&definition.default_rule.unwrap_or_default())?,
            variations: definition.variations,
            disabled: definition.disable.unwrap_or_default(),
            window: definition.experimentation,
        })
    }

    /// Whether it is off at this moment.
    pub(crate) fn is_off(&self, now: DateTime<Utc>) -> bool {
        let outside = self.window.as_ref().is_some_and(|window| {
            window.start.is_some_and(|start| now < start.0) || window.end.is_some_and(|end| now > end.0)
        });
        self.disabled || outside
    }
}
