//! Nearest items by scan: all of them as bytes, the best of those again as f32.
//!
//! Each vector is kept as one byte per dimension with a scale of its own, in blocks of 32 items: four dimensions of a
//! block lie together, so that one load serves as many items as a register has room for and no sum across a register is
//! needed. The best `n` and a margin by these sums are scored again exactly (`vectors`), which makes the answer exact in
//! practice: what is lost is only what the rounding moved past the margin.
//!
//! There is no heap: a threshold is guessed from every 32nd block, one walk keeps what reaches it, and when the guess was
//! too high (an order of items that the sample does not see) the walk is made again with a threshold that follows it.
//! Invariant: `top` gives exactly the largest keys over the live items, whatever the guess was.

use crate::recall::simd::{collect, score_of, Hit, Line, Pass, BLOCK};

/// Of item codes around their offset, and of query codes: the product of a pair of each fits 16 bits.
const ITEM_CODE_MAX: f32 = 127.0;
const QUERY_CODE_MAX: f32 = 63.0;
const OFFSET: u8 = 128;
/// One block of so many is looked at to guess the threshold.
const SAMPLE_STEP: usize = 32;
/// Smaller vectors than this are all zero: their scale would not be a number.
const LENGTH_MIN: f32 = 1e-30;

/// Vectors as bytes, by item.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// Lines of a block: four dimensions each.
    groups: usize,
    lines: Vec<Line>,
    scales: Vec<f32>,
    /// By block, a bit for each item that may be found.
    live: Vec<u32>,
    live_len: usize,
}

/// Room that a search needs, kept between searches.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    pub hits: Vec<Hit>,
    order: Vec<Hit>,
    query: Vec<[i8; 4]>,
}

impl Codes {
    pub fn new(dimension: usize) -> Codes {
        Codes { groups: dimension.div_ceil(4), ..Codes::default() }
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
        if blocks > self.live.capacity() {
            // An eighth ahead, not twice: the lines are the largest thing here.
            let more = blocks + blocks / 8 - self.live.len();
            self.lines.reserve_exact(more * self.groups);
            self.scales.reserve_exact(more * BLOCK);
            self.live.reserve_exact(more);
        }
        self.lines.resize(blocks * self.groups, Line([OFFSET; 4 * BLOCK]));
        self.scales.resize(blocks * BLOCK, 0.0);
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
        let (block, at) = (item as usize / BLOCK, item as usize % BLOCK);
        let largest = vector.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let scale = if largest > LENGTH_MIN { largest / ITEM_CODE_MAX } else { 0.0 };
        let inverse = if scale > 0.0 { ITEM_CODE_MAX / largest } else { 0.0 };
        self.scales[item as usize] = scale;
        for (group, four) in vector.chunks(4).enumerate() {
            let line = &mut self.lines[block * self.groups + group].0;
            for (i, x) in four.iter().enumerate() {
                let code = (x * inverse).round().clamp(-ITEM_CODE_MAX, ITEM_CODE_MAX) as i32;
                line[4 * at + i] = (code + i32::from(OFFSET)) as u8;
            }
        }
    }

    /// The `keep` best live items by their codes into `scratch.hits`, in the order of the items, not of the scores.
    pub fn top(&self, vector: &[f32], keep: usize, scratch: &mut Scratch) {
        let Scratch { hits, order, query } = scratch;
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
        self.lines.capacity() * size_of::<Line>() + self.scales.capacity() * 4 + self.live.capacity() * 4
    }
}

/// The query as bytes, and what the offset of the item codes adds to every sum.
fn encode_query(vector: &[f32], query: &mut Vec<[i8; 4]>) -> i32 {
    let largest = vector.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let inverse = if largest > LENGTH_MIN { QUERY_CODE_MAX / largest } else { 0.0 };
    query.clear();
    query.extend(vector.chunks(4).map(|four| {
        let mut codes = [0i8; 4];
        for (code, x) in codes.iter_mut().zip(four) {
            *code = (x * inverse).round().clamp(-QUERY_CODE_MAX, QUERY_CODE_MAX) as i8;
        }
        codes
    }));
    query.iter().flatten().map(|c| i32::from(*c) * i32::from(OFFSET)).sum()
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
                codes.top(&query, keep, &mut scratch);
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
        let items: Vec<u32> = scratch.hits.iter().map(|h| item_of(*h)).collect();
        assert_eq!(items, [0, 1, 3]);
        codes.top(&[0.0; 4], 2, &mut scratch);
        let items: Vec<u32> = scratch.hits.iter().map(|h| item_of(*h)).collect();
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
                let code = i32::from(codes.lines[i / 4].0[i % 4]) - i32::from(OFFSET);
                assert!((code as f32 * codes.scales[0] - x).abs() <= codes.scales[0] * 0.5001);
            }
        }
    }
}
