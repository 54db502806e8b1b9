//! The tree of a log that is written: its edge, the bundle that is not full, and how both are found again at a start.

use std::{fs, path::Path};

use tlog_tiles::{
    checkpoint::Checkpoint,
    tlog::{EMPTY_HASH, Hash},
};

use super::tampered;
use crate::{
    bundle::{self, BUNDLE},
    chain::Chain,
    edge::{self, Edge, Nodes, Place, root_at},
    error::Error,
    files::{self, Lasting},
    journal,
    keys::opened,
    reader::stored_tile,
};

/// The tree as it grows, with what is not in files yet.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) edge: Edge,
    /// The entries of the bundle that is not full.
    pub(super) bundle: Vec<u8>,
    /// Full bundles and tiles.
    unwritten: Vec<(String, Vec<u8>)>,
}

impl Tree {
    pub(super) fn push(&mut self, entry: &[u8]) {
        bundle::push(&mut self.bundle, entry);
        for (place, hashes) in self.edge.push(bundle::leaf(entry)) {
            if place.0 == 0 {
                let bundle = std::mem::take(&mut self.bundle);
                let name = files::bundle(place.1, BUNDLE as usize);
                self.unwritten.push((name, bundle));
            }
            let name = files::tile(place, hashes.len());
            self.unwritten.push((name, edge::bytes(&hashes)));
        }
    }

    /// Writes what is full; what cannot be written waits.
    pub(super) fn write(&mut self, folder: &Path) -> Result<(), Error> {
        let mut written = 0;
        let mut result = Ok(());
        for (name, bytes) in &self.unwritten {
            let path = folder.join(name);
            result = path.parent().map_or(Ok(()), files::make);
            result = result.and_then(|()| files::replace(&path, bytes, 0o640, Lasting::Nothing));
            if result.is_err() {
                break;
            }
            // The ones that were not full.
            let _ = files::step().and_then(|()| fs::remove_dir_all(path.with_extension("p")));
            written += 1;
        }
        self.unwritten.drain(..written);
        result
    }

    /// A full tile, which may not be in its file yet.
    fn tile(&self, folder: &Path, place: Place) -> Result<Vec<Hash>, Error> {
        let name = files::tile(place, BUNDLE as usize);
        let waits = self.unwritten.iter().find(|(waiting, _)| *waiting == name);
        let hashes = waits.and_then(|(_, bytes)| edge::hashes(bytes));
        hashes.map_or_else(|| stored_tile(folder)(place), Ok)
    }

    pub(super) fn root(&self, folder: &Path) -> Result<Hash, Error> {
        let tile = stored_tile(folder);
        let edge = &self.edge;
        root_at(edge.size(), &Nodes { edge, tile })
    }
}

/// A log as it was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) tree: Tree,
    /// Entries that were signed.
    pub(super) signed: u64,
}

/// The tree that a journal and the tiles before it make, which must go on from the one that was signed.
pub(super) fn recover(
    folder: &Path,
    content: &journal::Content,
    checkpoint: Option<&str>,
    chain: &Chain,
) -> Result<Found, Error> {
    let told = |what: String| Error::Tampered(format!("{}: {what}", folder.display()));
    let read = stored_tile(folder);
    let edge = Edge::of(content.base, |place| read(place).ok());
    let edge = edge.ok_or_else(|| told("tiles are missing".to_owned()))?;
    let mut tree = Tree {
        edge,
        ..Tree::default()
    };
    if Some(tree.root(folder)?) != content.root {
        return Err(told("tiles have changed".to_owned()));
    }
    for entry in &content.entries {
        tree.push(entry);
    }
    let size = tree.edge.size();
    let signed = match checkpoint {
        Some(note) => {
            let keys = chain.links().iter().map(|link| link.key.as_str());
            let text = opened(note, keys, "checkpoint").map_err(tampered)?;
            let parsed = Checkpoint::from_bytes(text.as_bytes());
            let parsed = parsed.map_err(|_| told("the checkpoint is malformed".to_owned()))?;
            (parsed.size(), *parsed.hash())
        }
        // The first start ended before it signed; entries come after that.
        None if size == 0 => (0, EMPTY_HASH),
        None => return Err(told("there is no checkpoint".to_owned())),
    };
    let handed = chain.links().last().map(|link| (link.size, link.root));
    for (signed, root) in [signed].into_iter().chain(handed) {
        if size < signed {
            return Err(told(format!("it has {size} entries, {signed} were signed")));
        }
        let nodes = Nodes {
            edge: &tree.edge,
            tile: |place| tree.tile(folder, place),
        };
        if root_at(signed, &nodes)? != root {
            return Err(told(
                "its entries are not those that were signed".to_owned(),
            ));
        }
    }
    // As they were when the daemon ended, or did not get to be.
    tree.write(folder)?;
    Ok(Found {
        tree,
        signed: signed.0,
    })
}
