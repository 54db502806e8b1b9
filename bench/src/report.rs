//! The table of figures, each beside what it must be.

use anyhow::{Result, ensure};

/// Figures so far.
pub(crate) struct Report {
    missed: usize,
}

/// What several measurements gave.
pub(crate) struct Spread {
    median: f64,
    /// The least and the greatest, where there were several.
    range: Option<[f64; 2]>,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let range = match values.as_slice() {
            [least, .., greatest] => Some([*least, *greatest]),
            _ => None,
        };
        Self {
            median: values.get(values.len() / 2).copied().unwrap_or(f64::NAN),
            range,
        }
    }
}

impl From<f64> for Spread {
    fn from(median: f64) -> Self {
        Self {
            median,
            range: None,
        }
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        println!(
            "{:<60} {:>14}  {:<14} must be",
            "figure", "measured", "least..most"
        );
        Self { missed: 0 }
    }

    /// A figure that must be at most `bound`.
    pub(crate) fn at_most(&mut self, name: &str, value: impl Into<Spread>, bound: f64, unit: &str) {
        let value = value.into();
        let is_met = value.median <= bound;
        self.line(name, &value, unit, is_met, &format!("<= {bound} {unit}"));
    }

    /// A figure that must be at least `bound`.
    pub(crate) fn at_least(
        &mut self,
        name: &str,
        value: impl Into<Spread>,
        bound: f64,
        unit: &str,
    ) {
        let value = value.into();
        let is_met = value.median >= bound;
        self.line(name, &value, unit, is_met, &format!(">= {bound} {unit}"));
    }

    /// A figure that is only told.
    pub(crate) fn tell(&mut self, name: &str, value: impl Into<Spread>, unit: &str) {
        self.line(name, &value.into(), unit, true, "");
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

    fn line(&mut self, name: &str, value: &Spread, unit: &str, is_met: bool, must: &str) {
        let digits = if value.median.fract() == 0.0 { 0 } else { 2 };
        let mark = if is_met { "" } else { "   MISSED" };
        self.missed += usize::from(!is_met);
        let range = value.range.map_or_else(String::new, |[least, most]| {
            format!("{least:.2}..{most:.2}")
        });
        println!(
            "{name:<60} {:>14}  {range:<14} {must}{mark}",
            format!("{:.digits$} {unit}", value.median)
        );
    }
}
