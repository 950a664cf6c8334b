//! Where a Valkey server is.

use super::form::{Form, Kind, Unfit};
use crate::Secret;

/// The address of a Valkey or Redis server, a cluster or sentinels. A secret, because it may carry a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValkeyUrl(pub Secret);

impl Form for ValkeyUrl {
    const SHAPE: &'static str = "a Valkey address such as valkeys://user:password@host:6379/0";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Unfit::because("it does not begin with valkey:// or valkeys://"));
        };
        let name = scheme.strip_suffix("-cluster").or_else(|| scheme.strip_suffix("-sentinel"));
        if !matches!(name.unwrap_or(scheme), "valkey" | "valkeys" | "redis" | "rediss") {
            return Err(Unfit::because(
                "it begins with none of valkey://, valkeys://, redis://, rediss:// (nor those with -cluster or -sentinel)",
            ));
        }
        if rest.is_empty() {
            return Err(Unfit::because("it names no server"));
        }
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Unfit::because(
                "it contains a space or a control character (write them as %20 and so on)",
            ));
        }
        if scheme.ends_with("-sentinel") && !rest.contains("sentinelServiceName=") {
            return Err(Unfit::because("sentinels are asked for a service: add ?sentinelServiceName=…"));
        }
        Ok(Self(Secret::new(text)))
    }

    fn show(&self) -> String {
        "***".to_owned()
    }
}
