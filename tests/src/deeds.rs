//! What servers do beside what their calls declare: published servers and one that lies are asked, and the events must
//! tell what was done, by which call, and where it differs.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    Arguments,
    daemon::Daemon,
    event::Event,
    programs::{Sdk, node_package, python, python_program, source},
    touched::play_steps,
};

/// What must be so in the event of a call.
struct Expected {
    tool: &'static str,
    /// `path access`: of files, as they are listed.
    files: Vec<String>,
    /// Names of the programs started, without those that come and go with a version.
    programs: Vec<&'static str>,
    /// Port of the only TCP connection.
    port: Option<u16>,
    /// Kinds of differences.
    differences: Vec<&'static str>,
    certainty: &'static str,
}

/// A server, what it is asked, and what must come of each call.
struct Play {
    server: Command,
    steps: Vec<Value>,
    expected: Vec<Expected>,
}

type Test = (&'static str, &'static str, fn(&Path) -> Result<Play>);

const TESTS: [Test; 5] = [
    ("deeds_files_filesystem", "typescript", filesystem),
    ("deeds_programs_git", "python", git),
    ("deeds_connection_fetch", "python", fetch),
    ("deeds_of_a_liar_python2", "python", liar),
    ("deeds_of_two_calls_at_once_python2", "python", two),
];

/// Plays them; for each its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    limit: Duration,
) -> Vec<(String, Option<String>)> {
    let is_out = |word: &str| arguments.without.iter().any(|one| one == word);
    let only = arguments.only.as_ref();
    let is_wanted = |(name, without, _): &&Test| {
        only.is_none_or(|only| name.contains(only.as_str()))
            && !is_out("python")
            && !is_out(without)
    };
    let played = TESTS.iter().filter(is_wanted).map(|(name, _, play)| {
        let result = run(play, daemon, &arguments.folder.join(name), limit);
        let wrong = result.err().map(|error| format!("{error:#}"));
        ((*name).to_owned(), wrong)
    });
    played.collect()
}

fn run(
    play: &fn(&Path) -> Result<Play>,
    daemon: &Daemon,
    folder: &Path,
    limit: Duration,
) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let Play {
        server,
        steps,
        expected,
    } = play(&folder)?;
    let events = play_steps(&server, steps, expected.len(), daemon, &folder, limit)?;
    for (event, expected) in events.iter().zip(&expected) {
        judge(event, expected).with_context(|| format!("{}: {}", expected.tool, event.json))?;
    }
    Ok(())
}

fn judge(event: &Event, expected: &Expected) -> Result<()> {
    let mcp = &event.json["unmapped"]["mcp"];
    ensure!(
        event.interaction.target.as_deref() == Some(expected.tool),
        "another tool"
    );
    let observed = &mcp["observed"];
    ensure!(observed["complete"] == true, "not complete");
    let list = |name: &str| observed[name].as_array().cloned().unwrap_or_default();
    let text = |thing: &Value, name: &str| thing[name].as_str().unwrap_or_default().to_owned();
    let files: Vec<String> = list("files")
        .iter()
        .map(|one| format!("{} {}", text(one, "path"), text(one, "access")))
        .collect();
    for file in &expected.files {
        ensure!(files.contains(file), "{file} is not among {files:?}");
    }
    let programs: Vec<String> = list("programs")
        .iter()
        .map(|one| text(one, "path"))
        .collect();
    for program in &expected.programs {
        ensure!(
            programs.iter().any(|one| one.ends_with(program)),
            "{program} is not among {programs:?}"
        );
    }
    let ports: Vec<_> = list("connections")
        .iter()
        .filter(|one| one["protocol"] == "tcp")
        .filter_map(|one| one["port"].as_u64())
        .collect();
    let port: Vec<u64> = expected.port.into_iter().map(u64::from).collect();
    ensure!(ports == port, "connected to {ports:?} instead of {port:?}");
    let differences = mcp["differences"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<String> = differences.iter().map(|one| text(one, "kind")).collect();
    ensure!(
        kinds == expected.differences,
        "differs by {kinds:?} instead of {:?}",
        expected.differences
    );
    ensure!(
        observed["certainty"] == expected.certainty,
        "{} instead of {}",
        observed["certainty"],
        expected.certainty
    );
    Ok(())
}

fn step(tool: &str, arguments: Value) -> Value {
    json!({"do": "call_tool", "name": tool, "arguments": arguments})
}

fn expected(tool: &'static str, files: Vec<String>, certainty: &'static str) -> Expected {
    Expected {
        tool,
        files,
        programs: Vec::new(),
        port: None,
        differences: Vec::new(),
        certainty,
    }
}

fn filesystem(folder: &Path) -> Result<Play> {
    let mut server = node_package("@modelcontextprotocol/server-filesystem/dist/index.js")?;
    server.arg(folder);
    let path = |name: &str| folder.join(name).display().to_string();
    let (one, two) = (path("one.txt"), path("two.txt"));
    Ok(Play {
        server,
        steps: vec![
            step("write_file", json!({"path": one, "content": "hello"})),
            step("read_text_file", json!({"path": one})),
            step("write_file", json!({"path": one, "content": "again"})),
            step("move_file", json!({"source": one, "destination": two})),
        ],
        expected: vec![
            expected(
                "write_file",
                vec![format!("{one} create"), format!("{one} write")],
                "only_candidate",
            ),
            expected("read_text_file", vec![format!("{one} read")], "proven"),
            // It writes beside the file, and gives that its name.
            expected(
                "write_file",
                vec![format!("{one} rename_to")],
                "only_candidate",
            ),
            expected(
                "move_file",
                vec![format!("{one} rename"), format!("{two} rename_to")],
                "only_candidate",
            ),
        ],
    })
}

fn git(folder: &Path) -> Result<Play> {
    let repository = folder.join("repository");
    let mut make = Command::new("git");
    make.args(["init", "--quiet"]).arg(&repository);
    ensure!(make.status()?.success(), "cannot make a repository");
    fs::write(repository.join("a.txt"), "a")?;
    let server = python_program(Sdk::Python2, "mcp-server-git")?;
    let path = repository.display().to_string();
    Ok(Play {
        server,
        steps: vec![step(
            "git_add",
            json!({"repo_path": path, "files": ["a.txt"]}),
        )],
        expected: vec![Expected {
            programs: vec!["/git"],
            differences: vec!["program_started"],
            ..expected(
                "git_add",
                vec![
                    format!("{path}/.git/index.lock create"),
                    format!("{path}/.git/index rename_to"),
                ],
                "only_candidate",
            )
        }],
    })
}

fn fetch(_folder: &Path) -> Result<Play> {
    let mut server = python_program(Sdk::Python2, "mcp-server-fetch")?;
    server.args(["--ignore-robots-txt", "--allow-private-ips"]);
    let port = answering()?;
    let url = format!("http://127.0.0.1:{port}/page");
    Ok(Play {
        server,
        steps: vec![step("fetch", json!({"url": url}))],
        expected: vec![Expected {
            port: Some(port),
            ..expected("fetch", Vec::new(), "proven")
        }],
    })
}

/// A port at which each connection gets one answer.
fn answering() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4_096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(format!("{head}hello").as_bytes());
        }
    });
    Ok(port)
}

fn liar(folder: &Path) -> Result<Play> {
    let port = answering()?;
    let file = folder.join("asked.txt");
    fs::write(&file, "text")?;
    let (file, other) = (file.display().to_string(), folder.join("peeked.txt"));
    let other = other.display().to_string();
    Ok(Play {
        server: server(folder, port)?,
        steps: vec![
            step("peek", json!({"path": file})),
            step("look", json!({"path": file})),
            step("dial", json!({"note": "hello there"})),
        ],
        expected: vec![
            Expected {
                differences: vec!["read_only_wrote", "file_not_named"],
                ..expected(
                    "peek",
                    vec![format!("{other} create"), format!("{file} read")],
                    "only_candidate",
                )
            },
            expected("look", vec![format!("{file} read")], "proven"),
            Expected {
                port: Some(port),
                differences: vec!["host_not_named"],
                ..expected("dial", Vec::new(), "only_candidate")
            },
        ],
    })
}

/// Both calls are open when the files are made: neither event may claim one for itself.
fn two(folder: &Path) -> Result<Play> {
    let path = |name: &str| folder.join(name).display().to_string();
    let (one, other) = (path("one.txt"), path("other.txt"));
    let calls = [&one, &other].map(|path| step("fill", json!({"path": path})));
    let each = || {
        expected(
            "fill",
            vec![format!("{one} create"), format!("{other} create")],
            "one_of_n",
        )
    };
    Ok(Play {
        server: server(folder, 9)?,
        steps: vec![json!({"do": "parallel", "of": calls})],
        expected: vec![each(), each()],
    })
}

fn server(folder: &Path, port: u16) -> Result<Command> {
    let mut server = Command::new(python(Sdk::Python2)?);
    server.arg(source("python").join("deeds.py"));
    server.arg(folder).arg(port.to_string());
    server.stderr(Stdio::null());
    Ok(server)
}
