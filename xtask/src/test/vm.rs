//! The end-to-end tests on one other kernel: every kernel object, and one session of an SDK.

use super::report::Report;
use crate::vm;

const KERNEL: &str = "6.1";
const TESTS: [&str; 2] = ["object", "go_auto_to_go_over_stdio"];

pub(super) fn check(report: &mut Report) {
    report.count("end-to-end tests on another kernel", || {
        vm::check(KERNEL, &TESTS)
    });
}
