package walve_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// cutWrite calls f with a deadline that passes once k more bytes are on the
// wire, and lifts both.
func cutWrite(c *walve.Conn, own *memconn.Conn, k int, f func() error) error {
	own.SetWriteLimit(int64(k))
	c.SetWriteDeadline(soon())
	err := f()
	own.SetWriteLimit(-1)
	c.SetWriteDeadline(time.Time{})
	return err
}

// TestRule2WriteMessageDeadlineAtEveryByte cuts WriteMessage: before its first
// byte it can be called again, with its last frame begun it is complete, and in
// between the write side fails for good.
func TestRule2WriteMessageDeadlineAtEveryByte(t *testing.T) {
	everyWriter(t, func(t *testing.T, wtr writer) {
		for _, size := range []int{0, 1, 130, 2*wtr.piece + 5000} {
			p := []byte(filler(size))
			c, own, peer := wtr.make()
			if err := c.WriteMessage(text, p); err != nil {
				t.Fatal(err)
			}
			whole := take(t, own, peer)
			s := newScript(wtr.masked, decode(t, whole, wtr.masked)...)
			checkMessage(t, s.frames, text, string(p))
			closeBoth(t, c, peer)
			last := len(s.wire) - len(s.frame(len(s.frames)-1))
			for _, k := range cuts(s, wtr.piece) {
				c, own, peer := wtr.make()
				err := cutWrite(c, own, k, func() error { return c.WriteMessage(text, p) })
				want := s.frames
				switch {
				case k > last:
					if err != nil {
						t.Fatalf("cut behind byte %d of %d, complete: got %v", k, len(whole), err)
					}
				case k == 0:
					checkTimeout(t, "WriteMessage", err)
					if err := c.WriteMessage(text, p); err != nil {
						t.Fatalf("again: got %v", err)
					}
				default:
					checkTimeout(t, "WriteMessage", err)
					checkWriteFailed(t, c, nil)
					for len(want) > 0 && newScript(wtr.masked, want...).begin(len(want)-1) >= k {
						want = want[:len(want)-1]
					}
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				checkFrames(t, "all", decode(t, take(t, own, peer), wtr.masked), append(want[:len(want):len(want)], closeFrame(1000, ""))...)
				peer.Close()
			}
		}
	})
}

// checkWriteFailed checks that everything that writes fails with the same
// error, target if it is not nil, and that it is not a timeout.
func checkWriteFailed(t testing.TB, c *walve.Conn, target error) {
	t.Helper()
	for name, f := range writes(c) {
		if name == "CloseWrite" && target == net.ErrClosed {
			continue // a second one does nothing
		}
		for range 2 {
			err := f()
			if _, ok := err.(*net.OpError); !ok || errors.Is(err, os.ErrDeadlineExceeded) || target != nil && !errors.Is(err, target) {
				t.Fatalf("%s: got %v, want it failed for good with %v", name, err, target)
			}
		}
	}
}

// writes are all calls that write, each of them one "x" if it writes data.
// After a timeout they may be called again.
func writes(c *walve.Conn) map[string]func() error {
	next := func(length int64) func() error {
		var w io.WriteCloser
		left := []byte("x")
		return func() (err error) {
			if w == nil {
				if w, err = c.NextWriter(walve.Header{Fin: true, Opcode: bin, Length: length}); err != nil {
					return err
				}
			}
			n, err := w.Write(left)
			if left = left[n:]; err != nil {
				return err
			}
			return w.Close()
		}
	}
	left := []byte("x")
	r := strings.NewReader("x")
	return map[string]func() error{
		"Write":              func() error { n, err := c.Write(left); left = left[n:]; return err },
		"ReadFrom":           func() error { _, err := c.ReadFrom(r); return err },
		"WriteMessage":       func() error { return c.WriteMessage(bin, []byte("x")) },
		"NextWriter known":   next(1),
		"NextWriter unknown": next(-1),
		"CloseWrite":         c.CloseWrite,
	}
}

// TestRule2MessageStateAfterTimeout has a deadline cut a Write in its first
// frame, at the border and in the second, and looks at what each call then
// makes of the message.
func TestRule2MessageStateAfterTimeout(t *testing.T) {
	x := scriptFrame{bin, true, "x"}
	end := scriptFrame{cont, true, ""}
	goesOn := []scriptFrame{{cont, true, "x"}}
	begins := []scriptFrame{end, x}
	then := map[string][]scriptFrame{
		"Write": goesOn, "ReadFrom": goesOn,
		"WriteMessage": begins, "NextWriter known": begins, "NextWriter unknown": begins,
		"CloseWrite": {end}, "Close": nil,
	}
	everyWriter(t, func(t *testing.T, wtr writer) {
		p := []byte(filler(2*wtr.piece + 1))
		first := newScript(wtr.masked, scriptFrame{bin, false, string(p[:wtr.piece])})
		for name, more := range then {
			for _, k := range []int{1, len(first.wire) / 2, len(first.wire), len(first.wire) + 1} {
				for _, again := range []int{-1, 0, 1, 2, 3, 5, 6, 7, 8} { // where what follows is cut as well
					c, own, peer := wtr.make()
					n := 0
					err := cutWrite(c, own, k, func() (err error) { n, err = c.Write(p); return err })
					checkTimeout(t, "Write", err)
					synctest.Wait() // the rest leaves
					calls := writes(c)
					calls["Close"] = c.Close
					if again >= 0 && name != "Close" {
						err = cutWrite(c, own, again, calls[name])
					}
					if err != nil {
						checkTimeout(t, name, err)
						err = calls[name]()
					}
					if err != nil {
						t.Fatalf("%s after a Write cut behind byte %d, and cut at %d itself: got %v", name, k, again, err)
					}
					synctest.Wait()
					c.Close()
					want := []scriptFrame{{bin, false, string(p[:wtr.piece])}}
					if n > wtr.piece {
						want = append(want, scriptFrame{cont, false, string(p[wtr.piece:n])})
					}
					want = append(append(want, more...), closeFrame(1000, ""))
					checkFrames(t, name, decode(t, take(t, own, peer), wtr.masked), want...)
					peer.Close()
				}
			}
		}
	})
}
