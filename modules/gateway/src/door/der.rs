//! The little of DER that is needed: from when until when a certificate is valid.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use chrono::NaiveDateTime;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The validity of an X.509 certificate (RFC 5280, 4.1.2.5). `None`: not a certificate.
pub(super) fn validity(certificate: &[u8]) -> Option<RangeInclusive<SystemTime>> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    let (_, rest) = element(rest, INTEGER)?; // serial number
    let (_, rest) = element(rest, SEQUENCE)?; // signature algorithm
    let (_, rest) = element(rest, SEQUENCE)?; // issuer
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some(from..=until)
}

/// Content of the first element, if it has this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    if *found != tag {
        return None;
    }
    rest.split_at_checked(length)
}

fn time(input: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (text, rest) = match element(input, UTC_TIME) {
        // Two digits of a year: 50 and above are of the twentieth century.
        Some((text, rest)) => {
            let text = std::str::from_utf8(text).ok()?;
            let century = if text.get(..2)?.parse::<u8>().ok()? >= 50 { "19" } else { "20" };
            (format!("{century}{text}"), rest)
        }
        None => {
            let (text, rest) = element(input, GENERALIZED_TIME)?;
            (std::str::from_utf8(text).ok()?.to_owned(), rest)
        }
    };
    let seconds = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?.and_utc().timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    Some((time?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(from, 1, 2);
        params.not_after = rcgen::date_time_ymd(until, 3, 4);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn seconds(date: &str) -> SystemTime {
        SystemTime::from(chrono::DateTime::parse_from_rfc3339(date).unwrap())
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let validity = validity(&certificate(1999, 2051)).unwrap();

        assert_eq!(*validity.start(), seconds("1999-01-02T00:00:00Z"));
        assert_eq!(*validity.end(), seconds("2051-03-04T00:00:00Z"));
    }

    #[test]
    fn a_certificate_cut_short_anywhere_has_no_validity_and_no_panic() {
        let whole = certificate(2020, 2030);
        for length in 0..whole.len() {
            assert_eq!(validity(&whole[..length]), None, "{length} bytes");
        }
    }
}
