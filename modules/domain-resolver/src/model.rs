//! What a host says. No I/O: a few comparisons.

use kernel::{SandboxName, TenantSlug};

/// What a host of this sandbox names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The sandbox, and no tenant.
    Sandbox,
    /// A tenant, by its name in hosts.
    Tenant(TenantSlug),
    /// Nothing of this sandbox.
    Nothing,
}

/// The rules for the hosts of one sandbox.
#[derive(Debug, Clone)]
pub struct Hosts {
    sandbox: SandboxName,
    /// Further names of the default sandbox, normalised.
    others: Vec<String>,
}

const LOCAL: &str = "localhost";

impl Hosts {
    /// The hosts of `sandbox`; `others` are further names of the default sandbox (`KERNEL_HOSTS` and that of the public
    /// address) and count for no other one.
    pub fn new(sandbox: SandboxName, others: impl IntoIterator<Item = String>) -> Self {
        let others = if sandbox.is_default() {
            others.into_iter().map(|host| normal(&host)).collect()
        } else {
            Vec::new()
        };
        Self { sandbox, others }
    }

    /// What `host` (with or without a port) names.
    pub fn read(&self, host: &str) -> Named {
        let host = normal(host);
        if host == LOCAL || is_address(&host) || self.others.contains(&host) {
            return if self.sandbox.is_default() { Named::Sandbox } else { Named::Nothing };
        }
        let Some(labels) = host.strip_suffix(".localhost") else { return Named::Nothing };
        let (tenant, sandbox) = match labels.rsplit_once('.') {
            None => (None, labels),
            Some((tenant, sandbox)) => (Some(tenant), sandbox),
        };
        if sandbox != self.sandbox.as_str() {
            return Named::Nothing;
        }
        match tenant.map(str::parse::<TenantSlug>) {
            None => Named::Sandbox,
            Some(Ok(slug)) => Named::Tenant(slug),
            Some(Err(_)) => Named::Nothing,
        }
    }

    /// The hosts that name the sandbox, and with a tenant's slug those that name the tenant.
    pub fn of(&self, tenant: Option<&str>) -> Vec<String> {
        let sandbox = self.sandbox.as_str();
        match tenant {
            Some(tenant) => vec![format!("{tenant}.{sandbox}.{LOCAL}")],
            None => {
                let own = format!("{sandbox}.{LOCAL}");
                let first = self.sandbox.is_default().then(|| LOCAL.to_owned());
                first.into_iter().chain([own]).chain(self.others.iter().cloned()).collect()
            }
        }
    }
}

/// A host as it is compared: lower case, without port and final dot (RFC 9110 §4.2.3, RFC 1034 §3.1).
pub fn normal(host: &str) -> String {
    let host = host.trim();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        // More than one colon and no bracket: an IPv6 address without a port.
        None if host.matches(':').count() > 1 => host,
        None => host.split(':').next().unwrap_or(host),
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(sandbox: &str) -> Hosts {
        Hosts::new(sandbox.parse().unwrap(), ["Kernel.Example.com".to_owned()])
    }

    fn tenant(slug: &str) -> Named {
        Named::Tenant(slug.parse().unwrap())
    }

    #[test]
    fn plain_hosts_addresses_and_further_names_are_the_default_sandbox() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1:8080",
            "[::1]:8080",
            "::1",
            "default.localhost",
            "kernel.example.com:443",
        ] {
            assert_eq!(hosts("default").read(host), Named::Sandbox, "{host}");
        }
        for host in ["localhost", "127.0.0.1", "kernel.example.com", "default.localhost"] {
            assert_eq!(hosts("acme").read(host), Named::Nothing, "{host}");
        }
    }

    #[test]
    fn one_label_is_always_a_sandbox_and_two_are_a_tenant_in_it() {
        assert_eq!(hosts("acme").read("acme.localhost"), Named::Sandbox);
        assert_eq!(hosts("default").read("acme.localhost"), Named::Nothing);
        assert_eq!(hosts("acme").read("Shop.acme.localhost:8080"), tenant("shop"));
        assert_eq!(hosts("default").read("shop.default.localhost"), tenant("shop"));
        assert_eq!(hosts("acme").read("shop.default.localhost"), Named::Nothing);
    }

    #[test]
    fn what_is_no_host_of_ours_names_nothing() {
        for host in [
            "",
            ".",
            ".localhost",
            "example.com",
            "a.b.acme.localhost",
            "-x.acme.localhost",
            "a_b.acme.localhost",
            "evil.com.localhost",
            "localhost.evil.com",
            "acme.localhost.evil.com",
            ".acme.localhost",
        ] {
            assert_eq!(hosts("acme").read(host), Named::Nothing, "{host}");
        }
    }

    #[test]
    fn the_hosts_told_are_the_hosts_read() {
        let hosts = hosts("default");
        assert!(hosts.of(None).iter().all(|host| hosts.read(host) == Named::Sandbox));
        assert!(hosts.of(Some("shop")).iter().all(|host| hosts.read(host) == tenant("shop")));
    }
}
