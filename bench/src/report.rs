//! The table of figures, each beside what it must be.

use anyhow::{Result, ensure};

/// Figures so far.
pub(crate) struct Report {
    missed: usize,
}

impl Report {
    pub(crate) fn new() -> Self {
        println!("{:<58} {:>14}  must be", "figure", "measured");
        Self { missed: 0 }
    }

    /// A figure that must be at most `bound`.
    pub(crate) fn at_most(&mut self, name: &str, value: f64, bound: f64, unit: &str) {
        self.line(
            name,
            value,
            unit,
            value <= bound,
            &format!("<= {bound} {unit}"),
        );
    }

    /// A figure that must be at least `bound`.
    pub(crate) fn at_least(&mut self, name: &str, value: f64, bound: f64, unit: &str) {
        self.line(
            name,
            value,
            unit,
            value >= bound,
            &format!(">= {bound} {unit}"),
        );
    }

    /// A figure that is only told.
    pub(crate) fn tell(&mut self, name: &str, value: f64, unit: &str) {
        self.line(name, value, unit, true, "");
    }

    /// Ends the table.
    pub(crate) fn finish(self) -> Result<()> {
        ensure!(
            self.missed == 0,
            "{} figures are not what they must be",
            self.missed
        );
        Ok(())
    }

    fn line(&mut self, name: &str, value: f64, unit: &str, is_met: bool, must: &str) {
        let digits = if value.fract() == 0.0 { 0 } else { 2 };
        let mark = if is_met { "" } else { "   MISSED" };
        self.missed += usize::from(!is_met);
        println!(
            "{name:<58} {:>14}  {must}{mark}",
            format!("{value:.digits$} {unit}")
        );
    }
}
