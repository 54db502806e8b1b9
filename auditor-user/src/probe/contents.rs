//! What was made of files that hold TLS, by content: to know a file that is probed when it comes by another name.
//!
//! Bounds: [`CONTENTS`], of each [`COPIES`]; beyond either nothing more is remembered.

use std::{collections::HashMap, fs, fs::File, os::unix::fs::MetadataExt as _};

use super::{cache::Content, twin};
use crate::tls::Library;

/// Contents that are remembered.
const CONTENTS: usize = 16_384;
/// Files with one content that are remembered.
const COPIES: usize = 256;

/// What an overlay tells of a file as the file system below does, whatever its numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    /// Its size.
    pub(super) len: u64,
    /// When it was changed last, in seconds and nanoseconds.
    changed: (i64, i64),
}

impl Shape {
    /// Of a file.
    pub(super) fn of(data: &fs::Metadata) -> Self {
        Self {
            len: data.len(),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }
}

/// Files that were probed.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: HashMap<Content, Vec<(Shape, Vec<Library>)>>,
}

impl Contents {
    /// Whether a file of this shape is known, so that its content is worth knowing.
    pub(super) fn has(&self, shape: Shape) -> bool {
        self.files
            .values()
            .flatten()
            .any(|(known, _)| *known == shape)
    }

    /// What was made of a file that is known by another name: one with the same content and shape, which has probes at
    /// these offsets already.
    pub(super) fn twin(
        &self,
        content: &Content,
        shape: Shape,
        file: &File,
        offsets: impl IntoIterator<Item = u64>,
    ) -> Option<&[Library]> {
        let files = self.files.get(content)?;
        let (_, libraries) = files.iter().find(|(known, _)| *known == shape)?;
        twin::is_probed(file, offsets)
            .unwrap_or(false)
            .then_some(libraries)
    }

    /// Remembers what was made of a file.
    pub(super) fn remember(&mut self, content: Content, shape: Shape, libraries: &[Library]) {
        if self.files.len() >= CONTENTS {
            return;
        }
        let files = self.files.entry(content).or_default();
        if files.len() < COPIES {
            files.push((shape, libraries.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_probes_is_no_twin_however_alike() {
        let own = File::open("/proc/self/exe").unwrap();
        let shape = Shape::of(&own.metadata().unwrap());
        let mut contents = Contents::default();
        assert!(!contents.has(shape));
        contents.remember("a".into(), shape, &[]);
        assert!(contents.has(shape));
        assert_eq!(contents.twin(&"a".into(), shape, &own, [1]), None);
        assert_eq!(contents.twin(&"b".into(), shape, &own, [1]), None);
    }

    #[test]
    fn copies_are_remembered_up_to_the_bound() {
        let mut contents = Contents::default();
        for len in 0..1_000 {
            let changed = (1, 2);
            contents.remember("a".into(), Shape { len, changed }, &[]);
        }
        assert_eq!(contents.files["a"].len(), COPIES);
    }
}
