//! The programs that measurements start: clients and servers of MCP over pipes, in plain system calls.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;

use crate::auditor;

/// Size of a message where nothing else is said, in bytes.
pub(crate) const MESSAGE: usize = 400;

#[derive(Subcommand)]
pub(crate) enum Role {
    /// A client that starts its server and calls it; prints the nanoseconds it took
    Client {
        calls: u64,
        #[arg(default_value_t = MESSAGE)]
        size: usize,
        /// Calls a second; 0 for as many as possible
        #[arg(default_value_t = 0)]
        rate: u64,
        /// The processor on which the server is to run
        #[arg(long)]
        server_on: Option<usize>,
    },
    /// Answers every line
    Server,
    /// Writes notifications to a reader that it starts; prints the nanoseconds it took
    Writer { messages: u64, size: usize },
    /// Reads and forgets
    Reader,
    /// Calls with arguments of a size, each in a number of writes
    Sizes { sizes: String, writes: u64 },
    /// Opens pipes and never ends its messages: so many bytes on each
    Endless { pipes: usize, bytes: usize },
    /// Makes a system call that moves nothing; prints the nanoseconds of each
    Syscalls { calls: u64 },
}

impl Role {
    pub(crate) fn play(self) -> Result<()> {
        match self {
            Self::Client {
                calls,
                size,
                rate,
                server_on,
            } => client(calls, size, rate, server_on),
            Self::Server => serve(),
            Self::Writer { messages, size } => write_notifications(messages, size),
            Self::Reader => read_all(),
            Self::Sizes { sizes, writes } => call_sizes(&sizes, writes),
            Self::Endless { pipes, bytes } => endless(pipes, bytes),
            Self::Syscalls { calls } => syscalls(calls),
        }
    }
}

/// A server as child, with the pipes to it.
struct Server {
    child: std::process::Child,
    input: File,
    output: BufReader<File>,
}

impl Server {
    fn start(processor: Option<usize>) -> Result<Self> {
        let mut server = auditor::role()?;
        if let Some(processor) = processor {
            let program = server.get_program().to_owned();
            server = Command::new("taskset");
            server.args(["--cpu-list", &processor.to_string()]);
            server.arg(program);
        }
        let mut child = server
            .arg("server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = File::from(OwnedFd::from(child.stdin.take().context("no stdin")?));
        let output = File::from(OwnedFd::from(child.stdout.take().context("no stdout")?));
        let mut server = Self {
            child,
            input,
            output: BufReader::with_capacity(1 << 16, output),
        };
        let hello = r#"{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#;
        server.call(format!("{hello}\n").as_bytes(), 1)?;
        Ok(server)
    }

    /// Sends a line in `writes` writes and reads the answer.
    fn call(&mut self, line: &[u8], writes: u64) -> Result<()> {
        let piece = line.len().div_ceil(writes.max(1) as usize).max(1);
        for piece in line.chunks(piece) {
            self.input.write_all(piece)?;
        }
        let mut answer = Vec::new();
        ensure!(
            self.output.read_until(b'\n', &mut answer)? > 0,
            "the server is gone"
        );
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        drop(self.input);
        self.child.wait()?;
        Ok(())
    }
}

/// A call of `size` bytes with its newline, as far as that is possible.
pub(crate) fn call(id: u64, size: usize) -> Vec<u8> {
    let head = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":""#
    );
    let tail = "\"}}}\n";
    let fill = size.saturating_sub(head.len() + tail.len());
    let mut line = Vec::with_capacity(size);
    line.extend_from_slice(head.as_bytes());
    line.resize(head.len() + fill, b'x');
    line.extend_from_slice(tail.as_bytes());
    line
}

fn client(calls: u64, size: usize, rate: u64, server_on: Option<usize>) -> Result<()> {
    let mut server = Server::start(server_on)?;
    let started = Instant::now();
    for id in 0..calls {
        server.call(&call(id, size), 1)?;
        if let Some(period) = 1_000_000_000_u64.checked_div(rate) {
            let answered = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)?
                .as_nanos();
            println!("{id} {answered}");
            let due = std::time::Duration::from_nanos(period * (id + 1));
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    if rate == 0 {
        println!("{}", started.elapsed().as_nanos());
    }
    server.end()
}

fn serve() -> Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let head = String::from_utf8_lossy(line.get(..64.min(line.len())).unwrap_or_default())
            .into_owned();
        let id = head
            .split("\"id\":")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .unwrap_or("null")
            .to_owned();
        let answer = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"{}\"}}]}}}}\n",
            "y".repeat(MESSAGE - 90)
        );
        output.write_all(answer.as_bytes())?;
        output.flush()?;
    }
}

/// A notification of `size` bytes with its newline.
pub(crate) fn notification(number: u64, size: usize) -> Vec<u8> {
    let head = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"{number:08}"#
    );
    let tail = "\"}}\n";
    let fill = size.saturating_sub(head.len() + tail.len());
    [head.as_bytes(), &vec![b'z'; fill], tail.as_bytes()].concat()
}

fn write_notifications(messages: u64, size: usize) -> Result<()> {
    let mut child = auditor::role()?
        .arg("reader")
        .stdin(Stdio::piped())
        .spawn()?;
    let mut pipe = File::from(OwnedFd::from(child.stdin.take().context("no stdin")?));
    let started = Instant::now();
    for number in 0..messages {
        pipe.write_all(&notification(number, size))?;
    }
    println!("{}", started.elapsed().as_nanos());
    drop(pipe);
    child.wait()?;
    Ok(())
}

fn read_all() -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    while std::io::stdin().lock().read(&mut buffer)? > 0 {}
    Ok(())
}

fn call_sizes(sizes: &str, writes: u64) -> Result<()> {
    let mut server = Server::start(None)?;
    for (id, size) in sizes.split(',').enumerate() {
        server.call(&call(id as u64, size.parse()?), writes)?;
    }
    server.end()
}

fn endless(pipes: usize, bytes: usize) -> Result<()> {
    let mut ends = Vec::new();
    for _ in 0..pipes {
        let (read, write) = nix::unistd::pipe()?;
        ends.push((File::from(read), File::from(write)));
    }
    let start =
        br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"t":""#;
    let mut buffer = vec![0; 1 << 16];
    for (read, write) in &mut ends {
        write.write_all(start)?;
        let _ = read.read(&mut buffer)?;
    }
    let piece = vec![b'x'; 4096];
    for _ in 0..bytes / piece.len() {
        for (read, write) in &mut ends {
            write.write_all(&piece)?;
            let _ = read.read(&mut buffer)?;
        }
    }
    ensure!(ends.iter().all(|(read, _)| read.as_raw_fd() > 2));
    Ok(())
}

fn syscalls(calls: u64) -> Result<()> {
    let started = Instant::now();
    for _ in 0..calls {
        std::hint::black_box(nix::unistd::getppid());
    }
    println!("{}", started.elapsed().as_nanos() as f64 / calls as f64);
    Ok(())
}
