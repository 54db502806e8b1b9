//! Gaps before the first message of a channel: they count once the channel turns out to speak JSON-RPC.
//!
//! Bounds: [`CHANNELS`] channels, [`GAPS`] of each; beyond either the oldest go.

use std::collections::{BTreeMap, VecDeque};

use crate::{key::ChannelId, wire::Gap};

/// Channels without a message whose gaps are kept.
const CHANNELS: usize = 1024;
/// Gaps kept of one.
const GAPS: usize = 16;

/// The gaps that are kept.
#[derive(Debug, Default)]
pub(super) struct EarlyGaps {
    channels: BTreeMap<ChannelId, VecDeque<Gap>>,
}

impl EarlyGaps {
    /// Keeps a gap.
    pub(super) fn push(&mut self, gap: Gap) {
        if self.channels.len() == CHANNELS && !self.channels.contains_key(&gap.channel) {
            self.channels.pop_first();
        }
        let gaps = self.channels.entry(gap.channel).or_default();
        if gaps.len() == GAPS {
            gaps.pop_front();
        }
        gaps.push_back(gap);
    }

    /// The gaps of a channel, which are forgotten.
    pub(super) fn take(&mut self, channel: ChannelId) -> VecDeque<Gap> {
        if self.channels.is_empty() {
            return VecDeque::new();
        }
        self.channels.remove(&channel).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::{Side, Time},
        stream::GapCause,
    };

    #[test]
    fn gaps_are_kept_up_to_the_bounds() {
        let mut early = EarlyGaps::default();
        for channel in 0..2000 {
            for pos in 0..20 {
                early.push(Gap {
                    channel: ChannelId(channel),
                    from: Side::A,
                    range: pos..pos + 1,
                    discarded: 0,
                    cause: GapCause::RingFull,
                    time: Time(0),
                });
            }
        }
        assert_eq!(early.channels.len(), CHANNELS);
        assert!(early.take(ChannelId(0)).is_empty());
        let gaps = early.take(ChannelId(1999));
        assert_eq!((gaps.len(), gaps.front().unwrap().range.start), (GAPS, 4));
        assert!(early.take(ChannelId(1999)).is_empty());
    }
}
