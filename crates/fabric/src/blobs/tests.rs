use std::path::PathBuf;

use uuid::Uuid;

use super::*;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("blobs-{}", Uuid::new_v4())))
    }

    fn blobs(&self, durable: bool) -> Blobs {
        Blobs::in_folder(&self.0, durable, "default".parse().unwrap()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    for durable in [false, true] {
        let folder = Folder::new();
        let blobs = folder.blobs(durable);
        contract::check(&blobs).await.unwrap();
        assert_eq!(blobs.clear_staging().await.unwrap(), 0, "nothing is left of finished writes");
    }
}

#[tokio::test]
async fn a_prefix_goes_with_its_last_blob() {
    let folder = Folder::new();
    let (blobs, key) = (folder.blobs(false), "a/b".parse().unwrap());
    blobs.put(&key, "x").await.unwrap();
    assert_eq!(blobs.prefixes().await.unwrap(), ["default".parse().unwrap()]);
    blobs.delete_below(None).await.unwrap();
    assert!(blobs.prefixes().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_write_left_behind_is_cleared_and_never_read() {
    let folder = Folder::new();
    let blobs = folder.blobs(false);
    std::fs::create_dir_all(folder.0.join(STAGING)).unwrap();
    std::fs::write(folder.0.join(STAGING).join("half"), "x").unwrap();
    assert_eq!(blobs.clear_staging().await.unwrap(), 1);
    assert_eq!(blobs.clear_staging().await.unwrap(), 0);
}

#[tokio::test]
async fn blobs_are_there_after_a_restart() {
    let folder = Folder::new();
    let key: BlobKey = "a/b".parse().unwrap();
    folder.blobs(true).put(&key, "kept").await.unwrap();
    let again = folder.blobs(true);
    assert_eq!(again.get(&key, None).await.unwrap().unwrap().bytes(10).await.unwrap(), "kept");
    assert_eq!(
        again.get(&key, None).await.unwrap().unwrap().bytes(3).await.unwrap_err().slug(),
        Slug::PayloadTooLarge
    );
}
