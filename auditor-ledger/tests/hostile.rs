//! Whatever bytes stand in the files and texts: an answer, never a panic.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use auditor_ledger::{Demands, Log, Proof, Reader, Verdict, verify, witness};
use proptest::prelude::*;

fn sample(folder: &Path) {
    for _ in 0..2 {
        let (log, keys) = (folder.join("log"), folder.join("keys"));
        let (mut log, _) = Log::open(&log, &keys, "mcp-auditor/hostile", 1).unwrap();
        for _ in 0..150 {
            let number = log.size();
            log.append(format!("entry {number}").into_bytes()).unwrap();
        }
        log.retire(0, 1).unwrap();
        let commit = log.close().unwrap();
        witness::keep(&folder.join("log"), &commit.checkpoint).unwrap();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// All that reads a log.
fn read_all(folder: &Path) {
    let log = folder.join("log");
    let _ = verify(&log, &Demands::default());
    if let Ok(reader) = Reader::open(&log) {
        reader.entries(0).for_each(drop);
        reader.bundles().for_each(drop);
        for index in [0, 255, 256, reader.size().saturating_sub(1), u64::MAX] {
            let _ = reader.prove(index);
            let _ = reader.prove_consistency(index);
            let _ = reader.root(index);
        }
    }
    let opened = Log::open(&log, &folder.join("keys"), "mcp-auditor/hostile", 1);
    if let Ok((mut log, _)) = opened {
        let _ = log.append(b"more".to_vec());
        let _ = log.close();
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(u8),
    Cut,
    Insert(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<u8>().prop_map(Change::Set),
        Just(Change::Cut),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(Change::Insert),
    ]
}

fn apply(bytes: &mut Vec<u8>, at: prop::sample::Index, change: &Change) {
    let at = at.index(bytes.len() + 1);
    match change {
        Change::Set(byte) => {
            if let Some(one) = bytes.get_mut(at) {
                *one = *byte;
            }
        }
        Change::Cut => bytes.truncate(at),
        Change::Insert(more) => {
            bytes.splice(at..at, more.iter().copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_are_answered(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), change()), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        sample(folder.path());
        let all = files(folder.path());
        for (file, at, change) in &changes {
            let path = &all[file.index(all.len())];
            let mut bytes = fs::read(path).unwrap();
            apply(&mut bytes, *at, change);
            fs::write(path, bytes).unwrap();
        }
        read_all(folder.path());
    }

    /// A journal whose checksum is right, as whoever writes it can make it.
    #[test]
    fn a_journal_that_begins_anywhere_is_answered(base in prop_oneof![any::<u64>(), 0_u64..1_000, Just(u64::MAX), Just(256)], root in any::<[u8; 32]>()) {
        let folder = tempfile::tempdir().unwrap();
        sample(folder.path());
        let path = folder.path().join("log/journal");
        let mut bytes = fs::read(&path).unwrap();
        bytes[8..16].copy_from_slice(&base.to_le_bytes());
        bytes[16..48].copy_from_slice(&root);
        let sum = crc32fast::hash(&bytes[..48]).to_le_bytes();
        bytes[48..52].copy_from_slice(&sum);
        fs::write(&path, bytes).unwrap();
        let verdict = verify(&folder.path().join("log"), &Demands::default());
        prop_assert!(matches!(verdict, Ok(Verdict::Tampered(_))), "{:?}", verdict);
        read_all(folder.path());
    }

    #[test]
    fn texts_are_answered(at in any::<prop::sample::Index>(), change in change(), status in any::<u16>()) {
        let folder = tempfile::tempdir().unwrap();
        sample(folder.path());
        let reader = Reader::open(&folder.path().join("log")).unwrap();
        let key = reader.first_key().unwrap().to_owned();
        let whole = reader.prove(7).unwrap().to_json();
        let mut text = whole.clone().into_bytes();
        apply(&mut text, at, &change);
        let changed = String::from_utf8_lossy(&text);
        if let Ok(proof) = Proof::from_json(&changed) && proof.verify(&key).is_ok() {
            // Only what means the same.
            prop_assert_eq!(proof, Proof::from_json(&whole).unwrap());
        }
        let mut note = reader.checkpoint().as_bytes().to_vec();
        apply(&mut note, at, &change);
        let _ = witness::answer(status, &note);
        let _ = witness::answer(200, &note);
        let note = String::from_utf8_lossy(&note);
        let _ = witness::cosigners(&note, [&*note, &*key]);
        let _ = verify(&folder.path().join("log"), &Demands {
            key: Some(note.clone().into_owned()),
            retained: vec![note.clone().into_owned()],
            witnesses: vec![note.into_owned()],
            ..Demands::default()
        });
    }
}
