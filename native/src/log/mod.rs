//! The log: everything that changes an answer, in the order in which it became durable.
//!
//! A log is a directory:
//!
//! ```text
//! 00000000000000000000.log   segments, named by the offset of their first byte (20 digits)
//! synced                     a lower bound of the synced length; also the lock of the writer
//! gaps                       ranges of offsets that hold no frames (only after damage or a failed disk)
//! ```
//!
//! Offsets are logical byte positions: the base of a segment plus the position in its file. Segments have no header, so
//! the arithmetic has no exceptions. An offset is never used twice within the life of a process, nor once its bytes were
//! synced. The frame layout is in `frame`.
//!
//! **One group, one write, one sync.** The commit thread takes everything queued, writes it with one write, syncs, and
//! publishes `durable`. Each group begins with a marker frame that states its own offset and length. A group is written
//! only after the one before it was synced, so a marker at offset `m` proves that every byte before `m` was on the disk,
//! and bytes beyond the end of a group prove that the group was. That tells a torn tail (damage in the last, unproven
//! write: cut) from damage to what had been synced (reported), even when the blocks of one write land out of order.
//! `synced` covers the last group when only the process died. `recover` applies the rule.
//!
//! Invariant: a byte below `durable` is never changed, and nothing that was refused or lost ever appears.
//! What the log does not know: what the bodies mean, what time it is, and who reads.

mod disk;
mod frame;
mod gaps;
mod options;
mod read;
mod recover;
mod retain;
mod scan;
mod segment;
mod store;
mod synced;
mod sys;
mod writer;

pub use disk::{Disk, OsDisk};
pub use frame::{push_frame, Frame, FrameHeader, FrameIter, FLAGS_MAX, FRAME_BYTES_MAX, HEADER_BYTES, KIND_MAX};
pub use options::{LogOptions, SyncMode};
pub use read::Verified;
pub use recover::{Damage, Recovery};
pub use segment::SegmentInfo;
pub use store::Log;
