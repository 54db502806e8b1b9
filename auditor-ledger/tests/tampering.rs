//! Whatever is changed of a log is found, and called by its kind.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use auditor_ledger::{Demands, Log, Verdict, What, verify};

struct Sample {
    folder: tempfile::TempDir,
    /// The checkpoints of each commit.
    checkpoints: Vec<String>,
}

impl Sample {
    /// 300 entries in commits of 50, the last of a second start.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sample = Self {
            folder,
            checkpoints: Vec::new(),
        };
        sample.go_on(0..250);
        sample.go_on(250..300);
        sample
    }

    /// The same where tiles and bundles alone have what is in them.
    fn without_journal() -> Self {
        let sample = Self::new();
        let (mut log, _) = Log::open(&sample.log(), &sample.keys(), "", 1).unwrap();
        log.retire(0, 1).unwrap();
        log.close().unwrap();
        sample
    }

    fn go_on(&mut self, numbers: std::ops::Range<u64>) {
        let (mut log, _) = Log::open(&self.log(), &self.keys(), "mcp-auditor/test", 1).unwrap();
        for number in numbers {
            log.append(format!("entry {number:03}").into_bytes())
                .unwrap();
            if number % 50 == 49 {
                self.checkpoints.push(log.commit().unwrap().checkpoint);
            }
        }
        log.close().unwrap();
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn verify(&self, demands: &Demands) -> Verdict {
        verify(&self.log(), demands).unwrap()
    }

    fn kind(&self, demands: &Demands) -> (What, Option<u64>) {
        match self.verify(demands) {
            Verdict::Tampered(found) => (found.what, found.index),
            Verdict::Intact(report) => panic!("intact: {report:?}"),
        }
    }

    fn demands(&self) -> Demands {
        Demands {
            retained: self.checkpoints.clone(),
            ..Demands::default()
        }
    }
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(all_files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let status = Command::new("cp")
        .arg("-r")
        .args([from, to])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_change_of_any_byte_is_found() {
    every_byte(&Sample::new());
}

#[test]
fn a_change_of_any_byte_is_found_where_no_journal_has_it() {
    every_byte(&Sample::without_journal());
}

fn every_byte(sample: &Sample) {
    assert!(matches!(
        sample.verify(&sample.demands()),
        Verdict::Intact(_)
    ));
    let log = sample.log();
    let files: Vec<_> = all_files(&log)
        .into_iter()
        .filter(|path| !path.ends_with("lock"))
        .map(|path| path.strip_prefix(&log).unwrap().to_owned())
        .collect();
    let names = files.iter().map(|path| path.to_str().unwrap());
    let names: Vec<_> = names.collect();
    for expected in [
        "checkpoint",
        "journal",
        "tile/0/000",
        "tile/entries/000",
        "tile/entries/001.p/44",
    ] {
        assert!(names.contains(&expected), "no {expected} in {names:?}");
    }
    let missed: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let (files, log) = (&files, &log);
                scope.spawn(move || {
                    let folder = tempfile::tempdir().unwrap();
                    let own = folder.path().join("log");
                    copy(log, &own);
                    let mut missed = Vec::new();
                    for file in files {
                        let path = own.join(file);
                        let whole = fs::read(&path).unwrap();
                        for at in (worker..whole.len()).step_by(2) {
                            let mut bytes = whole.clone();
                            bytes[at] ^= 1 << (at % 8);
                            fs::write(&path, &bytes).unwrap();
                            if let Verdict::Intact(_) = verify(&own, &Demands::default()).unwrap() {
                                missed.push(format!("{} at {at}", file.display()));
                            }
                        }
                        fs::write(&path, &whole).unwrap();
                    }
                    assert!(matches!(
                        verify(&own, &Demands::default()).unwrap(),
                        Verdict::Intact(_)
                    ));
                    missed
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    let some: Vec<_> = missed.iter().take(20).collect();
    assert!(missed.is_empty(), "{} not found: {some:?}", missed.len());
}

#[test]
fn edits_deletions_and_swaps_are_called_so() {
    let sample = Sample::without_journal();
    let none = Demands::default();
    let kept = sample.folder.path().join("kept");
    copy(&sample.log(), &kept);
    let bundle = sample.log().join("tile/entries/000");
    let whole = fs::read(&bundle).unwrap();
    let text = String::from_utf8_lossy(&whole).into_owned();

    fs::write(&bundle, text.replacen("entry 017", "entry 999", 1)).unwrap();
    assert_eq!(sample.kind(&none), (What::Edit, Some(17)));
    let swapped = text
        .replacen("entry 017", "entry ???", 1)
        .replacen("entry 201", "entry 017", 1)
        .replacen("entry ???", "entry 201", 1);
    fs::write(&bundle, swapped).unwrap();
    assert_eq!(sample.kind(&none), (What::Reorder, Some(17)));
    let at = 17 * 11;
    let without = [&whole[..at], &whole[at + 11..]].concat();
    fs::write(&bundle, without).unwrap();
    assert_eq!(sample.kind(&none), (What::Deletion, Some(17)));
    fs::remove_file(&bundle).unwrap();
    assert_eq!(sample.kind(&none), (What::Deletion, Some(0)));

    // Of what the journal has.
    copy(&kept, &sample.log());
    let journal = sample.log().join("journal");
    let whole = fs::read(&journal).unwrap();
    fs::write(&journal, &whole[..whole.len() - 17]).unwrap();
    assert_eq!(sample.kind(&none), (What::Deletion, Some(299)));
    for gone in ["checkpoint", "journal", "tile/0/000"] {
        copy(&kept, &sample.log());
        fs::remove_file(sample.log().join(gone)).unwrap();
        assert_eq!(sample.kind(&none).0, What::Deletion, "{gone}");
    }
}

#[test]
fn what_was_kept_elsewhere_tells_truncation_rollback_and_fork() {
    let mut sample = Sample::new();
    let kept = sample.folder.path().join("kept");
    let kept_keys = sample.folder.path().join("kept-keys");
    copy(&sample.log(), &kept);
    copy(&sample.keys(), &kept_keys);
    // It is put back to a state before this start: its key is one that nobody knows.
    sample.go_on(300..350);
    copy(&kept, &sample.log());
    copy(&kept_keys, &sample.keys());
    assert!(matches!(
        sample.verify(&Demands::default()),
        Verdict::Intact(_)
    ));
    assert_eq!(sample.kind(&sample.demands()).0, What::Rollback);
    sample.checkpoints.pop();
    assert!(matches!(
        sample.verify(&sample.demands()),
        Verdict::Intact(_)
    ));

    // The one who has the key cuts the log and signs it anew.
    let (folder, keys) = (
        sample.folder.path().join("forged"),
        sample.folder.path().join("forged-keys"),
    );
    let (mut log, _) = Log::open(&folder, &keys, "mcp-auditor/test", 1).unwrap();
    let mut commits = Vec::new();
    for number in 0..20 {
        log.append(format!("entry {number}").into_bytes()).unwrap();
        commits.push(log.commit().unwrap().checkpoint);
        if number == 9 {
            // As it stood then.
            copy(&folder, &sample.folder.path().join("short"));
        }
    }
    let demands = Demands {
        retained: vec![commits[19].clone()],
        ..Demands::default()
    };
    let Verdict::Tampered(found) = verify(&sample.folder.path().join("short"), &demands).unwrap()
    else {
        panic!();
    };
    assert_eq!((found.what, found.index), (What::Truncation, Some(10)));
    let trusted = auditor_ledger::Reader::open(&sample.log())
        .unwrap()
        .first_key()
        .unwrap()
        .to_owned();
    let demands = Demands {
        key: Some(trusted),
        ..Demands::default()
    };
    assert!(matches!(sample.verify(&demands), Verdict::Intact(_)));
    let Verdict::Tampered(found) = verify(&folder, &demands).unwrap() else {
        panic!();
    };
    assert_eq!(found.what, What::BrokenKeyChain);
}

#[test]
fn a_second_tree_of_the_same_key_is_a_fork() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut log, _) = Log::open(&path("log"), &path("keys"), "mcp-auditor/test", 1).unwrap();
    log.append(b"one".to_vec()).unwrap();
    log.commit().unwrap();
    drop(log);
    copy(&path("log"), &path("other"));
    copy(&path("keys"), &path("other-keys"));
    // Both go on from here with the key that both have, until one is told of the other's checkpoint.
    let (mut log, _) = Log::open(&path("log"), &path("keys"), "", 2).unwrap();
    log.append(b"two".to_vec()).unwrap();
    log.commit().unwrap();
    drop(log);
    let (mut other, _) = Log::open(&path("other"), &path("other-keys"), "", 2).unwrap();
    other.append(b"another two".to_vec()).unwrap();
    let forged = other.commit().unwrap().checkpoint;
    // The same key would be needed: what is signed by a key of the other branch is not of this log.
    let demands = Demands {
        retained: vec![forged],
        ..Demands::default()
    };
    let Verdict::Tampered(found) = verify(&path("log"), &demands).unwrap() else {
        panic!();
    };
    assert_eq!(found.what, What::Rollback);
    // The branch's chain of keys in this log's place: its key took over another tree.
    copy(&path("other/keys"), &path("log/keys"));
    fs::copy(path("other/checkpoint"), path("log/checkpoint")).unwrap();
    let Verdict::Tampered(found) = verify(&path("log"), &Demands::default()).unwrap() else {
        panic!();
    };
    assert_eq!(found.what, What::Edit);
}
