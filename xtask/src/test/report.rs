//! Counts what passed and failed, and times it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::command::shown;

/// The results so far.
#[derive(Default)]
pub(super) struct Report {
    passed: u64,
    failures: Vec<String>,
    times: Vec<(String, Duration)>,
}

/// How many tests one program ran.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    /// Those that passed.
    pub(crate) passed: u64,
    /// Those that failed.
    pub(crate) failed: u64,
}

impl Report {
    /// Runs one check that counts as one.
    pub(super) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        self.count(name, || {
            check().map(|()| Count {
                passed: 1,
                failed: 0,
            })
        });
    }

    /// Runs one check that counts its own tests.
    pub(super) fn count(&mut self, name: &str, check: impl FnOnce() -> Result<Count>) {
        let started = Instant::now();
        let outcome = check();
        let seconds = started.elapsed().as_secs_f32();
        match outcome {
            Ok(count) if count.failed == 0 && count.passed > 0 => {
                println!("{name}: {} passed ({seconds:.1} s)", count.passed);
                self.passed += count.passed;
            }
            Ok(count) if count.failed == 0 => self.fail(name, "no test was run"),
            Ok(count) => {
                self.passed += count.passed;
                for _ in 1..count.failed {
                    self.failures.push(format!("{name}: see above"));
                }
                self.fail(name, &format!("{} failed ({seconds:.1} s)", count.failed));
            }
            Err(error) => self.fail(name, &format!("{error:#}")),
        }
    }

    /// Notes how long a part took.
    pub(super) fn time(&mut self, part: String, time: Duration) {
        self.times.push((part, time));
    }

    /// Prints times, failures and, last, the plain counts; tells whether all passed.
    pub(super) fn finish(self) -> bool {
        println!();
        for (part, time) in &self.times {
            println!("{part:>8} {:7.1} s", time.as_secs_f32());
        }
        for failure in &self.failures {
            println!("FAILED {failure}");
        }
        println!("{} passed, {} failed", self.passed, self.failures.len());
        self.failures.is_empty()
    }

    fn fail(&mut self, name: &str, why: &str) {
        println!("{name}: FAILED: {why}");
        self.failures.push(format!(
            "{name}: {}",
            why.lines().next().unwrap_or_default()
        ));
    }
}

/// Runs a test program, passing its output on, and adds up the counts that it prints.
///
/// A program that fails without a failed test counts as one failure.
pub(crate) fn counted(command: &mut Command) -> Result<Count> {
    counted_with_code(command).map(|(count, _)| count)
}

/// The same, with the program's exit code; `None` where a signal ended it.
pub(crate) fn counted_with_code(command: &mut Command) -> Result<(Count, Option<i32>)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let output = child.stdout.take().context("no output")?;
    let mut count = add_up(output, |line| println!("{line}"))?;
    let status = child.wait()?;
    if !status.success() {
        count.failed = count.failed.max(1);
    }
    Ok((count, status.code()))
}

fn add_up(output: impl Read, mut each: impl FnMut(&str)) -> Result<Count> {
    let mut count = Count::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        each(&line);
        if let Some(found) = closing_line(&line) {
            count.passed += found.passed;
            count.failed += found.failed;
        }
    }
    Ok(count)
}

/// Reads `test result: ok. 3 passed; 0 failed; ...` and `3 passed, 0 failed`.
fn closing_line(line: &str) -> Option<Count> {
    let counts = match line.strip_prefix("test result: ") {
        Some(rest) => rest.split_once(". ")?.1,
        None => line,
    };
    let mut fields = counts.split([';', ',']).map(str::trim);
    let passed = fields.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = fields.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some(Count { passed, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_test_programs_are_added_up() {
        let output = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n\
                      test result: FAILED. 1 passed; 2 failed; 0 ignored\n\
                      nothing passed, all failed\n4 passed, 0 failed\n";
        let count = add_up(output.as_bytes(), |_| ());
        assert_eq!(
            count.ok(),
            Some(Count {
                passed: 8,
                failed: 2
            })
        );
    }

    #[test]
    fn a_check_without_tests_is_a_failure() {
        let mut report = Report::default();
        report.count("empty", || Ok(Count::default()));
        assert!(!report.finish());
    }
}
