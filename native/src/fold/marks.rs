//! A set of small numbers that is filled all the time and emptied now and then: what changed since the last flush.
//!
//! Invariant: `take` is ascending and names each number once, however often it was marked. Marking costs a bit test.

use std::collections::VecDeque;

#[derive(Debug, Clone, Default)]
pub struct Marks {
    bits: Vec<u64>,
    /// In the order of marking.
    list: VecDeque<u32>,
}

impl Marks {
    pub fn insert(&mut self, number: u32) {
        let (word, bit) = (number as usize / 64, 1u64 << (number % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.list.push_back(number);
        }
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What was marked, ascending; nothing is marked afterwards.
    pub fn take(&mut self) -> Vec<u32> {
        self.take_some(usize::MAX)
    }

    /// At most `n` of what was marked, those marked first, ascending.
    pub fn take_some(&mut self, n: usize) -> Vec<u32> {
        let mut taken: Vec<u32> = self.list.drain(..n.min(self.list.len())).collect();
        for number in &taken {
            self.bits[*number as usize / 64] &= !(1 << (number % 64));
        }
        taken.sort_unstable();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_once_and_in_order() {
        let mut marks = Marks::default();
        assert!(marks.is_empty());
        [70, 3, 70, 64, 3, 0].into_iter().for_each(|n| marks.insert(n));
        assert_eq!(marks.len(), 4);
        assert_eq!(marks.take(), [0, 3, 64, 70]);
        assert!(marks.is_empty() && marks.take().is_empty());
        [64, 9, 65, 64].into_iter().for_each(|n| marks.insert(n));
        assert_eq!(marks.take_some(2), [9, 64]);
        marks.insert(64);
        assert_eq!(marks.take(), [64, 65]);
    }
}
