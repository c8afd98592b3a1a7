package deflate_test

import (
	"bytes"
	"compress/flate"
	"math/rand/v2"
	"testing"

	"github.com/bodokaiser/walve/internal/deflate"
)

// TestInflateInPieces inflates messages of many codes in pieces of every small
// size: where a piece ends, the bits that are not there yet must not be read as
// a code.
func TestInflateInPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	dst := make([]byte, 4096)
	for round := range 3000 {
		p := make([]byte, 20+rnd.IntN(1000))
		kinds := 1 + rnd.IntN(250)
		first := rnd.IntN(256 - kinds)
		for i := range p {
			p[i] = byte(first + min(rnd.IntN(kinds), rnd.IntN(kinds)))
		}
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, 1+rnd.IntN(9))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(p)
		w.Flush()
		src := bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
		size := 1 + round%3
		z := deflate.NewInflater(15, false)
		var got []byte
		for rest, done := src, false; !done; {
			k := min(size, len(rest))
			n, used, ended, err := z.Inflate(dst, rest[:k], k == len(rest))
			if err != nil {
				t.Fatalf("round %d: %v, %d bytes of %d in", round, err, len(src)-len(rest), len(src))
			}
			got, rest, done = append(got, dst[:n]...), rest[used:], ended
		}
		if !bytes.Equal(got, p) {
			t.Fatalf("round %d: other bytes", round)
		}
	}
}
