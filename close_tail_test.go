package walve_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// A tap keeps what is read from a connection.
type tap struct {
	*memconn.Conn
	mu  sync.Mutex
	got bytes.Buffer
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.got.Write(p[:n])
	c.mu.Unlock()
	return n, err
}

// checkTail checks that what c has read is data, to the last byte, and a Close
// frame.
func (c *tap) checkTail(t testing.TB, what string, masked bool, data string) {
	t.Helper()
	frames := decode(t, c.got.Bytes(), masked)
	var got strings.Builder
	for _, f := range frames {
		if !f.op.IsControl() {
			got.WriteString(f.payload)
		}
	}
	if len(frames) == 0 || frames[len(frames)-1] != closeFrame(1000, "") || got.String() != data {
		t.Errorf("%s: the peer got %d bytes of %d in %v", what, got.Len(), len(data), frames)
	}
}

// TestRule5TailWithUnreadInput closes a Conn that has read nothing of what keeps
// coming in, over a transport that resets when it is closed with input unread:
// the peer reads all that was written, and the Close frame.
func TestRule5TailWithUnreadInput(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for _, cut := range []bool{false, true} {
			own, peerConn := memconn.Pipe(memconn.ResetUnread(), memconn.Buffer(8<<10))
			peer := &tap{Conn: peerConn}
			c := walve.NewTestConn(own, cfg)
			data := newScript(!cfg.Client, scriptFrame{bin, true, filler(50_000)}).wire
			flood := background(func() error { // until it has the Close frame, then its own
				for range 10 {
					if _, err := peer.Write(data); err != nil {
						return err
					}
				}
				_, err := peer.Write(newScript(!cfg.Client, closeFrame(1000, "")).wire)
				return errors.Join(err, peer.CloseWrite())
			})
			p := filler(5000)
			if cut {
				p = filler(60_000) // more than the buffer holds
				c.SetWriteDeadline(soon())
			}
			if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatalf("Write: got %d, %v", n, err)
			}
			synctest.Wait()
			closed := background(c.Close)
			time.Sleep(time.Second / 2) // the peer only begins to read now
			if _, err := io.Copy(io.Discard, peer); err != nil {
				t.Errorf("cut %v: the peer's stream ends with %v", cut, err)
			}
			if err := errors.Join(closed(), flood()); err != nil {
				t.Error(err)
			}
			peer.checkTail(t, "unread input", cfg.Client, p)
			peer.Close()
		}
	})
}

// TestRule5TailWithUnreadInputTCP is the same over real sockets, whose reset
// takes from the peer what it has not read.
func TestRule5TailWithUnreadInputTCP(t *testing.T) {
	checkLeaks(t)
	for _, clientCloses := range []bool{false, true} {
		for _, halfClose := range []bool{false, true} {
			c, peer := pairOver(t, tcpSockets, halfClose)
			if !clientCloses {
				c, peer = peer, c
			}
			flood := background(func() error { _, err := peer.Write(make([]byte, 8<<20)); return err })
			p := filler(200_000)
			if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatalf("Write: got %d, %v", n, err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(peer)
			if err != nil || string(got) != p {
				t.Errorf("client closes %v, half-close %v: the peer got %d bytes of %d, %v", clientCloses, halfClose, len(got), len(p), err)
			}
			if err := flood(); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Errorf("the peer's Write: %v", err)
			}
			if err := peer.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func pairOver(t testing.TB, make func(testing.TB) (net.Conn, net.Conn), halfClose bool) (client, server *walve.Conn) {
	t.Helper()
	nc1, nc2 := make(t)
	return pair(nc1, nc2, halfClose)
}

// TestRule5BothCloseWithFullBuffers closes both ends at once, each with a tail
// that the buffer between them does not hold, and nobody reading.
func TestRule5BothCloseWithFullBuffers(t *testing.T) {
	for _, halfClose := range []bool{false, true} {
		for _, size := range []int{100, 8 << 10} {
			bubble(t, func(t *testing.T) {
				nc1, nc2 := memconn.Pipe(memconn.Buffer(size), memconn.ResetUnread())
				taps := []*tap{{Conn: nc1}, {Conn: nc2}}
				client, server := pair(taps[0], taps[1], halfClose)
				p := filler(200_000)
				var sent []string
				for _, c := range []*walve.Conn{client, server} {
					c.SetWriteDeadline(soon())
					n, err := c.Write([]byte(p))
					checkTimeout(t, "Write", err)
					if n == 0 {
						t.Fatal("nothing was written")
					}
					sent = append(sent, p[:n])
				}
				start := time.Now()
				waits := []func() error{background(client.Close), background(server.Close)}
				for _, wait := range waits {
					if err := wait(); err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				if d := time.Since(start); d != 0 {
					t.Errorf("took %v", d)
				}
				taps[1].checkTail(t, "client's", true, sent[0])
				taps[0].checkTail(t, "server's", false, sent[1])
				if isOpen(nc1) || isOpen(nc2) {
					t.Errorf("sockets left: %v %v", isOpen(nc1), isOpen(nc2))
				}
			})
		}
	}
}

// TestRule5CloseOfIdleConns closes 1,000 Conns one after another, whose peers do
// not answer.
func TestRule5CloseOfIdleConns(t *testing.T) {
	checkLeaks(t)
	var conns []*walve.Conn
	for i := range 1000 {
		nc1, nc2 := tcpSockets(t)
		if i%2 == 0 {
			nc1, nc2 = nc2, nc1
		}
		defer nc2.Close() // or they would take five seconds in the background
		conns = append(conns, walve.NewTestConn(nc1, walve.TestConfig{Client: i%2 == 0, KeepAlive: time.Minute}))
	}
	start := time.Now()
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
}
