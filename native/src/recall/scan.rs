//! Nearest items by scan: all of them in half bytes, the best of those again in bytes.
//!
//! A walk over every item costs what it reads of memory, so it reads four bits per dimension: blocks of 32 items, eight
//! dimensions of a block together, so that one load serves as many items as a register has room for and no sum across a
//! register is needed. The best `n` by these sums, and as many again and more, are scored by a second copy of a byte per
//! dimension, item by item; `vectors` settles the border among those with the rows themselves.
//!
//! There is no heap: a threshold is guessed from every 32nd block, one walk keeps what reaches it, and when the guess was
//! too high (an order of items that the sample does not see) the walk is made again with a threshold that follows it.
//! Invariant: the walk finds exactly the largest keys over the live items, whatever the guess was.

use crate::ahead::in_large_pages;
use crate::recall::simd::{collect, rescore_bytes, score_of, Hit, Line, Pass, Quads, BLOCK};

/// Codes of items in the walk are within ±7, kept with an offset; those of the query within ±63, so that the products of
/// eight groups fit 16 bits.
const HALF_MAX: f32 = 7.0;
const HALF_QUERY_MAX: f32 = 63.0;
const OFFSET: u8 = 8;
/// Dimensions of a line.
const LINE_DIMENSIONS: usize = 8;
/// Codes of the second copy, and of the query against it.
const BYTE_MAX: f32 = 127.0;
/// One block of so many is looked at to guess the threshold.
const SAMPLE_STEP: usize = 32;
/// Smaller vectors than this are all zero: their scale would not be a number.
const LENGTH_MIN: f32 = 1e-30;

/// Vectors in half bytes and in bytes, by item.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    dimension: usize,
    lines: Vec<Line>,
    scales: Vec<f32>,
    /// Row by row, by item.
    bytes: Vec<i8>,
    byte_scales: Vec<f32>,
    /// By block, a bit for each item that may be found.
    live: Vec<u32>,
    live_len: usize,
}

/// Room that a search needs, kept between searches.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    pub hits: Vec<Hit>,
    order: Vec<Hit>,
    query: Vec<Quads>,
    query_bytes: Vec<i8>,
}

impl Codes {
    pub fn new(dimension: usize) -> Codes {
        Codes { dimension, ..Codes::default() }
    }

    /// Lines of a block.
    fn groups(&self) -> usize {
        self.dimension.div_ceil(LINE_DIMENSIONS)
    }

    /// Items that may be found.
    pub fn live_len(&self) -> usize {
        self.live_len
    }

    pub fn is_live(&self, item: u32) -> bool {
        self.live.get(item as usize / BLOCK).is_some_and(|bits| bits >> (item as usize % BLOCK) & 1 == 1)
    }

    /// Makes room for items below `len`; they are zero and may not be found.
    pub fn grow(&mut self, len: usize) {
        let blocks = len.div_ceil(BLOCK);
        if blocks <= self.live.len() {
            return;
        }
        let groups = self.groups();
        if blocks > self.live.capacity() {
            // An eighth ahead, not twice: the codes are the largest thing here.
            let more = blocks + blocks / 8 - self.live.len();
            self.lines.reserve_exact(more * groups);
            self.bytes.reserve_exact(more * BLOCK * self.dimension);
            in_large_pages(&self.lines);
            in_large_pages(&self.bytes);
            self.scales.reserve_exact(more * BLOCK);
            self.byte_scales.reserve_exact(more * BLOCK);
            self.live.reserve_exact(more);
        }
        self.lines.resize(blocks * groups, Line([OFFSET | OFFSET << 4; 4 * BLOCK]));
        self.bytes.resize(blocks * BLOCK * self.dimension, 0);
        self.scales.resize(blocks * BLOCK, 0.0);
        self.byte_scales.resize(blocks * BLOCK, 0.0);
        self.live.resize(blocks, 0);
    }

    pub fn set_live(&mut self, item: u32, live: bool) {
        let (block, bit) = (item as usize / BLOCK, 1u32 << (item as usize % BLOCK));
        let held = self.live[block] & bit != 0;
        if held != live {
            self.live[block] ^= bit;
            self.live_len = if live { self.live_len + 1 } else { self.live_len - 1 };
        }
    }

    /// Writes the vector of an item that there is room for.
    pub fn set(&mut self, item: u32, vector: &[f32]) {
        let (block, at, groups) = (item as usize / BLOCK, item as usize % BLOCK, self.groups());
        let (scale, inverse) = scale_of(vector, HALF_MAX);
        self.scales[item as usize] = scale;
        for (group, eight) in vector.chunks(LINE_DIMENSIONS).enumerate() {
            let line = &mut self.lines[block * groups + group].0[4 * at..4 * at + 4];
            let code = |x: Option<&f32>| (x.map_or(0, |x| code_of(*x, inverse, HALF_MAX)) + i32::from(OFFSET)) as u8;
            for (i, byte) in line.iter_mut().enumerate() {
                *byte = code(eight.get(i)) | code(eight.get(i + 4)) << 4;
            }
        }
        let (scale, inverse) = scale_of(vector, BYTE_MAX);
        self.byte_scales[item as usize] = scale;
        let row = &mut self.bytes[item as usize * self.dimension..][..vector.len()];
        row.iter_mut().zip(vector).for_each(|(byte, x)| *byte = code_of(*x, inverse, BYTE_MAX) as i8);
    }

    /// The `keep` best live items into `scratch.hits`, with their scores by bytes and in no order.
    pub fn top(&self, vector: &[f32], keep: usize, scratch: &mut Scratch) {
        // Of 100,000 normal vectors half bytes move an item near rank 1,000 by about 300 places.
        self.walk(vector, if keep == 0 { 0 } else { 2 * keep + keep / 4 + 64 }, scratch);
        let Scratch { hits, query_bytes, .. } = scratch;
        let (scale, inverse) = scale_of(vector, BYTE_MAX);
        query_bytes.clear();
        query_bytes.extend(vector.iter().map(|x| code_of(*x, inverse, BYTE_MAX) as i8));
        rescore_bytes(&self.bytes, &self.byte_scales, query_bytes, scale, hits);
        if keep > 0 && hits.len() > keep {
            hits.select_nth_unstable_by(keep - 1, |a, b| b.cmp(a));
            hits.truncate(keep);
        }
    }

    /// The `keep` best live items by half bytes into `scratch.hits`, in the order of the items, not of the scores.
    fn walk(&self, vector: &[f32], keep: usize, scratch: &mut Scratch) {
        let Scratch { hits, order, query, .. } = scratch;
        hits.clear();
        if keep == 0 || self.live_len == 0 {
            return;
        }
        let shift = encode_query(vector, query);
        let pass = |first, step| Pass {
            lines: &self.lines,
            query,
            shift,
            scales: &self.scales,
            live: &self.live,
            first,
            step,
        };
        if self.live_len > 4 * keep.max(SAMPLE_STEP * BLOCK) {
            let expected = keep as f32 / SAMPLE_STEP as f32;
            // Three deviations more than expected, so that the guess is seldom too high.
            let rank = (expected + 3.0 * expected.sqrt() + 2.0) as usize;
            collect(&pass(SAMPLE_STEP / 2, SAMPLE_STEP), f32::NEG_INFINITY, usize::MAX, hits);
            if rank < hits.len() {
                let threshold = score_of(largest_at(hits, rank));
                hits.clear();
                let full = 8 * keep;
                if collect(&pass(0, 1), threshold, full, hits) == self.live.len() && hits.len() >= keep {
                    return keep_largest(hits, order, keep);
                }
            }
        }
        // Whatever is above the least of the best so far, thinned out whenever there is too much of it.
        hits.clear();
        let (mut block, mut threshold) = (0, f32::NEG_INFINITY);
        loop {
            block = collect(&pass(block, 1), threshold, 4 * keep.max(BLOCK), hits);
            keep_largest(hits, order, keep);
            if block == self.live.len() {
                return;
            }
            threshold = hits.iter().min().map_or(threshold, |least| score_of(*least));
        }
    }

    pub fn memory_bytes(&self) -> usize {
        let scales = (self.scales.capacity() + self.byte_scales.capacity() + self.live.capacity()) * 4;
        self.lines.capacity() * size_of::<Line>() + self.bytes.capacity() + scales
    }
}

/// What a step of a code is worth when the largest value has the code `most`, and its inverse.
fn scale_of(vector: &[f32], most: f32) -> (f32, f32) {
    let largest = vector.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    if largest > LENGTH_MIN {
        (largest / most, most / largest)
    } else {
        (0.0, 0.0)
    }
}

fn code_of(x: f32, inverse: f32, most: f32) -> i32 {
    (x * inverse).round().clamp(-most, most) as i32
}

/// The query as codes, and what the offset of the item codes adds to every sum.
fn encode_query(vector: &[f32], query: &mut Vec<Quads>) -> i32 {
    let (_, inverse) = scale_of(vector, HALF_QUERY_MAX);
    query.clear();
    query.extend(vector.chunks(LINE_DIMENSIONS).map(|eight| {
        let code = |at: usize| eight.get(at).map_or(0, |x| code_of(*x, inverse, HALF_QUERY_MAX) as i8);
        [std::array::from_fn(code), std::array::from_fn(|i| code(i + 4))]
    }));
    query.iter().flatten().flatten().map(|c| i32::from(*c) * i32::from(OFFSET)).sum()
}

/// The key that stands at `rank` (0 is the largest) and reorders the hits.
fn largest_at(hits: &mut [Hit], rank: usize) -> Hit {
    *hits.select_nth_unstable_by(rank, |a, b| b.cmp(a)).1
}

/// Keeps the `keep` largest, without changing their order.
fn keep_largest(hits: &mut Vec<Hit>, order: &mut Vec<Hit>, keep: usize) {
    if hits.len() > keep {
        order.clear();
        order.extend_from_slice(hits);
        let least = largest_at(order, keep - 1);
        hits.retain(|h| *h >= least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recall::simd::item_of;

    fn noise(seed: u32) -> impl FnMut() -> f32 {
        let mut x = seed.wrapping_mul(2_654_435_761) | 1;
        move || {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x as f32 / u32::MAX as f32 - 0.5
        }
    }

    fn codes(vectors: &[Vec<f32>]) -> Codes {
        let mut codes = Codes::new(vectors.first().map_or(0, Vec::len));
        codes.grow(vectors.len());
        for (i, v) in vectors.iter().enumerate() {
            codes.set(i as u32, v);
            codes.set_live(i as u32, true);
        }
        codes
    }

    /// All live items by their quantised score, best first, ties to the lower item.
    fn by_codes(codes: &Codes, query: &[f32]) -> Vec<Hit> {
        let mut scratch = Scratch::default();
        let shift = encode_query(query, &mut scratch.query);
        let (lines, query, scales, live) = (&codes.lines[..], &scratch.query[..], &codes.scales[..], &codes.live[..]);
        let mut hits = Vec::new();
        let pass = Pass { lines, query, shift, scales, live, first: 0, step: 1 };
        crate::recall::simd::collect_portable(&pass, f32::NEG_INFINITY, usize::MAX, &mut hits);
        hits.sort_unstable_by(|a, b| b.cmp(a));
        hits
    }

    #[test]
    fn the_best_are_exactly_those_of_a_full_sort_in_any_order_of_items() {
        let mut next = noise(7);
        let mut vectors: Vec<Vec<f32>> = (0..9_000).map(|_| (0..10).map(|_| next()).collect()).collect();
        let query: Vec<f32> = (0..10).map(|_| next()).collect();
        let against = |v: &Vec<f32>| v.iter().zip(&query).map(|(x, y)| x * y).sum::<f32>();
        for order in 0..3 {
            match order {
                0 => {}
                1 => vectors.sort_by(|a, b| against(a).total_cmp(&against(b))),
                // The sample sees only the best blocks: its guess is far too high.
                _ => {
                    let mut sorted = std::mem::take(&mut vectors);
                    sorted.reverse();
                    let (sampled, rest): (Vec<usize>, Vec<usize>) =
                        (0..sorted.len()).partition(|i| i / BLOCK % SAMPLE_STEP == SAMPLE_STEP / 2);
                    let mut placed = vec![Vec::new(); sorted.len()];
                    for (at, v) in sampled.into_iter().chain(rest).zip(sorted) {
                        placed[at] = v;
                    }
                    vectors = placed;
                }
            }
            let codes = codes(&vectors);
            let wanted = by_codes(&codes, &query);
            let mut scratch = Scratch::default();
            for keep in [1, 2, 31, 32, 100, 1_000, 8_999, 9_000, 20_000] {
                codes.walk(&query, keep, &mut scratch);
                assert!(scratch.hits.windows(2).all(|w| item_of(w[0]) < item_of(w[1])), "in the order of items");
                let mut got = scratch.hits.clone();
                got.sort_unstable_by(|a, b| b.cmp(a));
                assert_eq!(got, wanted[..keep.min(9_000)], "order {order}, keep {keep}");
            }
        }
    }

    #[test]
    fn what_is_not_live_is_never_found() {
        let mut next = noise(9);
        let vectors: Vec<Vec<f32>> = (0..500).map(|_| (0..7).map(|_| next()).collect()).collect();
        let mut codes = codes(&vectors);
        for i in 0..500 {
            codes.set_live(i, i % 3 == 0 || (200..300).contains(&i));
            codes.set_live(i, codes.is_live(i));
        }
        assert_eq!(codes.live_len(), (0..500).filter(|i| i % 3 == 0 || (200..300).contains(i)).count());
        let mut scratch = Scratch::default();
        codes.top(&[1.0; 7], 1_000, &mut scratch);
        assert_eq!(scratch.hits.len(), codes.live_len());
        assert!(scratch.hits.iter().all(|h| codes.is_live(item_of(*h))));
        assert!(!codes.is_live(10_000));
    }

    #[test]
    fn nothing_zero_and_tiny_vectors_have_an_order() {
        let mut scratch = Scratch::default();
        Codes::new(4).top(&[1.0; 4], 5, &mut scratch);
        assert!(scratch.hits.is_empty());
        let codes = codes(&[vec![0.0; 4], vec![1e-38; 4], vec![-1.0; 4], vec![1e30; 4]]);
        codes.top(&[1.0, 1.0, 1.0, 1.0], 3, &mut scratch);
        let mut items: Vec<u32> = scratch.hits.iter().map(|h| item_of(*h)).collect();
        items.sort_unstable();
        assert_eq!(items, [0, 1, 3]);
        codes.top(&[0.0; 4], 2, &mut scratch);
        let mut items: Vec<u32> = scratch.hits.iter().map(|h| item_of(*h)).collect();
        items.sort_unstable();
        assert_eq!(items, [0, 1], "all are equal: the first");
        codes.top(&[1.0; 4], 0, &mut scratch);
        assert!(scratch.hits.is_empty());
    }

    #[test]
    fn a_code_is_within_half_a_step_of_its_value() {
        let mut next = noise(3);
        for _ in 0..50 {
            let vector: Vec<f32> = (0..13).map(|_| next() * 40.0).collect();
            let codes = codes(std::slice::from_ref(&vector));
            for (i, x) in vector.iter().enumerate() {
                let byte = codes.lines[i / 8].0[i % 4];
                let half = i32::from(if i % 8 < 4 { byte & 15 } else { byte >> 4 }) - i32::from(OFFSET);
                assert!((half as f32 * codes.scales[0] - x).abs() <= codes.scales[0] * 0.5001);
                let whole = f32::from(codes.bytes[i]);
                assert!((whole * codes.byte_scales[0] - x).abs() <= codes.byte_scales[0] * 0.5001);
            }
        }
    }

    #[test]
    fn the_best_by_bytes_are_nearly_all_of_the_best_and_their_scores_are_nearly_exact() {
        let mut next = noise(11);
        // Sums of three are nearer to what trained vectors look like than even noise, and one dimension stands out.
        let mut value = |i: usize| (next() + next() + next()) * if i == 5 { 4.0 } else { 1.0 };
        let vectors: Vec<Vec<f32>> = (0..20_000).map(|_| (0..64).map(&mut value).collect()).collect();
        let codes = codes(&vectors);
        let (mut scratch, mut found, mut wanted) = (Scratch::default(), 0, 0);
        for _ in 0..10 {
            let query: Vec<f32> = (0..64).map(&mut value).collect();
            let dot = |v: &Vec<f32>| v.iter().zip(&query).map(|(x, y)| x * y).sum::<f32>();
            let mut exact: Vec<u32> = (0..20_000).collect();
            exact.sort_by(|a, b| dot(&vectors[*b as usize]).total_cmp(&dot(&vectors[*a as usize])));
            codes.top(&query, 550, &mut scratch);
            assert_eq!(scratch.hits.len(), 550);
            let best = dot(&vectors[exact[0] as usize]);
            for one in &scratch.hits {
                let difference = score_of(*one) - dot(&vectors[item_of(*one) as usize]);
                assert!(difference.abs() < 0.02 * best, "{difference} of {best}");
            }
            wanted += 500;
            found += exact[..500].iter().filter(|i| scratch.hits.iter().any(|h| item_of(*h) == **i)).count();
        }
        assert!(found * 1000 >= wanted * 998, "{found} of {wanted}");
    }
}
