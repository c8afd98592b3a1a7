package deflate_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"testing"

	"github.com/bodokaiser/walve/internal/deflate"
)

// FuzzRoundTrip has random messages of one connection with random parameters,
// in random pieces, some of them dropped.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("hello hello hello"), []byte{3, 20, 200}, uint8(1), uint8(15), true)
	f.Add(bytes.Join(jsonMessages(300, 3), nil), []byte{40, 41, 200, 0, 7}, uint8(9), uint8(8), false)
	f.Add(make([]byte, 3000), []byte{255, 1}, uint8(5), uint8(12), true)
	f.Fuzz(func(t *testing.T, data, cuts []byte, level, bits uint8, takeover bool) {
		level, bits = level%9+1, bits%8+8
		d := deflate.NewDeflater(int(level), int(bits), takeover)
		z := deflate.NewInflater(int(bits), takeover)
		var message, payload []byte
		for i := 0; len(data) > 0; i++ {
			cut := byte(255)
			if i < len(cuts) {
				cut = cuts[i]
			}
			piece := data[:min(len(data), int(cut)*8)]
			if cut%5 == 1 {
				d.Append(nil, piece, cut%2 == 0)
			}
			if i >= len(cuts) || cut%5 != 1 {
				data = data[len(piece):]
			}
			fin := cut%3 == 0 || len(data) == 0
			payload = d.Append(payload, piece, fin)
			d.Commit(piece, fin)
			message = append(message, piece...)
			if !fin {
				continue
			}
			got, err := inflate(z, payload, int(cut)+1, 3*int(cut)+1)
			if err != nil || !bytes.Equal(got, message) {
				t.Fatalf("%d bytes of %d: %v", len(got), len(message), err)
			}
			message, payload = nil, nil
		}
	})
}

// FuzzInflate feeds garbage, behind a message whose window it may use, and
// holds what comes of it against the standard library.
func FuzzInflate(f *testing.F) {
	for _, s := range []string{
		"", "\x00", "\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\xf2\x00\x11\x00\x00", "\xf2\x00\x10\x00\x00",
		"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
	} {
		f.Add([]byte(s), uint8(0), uint8(0))
	}
	for i, m := range jsonMessages(1000, 4) {
		f.Add(compress(deflate.NewDeflater(2*i+1, 15, false), m), uint8(i), uint8(3*i))
	}
	before := []byte("Hello, the window holds this before anything else is said.")
	f.Fuzz(func(t *testing.T, payload []byte, in, out uint8) {
		d, z := deflate.NewDeflater(1, 15, true), deflate.NewInflater(15, true)
		mustInflate(t, z, compress(d, before), before)
		const limit = 1 << 20
		var got []byte
		var err error
		dst := make([]byte, int(out)*16+1)
		for rest, done := payload, false; err == nil && !done && len(got) < limit; {
			src := rest[:min(len(rest), int(in)+1)]
			var n, used int
			n, used, done, err = z.Inflate(dst, src, len(src) == len(rest))
			got = append(got, dst[:n]...)
			rest = rest[used:]
		}
		if len(got) >= limit {
			return
		}
		ref := flate.NewReaderDict(io.MultiReader(bytes.NewReader(payload), bytes.NewReader(tail)), before)
		want, refErr := io.ReadAll(io.LimitReader(ref, limit))
		if refErr == nil && len(want) == limit {
			return
		}
		// It stops at BFINAL, as RFC 7692 does not, but it is right up to there.
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) {
			t.Fatalf("differs within the first %d bytes", n)
		}
		var corrupt flate.CorruptInputError
		if err == nil {
			if len(got) < len(want) {
				t.Fatalf("%d bytes of %d", len(got), len(want))
			}
			if errors.As(refErr, &corrupt) {
				t.Fatalf("accepts what the standard library does not: %v", refErr)
			}
			if refErr == io.ErrUnexpectedEOF && len(got) != len(want) {
				t.Fatalf("%d bytes instead of %d", len(got), len(want))
			}
		}
	})
}
