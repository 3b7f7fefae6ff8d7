//! How a log is opened. Plain data; knows nothing of files.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, OsDisk};

/// Whether a group is synced before it counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncMode {
    #[default]
    Data,
    /// Durable means written: survives the process, not the machine. For measurements and throwaway data.
    Never,
}

#[derive(Clone)]
pub struct LogOptions {
    /// A segment is closed before a group that would take it beyond this; one group may be larger.
    pub segment_bytes: u64,
    pub sync: SyncMode,
    /// After each sync the file's name and synced length are appended here, one line each.
    pub recorder: Option<PathBuf>,
    /// Nothing is written, cut or locked; the valid prefix is served.
    pub read_only: bool,
    /// Accept damage: its ranges are reported, remembered in `gaps` and stepped over by readers.
    pub salvage: bool,
    /// The file operations of the commit path; tests put a failing disk here.
    pub disk: Arc<dyn Disk>,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            segment_bytes: 64 << 20,
            sync: SyncMode::Data,
            recorder: None,
            read_only: false,
            salvage: false,
            disk: Arc::new(OsDisk),
        }
    }
}
