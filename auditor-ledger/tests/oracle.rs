//! Another implementation comes to the same verdicts: `tests/programs/ledger`, built, at `LEDGER_ORACLE`.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use auditor_ledger::{Demands, Log, Reader, Verdict, verify};

fn open(folder: &Path) -> Log {
    let (log, keys) = (folder.join("log"), folder.join("keys"));
    Log::open(&log, &keys, "mcp-auditor/oracle", 1).unwrap().0
}

fn add(log: &mut Log, entries: u64) {
    for number in log.size()..log.size() + entries {
        log.append(format!("{{\"number\":{number}}}").into_bytes())
            .unwrap();
    }
}

#[test]
fn another_implementation_agrees() {
    let Ok(oracle) = env::var("LEDGER_ORACLE") else {
        println!("LEDGER_ORACLE is not set: nothing is compared");
        return;
    };
    let ask = |what: &str, key: &str, path: &Path| -> Output {
        let mut command = Command::new(&oracle);
        command.args([what, key]).arg(path).output().unwrap()
    };
    for size in [0, 1, 2, 255, 256, 257, 300, 511, 512, 1_000, 65_536, 66_100] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let log = path.join("log");
        let mut writer = open(path);
        add(&mut writer, size / 3);
        writer.close().unwrap();
        // A start that was killed.
        let mut writer = open(path);
        add(&mut writer, size / 3);
        writer.commit().unwrap();
        drop(writer);
        let mut writer = open(path);
        let rest = size - writer.size();
        add(&mut writer, rest);
        writer.commit().unwrap();
        if size > 512 {
            assert_eq!(writer.retire(300, 2).unwrap().0, 256);
        }
        writer.close().unwrap();

        let reader = Reader::open(&log).unwrap();
        for link in reader.chain().links() {
            let answer = ask("log", &link.key, &log);
            assert!(answer.status.success(), "{size}: {answer:?}");
        }
        let key = reader.first_key().unwrap().to_owned();
        let file = path.join("proof");
        for index in (reader.first()..size).step_by(1 + size as usize / 7) {
            let proof = reader.prove(index).unwrap();
            fs::write(&file, proof.to_json()).unwrap();
            let answer = ask("proof", &key, &file);
            assert!(answer.status.success(), "{index} of {size}: {answer:?}");
            let mut other = proof;
            other.entry.push(b' ');
            fs::write(&file, other.to_json()).unwrap();
            assert!(!ask("proof", &key, &file).status.success());
        }
        // Both refuse what was changed.
        if size > 600 {
            let bundle = log.join("tile/entries/001");
            let mut bytes = fs::read(&bundle).unwrap();
            bytes[20] ^= 1;
            fs::write(&bundle, bytes).unwrap();
            assert!(!ask("log", &key, &log).status.success());
            let verdict = verify(&log, &Demands::default()).unwrap();
            assert!(matches!(verdict, Verdict::Tampered(_)));
        }
    }
}
