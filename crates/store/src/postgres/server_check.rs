//! Checks the server when a node starts. An unusable database is an error; an unsafe setting is a warning.

use super::{
    Postgres,
    connections::Access,
    failure::QueryFailure,
    session::{Facts, Session},
};
use crate::StoreError;

/// How often a pooler is tested. A busy one may look by chance as if it pooled by session, but not this often.
const POOLER_TESTS: u32 = 3;

impl Postgres {
    /// Refuses a database that cannot store every text, and a pooler that pools by transaction. Warns of settings that make
    /// a `202` less durable.
    pub(super) async fn check_server(&self) -> Result<(), StoreError> {
        let mut one = self.others.lend(Access::Write).await?;
        let facts = one.session().facts.clone();
        if facts.encoding != "UTF8" {
            return Err(StoreError::Refused(format!(
                "its encoding is {}, which cannot keep every message: create it with \
                 create database NAME template template0 encoding 'UTF8'",
                facts.encoding
            )));
        }
        let mut other = self.others.lend(Access::Write).await?;
        match pools_by_session(one.session(), other.session()).await {
            Ok(true) => {
                one.give_back();
                other.give_back();
            }
            Ok(false) => {
                one.close();
                other.close();
                return Err(StoreError::Refused(
                    "DATABASE_URL leads to a pooler that pools by transaction or statement, which loses settings and \
                     prepared statements: let it pool by session (PgBouncer: pool_mode = session), or connect to the \
                     server itself"
                        .to_owned(),
                ));
            }
            Err(failure) => {
                one.failed(&failure);
                other.close();
                return Err(StoreError::from(failure).of_nothing_changed());
            }
        }
        warnings(&facts).into_iter().for_each(|(setting, risk)| {
            tracing::warn!(
                setting,
                risk,
                "a database setting makes stored messages less safe"
            );
        });
        Ok(())
    }
}

/// Whether each connection has its own server process. While `other` holds one in a transaction, a pooler by transaction
/// gives `one` a different process.
async fn pools_by_session(one: &mut Session, other: &mut Session) -> Result<bool, QueryFailure> {
    for _ in 0..POOLER_TESTS {
        let before = one.backend().await?;
        other.begin().await?;
        let others = other.backend().await?;
        let shared = others == before || one.backend().await? != before;
        other.roll_back().await?;
        if shared {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The settings that make a `202` less durable, with the risk of each.
fn warnings(facts: &Facts) -> Vec<(&'static str, &'static str)> {
    let mut warnings = Vec::new();
    if !facts.fsync {
        warnings.push((
            "fsync=off",
            "a crash of the machine loses acknowledged messages: set it to on",
        ));
    }
    if !facts.full_page_writes {
        warnings.push((
            "full_page_writes=off",
            "a crash of the machine can damage the database: set it to on",
        ));
    }
    if facts.synchronous_commit == "off" {
        warnings.push((
            "synchronous_commit=off",
            "a crash would lose acknowledged messages: Trunkline sets it to on for its own connections",
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unsafe_setting_is_named_with_its_risk() {
        let safe = Facts {
            writable: true,
            standby: false,
            encoding: "UTF8".to_owned(),
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "remote_apply".to_owned(),
        };
        assert_eq!(warnings(&safe), []);
        let unsafe_ones = Facts {
            fsync: false,
            full_page_writes: false,
            synchronous_commit: "off".to_owned(),
            ..safe
        };
        let named: Vec<&str> = warnings(&unsafe_ones)
            .iter()
            .map(|(setting, _)| *setting)
            .collect();
        assert_eq!(
            named,
            ["fsync=off", "full_page_writes=off", "synchronous_commit=off"]
        );
    }
}
