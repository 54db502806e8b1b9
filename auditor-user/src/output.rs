//! Where events go: a file or standard output, as JSON lines or for people to read.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use auditor_core::audit::{AuditEvent, DetectionEvent, FindingEvent};
use clap::ValueEnum;

/// How events are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// One OCSF event a line.
    Jsonl,
    /// One aligned line for each interaction.
    Pretty,
}

/// Writes events.
pub(crate) struct Output {
    sink: BufWriter<Box<dyn Write>>,
    format: Format,
    has_colours: bool,
    json: Vec<u8>,
    line: String,
    written: u64,
}

impl Output {
    /// Opens a file to append to, or standard output for `-`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(path: &Path, format: Format) -> Result<Self> {
        let is_stdout = path == Path::new("-");
        let sink: Box<dyn Write> = if is_stdout {
            Box::new(io::stdout())
        } else {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Box::new(file.with_context(|| format!("cannot open {} for events", path.display()))?)
        };
        Ok(Self {
            sink: BufWriter::with_capacity(1 << 17, sink),
            format,
            has_colours: is_stdout
                && io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none(),
            json: Vec::new(),
            line: String::new(),
            written: 0,
        })
    }

    /// Writes one event.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&mut self, event: &AuditEvent) -> io::Result<()> {
        let colours = self.has_colours;
        self.write_line(
            |json| event.write_json(json),
            |line| event.write_pretty(colours, line),
        )
    }

    /// Writes one finding.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_finding(&mut self, finding: &FindingEvent) -> io::Result<()> {
        let colours = self.has_colours;
        self.write_line(
            |json| finding.write_json(json),
            |line| finding.write_pretty(colours, line),
        )
    }

    /// Writes what a rule says.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_detection(&mut self, finding: &DetectionEvent) -> io::Result<()> {
        let colours = self.has_colours;
        self.write_line(
            |json| finding.write_json(json),
            |line| finding.write_pretty(colours, line),
        )
    }

    /// Writes an event that is JSON already, where that is what is written; says whether it was.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_as_it_is(&mut self, json: &[u8]) -> io::Result<bool> {
        if self.format != Format::Jsonl {
            return Ok(false);
        }
        self.written += 1;
        self.sink.write_all(json)?;
        self.sink.write_all(b"\n")?;
        Ok(true)
    }

    fn write_line(
        &mut self,
        json: impl FnOnce(&mut Vec<u8>),
        pretty: impl FnOnce(&mut String),
    ) -> io::Result<()> {
        self.written += 1;
        match self.format {
            Format::Jsonl => {
                self.json.clear();
                json(&mut self.json);
                self.json.push(b'\n');
                self.sink.write_all(&self.json)
            }
            Format::Pretty => {
                self.line.clear();
                pretty(&mut self.line);
                self.line.push('\n');
                self.sink.write_all(self.line.as_bytes())
            }
        }
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Events written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}
