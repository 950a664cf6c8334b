//! All SQL of files.

use fabric::{
    postgres::{FromRow, Handle, Tx},
    sql,
};
use kernel::{Error, Result, TenantId, Timestamp, UserId};

use crate::model::{Bucket, FileId, FileState, MOST_AWAITED, MOST_UPLOADS};

/// A file.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct FileRow {
    pub id: FileId,
    pub tenant_id: TenantId,
    bucket: String,
    pub name: String,
    pub description: Option<String>,
    pub media_type: String,
    pub size: i64,
    pub sha256: Vec<u8>,
    state: String,
    pub reason: Option<String>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub is_transparent: Option<bool>,
    pub derived_from: Option<FileId>,
    pub uploaded_by: Option<UserId>,
    pub version: i32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    pub destroy_at: Option<Timestamp>,
}

impl FileRow {
    pub(crate) fn bucket(&self) -> Result<Bucket> {
        Bucket::parse("bucket", &self.bucket).map_err(Error::internal)
    }

    pub(crate) fn state(&self) -> Result<FileState> {
        FileState::parse(&self.state)
    }
}

/// A file to be noted.
pub(crate) struct NewFile<'a> {
    pub id: FileId,
    pub bucket: Bucket,
    pub name: &'a str,
    pub media_type: &'a str,
    pub size: u64,
    pub sha256: &'a [u8],
    pub state: FileState,
    pub reason: Option<&'a str>,
    pub look: Look,
    pub derived_from: Option<FileId>,
    pub uploaded_by: Option<UserId>,
    pub destroy_at: Option<Timestamp>,
}

/// What a picture looks like; nothing for what is none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub is_transparent: Option<bool>,
}

/// Notes an upload with what it reserves. False: the tenant has too many.
pub(crate) async fn begin_upload(tx: &mut Tx, id: FileId, bucket: Bucket, bytes: i64) -> Result<bool> {
    let noted = tx
        .query(sql!(
            "insert into files.upload (id, tenant_id, bucket, reserved)
             select $2, $1, $3, $4
             where (select count(*) from files.upload u where kernel.owns($1, u.tenant_id)) < $5"
        ))
        .bind(id)
        .bind(bucket.text())
        .bind(bytes)
        .bind(MOST_UPLOADS)
        .run()
        .await?;
    Ok(noted == 1)
}

/// An upload reserves more.
pub(crate) async fn grow_upload(tx: &mut Tx, id: FileId, bytes: i64) -> Result<bool> {
    let grown = tx
        .query(sql!(
            "update files.upload u set reserved = u.reserved + $3 where kernel.owns($1, u.tenant_id) and u.id = $2"
        ))
        .bind(id)
        .bind(bytes)
        .run()
        .await?;
    Ok(grown == 1)
}

/// Ends an upload; tells what it had reserved, if it was still there.
pub(crate) async fn end_upload(tx: &mut Tx, id: FileId) -> Result<Option<i64>> {
    tx.query(sql!(
        "delete from files.upload u where kernel.owns($1, u.tenant_id) and u.id = $2 returning u.reserved"
    ))
    .bind(id)
    .optional_value()
    .await
}

/// Uploads that began so many seconds ago or earlier: their process has died.
pub(crate) async fn dead_uploads(system: &Handle, seconds: f64) -> Result<Vec<(TenantId, FileId, String)>> {
    system
        .query(sql!(
            "select tenant_id, id, bucket from files.upload
             where started_at < clock_timestamp() - make_interval(secs => $1) limit 100"
        ))
        .bind(seconds)
        .all()
        .await
}

/// A file that its client brings to the store.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct AwaitedRow {
    pub id: FileId,
    pub tenant_id: TenantId,
    bucket: String,
    pub name: String,
    pub media_type: String,
    size: i64,
    pub uploaded_by: Option<UserId>,
    pub expires_at: Timestamp,
}

impl AwaitedRow {
    pub(crate) fn bucket(&self) -> Result<Bucket> {
        Bucket::parse("bucket", &self.bucket).map_err(Error::internal)
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.unsigned_abs()
    }
}

/// Notes a file that is awaited. None: of this tenant too many are.
pub(crate) async fn await_file(
    tx: &mut Tx,
    bucket: Bucket,
    (name, media_type, size): (&str, &str, i64),
    uploaded_by: Option<UserId>,
    expires_at: Timestamp,
) -> Result<Option<AwaitedRow>> {
    tx.query(sql!(
        "insert into files.awaited (id, tenant_id, bucket, name, media_type, size, uploaded_by, expires_at)
         select $2, $1, $3, $4, $5, $6, $7, $8
         where (select count(*) from files.awaited a where kernel.owns($1, a.tenant_id)) < $9
         returning *"
    ))
    .bind(FileId::new())
    .bind(bucket.text())
    .bind(name)
    .bind(media_type)
    .bind(size)
    .bind(uploaded_by)
    .bind(expires_at)
    .bind(MOST_AWAITED)
    .optional()
    .await
}

/// A file that is awaited.
pub(crate) async fn awaited(handle: &Handle, id: FileId) -> Result<AwaitedRow> {
    handle
        .query(sql!("select a.* from files.awaited a where kernel.owns($1, a.tenant_id) and a.id = $2"))
        .bind(id)
        .optional()
        .await?
        .ok_or_else(|| Error::not_found("file"))
}

/// A file is awaited no longer; false when it was not any more.
pub(crate) async fn end_awaiting(tx: &mut Tx, id: FileId) -> Result<bool> {
    let gone = tx
        .query(sql!("delete from files.awaited a where kernel.owns($1, a.tenant_id) and a.id = $2"))
        .bind(id)
        .run()
        .await?;
    Ok(gone == 1)
}

/// Notes a file.
pub(crate) async fn insert(tx: &mut Tx, file: &NewFile<'_>) -> Result<FileRow> {
    tx.query(sql!(
        "insert into files.file (id, tenant_id, bucket, name, media_type, size, sha256, state, reason, width, height,
                                 is_transparent, derived_from, uploaded_by, destroy_at)
         values ($2, $1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         returning *"
    ))
    .bind(file.id)
    .bind(file.bucket.text())
    .bind(file.name)
    .bind(file.media_type)
    .bind(i64::try_from(file.size).unwrap_or(i64::MAX))
    .bind(file.sha256)
    .bind(file.state.text())
    .bind(file.reason)
    .bind(file.look.width)
    .bind(file.look.height)
    .bind(file.look.is_transparent)
    .bind(file.derived_from)
    .bind(file.uploaded_by)
    .bind(file.destroy_at)
    .one()
    .await
}

/// One file.
pub(crate) async fn find(handle: &Handle, id: FileId) -> Result<FileRow> {
    handle
        .query(sql!("select f.* from files.file f where kernel.owns($1, f.tenant_id) and f.id = $2"))
        .bind(id)
        .optional()
        .await?
        .ok_or_else(|| Error::not_found("file"))
}

/// One file, kept from others until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: FileId) -> Result<FileRow> {
    tx.query(sql!(
        "select f.* from files.file f where kernel.owns($1, f.tenant_id) and f.id = $2 for no key update"
    ))
    .bind(id)
    .optional()
    .await?
    .ok_or_else(|| Error::not_found("file"))
}

/// The files wanted.
pub(crate) struct Wanted<'a> {
    pub bucket: Option<Bucket>,
    /// Of these states.
    pub states: &'a [FileState],
    pub after: Option<(Timestamp, FileId)>,
    pub most: i64,
}

/// Files, the latest first.
pub(crate) async fn list(handle: &Handle, wanted: &Wanted<'_>) -> Result<Vec<FileRow>> {
    let (after_time, after_id) = wanted.after.unzip();
    let states: Vec<&str> = wanted.states.iter().map(|state| state.text()).collect();
    handle
        .query(sql!(
            "select f.* from files.file f
             where kernel.owns($1, f.tenant_id) and f.state = any ($2) and ($3::text is null or f.bucket = $3)
               and ($4::timestamptz is null or (f.created_at, f.id) < ($4, $5::uuid))
             order by f.created_at desc, f.id desc limit $6"
        ))
        .bind(states)
        .bind(wanted.bucket.map(Bucket::text))
        .bind(after_time)
        .bind(after_id)
        .bind(wanted.most)
        .all()
        .await
}

/// How many files of these states there are.
pub(crate) async fn count(handle: &Handle, bucket: Option<Bucket>, states: &[FileState]) -> Result<i64> {
    let states: Vec<&str> = states.iter().map(|state| state.text()).collect();
    handle
        .query(sql!(
            "select count(*) from files.file f
             where kernel.owns($1, f.tenant_id) and f.state = any ($2) and ($3::text is null or f.bucket = $3)"
        ))
        .bind(states)
        .bind(bucket.map(Bucket::text))
        .value()
        .await
}

/// Another name or description; what is none stays.
pub(crate) async fn rename(
    tx: &mut Tx,
    id: FileId,
    name: Option<&str>,
    description: Option<&str>,
) -> Result<FileRow> {
    tx.query(sql!(
        "update files.file f
         set name = coalesce($3, f.name),
             description = case when $4::text is null then f.description else nullif($4, '') end,
             version = f.version + 1, updated_at = kernel.now()
         where kernel.owns($1, f.tenant_id) and f.id = $2 returning f.*"
    ))
    .bind(id)
    .bind(name)
    .bind(description)
    .one()
    .await
}

/// What the scan found.
pub(crate) async fn scanned(
    tx: &mut Tx,
    id: FileId,
    state: FileState,
    reason: Option<&str>,
    look: Look,
    destroy_at: Option<Timestamp>,
) -> Result<FileRow> {
    tx.query(sql!(
        "update files.file f
         set state = $3, reason = $4, width = $5, height = $6, is_transparent = $7, destroy_at = $8,
             version = f.version + 1, updated_at = kernel.now()
         where kernel.owns($1, f.tenant_id) and f.id = $2 returning f.*"
    ))
    .bind(id)
    .bind(state.text())
    .bind(reason)
    .bind(look.width)
    .bind(look.height)
    .bind(look.is_transparent)
    .bind(destroy_at)
    .one()
    .await
}

/// Deletes a file for now, or brings it back.
pub(crate) async fn set_deleted(
    tx: &mut Tx,
    id: FileId,
    deleted: Option<(Timestamp, Timestamp)>,
) -> Result<FileRow> {
    let (deleted_at, destroy_at) = deleted.unzip();
    tx.query(sql!(
        "update files.file f
         set state = case when $3::timestamptz is null then 'available' else 'deleted' end, deleted_at = $3,
             destroy_at = $4, version = f.version + 1, updated_at = kernel.now()
         where kernel.owns($1, f.tenant_id) and f.id = $2 returning f.*"
    ))
    .bind(id)
    .bind(deleted_at)
    .bind(destroy_at)
    .one()
    .await
}

/// Removes a file's row.
pub(crate) async fn remove(tx: &mut Tx, id: FileId) -> Result<()> {
    tx.query(sql!("delete from files.file f where kernel.owns($1, f.tenant_id) and f.id = $2"))
        .bind(id)
        .run()
        .await?;
    Ok(())
}
