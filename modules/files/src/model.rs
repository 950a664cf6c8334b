//! Files and their rules, without I/O.

use std::time::Duration;

use fabric::blobs::BlobKey;
use kernel::{Error, FieldCode, Id, Result, Slug, TenantId, Timestamp, check::Checks};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a [`FileId`] identifies.
#[derive(Debug, Clone, Copy)]
pub enum FileKind {}

/// Names a file.
pub type FileId = Id<FileKind>;

/// Most bytes of a file that is uploaded in one request.
pub(crate) const MOST_BYTES: u64 = 100 << 20;
/// Most bytes of a file that a client brings to the store itself: what a store takes in one request (S3).
pub(crate) const MOST_BROUGHT: u64 = 5_000_000_000;
/// Files that are awaited of a tenant at the same time.
pub(crate) const MOST_AWAITED: i64 = 100;
/// How long a file is awaited.
pub(crate) const AWAITED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long the address of an awaited file is good.
pub(crate) const ADDRESS_TIME: Duration = Duration::from_secs(3600);
/// Uploads of a tenant at the same time.
pub(crate) const MOST_UPLOADS: i64 = 100;
/// The longest that an upload may take.
pub(crate) const UPLOAD_TIME: Duration = Duration::from_secs(15 * 60);
/// How long a deleted file can be brought back.
pub(crate) const KEPT_AFTER_DELETION: Duration = Duration::from_secs(30 * 86_400);
/// What storage is counted as.
pub(crate) const STORAGE: &str = "storageBytes";
/// Longest name in characters.
pub(crate) const LONGEST_NAME: usize = 200;
/// Longest description in characters.
pub(crate) const LONGEST_DESCRIPTION: usize = 1000;

/// Shelves for files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// Pictures of people.
    Avatars,
    /// What pages show.
    Assets,
    /// What people work with.
    #[default]
    Documents,
    /// What was exported.
    Exports,
    /// What belongs to modules.
    Modules,
}

impl Bucket {
    const ALL: [Self; 5] = [Self::Avatars, Self::Assets, Self::Documents, Self::Exports, Self::Modules];

    /// As it is stored and shown.
    pub fn text(self) -> &'static str {
        match self {
            Self::Avatars => "avatars",
            Self::Assets => "assets",
            Self::Documents => "documents",
            Self::Exports => "exports",
            Self::Modules => "modules",
        }
    }

    pub(crate) fn parse(field: &str, text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|bucket| bucket.text() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::text).join(", ");
            Error::field(field, FieldCode::NotAllowed, format!("is one of {known}"))
        })
    }
}

/// Where a file is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Kept, but not looked at yet; the scan follows by itself.
    PendingScan,
    /// To be had.
    Available,
    /// Refused by the scan; its bytes are gone.
    Rejected,
    /// Deleted; it can be brought back for 30 days.
    Deleted,
}

impl FileState {
    const ALL: [Self; 4] = [Self::PendingScan, Self::Available, Self::Rejected, Self::Deleted];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::PendingScan => "pending_scan",
            Self::Available => "available",
            Self::Rejected => "rejected",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|state| state.text() == text);
        known.ok_or_else(|| Error::internal(format!("no file is {text}")))
    }

    /// Whether its bytes count against the plan.
    pub(crate) fn counts(self) -> bool {
        self != Self::Rejected
    }

    /// Whether the file is to be had.
    ///
    /// # Errors
    /// `not-found` while it waits for its scan, `file-rejected`, `gone`.
    pub(crate) fn readable(self, reason: Option<&str>) -> Result<()> {
        match self {
            Self::Available => Ok(()),
            Self::PendingScan => Err(Error::not_found("file")),
            Self::Rejected => Err(rejected(reason.unwrap_or("The scan refused it."))),
            Self::Deleted => Err(gone()),
        }
    }
}

/// The scan refused a file.
pub(crate) fn rejected(reason: &str) -> Error {
    Error::new(Slug::FileRejected, format!("The file was refused. {reason}"))
}

/// The file was deleted.
pub(crate) fn gone() -> Error {
    Error::new(Slug::Gone, "The file was deleted; for 30 days POST …/restore brings it back.")
}

/// Another state than the action needs.
pub(crate) fn wrong_state(what: &str, state: FileState) -> Error {
    Error::new(Slug::InvalidState, format!("Only {what}; this one is {}.", state.text()))
}

/// Where a file's blobs lie.
///
/// # Errors
/// `internal`; ids and buckets are parts of keys.
pub(crate) fn folder(tenant: TenantId, bucket: Bucket, id: FileId) -> Result<BlobKey> {
    format!("{tenant}/{}/{id}", bucket.text()).parse().map_err(Error::internal)
}

/// Where a client lays a file that was not looked at yet.
///
/// # Errors
/// `internal`; ids are parts of keys.
pub(crate) fn staging(tenant: TenantId, id: FileId) -> Result<BlobKey> {
    format!("{tenant}/staging/{id}").parse().map_err(Error::internal)
}

/// A blob of a file: `original`, or one of its small versions.
pub(crate) fn blob(folder: &BlobKey, name: &str) -> Result<BlobKey> {
    format!("{folder}/{name}").parse().map_err(Error::internal)
}

/// The blob that was uploaded.
pub(crate) const ORIGINAL: &str = "original";

/// A name without the folders that some programs send with it.
pub(crate) fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name).trim()
}

/// A name is a line that can stand in a header and in a folder.
///
/// # Errors
/// `validation-error`.
pub(crate) fn check_name(field: &str, name: &str) -> Result<()> {
    let mut checks = Checks::new();
    checks.length(field, name, 1, LONGEST_NAME);
    let fits =
        !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) && !matches!(name, "." | "..");
    checks.ensure(
        fits,
        field,
        FieldCode::InvalidFormat,
        "takes no slashes, line breaks and control characters",
    );
    checks.finish()
}

/// `Content-Disposition` (RFC 6266): the name in ASCII for old clients, and as it is.
pub(crate) fn disposition(is_inline: bool, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    let exact = name.bytes().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    });
    let kind = if is_inline { "inline" } else { "attachment" };
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

/// When a deleted file goes for good.
pub(crate) fn end_of(deleted_at: Timestamp) -> Timestamp {
    deleted_at.plus(KEPT_AFTER_DELETION)
}

/// The same name with another ending.
pub(crate) fn renamed(name: &str, ending: &str) -> String {
    let stem = match name.rsplit_once('.') {
        Some((stem, old)) if !stem.is_empty() && old.len() <= 5 => stem,
        _ => name,
    };
    let stem: String = stem.chars().take(LONGEST_NAME - ending.len() - 1).collect();
    format!("{stem}.{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_available_file_is_to_be_had() {
        for (state, slug) in [
            (FileState::Available, None),
            (FileState::PendingScan, Some(Slug::NotFound)),
            (FileState::Rejected, Some(Slug::FileRejected)),
            (FileState::Deleted, Some(Slug::Gone)),
        ] {
            assert_eq!(state.readable(Some("It is broken.")).err().map(|error| error.slug()), slug);
            assert_eq!(FileState::parse(state.text()).unwrap(), state);
        }
    }

    #[test]
    fn a_name_is_a_line() {
        for fine in ["a", "Größe 3.pdf", "…", ".profile"] {
            assert!(check_name("/name", fine).is_ok(), "{fine}");
        }
        for bad in ["", " ", "a/b", "a\\b", "a\nb", "..", &"x".repeat(201)] {
            assert!(check_name("/name", bad).is_err(), "{bad}");
        }
        assert_eq!(base_name("C:\\Users\\ada\\photo.jpg"), "photo.jpg");
        assert_eq!(base_name("../../etc/passwd"), "passwd");
    }

    #[test]
    fn a_name_in_a_header_can_not_break_out_of_it() {
        let text = disposition(false, "a\"; x=\"\u{e4}.txt");
        assert_eq!(
            text,
            "attachment; filename=\"a_; x=__.txt\"; filename*=UTF-8''a%22%3B%20x%3D%22%C3%A4.txt"
        );
        assert!(disposition(true, "a.png").starts_with("inline; "));
    }

    #[test]
    fn another_form_has_another_ending() {
        assert_eq!(renamed("photo.jpeg", "webp"), "photo.webp");
        assert_eq!(renamed(".profile", "webp"), ".profile.webp");
        assert_eq!(renamed("v1.final draft", "png"), "v1.final draft.png");
        assert!(renamed(&"x".repeat(200), "webp").chars().count() <= LONGEST_NAME);
    }
}
