//! What the tables of detection weigh when each is full: `cargo run --release -p auditor-detect --example memory`.

use auditor_detect::{Baselines, Call, Definitions, Listed};

/// More than the bound of any table.
const NAMES: usize = 100_000;

fn main() -> std::io::Result<()> {
    let before = resident()?;
    let mut baselines = Baselines::default();
    for number in 0..NAMES {
        let identity = number.to_string();
        let call = Call {
            identity: &identity,
            server: "server",
            tool: "tool",
            sent: 100,
            brought: 100,
            is_sensitive: true,
            time: 0,
        };
        baselines.handle(&call, [identity.as_str()]);
    }
    let between = resident()?;
    let mut definitions = Definitions::default();
    let members: Vec<_> = (0..60)
        .map(|number| format!("\"{}{number}\":1", "long".repeat(28)))
        .collect();
    for number in 0..8_192 {
        let listed = Listed {
            method: "tools/list",
            client: "client",
            server: "server",
            server_name: "server",
            interaction: number,
        };
        let members = members.join(",");
        let answer = format!(r#"{{"result":{{"tools":[{{"name":"{number}",{members}}}]}}}}"#);
        definitions.handle(&listed, answer.as_bytes());
    }
    let after = resident()?;
    println!(
        "baselines: {} entries, {} KiB",
        baselines.held_and_evicted().0,
        between - before
    );
    println!(
        "definitions: {} entries, {} KiB",
        definitions.held_and_evicted().0,
        after - between
    );
    Ok(())
}

/// Resident memory, in KiB.
fn resident() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Ok(number.unwrap_or_default())
}
