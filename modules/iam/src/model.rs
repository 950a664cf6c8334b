//! The rules of accounts, tenants and roles; pure.

pub mod password;
pub mod permission;
pub mod slug;

use std::time::Duration;

use kernel::{Error, Result, Slug};

use crate::words::words;

/// How long an access token lives, on the sandbox's clock.
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a refresh token lives unused, on the sandbox's clock.
pub const REFRESH_TOKEN_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// In real time: a client that lost the answer of a refresh, or has two tabs, may ask again.
pub const REFRESH_GRACE: Duration = Duration::from_secs(10);
/// How long a person may take to choose a tenant after the password was found right.
pub const SELECTION_LIFE: Duration = Duration::from_secs(5 * 60);
/// How long a module token lives, in real time.
pub const MODULE_TOKEN_LIFE: Duration = Duration::from_secs(60);
/// After this a new signing key is made, on the sandbox's clock.
pub const SIGNING_KEY_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long what was deleted softly is kept, on the sandbox's clock.
pub const KEPT_AFTER_DELETION: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long the token of a verification mail is good, on the sandbox's clock.
pub const VERIFICATION_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long the token of a reset mail is good, on the sandbox's clock.
pub const RESET_LIFE: Duration = Duration::from_secs(3600);
/// Most mails of one purpose that a person is sent in an hour of real time because somebody asked.
pub const MOST_MAILS_AN_HOUR: i64 = 3;

/// Most roles a member holds: their names stand in the access token, which has a limit of its own.
pub const MOST_ROLES_OF_MEMBER: usize = 20;
/// Most custom roles of a tenant.
pub const MOST_ROLES: i64 = 200;
/// Most permissions named by one role or key.
pub const MOST_PERMISSIONS: usize = 500;
/// Most API keys of a tenant that are not revoked.
pub const MOST_KEYS: i64 = 200;
/// Most live sessions of one person in one tenant; the oldest makes room.
pub const MOST_SESSIONS: i64 = 100;
/// Most tenants that a tree shows at once.
pub const MOST_OF_TREE: usize = 1_000;

words! {
    /// Where a tenant stands in the tree.
    pub enum TenantKind {
        /// Runs the platform; at most one, at the root.
        Platform = "platform",
        /// Has clients of its own.
        Partner = "partner",
        /// Has nothing below it.
        Client = "client",
    }
}

words! {
    /// Whether a tenant can be used.
    pub enum TenantState {
        /// It can, unless one above it is blocked.
        Active = "active",
        /// No credential of it or of those below it is taken.
        Blocked = "blocked",
        /// Gone; the rows follow after 30 days.
        Deleted = "deleted",
    }
}

words! {
    /// Whether a member can use the tenant.
    pub enum MemberState {
        /// It can.
        Active = "active",
        /// Not for now.
        Blocked = "blocked",
        /// Gone; may be restored for 30 days.
        Deleted = "deleted",
    }
}

words! {
    /// Who made a role.
    pub enum RoleKind {
        /// Everything in the tenant; held by exactly one member.
        Owner = "owner",
        /// All but ownership and changes of the plan.
        Admin = "admin",
        /// Reading.
        Member = "member",
        /// Made by the tenant.
        Custom = "custom",
    }
}

words! {
    /// Whether an API key is taken.
    pub enum KeyState {
        /// It is, until it expires.
        Active = "active",
        /// Its tenant revoked it.
        Revoked = "revoked",
        /// It came with a copy of the sandbox, which takes none of its source's keys.
        Disabled = "disabled",
    }
}

words! {
    /// Why a session ended before its time.
    pub enum SessionEnd {
        /// The person signed out.
        Logout = "logout",
        /// Too many newer sessions.
        Replaced = "replaced",
        /// A refresh token came twice: one of the two had been stolen.
        Reuse = "reuse",
        /// The password was changed.
        Password = "password",
        /// The member was blocked or deleted.
        Blocked = "blocked",
        /// The person ended it from another session.
        Revoked = "revoked",
    }
}

words! {
    /// What a mail with a token is for.
    pub enum MailPurpose {
        /// To show that an address is its account's.
        Verify = "verify",
        /// To set a forgotten password anew.
        Reset = "reset",
    }
}

impl MailPurpose {
    /// How long its token is good.
    pub const fn life(self) -> Duration {
        match self {
            Self::Verify => VERIFICATION_LIFE,
            Self::Reset => RESET_LIFE,
        }
    }

    /// The text in front of its token.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Verify => "ev_",
            Self::Reset => "pr_",
        }
    }

    /// The page that its link opens.
    pub const fn page(self) -> &'static str {
        match self {
            Self::Verify => "/verify-email",
            Self::Reset => "/reset-password",
        }
    }

    /// The kernel's template of its mail.
    pub const fn template(self) -> &'static str {
        match self {
            Self::Verify => "iam.verify-email",
            Self::Reset => "iam.reset-password",
        }
    }
}

impl RoleKind {
    /// The roles that every tenant has.
    pub const BUILT_IN: [Self; 3] = [Self::Owner, Self::Admin, Self::Member];

    /// The name of a built-in role.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::Member => "Member",
            Self::Custom => "Custom",
        }
    }

    /// What a built-in role is for.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Owner => "Everything in the tenant. Exactly one member holds it.",
            Self::Admin => "Everything but ownership and changes of the plan.",
            Self::Member => "Reading.",
            Self::Custom => "",
        }
    }
}

impl TenantKind {
    /// Whether a tenant of this kind may lie directly above one of kind `child`.
    pub const fn holds(self, child: Self) -> bool {
        matches!(
            (self, child),
            (Self::Platform, Self::Partner | Self::Client) | (Self::Partner, Self::Client)
        )
    }
}

/// Refuses to block, delete or strip the Owner.
///
/// # Errors
/// `invalid-state` when the member is the Owner.
pub fn spare_owner(owner: bool, act: &str) -> Result<()> {
    if owner {
        return Err(Error::new(
            Slug::InvalidState,
            format!("The Owner can't be {act}: a tenant always has exactly one."),
        ));
    }
    Ok(())
}

/// Compares the version that a client has seen with the one that is there.
///
/// # Errors
/// `precondition-failed` naming the current one.
pub fn expect_version(seen: Option<i32>, current: i32) -> Result<()> {
    match seen {
        Some(seen) if seen != current => Err(Error::new(
            Slug::PreconditionFailed,
            format!("You have seen version {seen}; the current one is {current}."),
        )),
        _ => Ok(()),
    }
}

/// An e-mail address as it is kept and compared: without surrounding space, in lower case.
pub fn normal_email(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_platform_partner_client() {
        use TenantKind::{Client, Partner, Platform};
        let allowed = [(Platform, Partner), (Platform, Client), (Partner, Client)];
        for above in [Platform, Partner, Client] {
            for below in [Platform, Partner, Client] {
                assert_eq!(above.holds(below), allowed.contains(&(above, below)), "{above} over {below}");
            }
        }
    }

    #[test]
    fn the_owner_is_spared_and_a_stale_version_refused() {
        assert_eq!(spare_owner(true, "blocked").unwrap_err().slug(), Slug::InvalidState);
        assert!(spare_owner(false, "blocked").is_ok());
        assert!(expect_version(None, 3).is_ok() && expect_version(Some(3), 3).is_ok());
        assert_eq!(expect_version(Some(2), 3).unwrap_err().slug(), Slug::PreconditionFailed);
    }

    #[test]
    fn addresses_differ_by_letters_not_by_case() {
        assert_eq!(normal_email(" Ada@Example.COM "), "ada@example.com");
    }
}
