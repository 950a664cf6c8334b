//! What a rule that applies leads to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    bucket::{PER_PERCENT, bucket},
    definition::{Progressive, RuleDefinition},
};

/// Which variation a rule gives. Of several that are written, the first of this order counts.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Ramp(Option<Ramp>),
    Shares(Shares),
    Variation(String),
    Nothing,
}

/// Why a rule that applies gives none.
pub(crate) type Unfit = &'static str;

impl Outcome {
    pub(crate) fn of(rule: &RuleDefinition) -> Self {
        if let Some(progressive) = &rule.progressive_rollout {
            return Self::Ramp(Ramp::of(progressive));
        }
        match (&rule.percentage, &rule.variation) {
            (Some(shares), _) if !shares.is_empty() => Self::Shares(Shares::of(shares)),
            (_, Some(variation)) => Self::Variation(variation.clone()),
            _ => Self::Nothing,
        }
    }

    /// Whether it asks in which bucket the key is.
    pub(crate) fn needs_key(&self) -> bool {
        matches!(self, Self::Ramp(_) | Self::Shares(_))
    }

    /// Whether two keys may get different variations.
    pub(crate) fn splits(&self) -> bool {
        match self {
            Self::Ramp(_) => true,
            Self::Shares(shares) => !shares.whole,
            Self::Variation(_) | Self::Nothing => false,
        }
    }

    pub(crate) fn choose(&self, flag: &str, key: &str, now: DateTime<Utc>) -> Result<&str, Unfit> {
        match self {
            Self::Ramp(Some(ramp)) => Ok(ramp.choose(flag, key, now)),
            Self::Ramp(None) => Err("error in the progressive rollout, missing params"),
            Self::Shares(shares) => shares.choose(flag, key).ok_or("impossible to find the variation"),
            Self::Variation(variation) => Ok(variation),
            Self::Nothing => Err("error in the configuration, no variation available for this rule"),
        }
    }
}

/// A percentage for each variation.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// One past the last bucket; the keys are spread over as many as the shares add up to.
    buckets: u32,
    /// Where each variation begins and ends.
    parts: Vec<(String, u32, u32)>,
    /// One of them is 100.
    whole: bool,
}

impl Shares {
    fn of(shares: &BTreeMap<String, f64>) -> Self {
        // From the last name to the first: so `true` stood before `false` in files of old.
        let (mut parts, mut sum, mut start) = (Vec::with_capacity(shares.len()), 0.0, 0.0);
        for (name, share) in shares.iter().rev() {
            let end = start + share * PER_PERCENT;
            parts.push((name.clone(), start as u32, end as u32));
            sum += share;
            start = end;
        }
        let whole = shares.values().any(|share| *share == 100.0);
        Self { buckets: (sum * PER_PERCENT) as u32, parts, whole }
    }

    fn choose(&self, flag: &str, key: &str) -> Option<&str> {
        let bucket = bucket(flag, key, self.buckets);
        let part = self.parts.iter().find(|(_, start, end)| (*start..*end).contains(&bucket))?;
        Some(&part.0)
    }
}

/// A share that grows from one date to another.
#[derive(Debug, Clone)]
pub(crate) struct Ramp {
    from: (DateTime<Utc>, String, f64),
    to: (DateTime<Utc>, String, f64),
}

impl Ramp {
    fn of(progressive: &Progressive) -> Option<Self> {
        let Progressive { initial, end } = progressive;
        let (from, to) = (initial.date?.0, end.date?.0);
        let (before, after) = (initial.variation.clone()?, end.variation.clone()?);
        // An end that is not said, or impossible, is everybody.
        let last = end.percentage.filter(|share| *share != 0.0 && *share <= 100.0).unwrap_or(100.0);
        (to > from).then(|| Self {
            from: (from, before, initial.percentage.unwrap_or_default() * PER_PERCENT),
            to: (to, after, last * PER_PERCENT),
        })
    }

    fn choose(&self, flag: &str, key: &str, now: DateTime<Utc>) -> &str {
        let ((begins, before, first), (ends, after, last)) = (&self.from, &self.to);
        if now < *begins {
            return before;
        }
        let share = if now >= *ends {
            *last
        } else {
            let per_second = (last - first) / (ends.timestamp() - begins.timestamp()) as f64;
            (now.timestamp() - begins.timestamp()) as f64 * per_second + first
        };
        if bucket(flag, key, (100.0 * PER_PERCENT) as u32) < share as u32 { after } else { before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_side_by_side_from_the_last_name_on() {
        let shares = Shares::of(&[("a".to_owned(), 20.0), ("b".to_owned(), 30.5)].into());
        assert_eq!(shares.buckets, 50_500);
        assert_eq!(shares.parts, [("b".to_owned(), 0, 30_500), ("a".to_owned(), 30_500, 50_500)]);
        assert!(!shares.whole);
    }

    #[test]
    fn a_ramp_needs_both_ends() {
        let ramp = |text: &str| Ramp::of(&serde_json::from_str(text).unwrap());
        let initial = r#""initial":{"variation":"a","date":"2026-01-01T00:00:00Z"}"#;
        assert!(
            ramp(&format!(r#"{{{initial},"end":{{"variation":"b","date":"2026-02-01T00:00:00Z"}}}}"#))
                .is_some()
        );
        assert!(
            ramp(&format!(r#"{{{initial},"end":{{"variation":"b","date":"2026-01-01T00:00:00Z"}}}}"#))
                .is_none()
        );
        assert!(ramp(&format!("{{{initial}}}")).is_none());
    }
}
