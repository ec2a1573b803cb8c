use std::fs;

/// Private memory of a process in kilobytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    /// The maximum so far.
    pub(crate) peak: u64,
}

impl Memory {
    /// `None` outside Linux.
    pub(super) fn of(process: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Self {
            now: kilobytes("VmRSS:")?,
            peak: kilobytes("VmHWM:")?,
        })
    }
}
