//! What was appended is there, in order, provable, and found again after any crash.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::Path, process::Command};

use auditor_ledger::{Demands, ENTRY, Error, Log, PENDING, Proof, Reader, Verdict, verify};
use proptest::prelude::*;

fn entry(number: u64) -> Vec<u8> {
    let mut bytes = format!("entry {number} ").into_bytes();
    bytes.resize(bytes.len() + (number % 7) as usize * 11, b'.');
    bytes
}

fn open(folder: &Path) -> Log {
    Log::open(
        &folder.join("log"),
        &folder.join("keys"),
        "mcp-auditor/test",
        1,
    )
    .unwrap()
    .0
}

fn add(log: &mut Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(log.append(entry(number)).unwrap(), number);
    }
}

fn check(folder: &Path, size: u64) {
    let verdict = verify(&folder.join("log"), &Demands::default()).unwrap();
    let Verdict::Intact(report) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!((report.size, report.checked), (size, size));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_batches_give_the_log_of_their_entries(batches in proptest::collection::vec(0_u64..400, 1..8), starts in 1_usize..4) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        let mut size = 0;
        for (at, batch) in batches.iter().enumerate() {
            for _ in 0..*batch {
                prop_assert_eq!(log.append(entry(size)).unwrap(), size);
                size += 1;
            }
            prop_assert_eq!(log.commit().unwrap().size, size);
            if at % starts == 0 {
                // As if it was killed, and as it ends in order.
                if at % 2 == 0 { drop(log) } else { drop(log.close().unwrap()) }
                log = open(folder.path());
            }
        }
        drop(log);
        check(folder.path(), size);
        let reader = Reader::open(&folder.path().join("log")).unwrap();
        let trusted = reader.first_key().unwrap().to_owned();
        let all: Vec<_> = reader.entries(0).map(|one| one.unwrap()).collect();
        prop_assert_eq!(all.len() as u64, size);
        for (number, one) in (0..).zip(&all) {
            prop_assert_eq!((one.index, &one.bytes), (number, &entry(number)));
        }
        for index in (0..size).step_by(97) {
            let proof = reader.prove(index).unwrap();
            let again = Proof::from_json(&proof.to_json()).unwrap();
            prop_assert_eq!(&again, &proof);
            prop_assert_eq!(again.verify(&trusted).unwrap().size, size);
            let mut other = again;
            other.entry.push(b'!');
            prop_assert!(other.verify(&trusted).is_err());
        }
    }
}

#[test]
fn a_commit_that_ended_anywhere_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, keys) = (folder.path().join("log"), folder.path().join("keys"));
    let mut log = open(folder.path());
    add(&mut log, 0..300);
    log.commit().unwrap();
    let before = fs::metadata(log_folder.join("journal")).unwrap().len();
    let checkpoint = fs::read(log_folder.join("checkpoint")).unwrap();
    add(&mut log, 300..305);
    log.commit().unwrap();
    drop(log);
    let journal = fs::read(log_folder.join("journal")).unwrap();
    let kept = folder.path().join("kept");
    let copy = |from: &Path, to: &Path| {
        let _ = fs::remove_dir_all(to);
        let status = Command::new("cp")
            .arg("-r")
            .args([from, to])
            .status()
            .unwrap();
        assert!(status.success());
    };
    copy(&log_folder, &kept);
    let kept_keys = folder.path().join("kept-keys");
    copy(&keys, &kept_keys);
    for end in before..=journal.len() as u64 {
        copy(&kept, &log_folder);
        copy(&kept_keys, &keys);
        fs::write(log_folder.join("journal"), &journal[..end as usize]).unwrap();
        if end < journal.len() as u64 {
            fs::write(log_folder.join("checkpoint"), &checkpoint).unwrap();
        }
        let (mut log, opened) = Log::open(&log_folder, &keys, "unused", 2).unwrap();
        assert!((300..=305).contains(&opened.size) && !opened.is_new);
        assert!(opened.torn_bytes < 100 && opened.last_ms.is_some());
        log.append(b"goes on".to_vec()).unwrap();
        log.commit().unwrap();
        drop(log);
        check(folder.path(), opened.size + 1);
    }
    // What was acknowledged and is gone is no crash.
    copy(&kept, &log_folder);
    copy(&kept_keys, &keys);
    fs::write(log_folder.join("journal"), &journal[..before as usize]).unwrap();
    let error = Log::open(&log_folder, &keys, "unused", 2).err().unwrap();
    assert!(matches!(error, Error::Tampered(_)), "{error}");
}

#[test]
fn bounds_and_the_second_writer_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    assert!(matches!(
        log.append(vec![0; ENTRY + 1]),
        Err(Error::TooLong(_))
    ));
    let mut full = 0;
    while log.append(vec![0; ENTRY]).is_ok() {
        full += ENTRY;
    }
    assert!(full <= PENDING && full + ENTRY > PENDING);
    let again = Log::open(
        &folder.path().join("log"),
        &folder.path().join("keys"),
        "x",
        1,
    );
    assert!(matches!(again.err(), Some(Error::Locked(_))));
    let size = log.commit().unwrap().size;
    log.append(b"next".to_vec()).unwrap();
    assert_eq!(log.commit().unwrap().size, size + 1);
}

#[test]
fn retention_keeps_what_is_left_provable() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    add(&mut log, 0..1_000);
    log.commit().unwrap();
    let (first, _) = log.retire(700, 5).unwrap();
    assert_eq!(first, 512);
    // It never goes back.
    assert_eq!(log.retire(100, 6).unwrap().0, 512);
    log.close().unwrap();
    let path = folder.path().join("log");
    let Verdict::Intact(report) = verify(&path, &Demands::default()).unwrap() else {
        panic!();
    };
    assert_eq!(
        (report.first, report.checked, report.size),
        (512, 1_000 - 512, 1_000)
    );
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.entries(0).count(), 1_000 - 512);
    assert!(matches!(reader.entry(3), Err(Error::Retired(0, 512))));
    let trusted = reader.first_key().unwrap().to_owned();
    reader.prove(600).unwrap().verify(&trusted).unwrap();
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |words: &[&str]| {
        Command::new(words[0])
            .args(&words[1..])
            .arg(folder.path())
            .status()
    };
    let is_mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs"]);
    if !is_mounted.is_ok_and(|status| status.success()) {
        println!("not root: no disk to fill");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        let mut log = open(folder.path());
        let filler = folder.path().join("filler");
        let mut size = 0;
        for _ in 0..20 {
            add(&mut log, size..size + 10);
            size += 10;
            assert_eq!(log.commit().unwrap().size, size);
        }
        fs::write(&filler, vec![0; 600 << 10]).unwrap_err();
        add(&mut log, size..size + 10);
        size += 10;
        for _ in 0..3 {
            log.commit().unwrap_err();
        }
        fs::remove_file(&filler).unwrap();
        assert_eq!(log.commit().unwrap().size, size);
        drop(log);
        check(folder.path(), size);
        // And a restart on a full disk.
        fs::write(&filler, vec![0; 600 << 10]).unwrap_err();
        let failed = Log::open(
            &folder.path().join("log"),
            &folder.path().join("keys"),
            "x",
            1,
        );
        assert!(failed.is_err());
        fs::remove_file(&filler).unwrap();
        drop(open(folder.path()));
        check(folder.path(), size);
    });
    assert!(mount(&["umount", "-l"]).unwrap().success());
    result.unwrap();
}

/// A disk that became read-only is told, and changes nothing.
#[test]
fn a_read_only_disk_is_told_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        let status = command.args(&words[1..]).arg(folder.path()).status();
        status.is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs"]) {
        println!("not root: no disk to mount");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        let mut log = open(folder.path());
        add(&mut log, 0..300);
        log.commit().unwrap();
        drop(log);
        assert!(mount(&["mount", "-o", "remount,ro"]));
        let (log, keys) = (folder.path().join("log"), folder.path().join("keys"));
        let Err(error) = Log::open(&log, &keys, "x", 1) else {
            panic!("it opens");
        };
        let told = error.to_string();
        assert!(
            told.contains("cannot") && told.contains(&*folder.path().to_string_lossy()),
            "{told}"
        );
        // Reading goes on.
        check(folder.path(), 300);
        assert_eq!(Reader::open(&log).unwrap().entry(299).unwrap(), entry(299));
        assert!(mount(&["mount", "-o", "remount,rw"]));
        let mut log = open(folder.path());
        add(&mut log, 300..310);
        log.commit().unwrap();
        drop(log);
        check(folder.path(), 310);
    });
    assert!(mount(&["umount", "-l"]));
    result.unwrap();
}

/// Times are told, never relied on: a clock that jumps back and forth breaks nothing.
#[test]
fn a_clock_that_jumps_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, keys) = (folder.path().join("log"), folder.path().join("keys"));
    let mut size = 0;
    for now_ms in [1_800_000_000_000, 5, 1_700_000_000_000, 0, u64::MAX] {
        let (mut log, opened) = Log::open(&path, &keys, "mcp-auditor/test", now_ms).unwrap();
        assert_eq!(opened.size, size);
        add(&mut log, size..size + 300);
        size += 300;
        log.commit().unwrap();
        log.retire(size / 4, now_ms).unwrap();
    }
    let verdict = verify(&path, &Demands::default()).unwrap();
    let Verdict::Intact(report) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!((report.size, report.first), (1_500, 256));
    assert_eq!(report.keys.len(), 5);
}
