//! How alike two items are, from category levels, brand and attributes: weighted Jaccard over tokens.
//!
//! A token is 30 bits of a hash and two bits of its class, so a restart or another process makes the same tokens and
//! the weight needs no table per item. Every level of a category path is a token: a deeper shared prefix shares more of
//! them. Invariant: symmetric, within [0, 1], and 1 for equal token lists that are not empty.

use crate::hash::id_hash;

/// More tokens than this are cut, attributes first: it bounds the time of a comparison.
pub const TOKENS_MAX: usize = 64;
/// Longer attribute texts are prose, and equal prose is no sign of likeness that attributes should decide.
pub const TOKEN_TEXT_BYTES_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Category = 0,
    Brand = 1,
    Attribute = 2,
}

/// By class. Ten differing attributes weigh as much as one and a quarter category levels.
const WEIGHTS: [u32; 4] = [8, 4, 1, 0];

pub fn token(class: Class, name: &str, value: &str) -> u32 {
    let mixed = (id_hash(name).rotate_left(23) ^ id_hash(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) as u32 & !3) | class as u32
}

/// Sorted tokens with the sum of their weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    sorted: Box<[u32]>,
    weight: u32,
}

impl Tokens {
    /// Takes tokens in order of importance.
    pub fn new(tokens: &[u32]) -> Tokens {
        let mut list: Vec<u32> = Vec::with_capacity(tokens.len().min(TOKENS_MAX));
        for token in tokens {
            if list.len() == TOKENS_MAX {
                break;
            }
            if !list.contains(token) {
                list.push(*token);
            }
        }
        list.sort_unstable();
        let weight = list.iter().map(|t| WEIGHTS[(t & 3) as usize]).sum();
        Tokens { sorted: list.into(), weight }
    }

    pub fn as_slice(&self) -> &[u32] {
        &self.sorted
    }

    /// Shared weight over united weight; 0 when neither side has a token.
    #[inline]
    pub fn similarity(&self, other: &Tokens) -> f32 {
        let (a, b) = (&*self.sorted, &*other.sorted);
        let (mut i, mut j, mut shared) = (0, 0, 0u32);
        // No branch depends on the order of two hashes, which a processor cannot predict.
        while i < a.len() && j < b.len() {
            let (x, y) = (a[i], b[j]);
            shared += if x == y { WEIGHTS[(x & 3) as usize] } else { 0 };
            i += usize::from(x <= y);
            j += usize::from(y <= x);
        }
        if shared == 0 {
            return 0.0;
        }
        shared as f32 / (self.weight + other.weight - shared) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(categories: &[&str], brand: &str, attributes: &[(&str, &str)]) -> Tokens {
        let mut list: Vec<u32> = categories.iter().map(|c| token(Class::Category, "", c)).collect();
        list.push(token(Class::Brand, "", brand));
        list.extend(attributes.iter().map(|(k, v)| token(Class::Attribute, k, v)));
        Tokens::new(&list)
    }

    #[test]
    fn likeness_has_literal_values() {
        let a = tokens(&["m", "m > s", "m > s > r"], "n", &[("color", "red"), ("size", "9")]);
        assert_eq!(a.similarity(&a), 1.0);
        let same_leaf = tokens(&["m", "m > s", "m > s > r"], "o", &[("color", "red")]);
        assert_eq!(a.similarity(&same_leaf), 25.0 / (30.0 + 29.0 - 25.0));
        let same_middle = tokens(&["m", "m > s", "m > s > t"], "o", &[]);
        let same_top = tokens(&["m", "m > b", "m > b > t"], "o", &[]);
        assert_eq!(a.similarity(&same_middle), 16.0 / 42.0);
        assert_eq!(a.similarity(&same_top), 8.0 / 50.0);
        assert_eq!(a.similarity(&same_top), same_top.similarity(&a));
        assert_eq!(a.similarity(&tokens(&["x"], "y", &[])), 0.0);
        assert_eq!(Tokens::default().similarity(&Tokens::default()), 0.0);
    }

    #[test]
    fn tokens_are_distinct_sorted_and_bounded() {
        let many: Vec<u32> = (0..200).map(|i| token(Class::Attribute, "k", &i.to_string())).collect();
        let t = Tokens::new(&many);
        assert_eq!(t.as_slice().len(), TOKENS_MAX);
        assert!(t.as_slice().windows(2).all(|w| w[0] < w[1]));
        assert_eq!(Tokens::new(&[8, 4, 8, 4]).as_slice(), [4, 8]);
        assert_ne!(token(Class::Attribute, "a", "b"), token(Class::Attribute, "b", "a"));
        assert_ne!(token(Class::Brand, "", "b"), token(Class::Category, "", "b"));
    }
}
