// Verifies a log and its proofs by another implementation: golang.org/x/mod/sumdb, which Go's checksum database runs on.
//
//	ledger log   VERIFIER_KEY FOLDER
//	ledger proof VERIFIER_KEY FILE
//
// A log must have been closed, so that its last bundle is published. Says on one line what was verified and exits 0, or
// says what does not hold and exits 1.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

func main() {
	if len(os.Args) != 4 || (os.Args[1] != "log" && os.Args[1] != "proof") {
		fmt.Fprintln(os.Stderr, "usage: ledger log|proof VERIFIER_KEY FOLDER|FILE")
		os.Exit(2)
	}
	verify := verifyLog
	if os.Args[1] == "proof" {
		verify = verifyProof
	}
	told, err := verify(os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(told)
}

// A key of the chain, with the tree that it took over.
type link struct {
	verifier note.Verifier
	tree     tlog.Tree
}

// The keys from the trusted one on: each is named in a note that the one before signed.
func chain(trusted string, notes []string) ([]link, note.Verifiers, error) {
	var links []link
	var known []note.Verifier
	signer := trusted
	for number, signed := range notes {
		text, _, _ := strings.Cut(signed, "\n\n")
		lines := strings.Split(text, "\n")
		if len(lines) != 5 || lines[0] != "mcp-auditor key v1" {
			return nil, nil, fmt.Errorf("link %d of the chain of keys is malformed", number)
		}
		// What is before the trusted key is not looked at.
		if known == nil && lines[1] != trusted {
			continue
		}
		if known != nil || number == 0 {
			verifier, err := note.NewVerifier(signer)
			if err != nil {
				return nil, nil, err
			}
			if _, err := note.Open([]byte(signed), note.VerifierList(verifier)); err != nil {
				return nil, nil, fmt.Errorf("link %d of the chain of keys: %w", number, err)
			}
		}
		verifier, err := note.NewVerifier(lines[1])
		if err != nil {
			return nil, nil, err
		}
		size, err := strconv.ParseInt(lines[2], 10, 64)
		if err != nil {
			return nil, nil, err
		}
		root, err := tlog.ParseHash(lines[3])
		if err != nil {
			return nil, nil, err
		}
		signer = lines[1]
		known = append(known, verifier)
		links = append(links, link{verifier, tlog.Tree{N: size, Hash: root}})
	}
	if known == nil {
		return nil, nil, errors.New("the trusted key is not in the chain of keys")
	}
	return links, note.VerifierList(known...), nil
}

// The tree that a checkpoint signs.
func checkpoint(signed []byte, keys note.Verifiers, origin string) (tlog.Tree, error) {
	opened, err := note.Open(signed, keys)
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != origin {
		return tlog.Tree{}, errors.New("the checkpoint is malformed or of another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

type proofFile struct {
	Format      string   `json:"format"`
	Entry       *string  `json:"entry"`
	EntryBase64 []byte   `json:"entry_base64"`
	Proof       string   `json:"proof"`
	Keys        []string `json:"keys"`
}

func verifyProof(trusted, path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var file proofFile
	if err := json.Unmarshal(data, &file); err != nil {
		return "", err
	}
	entry := file.EntryBase64
	if file.Entry != nil {
		entry = []byte(*file.Entry)
	}
	links, keys, err := chain(trusted, file.Keys)
	if err != nil {
		return "", err
	}
	head, signed, ok := strings.Cut(file.Proof, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return "", errors.New("the proof is malformed")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return "", err
	}
	var hashes tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return "", err
		}
		hashes = append(hashes, hash)
	}
	tree, err := checkpoint([]byte(signed), keys, links[0].verifier.Name())
	if err != nil {
		return "", err
	}
	if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return "", err
	}
	return fmt.Sprintf("entry %d of %d in %s", index, tree.N, links[0].verifier.Name()), nil
}

// The tree, as it grows: hashes by their storage index.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		if index >= int64(len(s)) {
			return nil, fmt.Errorf("hash %d is not in the tree", index)
		}
		hashes[at] = s[index]
	}
	return hashes, nil
}

// Path of a tile (C2SP tlog-tiles); that of the package has the height in it.
func tilePath(folder, level string, tile tlog.Tile) string {
	tile.H, tile.L = height, 0
	return filepath.Join(folder, "tile", level, strings.TrimPrefix(tile.Path(), "tile/8/0/"))
}

func entries(bundle []byte) ([][]byte, error) {
	var all [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return nil, errors.New("a bundle ends within an entry")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		all = append(all, bundle[2:end])
		bundle = bundle[end:]
	}
	return all, nil
}

// The first entry that is kept.
func first(folder string, keys note.Verifiers, origin string) (int64, error) {
	signed, err := os.ReadFile(filepath.Join(folder, "retention"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	opened, err := note.Open(signed, keys)
	if err != nil {
		return 0, fmt.Errorf("retention: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != "mcp-auditor retention v1" || lines[1] != origin {
		return 0, errors.New("the retention note is malformed")
	}
	return strconv.ParseInt(lines[2], 10, 64)
}

func verifyLog(trusted, folder string) (string, error) {
	names, err := filepath.Glob(filepath.Join(folder, "keys", "????????"))
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	var notes []string
	for _, name := range names {
		signed, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		notes = append(notes, string(signed))
	}
	links, keys, err := chain(trusted, notes)
	if err != nil {
		return "", err
	}
	origin := links[0].verifier.Name()
	signed, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return "", err
	}
	tree, err := checkpoint(signed, keys, origin)
	if err != nil {
		return "", err
	}
	kept, err := first(folder, keys, origin)
	if err != nil {
		return "", err
	}

	var all stored
	for number := int64(0); number*width < tree.N; number++ {
		tile := tlog.Tile{H: height, N: number, W: int(min(width, tree.N-number*width))}
		leaves, err := os.ReadFile(tilePath(folder, "0", tile))
		if err != nil {
			return "", err
		}
		if len(leaves) != tile.W*tlog.HashSize {
			return "", fmt.Errorf("tile %d has %d bytes", number, len(leaves))
		}
		if number*width >= kept {
			bundle, err := os.ReadFile(tilePath(folder, "entries", tile))
			if err != nil {
				return "", err
			}
			records, err := entries(bundle)
			if err != nil || len(records) != tile.W {
				return "", fmt.Errorf("bundle %d has %d entries: %w", number, len(records), err)
			}
			for at, record := range records {
				hash := tlog.RecordHash(record)
				if !bytes.Equal(hash[:], leaves[at*tlog.HashSize:(at+1)*tlog.HashSize]) {
					return "", fmt.Errorf("entry %d is not the one of its leaf", number*width+int64(at))
				}
			}
		}
		for at := range int64(tile.W) {
			hash := tlog.Hash(leaves[at*tlog.HashSize : (at+1)*tlog.HashSize])
			more, err := tlog.StoredHashesForRecordHash(number*width+at, hash, all)
			if err != nil {
				return "", err
			}
			all = append(all, more...)
		}
	}
	// Every tile that there is at this size.
	for _, tile := range tlog.NewTiles(height, 0, tree.N) {
		want, err := tlog.ReadTileData(tile, all)
		if err != nil {
			return "", err
		}
		path := tilePath(folder, strconv.Itoa(tile.L), tile)
		found, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if !bytes.Equal(found, want) {
			return "", fmt.Errorf("%s is not what follows from the entries", path)
		}
	}
	trees := []tlog.Tree{tree}
	for _, link := range links {
		trees = append(trees, link.tree)
	}
	for _, one := range trees {
		if one.N > tree.N {
			return "", fmt.Errorf("a key took over at %d entries, the log has %d", one.N, tree.N)
		}
		root := sha256Empty
		if one.N > 0 {
			if root, err = tlog.TreeHash(one.N, all); err != nil {
				return "", err
			}
			proof, err := tlog.ProveTree(tree.N, one.N, all)
			if err != nil {
				return "", err
			}
			if err := tlog.CheckTree(proof, tree.N, tree.Hash, one.N, one.Hash); err != nil {
				return "", fmt.Errorf("the tree of %d entries: %w", one.N, err)
			}
		}
		if root != one.Hash {
			return "", fmt.Errorf("the tree of %d entries is not the one that was signed", one.N)
		}
	}
	return fmt.Sprintf("%d entries in %s, kept from %d on, %d keys", tree.N, origin, kept, len(links)), nil
}

// SHA-256 of nothing: the root of an empty tree (RFC 6962, section 2.1).
var sha256Empty = func() tlog.Hash {
	text, _ := base64.StdEncoding.DecodeString("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	return tlog.Hash(text)
}()
