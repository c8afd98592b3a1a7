package walve_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
)

// TestRule2ReadDeadlineOverHTTP2 is the test after every byte, and those of a
// cut at every byte, over HTTP/2 on both sides.
func TestRule2ReadDeadlineOverHTTP2(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			everyH2(t, func(t *testing.T, side h2Side) {
				cut := func(s *script, compare bool, stops ...int) {
					c, far := side.open()
					far.SetWriteLimit(-1)
					readCutFrom(t, c, side.client, far, far.take, w, s, compare, stops...)
				}
				s := exchange(!side.client, true)
				cut(s, false, s.stops()...)
				s = exchange(!side.client, false)
				for i := 1; i < len(s.wire); i++ {
					if !sampled(i) && (!side.secure || i%5 == 0) { // TLS is below all that
						cut(s, true, i)
					}
				}
			})
		})
	}
}

// TestRule2InterruptOverHTTP2 has a read wait for what comes, cut at every byte,
// and a deadline interrupt it there.
func TestRule2InterruptOverHTTP2(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			everyH2(t, func(t *testing.T, side h2Side) {
				s := exchange(!side.client, false)
				for i := 1; i < len(s.wire); i++ {
					if sampled(i) || side.secure && i%5 != 0 {
						continue
					}
					c, far := side.open()
					far.SetWriteLimit(-1)
					r := w.start(c)
					wait := background(r.drain)
					synctest.Wait()
					far.Write(s.wire[:i])
					c.SetReadDeadline(past)
					checkTimeout(t, "read", wait())
					c.SetReadDeadline(time.Time{})
					wait = background(r.drain)
					synctest.Wait()
					far.Write(s.wire[i:])
					if err := wait(); err != io.EOF {
						t.Fatalf("cut at %d: %v", i, err)
					}
					if d := diffUnits(r.units, s.seen(w.view, len(s.wire))); d != "" {
						t.Fatalf("cut at %d: %s", i, d)
					}
					closeBoth(t, c, far)
				}
			})
		})
	}
}

// TestRule2WriteDeadlineOverHTTP2 has the window of a stream end behind every
// byte, and behind those around the borders of frames.
func TestRule2WriteDeadlineOverHTTP2(t *testing.T) {
	for _, w := range writeWays {
		if w.name == "ReadFrom file" {
			continue // as any other reader
		}
		t.Run(w.name, func(t *testing.T) {
			everyH2(t, func(t *testing.T, side h2Side) {
				wtr := writer{masked: side.client, piece: fragment, make: onPipe(walve.TestConfig{Client: side.client})}
				for _, size := range []int{1, 130, 2*wtr.piece + 100} {
					p := filler(size)
					s := w.uncut(t, wtr, p)
					for i, k := range cuts(s, wtr.piece) {
						if !side.client && k > maxLimit || side.secure && i%5 != 0 {
							continue
						}
						c, far := side.open()
						w.write(t, c, far, s, p, k, wtr.piece, i%2 == 1, i%3 == 1)
						checkFrames(t, "data", decode(t, far.take(), wtr.masked), s.frames...)
						closeBoth(t, c, far)
					}
				}
			})
		})
	}
}
