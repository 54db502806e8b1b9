//! What a new start takes over from the one before, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::Path};

use auditor_ledger::{Demands, Error, Log, Proof, Reader, Report, Verdict, What, verify};

fn open(folder: &Path) -> Result<Log, Error> {
    Log::open(
        &folder.join("log"),
        &folder.join("keys"),
        "mcp-auditor/test",
        1,
    )
    .map(|(log, _)| log)
}

/// One start that adds entries; gives its last checkpoint.
fn start(folder: &Path, entries: u64) -> String {
    let mut log = open(folder).unwrap();
    for _ in 0..entries {
        let number = log.size();
        log.append(format!("entry {number}").into_bytes()).unwrap();
    }
    log.close().unwrap().checkpoint
}

fn intact(folder: &Path, demands: &Demands) -> Report {
    match verify(&folder.join("log"), demands).unwrap() {
        Verdict::Intact(report) => report,
        Verdict::Tampered(found) => panic!("{found:?}"),
    }
}

fn kind(folder: &Path, demands: &Demands) -> What {
    match verify(&folder.join("log"), demands).unwrap() {
        Verdict::Intact(report) => panic!("intact: {report:?}"),
        Verdict::Tampered(found) => found.what,
    }
}

fn newest_key(folder: &Path) -> String {
    let reader = Reader::open(&folder.join("log")).unwrap();
    reader.chain().links().last().unwrap().key.clone()
}

#[test]
fn a_log_without_its_checkpoint_is_not_signed_anew() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), 10);
    let log = folder.path().join("log");
    fs::remove_file(log.join("checkpoint")).unwrap();
    assert!(matches!(open(folder.path()), Err(Error::Tampered(_))));
}

/// Cuts the journal behind its head.
fn start_over(log: &Path) {
    let journal = fs::read(log.join("journal")).unwrap();
    fs::write(log.join("journal"), &journal[..52]).unwrap();
}

#[test]
fn a_log_that_is_shorter_than_when_its_key_took_over_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), 10);
    start(folder.path(), 0);
    let log = folder.path().join("log");
    fs::remove_file(log.join("checkpoint")).unwrap();
    start_over(&log);
    let error = open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("10 were signed"), "{error}");
}

#[test]
fn who_trusts_only_the_newest_key_can_verify_what_was_kept_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let early = start(path, 300);
    let mut log = open(path).unwrap();
    log.retire(256, 5).unwrap();
    log.close().unwrap();
    start(path, 10);
    let demands = Demands {
        key: Some(newest_key(path)),
        retained: vec![early],
        ..Demands::default()
    };
    let report = intact(path, &demands);
    assert_eq!((report.first, report.size), (256, 310));
    assert_eq!(report.first_ms, Some(1));
    assert!(report.last_ms.is_some());
    // A key from before does not speak for what comes after the one that is trusted.
    let first = Reader::open(&path.join("log")).unwrap();
    let first = first.first_key().unwrap().to_owned();
    fs::write(path.join("log/retention"), "moved\n").unwrap();
    assert_eq!(kind(path, &demands), What::Malformed);
    fs::remove_file(path.join("log/retention")).unwrap();
    let demands = Demands {
        key: Some(first),
        ..Demands::default()
    };
    assert_eq!(kind(path, &demands), What::Deletion);
}

#[test]
fn a_chain_of_keys_with_a_link_less_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        start(folder.path(), 2);
    }
    let links = folder.path().join("log/keys");
    // What a crash leaves is none of them.
    fs::write(links.join("00000003.new"), "half").unwrap();
    intact(folder.path(), &Demands::default());
    fs::remove_file(links.join("00000001")).unwrap();
    assert_eq!(
        kind(folder.path(), &Demands::default()),
        What::BrokenKeyChain
    );
    assert!(matches!(open(folder.path()), Err(Error::Tampered(_))));
}

#[test]
fn a_pipe_in_a_file_s_place_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), 300);
    let tile = folder.path().join("log/tile/entries/000");
    fs::remove_file(&tile).unwrap();
    let mode = nix::sys::stat::Mode::S_IRUSR;
    nix::unistd::mkfifo(&tile, mode).unwrap();
    assert_eq!(kind(folder.path(), &Demands::default()), What::Malformed);
}

#[test]
fn two_kept_checkpoints_of_one_size_with_other_trees_are_a_fork() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    start(path, 5);
    // The key of a start, used for two trees.
    let copy = |from: &str, to: &str| {
        let status = std::process::Command::new("cp")
            .arg("-r")
            .args([path.join(from), path.join(to)])
            .status();
        assert!(status.unwrap().success());
    };
    let mut log = open(path).unwrap();
    copy("log", "log2");
    log.append(b"one".to_vec()).unwrap();
    let one = log.commit().unwrap().checkpoint;
    drop(log);
    copy("keys", "keys2");
    // Nothing but the key itself can sign in its name.
    let text = fs::read_to_string(path.join("keys2/ledger.key")).unwrap();
    let signer = signed_note::StandardSigner::new(text.lines().next().unwrap()).unwrap();
    let body = one.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let mut lines: Vec<_> = body.lines().map(str::to_owned).collect();
    lines[2] = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=".to_owned();
    let other = lines.join("\n") + "\n";
    let mut note = signed_note::Note::new(other.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    let other = String::from_utf8(note.to_bytes()).unwrap();
    fs::remove_dir_all(path.join("log")).unwrap();
    copy("log2", "log");
    let retained = |all: &[&String]| Demands {
        retained: all.iter().map(|one| (*one).clone()).collect(),
        ..Demands::default()
    };
    assert_eq!(kind(path, &retained(&[&one])), What::Truncation);
    assert_eq!(kind(path, &retained(&[&one, &other])), What::Fork);
}

#[test]
fn what_retention_can_decide_by_is_told() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), 600);
    let mut log = open(folder.path()).unwrap();
    let bundles = |folder: &Path| -> Vec<u64> {
        let reader = Reader::open(&folder.join("log")).unwrap();
        let all: Vec<_> = reader.bundles().map(|one| one.unwrap()).collect();
        assert!(
            all.iter()
                .all(|one| one.bytes > 256 * 2 && one.written_ms.is_some())
        );
        all.iter().map(|one| one.first).collect()
    };
    assert_eq!(bundles(folder.path()), [0, 256]);
    log.retire(256, 2).unwrap();
    assert_eq!(bundles(folder.path()), [256]);
}

#[test]
fn a_disk_that_becomes_read_only_is_told_and_the_log_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |words: &[&str]| {
        let command = std::process::Command::new(words[0])
            .args(&words[1..])
            .arg(folder.path())
            .status();
        command.is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"]) {
        println!("not root: no disk that could become read-only");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        // A disk that is read-only from the start.
        assert!(mount(&["mount", "-o", "remount,ro"]));
        assert!(matches!(open(folder.path()), Err(Error::Io { .. })));
        assert!(mount(&["mount", "-o", "remount,rw"]));
        start(folder.path(), 20);
        assert!(mount(&["mount", "-o", "remount,ro"]));
        assert!(matches!(open(folder.path()), Err(Error::Io { .. })));
        assert_eq!(intact(folder.path(), &Demands::default()).size, 20);
        assert!(mount(&["mount", "-o", "remount,rw"]));
        start(folder.path(), 20);
        assert_eq!(intact(folder.path(), &Demands::default()).size, 40);
    });
    assert!(mount(&["umount", "-l"]));
    result.unwrap();
}

#[test]
fn an_entry_that_is_no_text_keeps_its_proof() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    log.append(vec![0xff, 0, 0xfe]).unwrap();
    log.close().unwrap();
    let reader = Reader::open(&folder.path().join("log")).unwrap();
    let proof = reader.prove(0).unwrap();
    let again = Proof::from_json(&proof.to_json()).unwrap();
    assert_eq!(again, proof);
    again.verify(reader.first_key().unwrap()).unwrap();
}
