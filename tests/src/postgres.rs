//! A PostgreSQL of a test's own: its files in a folder of its own, its port on the loopback.

use std::{
    fs::{self, DirBuilder},
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::process::{Running, free_port, wait_for};

/// The user that Debian's package makes: the server refuses to run as root.
const USER: &str = "postgres";

/// A running server; ends with the value.
pub(crate) struct Postgres {
    _server: Running,
    folder: PathBuf,
    port: u16,
    programs: PathBuf,
}

impl Postgres {
    /// Makes a database and starts its server.
    pub(crate) fn start(limit: Duration) -> Result<Self> {
        let programs = programs()?;
        // A folder that another user may enter.
        let folder =
            std::env::temp_dir().join(format!("auditor-e2e-postgres-{}", std::process::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        DirBuilder::new().mode(0o755).create(&folder)?;
        let (uid, gid) = user()?;
        std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
        let data = folder.join("data");
        let run = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(&folder).uid(uid).gid(gid);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let made = run("initdb")
            .args(["--auth=trust", "--no-sync", "--username", USER, "--pgdata"])
            .arg(&data)
            .output()?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port()?;
        let log = fs::File::create(folder.join("log"))?;
        let mut server = run("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(&folder);
        server.args(["-F", "-h", "127.0.0.1", "-p", &port.to_string()]);
        let server = Running::start(server.stderr(log))?;
        let new = Self {
            _server: server,
            folder,
            port,
            programs,
        };
        wait_for("PostgreSQL", limit, || Ok(new.execute("SELECT 1").ok()))
            .with_context(|| fs::read_to_string(new.folder.join("log")).unwrap_or_default())?;
        Ok(new)
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// Has it execute statements, by its own client.
    pub(crate) fn execute(&self, statements: &str) -> Result<()> {
        let mut client = Command::new(self.programs.join("psql"));
        client.args(["--quiet", "--no-psqlrc", "--command", statements]);
        let done = client.arg(self.url()).output()?;
        ensure!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The server itself ends right after this; files that are left are in the way of nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the newest version's programs.
fn programs() -> Result<PathBuf> {
    let all = fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let bins = all.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let newest = bins
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| {
            let version = bin.parent().and_then(Path::file_name)?;
            version.to_str()?.parse::<u32>().ok()
        });
    newest.context("no version of PostgreSQL is installed")
}

/// The ids of the user that it runs as.
fn user() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = line.context("no user postgres")?.split(':').skip(1);
    let mut next = || fields.next()?.parse().ok();
    next().zip(next()).context("/etc/passwd cannot be read")
}
