//! Says what is out of the ordinary in audited MCP traffic.
//!
//! Two layers. Facts need memory ([`Baselines`], [`Definitions`], [`scan`]) and are laid into the event as [`Anomaly`]s.
//! Rules (Sigma, with the feature `sigma`) look at events through a [`View`] and give [`Hit`]s. Nothing here reads a
//! clock or a file, or knows what an event is. Every table has a bound, and counts what it forgot at it.

mod anomaly;
mod baseline;
mod definition;
mod history;
mod kept;
mod key;
mod memory;
mod rule;
pub mod scan;
#[cfg(feature = "sigma")]
mod sigma;
mod statistic;
mod view;

pub use anomaly::{Anomaly, Kind};
pub use baseline::{Baselines, Call};
pub use definition::{Change, Leaf, What};
#[doc(hidden)]
pub use history::fuzz as fuzz_definitions;
pub use history::{Definitions, Listed};
pub use kept::{Unreadable, keep, take_up};
pub use rule::{About, Correlated, Hit, Judge, Level};
#[cfg(feature = "sigma")]
pub use sigma::{Error, PACK, Rules, Source};
pub use view::{FIELDS, Field, View};
