//! Plain loops for the widest vectors that this processor has, and memory asked for ahead.
#![allow(unsafe_code)]

/// Runs `work` compiled for the widest vector instructions this processor has.
///
/// `work` is inlined into a function whose target features are AVX-512 or AVX2 with FMA, and with
/// it everything it calls that is `#[inline(always)]` or small: plain loops in there become vector
/// loops. Mark the closure `#[inline(always)]`. Rust never contracts a·b + c by itself, so the
/// results are the same bits on every path.
#[inline(always)]
pub fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected;

        #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi2,fma")]
        fn wide<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        #[target_feature(enable = "avx2,bmi2,fma")]
        fn medium<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2")
        {
            // SAFETY: the processor has what `wide` is compiled for.
            return unsafe { wide(work) };
        }
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("fma")
        {
            // SAFETY: the processor has what `medium` is compiled for.
            return unsafe { medium(work) };
        }
    }
    work()
}

/// Asks for `row` before it is needed: the hardware follows whole rows by itself, but not parts of rows
/// that lie far apart.
#[inline(always)]
pub(crate) fn ask_for<R>(row: &[R]) {
    for line in row.chunks(64 / size_of::<R>()) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: every x86-64 has the instruction, and no address makes it fail.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line; // no stable intrinsic elsewhere
    }
}
