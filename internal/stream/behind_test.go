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
