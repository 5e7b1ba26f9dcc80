//! What the machine has, for defaults that fit it.

use std::path::Path;

use super::Size;

const FALLBACK: u64 = 4 << 30;
const LEAST: u64 = 256 << 20;

/// The machine's name.
pub fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

/// A quarter of the memory that this process may use, in whole MiB.
pub fn quarter_of_memory() -> Size {
    let memory = memory(Path::new("/"));
    Size((memory / 4).max(LEAST) >> 20 << 20)
}

/// The memory that this process may use, in bytes: the machine's, or the limit of its control group (a container's)
/// if that is less. `root` is where `proc` and `sys` are.
fn memory(root: &Path) -> u64 {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let total = read("proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    });
    let own_group = read("proc/self/cgroup").and_then(|text| {
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
        read(&format!("sys/fs/cgroup/{path}/memory.max"))
    });
    let limits = [own_group, read("sys/fs/cgroup/memory.max"), read("sys/fs/cgroup/memory/memory.limit_in_bytes")];
    let limits = limits.into_iter().flatten().filter_map(|text| text.trim().parse::<u64>().ok());
    limits.chain(total).min().unwrap_or(FALLBACK)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_containers_limit_counts_if_it_is_less_than_the_machine_has() {
        let root = tempfile::tempdir().expect("temporary folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("inside the root")).expect("created");
            fs::write(path, text).expect("written");
        };
        assert_eq!(memory(root.path()), FALLBACK);
        write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n");
        assert_eq!(memory(root.path()), 16 << 30);
        write("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(memory(root.path()), 16 << 30);
        write("proc/self/cgroup", "0::/pod/one\n");
        write("sys/fs/cgroup/pod/one/memory.max", "2147483648\n");
        assert_eq!(memory(root.path()), 2 << 30);
    }
}
