package interop_test
import ("testing";"math/rand/v2";"time")
func TestZZ(t *testing.T) {
	for i := range 400 {
		b := make([]byte, 60)
		r := rand.New(rand.NewPCG(1, uint64(i)))
		for j := range b { b[j] = byte(r.Uint32()) }
		s := decodeScript(b)
		for _, c := range casts { for _, d := range casts {
			if c.name == "frames" && d.name == "frames" { continue }
			st := time.Now()
			if err := s.play(t, c, d); err != nil { t.Error(i, c.name, d.name, s.outline(), err) }
			if e := time.Since(st); e > 150*time.Millisecond { t.Log(i, c.name, d.name, e, s.outline()) }
		}}
	}
}
