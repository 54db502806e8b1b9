//! The static and the dynamic table of HPACK (RFC 7541, sections 2.3 and 4, appendix A).
//!
//! Decodes nothing. The dynamic table holds at most [`MAX_SIZE`] bytes as the RFC counts them.

use std::collections::VecDeque;

/// Bound of the dynamic table. An encoder that is allowed more refers to entries not held here;
/// those are unknown.
pub(in crate::wire) const MAX_SIZE: usize = 64 << 10;
/// Size at the beginning of a connection (RFC 9113, section 6.5.2).
const INITIAL_SIZE: usize = 4096;

/// A name or value; `None` when it was told before this connection was heard.
pub(super) type Text = Option<Vec<u8>>;

/// The dynamic table of one direction.
#[derive(Debug)]
pub(super) struct Table {
    /// The newest entry first.
    entries: VecDeque<(Text, Text)>,
    size: usize,
    max: usize,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: INITIAL_SIZE,
        }
    }

    /// A table of which neither the entries nor the size are known. Entries are numbered from the
    /// newest, so those added from now on are.
    pub(super) const fn unknown() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: MAX_SIZE,
        }
    }

    /// Bytes held, as the RFC counts them.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Changes the greatest size.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max.min(MAX_SIZE);
        self.evict(0);
    }

    /// The field at an index, counted from 1 over both tables.
    pub(super) fn get(&self, index: usize) -> (Text, Text) {
        let known = |text: &str| Some(text.as_bytes().to_vec());
        let Some(index) = index.checked_sub(1) else {
            return (None, None);
        };
        match STATIC.get(index) {
            Some((name, value)) => (known(name), known(value)),
            None => self
                .entries
                .get(index - STATIC.len())
                .cloned()
                .unwrap_or_default(),
        }
    }

    /// Adds a field as the newest.
    pub(super) fn insert(&mut self, name: Text, value: Text) {
        let size = size_of(&name, &value);
        self.evict(size);
        if size <= self.max {
            self.size += size;
            self.entries.push_front((name, value));
        }
    }

    fn evict(&mut self, room: usize) {
        while self.size.saturating_add(room) > self.max
            && let Some((name, value)) = self.entries.pop_back()
        {
            self.size = self.size.saturating_sub(size_of(&name, &value));
        }
    }
}

fn size_of(name: &Text, value: &Text) -> usize {
    let length = |text: &Text| text.as_ref().map_or(0, Vec::len);
    length(name) + length(value) + 32
}

const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
