//! The pipeline: what all deals are worth, by stage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a deal has come; the words of `deal_stage` in the migrations, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Lead,
    Qualified,
    Proposal,
    Negotiation,
    Won,
    Lost,
}

/// What the report needs of a deal.
#[derive(Debug, Deserialize)]
pub(crate) struct Amount {
    pub(crate) stage: Stage,
    /// In minor units of `currency`.
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

/// Sums by stage and currency: amounts of different currencies are never added.
#[derive(Debug, Default)]
pub(crate) struct Pipeline(BTreeMap<(Stage, String), Total>);

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    deals: u64,
    amount: i64,
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    stage: Stage,
    currency: String,
    deals: u64,
    amount: i64,
}

/// A sum that no longer fits 64 bits.
#[derive(Debug, thiserror::Error)]
#[error("the amounts of stage {stage:?} in {currency} add up to more than can be counted")]
pub(crate) struct TooMuch {
    stage: Stage,
    currency: String,
}

impl Pipeline {
    pub(crate) fn add(&mut self, deal: Amount) -> Result<(), TooMuch> {
        let Amount { stage, amount, currency } = deal;
        let total = self.0.entry((stage, currency.clone())).or_default();
        total.amount = total.amount.checked_add(amount).ok_or(TooMuch { stage, currency })?;
        total.deals += 1;
        Ok(())
    }

    pub(crate) fn into_lines(self) -> Vec<Line> {
        let line = |((stage, currency), Total { deals, amount })| Line { stage, currency, deals, amount };
        self.0.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(stage: Stage, amount: i64, currency: &str) -> Amount {
        Amount { stage, amount, currency: currency.to_owned() }
    }

    #[test]
    fn currencies_are_summed_apart_and_stages_stand_in_their_order() {
        let mut pipeline = Pipeline::default();
        for deal in [
            amount(Stage::Won, 5, "EUR"),
            amount(Stage::Lead, 1, "USD"),
            amount(Stage::Lead, 2, "EUR"),
            amount(Stage::Lead, 3, "EUR"),
        ] {
            pipeline.add(deal).expect("small");
        }
        let lines = serde_json::to_value(pipeline.into_lines()).expect("serializable");
        assert_eq!(
            lines,
            serde_json::json!([
                {"stage": "lead", "currency": "EUR", "deals": 2, "amount": 5},
                {"stage": "lead", "currency": "USD", "deals": 1, "amount": 1},
                {"stage": "won", "currency": "EUR", "deals": 1, "amount": 5},
            ])
        );
    }

    #[test]
    fn a_sum_that_does_not_fit_is_said_and_not_wrapped() {
        let mut pipeline = Pipeline::default();
        pipeline.add(amount(Stage::Won, i64::MAX, "EUR")).expect("fits");
        assert!(pipeline.add(amount(Stage::Won, 1, "EUR")).is_err());
    }
}
