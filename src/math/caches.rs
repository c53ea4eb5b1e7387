//! The sizes of the processor's caches, as Linux tells them, or else the processor itself.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::path::Path;
use std::sync::OnceLock;

/// Where Linux describes the processors' caches.
const PROCESSORS: &str = "/sys/devices/system/cpu";
/// Bytes of the second-level cache where nobody tells: most desktop processors with AVX2 have as much
/// or more.
const SECOND_LEVEL: usize = 512 << 10;
/// Bytes of the last-level cache where nobody tells.
const LAST_LEVEL: usize = 32 << 20;

/// Bytes of the first processor's second-level cache; 512 KiB where nobody tells.
pub(crate) fn second_level() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let second = all().into_iter().find(|&(level, _)| level == 2);
        second.map_or(SECOND_LEVEL, |(_, bytes)| bytes)
    })
}

/// Bytes of the first processor's largest cache; 32 MiB where nobody tells.
pub(crate) fn last_level() -> usize {
    all().into_iter().map(|(_, bytes)| bytes).max().unwrap_or(LAST_LEVEL)
}

/// How many last-level caches the machine has: processors share one, or each socket or core complex has its own. 1 where
/// nobody tells.
pub(crate) fn last_levels() -> usize {
    sharing_one(Path::new(PROCESSORS)).len().max(1)
}

/// The lists of processors that share a last-level cache, as the files in `folder` tell.
fn sharing_one(folder: &Path) -> BTreeSet<String> {
    // Levels ascend from index to index. A processor that is switched off has none.
    let of = |processor: DirEntry| {
        let list = |index| {
            fs::read_to_string(processor.path().join(format!("cache/index{index}/shared_cpu_list")))
        };
        (0..8).rev().find_map(|index| list(index).ok())
    };
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(of).collect()
}

/// Level and bytes of each cache for data.
fn all() -> Vec<(u32, usize)> {
    let told: Vec<_> = sizes(&Path::new(PROCESSORS).join("cpu0/cache")).collect();
    if told.is_empty() { by_the_processor() } else { told }
}

/// What `cpuid` says, on Windows and an Intel Mac.
#[cfg(target_arch = "x86_64")]
fn by_the_processor() -> Vec<(u32, usize)> {
    use raw_cpuid::{CacheType, CpuId};
    let caches = CpuId::new().get_cache_parameters().into_iter().flatten();
    let for_data = caches.filter(|cache| cache.cache_type() != CacheType::Instruction);
    let bytes = for_data.map(|cache| {
        let lines = cache.sets() * cache.associativity() * cache.physical_line_partitions();
        (u32::from(cache.level()), lines * cache.coherency_line_size())
    });
    bytes.filter(|&(_, bytes)| bytes > 0).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn by_the_processor() -> Vec<(u32, usize)> {
    Vec::new()
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

    /// Not what Linux says of the first processor: this thread may run on another, whose caches are smaller.
    #[test]
    fn what_the_processor_tells_is_the_size_of_a_cache() {
        for (level, bytes) in by_the_processor() {
            let possible = match level {
                1 => 16 << 10..=256 << 10,
                2 => 128 << 10..=64 << 20,
                _ => 512 << 10..=4 << 30,
            };
            assert!(possible.contains(&bytes), "{bytes} bytes on level {level}");
        }
    }

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

    #[test]
    fn processors_that_share_their_last_cache_have_one() {
        let folder = tempfile::tempdir().unwrap();
        // The second processor is switched off.
        for (processor, list) in [(0, "0,4-5\n"), (2, "2-3\n"), (3, "2-3\n"), (4, "0,4-5\n")] {
            for (index, list) in [(0, format!("{processor}\n")), (3, list.to_string())] {
                let cache = folder.path().join(format!("cpu{processor}/cache/index{index}"));
                fs::create_dir_all(&cache).unwrap();
                fs::write(cache.join("shared_cpu_list"), list).unwrap();
            }
        }
        assert_eq!(sharing_one(folder.path()).len(), 2);
        assert_eq!(sharing_one(&folder.path().join("nowhere")).len(), 0);
    }
}
