//! What is told of files, on `platform.files.events`; the key is the file's id.

/// A file came, and was kept or refused.
pub(crate) const UPLOADED: &str = "files.file.uploaded";
/// The scan found nothing: the file is to be had.
pub(crate) const AVAILABLE: &str = "files.file.available";
/// The scan refused it.
pub(crate) const REJECTED: &str = "files.file.rejected";
/// It was deleted; for 30 days it can be brought back.
pub(crate) const DELETED: &str = "files.file.deleted";
/// It was brought back.
pub(crate) const RESTORED: &str = "files.file.restored";
/// It is gone for good.
pub(crate) const DESTROYED: &str = "files.file.destroyed";
/// An image was made from another one.
pub(crate) const PROCESSED: &str = "files.image.processed";
