use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A currency of ISO 4217 that money is kept in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(&'static str);

/// Codes by the number of their minor units' digits (ISO 4217 list one, without funds, metals and test codes).
const BY_EXPONENT: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY \
         COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS \
         INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR \
         MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD \
         SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

impl Currency {
    /// US dollars: what is meant where nobody names a currency.
    pub const USD: Self = Self("USD");

    /// Its code.
    pub const fn code(self) -> &'static str {
        self.0
    }

    /// How many digits of an amount stand behind the point: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u8 {
        let group =
            BY_EXPONENT.iter().find(|(_, codes)| codes.split_ascii_whitespace().any(|code| code == self.0));
        group.map_or(2, |(exponent, _)| *exponent)
    }

    /// An amount of it as people write it: `10.50`.
    pub fn decimal(self, minor_units: i64) -> String {
        let digits = usize::from(self.exponent());
        let sign = if minor_units < 0 { "-" } else { "" };
        let text = format!("{:0>width$}", minor_units.unsigned_abs(), width = digits + 1);
        let (whole, rest) = text.split_at(text.len() - digits);
        if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
    }
}

/// A code that ISO 4217 does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCurrency;

impl fmt::Display for UnknownCurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a currency of ISO 4217 in capital letters, like EUR")
    }
}

impl std::error::Error for UnknownCurrency {}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let mut codes = BY_EXPONENT.iter().flat_map(|(_, codes)| codes.split_ascii_whitespace());
        codes.find(|code| *code == text).map(Self).ok_or(UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.0)
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
impl schemars::JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217." })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl sqlx::Type<sqlx::Postgres> for Currency {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <&str as sqlx::Type<sqlx::Postgres>>::type_info()
    }
    fn compatible(ty: &sqlx::postgres::PgTypeInfo) -> bool {
        <&str as sqlx::Type<sqlx::Postgres>>::compatible(ty)
    }
}
impl<'r> sqlx::Decode<'r, sqlx::Postgres> for Currency {
    fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        Ok(<&str as sqlx::Decode<sqlx::Postgres>>::decode(value)?.parse::<Self>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_currency_has_its_own_minor_units() {
        let of = |code: &str| code.parse::<Currency>().map(Currency::exponent);
        assert_eq!((of("EUR"), of("JPY"), of("KWD"), of("UYW")), (Ok(2), Ok(0), Ok(3), Ok(4)));
        for bad in ["eur", "EURO", "XXX", "XAU", "", "EU", "E R"] {
            assert_eq!(of(bad), Err(UnknownCurrency), "{bad}");
        }
    }

    #[test]
    fn codes_stand_in_the_list_once() {
        let mut codes: Vec<&str> =
            BY_EXPONENT.iter().flat_map(|(_, codes)| codes.split_ascii_whitespace()).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!((codes.len(), codes.iter().all(|code| code.len() == 3)), (all, true));
    }

    #[test]
    fn an_amount_is_written_with_its_point() {
        let text = |code: &str, minor: i64| code.parse::<Currency>().unwrap().decimal(minor);
        assert_eq!(text("EUR", 1_050), "10.50");
        assert_eq!(text("EUR", -5), "-0.05");
        assert_eq!(text("EUR", 0), "0.00");
        assert_eq!(text("JPY", 1_050), "1050");
        assert_eq!(text("KWD", -1), "-0.001");
    }
}
