//! A throwaway database for trying things: prints its URL and its directory, and runs until Enter, Ctrl-C or the end of standard
//! input.

use std::io;

use throwaway_postgres::Cluster;

fn main() -> io::Result<()> {
    let cluster = Cluster::start();
    println!("{}\n{}", cluster.create_database(), cluster.directory().display());
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
