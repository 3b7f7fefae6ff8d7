//! The light model's columns: a weight of a feature, and the logarithm that it is applied to.
//!
//! Invariant: a function of the value alone. It does not know which feature it weighs.

/// One column of a linear model over `sign(x) * ln(1 + |x|)`, normalised: `scale * f(x) - shift`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weight {
    pub scale: f32,
    pub shift: f32,
}

impl Weight {
    #[inline]
    pub fn of(self, x: f32) -> f32 {
        // Most values are 0, and a logarithm costs more than all the rest.
        if x == 0.0 {
            return -self.shift;
        }
        self.scale * ln_1p(x.abs()).copysign(x) - self.shift
    }
}

/// ln(1 + x) of a number that is not negative, to a ten millionth: a light model has no use for the time that the rest of
/// the digits takes.
fn ln_1p(x: f32) -> f32 {
    let y = 1.0 + x;
    // y = 2^exponent * m with m from √½ to √2; ln m is the area tangent of t, doubled.
    let exponent = (y.to_bits() as i32 - std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32) >> 23;
    let m = f32::from_bits((y.to_bits() as i32 - (exponent << 23)) as u32);
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let tail = s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s / 9.0)));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * t * (1.0 + tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_close_enough() {
        for n in 0..4_000 {
            let x = (f64::from(n) * 0.02).exp() - 1.0;
            for x in [x as f32, x as f32 * 1e-6, n as f32] {
                let exact = f64::from(x).ln_1p();
                assert!((f64::from(ln_1p(x)) - exact).abs() <= 2e-7 * (1.0 + exact), "{x}");
            }
        }
        assert_eq!(ln_1p(0.0), 0.0);
        let weight = Weight { scale: 2.0, shift: 0.5 };
        assert_eq!([weight.of(0.0), weight.of(-0.0)], [-0.5, -0.5]);
        assert!((weight.of(-3.0) + 2.0 * 4f32.ln() + 0.5).abs() < 1e-6);
    }
}
