//! The right edge of the tree: of each level of tiles the one that is not full, which is all that appending needs.
//!
//! Bound: 256 hashes of each of eight levels.

use tlog_tiles::tile::Tile;
use tlog_tiles::tlog::{Error, Hash, HashReader, split_stored_hash_index, tree_hash};

/// Height of tiles (C2SP tlog-tiles).
pub(crate) const HEIGHT: u8 = 8;
/// Hashes of a full tile.
const WIDTH: usize = 1 << HEIGHT;
/// Bytes of a hash.
pub(crate) const HASH: usize = 32;

/// A tile's place: its level and number.
pub(crate) type Place = (u8, u64);

/// The edge of a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edge {
    size: u64,
    /// Of each level the hashes of its last tile, fewer than a full one has.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Of a tree of so many entries, whose full tiles `tile` gives.
    pub(crate) fn of(size: u64, mut tile: impl FnMut(Place) -> Option<Vec<Hash>>) -> Option<Self> {
        let mut levels = Vec::new();
        let mut count = size;
        let mut level = 0_u8;
        while count > 0 {
            let last = count >> HEIGHT << HEIGHT;
            let mut hashes = Vec::new();
            for number in last..count {
                hashes.push(match level.checked_sub(1) {
                    Some(below) => root_of(&tile((below, number))?),
                    // The entries beyond the last full bundle: they are not in tiles.
                    None => return None,
                });
            }
            levels.push(hashes);
            count >>= HEIGHT;
            level += 1;
        }
        Some(Self { size, levels })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; gives the tiles that are full by it.
    pub(crate) fn push(&mut self, leaf: Hash) -> Vec<(Place, Vec<Hash>)> {
        let mut full = Vec::new();
        let mut hash = leaf;
        self.size += 1;
        for level in 0_u8.. {
            let at = usize::from(level);
            if self.levels.len() == at {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(at) else {
                break;
            };
            hashes.push(hash);
            if hashes.len() < WIDTH {
                break;
            }
            let hashes = std::mem::take(hashes);
            hash = root_of(&hashes);
            let number = (self.size >> (HEIGHT * (level + 1))) - 1;
            full.push(((level, number), hashes));
        }
        full
    }

    /// The tiles that are not full, with what they hold.
    pub(crate) fn partial(&self) -> impl Iterator<Item = (Place, &[Hash])> {
        let levels = (0_u8..).zip(&self.levels);
        levels
            .filter(|(_, hashes)| !hashes.is_empty())
            .map(|(level, hashes)| {
                let number = self.size >> (u32::from(HEIGHT) * u32::from(level + 1));
                ((level, number), hashes.as_slice())
            })
    }

    /// The hashes of a tile that is not full.
    fn tile(&self, (level, number): Place) -> Option<&[Hash]> {
        let hashes = self.levels.get(usize::from(level))?;
        let shift = u32::from(HEIGHT) * u32::from(level + 1);
        let last = self.size.checked_shr(shift).unwrap_or(0);
        (number == last).then_some(hashes)
    }
}

/// The root of a full tile's tree.
pub(crate) fn root_of(hashes: &[Hash]) -> Hash {
    Tile::subtree_hash(&bytes(hashes))
}

/// A tile as it is stored.
pub(crate) fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a stored tile; `None` where it is none.
pub(crate) fn hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (chunks, rest) = bytes.as_chunks::<HASH>();
    let fits = rest.is_empty() && !chunks.is_empty() && chunks.len() <= WIDTH;
    fits.then(|| chunks.iter().map(|chunk| Hash(*chunk)).collect())
}

/// Reads nodes of the tree from its edge and from full tiles.
pub(crate) struct Nodes<'a, T> {
    pub(crate) edge: &'a Edge,
    /// Gives a full tile.
    pub(crate) tile: T,
}

impl<T: Fn(Place) -> Result<Vec<Hash>, crate::Error>> Nodes<'_, T> {
    fn node(&self, index: u64) -> Result<Hash, Error> {
        let (level, number) = split_stored_hash_index(index);
        let (tile_level, within) = (level / HEIGHT, level % HEIGHT);
        let first = number << within;
        let place = (tile_level, first >> HEIGHT);
        let start = usize::try_from(first & (WIDTH as u64 - 1)).unwrap_or(WIDTH);
        let read;
        let hashes = match self.edge.tile(place) {
            Some(hashes) => hashes,
            None => {
                let tile = (self.tile)(place);
                read = tile.map_err(|error| Error::InvalidInput(error.to_string()))?;
                &read
            }
        };
        let part = hashes.get(start..start + (1 << within));
        part.map(root_of).ok_or(Error::IndexesNotInTree)
    }
}

impl<T: Fn(Place) -> Result<Vec<Hash>, crate::Error>> HashReader for Nodes<'_, T> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        indexes.iter().map(|index| self.node(*index)).collect()
    }
}

/// The root of the tree when it had so many entries.
pub(crate) fn root_at(size: u64, nodes: &impl HashReader) -> Result<Hash, crate::Error> {
    tree_hash(size, nodes).map_err(|error| crate::Error::Tree(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use tlog_tiles::tlog::{
        EMPTY_HASH, check_record, check_tree, node_hash, prove_record, prove_tree,
    };

    use super::*;
    use crate::bundle::leaf;

    /// RFC 6962, section 2.1, as it is written there.
    fn reference(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => EMPTY_HASH,
            [one] => *one,
            _ => {
                let middle = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(middle);
                node_hash(reference(left), reference(right))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn the_edge_gives_the_root_and_the_proofs_of_the_whole(size in 1_u64..70_000, at in any::<u64>(), old in any::<u64>()) {
            let leaves: Vec<_> = (0..size).map(|number| leaf(&number.to_be_bytes())).collect();
            let mut edge = Edge::default();
            let mut tiles = HashMap::new();
            for one in &leaves {
                tiles.extend(edge.push(*one));
            }
            let tile = |place: Place| tiles.get(&place).cloned().ok_or(crate::Error::Missing(place.1));
            let nodes = Nodes { edge: &edge, tile };
            let root = root_at(size, &nodes).unwrap();
            prop_assert_eq!(root, reference(&leaves));
            let (at, old) = (at % size, old % size + 1);
            let before = root_at(old, &nodes).unwrap();
            prop_assert_eq!(before, reference(&leaves[..old as usize]));
            let proof = prove_record(size, at, &nodes).unwrap();
            check_record(&proof, size, root, at, leaves[at as usize]).unwrap();
            let proof = prove_tree(size, old, &nodes).unwrap();
            check_tree(&proof, size, root, old, before).unwrap();
            let whole = size / 256 * 256;
            let again = Edge::of(whole, |place| tiles.get(&place).cloned()).unwrap();
            let again = leaves[whole as usize..].iter().fold(again, |mut edge, leaf| { edge.push(*leaf); edge });
            prop_assert_eq!(again.levels, edge.levels);
        }
    }
}
