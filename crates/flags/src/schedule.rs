//! Changes to come: what a flag is after each of them.

use crate::{
    definition::{Definition, ProgressiveEnd, RuleDefinition, Step, Window},
    moment::Moment,
};

/// What a flag is from a moment on. The steps that are due are made in the order of their dates; of one date, as they
/// are written.
pub(crate) fn stages(flag: &Definition) -> Vec<(Option<Moment>, Definition)> {
    let mut steps: Vec<&Step> = flag.scheduled_rollout.iter().filter(|step| step.date.is_some()).collect();
    steps.sort_by_key(|step| step.date);
    let mut stages = vec![(None, flag.clone())];
    for due in steps.chunk_by(|a, b| a.date == b.date) {
        let mut stage = stages.last().map_or_else(|| flag.clone(), |(_, stage)| stage.clone());
        due.iter().for_each(|step| make(&mut stage, step));
        stages.push((due.first().and_then(|step| step.date), stage));
    }
    stages
}

fn make(flag: &mut Definition, step: &Step) {
    merge_rules(&mut flag.targeting, &step.targeting);
    if step.disable.is_some() {
        flag.disable = step.disable;
    }
    if let (Some(rule), Some(change)) = (&mut flag.default_rule, &step.default_rule) {
        merge(rule, change);
    }
    if let Some(variations) = &step.variations {
        flag.variations.extend(variations.clone());
    }
    if let Some(change) = &step.experimentation {
        let window = flag.experimentation.get_or_insert_with(Window::default);
        window.start = change.start.or(window.start);
        window.end = change.end.or(window.end);
    }
}

/// A rule that names one that is there changes it; any other is put behind them.
fn merge_rules(rules: &mut Vec<RuleDefinition>, changes: &[RuleDefinition]) {
    let named = |rule: &RuleDefinition| rule.name.clone().unwrap_or_default();
    let mut merged = Vec::new();
    for rule in rules.iter_mut() {
        let name = named(rule);
        let change = changes.iter().rev().find(|change| change.name.as_deref() == Some(&*name));
        if let Some(change) = change {
            merge(rule, change);
            merged.push(name);
        }
    }
    rules.extend(changes.iter().filter(|change| !merged.contains(&named(change))).cloned());
}

fn merge(rule: &mut RuleDefinition, change: &RuleDefinition) {
    if change.disable.is_some() {
        rule.disable = change.disable;
    }
    if change.query.is_some() {
        rule.query.clone_from(&change.query);
    }
    if change.variation.is_some() {
        rule.variation.clone_from(&change.variation);
    }
    if let Some(change) = &change.progressive_rollout {
        let rollout = rule.progressive_rollout.get_or_insert_default();
        merge_end(&mut rollout.initial, &change.initial);
        merge_end(&mut rollout.end, &change.end);
    }
    if let Some(change) = &change.percentage {
        let shares = rule.percentage.get_or_insert_default();
        for (name, share) in change {
            // A share below 0 takes the variation away.
            match *share < 0.0 {
                true => drop(shares.remove(name)),
                false => drop(shares.insert(name.clone(), *share)),
            }
        }
    }
}

fn merge_end(end: &mut ProgressiveEnd, change: &ProgressiveEnd) {
    if change.variation.is_some() {
        end.variation.clone_from(&change.variation);
    }
    end.date = change.date.or(end.date);
    end.percentage = change.percentage.or(end.percentage);
}
