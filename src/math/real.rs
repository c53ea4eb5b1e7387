//! The two number types of the engine behind one trait.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, SubAssign};

use ndarray::{LinalgScalar, ScalarOperand};

use crate::math::activation;
use crate::math::matmul::Element;

/// What the engine asks of a number. Training runs in `f32`; the gradient check runs the same layers
/// in `f64`, where rounding is far below the error of a finite difference. What differs between the two is
/// below the layers: `f64` takes eˣ and tanh from `libm` and has matrix kernels of its own.
///
/// Sealed: `f32` and `f64` alone.
///
/// Nothing here comes from the system's mathematical library, whose last bit differs from system to system.
pub trait Real:
    LinalgScalar
    + ScalarOperand
    + Element
    + AddAssign
    + SubAssign
    + MulAssign
    + PartialOrd
    + Sum
    + Default
    + Debug
{
    /// The type's name in files and messages: `"f32"` or `"f64"`.
    const NAME: &'static str;
    /// The machine epsilon: the distance from 1 to the next larger number.
    const EPSILON: f64;

    /// The nearest number to `x`.
    fn from_f64(x: f64) -> Self;
    /// This number, exactly.
    fn to_f64(self) -> f64;
    /// √x.
    fn sqrt(self) -> Self;
    /// eˣ; see [`activation`] for the error in `f32`.
    fn exp(self) -> Self;
    /// The logistic function 1 / (1 + e⁻ˣ).
    fn sigmoid(self) -> Self;
    /// tanh x.
    fn tanh(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

/// A number type, and the four functions in which the two differ.
macro_rules! real {
    ($type:ident, $exp:path, $sigmoid:expr, $tanh:path, $ln:path) => {
        impl Real for $type {
            const NAME: &'static str = stringify!($type);
            const EPSILON: f64 = $type::EPSILON as f64;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as Self
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn sigmoid(self) -> Self {
                $sigmoid(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                self.is_finite()
            }
        }
    };
}

real!(f32, activation::exp, activation::sigmoid, activation::tanh, libm::logf);
real!(f64, libm::exp, |x: f64| 1.0 / (1.0 + libm::exp(-x)), libm::tanh, libm::log);
