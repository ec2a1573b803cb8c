//! A real PgBouncer in front of a cluster.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use throwaway_postgres::Cluster;

/// Running until it is dropped.
pub(crate) struct PgBouncer {
    process: Child,
    port: u16,
    server_port: u16,
    files: TempDir,
}

impl PgBouncer {
    /// Starts it on a free port; it takes a moment until it listens.
    pub(crate) fn before(cluster: &Cluster, pool_mode: &str) -> Self {
        let files = TempDir::new().unwrap();
        std::fs::set_permissions(files.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let process = run(&files, port, cluster.port(), pool_mode);
        Self {
            process,
            port,
            server_port: cluster.port(),
            files,
        }
    }

    /// Starts it again on its port with another mode.
    pub(crate) fn restart(&mut self, pool_mode: &str) {
        self.stop();
        self.process = run(&self.files, self.port, self.server_port, pool_mode);
    }

    /// The same URL with its port instead of the server's.
    pub(crate) fn url(&self, server_url: &str) -> String {
        server_url.replace(&format!(":{}/", self.server_port), &format!(":{}/", self.port))
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// With the settings it has when they are not set, except for where to listen and whom to trust.
fn run(files: &TempDir, port: u16, server_port: u16, pool_mode: &str) -> Child {
    let (settings, users) = (files.path().join("pgbouncer.ini"), files.path().join("users.txt"));
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {pool_mode}\n",
        users.display()
    );
    std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
    std::fs::write(&settings, text).unwrap();
    // Debian keeps it where only root looks.
    let mut command = Command::new("sh");
    command.args(["-c", "PATH=$PATH:/usr/sbin exec pgbouncer \"$@\"", "pgbouncer"]);
    if std::fs::metadata(&settings).unwrap().uid() == 0 {
        // It refuses to run as root.
        command.args(["-u", "postgres"]);
    }
    let process = command
        .arg(settings)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    process.expect("these tests need pgbouncer: run bin/test, which installs it")
}
