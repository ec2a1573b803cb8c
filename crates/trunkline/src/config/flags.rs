use clap::Arg;

use super::{SETTINGS, Setting};

pub(crate) const FILE_FLAG: &str = "config-file";

const HEADING: &str = "Settings (also in the environment and the file)";

/// A flag for each setting, all shown in the help.
pub(crate) fn all() -> Vec<Arg> {
    flags(|_| true)
}

/// A flag for each setting; the help shows these.
pub(crate) fn showing(keys: &[&str]) -> Vec<Arg> {
    flags(|setting| keys.contains(&setting.key))
}

/// A flag for each setting, none shown: the help of the program without a command stays short.
pub(crate) fn hidden() -> Vec<Arg> {
    flags(|_| false).into_iter().map(|flag| flag.hide(true)).collect()
}

fn flags(shown: impl Fn(&Setting) -> bool) -> Vec<Arg> {
    let file = Arg::new(FILE_FLAG)
        .long("config")
        .value_name("FILE")
        .help_heading(HEADING)
        .help("Read settings from this TOML file [default: trunkline.toml, if it exists]");
    let settings = SETTINGS.iter().map(|setting| {
        Arg::new(setting.key)
            .long(setting.flag())
            .value_name("VALUE")
            .help_heading(HEADING)
            .hide(!shown(setting))
            .help(format!(
                "{} [{}, default: {}]",
                setting.help,
                setting.variable(),
                setting.shown_default()
            ))
    });
    std::iter::once(file).chain(settings).collect()
}
