//! Values of a decision that came from outside the log: what batch jobs had published of the user and of the items shown.
//!
//! Invariant: with these values a list's rows can be made again, whatever is published later; NaN is "nobody said". It does
//! not know features: a source names what it is and carries a fingerprint of what its values mean.

use crate::codec::{put_str, put_u64, Reader};
use crate::error::{Error, Result};
use crate::matrix::Matrix;

/// A corrupt count never makes a large allocation.
const SOURCES_MAX: u64 = 4096;

/// A published feature: `width` columns of the values, one when it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<'a> {
    pub name: &'a str,
    pub width: u32,
    pub key: u64,
}

/// A row for the user, and a row for each of the first items shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct External<'a> {
    pub user: Vec<Told<'a>>,
    pub user_values: Matrix,
    pub item: Vec<Told<'a>>,
    pub item_values: Matrix,
}

impl<'a> External<'a> {
    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.item.is_empty()
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        for (sources, values) in [(&self.user, &self.user_values), (&self.item, &self.item_values)] {
            put_u64(out, sources.len() as u64);
            for source in sources {
                put_str(out, source.name);
                put_u64(out, u64::from(source.width));
                out.extend_from_slice(&source.key.to_le_bytes());
            }
            values.encode(out);
        }
    }

    pub fn decode(r: &mut Reader<'a>) -> Result<External<'a>> {
        let sources = |r: &mut Reader<'a>| -> Result<(Vec<Told<'a>>, Matrix)> {
            let n = r.u64()?;
            if n > SOURCES_MAX {
                return Err(Error::corrupt(0, "external values beyond their bounds"));
            }
            let mut told = Vec::new();
            for _ in 0..n {
                let name = r.str()?;
                let width = u32::try_from(r.u64()?).map_err(|_| Error::corrupt(0, "the width of a feature"))?;
                told.push(Told { name, width, key: r.fixed_u64()? });
            }
            let values = Matrix::decode(r)?;
            let wide: u64 = told.iter().map(|t| u64::from(t.width.max(1))).sum();
            if values.rows() > 0 && values.columns as u64 != wide {
                return Err(Error::corrupt(0, "external values of another width than their features"));
            }
            Ok((told, values))
        };
        let (user, user_values) = sources(r)?;
        let (item, item_values) = sources(r)?;
        Ok(External { user, user_values, item, item_values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_to_the_bit_and_a_cut_is_an_error() {
        let external = External {
            user: vec![Told { name: "user_tier", width: 0, key: u64::MAX }],
            user_values: Matrix { columns: 1, values: vec![f32::NAN] },
            item: vec![Told { name: "item_taste", width: 2, key: 3 }, Told { name: "item_rate", width: 0, key: 4 }],
            item_values: Matrix { columns: 3, values: vec![1.0, f32::NAN, -0.5, 1.0, 2.0, -0.5] },
        };
        let mut body = Vec::new();
        external.encode(&mut body);
        let back = External::decode(&mut Reader::new(&body)).unwrap();
        let bits = |m: &Matrix| m.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((&back.user, &back.item), (&external.user, &external.item));
        assert_eq!(bits(&back.user_values), bits(&external.user_values));
        assert_eq!(bits(&back.item_values), bits(&external.item_values));
        for cut in 0..body.len() {
            assert!(External::decode(&mut Reader::new(&body[..cut])).is_err());
        }
    }

    #[test]
    fn values_of_another_width_are_refused() {
        let wrong = External {
            item: vec![Told { name: "item_taste", width: 2, key: 3 }],
            item_values: Matrix { columns: 3, values: vec![1.0, 2.0, 3.0] },
            ..External::default()
        };
        let mut body = Vec::new();
        wrong.encode(&mut body);
        assert!(External::decode(&mut Reader::new(&body)).is_err());
    }
}
