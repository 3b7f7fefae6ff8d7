//! Hashes that are written to disk or decide a placement. They never change: a change would move every user.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Hash of any identifier (item id, event id, category) as it is kept inside records.
#[inline]
pub fn id_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// The two namespaces of user keys are separate: user `a` and session `a` are different people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    User,
    Session,
}

/// Hash of a user key, written into every frame that belongs to one.
#[inline]
pub fn key_hash(namespace: Namespace, id: &str) -> u64 {
    let seed = match namespace {
        Namespace::User => 0x75_73_65_72,
        Namespace::Session => 0x73_65_73_73,
    };
    xxh3_64_with_seed(id.as_bytes(), seed)
}

/// Unit of order, state and hand-over; `partitions` is fixed when a data directory is made (256).
#[inline]
pub fn partition_of(key_hash: u64, partitions: u16) -> u16 {
    (key_hash % u64::from(partitions)) as u16
}
