package enable_test

import (
	"bytes"
	"testing"

	"github.com/bodokaiser/walve"
)

// TestCompression: RFC 8441, 5, leaves Sec-WebSocket-Extensions as it is.
func TestCompression(t *testing.T) {
	compression := &walve.Compression{NoReceiveTakeover: true}
	checkLeaks(t)
	for _, secure := range []bool{true, false} {
		ln := &walve.Listener{Upgrader: walve.Upgrader{Compression: compression}}
		t.Cleanup(func() { ln.Close() })
		s := httpService(t, secure, ln)
		s.accept, s.dialer.Compression = ln.Accept, &walve.Compression{}
		client, accepted := s.pair(t)
		server := accepted.(*walve.Conn)
		const want = "walve.half-close, permessage-deflate; client_no_context_takeover"
		if got := client.Response().Header.Get("Sec-WebSocket-Extensions"); got != want {
			t.Errorf("agreed on %q", got)
		}
		for i := range 5 {
			message := bytes.Repeat([]byte("to be compressed, "), 1<<(2*i))
			for _, c := range [][2]*walve.Conn{{client, server}, {server, client}} {
				if err := c[0].WriteMessage(walve.OpText, message); err != nil {
					t.Fatal(err)
				}
				if _, got, err := c[1].ReadMessage(); err != nil || !bytes.Equal(got, message) {
					t.Fatalf("%d bytes of %d, %v", len(got), len(message), err)
				}
			}
		}
		go client.Close()
		server.Close()
	}
}
