//! What the items of a list are worth: an expression over a ranker's heads and numbers of the catalogue, and how much the
//! sources' own opinion counts beside it.
//!
//! An expression arrives compiled, in postfix order. Invariant: a worth is a finite number whatever the heads and fields
//! are; what is none is level with the lowest of its list. It does not know where the probabilities come from.

use crate::cascade::candidates::Number;
use crate::error::{Error, Result};
use crate::fold::state::State;
use crate::recall::merge::Candidate;
use crate::rerank::scale;

#[derive(Debug, Clone, Copy)]
enum Step {
    Constant(f64),
    Head(usize),
    Field(usize),
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
}

/// A compiled expression: how many heads it reads, the names of its fields, its steps.
#[derive(Debug)]
pub struct Worth {
    pub heads: usize,
    pub fields: Vec<String>,
    steps: Vec<Step>,
    depth: usize,
}

impl Worth {
    /// Steps are a word and a number: `constant` with its value, `head` and `field` with their place, else 0.
    /// Errors: `bad_expression` for steps that are none or leave anything but one value.
    pub fn new(steps: &[(String, f64)], heads: usize, fields: Vec<String>) -> Result<Worth> {
        let bad = || Error::invalid("bad_expression", "steps", "do not make one value");
        let steps = steps.iter().map(|(word, number)| step(word, *number)).collect::<Option<Vec<_>>>();
        let steps = steps.ok_or_else(bad)?;
        let (mut depth, mut most) = (0usize, 0);
        for step in &steps {
            let (takes, exists) = match step {
                Step::Constant(_) => (0, true),
                Step::Head(at) => (0, *at < heads),
                Step::Field(at) => (0, *at < fields.len()),
                Step::One(_) => (1, true),
                Step::Two(_) => (2, true),
            };
            depth = depth.checked_sub(takes).filter(|_| exists).ok_or_else(bad)? + 1;
            most = most.max(depth);
        }
        match depth {
            1 => Ok(Worth { heads, fields, steps, depth: most }),
            _ => Err(bad()),
        }
    }

    /// The worth of `n` items; `head` and `field` say a number by item and place, a field that is NaN counts as 0.
    pub fn of(&self, n: usize, head: impl Fn(usize, usize) -> f32, field: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let mut stack: Vec<f64> = Vec::with_capacity(self.depth);
        let mut worth: Vec<f32> = (0..n).map(|item| self.one(item, &head, &field, &mut stack)).collect();
        let lowest = worth.iter().copied().filter(|w| w.is_finite()).reduce(f32::min).unwrap_or(0.0);
        worth.iter_mut().filter(|w| !w.is_finite()).for_each(|w| *w = lowest);
        worth
    }

    fn one(
        &self,
        item: usize,
        head: &impl Fn(usize, usize) -> f32,
        field: &impl Fn(usize, usize) -> f32,
        stack: &mut Vec<f64>,
    ) -> f32 {
        stack.clear();
        for step in &self.steps {
            let value = match step {
                Step::Constant(value) => *value,
                Step::Head(at) => f64::from(head(item, *at)),
                Step::Field(at) => Some(field(item, *at)).filter(|v| !v.is_nan()).map_or(0.0, f64::from),
                Step::One(function) => stack.pop().map_or(f64::NAN, function),
                Step::Two(function) => match (stack.pop(), stack.pop()) {
                    (Some(right), Some(left)) => function(left, right),
                    _ => f64::NAN,
                },
            };
            stack.push(value);
        }
        stack.pop().map_or(f32::NAN, |value| value as f32)
    }

    /// The worth of a list's items, its heads by item and place. Errors: `unknown_field`.
    pub fn of_list(&self, state: &State, items: &[Candidate], head: impl Fn(usize, usize) -> f32) -> Result<Vec<f32>> {
        let fields = self.fields.iter().map(|f| Number::parse(state, f)).collect::<Result<Vec<_>>>()?;
        Ok(self.of(items.len(), head, |item, at| fields[at].of(state, items[item].item)))
    }
}

fn step(word: &str, number: f64) -> Option<Step> {
    Some(match word {
        "constant" => Step::Constant(number),
        "head" => Step::Head(number as usize),
        "field" => Step::Field(number as usize),
        "negative" => Step::One(|x| -x),
        "log" => Step::One(f64::ln),
        "log1p" => Step::One(f64::ln_1p),
        "sqrt" => Step::One(f64::sqrt),
        "exp" => Step::One(f64::exp),
        "add" => Step::Two(|a, b| a + b),
        "subtract" => Step::Two(|a, b| a - b),
        "multiply" => Step::Two(|a, b| a * b),
        "divide" => Step::Two(|a, b| a / b),
        "power" => Step::Two(f64::powf),
        // What is no number stays none, unlike under `f64::min`.
        "min" => Step::Two(|a, b| if a.is_nan() || a < b { a } else { b }),
        "max" => Step::Two(|a, b| if a.is_nan() || a > b { a } else { b }),
        _ => return None,
    })
}

/// `weight` of how surely the sources found an item, the rest of what it is worth; each scaled to [0, 1] in the list.
pub fn blend(found: &[f32], worth: &[f32], weight: f32) -> Vec<f32> {
    let (found, worth) = (scale(found), scale(worth));
    found.iter().zip(&worth).map(|(f, w)| weight * f + (1.0 - weight) * w).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(steps: &[(&str, f64)], heads: usize, fields: &[&str]) -> Result<Worth> {
        let steps: Vec<(String, f64)> = steps.iter().map(|(word, number)| ((*word).to_owned(), *number)).collect();
        Worth::new(&steps, heads, fields.iter().map(|f| (*f).to_owned()).collect())
    }

    #[test]
    fn an_expression_is_computed_item_by_item() {
        // (0.2 * click + cart) * price
        let steps = [
            ("constant", 0.2),
            ("head", 0.0),
            ("multiply", 0.0),
            ("head", 1.0),
            ("add", 0.0),
            ("field", 0.0),
            ("multiply", 0.0),
        ];
        let made = worth(&steps, 2, &["price"]).unwrap();
        let heads = [[0.5, 0.1], [1.0, 0.3]];
        let prices = [2.0, f32::NAN];
        assert_eq!(made.of(2, |i, h| heads[i][h], |i, _| prices[i]), [0.4, 0.0]);
    }

    #[test]
    fn what_is_no_number_is_level_with_the_lowest() {
        let log = worth(&[("head", 0.0), ("log", 0.0)], 1, &[]).unwrap();
        assert_eq!(log.of(4, |i, _| [1.0, 0.0, -1.0, f32::NAN][i], |_, _| 0.0), [0.0; 4]);
        assert_eq!(log.of(2, |_, _| f32::NAN, |_, _| 0.0), [0.0; 2]);
        for word in ["min", "max"] {
            for steps in
                [[("head", 0.0), ("constant", 5.0), (word, 0.0)], [("constant", 5.0), ("head", 0.0), (word, 0.0)]]
            {
                let made = worth(&steps, 1, &[]).unwrap();
                let want = if word == "min" { 2.0 } else { 5.0 };
                assert_eq!(made.of(2, |i, _| [2.0, f32::NAN][i], |_, _| 0.0), [want; 2], "{word}");
            }
        }
    }

    #[test]
    fn steps_that_make_no_value_are_refused() {
        let wrong: [&[(&str, f64)]; 6] = [
            &[],
            &[("add", 0.0)],
            &[("head", 0.0), ("head", 0.0)],
            &[("head", 1.0)],
            &[("field", 0.0)],
            &[("head", 0.0), ("eval", 0.0)],
        ];
        for steps in wrong {
            assert_eq!(worth(steps, 1, &[]).unwrap_err().code(), "bad_expression");
        }
    }

    #[test]
    fn the_blend_keeps_the_declared_shares() {
        let (found, worth) = ([1.0, 3.0, 2.0], [0.25, 0.0, 0.5]);
        assert_eq!(blend(&found, &worth, 1.0), [0.0, 1.0, 0.5]);
        assert_eq!(blend(&found, &worth, 0.0), [0.5, 0.0, 1.0]);
        assert_eq!(blend(&found, &worth, 0.5), [0.25, 0.5, 0.75]);
        assert_eq!(blend(&[1.0, 1.0], &[1.0, 2.0], 0.5), [0.0, 0.5]);
        assert!(blend(&[], &[], 0.5).is_empty());
    }
}
