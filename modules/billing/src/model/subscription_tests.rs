use proptest::prelude::*;

use super::*;
use crate::model::{invoice::bill, plan::sample};

fn at(day: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000).unwrap().plus(days(day))
}

fn active(plan: &Plan) -> Subscription {
    Subscription::new(plan, State::Active, at(0))
}

#[test]
fn without_payment_it_goes_through_all_states_in_order() {
    let growth = sample("growth", Interval::Monthly, 4_900);
    let mut subscription = active(&growth);
    subscription.payment_failed(at(0));
    let mut seen = vec![(0, subscription.state)];
    while let Some((due, step)) = subscription.next_step() {
        match step {
            Step::PeriodEnd => panic!("no period ends while a payment is missing"),
            Step::Notice(day) => subscription.dunning_day = day,
            Step::Suspend => subscription.state = State::Suspended,
            Step::Terminate => subscription.state = State::Terminated,
        }
        seen.push((due.since(at(0)).as_secs() / 86_400, subscription.state));
    }
    let expected = [
        (0, State::PastDue),
        (2, State::PastDue),
        (4, State::PastDue),
        (6, State::PastDue),
        (7, State::PastDue),
    ];
    assert_eq!(seen[..5], expected);
    assert_eq!(seen[5..], [(8, State::Suspended), (38, State::Terminated)]);
}

#[test]
fn a_second_failure_does_not_begin_the_days_anew() {
    let mut subscription = active(&sample("growth", Interval::Monthly, 4_900));
    subscription.payment_failed(at(0));
    subscription.dunning_day = 4;
    subscription.payment_failed(at(5));
    assert_eq!((subscription.past_due_since, subscription.dunning_day), (Some(at(0)), 4));
    assert_eq!(subscription.suspends_at(), Some(at(8)));
    assert_eq!(subscription.terminates_at(), Some(at(38)));
    subscription.paid();
    assert_eq!((subscription.state, subscription.past_due_since), (State::Active, None));
    assert_eq!(subscription.terminates_at(), None);
}

#[test]
fn a_trial_becomes_a_period_of_its_plan() {
    let growth = sample("growth", Interval::Monthly, 4_900);
    let mut subscription = Subscription::new(&growth, State::Trialing, at(0));
    assert_eq!(subscription.next_step(), Some((at(30), Step::PeriodEnd)));
    subscription.renew(growth.every, &growth);
    assert_eq!((subscription.state, subscription.period_start), (State::Active, at(30)));
    assert!(subscription.period_end > at(57));
}

#[test]
fn a_dearer_plan_comes_at_once_and_a_cheaper_one_when_the_period_ends() {
    let (growth, pro) =
        (sample("growth", Interval::Monthly, 4_900), sample("pro", Interval::Monthly, 19_900));
    let subscription = active(&growth);
    let length = subscription.period_end.since(at(0));
    let middle = at(0).plus(length / 2);
    let PlanChange::Within(lines) = subscription.change(&growth, &pro, middle).unwrap() else { panic!() };
    let amounts: Vec<i64> = lines.iter().map(|line| line.amount).collect();
    assert_eq!(amounts, [-2_450, 9_950]);
    assert_eq!(active(&pro).change(&pro, &growth, middle).unwrap(), PlanChange::Later);
    let error = subscription.change(&growth, &growth, middle).unwrap_err();
    assert_eq!(error.slug(), Slug::InvalidState);
}

#[test]
fn what_is_given_back_is_of_what_was_paid_and_not_of_todays_price() {
    let (growth, pro) =
        (sample("growth", Interval::Monthly, 4_900), sample("pro", Interval::Monthly, 19_900));
    let subscription = active(&growth);
    let middle = at(0).plus(subscription.period_end.since(at(0)) / 2);
    for price in [0, 100, 18_000] {
        let growth = sample("growth", Interval::Monthly, price);
        let PlanChange::Within(lines) = subscription.change(&growth, &pro, middle).unwrap() else { panic!() };
        assert_eq!(lines[0].amount, -2_450);
    }
}

#[test]
fn from_what_cost_nothing_a_new_period_begins() {
    let (free, pro) = (sample("free", Interval::Monthly, 0), sample("pro", Interval::Monthly, 19_900));
    let growth = sample("growth", Interval::Monthly, 4_900);
    for (plan, state) in [(&free, State::Active), (&growth, State::Trialing)] {
        let subscription = Subscription::new(plan, state, at(0));
        let change = subscription.change(plan, &pro, at(3)).unwrap();
        assert_eq!(change, PlanChange::Anew(vec![whole(&pro)]));
    }
    let trial = Subscription::new(&growth, State::Trialing, at(0));
    assert_eq!(trial.change(&growth, &free, at(3)).unwrap(), PlanChange::Later);
}

#[test]
fn another_currency_needs_that_no_money_is_at_stake() {
    let growth = sample("growth", Interval::Monthly, 4_900);
    let mut euro = sample("euro", Interval::Monthly, 9_900);
    euro.currency = "EUR".to_owned();
    let error = active(&growth).change(&growth, &euro, at(1)).unwrap_err();
    assert_eq!(error.field_errors()[0].field, "/plan");
    assert!(Subscription::new(&growth, State::Trialing, at(0)).change(&growth, &euro, at(1)).is_ok());
}

#[test]
fn nothing_is_changed_while_a_payment_is_missing_or_after_the_end() {
    let (growth, pro) =
        (sample("growth", Interval::Monthly, 4_900), sample("pro", Interval::Monthly, 19_900));
    for state in [State::PastDue, State::Suspended, State::Terminated, State::Canceled] {
        let subscription = Subscription { state, ..active(&growth) };
        assert_eq!(subscription.change(&growth, &pro, at(1)).unwrap_err().slug(), Slug::InvalidState);
    }
}

proptest! {
    #[test]
    fn an_upgrade_costs_what_the_rest_is_worth_and_never_less_than_nothing(
        prices in (1..1_000_000_000_i64, 1..1_000_000_000_i64),
        yearly in (any::<bool>(), any::<bool>()),
        moment in 0.0..1.0_f64,
        rate in 0..=10_000_i32,
        credit in 0..1_000_000_000_i64,
    ) {
        let every = |yearly| if yearly { Interval::Yearly } else { Interval::Monthly };
        let (plan, wanted) = (sample("a", every(yearly.0), prices.0), sample("b", every(yearly.1), prices.1));
        let subscription = Subscription { tax_basis_points: rate, credit, ..active(&plan) };
        let length = subscription.period_end.since(at(0));
        let lines = match subscription.change(&plan, &wanted, at(0).plus(length.mul_f64(moment))).unwrap() {
            PlanChange::Later => {
                prop_assert!(wanted.yearly_price() <= plan.yearly_price());
                return Ok(());
            }
            PlanChange::Within(lines) => {
                prop_assert!(lines.iter().map(|line| line.amount).sum::<i64>() >= 0);
                lines
            }
            PlanChange::Anew(lines) => lines,
        };
        let made = bill(lines, rate, credit);
        prop_assert_eq!(made.lines.iter().map(|line| line.amount).sum::<i64>(), made.total);
        prop_assert!(made.total >= 0 && made.credit >= 0);
    }
}
