use clap::Arg;

use super::{SETTINGS, Setting};

/// The flag that names the file.
pub(crate) const FILE_FLAG: &str = "config-file";

const HEADING: &str = "Settings (also in the environment and the file)";

/// The flags of all settings, all shown in the help.
pub(crate) fn all() -> Vec<Arg> {
    flags(|_| true)
}

/// The flags of all settings, of which the help shows these.
pub(crate) fn showing(keys: &[&str]) -> Vec<Arg> {
    flags(|setting| keys.contains(&setting.key))
}

/// The flags of all settings, none of them shown: for the program without a command, whose help should be short.
pub(crate) fn hidden() -> Vec<Arg> {
    flags(|_| false).into_iter().map(|flag| flag.hide(true)).collect()
}

fn flags(shown: impl Fn(&Setting) -> bool) -> Vec<Arg> {
    let file = Arg::new(FILE_FLAG)
        .long("config")
        .value_name("FILE")
        .help_heading(HEADING)
        .help("Read settings from this TOML file [default: trunkline.toml, if it is there]");
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
