use std::fmt;

use kernel::{Error, FieldCode, FieldError, Result, Slug};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest number that every JSON reader keeps exactly, 2^53 − 1: no amount and no balance is above it.
pub const LARGEST: i64 = 9_007_199_254_740_991;

/// What one operation moves at most unless the plan says otherwise, in minor units.
pub const MOST_PER_OPERATION: i64 = 10_000_000;

/// A whole number of minor units, from 1 to [`LARGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Amount(#[schemars(range(min = 1))] i64);

impl Amount {
    /// The amount, if it is one.
    pub fn new(minor_units: i64) -> Option<Self> {
        (1..=LARGEST).contains(&minor_units).then_some(Self(minor_units))
    }

    /// In minor units.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An amount as it was sent, which may be anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct AmountIn(Value);

impl AmountIn {
    /// Reads it; `field` is where it stood.
    ///
    /// # Errors
    /// `invalid-amount` for what is no whole number of at least 1 that JSON keeps exactly.
    pub fn read(&self, field: &str) -> Result<Amount> {
        self.0.as_i64().and_then(Amount::new).ok_or_else(|| {
            let message =
                format!("must be a whole number of minor units from 1 to {LARGEST}, got {}", short(&self.0));
            Error::new(Slug::InvalidAmount, format!("{field}: {message}")).with_fields(vec![FieldError::new(
                field,
                FieldCode::OutOfRange,
                message,
            )])
        })
    }
}

impl From<i64> for AmountIn {
    fn from(minor_units: i64) -> Self {
        Self(minor_units.into())
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl JsonSchema for AmountIn {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer", "minimum": 1, "maximum": LARGEST,
            "description": "Minor units of the wallet's currency: 1050 is 10.50 EUR."
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_whole_number_that_json_keeps() {
        let read = |text: &str| serde_json::from_str::<AmountIn>(text).unwrap().read("/amount");
        assert_eq!(read("1").unwrap().get(), 1);
        assert_eq!(read("9007199254740991").unwrap().get(), LARGEST);
        for bad in [
            "0",
            "-1",
            "-0",
            "1.5",
            "1.0",
            "1e3",
            "9007199254740992",
            "18446744073709551615",
            "1e400x",
            "\"5\"",
            "null",
            "[]",
            "true",
        ] {
            let Ok(value) = serde_json::from_str::<AmountIn>(bad) else { continue };
            let error = value.read("/amount").unwrap_err();
            assert_eq!(error.slug(), Slug::InvalidAmount, "{bad}");
            assert_eq!(error.field_errors()[0].field, "/amount");
        }
    }
}
