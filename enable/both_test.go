package enable_test

import (
	"io"
	"net"
	"testing"

	"github.com/bodokaiser/walve"
)

// TestBothWrite: two ends that write at once, one of which reads only when it
// is done, finish. net/http's server queues the WINDOW_UPDATE of a stream
// behind its DATA, see h2.Stream, whatever the client's window.
func TestBothWrite(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		for _, window := range []int{0, 64 << 10} {
			d := &walve.Dialer{HTTP2: s.dialer.HTTP2, TLSConfig: s.dialer.TLSConfig, Proxy: s.dialer.Proxy, HTTP2Window: window}
			client, err := d.DialURL(t.Context(), s.url)
			if err != nil {
				t.Fatal(err)
			}
			server, err := s.accept()
			if err != nil {
				t.Fatal(err)
			}
			bothWrite(t, client, server)
		}
	})
}

func bothWrite(t *testing.T, client *walve.Conn, server net.Conn) {
	const size = 16 << 20
	write := func(c net.Conn) {
		p := make([]byte, 64<<10)
		for range size / len(p) {
			if _, err := c.Write(p); err != nil {
				t.Error(err)
				return
			}
		}
	}
	read := func(c net.Conn) {
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			t.Error(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		go write(server)
		read(server)
	}()
	write(client)
	read(client)
	<-done
	go client.Close()
	server.Close()
}
