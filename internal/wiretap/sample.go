package wiretap

import (
	"fmt"
	"math/rand/v2"

	"github.com/bodokaiser/walve"
)

// A Sample is a message to be compressed.
type Sample struct {
	Text       string
	Fragmented bool // is to be sent in several frames
	Again      bool // is the same as the one before
}

// Samples are messages of many sizes, which get less than half as long.
func Samples() (all []Sample) {
	rnd := rand.New(rand.NewPCG(7, 692))
	text := func(size int) string {
		var b []byte
		for len(b) < size {
			b = fmt.Appendf(b, `{"id":%d,"name":"entry number %d","late":%t,"ok":true},`, rnd.IntN(1e6), rnd.IntN(100), rnd.IntN(2) == 0)
		}
		return string(b[:size])
	}
	for _, size := range []int{1, 20, 300, 1000, 1000, 5000, 20000, 70000, 200000} {
		all = append(all, Sample{Text: text(size)}, Sample{Text: text(size), Fragmented: size > 1})
	}
	// Short enough for zlib, which in a window of 9 bits looks back 250 bytes.
	again := ""
	for len(again) < 200 {
		again += fmt.Sprintf(`{"id":%d,"name":"entry number %d"},`, rnd.IntN(1e6), rnd.Uint64())
	}
	return append(all, Sample{Text: again}, Sample{Text: again, Again: true})
}

// Parts returns the payload of each frame, or of the one.
func (s Sample) Parts() [][]byte {
	p := []byte(s.Text)
	if !s.Fragmented {
		return [][]byte{p}
	}
	third := len(p) / 3
	return [][]byte{p[:third], p[third : 2*third], p[2*third:]}
}

// Write writes the sample to c.
func (s Sample) Write(c *walve.Conn) error {
	parts := s.Parts()
	if len(parts) == 1 {
		return c.WriteMessage(walve.OpText, parts[0])
	}
	op := walve.OpText
	for i, p := range parts {
		w, err := c.NextWriter(walve.Header{Opcode: op, Fin: i == len(parts)-1, Length: int64(len(p))})
		if err != nil {
			return err
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		op = walve.OpContinuation
	}
	return nil
}

// Check returns an error unless the samples, each from 600 bytes on, were
// compressed. A message that comes again is in the window of the one before, if
// takeover says that there is one.
func Check(samples []Sample, messages []Message, takeover bool) error {
	if len(messages) != len(samples) {
		return fmt.Errorf("%d messages instead of %d", len(messages), len(samples))
	}
	for i, m := range messages {
		n := len(samples[i].Text)
		switch {
		case n < 600: // gws leaves out less than 512
		case !m.Compressed:
			return fmt.Errorf("message %d of %d bytes is not compressed", i, n)
		case m.Size > 2*n/3:
			return fmt.Errorf("message %d of %d bytes has become %d", i, n, m.Size)
		}
		if samples[i].Again && takeover != (m.Size < messages[i-1].Size/2) {
			return fmt.Errorf("a message of %d bytes again has %d (takeover %t)", messages[i-1].Size, m.Size, takeover)
		}
	}
	return nil
}
