//! domain-resolver
