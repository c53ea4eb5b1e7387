//! What a register is: [`Vector`], which `x86`, `neon` and `portable` each implement.

use half::{bf16, f16};

/// The registers of one instruction set.
///
/// # Safety
/// The functions must run only where the instruction set exists; pointers must be good for
/// [`Vector::LANES`] numbers (`splat`: for one; `prefetch`: any address).
pub(super) trait Vector: Copy {
    /// Numbers in a register.
    const LANES: usize;
    /// All lanes 0.
    unsafe fn zero() -> Self;
    /// Loads `LANES` numbers.
    unsafe fn load(from: *const f32) -> Self;
    /// Loads `LANES` numbers and widens them, which is exact.
    unsafe fn load_f16(from: *const f16) -> Self;
    /// Loads 2·`LANES` numbers in the order of `Stored::arrange` and widens them, which is exact.
    unsafe fn load_bf16(from: *const bf16) -> [Self; 2];
    /// Loads 2·`LANES` whole numbers as `f32`, which is exact.
    unsafe fn load_i8(from: *const i8) -> [Self; 2];
    /// One number in all lanes.
    unsafe fn splat(from: *const f32) -> Self;
    /// Stores `LANES` numbers.
    unsafe fn store(self, to: *mut f32);
    /// self · b.
    unsafe fn mul(self, b: Self) -> Self;
    /// self · b + c, rounded once.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// self + b.
    unsafe fn add(self, b: Self) -> Self;
    /// Asks for the cache line at `address` before it is needed; does nothing where no stable intrinsic does that.
    unsafe fn prefetch(_address: *const u8) {}
}

/// The [`Vector`] that registers of a type are, by expressions of intrinsics.
macro_rules! vector {
    ($vector:ty, $lanes:literal lanes;
     $(fn $name:ident($($arg:ident $(: $type:ty)?),*) $(-> $out:ty)? = $body:expr;)+) => {
        impl Vector for $vector {
            const LANES: usize = $lanes;
            $(#[inline(always)]
            unsafe fn $name($($arg $(: $type)?),*) $(-> $out)? {
                // SAFETY: the trait's contract.
                unsafe { $body }
            })+
        }
    };
}
pub(super) use vector;
