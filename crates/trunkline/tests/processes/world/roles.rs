//! A role at PostgreSQL for each node, so that its connections can be told apart from those of the others.

use std::collections::BTreeMap;

use super::contents;

/// Nodes are started again and again; a role is used again only when the node that had it is long gone.
const ROLES: u32 = 200;
const OF_TESTS: &str = "postgres://postgres@";

/// Creates the roles, and gives them the database together: what one creates belongs to all.
pub(super) async fn create(url: &str) {
    let (_, name) = url.rsplit_once('/').expect("a URL has a path");
    let statement = format!(
        "do $$ begin
            create role nodes;
            alter database {name} owner to nodes;
            for number in 0..{ROLES} - 1 loop
                execute format('create role node_%s login in role nodes', number);
                execute format('alter role node_%s set role = nodes', number);
            end loop;
        end $$"
    );
    contents::execute(url, &statement).await.unwrap();
}

/// The URL a node uses.
pub(super) fn of_node(url: &str, number: u32) -> String {
    assert!(url.starts_with(OF_TESTS), "{url}");
    url.replacen(OF_TESTS, &format!("postgres://node_{}@", number % ROLES), 1)
}

/// How many connections each node has. An error while PostgreSQL cannot be asked.
pub(crate) async fn backends_by_role(url: &str) -> Result<BTreeMap<String, usize>, tokio_postgres::Error> {
    let statement =
        "select usename, count(*) from pg_stat_activity where usename like 'node\\_%' group by usename";
    let rows = contents::query::<2>(url, statement).await?.into_iter();
    Ok(rows
        .map(|[role, count]| (role, count.parse().expect("a count is a number")))
        .collect())
}
