//! What Postgres is told on its command line. No file in the data folder holds settings, so that each version of
//! the kernel runs with its own.

use std::ffi::OsString;
use std::path::Path;

use super::Durability;

/// How Postgres serves: where it listens and how it keeps data.
#[derive(Debug, Clone)]
pub(super) struct Settings<'a> {
    pub(super) durability: Durability,
    pub(super) socket_dir: &'a Path,
    pub(super) port: u16,
    pub(super) tcp: bool,
    pub(super) max_connections: u32,
}

impl Settings<'_> {
    /// The arguments that follow `postgres -D <folder>`.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let mut set = |name: &str, value: OsString| {
            let mut argument = OsString::from(name);
            argument.push("=");
            argument.push(value);
            arguments.extend([OsString::from("-c"), argument]);
        };
        let mut socket_dir = OsString::from("\"");
        socket_dir.push(self.socket_dir);
        socket_dir.push("\"");
        set("unix_socket_directories", socket_dir);
        set("port", self.port.to_string().into());
        set("listen_addresses", if self.tcp { "127.0.0.1" } else { "" }.into());
        set("max_connections", self.max_connections.to_string().into());
        // Without /dev/shm (an empty image) the memory that parallel queries share lies in files.
        let shared = if rustix::fs::access("/dev/shm", rustix::fs::Access::WRITE_OK).is_ok() {
            "posix"
        } else {
            "mmap"
        };
        set("dynamic_shared_memory_type", shared.into());
        for (name, value) in COMMON.iter().chain(self.durability.settings()) {
            set(name, (*value).into());
        }
        arguments
    }
}

impl Durability {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Memory => &[
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
                ("wal_writer_delay", "200ms"),
            ],
            // Three times the delay is the longest a commit stays unwritten: 180 ms.
            Self::Hybrid => &[("fsync", "on"), ("synchronous_commit", "off"), ("wal_writer_delay", "60ms")],
            Self::Persistent => &[("fsync", "on"), ("synchronous_commit", "on")],
        }
    }
}

const COMMON: &[(&str, &str)] = &[
    ("unix_socket_permissions", "0700"),
    ("cluster_name", "platform-kernel"),
    // A small footprint when idle; the system's page cache holds the rest.
    ("shared_buffers", "64MB"),
    ("huge_pages", "off"),
    ("work_mem", "8MB"),
    ("maintenance_work_mem", "64MB"),
    ("effective_cache_size", "512MB"),
    ("random_page_cost", "1.1"),
    // Queries are short and many; compiling them costs more than it gives.
    ("jit", "off"),
    ("max_parallel_workers", "2"),
    // Nothing replicates from this server: the log is for crashes only, and smaller for it.
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_logical_replication_workers", "0"),
    ("wal_compression", "lz4"),
    ("default_toast_compression", "lz4"),
    ("max_wal_size", "1GB"),
    ("checkpoint_timeout", "15min"),
    // After a crash one call instead of one for each of the thousands of files of many databases.
    ("recovery_init_sync_method", "syncfs"),
    ("autovacuum", "on"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("password_encryption", "scram-sha-256"),
    // The log goes to the kernel's. Statements and details hold people's data: they stay out.
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    ("log_line_prefix", ""),
    ("log_error_verbosity", "terse"),
    ("log_min_error_statement", "panic"),
    ("log_checkpoints", "off"),
    ("log_startup_progress_interval", "5s"),
];
