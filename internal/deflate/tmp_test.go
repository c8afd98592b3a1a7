package deflate

import (
	"bytes"
	"fmt"
	"math/rand"
	"sort"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
)

var names = []string{"anna", "bertram", "chloe", "dimitri", "elena", "farouk", "greta", "hannes", "ines", "jonas", "katja", "leo"}
var acts = []string{"login", "logout", "purchase", "view", "share", "comment", "upload", "delete"}
var words = []string{"the", "order", "was", "shipped", "from", "warehouse", "to", "customer", "with", "express", "delivery", "and", "will", "arrive", "within", "two", "days", "please", "confirm", "receipt"}

func Messages(n, k int) [][]byte {
	r := rand.New(rand.NewSource(int64(n)))
	var out [][]byte
	for range k {
		b := []byte(fmt.Sprintf(`{"id":%d,"t":%d,"ev":[`, r.Int31(), 1700000000000+r.Int63n(1e10)))
		for i := 0; len(b) < n-2; i++ {
			if i > 0 {
				b = append(b, ',')
			}
			if n <= 128 {
				b = append(b, fmt.Sprintf(`{"u":"%s","a":"%s"}`, names[r.Intn(12)], acts[r.Intn(8)])...)
				break
			}
			b = append(b, fmt.Sprintf(`{"user":"%s","action":"%s","amount":%.2f,"session":"%08x","ok":%v,"note":"%s %s %s %s"}`,
				names[r.Intn(12)], acts[r.Intn(8)], r.Float64()*1000, r.Uint32(), r.Intn(2) == 0,
				words[r.Intn(20)], words[r.Intn(20)], words[r.Intn(20)], words[r.Intn(20)])...)
		}
		b = append(b, "]}"...)
		out = append(out, b)
	}
	return out
}

var sizes = []int{64, 256, 1024, 4096, 16384, 65536}

func TestInf(t *testing.T) {
	for _, dict := range []int{0, 4096, 32768} {
		fmt.Printf("ours dict %-6d", dict)
		for _, n := range sizes {
			k := max(8, min(1024, (1<<19)/n))
			ms := Messages(n, k)
			z, _ := flate.NewWriter(nil, 1)
			out := make([]byte, 70000)
			var dst bytes.Buffer
			var ts []time.Duration
			zi := NewInflater(15, dict > 0)
			var all []byte
			for _, m := range ms {
				dst.Reset()
				z.ResetDict(&dst, all[max(0, len(all)-dict):])
				z.Write(m)
				z.Flush()
				t0 := time.Now()
				n, _, done, err := zi.Inflate(out, dst.Bytes()[:dst.Len()-4], true)
				ts = append(ts, time.Since(t0))
				if dict > 0 {
					all = append(all, m...)
				}
				if !bytes.Equal(m, out[:n]) || !done || err != nil {
					t.Fatal("bad", n, len(m), done, err)
				}
			}
			sort.Slice(ts, func(i, j int) bool { return ts[i] < ts[j] })
			fmt.Printf(" %6.1f", float64(ts[len(ts)/2].Nanoseconds())/1000)
		}
		fmt.Println()
	}
}

func BenchmarkInf(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ms := Messages(n, 32)
			var cs [][]byte
			z, _ := flate.NewWriter(nil, 1)
			for _, m := range ms {
				var dst bytes.Buffer
				z.Reset(&dst)
				z.Write(m)
				z.Flush()
				cs = append(cs, dst.Bytes()[:dst.Len()-4])
			}
			zi := NewInflater(15, false)
			out := make([]byte, 70000)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			i := 0
			for b.Loop() {
				zi.Inflate(out, cs[i%32], true)
				i++
			}
		})
	}
}
