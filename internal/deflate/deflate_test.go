package deflate_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/bodokaiser/walve/internal/deflate"
)

// TestRoundTrip has every window, level and kind of context, with the standard
// library as the judge of the stream and the Inflater, which refuses what
// reaches beyond the window, as that of the distances.
func TestRoundTrip(t *testing.T) {
	random := make([]byte, 3000)
	rand.New(rand.NewSource(1)).Read(random)
	messages := slices.Concat(
		jsonMessages(300, 20), jsonMessages(5000, 4), jsonMessages(60000, 1),
		[][]byte{nil, []byte("a"), random, random, bytes.Repeat([]byte("ab"), 30000), random, nil},
		jsonMessages(1000, 5))
	for bits := 8; bits <= 15; bits++ {
		for level := 1; level <= 9; level++ {
			if bits < 15 && level > 1 {
				continue // one compressor for all levels
			}
			for _, takeover := range []bool{false, true} {
				t.Run(fmt.Sprintf("bits=%d/level=%d/takeover=%v", bits, level, takeover), func(t *testing.T) {
					d := deflate.NewDeflater(level, bits, takeover)
					z := deflate.NewInflater(bits, takeover)
					var sent, stream []byte
					for _, m := range messages {
						payload := compress(d, m)
						mustInflate(t, z, payload, m)
						if !takeover {
							sent, stream = nil, nil
						}
						sent = append(sent, m...)
						stream = append(append(stream, payload...), tail...)
						if takeover && len(stream) < 50000 {
							continue
						}
						got, err := reference(flate.NewReader(bytes.NewReader(stream)))
						if err != nil || !bytes.Equal(got, sent) {
							t.Fatalf("the standard library reads %d bytes of %d: %v", len(got), len(sent), err)
						}
					}
				})
			}
		}
	}
}

// TestPieces cuts messages into pieces on both sides. A piece can be inflated
// as soon as it has come.
func TestPieces(t *testing.T) {
	for _, takeover := range []bool{false, true} {
		for _, bits := range []int{8, 12, 15} {
			for _, size := range []int{1, 100, 1000, 20000} {
				t.Run(fmt.Sprintf("takeover=%v/bits=%d/size=%d", takeover, bits, size), func(t *testing.T) {
					d := deflate.NewDeflater(1, bits, takeover)
					z := deflate.NewInflater(bits, takeover)
					for _, m := range jsonMessages(200*min(size, 200), 2) {
						var got []byte
						for rest := m; ; {
							piece := rest[:min(size, len(rest))]
							rest = rest[len(piece):]
							last := len(piece) == 0
							payload := d.Append(nil, piece, last)
							d.Commit(piece, last)
							dst := make([]byte, size+1)
							n, used, done, err := z.Inflate(dst, payload, last)
							if n != len(piece) || used != len(payload) || done != last || err != nil {
								t.Fatalf("%d of %d bytes, done %v: %v", n, len(piece), done, err)
							}
							if got = append(got, dst[:n]...); last {
								break
							}
						}
						if !bytes.Equal(got, m) {
							t.Fatal("inflated something else")
						}
					}
				})
			}
		}
	}
}

// TestDroppedPiece: what was compressed and not committed leaves no trace, with
// whatever compressor the next piece meets.
func TestDroppedPiece(t *testing.T) {
	a, b := deflate.NewDeflater(1, 15, true), deflate.NewDeflater(1, 15, true)
	za, zb := deflate.NewInflater(15, true), deflate.NewInflater(15, true)
	rnd := rand.New(rand.NewSource(1))
	for i, m := range jsonMessages(700, 200) {
		d, z := a, za
		if rnd.Intn(3) == 0 {
			d, z = b, zb
		}
		if rnd.Intn(2) == 0 {
			d.Append(nil, fmt.Append(nil, "never sent ", i, string(m)), rnd.Intn(2) == 0)
		}
		mustInflate(t, z, compress(d, m), m)
	}
}

// TestMaxOverhead: what cannot be compressed does not grow by more than there is
// room for.
func TestMaxOverhead(t *testing.T) {
	random := make([]byte, deflate.MaxPiece)
	rnd := rand.New(rand.NewSource(2))
	rnd.Read(random)
	halves := slices.Concat(random[:1000], make([]byte, 30000), random[:34000])
	worst := 0
	for bits := 8; bits <= 15; bits++ {
		for level := 1; level <= 9; level++ {
			if bits < 15 && level > 1 {
				continue
			}
			d := deflate.NewDeflater(level, bits, true)
			for _, size := range []int{0, 1, 5, 12, 13, 33, 127, 128, 250, 1000, 16383, 32767, 40000, deflate.MaxPiece} {
				for _, p := range [][]byte{random[:size], halves[:min(size, len(halves))]} {
					out := d.Append(nil, p, false)
					d.Commit(p, false)
					worst = max(worst, len(out)-len(p))
				}
			}
			d = deflate.NewDeflater(level, bits, true)
			rnd.Seed(0)
			for range 6 {
				p := make([]byte, deflate.MaxPiece)
				rnd.Read(p)
				out := d.Append(nil, p, false)
				d.Commit(p, false)
				worst = max(worst, len(out)-len(p))
			}
		}
	}
	t.Logf("at most %d bytes", worst)
	if worst > deflate.MaxOverhead {
		t.Errorf("%d bytes of overhead, over %d", worst, deflate.MaxOverhead)
	}
}
