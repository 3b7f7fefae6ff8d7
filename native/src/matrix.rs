//! Rows of f32 as a decision keeps them: column by column, because most features are the same in every row of a list.
//!
//! Invariant: what is decoded is equal to what was encoded, bit for bit. It does not know what a column means.

use crate::codec::{put_u64, Reader};
use crate::error::{Error, Result};

/// Values of one matrix; a corrupt size never makes a large allocation.
const VALUES_MAX: u64 = 1 << 22;

/// How the values of one column are written; two bits each.
const ZEROS: u8 = 0;
const SAME: u8 = 1;
const BYTES: u8 = 2;
const PLAIN: u8 = 3;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    pub columns: usize,
    /// Row by row.
    pub values: Vec<f32>,
}

impl Matrix {
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.columns as u64);
        put_u64(out, self.rows() as u64);
        let tags = out.len();
        out.resize(tags + self.columns.div_ceil(4), 0);
        for at in 0..self.columns {
            let column = || self.values.iter().skip(at).step_by(self.columns);
            let first = column().next().map_or(0, |v| v.to_bits());
            let tag = if column().all(|v| v.to_bits() == first) {
                if first == 0 {
                    ZEROS
                } else {
                    out.extend_from_slice(&first.to_le_bytes());
                    SAME
                }
            } else if column().all(|v| (*v as u8 as f32).to_bits() == v.to_bits()) {
                out.extend(column().map(|v| *v as u8));
                BYTES
            } else {
                column().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
                PLAIN
            };
            out[tags + at / 4] |= tag << (2 * (at % 4));
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Matrix> {
        let (columns, rows) = (r.u64()?, r.u64()?);
        let size = columns.checked_mul(rows).filter(|n| *n <= VALUES_MAX && columns <= VALUES_MAX);
        let size = size.ok_or_else(|| Error::corrupt(0, "a matrix beyond its bounds"))? as usize;
        let (columns, rows) = (columns as usize, rows as usize);
        let tags = r.take(columns.div_ceil(4))?;
        let mut values = vec![0.0f32; size];
        for at in 0..columns {
            let tag = tags[at / 4] >> (2 * (at % 4)) & 3;
            let same = if tag == SAME { r.f32()? } else { 0.0 };
            for row in 0..rows {
                values[row * columns + at] = match tag {
                    BYTES => f32::from(r.u8()?),
                    PLAIN => r.f32()?,
                    _ => same,
                };
            }
        }
        Ok(Matrix { columns, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_column_comes_back_to_the_bit() {
        let rows = [
            [0.0, -0.0, 7.5, 1.0, f32::MIN_POSITIVE, 255.0],
            [0.0, -0.0, 7.5, 3.0, 1e9, 256.0],
            [0.0, -0.0, 7.5, 0.0, -2.0, 0.0],
        ];
        let matrix = Matrix { columns: 6, values: rows.concat() };
        let mut out = Vec::new();
        matrix.encode(&mut out);
        assert_eq!(out.len(), 2 + 2 + 4 + 4 + 3 + 12 + 12);
        let back = Matrix::decode(&mut Reader::new(&out)).unwrap();
        let bits = |m: &Matrix| m.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((back.columns, bits(&back)), (6, bits(&matrix)));
        for cut in 0..out.len() {
            assert!(Matrix::decode(&mut Reader::new(&out[..cut])).is_err());
        }
    }

    #[test]
    fn nothing_is_two_bytes_and_a_wild_size_is_refused() {
        let mut out = Vec::new();
        Matrix::default().encode(&mut out);
        assert_eq!(out, [0, 0]);
        assert_eq!(Matrix::decode(&mut Reader::new(&out)).unwrap(), Matrix::default());
        let mut wild = Vec::new();
        put_u64(&mut wild, u64::MAX);
        put_u64(&mut wild, 2);
        assert!(Matrix::decode(&mut Reader::new(&wild)).is_err());
        let mut wide = Vec::new();
        put_u64(&mut wide, u64::MAX);
        put_u64(&mut wide, 0);
        assert!(Matrix::decode(&mut Reader::new(&wide)).is_err());
    }
}
