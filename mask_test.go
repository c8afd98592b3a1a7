package walve_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
)

// maskBytewise is RFC 6455 section 5.3 to the letter.
func maskBytewise(src []byte, key [4]byte) []byte {
	dst := make([]byte, len(src))
	for i := range src {
		dst[i] = src[i] ^ key[i%4]
	}
	return dst
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// Every length and every alignment of both ends, into another array.
func TestMaskCopy(t *testing.T) {
	const margin = 16
	random := randomBytes(700)
	lengths := make([]int, 0, 300)
	for n := range 280 {
		lengths = append(lengths, n)
	}
	lengths = append(lengths, 511, 512, 513, 640)
	for _, n := range lengths {
		for from := range 9 {
			src := bytes.Clone(random[:from+n])
			for to := range 9 {
				dst := bytes.Repeat([]byte{0xA5}, to+n+margin)
				key := walve.MaskCopy(dst[to:], src[from:], testKey)
				if !bytes.Equal(dst[to:to+n], maskBytewise(random[from:from+n], testKey)) {
					t.Fatalf("%d bytes from %d to %d are wrong", n, from, to)
				}
				for i, c := range dst {
					if (i < to || i >= to+n) && c != 0xA5 {
						t.Fatalf("%d bytes to %d: byte %d was written", n, to, i)
					}
				}
				want := [4]byte{testKey[n%4], testKey[(n+1)%4], testKey[(n+2)%4], testKey[(n+3)%4]}
				if key != want || walve.RotateKey(testKey, n) != want {
					t.Fatalf("after %d bytes: key %x, rotated %x, want %x", n, key, walve.RotateKey(testKey, n), want)
				}
			}
			if !bytes.Equal(src, random[:from+n]) {
				t.Fatalf("%d bytes from %d: the source was written", n, from)
			}
		}
	}
}

// Down by every distance within one array, none included.
func TestMaskCopyOverlap(t *testing.T) {
	random := randomBytes(512)
	buf := make([]byte, len(random))
	for by := 0; by <= 140; by++ {
		for n := 0; n <= 280; n++ {
			copy(buf, random)
			walve.MaskCopy(buf[3:], buf[3+by:3+by+n], testKey)
			if !bytes.Equal(buf[3:3+n], maskBytewise(random[3+by:3+by+n], testKey)) {
				t.Fatalf("%d bytes moved down by %d are wrong", n, by)
			}
			if !bytes.Equal(buf[:3], random[:3]) || !bytes.Equal(buf[3+n:], random[3+n:]) {
				t.Fatalf("%d bytes moved down by %d: others were written", n, by)
			}
		}
	}
}

// Pieces, cut anywhere, are as the whole, and twice masked is not masked.
func TestMaskCopyPieces(t *testing.T) {
	random := randomBytes(1 << 12)
	want := maskBytewise(random, testKey)
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		got := bytes.Clone(random)
		key := testKey
		for rest := got; len(rest) > 0; {
			n := 1 + r.IntN(min(len(rest), 1<<r.IntN(12)))
			key = walve.MaskCopy(rest, rest[:n], key)
			rest = rest[n:]
		}
		if !bytes.Equal(got, want) {
			t.Fatal("masked in pieces it is something else")
		}
		if walve.MaskCopy(got, got, testKey); !bytes.Equal(got, random) {
			t.Fatal("masked twice it is something else")
		}
	}
}

func TestMaskCopyAllocs(t *testing.T) {
	buf := make([]byte, 1000)
	if n := testing.AllocsPerRun(100, func() { walve.MaskCopy(buf, buf, testKey) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// No key twice: of 32,768 random ones, 0.12 pairs are equal on average, of
// keys from a broken source many.
func TestNewMaskKey(t *testing.T) {
	const each = 4096
	var (
		mu   sync.Mutex
		seen = make(map[[4]byte]int)
		wg   sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			keys := make([][4]byte, each)
			for i := range keys {
				keys[i] = walve.NewMaskKey()
			}
			mu.Lock()
			defer mu.Unlock()
			for _, key := range keys {
				seen[key]++
			}
		})
	}
	wg.Wait()
	if again := 8*each - len(seen); again > 8 {
		t.Errorf("of %d keys %d were not new", 8*each, again)
	}
	if n := seen[[4]byte{}]; n > 1 {
		t.Errorf("%d keys are zero", n)
	}
	if n := testing.AllocsPerRun(1000, func() { walve.NewMaskKey() }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMask(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"64B", 64}, {"1KiB", 1 << 10}, {"16KiB", 16 << 10}} {
		src, dst := make([]byte, size.n), make([]byte, size.n)
		for _, way := range []struct {
			name string
			dst  []byte
		}{{"in place", src}, {"copy", dst}} {
			b.Run(fmt.Sprintf("%s/%s", way.name, size.name), func(b *testing.B) {
				b.SetBytes(int64(size.n))
				key := testKey
				for b.Loop() {
					key = walve.MaskCopy(way.dst, src, key)
				}
			})
		}
	}
}

func BenchmarkNewMaskKey(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			walve.NewMaskKey()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				walve.NewMaskKey()
			}
		})
	})
}
