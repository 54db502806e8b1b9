//! Starts and ends processes, and looks at the process table. Ends only what it started, and what that has started.

use std::{
    ffi::OsStr,
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A started process that ends with this value, and its children with it.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.spawn();
        child
            .map(Self)
            .with_context(|| format!("cannot start {}", program.to_string_lossy()))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The process itself.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Sends it a signal, by its short name.
    pub(crate) fn signal(&mut self, name: &str) -> Result<()> {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()?;
        if !sent.success() {
            bail!("process {} is gone", self.pid());
        }
        Ok(())
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_for("the end of a process", limit, || Ok(self.0.try_wait()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // Workers of a server outlive it when it is killed.
            let workers = descendants(self.pid()).into_iter();
            let workers: Vec<String> = workers.map(|pid| pid.to_string()).collect();
            let _ = self.0.kill();
            let _ = self.0.wait();
            if !workers.is_empty() {
                let _ = Command::new("kill")
                    .arg("-KILL")
                    .args(workers)
                    .stderr(Stdio::null())
                    .status();
            }
        }
    }
}

/// A command that another starts for it: the first of `words`, the rest of which come before it.
pub(crate) fn under(words: &[&str], program: &Command) -> Command {
    let words: Vec<_> = words.iter().map(OsStr::new).collect();
    let all = [
        words,
        vec![program.get_program()],
        program.get_args().collect(),
    ]
    .concat();
    let mut command = Command::new(all.first().copied().unwrap_or_default());
    command.args(all.iter().skip(1));
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

/// Polls until there is an answer.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut poll: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = poll()? {
            return Ok(answer);
        }
        if started.elapsed() > limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A TCP port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether somebody listens on a TCP port.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The running processes that descend from one, parents before children.
pub(crate) fn descendants(of: u32) -> Vec<u32> {
    let table: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may hold anything.
            let mut rest = stat.rsplit_once(") ")?.1.split(' ');
            (rest.next()? != "Z").then_some(())?;
            Some((pid, rest.next()?.parse().ok()?))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            table
                .iter()
                .filter(|(_, ppid)| *ppid == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}

/// The executable of a running process.
pub(crate) fn executable(pid: u32) -> Option<String> {
    Some(
        fs::read_link(format!("/proc/{pid}/exe"))
            .ok()?
            .to_string_lossy()
            .into_owned(),
    )
}
