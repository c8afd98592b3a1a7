package walve_test

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
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
		for _, size := range []int{0, 1, 130, 2*wtr.piece + 100} {
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
			for _, k := range []int{1, len(first.wire), len(first.wire) + 1} {
				for _, again := range []int{-1, 0, 1, 2, 3, 6, 7, 8} { // where what follows is cut as well
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
					if err != nil { // of this call, or of the Write
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

// TestRule2CloseWriteDeadlineAtEveryByte cuts CloseWrite, alone and behind a
// frame that is cut itself. What it sends is not taken back.
func TestRule2CloseWriteDeadlineAtEveryByte(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for _, payload := range []string{"", filler(130)} {
			want := []scriptFrame{closeFrame(1000, "")}
			if payload != "" {
				want = append([]scriptFrame{{bin, true, payload}}, want...)
			}
			s := newScript(cfg.Client, want...)
			for k := range len(s.wire) {
				c, own, peer := memConn(cfg)
				if payload != "" && cutWrite(c, own, k, func() error { _, err := c.Write([]byte(payload)); return err }) != nil {
					peer.Close() // the frame is dropped: see the other tests
					c.Close()
					continue
				}
				own.SetWriteLimit(int64(max(0, k-int(own.Written()))))
				c.SetWriteDeadline(soon())
				err := c.CloseWrite()
				own.SetWriteLimit(-1)
				if err != nil && payload != "" { // the frame was in the way
					checkTimeout(t, "CloseWrite", err)
					c.SetWriteDeadline(time.Time{})
					err = c.CloseWrite()
				}
				if err != nil {
					t.Fatalf("cut behind byte %d: got %v", k, err)
				}
				synctest.Wait()
				if got := own.Written(); got != int64(len(s.wire)) {
					t.Fatalf("cut behind byte %d: %d bytes have left by themselves, want %d", k, got, len(s.wire))
				}
				checkWriteFailed(t, c, net.ErrClosed)
				if err := c.CloseWrite(); err != nil {
					t.Fatalf("second CloseWrite: got %v", err)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				checkFrames(t, "all", decode(t, take(t, own, peer), cfg.Client), want...)
				peer.Close()
			}
			c, _, peer := memConn(cfg)
			c.SetWriteDeadline(past)
			checkTimeout(t, "CloseWrite with a past deadline", c.CloseWrite())
			c.SetWriteDeadline(time.Time{})
			if err := c.CloseWrite(); err != nil {
				t.Fatalf("again: got %v", err)
			}
			closeBoth(t, c, peer)
		}
	})
}

// TestRule2WriteDeadlineGovernsTheWait has every call wait for its turn, behind
// a writer of NextWriter or behind a Pong that the peer does not take.
func TestRule2WriteDeadlineGovernsTheWait(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for _, behind := range []string{"writer", "pong"} {
			for name := range writes(nil) {
				c, own, peer := memConn(cfg)
				var w io.WriteCloser
				want := []scriptFrame{{pong, true, "!"}}
				if behind == "writer" {
					want = []scriptFrame{{bin, true, "abc"}}
					w, _ = c.NextWriter(walve.Header{Fin: true, Opcode: bin, Length: 3})
				} else {
					own.SetWriteLimit(1)
					peer.Write(newScript(!cfg.Client, scriptFrame{ping, true, "!"}).wire)
					c.SetReadDeadline(soon())
					c.Read(make([]byte, 1))
				}
				if w != nil && name == "CloseWrite" {
					if err := c.CloseWrite(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("CloseWrite with a writer open: got %v", err)
					}
				} else {
					start := time.Now()
					c.SetWriteDeadline(start.Add(time.Hour))
					call := writes(c)[name]
					wait := background(call)
					synctest.Wait()
					c.SetWriteDeadline(start.Add(time.Second))
					checkTimeout(t, name, wait())
					if d := time.Since(start); d != time.Second {
						t.Fatalf("%s: timed out after %v, want 1s", name, d)
					}
					c.SetWriteDeadline(past)
					checkTimeout(t, name+" with a past deadline", call())
					c.SetWriteDeadline(time.Now().Add(time.Hour))
					wait = background(writes(c)[name])
					synctest.Wait()
					c.SetWriteDeadline(past)
					checkTimeout(t, name+", interrupted", wait())
				}
				own.SetWriteLimit(-1)
				if w != nil {
					c.SetWriteDeadline(time.Time{})
					w.Write([]byte("abc"))
					w.Close()
				}
				synctest.Wait()
				if name == "ReadFrom" { // it had read its chunk, twice
					want = append(want, scriptFrame{bin, true, "x"}, scriptFrame{bin, true, "x"})
				}
				checkFrames(t, name+" behind a "+behind, decode(t, take(t, own, peer), cfg.Client), want...)
				closeBoth(t, c, peer)
			}
		}
	})
}

// TestRule2WriteDeadlineIsLiftedForPongs leaves a past write deadline in place:
// Pongs leave all the same, and so does the Close frame.
func TestRule2WriteDeadlineIsLiftedForPongs(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for _, write := range []bool{false, true} {
			c, own, peer := memConn(cfg)
			c.SetWriteDeadline(soon())
			var want []scriptFrame
			if write { // so that the stream has the deadline
				c.Write([]byte("x"))
				want = append(want, scriptFrame{bin, true, "x"})
			}
			c.SetReadDeadline(time.Now().Add(time.Second))
			peer.Write(newScript(!cfg.Client, scriptFrame{ping, true, "1"}, scriptFrame{ping, true, "2"}).wire)
			_, err := c.Read(make([]byte, 1))
			checkTimeout(t, "Read", err)
			want = append(want, scriptFrame{pong, true, "1"}, scriptFrame{pong, true, "2"})
			checkFrames(t, "pongs", decode(t, take(t, own, peer), cfg.Client), want...)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			checkFrames(t, "Close", decode(t, take(t, own, peer), cfg.Client), closeFrame(1000, ""))
			peer.Close()
		}
	})
}

// TestRule2WriteDeadlineAfterEveryByte lets all ways to write have one byte at a
// time, with a timeout after each, while Pings come in.
func TestRule2WriteDeadlineAfterEveryByte(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		c, own, peer := memConn(cfg)
		reader := background(func() error { _, err := io.Copy(io.Discard, c); return err })
		var want []scriptFrame
		pings := 0
		for round := range 40 {
			for _, name := range []string{"Write", "NextWriter known", "ReadFrom", "WriteMessage", "NextWriter unknown"} {
				if round%4 == 0 {
					pings++
					peer.Write(newScript(!cfg.Client, scriptFrame{ping, true, "p"}).wire)
				}
				call := writes(c)[name]
				for {
					own.SetWriteLimit(1)
					c.SetWriteDeadline(soon())
					err := call()
					if err == nil {
						break
					}
					checkTimeout(t, name, err)
				}
				want = append(want, scriptFrame{bin, true, "x"})
			}
		}
		own.SetWriteLimit(-1)
		synctest.Wait()
		pongs := scriptFrame{pong, true, "p"}
		got := decode(t, take(t, own, peer), cfg.Client)
		data := slices.DeleteFunc(slices.Clone(got), func(f scriptFrame) bool { return f == pongs })
		checkFrames(t, "data", data, want...)
		if n := len(got) - len(data); n != pings {
			t.Errorf("%d Pongs, want %d", n, pings)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		peer.Close()
		checkOpError(t, "reader", reader(), net.ErrClosed)
	})
}

// TestRule2GatheredMessagesAtEveryByte answers messages that came in together,
// whose answers leave together, cut behind every byte, and then writes or closes
// in another way: all answers come first, each once.
func TestRule2GatheredMessagesAtEveryByte(t *testing.T) {
	in := []scriptFrame{{text, true, "one"}, {bin, true, ""}, {ping, true, "p"}, {text, true, "three"}, {bin, true, filler(150)}, {text, true, "five"}}
	want := slices.DeleteFunc(slices.Clone(in), func(f scriptFrame) bool { return f.op == ping })
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		total := len(newScript(cfg.Client, want...).wire)
		for k := range total + 10 {
			for _, name := range []string{"Write", "ReadFrom", "WriteMessage", "NextWriter known", "CloseWrite", "Close"} {
				c, own, peer := memConn(cfg)
				peer.Write(newScript(!cfg.Client, in...).wire)
				own.SetWriteLimit(int64(k))
				for range want {
					op, p, err := c.ReadMessage()
					if err != nil {
						t.Fatal(err)
					}
					c.SetWriteDeadline(soon())
					for err = c.WriteMessage(op, p); err != nil; err = c.WriteMessage(op, p) {
						checkTimeout(t, "WriteMessage", err)
						own.SetWriteLimit(-1)
						c.SetWriteDeadline(time.Time{})
					}
				}
				own.SetWriteLimit(-1)
				c.SetWriteDeadline(time.Time{})
				call, all := c.Close, want[:len(want):len(want)]
				if name != "Close" {
					call = writes(c)[name]
				}
				if err := call(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				c.Close()
				if !strings.HasPrefix(name, "Close") {
					all = append(all, scriptFrame{bin, true, "x"})
				}
				got := slices.DeleteFunc(decode(t, take(t, own, peer), cfg.Client), func(f scriptFrame) bool { return f.op == pong })
				checkFrames(t, name, got, append(all, closeFrame(1000, ""))...)
				peer.Close()
			}
		}
	})
}

// TestRule2ReadBehindCutReadMessage: a Read that gets nothing, behind a
// ReadMessage that was cut before it got anything, leaves the message whole.
func TestRule2ReadBehindCutReadMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, peer := memConn(walve.TestConfig{Client: true})
		peer.Write([]byte{0x82, 5}) // the header
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := c.ReadMessage(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 9)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(n, err)
		}
		c.SetReadDeadline(time.Time{})
		peer.Write([]byte("hello\x82\x05world"))
		for _, want := range []string{"hello", "world"} {
			if _, p, err := c.ReadMessage(); string(p) != want || err != nil {
				t.Errorf("%q, %v, want %q", p, err, want)
			}
		}
		peer.Close()
		c.Close()
	})
}
