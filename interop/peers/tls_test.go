package peers_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// tlsPair makes a TLS 1.3 connection end to end, inside a WebSocket.
func tlsPair(t *testing.T, ln *walve.Listener, d *walve.Dialer) (server, client *tls.Conn) {
	t.Helper()
	inner := clientTLS()
	inner.MinVersion = tls.VersionTLS13
	client = tls.Client(dial(t, d), inner)
	server = tls.Server(accept(t, ln), serverTLS())
	var shaken sync.WaitGroup
	shaken.Go(func() {
		if err := server.Handshake(); err != nil {
			t.Error(err)
		}
	})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	shaken.Wait()
	return server, client
}

// TestTLSHalfClose ends one direction by close_notify and goes on in the other.
func TestTLSHalfClose(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		server, client := tlsPair(t, ln, d)
		question, answer := pattern(1<<20), text(1<<20)
		var wg sync.WaitGroup
		wg.Go(func() {
			got, err := io.ReadAll(server)
			if err != nil || !bytes.Equal(got, question) {
				t.Errorf("the server read %d bytes, %v", len(got), err)
			}
			if _, err := server.Write(answer); err != nil {
				t.Error(err)
			}
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		})
		if _, err := client.Write(question); err != nil {
			t.Error(err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Error(err)
		}
		got, err := io.ReadAll(client)
		if err != nil || !bytes.Equal(got, answer) {
			t.Errorf("the client read %d bytes, %v", len(got), err)
		}
		wg.Wait()
	})
}

// TestTLSTruncated cuts the connection below the WebSocket between two records,
// which must not look like the end of the stream.
func TestTLSTruncated(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		server, client := tlsPair(t, ln, d)
		if _, err := server.Write([]byte("a record")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, len("a record"))); err != nil {
			t.Fatal(err)
		}
		socket := server.NetConn().(*walve.Conn).NetConn()
		if socket == nil {
			return // a stream of HTTP/2 has none of its own to cut
		}
		socket.Close()
		if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Read: %d, %v", n, err)
		}
	})
}

// TestTLSReadDeadline: tls.Conn goes on after a read timeout if the error below
// says that it is temporary.
func TestTLSReadDeadline(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		server, client := tlsPair(t, ln, d)
		p := make([]byte, 5)
		for range 3 {
			client.SetReadDeadline(time.Unix(1, 0))
			if _, err := client.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
			client.SetReadDeadline(time.Now().Add(timeout))
			if _, err := server.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, p); err != nil || string(p) != "hello" {
				t.Fatalf("read %q, %v", p, err)
			}
		}
	})
}
