package walve_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestRule13HalfClosed: between walve ends KeepAlive goes on behind our
// Close frame; with a foreign peer it stops there.
func TestRule13HalfClosed(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, halfClose := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: halfClose, KeepAlive: interval})
				events := p.watch(nil)
				read := readOn(c)
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if halfClose {
					r := <-read
					wantKeepAliveError(t, "Read", r.err)
					if got := <-events; len(got) != 2 || got[0].op != cls || got[1].op != ping || got[1].at != interval {
						t.Errorf("on the wire: %v, want a Close frame and a Ping", got)
					}
					c.Close()
					return
				}
				time.Sleep(20 * interval)
				pending(t, "Read", read)
				p.send(fin|bin, "late")
				p.send(fin|cls, "")
				if r := <-read; r.n != 4 || r.err != io.EOF {
					t.Errorf("read %d, %v", r.n, r.err)
				}
				p.Close()
				c.Close()
				if got := <-events; len(got) != 1 || got[0].op != cls {
					t.Errorf("on the wire: %v, want a Close frame only", got)
				}
			})
		}
	})
}

// TestRule13HalfClosedPeer: a walve end that has read the other's Close
// frame, and takes its time to answer, is not found dead.
func TestRule13HalfClosedPeer(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			near, far := memconn.Pipe()
			c := walve.NewTestConn(near, walve.TestConfig{Client: client, HalfClose: true, KeepAlive: interval})
			other := walve.NewTestConn(far, walve.TestConfig{Client: !client, HalfClose: true, KeepAlive: interval})
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			read := begin(func() (int, error) { got, err := readToError(c, 100); return len(got), err })
			if n, err := other.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("Read: %d, %v", n, err)
			}
			time.Sleep(10 * interval)
			if n, err := other.Write([]byte("answer")); n != 6 || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			other.Close()
			if r := <-read; r.n != 6 || r.err != io.EOF {
				t.Errorf("read %d, %v; want the answer", r.n, r.err)
			}
			c.Close()
		})
	})
}

// TestRule13Never: KeepAlive < 0 sends nothing and fails nothing.
func TestRule13Never(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{KeepAlive: -1})
		read := readOn(c)
		time.Sleep(1000 * time.Hour)
		pending(t, "Read", read)
		p.wantNothing()
		p.send(fin|cls, "")
		<-read
		p.Close()
		c.Close()
	})
}

// TestRule13EndsWithConn: the timer of a Conn that is closed sends nothing
// more, and one whose peer has closed neither.
func TestRule13EndsWithConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, byPeer := range []bool{false, true} {
			c, p := newWirePeer(t, walve.TestConfig{KeepAlive: interval})
			events := p.watch(nil)
			if byPeer {
				p.send(fin|cls, "")
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Error(err)
				}
			} else {
				c.Close()
			}
			time.Sleep(5 * interval)
			if byPeer {
				c.Close()
			}
			p.Close()
			if got := <-events; len(got) != 1 || got[0].op != cls {
				t.Errorf("on the wire: %v, want a Close frame only", got)
			}
		}
	})
}

// TestRule13Default: 30 s, for Upgrade and Dial alike.
func TestRule13Default(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := handshaken(t)
		near, far := client.NetConn().(*memconn.Conn), server.NetConn().(*memconn.Conn)
		time.Sleep(30*time.Second - 1)
		synctest.Wait()
		sent, answered := near.Written(), far.Written()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n, m := near.Written()-sent, far.Written()-answered; n != 6 || m != 2 {
			t.Errorf("%d and %d bytes after 30 s, want the 6 and 2 of a Ping", n, m)
		}
		client.Close()
		server.Close()
	})
}

// TestRule13NoGoroutine: idle Conns have a timer each and no goroutine, also
// after their Pings.
func TestRule13NoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		before := liveGoroutines()
		var conns []io.Closer
		for range n {
			c, p := newWirePeer(t, walve.TestConfig{KeepAlive: interval})
			conns = append(conns, c, p)
		}
		for range 5 {
			synctest.Wait()
			if got := liveGoroutines(); got > before+n/100 {
				t.Fatalf("%d goroutines, %d before", got, before)
			}
			time.Sleep(interval)
		}
		for _, c := range conns {
			c.Close()
		}
	})
}

// liveGoroutines counts them, as far as 1 MiB of stacks goes. NumGoroutine may
// count those that have ended as well, hundreds while the garbage collector frees
// their stacks.
func liveGoroutines() int {
	b := make([]byte, 1<<20)
	return 1 + bytes.Count(b[:runtime.Stack(b, true)], []byte("\n\ngoroutine "))
}
