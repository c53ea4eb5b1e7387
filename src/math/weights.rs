//! The number types in which weights may be stored for generation.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};

use crate::error::Error;

/// How the weights that are multiplied are stored while a network writes.
///
/// Writing one text is bound by reading every weight for each character, so half the bytes are up to
/// twice the speed. 16 bits are rounded to nearest even; the arithmetic stays `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// As they were trained: 24 significant bits.
    #[default]
    F32,
    /// IEEE half precision: 11 significant bits, numbers up to 65504. Where a processor has no instruction to
    /// widen it (neither AVX2 nor NEON), it is slower than `F32`.
    F16,
    /// The upper half of an `f32`: 8 significant bits, the range of `f32`.
    Bf16,
}

impl Weights {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// The type's name, as `--weights` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The number nearest to `x` that the type holds; infinity beyond [`Weights::largest`].
    pub fn round(self, x: f32) -> f32 {
        match self {
            Self::F32 => x,
            Self::F16 => f16::from_f32(x).to_f32(),
            Self::Bf16 => bf16::from_f32(x).to_f32(),
        }
    }

    /// The largest finite number of the type.
    pub fn largest(self) -> f32 {
        match self {
            Self::F32 => f32::MAX,
            Self::F16 => f16::MAX.to_f32(),
            Self::Bf16 => bf16::MAX.to_f32(),
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Weights {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|weights| weights.name() == name).ok_or_else(|| Error::Setting {
            name: "--weights",
            found: name.into(),
            expected: "f32, f16 or bf16".into(),
        })
    }
}
