package deflate_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/bodokaiser/walve/internal/deflate"
)

// heapOf returns how much live heap each of the count things has that make
// makes.
func heapOf[T any](count int, make func() T) int {
	heap := func() int {
		var m runtime.MemStats
		for range 3 { // what lies in pools takes two
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	things := []T{}
	for range count {
		things = append(things, make())
	}
	with := heap()
	runtime.KeepAlive(things)
	things = nil
	return (with - heap()) / count
}

type codec struct {
	d *deflate.Deflater
	z *deflate.Inflater
}

// TestMemory: what a connection holds between messages.
func TestMemory(t *testing.T) {
	for _, tt := range []struct {
		name     string
		takeover bool
		messages [][]byte
		most     int // bytes
	}{
		{"no takeover", false, jsonMessages(1000, 20), 400},
		{"takeover/one message of 1 KiB", true, jsonMessages(1000, 1), 3 << 10},
		{"takeover/many messages", true, jsonMessages(3000, 30), 38 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := heapOf(20, func() codec {
				c := codec{deflate.NewDeflater(1, 15, tt.takeover), deflate.NewInflater(15, tt.takeover)}
				for _, m := range tt.messages {
					mustInflate(t, c.z, compress(c.d, m), m)
				}
				return c
			})
			t.Logf("%d bytes", got)
			if got > tt.most && !raceEnabled {
				t.Errorf("%d bytes of heap, over %d", got, tt.most)
			}
		})
	}
}

// TestBomb: what inflates to a thousand times its size costs time only, with a
// window or without.
func TestBomb(t *testing.T) {
	const total = 64 << 20
	zeros := make([]byte, deflate.MaxPiece)
	d := deflate.NewDeflater(1, 15, false)
	var bomb []byte
	for n := 0; n < total; n += len(zeros) {
		bomb = d.Append(bomb, zeros, false)
		d.Commit(zeros, false)
	}
	bomb = d.Append(bomb, nil, true)
	for _, takeover := range []bool{false, true} {
		z := deflate.NewInflater(15, takeover)
		dst := make([]byte, 4096)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		size := 0
		for rest, done := bomb, false; !done; {
			src := rest[:min(len(rest), 4096)]
			n, used, d, err := z.Inflate(dst, src, len(src) == len(rest))
			if err != nil {
				t.Fatal(err)
			}
			size += n
			rest, done = rest[used:], d
		}
		runtime.ReadMemStats(&after)
		t.Logf("%d bytes inflate to %d with %d allocated", len(bomb), size, after.TotalAlloc-before.TotalAlloc)
		if size < total || after.TotalAlloc-before.TotalAlloc > 200<<10 {
			t.Errorf("%d bytes allocated for %d", after.TotalAlloc-before.TotalAlloc, size)
		}
	}
}

// TestAllocs: once the windows have grown, nothing is allocated.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what is pooled")
	}
	messages := jsonMessages(1000, 100)
	for _, takeover := range []bool{false, true} {
		d, z := deflate.NewDeflater(1, 15, takeover), deflate.NewInflater(15, takeover)
		dst, payload := make([]byte, 2000), make([]byte, 0, 4000)
		i := 0
		next := func() {
			m := messages[i%len(messages)]
			i++
			payload = d.Append(payload[:0], m, true)
			d.Commit(m, true)
			if n, _, done, err := z.Inflate(dst, payload, true); n != len(m) || !done || err != nil {
				t.Fatal(n, done, err)
			}
		}
		for range messages {
			next()
		}
		if n := testing.AllocsPerRun(200, next); n > 0 {
			t.Errorf("takeover %v: %v allocations for each message", takeover, n)
		}
	}
}

func BenchmarkDeflate(b *testing.B) {
	for _, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64000} {
		for _, tt := range []struct {
			name     string
			takeover bool
			alone    bool // the compressor comes back with its context
		}{{"no takeover", false, true}, {"takeover", true, false}, {"takeover alone", true, true}} {
			b.Run(fmt.Sprintf("%s/%d", tt.name, size), func(b *testing.B) {
				messages := jsonMessages(size, max(8, min(1024, 512<<10/size)))
				d := [2]*deflate.Deflater{deflate.NewDeflater(1, 15, tt.takeover), deflate.NewDeflater(1, 15, tt.takeover)}
				dst := make([]byte, 0, 65536)
				b.SetBytes(int64(size))
				var in, out, i int
				for b.Loop() {
					m := messages[i%len(messages)]
					z := d[0]
					if !tt.alone {
						z = d[i%2]
					}
					dst = z.Append(dst[:0], m, true)
					z.Commit(m, true)
					in += len(m)
					out += len(dst)
					i++
				}
				b.ReportMetric(float64(in)/float64(out), "ratio")
			})
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64000} {
		for _, takeover := range []bool{false, true} {
			b.Run(fmt.Sprintf("takeover=%v/%d", takeover, size), func(b *testing.B) {
				messages := jsonMessages(size, max(8, min(1024, 512<<10/size)))
				d, z := deflate.NewDeflater(1, 15, takeover), deflate.NewInflater(15, takeover)
				var payloads [][]byte
				for _, m := range messages {
					payloads = append(payloads, compress(d, m))
				}
				dst := make([]byte, 65536)
				b.SetBytes(int64(size))
				i := 0
				for b.Loop() {
					if i == len(payloads) { // their context begins anew
						i = 0
						z = deflate.NewInflater(15, takeover)
					}
					if _, _, _, err := z.Inflate(dst, payloads[i], true); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}
