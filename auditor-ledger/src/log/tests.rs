//! Ends the writing at each change of a file in turn, and looks at what is there then.

use super::*;
use crate::{Demands, Reader, Verdict, files::crash, verify};

fn entry(number: u64) -> Vec<u8> {
    format!("{{\"number\":{number}}}").into_bytes()
}

/// What one daemon does from its start to its end; `acknowledged` is what it told others of.
fn live(folder: &Path, to: u64, acknowledged: &mut u64) -> Result<(), Error> {
    let (log, keys) = (folder.join("log"), folder.join("keys"));
    let (mut log, opened) = Log::open(&log, &keys, "mcp-auditor/crash", 7)?;
    assert!(opened.size >= *acknowledged);
    for number in opened.size..to {
        assert_eq!(log.append(entry(number))?, number);
        if number % 90 == 89 {
            *acknowledged = log.commit()?.size;
        }
        if number == 265 {
            log.retire(256, 8)?;
        }
    }
    *acknowledged = log.close()?.size;
    Ok(())
}

/// The same, which ends after so many changes; says whether it did.
fn live_until(folder: &Path, changes: u64, acknowledged: &mut u64) -> bool {
    crash::after(Some(changes));
    let ended = live(folder, 275, acknowledged);
    let is_ended = crash::happened();
    crash::after(None);
    assert!(ended.is_ok() || is_ended, "{ended:?}");
    is_ended
}

fn look(folder: &Path, acknowledged: u64, when: &str) {
    let log = folder.join("log");
    if acknowledged == 0 && !log.join("checkpoint").exists() {
        // It had not begun.
        return;
    }
    let verdict = verify(&log, &Demands::default()).unwrap();
    assert!(matches!(verdict, Verdict::Intact(_)), "{when}: {verdict:?}");
    let size = Reader::open(&log).unwrap().size();
    assert!(size >= acknowledged, "{when}: {size} of {acknowledged}");
}

#[test]
fn crashes_at_any_change_of_a_file_leave_an_intact_log_with_all_that_was_acknowledged() {
    let mut ends = 0;
    for first in 0.. {
        let mut goes_on = true;
        // A start's first changes, some at a time: over all, each meets each kind of end before it.
        for second in (first % 4..16).step_by(4) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path();
            let mut acknowledged = 0;
            goes_on &= live_until(path, first, &mut acknowledged);
            look(path, acknowledged, &format!("{first}"));
            live_until(path, second, &mut acknowledged);
            look(path, acknowledged, &format!("{first}, {second}"));
            live(path, 300, &mut acknowledged).unwrap();
            look(path, acknowledged, &format!("{first}, {second}, whole"));
            let reader = Reader::open(&path.join("log")).unwrap();
            assert_eq!(reader.size(), 300);
            for one in reader.entries(0) {
                let one = one.unwrap();
                assert_eq!(one.bytes, entry(one.index));
            }
            ends += 1;
        }
        if !goes_on {
            break;
        }
    }
    assert!(ends > 100, "{ends}");
}
