//! Which vector instructions this processor has.

use std::sync::LazyLock;

/// Instruction sets for which there is a kernel, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InstructionSet {
    /// Whatever the compiler's target has: 128-bit vectors on every 64-bit machine.
    Portable,
    /// 256-bit vectors and fused multiply-add (x86-64 since 2013).
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors (x86-64).
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The best instruction set of this processor, looked up once.
pub(super) fn best() -> InstructionSet {
    static BEST: LazyLock<InstructionSet> = LazyLock::new(detect);
    *BEST
}

#[cfg(target_arch = "x86_64")]
fn detect() -> InstructionSet {
    let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let has_avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw");
    match (has_avx2, has_avx512) {
        (true, true) => InstructionSet::Avx512,
        (true, false) => InstructionSet::Avx2,
        _ => InstructionSet::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> InstructionSet {
    InstructionSet::Portable
}

/// Runs `work` compiled for the widest vector instructions of this processor.
///
/// `work` must be a closure marked `#[inline(always)]` whose callees are so too: it is then compiled
/// once for each instruction set, and the compiler turns its loops into vectors of that width. No
/// arithmetic is contracted or reordered, so the results are the same bits in every version.
#[inline(always)]
pub fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    match best() {
        InstructionSet::Portable => work(),
        // SAFETY: `best` found these features on this processor.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => unsafe { with_avx2(work) },
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => unsafe { with_avx512(work) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn with_avx512<T>(work: impl FnOnce() -> T) -> T {
    work()
}
