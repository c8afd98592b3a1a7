package walve_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/stream"
	"github.com/bodokaiser/walve/internal/testcert"
)

// TestRule5CloseUnblocks blocks every call in turn, with another of its kind
// waiting behind it, and closes: all fail with net.ErrClosed in no time,
// although the peer is dead and Close itself takes a second.
func TestRule5CloseUnblocks(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		calls := map[string]func(c *walve.Conn) func() error{
			"Ping":    func(c *walve.Conn) func() error { return func() error { return c.Ping(context.Background()) } },
			"WriteTo": func(c *walve.Conn) func() error { return func() error { _, err := c.WriteTo(io.Discard); return err } },
		}
		for _, w := range ways {
			calls[w.name] = func(c *walve.Conn) func() error { return func() error { return w.start(c).step() } }
			calls[w.name+" inside a frame"] = func(c *walve.Conn) func() error { return w.start(c).drain }
		}
		for name := range writes(nil) {
			calls[name] = func(c *walve.Conn) func() error { return writes(c)[name] }
		}
		inside := newScript(!cfg.Client, scriptFrame{bin, true, "abc"})
		for name, call := range calls {
			c, own, peer := memConn(cfg)
			own.SetWriteLimit(0)
			if strings.HasSuffix(name, " inside a frame") {
				peer.Write(inside.wire[:len(inside.wire)-1])
			}
			var start time.Time
			var waits []func() error
			for i := range 2 {
				if name == "CloseWrite" && i > 0 {
					break // a second one returns at once
				}
				call := call(c)
				waits = append(waits, background(func() error {
					err := call()
					if d := time.Since(start); d != 0 {
						t.Errorf("%s was unblocked after %v", name, d)
					}
					return err
				}))
				synctest.Wait()
			}
			start = time.Now()
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d != time.Second {
				t.Errorf("Close took %v, want 1s", d)
			}
			for _, wait := range waits {
				if err := wait(); name != "CloseWrite" || err != nil { // whose frame is with Close now
					checkOpError(t, name, err, net.ErrClosed)
				}
			}
			peer.Close()
		}
	})
}

// TestRule5CloseUnderABlockedWrite closes while a Write of several frames is
// blocked at various bytes: n says what the peer gets once it reads, and the
// Close frame follows.
func TestRule5CloseUnderABlockedWrite(t *testing.T) {
	everyWriter(t, func(t *testing.T, wtr writer) {
		p := filler(2*wtr.piece + 5000)
		first := len(newScript(wtr.masked, scriptFrame{bin, false, p[:wtr.piece]}).wire)
		for _, k := range []int{0, 1, 3, first / 2, first - 1, first, first + 1, len(p)} {
			c, own, peer := wtr.make()
			own.SetWriteLimit(int64(k))
			n := 0
			wait := background(func() (err error) { n, err = c.Write([]byte(p)); return err })
			synctest.Wait()
			closed := background(c.Close)
			synctest.Wait()
			if err := wait(); err != nil || n != len(p) { // not even Close takes back what is on the wire
				checkOpError(t, "Write", err, net.ErrClosed)
			}
			own.SetWriteLimit(-1)
			if err := closed(); err != nil {
				t.Fatal(err)
			}
			frames := decode(t, take(t, own, peer), wtr.masked)
			var got strings.Builder
			for _, f := range frames[:len(frames)-1] {
				got.WriteString(f.payload)
			}
			if got.String() != p[:n] || frames[len(frames)-1] != closeFrame(1000, "") {
				t.Fatalf("blocked at byte %d: Write says %d, the peer got %d in %v", k, n, got.Len(), frames)
			}
			peer.Close()
		}
	})
}

// TestRule5DeadPeer looks at what Close does, and when, with a peer that does
// not take everything or does not answer.
func TestRule5DeadPeer(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name    string
		limit   int64         // that the peer takes at first
		write   int           // bytes that are written before
		takes   time.Duration // when it takes everything; 0: never
		answers time.Duration // when it sends its Close frame and closes; 0: never
		returns time.Duration // when Close does
		over    time.Duration // when all is over
		end     error         // for the peer, behind what it can read
	}{
		{"does not answer", -1, 0, 0, 0, 0, 5 * second, io.EOF},
		{"does not answer, tail", -1, 130, 0, 0, 0, 5 * second, io.EOF},
		{"answers", -1, 130, 0, 2 * second, 0, 2 * second, io.EOF},
		{"takes nothing", 0, 0, 0, 0, second, 5 * second, syscall.ECONNRESET},
		{"takes a part of the Close frame", 1, 0, 0, 0, second, 5 * second, syscall.ECONNRESET},
		{"takes a part of the tail", 5, 130, 0, 0, second, 5 * second, syscall.ECONNRESET},
		{"takes it late", 5, 130, 3 * second, 0, second, 5 * second, io.EOF},
		{"takes it late and answers", 5, 130, 3 * second, 4 * second, second, 4 * second, io.EOF},
		{"takes it soon", 5, 130, second / 2, 0, second / 2, 5 * second, io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
				c, own, peer := memConn(cfg)
				if tt.write > 0 {
					own.SetWriteLimit(1)
					c.SetWriteDeadline(soon())
					if n, err := c.Write(make([]byte, tt.write)); n != tt.write || err != nil {
						t.Fatalf("Write: got %d, %v", n, err)
					}
				}
				own.SetWriteLimit(tt.limit)
				start := time.Now()
				at := func(d time.Duration, f func()) {
					if d > 0 {
						time.AfterFunc(d, f)
					}
				}
				at(tt.takes, func() { own.SetWriteLimit(-1) })
				at(tt.answers, func() {
					peer.Write(newScript(!cfg.Client, closeFrame(1000, "")).wire)
					peer.CloseWrite()
				})
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d != tt.returns {
					t.Errorf("Close took %v, want %v", d, tt.returns)
				}
				time.Sleep(tt.over - time.Since(start) - 1)
				synctest.Wait()
				if !isOpen(own) {
					t.Errorf("over before %v", tt.over)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if isOpen(own) {
					t.Errorf("not over after %v", tt.over)
				}
				if left := ownGoroutines(); left != "" {
					t.Errorf("after %v there is still\n%s", tt.over, left)
				}
				if _, err := io.Copy(io.Discard, peer); tt.end != io.EOF && !errors.Is(err, tt.end) || tt.end == io.EOF && err != nil {
					t.Errorf("the peer's stream ends with %v, want %v", err, tt.end)
				}
				peer.Close()
			})
		})
	}
}

// isOpen reports whether nc has not been closed at this end.
func isOpen(nc *memconn.Conn) bool { return !errors.Is(nc.SetLinger(-1), net.ErrClosed) }

// TestRule5DeadPeerBelowTLS has tls.Conn.Close, which waits to send its alert,
// in the way, and a queue between Write and tls.Conn.
func TestRule5DeadPeerBelowTLS(t *testing.T) {
	cert := testcert.Get()
	below := map[string]func(nc net.Conn) net.Conn{
		"hijacked": func(nc net.Conn) net.Conn { return nc },
		"own":      func(nc net.Conn) net.Conn { return stream.NewTransport(nc) },
	}
	for _, tt := range []struct {
		name    string
		write   int
		takes   time.Duration // when the peer takes everything; 0: never
		returns time.Duration
	}{
		{"idle", 0, 0, time.Second},
		{"tail", 130, 0, time.Second},
		{"blocked Write", 1 << 20, 0, time.Second},
		{"takes it soon", 130, time.Second / 2, time.Second / 2},
	} {
		for kind, transport := range below {
			t.Run(tt.name+" "+kind, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					own, peer := memconn.Pipe()
					server := tls.Server(transport(own), &tls.Config{Certificates: []tls.Certificate{cert}})
					client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
					wait := background(client.Handshake)
					if err := errors.Join(server.Handshake(), wait()); err != nil {
						t.Fatal(err)
					}
					c := walve.NewTestConn(server, walve.TestConfig{})
					own.SetWriteLimit(0)
					written := background(func() error { _, err := c.Write(make([]byte, tt.write)); return err })
					synctest.Wait()
					start := time.Now()
					if tt.takes > 0 {
						time.AfterFunc(tt.takes, func() { own.SetWriteLimit(-1) })
					}
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
					if d := time.Since(start); d != tt.returns {
						t.Errorf("Close took %v, want %v", d, tt.returns)
					}
					if err := written(); tt.write == 1<<20 {
						checkOpError(t, "Write", err, net.ErrClosed)
					}
					time.Sleep(5*time.Second - time.Since(start))
					synctest.Wait()
					if left := ownGoroutines(); left != "" || isOpen(own) {
						t.Errorf("after 5s the socket is open: %v, and there is still\n%s", isOpen(own), left)
					}
					peer.Close()
					time.Sleep(10 * time.Second) // for those that are left
				})
			})
		}
	}
}

// TestRule5CloseIsIdempotent closes one after another and at the same time.
func TestRule5CloseIsIdempotent(t *testing.T) {
	ends := map[string]func(peer *memconn.Conn, s *script){
		"open":         func(peer *memconn.Conn, s *script) {},
		"peer closed":  func(peer *memconn.Conn, s *script) { peer.Write(s.wire) },
		"peer is gone": func(peer *memconn.Conn, s *script) { peer.Close() },
		"reset":        func(peer *memconn.Conn, s *script) { peer.Reset() },
	}
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for name, end := range ends {
			for _, read := range []bool{false, true} {
				c, _, peer := memConn(cfg)
				end(peer, exchange(!cfg.Client, false))
				if read && name != "open" {
					ways[0].start(c).drain()
				}
				var waits []func() error
				for range 8 {
					waits = append(waits, background(c.Close))
				}
				done := 0
				for _, wait := range waits {
					if err := wait(); err == nil {
						done++
					} else {
						checkOpError(t, "Close", err, net.ErrClosed)
					}
				}
				if done != 1 {
					t.Errorf("%s: %d Closes of 8 were the first", name, done)
				}
				checkOpError(t, "Close", c.Close(), net.ErrClosed)
				checkOpError(t, "CloseWithStatus", c.CloseWithStatus(1001, ""), net.ErrClosed)
				checkOpError(t, "CloseWrite", c.CloseWrite(), net.ErrClosed)
				checkOpError(t, "SetDeadline", c.SetDeadline(time.Time{}), net.ErrClosed)
				checkOpError(t, "Ping", c.Ping(context.Background()), net.ErrClosed)
				checkWriteFailed(t, c, net.ErrClosed)
				peer.Close()
			}
		}
	})
}

// TestRule5CloseWithStatus tries what may not be sent first: the Conn lives on.
func TestRule5CloseWithStatus(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		c, own, peer := memConn(cfg)
		bad := func(code walve.StatusCode, reason string) {
			t.Helper()
			err := c.CloseWithStatus(code, reason)
			if oe, ok := err.(*net.OpError); !ok || errors.Is(err, net.ErrClosed) || oe.Timeout() {
				t.Errorf("CloseWithStatus(%d, %d bytes): got %v", code, len(reason), err)
			}
		}
		for _, code := range []walve.StatusCode{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535} {
			bad(code, "")
		}
		bad(1000, strings.Repeat("r", 124))
		bad(1000, strings.Repeat("\u00fc", 62))
		bad(1000, "\xff")
		synctest.Wait()
		if n := own.Written(); n != 0 {
			t.Errorf("%d bytes on the wire", n)
		}
		peer.Write(newScript(!cfg.Client, scriptFrame{bin, true, "in"}).wire)
		if _, p, err := c.ReadMessage(); string(p) != "in" || err != nil {
			t.Errorf("then ReadMessage: got %q, %v", p, err)
		}
		if n, err := c.Write([]byte("out")); n != 3 || err != nil {
			t.Errorf("then Write: got %d, %v", n, err)
		}
		reason := strings.Repeat("r", 121) + "\u00fc"
		if err := c.CloseWithStatus(4000, reason); err != nil {
			t.Errorf("then CloseWithStatus: got %v", err)
		}
		checkFrames(t, "all", decode(t, take(t, own, peer), cfg.Client), scriptFrame{bin, true, "out"}, closeFrame(4000, reason))
		peer.Close()
	})
}

// TestRule5CloseWithAWriterOpen closes while a frame of NextWriter is not
// complete: no Close frame may stand inside it, and the peer sees no clean end.
func TestRule5CloseWithAWriterOpen(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for _, length := range []int64{-1, 3, 200_000} {
			for _, k := range []int{0, 1, 2, 9} { // payload bytes written
				if int64(k) >= max(length, 10) || length == 3 && k > 2 {
					continue
				}
				c, own, peer := memConn(cfg)
				w, err := c.NextWriter(walve.Header{Fin: true, Opcode: bin, Length: length})
				if err != nil {
					t.Fatal(err)
				}
				w.Write([]byte("123456789")[:k])
				start := time.Now()
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("Close took %v", d)
				}
				_, err = w.Write([]byte("x"))
				if length >= 0 { // the other only gathers
					checkOpError(t, "writer's Write", err, net.ErrClosed)
				}
				err = w.Close() // of what was short before, too
				checkOpError(t, "writer's Close", err, err)
				wire := take(t, own, peer)
				if length < 0 || k == 0 {
					checkFrames(t, "no frame begun", decode(t, wire, cfg.Client), closeFrame(1000, ""))
				} else {
					fr := walve.NewFrameReader(bytes.NewReader(wire))
					h, _ := fr.Next()
					p, err := io.ReadAll(fr)
					if h.Length != length || string(p) != "123456789"[:k] || err != io.ErrUnexpectedEOF {
						t.Errorf("length %d: the peer got %+v and %q, %v", length, h, p, err)
					}
				}
				peer.Close()
			}
		}
	})
}

// TestRule5CloseAsTurnPasses closes in the moment in which a Read that waited is
// given its turn.
func TestRule5CloseAsTurnPasses(t *testing.T) {
	for range 50 { // which comes first is up to chance
		everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
			c, _, peer := memConn(cfg)
			first := beginErr(func() error {
				if _, err := c.Read(make([]byte, 1)); err != nil {
					return err
				}
				return c.Close()
			})
			synctest.Wait()
			second := begin(func() (int, error) { return c.Read(make([]byte, 1)) })
			synctest.Wait()
			peer.Write(newScript(!cfg.Client, scriptFrame{bin, true, "1"}).wire)
			if err := (<-first).err; err != nil {
				t.Error(err)
			}
			r := <-second
			checkOpError(t, "Read", r.err, net.ErrClosed)
			peer.Close()
		})
	}
}
