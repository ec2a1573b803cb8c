use std::fs;

/// Memory of a process that is its own, in kilobytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    /// The most it has had so far.
    pub(crate) peak: u64,
}

impl Memory {
    /// `None` where the system does not tell: only Linux has the file this is read from.
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
