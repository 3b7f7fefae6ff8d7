//! Bounded memories of hashes: which events were counted, which items were clicked or bought.

use crate::ahead::fetch;
use crate::codec::{put_u64, Reader};
use crate::error::{Error, Result};

/// The last `N` distinct hashes of `B` bytes each, oldest first. With 6 bytes and 256 entries a new id is mistaken for
/// an old one with probability 1e-12.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashRing<const N: usize, const B: usize> {
    /// Ordered by age; a plain scan over at most N entries beats a set of its size.
    hashes: Vec<u64>,
}

impl<const N: usize, const B: usize> HashRing<N, B> {
    pub(super) const MASK: u64 = if B >= 8 { u64::MAX } else { (1 << (8 * B)) - 1 };

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Bytes behind the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.hashes.capacity() * std::mem::size_of::<u64>()
    }

    /// Asks for the entries, which are about to be searched.
    pub fn fetch(&self) {
        fetch(&self.hashes[..]);
    }

    pub fn contains(&self, hash: u64) -> bool {
        let hash = hash & Self::MASK;
        self.hashes.contains(&hash)
    }

    /// Where in the order of age a hash stands.
    pub fn place(&self, hash: u64) -> Option<usize> {
        let hash = hash & Self::MASK;
        self.hashes.iter().position(|h| *h == hash)
    }

    /// False when it was there already.
    pub fn insert(&mut self, hash: u64) -> bool {
        let hash = hash & Self::MASK;
        if self.hashes.contains(&hash) {
            return false;
        }
        if self.hashes.len() == N {
            self.hashes.remove(0);
        }
        self.hashes.push(hash);
        true
    }

    pub fn remove(&mut self, hash: u64) {
        let hash = hash & Self::MASK;
        self.hashes.retain(|h| *h != hash);
    }

    /// The other's entries count as older than ours: they fill what room is left.
    pub fn merge_older(&mut self, other: &Self) {
        let room = N - self.hashes.len();
        let mut all: Vec<u64> = other.hashes.iter().copied().filter(|h| !self.hashes.contains(h)).collect();
        all.drain(..all.len().saturating_sub(room));
        all.append(&mut self.hashes);
        self.hashes = all;
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.hashes.iter().copied()
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.hashes.len() as u64);
        for h in &self.hashes {
            out.extend_from_slice(&h.to_le_bytes()[..B]);
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let n = r.u64()? as usize;
        if n > N {
            return Err(Error::corrupt(0, format!("{n} hashes in a ring of {N}")));
        }
        let bytes = r.take(n * B)?;
        let hashes = bytes
            .chunks_exact(B)
            .map(|c| {
                let mut wide = [0u8; 8];
                wide[..B].copy_from_slice(c);
                u64::from_le_bytes(wide)
            })
            .collect();
        Ok(HashRing { hashes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_n() {
        let mut ring = HashRing::<3, 6>::default();
        assert!(ring.insert(1) && ring.insert(2) && ring.insert(3));
        assert!(!ring.insert(1));
        assert!(ring.insert(4));
        assert!(!ring.contains(1), "the oldest goes, also when it was seen again");
        assert!(ring.contains(2) && ring.contains(4));
        let mut out = Vec::new();
        ring.encode(&mut out);
        assert_eq!(out.len(), 1 + 3 * 6);
        assert_eq!(HashRing::<3, 6>::decode(&mut Reader::new(&out)).unwrap(), ring);
        assert!(HashRing::<2, 6>::decode(&mut Reader::new(&out)).is_err());
        ring.remove(2);
        assert!(!ring.contains(2));
    }

    #[test]
    fn what_is_older_fills_the_room_that_is_left() {
        let ring = |hashes: &[u64]| {
            let mut ring = HashRing::<4, 6>::default();
            hashes.iter().for_each(|h| {
                ring.insert(*h);
            });
            ring
        };
        let mut mine = ring(&[5, 6, 7]);
        mine.merge_older(&ring(&[1, 6, 2]));
        assert_eq!(mine.iter().collect::<Vec<_>>(), [2, 5, 6, 7]);
        mine.merge_older(&ring(&[8]));
        assert_eq!(mine.iter().collect::<Vec<_>>(), [2, 5, 6, 7]);
        let mut none = ring(&[]);
        none.merge_older(&ring(&[1, 2]));
        assert_eq!(none.iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn only_the_kept_bytes_count() {
        let mut ring = HashRing::<4, 4>::default();
        assert!(ring.insert(0xff_0000_0001));
        assert!(ring.contains(0x01_0000_0001));
    }
}
