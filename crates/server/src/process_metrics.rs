//! The standard `process_*` metrics, read from /proc at each scrape; elsewhere than on Linux there are none.

use std::{fmt, fs, io};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};

/// Clock ticks a second in /proc: the same on every Linux that Rust supports.
const USER_HZ: f64 = 100.0;

pub(crate) fn register(registry: &mut Registry) {
    let build: Family<Vec<(&str, &str)>, Gauge> = Family::default();
    build
        .get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))])
        .set(1);
    let trunkline = registry.sub_registry_with_prefix("trunkline");
    trunkline.register(
        "build_info",
        "1, with the version of the program as a label",
        build,
    );
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

struct Usage {
    start_time_seconds: f64,
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_fds: u64,
    /// `None`: unlimited.
    max_fds: Option<u64>,
}

impl Collector for Process {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Ok(usage) = Usage::read() else {
            return Ok(());
        };
        let mut encode = |name, help, unit: Option<Unit>, metric: &dyn EncodeMetric| {
            metric.encode(to.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
        };
        let start_time = ConstGauge::new(usage.start_time_seconds);
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let resident = ConstGauge::new(usage.resident_bytes);
        let virtual_memory = ConstGauge::new(usage.virtual_bytes);
        let open_fds = ConstGauge::new(usage.open_fds);
        let (seconds, bytes) = (|| Some(Unit::Seconds), || Some(Unit::Bytes));
        encode(
            "process_start_time",
            "Start of the process since the Unix epoch.",
            seconds(),
            &start_time,
        )?;
        encode("process_cpu", "CPU time used, user and system.", seconds(), &cpu)?;
        encode("process_resident_memory", "Resident memory.", bytes(), &resident)?;
        encode(
            "process_virtual_memory",
            "Virtual memory.",
            bytes(),
            &virtual_memory,
        )?;
        encode("process_open_fds", "Open file descriptors.", None, &open_fds)?;
        if let Some(max_fds) = usage.max_fds {
            let max_fds = ConstGauge::new(max_fds);
            encode(
                "process_max_fds",
                "Limit of open file descriptors.",
                None,
                &max_fds,
            )?;
        }
        Ok(())
    }
}

impl Usage {
    fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The program's name, in parentheses, may contain spaces and parentheses. Field 3 follows it.
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .map_or_else(Vec::new, |(_, rest)| rest.split(' ').collect());
        let field = |number: usize| number_in(fields.get(number - 3).copied());
        let boot = field_of("/proc/stat", "btime ")?;
        // The listing itself holds one descriptor open.
        let open_fds = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1) as u64;
        Ok(Self {
            start_time_seconds: boot as f64 + field(22)? as f64 / USER_HZ,
            cpu_seconds: (field(14)? + field(15)?) as f64 / USER_HZ,
            resident_bytes: field_of("/proc/self/status", "VmRSS:")? * 1024,
            virtual_bytes: field(23)?,
            open_fds,
            max_fds: field_of("/proc/self/limits", "Max open files ").ok(),
        })
    }
}

/// The first number after `label` in a file of /proc.
fn field_of(path: &str, label: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    let rest = text.lines().find_map(|line| line.strip_prefix(label));
    number_in(rest.and_then(|rest| rest.split_whitespace().next()))
}

fn number_in(text: Option<&str>) -> io::Result<u64> {
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}
