package stream_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/stream"
)

// behind runs f with a tls.Conn over a ServerTransport over a, whose peer runs
// over b.
func behind(t *testing.T, f func(t *testing.T, server, peer *tls.Conn, a, b *memconn.Conn), opts ...memconn.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(opts...)
		over := func(c net.Conn) net.Conn { return stream.NewServerTransport(c) }
		server, peer := handshake(t, tls.VersionTLS13, over, a, b)
		f(t, server, peer, a, b)
		server.Close()
		a.Close()
		b.Close()
	})
}

// TestServerTransport: every byte in order, whatever the lengths of the Writes.
func TestServerTransport(t *testing.T) {
	behind(t, func(t *testing.T, server, peer *tls.Conn, a, b *memconn.Conn) {
		b.SetReadSeed(1)
		want := pattern(900_000)
		go func() {
			for rest, i := want, 0; len(rest) > 0; i++ {
				n := min(len(rest), []int{1, 16 << 10, 100, 70_000, 16<<10 + 1, 33_000}[i%6])
				if _, err := server.Write(rest[:n]); err != nil {
					t.Error(err)
					break
				}
				rest = rest[n:]
			}
			if err := server.Close(); err != nil { // behind what was written
				t.Error(err)
			}
		}()
		got, err := io.ReadAll(peer)
		if !bytes.Equal(got, want) || err != nil {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}, memconn.Buffer(5000))
}

// TestServerTransportBound: to a peer that does not read Write takes what two
// buffers hold, and waits.
func TestServerTransportBound(t *testing.T) {
	behind(t, func(t *testing.T, server, peer *tls.Conn, a, b *memconn.Conn) {
		a.SetWriteLimit(0)
		written, done := 0, make(chan error)
		go func() {
			var err error
			for err == nil {
				_, err = server.Write(pattern(16 << 10))
				written += 16 << 10
			}
			done <- err
		}()
		synctest.Wait()
		if written > 128<<10 {
			t.Errorf("took %d bytes", written)
		}
		begun := time.Now()
		server.Close() // ends the Write, since one is waiting
		if err := <-done; err == nil || time.Since(begun) > 0 {
			t.Errorf("%v, after %v", err, time.Since(begun))
		}
	})
}

// TestServerTransportClose: what was taken is sent before the end, but a peer that
// does not read is waited for only so long.
func TestServerTransportClose(t *testing.T) {
	for _, reads := range []bool{true, false} {
		behind(t, func(t *testing.T, server, peer *tls.Conn, a, b *memconn.Conn) {
			a.SetWriteLimit(100)
			if n, err := server.Write(pattern(40_000)); n != 40_000 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
			if reads {
				time.AfterFunc(time.Second, func() { a.SetWriteLimit(-1) })
			}
			read := make(chan error)
			go func() {
				got, err := io.ReadAll(peer)
				if err == nil && !bytes.Equal(got, pattern(40_000)) {
					err = errors.New("something else")
				}
				read <- err
			}()
			begun, limit := time.Now(), 5*time.Second
			if reads {
				limit = time.Second
			}
			server.Close()
			if d := time.Since(begun); d != limit {
				t.Errorf("Close took %v", d)
			}
			if err := <-read; (err == nil) != reads {
				t.Errorf("peer: %v", err)
			}
		})
	}
}

// TestServerTransportError: what goes wrong behind Write the next one says.
func TestServerTransportError(t *testing.T) {
	behind(t, func(t *testing.T, server, peer *tls.Conn, a, b *memconn.Conn) {
		b.Reset()
		server.Write(pattern(16 << 10))
		synctest.Wait()
		if n, err := server.Write(pattern(16 << 10)); n != 0 || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write = %d, %v", n, err)
		}
	})
}

// TestServerTransportNew: a Stream begins behind what was written before.
func TestServerTransportNew(t *testing.T) {
	behind(t, func(t *testing.T, server, peer *tls.Conn, a, b *memconn.Conn) {
		want := pattern(40_000)
		read := make(chan string)
		go func() {
			got, err := io.ReadAll(peer)
			if err != nil {
				t.Error(err)
			}
			read <- string(got)
		}()
		server.Write(want)
		s := stream.New(server)
		s.Write([]byte("more"))
		s.Close()
		if got := <-read; got != string(want)+"more" {
			t.Errorf("got %d bytes", len(got))
		}
	}, memconn.Buffer(1000))
}

// failOnce fails its first large write, in part, and then goes on.
type failOnce struct {
	net.Conn
	failed bool
}

func (c *failOnce) Write(p []byte) (int, error) {
	if len(p) >= 16<<10 && !c.failed {
		c.failed = true
		n, _ := c.Conn.Write(p[:100])
		return n, errors.New("broken")
	}
	return c.Conn.Write(p)
}

// TestBehindErrorSmall: an error of what Write has taken is the next one's,
// also if that is small.
func TestBehindErrorSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(memconn.Buffer(1 << 20))
		defer a.Close()
		defer b.Close()
		st := stream.NewServerTransport(&failOnce{Conn: a})
		if n, err := st.Write(make([]byte, 16<<10)); n != 16<<10 || err != nil {
			t.Fatal(n, err)
		}
		synctest.Wait() // the goroutine has failed
		if n, err := st.Write(make([]byte, 100)); err == nil {
			t.Errorf("Write behind bytes that were lost: %d, %v", n, err)
		}
	})
}

// TestBehindHuge: crypto/tls flushes a whole flight of the handshake by one
// Write, which may be more than a Large.
func TestBehindHuge(t *testing.T) {
	a, b := memconn.Pipe(memconn.Buffer(1 << 20))
	defer a.Close()
	defer b.Close()
	st := stream.NewServerTransport(a)
	done := make(chan error, 1)
	go func() {
		_, err := st.Write(make([]byte, 64<<10+1))
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Second):
		t.Error("Write of 64 KiB + 1 waits for ever")
		st.Close()
		select {
		case <-done:
		case <-time.After(time.Second):
			t.Error("and Close does not end it")
		}
	}
}

type failLater struct {
	net.Conn
	fail bool
}

func (c *failLater) Write(p []byte) (int, error) {
	if c.fail && len(p) >= 16<<10 {
		c.fail = false
		n, _ := c.Conn.Write(p[:100])
		return n, errors.New("broken")
	}
	return c.Conn.Write(p)
}

// TestNewBehindError: what was lost behind Write before New, New's Stream says.
func TestNewBehindError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(memconn.Buffer(1 << 20))
		defer a.Close()
		defer b.Close()
		fl := &failLater{Conn: a}
		over := func(net.Conn) net.Conn { return stream.NewServerTransport(fl) }
		server, _ := handshake(t, tls.VersionTLS13, over, a, b)
		server.Write(pattern(200_000)) // large records from here on
		synctest.Wait()
		fl.fail = true
		if _, err := server.Write(pattern(16 << 10)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if fl.fail {
			t.Fatal("not failed")
		}
		s := stream.New(server)
		if n, err := s.Write([]byte("x")); err == nil {
			t.Errorf("Write behind a record that was lost: %d, %v", n, err)
		}
	})
}
