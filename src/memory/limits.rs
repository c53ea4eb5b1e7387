//! The limits that Linux sets a process, read from the files below a root folder, so that a test can lay
//! out its own.
//!
//! Of several limits the tightest counts. A control group is limited by its own figures and by those of all
//! groups around it, up to the root of the mount. Version 2 has one tree of groups, version 1 one for each
//! resource, and some systems have both. A container sees its groups from inside, with a mount whose root
//! is a group further down; so paths are taken relative to that root.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Memory under one limit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The limit.
    pub total: u64,
    /// What is left below it.
    pub available: u64,
}

impl Room {
    fn below(total: u64, used: u64) -> Self {
        Self { total, available: total.saturating_sub(used) }
    }

    fn tighter(self, other: Self) -> Self {
        let (total, available) = (self.total.min(other.total), self.available.min(other.available));
        Self { total, available }
    }
}

/// The room under all limits that the files below `root` tell of.
pub fn room(root: &Path) -> Option<Room> {
    machine(root)
        .into_iter()
        .chain(promises(root))
        .chain(process_limits(root))
        .chain(control_groups(root))
        .reduce(Room::tighter)
}

/// The first word after `key` in a table of lines, as a number; none where it is another word, such as "unlimited".
fn number(table: &str, key: &str) -> Option<u64> {
    let rest = table.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The value after `key` in a table of lines such as "MemTotal:  24000000 kB", in bytes.
pub fn kibibytes(table: &str, key: &str) -> Option<u64> {
    number(table, key)?.checked_mul(1024)
}

/// A file's text; empty if it cannot be read, for then it sets no limit.
fn text(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The whole machine.
fn machine(root: &Path) -> Option<Room> {
    let table = text(root.join("proc/meminfo"));
    let total = kibibytes(&table, "MemTotal:")?;
    Some(Room { total, available: kibibytes(&table, "MemAvailable:").unwrap_or(total) })
}

/// What can still be promised to all processes, where the kernel promises no more than there is
/// (`vm.overcommit_memory=2`).
fn promises(root: &Path) -> Option<Room> {
    let table = text(root.join("proc/meminfo"));
    let bytes = |key| kibibytes(&table, key);
    match text(root.join("proc/sys/vm/overcommit_memory")).trim() {
        "2" => Some(Room::below(bytes("CommitLimit:")?, bytes("Committed_AS:")?)),
        _ => None,
    }
}

/// What `ulimit -v` and `ulimit -d` leave to this process.
fn process_limits(root: &Path) -> Vec<Room> {
    let limits = text(root.join("proc/self/limits"));
    let status = text(root.join("proc/self/status"));
    let limit = |(soft, used): (&str, &str)| {
        Some(Room::below(number(&limits, soft)?, kibibytes(&status, used)?))
    };
    let limits = [("Max address space", "VmSize:"), ("Max data size", "VmData:")];
    limits.into_iter().filter_map(limit).collect()
}

/// The names of one version's files.
struct Version {
    /// Type of its file system.
    file_system: &'static str,
    limits: &'static [&'static str],
    used: &'static str,
    /// Lines of `memory.stat` that count copies of files, which the kernel drops when memory is short.
    reclaimable: [&'static str; 2],
}

const V1: Version = Version {
    file_system: "cgroup",
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    reclaimable: ["total_active_file ", "total_inactive_file "],
};

const V2: Version = Version {
    file_system: "cgroup2",
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    reclaimable: ["active_file ", "inactive_file "],
};

/// The limits of all control groups that this process is in.
fn control_groups(root: &Path) -> Vec<Room> {
    let mounts = text(root.join("proc/self/mountinfo"));
    let mut rooms = Vec::new();
    // As in "4:memory:/user.slice" (version 1) or "0::/user.slice" (version 2).
    for line in text(root.join("proc/self/cgroup")).lines() {
        let fields: Vec<_> = line.splitn(3, ':').collect();
        let (version, path) = match fields[..] {
            [_, "", path] => (V2, path),
            [_, resources, path] if resources.split(',').any(|r| r == "memory") => (V1, path),
            _ => continue,
        };
        for (top, mount) in mounts.lines().filter_map(|line| version.mount(line)) {
            let mount = root.join(mount.trim_start_matches('/'));
            let group = mount.join(inside(Path::new(path), Path::new(top)));
            let around = group.ancestors().take_while(|folder| folder.starts_with(&mount));
            rooms.extend(around.filter_map(|folder| version.room(folder)));
        }
    }
    rooms
}

/// `path` below `top`; empty, which means `top` itself, for a path that does not lead there.
fn inside<'a>(path: &'a Path, top: &Path) -> &'a Path {
    match path.strip_prefix(top) {
        Ok(inside) if !inside.components().any(|part| part == Component::ParentDir) => inside,
        _ => Path::new(""),
    }
}

impl Version {
    /// The group at a mount's root and the folder where it is, if a line of `mountinfo` has such a mount:
    /// "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory".
    fn mount<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let is_ours = kind.next()? == self.file_system;
        let resources = kind.nth(1).unwrap_or_default();
        let has_memory =
            self.file_system == "cgroup2" || resources.split(',').any(|r| r == "memory");
        let mut place = place.split(' ').skip(3);
        (is_ours && has_memory).then_some((place.next()?, place.next()?))
    }

    /// The room in one group, if it has a limit.
    fn room(&self, group: &Path) -> Option<Room> {
        // No limit is the word "max" in version 2, and in version 1 more than any machine has.
        let bytes = |file: &str| number(&text(group.join(file)), "");
        let limit = self.limits.iter().filter_map(|file| bytes(file)).min()?;
        let stat = text(group.join("memory.stat"));
        let files = self.reclaimable.iter().filter_map(|name| number(&stat, name));
        let used = bytes(self.used).unwrap_or(0).saturating_sub(files.sum());
        Some(Room::below(limit, used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const MACHINE: (&str, &str) =
        ("proc/meminfo", "MemTotal:  4096000 kB\nMemFree: 5 kB\nMemAvailable:  2048000 kB\n");
    const UNIFIED: (&str, &str) = (
        "proc/self/mountinfo",
        "30 1 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    /// The room under a root with these files.
    fn room_of(files: &[(&str, &str)]) -> Option<Room> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        room(root.path())
    }

    fn mebibytes(total: u64, available: u64) -> Option<Room> {
        Some(Room { total: total * MIB, available: available * MIB })
    }

    #[test]
    fn without_limits_the_machine_counts_and_without_files_nothing_is_known() {
        assert_eq!(room_of(&[MACHINE]), mebibytes(4000, 2000));
        assert_eq!(room_of(&[("proc/meminfo", "MemTotal: 1024 kB\n")]), mebibytes(1, 1));
        assert_eq!(room_of(&[]), None);
        assert_eq!(room_of(&[("proc/meminfo", "nonsense")]), None);
    }

    #[test]
    fn where_the_kernel_promises_no_more_than_there_is_its_promises_count() {
        let table = "MemTotal: 4096000 kB\nMemAvailable: 2048000 kB\nCommitLimit: 3072000 kB\nCommitted_AS: 2560000 kB\n";
        let with =
            |policy| room_of(&[("proc/meminfo", table), ("proc/sys/vm/overcommit_memory", policy)]);
        assert_eq!(with("2\n"), mebibytes(3000, 500));
        assert_eq!([with("0\n"), with("1\n"), with("")], [mebibytes(4000, 2000); 3]);
    }

    #[test]
    fn a_group_of_version_2_counts_and_files_in_its_cache_do_not() {
        let files = [
            MACHINE,
            UNIFIED,
            ("proc/self/cgroup", "0::/docker/abc\n"),
            ("sys/fs/cgroup/docker/abc/memory.max", "536870912\n"),
            ("sys/fs/cgroup/docker/abc/memory.high", "max\n"),
            ("sys/fs/cgroup/docker/abc/memory.current", "209715200\n"),
            (
                "sys/fs/cgroup/docker/abc/memory.stat",
                "anon 1\nactive_file 52428800\ninactive_file 104857600\n",
            ),
        ];
        assert_eq!(room_of(&files), mebibytes(512, 512 - 50));
    }

    #[test]
    fn of_nested_groups_the_tightest_counts_wherever_it_is() {
        let high = ("sys/fs/cgroup/a/memory.high", "314572800\n");
        let files = [
            MACHINE,
            UNIFIED,
            ("proc/self/cgroup", "0::/a/b/c\n"),
            ("sys/fs/cgroup/a/b/c/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/a/b/memory.current", "943718400\n"),
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            high,
            ("sys/fs/cgroup/a/other/memory.max", "1\n"),
        ];
        // 1024 − 900 MiB are left in b, and a may have 300 in all.
        assert_eq!(room_of(&files), mebibytes(300, 124));
    }

    #[test]
    fn a_group_of_version_1_counts() {
        let mounts = "35 31 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let files = [
            MACHINE,
            ("proc/self/mountinfo", mounts),
            ("proc/self/cgroup", "5:cpu:/a\n4:hugetlb,memory:/a/b\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "419430400\n"),
            ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "314572800\n"),
            ("sys/fs/cgroup/memory/a/memory.stat", "active_file 1\ntotal_active_file 104857600\n"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu/a/memory.limit_in_bytes", "1\n"),
        ];
        assert_eq!(room_of(&files), mebibytes(400, 200));
    }

    #[test]
    fn on_a_system_with_both_versions_both_count() {
        let mounts = "36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      37 31 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let files = [
            ("proc/self/mountinfo", mounts),
            ("proc/self/cgroup", "4:memory:/a\n0::/b\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "419430400\n"),
            ("sys/fs/cgroup/unified/b/memory.max", "209715200\n"),
        ];
        assert_eq!(room_of(&files), mebibytes(200, 200));
    }

    #[test]
    fn a_container_finds_its_group_at_the_root_of_its_mount() {
        let mount = "9 8 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "104857600\n");
        for path in ["4:memory:/docker/abc\n", "4:memory:/docker/xyz\n", "4:memory:/../../x\n"] {
            let files = [("proc/self/mountinfo", mount), ("proc/self/cgroup", path), limit];
            assert_eq!(room_of(&files), mebibytes(100, 100), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_understood_is_no_limit() {
        let unreadable = [
            MACHINE,
            UNIFIED,
            ("proc/self/cgroup", "0::/a\nx\n:\n1:memory\n"),
            ("proc/self/limits", "Max address space"),
            ("sys/fs/cgroup/a/memory.max/is/a/folder", ""),
            ("sys/fs/cgroup/a/memory.current", "1"),
            ("sys/fs/cgroup/memory.max", "-7"),
        ];
        assert_eq!(room_of(&unreadable), mebibytes(4000, 2000));
        let mounts = ("proc/self/mountinfo", "\n - \n1 2 3 - cgroup2\n1 2 3 4 5 - cgroup a memory");
        assert_eq!(
            room_of(&[MACHINE, mounts, ("proc/self/cgroup", "0::/\n")]),
            mebibytes(4000, 2000)
        );
    }

    #[test]
    fn the_limits_of_the_process_itself_count() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max data size             unlimited            unlimited            bytes\n\
                      Max address space         1073741824           unlimited            bytes\n";
        let status = "VmPeak: 9 kB\nVmSize:    262144 kB\nVmData: 1 kB\n";
        let files = [MACHINE, ("proc/self/limits", limits), ("proc/self/status", status)];
        assert_eq!(room_of(&files), mebibytes(1024, 768));
        let data = limits.replace(
            "Max data size             unlimited ",
            "Max data size             524288000 ",
        );
        let status = status.replace("VmData: 1 kB", "VmData: 102400 kB");
        let files = [MACHINE, ("proc/self/limits", &data), ("proc/self/status", &status)];
        assert_eq!(room_of(&files), mebibytes(500, 400));
    }
}
