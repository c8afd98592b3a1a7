package enable_test

import (
	"io"
	"net"
	"testing"
)

// TestBothWrite: two ends that write at once, one of which reads only when it
// is done, finish. net/http's server queues the WINDOW_UPDATE of a stream
// behind its DATA, see h2.Stream.
func TestBothWrite(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		client, server := s.pair(t)
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
	})
}
