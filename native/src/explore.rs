//! Thompson sampling over click rates, discretised so that the probability of every draw is known exactly.
//!
//! Each arm has a Beta posterior of its click rate, kept as probabilities on a fixed grid; each draws a point of the
//! grid, and the largest wins, of equal ones the first. Because the grid is finite, the probability that an arm wins is
//! a finite sum, and it is computed from what is logged. Invariant: draw and propensity are functions of the counts, the
//! prior and the seed. Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 1933. It
//! does not know items.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};

/// Points of the grid: equally spaced in the square root of the rate, where a posterior of n trials is about
/// 1 / (2 √n) wide whatever the rate. 256 points tell rates near 1 % apart by 0.08 %.
pub const GRID: usize = 256;
/// Posteriors kept, 6 KiB each.
const TABLES_MAX: usize = 2_048;

/// Beta prior as imagined impressions and the clicks among them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    pub clicks: f64,
    pub impressions: f64,
}

impl Prior {
    /// Errors: `bad_prior` unless 0 < clicks < impressions, both finite.
    pub fn new(clicks: f64, impressions: f64) -> Result<Prior> {
        if clicks > 0.0 && impressions > clicks && impressions.is_finite() {
            return Ok(Prior { clicks, impressions });
        }
        let message = format!("{clicks} clicks of {impressions} impressions: needs 0 < clicks < impressions");
        Err(Error::invalid("bad_prior", "prior_clicks", message))
    }
}

/// A posterior: the probability of each point, of all points below it, and of both.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    mass: [f64; GRID],
    below: [f64; GRID],
    /// `below` and `mass` together.
    upto: [f64; GRID],
}

impl Table {
    /// More clicks than impressions (they are counted by different rules) count as that many impressions.
    pub fn new(prior: Prior, clicks: u64, impressions: u64) -> Table {
        let hits = clicks as f64;
        let misses = impressions.saturating_sub(clicks) as f64;
        let (a, b) = (prior.clicks + hits, prior.impressions - prior.clicks + misses);
        // Density of the root u of a rate that is Beta(a, b): u^(2a-1) (1-u²)^(b-1), up to a factor.
        let log = |g: usize| {
            let u = (g as f64 + 0.5) / GRID as f64;
            (2.0 * a - 1.0) * u.ln() + (b - 1.0) * (-u * u).ln_1p()
        };
        let logs: [f64; GRID] = std::array::from_fn(log);
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut mass = logs.map(|l| (l - top).exp());
        let sum: f64 = mass.iter().sum();
        mass.iter_mut().for_each(|m| *m /= sum);
        let mut below = [0.0; GRID];
        for g in 1..GRID {
            below[g] = below[g - 1] + mass[g - 1];
        }
        let upto = std::array::from_fn(|g| below[g] + mass[g]);
        Table { mass, below, upto }
    }

    /// The point that a number in [0, 1) stands for.
    fn point(&self, uniform: f64) -> usize {
        self.below.partition_point(|below| *below <= uniform).saturating_sub(1)
    }
}

/// Which arm of a pool wins under a seed. None for an empty pool.
pub fn draw(pool: &[Arc<Table>], seed: u64) -> Option<usize> {
    let points = pool.iter().enumerate().map(|(arm, table)| (table.point(uniform(seed, arm as u64)), arm));
    points.max_by_key(|(point, arm)| (*point, std::cmp::Reverse(*arm))).map(|(_, arm)| arm)
}

/// Probability that an arm wins over all draws: the sum over the grid of its own mass, times the probability that every
/// earlier arm stays below and every later one does not get above.
pub fn propensity(pool: &[Arc<Table>], arm: usize) -> f64 {
    let Some(own) = pool.get(arm) else { return 0.0 };
    let mut product = own.mass;
    for (other, table) in pool.iter().enumerate().filter(|(other, _)| *other != arm) {
        let loses = if other < arm { &table.below } else { &table.upto };
        product.iter_mut().zip(loses).for_each(|(p, loses)| *p *= loses);
    }
    product.iter().sum()
}

/// A number in [0, 1) that depends on nothing but its arguments (splitmix64).
fn uniform(seed: u64, arm: u64) -> f64 {
    let mut z = seed.wrapping_add(arm.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Posteriors of one prior by (clicks, impressions).
#[derive(Debug, Default)]
pub struct Tables {
    prior: Option<Prior>,
    by_counts: FxHashMap<(u64, u64), Arc<Table>>,
}

impl Tables {
    pub fn of(&mut self, prior: Prior, clicks: u64, impressions: u64) -> Arc<Table> {
        if self.prior != Some(prior) || self.by_counts.len() >= TABLES_MAX {
            self.by_counts.clear();
            self.prior = Some(prior);
        }
        let made = || Arc::new(Table::new(prior, clicks, impressions));
        Arc::clone(self.by_counts.entry((clicks, impressions)).or_insert_with(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(counts: &[(u64, u64)]) -> Vec<Arc<Table>> {
        let prior = Prior::new(1.0, 20.0).unwrap();
        counts.iter().map(|(c, n)| Arc::new(Table::new(prior, *c, *n))).collect()
    }

    const POOL: [(u64, u64); 6] = [(0, 0), (3, 40), (0, 0), (1, 90), (9, 100), (2, 1)];

    #[test]
    fn a_table_is_the_posterior() {
        for (clicks, impressions) in [(0, 0), (3, 40), (50, 1_000), (0, 500)] {
            let table = Table::new(Prior::new(1.0, 20.0).unwrap(), clicks, impressions);
            assert!((table.mass.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let rate = |g: usize| ((g as f64 + 0.5) / GRID as f64).powi(2);
            let mean: f64 = table.mass.iter().enumerate().map(|(g, m)| m * rate(g)).sum();
            let (a, n) = (1.0 + clicks as f64, 20.0 + impressions as f64);
            assert!((mean / (a / n) - 1.0).abs() < 0.01, "{mean} for {a} of {n}");
            let variance: f64 = table.mass.iter().enumerate().map(|(g, m)| m * (rate(g) - mean).powi(2)).sum();
            let exact = a * (n - a) / (n * n * (n + 1.0));
            assert!((variance / exact - 1.0).abs() < 0.02, "{variance} for {exact}");
        }
    }

    #[test]
    fn propensities_are_a_distribution() {
        for counts in [&POOL[..], &POOL[..1], &POOL[2..4], &[(0, 0); 50][..]] {
            let pool = pool(counts);
            let sum: f64 = (0..pool.len()).map(|arm| propensity(&pool, arm)).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }
        assert!((propensity(&pool(&POOL[..1]), 0) - 1.0).abs() < 1e-12);
        assert_eq!(propensity(&[], 0), 0.0);
        assert_eq!(draw(&[], 1), None);
    }

    #[test]
    fn of_equal_points_the_first_wins() {
        let pool = pool(&[(0, 0), (0, 0)]);
        let tie: f64 = pool[0].mass.iter().map(|m| m * m).sum();
        let (first, second) = (propensity(&pool, 0), propensity(&pool, 1));
        assert!(tie > 0.001 && (first - second - tie).abs() < 1e-12);
    }

    #[test]
    fn draws_follow_their_propensities() {
        const DRAWS: u64 = 200_000;
        let pool = pool(&POOL);
        let mut wins = [0u64; POOL.len()];
        for seed in 0..DRAWS {
            wins[draw(&pool, seed).unwrap()] += 1;
        }
        let chi: f64 = wins
            .iter()
            .enumerate()
            .map(|(arm, won)| {
                let expected = propensity(&pool, arm) * DRAWS as f64;
                assert!(expected > 5.0);
                (*won as f64 - expected).powi(2) / expected
            })
            .sum();
        // 0.999 quantile of chi-square with 5 degrees of freedom.
        assert!(chi < 20.52, "{chi} {wins:?}");
    }

    #[test]
    fn more_clicks_win_more_often_and_fewer_trials_win_more_than_a_bad_record() {
        let pool = pool(&[(0, 0), (0, 100), (10, 100)]);
        let p: Vec<f64> = (0..3).map(|arm| propensity(&pool, arm)).collect();
        assert!(p[2] > p[0] && p[0] > p[1], "{p:?}");
    }

    #[test]
    fn kept_tables_are_the_ones_that_would_be_made() {
        let (weak, strong) = (Prior::new(1.0, 20.0).unwrap(), Prior::new(5.0, 100.0).unwrap());
        let mut tables = Tables::default();
        for n in 0..2 * TABLES_MAX as u64 {
            let prior = if n % 1_000 == 999 { strong } else { weak };
            assert_eq!(*tables.of(prior, n % 7, n), Table::new(prior, n % 7, n));
            assert!(tables.by_counts.len() <= TABLES_MAX);
        }
        for (clicks, impressions) in [(0.0, 1.0), (1.0, 1.0), (f64::NAN, 2.0), (1.0, f64::INFINITY), (-1.0, 2.0)] {
            assert_eq!(Prior::new(clicks, impressions).unwrap_err().code(), "bad_prior");
        }
    }
}
