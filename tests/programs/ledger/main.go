// Verifies a log of mcp-auditor and a proof out of it, with nothing of mcp-auditor: golang.org/x/mod's sumdb/note and
// sumdb/tlog.
//
//	ledger KEY LOG [PROOF]
//
// KEY is the verifier key of the log's first start. Reads the chain of keys, the checkpoint, all tiles and all bundles of
// entries; with PROOF the entry that it holds, too.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	log.SetFlags(0)
	key, folder := os.Args[1], os.Args[2]
	keys := chain(key, links(folder))
	tree := checkpoint(read(filepath.Join(folder, "checkpoint")), keys)
	hashes := tlog.TileHashReader(tree, &tiles{folder})
	count := int64(0)
	for first := int64(0); first < tree.N; first += 1 << height {
		width := min(1<<height, int(tree.N-first))
		indexes := make([]int64, width)
		for at := range indexes {
			indexes[at] = tlog.StoredHashIndex(0, first+int64(at))
		}
		// Checks the tile up to the root.
		leaves, err := hashes.ReadHashes(indexes)
		must(err)
		bundle := read(filepath.Join(folder, "tile/entries", name(first>>height, width)))
		for at, leaf := range leaves {
			length := int(binary.BigEndian.Uint16(bundle))
			if tlog.RecordHash(bundle[2:2+length]) != leaf {
				log.Fatalf("entry %d is not the one that was signed", first+int64(at))
			}
			bundle = bundle[2+length:]
			count++
		}
		if len(bundle) > 0 {
			log.Fatalf("%d bytes behind the last entry of a bundle", len(bundle))
		}
	}
	fmt.Printf("%d entries are those that %d keys signed\n", count, len(keys))
	if len(os.Args) > 3 {
		proof(read(os.Args[3]), key)
	}
}

// proof checks a proof by itself: it brings its chain of keys.
func proof(text []byte, key string) {
	var file struct {
		Entry string   `json:"entry"`
		Proof string   `json:"proof"`
		Keys  []string `json:"keys"`
	}
	must(json.Unmarshal(text, &file))
	head, signed, _ := strings.Cut(file.Proof, "\n\n")
	lines := strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		log.Fatal("this is no tlog-proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	must(err)
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		must(err)
		path = append(path, hash)
	}
	tree := checkpoint([]byte(signed), chain(key, file.Keys))
	must(tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash([]byte(file.Entry))))
	fmt.Printf("entry %d is in the log of %d entries\n", index, tree.N)
}

// links reads the notes that each name a key.
func links(folder string) []string {
	files, err := filepath.Glob(filepath.Join(folder, "keys", "*"))
	must(err)
	var notes []string
	for _, file := range files {
		notes = append(notes, string(read(file)))
	}
	return notes
}

// chain checks that each key is signed by the one before, from a trusted one on.
func chain(trusted string, notes []string) []note.Verifier {
	var keys []note.Verifier
	signer := trusted
	for _, text := range notes {
		verifier, err := note.NewVerifier(signer)
		must(err)
		opened, err := note.Open([]byte(text), note.VerifierList(verifier))
		must(err)
		signer = strings.Split(opened.Text, "\n")[1]
		next, err := note.NewVerifier(signer)
		must(err)
		keys = append(keys, next)
	}
	return keys
}

func checkpoint(signed []byte, keys []note.Verifier) tlog.Tree {
	opened, err := note.Open(signed, note.VerifierList(keys...))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != keys[0].Name() {
		log.Fatalf("the checkpoint is of %s", lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)
	var hash tlog.Hash
	copy(hash[:], root)
	return tlog.Tree{N: size, Hash: hash}
}

// tiles reads tiles from the folder of the log.
type tiles struct{ folder string }

func (tiles *tiles) Height() int { return height }

func (tiles *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		path := fmt.Sprintf("tile/%d/%s", tile.L, name(tile.N, tile.W))
		bytes, err := os.ReadFile(filepath.Join(tiles.folder, path))
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

func (tiles *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// name is the end of a tile's path (C2SP tlog-tiles).
func name(number int64, width int) string {
	text := fmt.Sprintf("%03d", number%1000)
	for number >= 1000 {
		number /= 1000
		text = fmt.Sprintf("x%03d/%s", number%1000, text)
	}
	if width < 1<<height {
		text += fmt.Sprintf(".p/%d", width)
	}
	return text
}

func read(path string) []byte {
	text, err := os.ReadFile(path)
	must(err)
	return text
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
