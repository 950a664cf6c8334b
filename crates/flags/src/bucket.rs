//! In which bucket a key falls.

/// Buckets of one percent.
pub(crate) const PER_PERCENT: f64 = 1000.0;

/// The bucket of a key among `buckets`: FNV-1a (32 bits) of the flag's name and the key, one after the other.
pub(crate) fn bucket(flag: &str, key: &str, buckets: u32) -> u32 {
    const OFFSET: u32 = 2_166_136_261;
    const PRIME: u32 = 16_777_619;
    if buckets == 0 {
        return 0;
    }
    let bytes = flag.bytes().chain(key.bytes());
    bytes.fold(OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME)) % buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // Test vectors of the hash's authors (isthe.com/chongo/tech/comp/fnv).
        for (text, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(bucket(text, "", u32::MAX), hash, "{text}");
        }
        assert_eq!(bucket("foo", "bar", u32::MAX), 0xbf9c_f968, "name and key are one text");
        assert_eq!(bucket("foo", "bar", 100_000), 0xbf9c_f968 % 100_000);
        assert_eq!(bucket("foo", "bar", 0), 0);
    }
}
