// witness PORT FILE: a witness of the log whose verifier key comes to stand in a file, made of transparency-dev's. It prints
// its own verifier key.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	private, public, err := note.GenerateKey(rand.Reader, "witness.example/test")
	check(err)
	signer, err := f_note.NewSignerForCosignatureV1(private)
	check(err)
	shown, err := f_note.VKeyToCosignatureV1(public)
	check(err)
	ctx := context.Background()
	one, err := witness.New(ctx, witness.Opts{
		Persistence: inmemory.New(),
		Signers:     []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			text, err := os.ReadFile(os.Args[2])
			if err != nil {
				return nil, false, err
			}
			key, err := note.NewVerifier(strings.TrimSpace(string(text)))
			return key, err == nil && key.Name() == origin, err
		},
	})
	check(err)
	http.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(one).AddCheckpoint)
	fmt.Println(shown)
	check(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
