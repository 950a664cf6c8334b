//! Invoices: lines that sum exactly to the total, in minor units, always.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineKind {
    /// A whole period of a plan.
    Plan,
    /// The part of a period for which a dearer plan holds.
    Proration,
    /// The part of a paid period in which the plan no longer holds.
    Unused,
    /// Tax.
    Tax,
    /// What was owed to the tenant and is set off here.
    CreditApplied,
    /// What is owed to the tenant from here on.
    CreditCarried,
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// What it is for.
    pub kind: LineKind,
    /// In words.
    pub description: String,
    /// Minor units; what is given back is negative.
    pub amount: i64,
}

impl Line {
    pub fn new(kind: LineKind, description: impl Into<String>, amount: i64) -> Self {
        Self { kind, description: description.into(), amount }
    }
}

/// `amount` × `part` ÷ `whole`, rounded to the nearest minor unit, halves away from zero. Exact for all that fits.
pub(crate) fn share(amount: i64, part: u128, whole: u128) -> i64 {
    if whole == 0 {
        return 0;
    }
    // Prices are below 2^40 and spans of microseconds below 2^64, so nothing here overflows.
    let product = u128::from(amount.unsigned_abs()) * part;
    let rounded = (product + whole / 2) / whole;
    let size = i64::try_from(rounded).unwrap_or(i64::MAX);
    if amount < 0 { -size } else { size }
}

/// The part of `amount` that falls on `part` of the span `whole`.
pub(crate) fn prorated(amount: i64, part: Duration, whole: Duration) -> i64 {
    share(amount, part.min(whole).as_micros(), whole.as_micros())
}

/// What is to be paid, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bill {
    pub lines: Vec<Line>,
    /// Before tax and credit.
    pub subtotal: i64,
    pub tax: i64,
    /// To be paid: never negative.
    pub total: i64,
    /// What is owed to the tenant afterwards.
    pub credit: i64,
}

/// Makes the bill for `items`: tax on their sum, then what is owed to the tenant. What would be paid back is carried as
/// credit instead.
pub(crate) fn bill(items: Vec<Line>, tax_basis_points: i32, credit: i64) -> Bill {
    let mut lines = items;
    let subtotal: i64 = lines.iter().map(|line| line.amount).sum();
    let rate = u128::from(tax_basis_points.unsigned_abs());
    let tax = share(subtotal, rate, 10_000);
    if tax != 0 {
        let percent = format!("{}.{:02}", tax_basis_points / 100, tax_basis_points.unsigned_abs() % 100);
        lines.push(Line::new(LineKind::Tax, format!("Tax {percent} %"), tax));
    }
    let gross = subtotal + tax;
    let (total, credit) = if gross < 0 {
        lines.push(Line::new(LineKind::CreditCarried, "Carried over to the next invoice", -gross));
        (0, credit - gross)
    } else {
        let applied = credit.min(gross);
        if applied > 0 {
            lines.push(Line::new(LineKind::CreditApplied, "Credit from earlier", -applied));
        }
        (gross - applied, credit - applied)
    };
    Bill { lines, subtotal, tax, total, credit }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(amount: i64) -> Line {
        Line::new(LineKind::Proration, "x", amount)
    }

    #[test]
    fn halves_go_away_from_zero_and_nothing_is_lost() {
        assert_eq!(share(5, 1, 2), 3);
        assert_eq!(share(-5, 1, 2), -3);
        assert_eq!(share(100, 1, 3), 33);
        assert_eq!(share(i64::MAX, 1, 1), i64::MAX);
        assert_eq!(share(100, 1, 0), 0);
        assert_eq!(
            prorated(19_900, Duration::from_secs(15 * 86_400), Duration::from_secs(30 * 86_400)),
            9_950
        );
    }

    #[test]
    fn what_would_be_paid_back_is_carried_and_set_off_later() {
        let first = bill(vec![item(-48_300), item(19_900)], 0, 0);
        assert_eq!((first.total, first.credit), (0, 28_400));
        let next = bill(vec![item(19_900)], 2_000, first.credit);
        assert_eq!((next.subtotal, next.tax, next.total, next.credit), (19_900, 3_980, 0, 4_520));
        let last = bill(vec![item(19_900)], 2_000, next.credit);
        assert_eq!((last.total, last.credit), (19_360, 0));
        let kinds: Vec<LineKind> = last.lines.iter().map(|line| line.kind).collect();
        assert_eq!(kinds, [LineKind::Proration, LineKind::Tax, LineKind::CreditApplied]);
        assert_eq!(last.lines[1].description, "Tax 20.00 %");
    }

    proptest! {
        #[test]
        fn the_lines_sum_to_the_total(
            amounts in prop::collection::vec(-1_000_000_000_000_i64..1_000_000_000_000, 0..12),
            rate in 0..=10_000_i32,
            credit in 0..10_000_000_000_000_i64,
        ) {
            let made = bill(amounts.iter().copied().map(item).collect(), rate, credit);
            let sum: i64 = made.lines.iter().map(|line| line.amount).sum();
            prop_assert_eq!(sum, made.total);
            prop_assert!(made.total >= 0 && made.credit >= 0);
            // No minor unit comes from nowhere: what was charged is paid, or changes what is owed.
            prop_assert_eq!(made.subtotal + made.tax, made.total + credit - made.credit);
        }

        #[test]
        fn a_period_cut_in_two_costs_what_it_costs_in_one_give_or_take_a_unit(
            price in 0..1_000_000_000_000_i64,
            whole in 1..40_000_000_000_000_u64,
            cut in 0.0..=1.0_f64,
        ) {
            let part = ((whole as f64) * cut) as u64;
            let span = Duration::from_micros;
            let (one, other) =
                (prorated(price, span(part), span(whole)), prorated(price, span(whole - part.min(whole)), span(whole)));
            prop_assert!((one + other - price).abs() <= 1);
            prop_assert!(one >= 0 && one <= price);
        }
    }
}
