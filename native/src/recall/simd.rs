//! The inner loops of the vector scan: products of half bytes over blocks of 32 items, dot products of bytes and of f32.
//!
//! The only unsafe code of the crate beside the log's system calls. Invariant: every kernel gives what its portable twin
//! gives, to the bit: the bytes are summed as integers, and f32 are added in one stated order of lanes without fused
//! multiply-add, so an answer does not depend on the processor. What the numbers mean is not known here.

use crate::ahead::fetch;

/// Items of a block.
pub const BLOCK: usize = 32;

/// Eight dimensions of the 32 items of a block: item by item four bytes, the first four dimensions in their lower halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 4 * BLOCK]);

/// Query codes of a line's dimensions: those of the lower halves, those of the upper.
pub type Quads = [[i8; 4]; 2];

/// One walk over blocks: `first`, `first + step`, ….
pub struct Pass<'a> {
    /// `groups` lines of each block.
    pub lines: &'a [Line],
    /// Query codes within ±63, a line each: the products of `SHORT_GROUPS` of them fit 16 bits.
    pub query: &'a [Quads],
    /// What the offset of the item codes adds to every sum.
    pub shift: i32,
    /// By item: what a unit of its sum is worth.
    pub scales: &'a [f32],
    /// By block: a bit for each item that may be found.
    pub live: &'a [u32],
    pub first: usize,
    pub step: usize,
}

/// Lines whose products with half bytes are summed in 16 bits: 8 · 2 · 2 · 15 · 63 < 2^15.
#[cfg(target_arch = "x86_64")]
const SHORT_GROUPS: usize = 8;

/// Score (made orderable) above the complement of the item: the larger key is the better hit, ties to the lower item.
pub type Hit = u64;

#[inline(always)]
pub fn hit(item: u32, score: f32) -> Hit {
    let bits = score.to_bits();
    let ordered = bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000);
    (u64::from(ordered) << 32) | u64::from(!item)
}

#[inline(always)]
pub fn item_of(hit: Hit) -> u32 {
    !(hit as u32)
}

#[inline(always)]
pub fn score_of(hit: Hit) -> f32 {
    let ordered = (hit >> 32) as u32;
    f32::from_bits(ordered ^ (((!ordered as i32 >> 31) as u32) | 0x8000_0000))
}

/// Adds the live items of at least `threshold` to `hits`. Stops before a block once there are `hits_max` of them and
/// says where to go on; the number of blocks when done.
pub fn collect(pass: &Pass<'_>, threshold: f32, hits_max: usize, hits: &mut Vec<Hit>) -> usize {
    let groups = pass.query.len();
    assert_eq!(pass.lines.len(), pass.live.len() * groups);
    assert_eq!(pass.scales.len(), pass.live.len() * BLOCK);
    assert!(pass.step > 0);
    #[cfg(target_arch = "x86_64")]
    {
        if has_vnni() {
            // SAFETY: the processor has the features, and the lengths were checked above.
            return unsafe { x86::collect_vnni(pass, threshold, hits_max, hits) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { x86::collect_avx2(pass, threshold, hits_max, hits) };
        }
    }
    collect_portable(pass, threshold, hits_max, hits)
}

pub fn collect_portable(pass: &Pass<'_>, threshold: f32, hits_max: usize, hits: &mut Vec<Hit>) -> usize {
    let groups = pass.query.len();
    let mut block = pass.first;
    while block < pass.live.len() {
        if hits.len() >= hits_max {
            return block;
        }
        if pass.live[block] != 0 {
            let mut sums = [-pass.shift; BLOCK];
            for (line, q) in pass.lines[block * groups..(block + 1) * groups].iter().zip(pass.query) {
                let [low, high] = q.map(|four| four.map(i32::from));
                for (sum, codes) in sums.iter_mut().zip(line.0.chunks_exact(4)) {
                    for (i, code) in codes.iter().enumerate() {
                        *sum += i32::from(code & 15) * low[i] + i32::from(code >> 4) * high[i];
                    }
                }
            }
            for (i, sum) in sums.iter().enumerate() {
                let score = *sum as f32 * pass.scales[block * BLOCK + i];
                if pass.live[block] >> i & 1 == 1 && score >= threshold {
                    hits.push(hit((block * BLOCK + i) as u32, score));
                }
            }
        }
        block += pass.step;
    }
    pass.live.len()
}

/// True where `collect_vnni` may run.
#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// Dot product of equally long slices.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the feature.
        return unsafe { x86::dot_avx2(a, b) };
    }
    dot_portable(a, b)
}

/// Replaces the score of each hit by the dot product of its row with the query.
pub fn rescore(rows: &[f32], query: &[f32], hits: &mut [Hit]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the feature.
        return unsafe { x86::rescore_avx2(rows, query, hits) };
    }
    rescore_lanes(rows, query, hits);
}

/// Replaces the score of each hit by the dot product of its row of bytes with the query, in the units of both.
pub fn rescore_bytes(rows: &[i8], scales: &[f32], query: &[i8], scale: f32, hits: &mut [Hit]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the feature.
        return unsafe { x86::rescore_bytes_avx2(rows, scales, query, scale, hits) };
    }
    rescore_bytes_portable(rows, scales, query, scale, hits);
}

#[inline(always)]
fn rescore_bytes_portable(rows: &[i8], scales: &[f32], query: &[i8], scale: f32, hits: &mut [Hit]) {
    let row = |one: Hit| &rows[item_of(one) as usize * query.len()..][..query.len()];
    for at in 0..hits.len() {
        if let Some(next) = hits.get(at + AHEAD) {
            fetch(row(*next));
            fetch(&scales[item_of(*next) as usize]);
        }
        let item = item_of(hits[at]);
        let sum: i32 = row(hits[at]).iter().zip(query).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum();
        hits[at] = hit(item, sum as f32 * scales[item as usize] * scale + 0.0);
    }
}

const LANES: usize = 16;

#[inline(always)]
fn dot_portable(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (whole_a, rest_a) = a.split_at(a.len() - a.len() % LANES);
    let (whole_b, rest_b) = b.split_at(whole_a.len().min(b.len()));
    for (x, y) in whole_a.chunks_exact(LANES).zip(whole_b.chunks_exact(LANES)) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    for ((lane, x), y) in lanes.iter_mut().zip(rest_a).zip(rest_b) {
        *lane += x * y;
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// How far before the walk over blocks memory is asked for.
#[cfg(target_arch = "x86_64")]
const AHEAD_BYTES: usize = 6 * 1024;
/// Rows asked for ahead of the one at hand: they lie anywhere in a table that no cache holds.
const AHEAD: usize = 12;

#[inline(always)]
fn rescore_lanes(rows: &[f32], query: &[f32], hits: &mut [Hit]) {
    let dimension = query.len();
    let row = |one: Hit| &rows[item_of(one) as usize * dimension..][..dimension];
    for at in 0..hits.len() {
        if let Some(next) = hits.get(at + AHEAD) {
            fetch(row(*next));
        }
        // Adding 0 turns -0 into 0: as keys they would not tie.
        hits[at] = hit(item_of(hits[at]), dot_portable(row(hits[at]), query) + 0.0);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    /// The portable code, compiled for wider registers: same lanes, same order, same result.
    #[target_feature(enable = "avx2")]
    pub fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
        dot_portable(a, b)
    }

    #[target_feature(enable = "avx2")]
    pub fn rescore_avx2(rows: &[f32], query: &[f32], hits: &mut [Hit]) {
        rescore_lanes(rows, query, hits);
    }

    #[target_feature(enable = "avx2")]
    pub fn rescore_bytes_avx2(rows: &[i8], scales: &[f32], query: &[i8], scale: f32, hits: &mut [Hit]) {
        rescore_bytes_portable(rows, scales, query, scale, hits);
    }

    /// Four codes as they lie in a register.
    #[inline(always)]
    fn four(codes: &[i8; 4]) -> i32 {
        i32::from_le_bytes(codes.map(|x| x as u8))
    }

    /// The processor's own prefetching ends with a page of memory: asks for what the walk reads next.
    #[inline(always)]
    fn ahead(line: *const u8) {
        let next = line.wrapping_add(AHEAD_BYTES);
        // SAFETY: a prefetch reads nothing into the program and cannot fault, whatever the address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(next.cast());
            _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(64).cast());
        }
    }

    /// Appends the items of a block that `mask` names.
    #[inline(always)]
    fn push(hits: &mut Vec<Hit>, block: usize, mut mask: u32, scores: &[f32; BLOCK]) {
        while mask != 0 {
            let i = mask.trailing_zeros() as usize;
            hits.push(hit((block * BLOCK + i) as u32, scores[i]));
            mask &= mask - 1;
        }
    }

    /// # Safety
    /// `lines` has `query.len()` lines and `scales` 32 values for every entry of `live`.
    #[target_feature(enable = "avx2")]
    pub unsafe fn collect_avx2(pass: &Pass<'_>, threshold: f32, hits_max: usize, hits: &mut Vec<Hit>) -> usize {
        let groups = pass.query.len();
        let ones = _mm256_set1_epi16(1);
        let half = _mm256_set1_epi8(15);
        let shift = _mm256_set1_epi32(pass.shift);
        let least = _mm256_set1_ps(threshold);
        let mut block = pass.first;
        while block < pass.live.len() {
            if hits.len() >= hits_max {
                return block;
            }
            let live = pass.live[block];
            if live != 0 {
                let mut sums = [_mm256_setzero_si256(); 4];
                // SAFETY: a line is four aligned registers long, and the caller vouches for their number.
                let mut line = unsafe { pass.lines.as_ptr().add(block * groups) }.cast::<__m256i>();
                for some in pass.query.chunks(SHORT_GROUPS) {
                    let mut short = [_mm256_setzero_si256(); 4];
                    for [low, high] in some {
                        let (low, high) = (_mm256_set1_epi32(four(low)), _mm256_set1_epi32(four(high)));
                        ahead(line.cast());
                        for (i, sum) in short.iter_mut().enumerate() {
                            // SAFETY: i < 4.
                            let codes = unsafe { _mm256_load_si256(line.add(i)) };
                            let lower = _mm256_maddubs_epi16(_mm256_and_si256(codes, half), low);
                            let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), half);
                            let upper = _mm256_maddubs_epi16(upper, high);
                            *sum = _mm256_add_epi16(*sum, _mm256_add_epi16(lower, upper));
                        }
                        line = line.wrapping_add(4);
                    }
                    for (sum, short) in sums.iter_mut().zip(short) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(short, ones));
                    }
                }
                let mut scores = [_mm256_setzero_ps(); 4];
                let mut mask = 0u32;
                for i in 0..4 {
                    // SAFETY: 32 scales for each block.
                    let scale = unsafe { _mm256_loadu_ps(pass.scales.as_ptr().add(block * BLOCK + i * 8)) };
                    scores[i] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sums[i], shift)), scale);
                    let above = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(scores[i], least));
                    mask |= (above as u32) << (8 * i);
                }
                mask &= live;
                if mask != 0 {
                    // SAFETY: both are 32 f32.
                    push(hits, block, mask, &unsafe { std::mem::transmute::<[__m256; 4], [f32; BLOCK]>(scores) });
                }
            }
            block += pass.step;
        }
        pass.live.len()
    }

    /// # Safety
    /// As `collect_avx2`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub unsafe fn collect_vnni(pass: &Pass<'_>, threshold: f32, hits_max: usize, hits: &mut Vec<Hit>) -> usize {
        let groups = pass.query.len();
        let half = _mm512_set1_epi8(15);
        let shift = _mm512_set1_epi32(pass.shift);
        let least = _mm512_set1_ps(threshold);
        let mut block = pass.first;
        while block < pass.live.len() {
            if hits.len() >= hits_max {
                return block;
            }
            let live = pass.live[block];
            if live != 0 {
                let mut sums = [_mm512_setzero_si512(); 2];
                for (group, [low, high]) in pass.query.iter().enumerate() {
                    let (low, high) = (_mm512_set1_epi32(four(low)), _mm512_set1_epi32(four(high)));
                    // SAFETY: a line is two aligned registers long, and the caller vouches for their number.
                    let line = unsafe { pass.lines.as_ptr().add(block * groups + group) }.cast::<__m512i>();
                    ahead(line.cast());
                    for (i, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: i < 2.
                        let codes = unsafe { _mm512_load_si512(line.add(i)) };
                        let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), half);
                        *sum = _mm512_dpbusd_epi32(*sum, _mm512_and_si512(codes, half), low);
                        *sum = _mm512_dpbusd_epi32(*sum, upper, high);
                    }
                }
                let mut scores = [_mm512_setzero_ps(); 2];
                let mut mask = 0u32;
                for i in 0..2 {
                    // SAFETY: 32 scales for each block.
                    let scale = unsafe { _mm512_loadu_ps(pass.scales.as_ptr().add(block * BLOCK + i * 16)) };
                    scores[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums[i], shift)), scale);
                    mask |= u32::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(scores[i], least)) << (16 * i);
                }
                mask &= live;
                if mask != 0 {
                    // SAFETY: both are 32 f32.
                    push(hits, block, mask, &unsafe { std::mem::transmute::<[__m512; 2], [f32; BLOCK]>(scores) });
                }
            }
            block += pass.step;
        }
        pass.live.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that a failure can be repeated.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0 >> 33
        }

        fn unit(&mut self) -> f32 {
            (self.next() % 20_001) as f32 / 10_000.0 - 1.0
        }
    }

    struct Case {
        lines: Vec<Line>,
        query: Vec<Quads>,
        scales: Vec<f32>,
        live: Vec<u32>,
    }

    fn case(noise: &mut Noise, blocks: usize, groups: usize, extreme: bool) -> Case {
        let mut code = || if extreme { [0u8, 1, 255][noise.next() as usize % 3] } else { noise.next() as u8 };
        let lines = (0..blocks * groups).map(|_| Line(std::array::from_fn(|_| code()))).collect();
        let mut q = || {
            let x = (noise.next() % 127) as i8 - 63;
            if extreme {
                x.signum() * 63
            } else {
                x
            }
        };
        let query = (0..groups).map(|_| std::array::from_fn(|_| std::array::from_fn(|_| q()))).collect();
        let scales = (0..blocks * BLOCK).map(|i| if i % 7 == 0 { 0.0 } else { noise.unit().abs() }).collect();
        let live = (0..blocks).map(|b| if b % 5 == 0 { 0 } else { noise.next() as u32 }).collect();
        Case { lines, query, scales, live }
    }

    type Kernel = fn(&Pass<'_>, f32, usize, &mut Vec<Hit>) -> usize;

    /// Every kernel that this processor has, the dispatching one included.
    fn kernels() -> Vec<(&'static str, Kernel)> {
        let mut list: Vec<(&'static str, Kernel)> = vec![("dispatched", collect)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the feature is there; the cases have the right lengths.
                list.push(("avx2", |p, t, m, h| unsafe { x86::collect_avx2(p, t, m, h) }));
            }
            if has_vnni() {
                // SAFETY: as above.
                list.push(("vnni", |p, t, m, h| unsafe { x86::collect_vnni(p, t, m, h) }));
            }
        }
        list
    }

    #[test]
    fn every_kernel_equals_its_portable_twin() {
        let mut noise = Noise(1);
        for round in 0..60 {
            let (blocks, groups) = (noise.next() as usize % 12, noise.next() as usize % 40);
            let c = case(&mut noise, blocks, groups, round % 2 == 0);
            let shift = noise.next() as i32 % 100_000 - 50_000;
            for (first, step, threshold, hits_max) in
                [(0, 1, f32::NEG_INFINITY, usize::MAX), (1, 3, 100.0, usize::MAX), (0, 1, 0.0, 40), (7, 1, -1e3, 0)]
            {
                let (lines, query, scales, live) = (&c.lines[..], &c.query[..], &c.scales[..], &c.live[..]);
                let pass = Pass { lines, query, shift, scales, live, first, step };
                let mut wanted = Vec::new();
                let end = collect_portable(&pass, threshold, hits_max, &mut wanted);
                for (name, kernel) in kernels() {
                    let mut hits = Vec::new();
                    assert_eq!(kernel(&pass, threshold, hits_max, &mut hits), end, "{name}");
                    assert_eq!(hits, wanted, "{name}, {blocks} blocks of {groups} groups");
                }
            }
        }
    }

    #[test]
    fn the_largest_products_do_not_saturate() {
        let (groups, blocks) = (1024, 1);
        for (code, q) in [(255u8, 63i8), (255, -63), (0, 63), (17, -63)] {
            let pass = Pass {
                lines: &vec![Line([code; 128]); groups],
                query: &vec![[[q; 4]; 2]; groups],
                shift: 0,
                scales: &[1.0; BLOCK],
                live: &[u32::MAX],
                first: 0,
                step: 1,
            };
            for (name, kernel) in kernels() {
                let mut hits = Vec::new();
                assert_eq!(kernel(&pass, f32::NEG_INFINITY, usize::MAX, &mut hits), blocks);
                let exact = groups as f32 * 4.0 * f32::from((code & 15) + (code >> 4)) * f32::from(q);
                assert!(hits.iter().all(|h| score_of(*h) == exact), "{name}: {code} times {q}");
                assert_eq!(hits.len(), BLOCK);
            }
        }
    }

    #[test]
    fn hits_order_by_score_then_by_item() {
        let scores = [f32::NEG_INFINITY, -2.5, -0.0, 0.0, 1e-30, 3.0, f32::INFINITY];
        let keys: Vec<Hit> = scores.iter().map(|s| hit(7, *s)).collect();
        assert!(keys.windows(2).all(|w| w[0] < w[1]));
        assert!(hit(3, 1.0) > hit(4, 1.0));
        for s in scores {
            assert_eq!((item_of(hit(9, s)), score_of(hit(9, s)).to_bits()), (9, s.to_bits()));
        }
    }

    #[test]
    fn dot_products_are_equal_to_the_bit_on_every_path() {
        let mut noise = Noise(3);
        for dimension in (0..70).chain([128, 200, 513]) {
            let rows: Vec<f32> = (0..dimension * 3).map(|_| noise.unit()).collect();
            let query: Vec<f32> = (0..dimension).map(|_| noise.unit()).collect();
            let mut hits: Vec<Hit> = (0..3).map(|i| hit(i, 9.0)).collect();
            rescore(&rows, &query, &mut hits);
            for (i, one) in hits.iter().enumerate() {
                let row = &rows[i * dimension..(i + 1) * dimension];
                let portable = dot_portable(row, &query) + 0.0;
                let exact: f64 = row.iter().zip(&query).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                assert_eq!(score_of(*one).to_bits(), portable.to_bits());
                assert_eq!((dot(row, &query) + 0.0).to_bits(), portable.to_bits());
                assert!((f64::from(portable) - exact).abs() <= 1e-5 * (1.0 + dimension as f64));
            }
        }
    }
}
