//! Events that the audit service publishes, on `platform.audit.events`.

/// A record got its place in the chain; carries it without its personal part, keyed by the entity. Written by the
/// statement that chains it, so a record costs its writer no second event.
pub const RECORD_APPENDED: &str = "audit.record.appended";

/// The signed end of a tenant's chain, hourly where it moved: whoever keeps it can prove later that the trail was cut
/// off or written anew.
pub const HEAD_PUBLISHED: &str = "audit.head.published";
