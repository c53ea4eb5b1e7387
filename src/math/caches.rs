//! The sizes of the processor's caches, as the system tells them.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// Where Linux describes the first processor's caches.
const FIRST: &str = "/sys/devices/system/cpu/cpu0/cache";
/// Bytes of the second-level cache where the system does not tell: most desktop processors with AVX2 have as much
/// or more.
const SECOND_LEVEL: usize = 512 << 10;
/// Bytes of the last-level cache where the system does not tell.
const LAST_LEVEL: usize = 32 << 20;

/// Bytes of the first processor's second-level cache (Linux), else 512 KiB.
pub(crate) fn second_level() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let second = sizes(Path::new(FIRST)).find(|&(level, _)| level == 2);
        second.map_or(SECOND_LEVEL, |(_, bytes)| bytes)
    })
}

/// Bytes of the first processor's largest cache (Linux), else 32 MiB.
pub(crate) fn last_level() -> usize {
    sizes(Path::new(FIRST)).map(|(_, bytes)| bytes).max().unwrap_or(LAST_LEVEL)
}

/// Level and bytes of each cache for data that `folder` describes in Linux' way: a folder `index0`, `index1`, … for
/// each cache, with files `level`, `type` and `size`.
fn sizes(folder: &Path) -> impl Iterator<Item = (u32, usize)> {
    (0..8).filter_map(|index| {
        let read = |file| {
            let path = folder.join(format!("index{index}")).join(file);
            Some(fs::read_to_string(path).ok()?.trim().to_string())
        };
        if read("type")? == "Instruction" {
            return None;
        }
        let kib: usize = read("size")?.strip_suffix('K')?.parse().ok()?;
        let bytes = kib.checked_mul(1024).filter(|&bytes| bytes > 0)?;
        Some((read("level")?.parse().ok()?, bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_that_linux_describes_are_found_and_odd_files_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        for (index, level, kind, size) in [
            (0, "1", "Data", "32K"),
            (1, "1", "Instruction", "64K"),
            (2, "2", "Unified", "512K\n"),
            (3, "3", "Unified", "16384K"),
            (4, "3", "Unified", "0K"),
            (5, "4", "Unified", "99999999999999999999K"),
            (6, "four", "Unified", "1K"),
        ] {
            let cache = folder.path().join(format!("index{index}"));
            fs::create_dir(&cache).unwrap();
            fs::write(cache.join("level"), level).unwrap();
            fs::write(cache.join("type"), kind).unwrap();
            fs::write(cache.join("size"), size).unwrap();
        }
        let found: Vec<_> = sizes(folder.path()).collect();
        assert_eq!(found, [(1, 32 << 10), (2, 512 << 10), (3, 16 << 20)]);
        assert_eq!(sizes(&folder.path().join("nowhere")).count(), 0);
    }
}
