//! Which script an interpreter was told to run, by its arguments. Reads no file.

use auditor_core::audit::Process;

/// What an interpreter runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Script {
    /// A file for Python.
    Python { file: String },
    /// A module for Python, and the interpreter that looks for it.
    Module { name: String, interpreter: String },
    /// A file for Node.js, Bun or Deno.
    Node { file: String },
}

impl Script {
    /// In the words of the process.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Python { file } | Self::Node { file } => file.clone(),
            Self::Module { name, .. } => format!("-m {name}"),
        }
    }

    /// The file that stands for it.
    pub(super) fn file(&self) -> &str {
        match self {
            Self::Python { file } | Self::Node { file } => file,
            Self::Module { interpreter, .. } => interpreter,
        }
    }

    pub(super) fn module(&self) -> Option<&str> {
        match self {
            Self::Module { name, .. } => Some(name),
            Self::Python { .. } | Self::Node { .. } => None,
        }
    }

    pub(super) fn is_absolute(&self) -> bool {
        self.file().starts_with('/')
    }
}

/// What a process runs; `None` when it is no interpreter, or runs no file.
pub(super) fn of(process: &Process) -> Option<Script> {
    let exe = process.exe.as_deref()?;
    let arguments = process.cmdline.as_deref()?;
    let (first, rest) = arguments.split_first()?;
    let name = exe.rsplit('/').next().unwrap_or(exe);
    let plain = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    match plain {
        "python" | "pypy" => {
            // A virtual environment is known by the path that the interpreter was called by.
            let interpreter = if first.starts_with('/') { first } else { exe };
            python(rest, interpreter)
        }
        "node" | "nodejs" => javascript(rest, &[]),
        "bun" => javascript(rest, &["run", "x"]),
        "deno" => javascript(rest, &["run", "serve"]),
        _ => None,
    }
}

fn python(arguments: &[String], interpreter: &str) -> Option<Script> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-m" => {
                return Some(Script::Module {
                    name: words.next()?.clone(),
                    interpreter: interpreter.to_owned(),
                });
            }
            "-c" | "-" => return None,
            "-W" | "-X" | "--check-hash-based-pycs" => drop(words.next()),
            // Short options may be joined, the last with its value: `-um server`.
            _ if word.starts_with('-') && !word.starts_with("--") && word.ends_with('m') => {
                return Some(Script::Module {
                    name: words.next()?.clone(),
                    interpreter: interpreter.to_owned(),
                });
            }
            _ if word.starts_with('-') => {}
            _ => return Some(Script::Python { file: word.clone() }),
        }
    }
    None
}

/// Options of Node.js, Bun and Deno whose value is the next word.
const VALUED: [&str; 14] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--env-file",
    "--config",
    "-c",
    "--import-map",
    "--lock",
    "--cwd",
    "--preload",
];

fn javascript(arguments: &[String], commands: &[&str]) -> Option<Script> {
    let mut words = arguments.iter();
    let mut is_command_due = true;
    while let Some(word) = words.next() {
        match word.as_str() {
            "-e" | "--eval" | "-p" | "--print" | "-" => return None,
            valued if VALUED.contains(&valued) => drop(words.next()),
            _ if word.starts_with('-') => {}
            command if is_command_due && commands.contains(&command) => is_command_due = false,
            _ => return Some(Script::Node { file: word.clone() }),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(exe: &str, line: &str) -> Option<String> {
        let process = Process {
            exe: Some(exe.to_owned()),
            cmdline: Some(line.split(' ').map(str::to_owned).collect()),
            ..super::super::tests::process()
        };
        of(&process).map(|script| script.shown())
    }

    #[test]
    fn scripts_are_found_among_the_options_of_every_interpreter() {
        for (exe, line, due) in [
            (
                "/usr/bin/python3.11",
                "python3 server.py --port 1",
                Some("server.py"),
            ),
            (
                "/usr/bin/python3.11",
                "python -u -X dev /srv/server.py",
                Some("/srv/server.py"),
            ),
            (
                "/usr/bin/python3.11",
                "python -m mcp_server_time --x",
                Some("-m mcp_server_time"),
            ),
            ("/usr/bin/python3.11", "python -um tool", Some("-m tool")),
            ("/usr/bin/python3.11", "python -c import", None),
            ("/usr/bin/python3.11", "python -", None),
            (
                "/usr/bin/node",
                "node --inspect -r ts-node/register x.js",
                Some("x.js"),
            ),
            ("/usr/bin/node", "node --import=tsx x.ts", Some("x.ts")),
            ("/usr/bin/node", "node -e 1", None),
            ("/usr/bin/bun", "bun run x.ts", Some("x.ts")),
            ("/usr/bin/bun", "bun x.ts run", Some("x.ts")),
            (
                "/usr/bin/deno",
                "deno run -A --config d.json x.ts",
                Some("x.ts"),
            ),
            ("/usr/bin/go", "go run x.go", None),
            ("/usr/bin/pythonic", "pythonic x", None),
        ] {
            assert_eq!(script(exe, line).as_deref(), due, "{line}");
        }
    }
}
