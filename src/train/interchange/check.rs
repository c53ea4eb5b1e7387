//! What every check of a file gives.

/// What is proven, or the reason why it is not.
pub type Check<T> = std::result::Result<T, String>;

/// Fails with the reason that `why` gives unless `holds`.
pub fn ensure(holds: bool, why: impl FnOnce() -> String) -> Check<()> {
    if holds { Ok(()) } else { Err(why()) }
}
