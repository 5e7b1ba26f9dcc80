//! CPU time and memory of processes, from /proc.

use anyhow::Context;

/// Linux counts so for every program, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds, user's and system's, that a process has used so far, in steps of a clock tick.
pub fn seconds(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let ticks = ticks(&stat).with_context(|| format!("{path} is not understood: {stat}"))?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Bytes of memory that a process has now.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let kibibytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kibibytes.map(|kibibytes: u64| kibibytes << 10).with_context(|| format!("{path} is not understood: {status}"))
}

/// Fields 14 and 15. The name in field 2 may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "12 (a) b) S 1 1 1 0 -1 4194560 5 0 0 0 70 30 0 0 20 0 9 0 1 2 3";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("12 (a) S 1 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn memory_that_is_touched_is_resident() {
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        let resident = resident(std::process::id()).expect("told");
        assert!(resident >= touched.len() as u64, "{resident} bytes are there");
        drop(touched);
    }

    #[test]
    fn a_process_knows_its_own_time() {
        let own = std::process::id();
        let before = seconds(own).expect("told");
        let begun = std::time::Instant::now();
        while seconds(own).expect("told") < before + 0.02 {
            assert!(begun.elapsed().as_secs() < 60, "no time passes");
        }
    }
}
