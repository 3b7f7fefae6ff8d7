//! Text search over title, brand, categories and description: BM25 with field weights, the last word also as a prefix.
//!
//! Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009 (BM25F with one length per
//! item). An item's text is a document that is never changed: put again, it becomes a new document and the old one dies;
//! when too many are dead the lists are written anew. Invariant: an answer depends on the available items alone, not on
//! what came and went before, and ties go to the lower item. About 8 bytes per different word of an item and 12 per item.
//!
//! Why not a crate: tantivy is a store with threads, files and 100 dependencies; of the small ones, probly-search keeps a
//! node per letter and has had no release since 2024, bm25 copies every text and knows neither fields nor prefixes.

use std::ops::Range;

use crate::fold::marks::Marks;
use crate::items::{Catalogue, Dictionary, Item};
use crate::recall::words::each_word;

const K1: f32 = 1.2;
/// How much a long text is held against an item; titles are short, so less than the usual 0.75.
const B: f32 = 0.4;
const TITLE_WEIGHT: u32 = 4;
const BRAND_WEIGHT: u32 = 3;
const CATEGORY_WEIGHT: u32 = 2;
const DESCRIPTION_WEIGHT: u32 = 1;
/// A word that only begins with the last word of the query counts so much of the word itself.
const PREFIX_WEIGHT: f32 = 0.4;
/// Words of one item; the rest of a long description is not looked at.
const ITEM_WORDS_MAX: usize = 512;
const QUERY_CHARS_MAX: usize = 1_024;
const QUERY_WORDS_MAX: usize = 32;
/// Words that a prefix may stand for, of the first so many in the alphabet: those in the most items.
const EXPANSIONS_MAX: usize = 24;
const EXPANSIONS_SEEN_MAX: usize = 1_024;
/// A shorter beginning stands for too much to mean anything.
const PREFIX_CHARS_MIN: usize = 2;
/// Lists longer than this are worth the question whether new items can still come in by them.
const LONG_LIST: usize = 2_048;
const DEAD_MIN: usize = 1_024;
const NO_DOCUMENT: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Posting {
    document: u32,
    /// Occurrences, each by the weight of its field.
    count: u16,
    /// Of the document, by the same measure.
    length: u16,
}

#[derive(Debug, Clone, Copy)]
struct Document {
    item: u32,
    length: u16,
    alive: bool,
}

/// One word of a query with what it stands for.
struct Group {
    lists: Vec<(u32, f32)>,
    /// Documents, alive, in its lists; one in two of them counts twice.
    size: usize,
    /// More than it can add to a score.
    bound: f32,
    weight: f32,
}

#[derive(Debug, Clone, Default)]
pub struct TextIndex {
    active: bool,
    words: Dictionary,
    /// Numbers of words in the order of their letters; those that came later are not in it yet.
    alphabet: Vec<u32>,
    postings: Vec<Vec<Posting>>,
    documents: Vec<Document>,
    /// By item.
    document_of: Vec<u32>,
    alive: usize,
    /// Sum of the lengths of what is alive.
    length: u64,
    backlog: Marks,
    /// By document, zero between queries.
    scores: Vec<f32>,
    found: Vec<u32>,
}

/// Different words of a query in their order, and whether it ends inside the last one.
fn asked_words(query: &str) -> (Vec<String>, bool) {
    let end = query.char_indices().nth(QUERY_CHARS_MAX).map_or(query.len(), |(at, _)| at);
    let mut asked: Vec<String> = Vec::new();
    let mut count = 0;
    let open = each_word(&query[..end], &mut String::new(), &mut |word| {
        count += 1;
        if asked.len() < QUERY_WORDS_MAX && asked.iter().all(|w| w != word) {
            asked.push(word.to_owned());
        }
    });
    let open = open && end == query.len() && count <= QUERY_WORDS_MAX;
    (asked, open)
}

impl TextIndex {
    /// Items that can be found by their text.
    pub fn len(&self) -> usize {
        self.alive
    }

    pub fn is_empty(&self) -> bool {
        self.alive == 0
    }

    /// Remembers items that changed; before anybody searched there is nothing to keep up to date.
    pub fn changed(&mut self, items: &[u32]) {
        if self.active {
            items.iter().for_each(|item| self.backlog.insert(*item));
        }
    }

    /// Indexes up to `items_max` of what is not indexed yet, everything in the catalogue the first time; says how much is left.
    pub fn catch_up(&mut self, catalogue: &Catalogue, items_max: usize) -> usize {
        if !self.active {
            self.active = true;
            catalogue.iter_present().for_each(|(item, _)| self.backlog.insert(item));
        }
        if !self.backlog.is_empty() {
            let mut room = (String::new(), Vec::new());
            for item in self.backlog.take_some(items_max) {
                self.put(catalogue, item, &mut room);
            }
            if self.documents.len() - self.alive > DEAD_MIN + self.alive / 2 {
                self.compact();
            }
        }
        self.backlog.len()
    }

    /// A share of what is not indexed yet, once anybody searches here; true when nothing is left.
    pub fn keep_up(&mut self, catalogue: &Catalogue, items_max: usize) -> bool {
        !self.active || self.catch_up(catalogue, items_max) == 0
    }

    /// Best first, at most `n`; scores are above zero. What is not indexed yet is indexed first.
    pub fn search(&mut self, catalogue: &Catalogue, query: &str, n: usize) -> Vec<(u32, f32)> {
        self.catch_up(catalogue, usize::MAX);
        self.sort_alphabet();
        if n == 0 || self.alive == 0 {
            return Vec::new();
        }
        let groups = self.groups(query);
        self.scores.resize(self.documents.len(), 0.0);
        let mut left: f32 = groups.iter().map(|g| g.bound).sum();
        for group in &groups {
            // Words that are almost everywhere cannot lift an item that has none of the rare ones into the list.
            let closed = group.size > LONG_LIST && self.found.len() >= n && left < self.nth_best(n);
            left -= group.bound;
            for (word, factor) in &group.lists {
                self.add(*word, factor * group.weight, closed);
            }
        }
        self.take_best(n)
    }

    pub fn memory_bytes(&self) -> usize {
        let postings: usize = self.postings.iter().map(|p| p.capacity() * size_of::<Posting>()).sum();
        postings
            + self.postings.capacity() * size_of::<Vec<Posting>>()
            + self.documents.capacity() * size_of::<Document>()
            + (self.document_of.capacity() + self.alphabet.capacity() + self.found.capacity()) * 4
            + self.scores.capacity() * 4
            + self.words.memory_bytes()
    }

    fn put(&mut self, catalogue: &Catalogue, item: u32, (word, counts): &mut (String, Vec<(u32, u32)>)) {
        let at = item as usize;
        if self.document_of.len() <= at {
            self.document_of.resize(at + 1, NO_DOCUMENT);
        }
        if let Some(old) = self.documents.get_mut(std::mem::replace(&mut self.document_of[at], NO_DOCUMENT) as usize) {
            old.alive = false;
            self.alive -= 1;
            self.length -= u64::from(old.length);
        }
        let Some(data) = catalogue.get(item).filter(|i| i.available) else { return };
        counts.clear();
        self.read(catalogue, data, word, counts);
        if counts.is_empty() {
            return;
        }
        counts.sort_unstable();
        let length = counts.iter().map(|(_, w)| w).sum::<u32>().min(u32::from(u16::MAX)) as u16;
        let document = self.documents.len() as u32;
        for same in counts.chunk_by(|a, b| a.0 == b.0) {
            let count = same.iter().map(|(_, w)| w).sum::<u32>().min(u32::from(u16::MAX)) as u16;
            self.postings[same[0].0 as usize].push(Posting { document, count, length });
        }
        self.documents.push(Document { item, length, alive: true });
        self.document_of[at] = document;
        self.alive += 1;
        self.length += u64::from(length);
    }

    /// Words of an item with the weights of the fields they stand in.
    fn read(&mut self, catalogue: &Catalogue, item: &Item, word: &mut String, counts: &mut Vec<(u32, u32)>) {
        let TextIndex { words, postings, .. } = self;
        let mut add = |text: &str, weight: u32| {
            let mut keep = |word: &str| {
                if counts.len() < ITEM_WORDS_MAX {
                    let number = words.intern(word);
                    if number as usize == postings.len() {
                        postings.push(Vec::new());
                    }
                    counts.push((number, weight));
                }
            };
            each_word(text, word, &mut keep);
        };
        add(&item.text(item.title), TITLE_WEIGHT);
        if let Some(brand) = item.brand {
            add(catalogue.labels().id(brand), BRAND_WEIGHT);
        }
        for category in &item.categories {
            add(catalogue.category_name(*category), CATEGORY_WEIGHT);
        }
        add(&item.text(item.description), DESCRIPTION_WEIGHT);
    }

    /// The words of a query, the rarest first.
    fn groups(&self, query: &str) -> Vec<Group> {
        let (asked, open) = asked_words(query);
        let last = asked.len().saturating_sub(1);
        let mut groups: Vec<Group> =
            asked.iter().enumerate().filter_map(|(i, word)| self.group(word, open && i == last)).collect();
        groups.sort_by_key(|g| g.size);
        groups
    }

    fn group(&self, word: &str, as_prefix: bool) -> Option<Group> {
        let exact = self.words.index(word);
        let mut lists: Vec<(u32, f32)> = exact.iter().map(|w| (*w, 1.0)).collect();
        let mut found_in = exact.map_or(0, |w| self.found_in(w));
        let mut size = found_in;
        if as_prefix && word.chars().count() >= PREFIX_CHARS_MIN {
            let mut longer: Vec<(usize, u32)> = self.alphabet[self.beginning_with(word)]
                .iter()
                .filter(|w| Some(**w) != exact)
                .map(|w| (self.found_in(*w), *w))
                .filter(|(found_in, _)| *found_in > 0)
                .take(EXPANSIONS_SEEN_MAX)
                .collect();
            // Stable, so that words in equally many items stay in the order of their letters.
            longer.sort_by_key(|(found_in, _)| std::cmp::Reverse(*found_in));
            longer.truncate(EXPANSIONS_MAX);
            // All weigh as the word itself, or as all of them together: a rare ending is not a rare word.
            size += longer.iter().map(|(f, _)| f).sum::<usize>();
            if found_in == 0 {
                found_in = size.min(self.alive);
            }
            lists.extend(longer.iter().map(|(_, w)| (*w, PREFIX_WEIGHT)));
        }
        if found_in == 0 {
            return None;
        }
        let weight = self.weight(found_in);
        let bound = weight * lists.iter().map(|(_, f)| f).sum::<f32>();
        Some(Group { lists, size, bound, weight })
    }

    /// What a word is worth that so many items have.
    fn weight(&self, found_in: usize) -> f32 {
        (1.0 + (self.alive as f32 - found_in as f32 + 0.5) / (found_in as f32 + 0.5)).ln() * (K1 + 1.0)
    }

    /// Documents, alive, that have the word.
    fn found_in(&self, word: u32) -> usize {
        let list = &self.postings[word as usize];
        if self.alive == self.documents.len() {
            return list.len();
        }
        list.iter().filter(|p| self.documents[p.document as usize].alive).count()
    }

    /// A word that stands `count` times in a text of `length` is worth count / (count + base + slope · length) of its
    /// weight.
    fn saturation(&self) -> (f32, f32) {
        let mean = (self.length as f32 / self.alive as f32).max(1.0);
        (K1 * (1.0 - B), K1 * B / mean)
    }

    /// Adds a word's part to the scores; `closed`: only of what has a score already.
    fn add(&mut self, word: u32, weight: f32, closed: bool) {
        let (base, slope) = self.saturation();
        let worth = |p: &Posting| {
            let count = f32::from(p.count);
            weight * count / (count + base + slope * f32::from(p.length))
        };
        let TextIndex { postings, documents, scores, found, .. } = self;
        let list = &postings[word as usize];
        if closed && found.len() * 16 < list.len() {
            for document in found.iter() {
                let at = list.partition_point(|p| p.document < *document);
                if let Some(p) = list.get(at).filter(|p| p.document == *document) {
                    scores[*document as usize] += worth(p);
                }
            }
            return;
        }
        for p in list {
            let score = &mut scores[p.document as usize];
            if *score > 0.0 {
                *score += worth(p);
            } else if !closed && documents[p.document as usize].alive {
                *score = worth(p);
                found.push(p.document);
            }
        }
    }

    fn nth_best(&self, n: usize) -> f32 {
        let mut best: Vec<f32> = self.found.iter().map(|d| self.scores[*d as usize]).collect();
        *best.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a)).1
    }

    fn take_best(&mut self, n: usize) -> Vec<(u32, f32)> {
        let TextIndex { documents, scores, found, .. } = self;
        // Scores are above zero, so their bits order as they do; the larger key is better, ties to the lower item.
        let key = |d: &u32| {
            let score = std::mem::take(&mut scores[*d as usize]);
            (u64::from(score.to_bits()) << 32) | u64::from(!documents[*d as usize].item)
        };
        let mut best: Vec<u64> = found.iter().map(key).collect();
        found.clear();
        if best.len() > n {
            best.select_nth_unstable_by(n - 1, |a, b| b.cmp(a));
            best.truncate(n);
        }
        best.sort_unstable_by(|a, b| b.cmp(a));
        best.into_iter().map(|k| (!(k as u32), f32::from_bits((k >> 32) as u32))).collect()
    }

    fn sort_alphabet(&mut self) {
        let known = self.alphabet.len();
        if known == self.words.len() {
            return;
        }
        self.alphabet.extend(known as u32..self.words.len() as u32);
        let words = &self.words;
        // Two runs, one of them sorted: the sort of the standard library merges them.
        self.alphabet[known..].sort_unstable_by_key(|w| words.id(*w));
        self.alphabet.sort_by_key(|w| words.id(*w));
    }

    /// Places in the alphabet of the words that begin so.
    fn beginning_with(&self, prefix: &str) -> Range<usize> {
        let start = self.alphabet.partition_point(|w| self.words.id(*w) < prefix);
        let rest = &self.alphabet[start..];
        start..start + rest.partition_point(|w| self.words.id(*w).starts_with(prefix))
    }

    /// Writes the lists anew without the dead, and forgets the words that nothing has.
    fn compact(&mut self) {
        let mut numbers = vec![NO_DOCUMENT; self.documents.len()];
        let mut kept = Vec::with_capacity(self.alive + self.alive / 8);
        for (old, document) in self.documents.iter().enumerate().filter(|(_, d)| d.alive) {
            numbers[old] = kept.len() as u32;
            self.document_of[document.item as usize] = kept.len() as u32;
            kept.push(*document);
        }
        let mut words = Dictionary::default();
        let mut postings = Vec::new();
        for (word, list) in std::mem::take(&mut self.postings).into_iter().enumerate() {
            let renumbered = |p: &Posting| Posting { document: numbers[p.document as usize], ..*p };
            let mut list: Vec<Posting> = list.iter().map(renumbered).filter(|p| p.document != NO_DOCUMENT).collect();
            if !list.is_empty() {
                list.shrink_to_fit();
                words.intern(self.words.id(word as u32));
                postings.push(list);
            }
        }
        (self.words, self.postings, self.documents) = (words, postings, kept);
        self.alphabet.clear();
        self.scores = Vec::new();
    }
}

#[path = "text_match.rs"]
mod text_match;
pub use text_match::TextField;

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
