//! How many cores the process may compute on.
//!
//! A core that shows itself as two processors (SMT, "Hyper-Threading") has the multiply-add units of one, and a single
//! thread keeps them busy: a second one would share them and the cache. So such siblings count once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

/// Cores that the process may use, siblings counted once: on Linux within its affinity mask and the limits of its control
/// groups. Where the system does not tell which processors are siblings, all count.
pub(super) fn physical_cores() -> usize {
    let processors = available_parallelism().map_or(1, usize::from);
    within(processors, cores_below(Path::new("/")).or_else(of_another_system))
}

/// As many as there are `cores`, but no more than `processors`, and those where the cores are not known.
fn within(processors: usize, cores: Option<usize>) -> usize {
    cores.map_or(processors, |cores| cores.clamp(1, processors))
}

/// The processors that the process may run on, as Linux lists them, such as 0-3,8; nothing on other systems.
pub(super) fn affinity() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    allowed(&status).unwrap_or_default().trim().into()
}

fn allowed(status: &str) -> Option<&str> {
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
}

/// Linux has told already, or cannot.
#[cfg(target_os = "linux")]
fn of_another_system() -> Option<usize> {
    None
}

/// The machine's cores.
#[cfg(not(target_os = "linux"))]
fn of_another_system() -> Option<usize> {
    Some(num_cpus::get_physical())
}

/// Cores among the processors that the affinity mask allows, as Linux tells by files below `root`, so that a test can
/// lay out its own; nothing if one is missing or not understood.
fn cores_below(root: &Path) -> Option<usize> {
    let text = |path: &str| fs::read_to_string(root.join(path)).ok();
    let status = text("proc/self/status")?;
    let allowed = allowed(&status)?;
    // The mask may name processors that are switched off.
    let online = processors(&text("sys/devices/system/cpu/online")?)?;
    let usable: Vec<_> = processors(allowed)?.intersection(&online).copied().collect();
    let core = |processor| {
        let folder = format!("sys/devices/system/cpu/cpu{processor}/topology");
        processors(&text(&format!("{folder}/thread_siblings_list"))?)?.pop_first()
    };
    let cores: BTreeSet<usize> = usable.into_iter().map(core).collect::<Option<_>>()?;
    (!cores.is_empty()).then_some(cores.len())
}

/// The numbers in a list such as "0-3,8".
fn processors(list: &str) -> Option<BTreeSet<usize>> {
    /// More than any system has.
    const MOST: usize = 1 << 16;
    let mut numbers = BTreeSet::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cores of a machine with this mask, these processors switched on and these siblings of each, from
    /// processor 0 on; nothing for a file that is missing.
    fn cores_of(allowed: &str, online: &str, siblings: &[&str]) -> Option<usize> {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !text.is_empty() {
                fs::write(path, text).unwrap();
            }
        };
        let status = format!("Name:\tkarenina\nCpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\n");
        write("proc/self/status", &status);
        write("sys/devices/system/cpu/online", online);
        for (processor, siblings) in siblings.iter().enumerate() {
            let folder = format!("sys/devices/system/cpu/cpu{processor}/topology");
            write(&format!("{folder}/thread_siblings_list"), siblings);
        }
        cores_below(root.path())
    }

    /// Four cores, the second sibling of each numbered after all the first ones.
    const APART: [&str; 8] =
        ["0,4\n", "1,5\n", "2,6\n", "3,7\n", "0,4\n", "1,5\n", "2,6\n", "3,7\n"];

    #[test]
    fn siblings_count_once() {
        assert_eq!(cores_of("0-7", "0-7\n", &APART), Some(4));
        assert_eq!(cores_of("0-3", "0-3\n", &["0-1\n", "0-1\n", "2-3\n", "2-3\n"]), Some(2));
        assert_eq!(cores_of("0-1", "0-1\n", &["0\n", "1\n"]), Some(2));
        // Large cores with siblings beside small ones without.
        assert_eq!(cores_of("0-3", "0-3\n", &["0-1\n", "0-1\n", "2\n", "3\n"]), Some(3));
    }

    #[test]
    fn there_are_no_more_cores_than_processors_and_at_least_one() {
        let of = |cores| within(4, cores);
        assert_eq!([None, Some(0), Some(2), Some(4), Some(9)].map(of), [4, 1, 2, 4, 4]);
    }

    #[test]
    fn only_processors_that_the_mask_allows_count() {
        assert_eq!(cores_of("0,4", "0-7\n", &APART), Some(1));
        assert_eq!(cores_of("5-7", "0-7\n", &APART), Some(3));
        assert_eq!(cores_of("0-1,4", "0-7\n", &APART), Some(2));
    }

    #[test]
    fn processors_that_are_switched_off_do_not_count() {
        let half = ["0\n", "1\n", "2,6\n", "3\n", "", "", "2,6\n", ""];
        assert_eq!(cores_of("0-255", "0-3,6\n", &half), Some(4));
    }

    #[test]
    fn without_a_file_or_with_nonsense_in_it_nothing_is_known() {
        assert_eq!(cores_of("0-7", "", &APART), None);
        assert_eq!(cores_of("0-2", "0-2\n", &["0\n", "", "2\n"]), None);
        assert_eq!(cores_of("8", "0-7\n", &APART), None);
        assert_eq!(cores_below(Path::new("/nowhere")), None);
        for nonsense in
            ["", "x", "0-", "-3", "3-0", "0--3", "0,,1", "1.5", "0-99999999999", "0-4294967295"]
        {
            assert_eq!(cores_of(nonsense, "0-7\n", &APART), None, "{nonsense}");
            assert_eq!(cores_of("0-1", "0-1\n", &["0\n", nonsense]), None, "{nonsense}");
        }
    }
}
