//! The kernels compiled in, and the choice among them at run time.

use std::env;
use std::sync::OnceLock;

use super::kernel::Kernel;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::error::Error;
use crate::math::simd::KERNEL_VARIABLE;

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

    /// The kernel in use: the one that [`Kernel::asked_for`] names, or else the best for this processor. Panics if
    /// one is asked for that this processor cannot run; programs check that first.
    pub fn best() -> &'static Kernel {
        static BEST: OnceLock<&Kernel> = OnceLock::new();
        BEST.get_or_init(|| {
            let asked_for = Kernel::asked_for().unwrap_or_else(|error| panic!("{error}"));
            asked_for
                .or_else(|| Kernel::available().next())
                .expect("the portable kernel runs anywhere")
        })
    }

    /// The kernel that the environment variable `KARENINA_KERNEL` names, such as `AVX2`, so that the path of an
    /// older processor can be measured on a newer one, plain loops and all. All fused kernels give the same bits.
    /// An error if this processor cannot run it.
    pub fn asked_for() -> Result<Option<&'static Kernel>, Error> {
        let Some(name) = env::var_os(KERNEL_VARIABLE) else { return Ok(None) };
        let is_named = |kernel: &&Kernel| name.eq_ignore_ascii_case(kernel.name());
        let found = Kernel::available().find(is_named).map(Some);
        found.ok_or_else(|| {
            let names: Vec<_> = Kernel::available().map(Kernel::name).collect();
            Error::setting(KERNEL_VARIABLE, name.to_string_lossy(), names.join(" or "))
        })
    }
}
