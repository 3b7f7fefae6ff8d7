//! Category paths: `a > b > c` and every level above it, numbered.
//!
//! Invariant: a category's parent was numbered before it. Numbers live as long as the process and follow the order of
//! arrival, so they are never written to disk.

use super::dictionary::Dictionary;

const SEPARATOR: &str = " > ";
/// Levels below this belong to the last one's name: it bounds what one long path can add.
const LEVELS_MAX: usize = 16;
const ROOT: u32 = u32::MAX;

#[derive(Debug, Clone, Default)]
pub struct Categories {
    names: Dictionary,
    parents: Vec<u32>,
}

impl Categories {
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The whole path of a category, `a > b`.
    #[inline]
    pub fn name(&self, category: u32) -> &str {
        self.names.id(category)
    }

    pub fn index(&self, path: &str) -> Option<u32> {
        self.names.index(&normal(path))
    }

    /// Numbers the path and all its levels; `None` when no level has a name.
    pub(super) fn intern(&mut self, path: &str) -> Option<u32> {
        let path = normal(path);
        let mut parent = ROOT;
        let mut end = 0;
        for level in path.splitn(LEVELS_MAX, SEPARATOR) {
            end += if end == 0 { level.len() } else { SEPARATOR.len() + level.len() };
            let category = self.names.intern(&path[..end]);
            if category as usize == self.parents.len() {
                self.parents.push(parent);
            }
            parent = category;
        }
        (end > 0).then_some(parent)
    }

    /// The category itself and its parents, deepest first.
    pub fn ancestors(&self, category: u32) -> impl Iterator<Item = u32> + '_ {
        let known = |c: &u32| (*c as usize) < self.parents.len();
        std::iter::successors(Some(category).filter(known), move |c| Some(self.parents[*c as usize]).filter(known))
    }

    /// The first level of the category's path.
    pub fn top(&self, category: u32) -> u32 {
        self.ancestors(category).last().unwrap_or(category)
    }

    pub fn memory_bytes(&self) -> usize {
        self.names.memory_bytes() + self.parents.capacity() * 4
    }
}

/// The path with trimmed levels and no empty ones.
pub fn normal(path: &str) -> String {
    let levels: Vec<&str> = path.split(SEPARATOR).map(str::trim).filter(|level| !level.is_empty()).collect();
    levels.join(SEPARATOR)
}

/// Whether a level of this path, at any depth, has the name.
pub fn has_level(path: &str, name: &str) -> bool {
    path.split(SEPARATOR).any(|level| level == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_a_path_is_a_category() {
        let mut c = Categories::default();
        let leaf = c.intern("Men > Shoes > Running").unwrap();
        let names: Vec<&str> = c.ancestors(leaf).map(|i| c.name(i)).collect();
        assert_eq!(names, ["Men > Shoes > Running", "Men > Shoes", "Men"]);
        assert_eq!(c.len(), 3);
        assert_eq!(c.intern(" Men >  Shoes "), Some(1));
        assert_eq!(c.intern("Shoes"), Some(3));
        assert_eq!(c.top(leaf), 0);
        assert_eq!(c.index("Men > Shoes"), Some(1));
        assert_eq!(c.index("Running"), None);
        assert_eq!(c.intern(" > "), None);
        assert_eq!(c.intern(""), None);
        assert_eq!(c.intern("a>b").map(|i| c.ancestors(i).count()), Some(1));
        assert_eq!(c.ancestors(99).count(), 0);
    }

    #[test]
    fn a_path_deeper_than_the_bound_ends_in_one_long_level() {
        let mut c = Categories::default();
        let path = ["x"; 20].join(SEPARATOR);
        let leaf = c.intern(&path).unwrap();
        assert_eq!(c.ancestors(leaf).count(), LEVELS_MAX);
        assert_eq!(c.name(leaf), path);
    }

    #[test]
    fn a_level_is_found_by_name() {
        assert!(has_level("Men > Shoes", "Shoes"));
        assert!(has_level("Men", "Men"));
        assert!(!has_level("Men > Shoes", "Sho"));
    }
}
