//! Writes a log of so many entries in three starts, and a proof of one: `sample FOLDER ENTRIES INDEX`. Prints its first
//! key; for others to verify.

use std::{env, fs, path::PathBuf};

use auditor_ledger::{Log, Reader};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [folder, entries, index] = &words[..] else {
        return Err("sample FOLDER ENTRIES INDEX".into());
    };
    let (folder, entries): (PathBuf, u64) = (folder.into(), entries.parse()?);
    let log = folder.join("log");
    for start in 1..=3 {
        let (mut writer, _) = Log::open(&log, &folder.join("keys"), "mcp-auditor/sample", start)?;
        while writer.size() < entries * start / 3 {
            let number = writer.size();
            writer.append(format!("{{\"entry\":{number}}}").into_bytes())?;
            if number % 100 == 0 {
                writer.commit()?;
            }
        }
        writer.close()?;
    }
    let reader = Reader::open(&log)?;
    let proof = reader.prove(index.parse()?)?;
    fs::write(folder.join("proof.json"), proof.to_json())?;
    println!("{}", reader.first_key().ok_or("no key")?);
    Ok(())
}
