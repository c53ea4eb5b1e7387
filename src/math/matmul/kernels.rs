//! The kernels compiled in, and the choice among them at run time.

use std::sync::OnceLock;

use super::kernel::Kernel;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Every kernel compiled in, best first; the last runs anywhere.
static KERNELS: &[&Kernel] = &[
    #[cfg(target_arch = "x86_64")]
    &x86::AVX512,
    #[cfg(target_arch = "x86_64")]
    &x86::AVX2,
    #[cfg(target_arch = "aarch64")]
    &neon::NEON,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    &portable::FUSED,
    &portable::PLAIN,
];

impl Kernel {
    /// The kernels compiled in that this processor can run, best first.
    pub fn available() -> impl Iterator<Item = &'static Kernel> {
        KERNELS.iter().copied().filter(|kernel| kernel.is_available())
    }

    /// The best kernel for this processor.
    pub fn best() -> &'static Kernel {
        static BEST: OnceLock<&Kernel> = OnceLock::new();
        BEST.get_or_init(|| Kernel::available().next().expect("the portable kernel runs anywhere"))
    }
}

/// The instruction set of the kernel in use.
pub fn kernel_name() -> &'static str {
    Kernel::best().name()
}
