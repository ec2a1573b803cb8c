//! A file, an environment and flags.
#![no_main]

#[path = "../../crates/trunkline/src/config/claims.rs"]
mod claims;
#[allow(dead_code, unused_imports, reason = "the program uses all of it")]
#[path = "../../crates/trunkline/src/config/mod.rs"]
mod config;

use config::SETTINGS;
use libfuzzer_sys::fuzz_target;

type Values<'a> = Vec<(u8, &'a str)>;

fuzz_target!(|input: (Option<&str>, Values<'_>, Values<'_>)| {
    let (file, variables, flags) = input;
    let setting = |number: u8| &SETTINGS[usize::from(number) % SETTINGS.len()];
    let variables = variables
        .into_iter()
        .map(|(number, value)| (setting(number).variable(), value.to_owned()))
        .collect();
    let flags = flags
        .into_iter()
        .map(|(number, value)| (setting(number).key, value.to_owned()))
        .collect();
    claims::of_sources(file, &variables, &flags);
});
