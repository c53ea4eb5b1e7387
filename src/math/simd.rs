//! Plain loops for the widest vectors that this processor has, and memory asked for ahead.
#![allow(unsafe_code)]

/// The environment variable that names the kernel to use: see `Kernel::asked_for`. Plain loops follow it.
pub(crate) const KERNEL_VARIABLE: &str = "KARENINA_KERNEL";

/// The vectors that plain loops are compiled for.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
enum Width {
    Any,
    /// AVX2 with FMA.
    Medium,
    /// AVX-512.
    Wide,
}

/// The widest that this processor has, unless [`KERNEL_VARIABLE`] names a kernel of narrower ones.
#[cfg(target_arch = "x86_64")]
fn widest() -> Width {
    use std::arch::is_x86_feature_detected;
    use std::sync::OnceLock;

    static WIDEST: OnceLock<Width> = OnceLock::new();
    *WIDEST.get_or_init(|| {
        let asked_for = std::env::var_os(KERNEL_VARIABLE);
        let may_be = |kernels: &[&str]| match &asked_for {
            Some(name) => kernels.iter().any(|kernel| name.eq_ignore_ascii_case(kernel)),
            None => true,
        };
        let has_medium = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("fma");
        let has_wide = has_medium
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match () {
            () if has_wide && may_be(&["AVX-512"]) => Width::Wide,
            () if has_medium && may_be(&["AVX-512", "AVX2"]) => Width::Medium,
            () => Width::Any,
        }
    })
}

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
        #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi2,fma")]
        fn wide<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        #[target_feature(enable = "avx2,bmi2,fma")]
        fn medium<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        match widest() {
            // SAFETY: the processor has what `wide` is compiled for.
            Width::Wide => return unsafe { wide(work) },
            // SAFETY: the processor has what `medium` is compiled for.
            Width::Medium => return unsafe { medium(work) },
            Width::Any => {}
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
