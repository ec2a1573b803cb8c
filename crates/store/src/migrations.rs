/// One step of the schema. Steps are only added; a database stores the number of its latest step.
pub(crate) struct Migration {
    pub(crate) number: i64,
    pub(crate) name: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) sqlite: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal) => {
        Migration {
            number: $number,
            name: $name,
            postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
            sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
        }
    };
}

pub(crate) const MIGRATIONS: &[Migration] = &[migration!(1, "0001_initial")];

/// The steps that a database at `version` lacks, or `version` if this program does not know it.
pub(crate) fn pending(version: i64) -> Result<&'static [Migration], i64> {
    let newest = MIGRATIONS.last().map_or(0, |migration| migration.number);
    if version > newest {
        return Err(version);
    }
    let done = MIGRATIONS
        .iter()
        .take_while(|migration| migration.number <= version)
        .count();
    Ok(&MIGRATIONS[done..])
}

pub(crate) fn too_new(version: i64) -> String {
    format!("its schema has number {version}, which this version does not know: run a newer trunkline")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_without_gaps_and_named_after_their_numbers() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number, i64::try_from(index).unwrap() + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.number)));
        }
    }

    #[test]
    fn a_database_of_a_newer_program_is_refused() {
        assert_eq!(pending(0).unwrap().len(), MIGRATIONS.len());
        assert!(pending(MIGRATIONS.last().unwrap().number).unwrap().is_empty());
        assert!(pending(1_000).is_err());
    }
}
