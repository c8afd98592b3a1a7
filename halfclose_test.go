package walve_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// bothWays runs f in a bubble for a pair of walve ends, either of them first.
func bothWays(t *testing.T, keepAlive time.Duration, f func(t *testing.T, first, second *walve.Conn)) {
	for _, name := range []string{"client first", "server first"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nc1, nc2 := memconn.Pipe()
				first := walve.NewTestConn(nc1, walve.TestConfig{HalfClose: true, KeepAlive: keepAlive, Client: true})
				second := walve.NewTestConn(nc2, walve.TestConfig{HalfClose: true, KeepAlive: keepAlive})
				if name != "client first" {
					first, second = second, first
				}
				f(t, first, second)
			})
		})
	}
}

// closePair closes both ends, which have ended both directions: nothing is left
// to wait for.
func closePair(t *testing.T, ends ...*walve.Conn) {
	t.Helper()
	start := time.Now()
	for _, c := range ends {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	synctest.Wait()
	if d, left := time.Since(start), ownGoroutines(); d != 0 || left != "" {
		t.Errorf("closing took %v, and there is still\n%s", d, left)
	}
}

func readAll(c *walve.Conn) func() (string, error) {
	var got []byte
	wait := background(func() (err error) { got, err = io.ReadAll(c); return err })
	return func() (string, error) { err := wait(); return string(got), err }
}

// TestRule6HalfClose ends one direction after the other, as with TCP.
func TestRule6HalfClose(t *testing.T) {
	bothWays(t, 0, func(t *testing.T, first, second *walve.Conn) {
		start := time.Now()
		if _, err := first.Write([]byte("request")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := first.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		checkWriteFailed(t, first, net.ErrClosed)
		if got, err := readAll(second)(); got != "request" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		checkSticky(t, second, io.EOF)
		checkStatus(t, second, 1000, "")
		wait := readAll(first)
		response := filler(1 << 20)
		if n, err := second.Write([]byte(response[:500_000])); n != 500_000 || err != nil {
			t.Fatalf("Write after the peer's end: got %d, %v", n, err)
		}
		synctest.Wait()
		if n, err := second.ReadFrom(strings.NewReader(response[500_000:])); err != nil {
			t.Fatalf("ReadFrom after the peer's end: got %d, %v", n, err)
		}
		if err := second.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := wait(); got != response || err != nil {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		checkWriteFailed(t, second, net.ErrClosed)
		checkSticky(t, first, io.EOF)
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
		closePair(t, first, second)
	})
}

// TestRule6HalfCloseByClose has the second end close without CloseWrite, its
// tail not yet with the first.
func TestRule6HalfCloseByClose(t *testing.T) {
	bothWays(t, 0, func(t *testing.T, first, second *walve.Conn) {
		if err := first.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(second)(); got != "" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		second.SetWriteDeadline(soon())
		p := filler(200_000) // more than the pipe holds
		n, err := second.Write([]byte(p))
		checkTimeout(t, "Write", err)
		wait := readAll(first)
		second.SetWriteDeadline(time.Time{})
		if m, err := second.Write([]byte(p[n:])); n+m != len(p) || err != nil {
			t.Fatalf("going on: got %d, %v", m, err)
		}
		closed := background(second.Close)
		if got, err := wait(); got != p || err != nil {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		if err := closed(); err != nil {
			t.Fatal(err)
		}
		closePair(t, first)
	})
}

// TestRule6PingsGoOnBehindCloseWrite: RFC 6455, 5.5.1, forbids only data frames.
func TestRule6PingsGoOnBehindCloseWrite(t *testing.T) {
	bothWays(t, 30*time.Second, func(t *testing.T, first, second *walve.Conn) {
		if err := first.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(second)(); got != "" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		wait := readAll(first)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for name, c := range map[string]*walve.Conn{"first": first, "second": second} {
			if err := c.Ping(ctx); err != nil {
				t.Errorf("Ping of the %s: %v", name, err)
			}
		}
		time.Sleep(10 * time.Minute)
		if _, err := second.Write([]byte("late")); err != nil {
			t.Errorf("after ten idle minutes: %v", err)
		}
		if err := second.CloseWrite(); err != nil {
			t.Error(err)
		}
		if got, err := wait(); got != "late" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		closePair(t, first, second)
	})
}

// TestRule6ForeignCloseIsAnswered has a foreign peer close, or a walve peer in a
// way that is no half-close: the reply leaves at once, with the peer's status,
// and writing is over.
func TestRule6ForeignCloseIsAnswered(t *testing.T) {
	inside := scriptFrame{bin, false, "part"}
	bare := scriptFrame{walve.OpClose, true, ""}
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for _, frames := range [][]scriptFrame{
			{closeFrame(1000, "done")}, {bare},
			{closeFrame(1001, "bye")}, {closeFrame(4000, "")}, {inside, closeFrame(1000, "")}, {inside, bare},
		} {
			if end := frames[len(frames)-1]; cfg.HalfClose && len(frames) == 1 && (end == bare || end == closeFrame(1000, "done")) {
				continue
			}
			c, own, peer := memConn(cfg)
			start := time.Now()
			wait := background(func() error { _, err := io.Copy(io.Discard, c); return err })
			peer.Write(newScript(!cfg.Client, frames...).wire)
			wait()
			synctest.Wait()
			reply := frames[len(frames)-1]
			reply.payload = reply.payload[:min(2, len(reply.payload))]
			checkFrames(t, "reply", decode(t, take(t, own, peer), cfg.Client), reply)
			// RFC 6455, 7.1.1: the server closes the TCP connection first.
			peer.SetReadDeadline(soon())
			if _, err := peer.Read(make([]byte, 1)); (err == io.EOF) == cfg.Client {
				t.Errorf("behind the reply: %v", err)
			}
			start = start.Add(time.Since(start)) // the clock has gone on for the client's peer
			checkWriteFailed(t, c, net.ErrClosed)
			if err := c.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
			if err := c.Close(); err != nil || time.Since(start) != 0 {
				t.Errorf("Close: %v after %v", err, time.Since(start))
			}
			if n := own.Unread(); n != 0 {
				t.Errorf("%d more bytes on the wire", n)
			}
			peer.Close()
		}
	})
}

// TestRule6ForeignCloseDuringAWrite has the peer's Close frame come in while a
// Write of several frames is blocked: the frame is finished, the reply follows.
func TestRule6ForeignCloseDuringAWrite(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		if cfg.HalfClose {
			return
		}
		p := filler(200_000)
		for _, k := range []int{0, 1, 10, 70_000} {
			c, own, peer := memConn(cfg)
			own.SetWriteLimit(int64(k))
			n := 0
			write := background(func() (err error) { n, err = c.Write([]byte(p)); return err })
			synctest.Wait()
			peer.Write(newScript(!cfg.Client, closeFrame(1001, "")).wire)
			if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Fatalf("Read: got %v", err)
			}
			own.SetWriteLimit(-1)
			checkOpError(t, "Write", write(), net.ErrClosed)
			synctest.Wait()
			frames := decode(t, take(t, own, peer), cfg.Client)
			var got strings.Builder
			for _, f := range frames[:len(frames)-1] {
				got.WriteString(f.payload)
			}
			if got.String() != p[:n] || frames[len(frames)-1] != closeFrame(1001, "") {
				t.Errorf("blocked at byte %d: Write says %d, the peer got %d in %v", k, n, got.Len(), frames)
			}
			closeBoth(t, c, peer)
		}
	})
}

// TestRule6CloseWriteToAForeignPeer reads what the peer sends before it answers,
// and its Close frame; the own one is not repeated.
func TestRule6CloseWriteToAForeignPeer(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		s := exchange(!cfg.Client, false)
		c, own, peer := memConn(cfg)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		checkWriteFailed(t, c, net.ErrClosed)
		checkFrames(t, "CloseWrite", decode(t, take(t, own, peer), cfg.Client), closeFrame(1000, ""))
		peer.Write(s.wire)
		r := w.start(c)
		checkEnd(t, "Read", r.drain(), io.EOF)
		if d := diffUnits(r.units, s.seen(w.view, len(s.wire))); d != "" {
			t.Fatal(d)
		}
		if err := c.CloseWrite(); err != nil {
			t.Errorf("second CloseWrite: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		for _, f := range decode(t, take(t, own, peer), cfg.Client) {
			if f.op != pong {
				t.Errorf("%v behind the Close frame", f)
			}
		}
		peer.Close()
	})
}

// TestRule6CloseWriteWaitsForAWrite calls CloseWrite while a Write is blocked.
func TestRule6CloseWriteWaitsForAWrite(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		c, own, peer := memConn(cfg)
		own.SetWriteLimit(10)
		p := filler(200_000)
		write := background(func() error { _, err := c.Write([]byte(p)); return err })
		synctest.Wait()
		closeWrite := background(c.CloseWrite)
		synctest.Wait()
		own.SetWriteLimit(-1)
		if err := write(); err != nil {
			t.Fatal(err)
		}
		if err := closeWrite(); err != nil {
			t.Fatal(err)
		}
		frames := decode(t, take(t, own, peer), cfg.Client)
		checkMessage(t, frames[:len(frames)-1], bin, p)
		checkFrames(t, "end", frames[len(frames)-1:], closeFrame(1000, ""))
		closeBoth(t, c, peer)
	})
}

// TestRule6KeepAliveEndsWithTheCloseFrame idles behind a Close frame of either
// side: with a foreign peer there are no Pings any more, and no timeout.
func TestRule6KeepAliveEndsWithTheCloseFrame(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		if cfg.HalfClose {
			return // see TestRule6PingsGoOnBehindCloseWrite
		}
		cfg.KeepAlive = 30 * time.Second
		for _, own := range []bool{false, true} {
			c, ownConn, peer := memConn(cfg)
			if own {
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			} else {
				peer.Write(newScript(!cfg.Client, closeFrame(1000, "")).wire)
			}
			wait := background(func() error { _, err := c.Read(make([]byte, 1)); return err })
			time.Sleep(10 * time.Minute)
			checkFrames(t, "ten minutes", decode(t, take(t, ownConn, peer), cfg.Client), closeFrame(1000, ""))
			peer.Write(newScript(!cfg.Client, closeFrame(1000, "")).wire)
			checkEnd(t, "Read", wait(), io.EOF)
			closeBoth(t, c, peer)
		}
	})
}
