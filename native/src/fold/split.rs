//! Who sees a bundle that is tried beside the one in use: a stable share of the people, and how often each side clicked.
//!
//! Invariant: the side is a function of the user key and the salt. It does not know bundles.

use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Debug, Clone)]
pub struct Split {
    salt: u64,
    below: u64,
    /// Clicks by side: of those who stay, of those who see what is tried.
    pub clicks: [u64; 2],
}

impl Split {
    /// `share` of the people, in [0, 1], see what is tried.
    pub fn new(salt: u64, share: f64) -> Split {
        Split { salt, below: (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64, clicks: [0, 0] }
    }

    pub fn is_tried_on(&self, key_hash: u64) -> bool {
        xxh3_64_with_seed(&key_hash.to_le_bytes(), self.salt) < self.below
    }

    pub fn clicked(&mut self, key_hash: u64) {
        self.clicks[usize::from(self.is_tried_on(key_hash))] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{key_hash, Namespace};

    fn people(n: usize) -> Vec<u64> {
        (0..n).map(|at| key_hash(Namespace::User, &format!("u{at}"))).collect()
    }

    #[test]
    fn a_share_of_the_people_and_always_the_same_ones() {
        let people = people(20_000);
        for share in [0.0, 0.01, 0.5, 1.0] {
            let split = Split::new(7, share);
            let tried: Vec<bool> = people.iter().map(|hash| split.is_tried_on(*hash)).collect();
            let found = tried.iter().filter(|on| **on).count() as f64 / people.len() as f64;
            assert!((found - share).abs() < 0.01, "{found} of {share}");
            assert_eq!(tried, people.iter().map(|hash| Split::new(7, share).is_tried_on(*hash)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_larger_share_keeps_those_it_had_and_another_salt_draws_others() {
        let people = people(20_000);
        let on =
            |salt, share| -> Vec<bool> { people.iter().map(|h| Split::new(salt, share).is_tried_on(*h)).collect() };
        assert!(on(7, 0.1).iter().zip(on(7, 0.3)).all(|(few, many)| !few || many));
        let both = on(7, 0.1).iter().zip(on(8, 0.1)).filter(|(a, b)| **a && *b).count();
        assert!((100..300).contains(&both), "{both}: independent draws share a tenth of a tenth");
    }

    #[test]
    fn clicks_are_counted_on_their_side() {
        let mut split = Split::new(1, 0.3);
        let people = people(50);
        people.iter().for_each(|hash| split.clicked(*hash));
        let tried = people.iter().filter(|hash| split.is_tried_on(**hash)).count() as u64;
        assert_eq!(split.clicks, [50 - tried, tried]);
    }
}
