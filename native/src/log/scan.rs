//! Reads a whole segment, checks every frame, and finds where valid frames begin again after damage.
//!
//! Invariant: frames and holes together cover the segment without overlap. Whether a hole matters is not decided here.

use super::frame::{whole, Frame, HEADER_BYTES};

/// Bytes that are no valid frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    pub from: u64,
    pub to: u64,
    pub why: &'static str,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    pub holes: Vec<Hole>,
    /// Markers left out.
    pub frames: u64,
    /// Start and stated end of the last group whose marker is valid.
    pub last_group: Option<(u64, u64)>,
    pub newest_received_ms: u64,
}

pub fn scan(bytes: &[u8], base: u64) -> Scan {
    let mut out = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        let offset = base.saturating_add(at as u64);
        match Frame::parse(&bytes[at..], offset) {
            Ok(frame) => {
                at += HEADER_BYTES + frame.body.len();
                if frame.is_marker() {
                    out.last_group = frame.group_end().map(|end| (offset, end)).or(out.last_group);
                } else {
                    out.frames += 1;
                    out.newest_received_ms = out.newest_received_ms.max(frame.header.received_ms);
                }
            }
            Err(_) => {
                let why = whole(&bytes[at..]).err().unwrap_or("damaged");
                at = next_frame(bytes, at + 1);
                out.holes.push(Hole { from: offset, to: base.saturating_add(at as u64), why });
            }
        }
    }
    out
}

/// Position of the next valid frame from `at` on, or the end.
fn next_frame(bytes: &[u8], at: usize) -> usize {
    (at..bytes.len()).find(|&i| whole(&bytes[i..]).is_ok()).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::super::frame::{push_frame, push_marker, FrameHeader};
    use super::*;

    #[test]
    fn a_hole_ends_where_valid_frames_begin_again() {
        let mut bytes = Vec::new();
        push_marker(&mut bytes, 1000, 44 + 3 * 33);
        for received_ms in [5, 7, 6] {
            let h = FrameHeader { kind: 1, flags: 0, partition: 0, key_hash: 0, received_ms };
            push_frame(&mut bytes, &h, b"hello");
        }
        let clean = scan(&bytes, 1000);
        assert_eq!((clean.frames, clean.newest_received_ms, clean.last_group), (3, 7, Some((1000, 1143))));
        assert!(clean.holes.is_empty());
        for at in 77..110 {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            let found = scan(&bad, 1000);
            assert_eq!(found.frames, 2, "byte {at}");
            assert_eq!((found.holes.len(), found.holes[0].from, found.holes[0].to), (1, 1077, 1110), "byte {at}");
        }
    }

    #[test]
    fn zeros_and_text_hold_no_frames() {
        let mut bytes = vec![0u8; 4096];
        bytes.extend_from_slice("not a frame, only words ".repeat(100).as_bytes());
        let found = scan(&bytes, 0);
        assert_eq!((found.frames, found.holes.len(), found.holes[0].to), (0, 1, bytes.len() as u64));
    }
}
