package peers_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bodokaiser/walve"
)

// http2Site is an http.Server with HTTP/2, whose handler of /ws has handle do
// with the Conn what it does, and says which protocol the request had.
func http2Site(t testing.TB, handle func(*walve.Conn)) (s site, protos chan string) {
	protos = make(chan string, 1)
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := walve.Upgrade(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		handle(c)
		protos <- r.Proto
	})
	config := serverTLS()
	config.NextProtos = []string{"h2", "http/1.1"}
	s.origin = "http" + strings.TrimPrefix(serve(t, mux, config), "ws")
	return s, protos
}

// testHTTP2: over the connection that the page came by, whoever closes first,
// and the page sees a clean end.
func (b *browser) testHTTP2(t *testing.T) {
	closes := visit{Close: []any{3000, "grün"}}
	for _, c := range []struct {
		name   string
		visit  visit
		handle func(t *testing.T, c *walve.Conn)
		want   seen
	}{
		{"server closes", visit{}, func(t *testing.T, c *walve.Conn) {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}, seen{Opened: true, Code: 1000, WasClean: true}},
		{"server closes with a reason", visit{}, func(t *testing.T, c *walve.Conn) {
			if err := c.CloseWithStatus(4000, "grün"); err != nil {
				t.Error(err)
			}
		}, seen{Opened: true, Code: 4000, Reason: "grün", WasClean: true}},
		{"page closes", closes, func(t *testing.T, c *walve.Conn) {
			_, err := io.ReadAll(c)
			wantClose(t, err, 3000, "grün")
			c.Close()
		}, seen{Opened: true, Code: 3000, WasClean: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, protos := http2Site(t, func(conn *walve.Conn) { c.handle(t, conn) })
			wantSeen(t, b.visit(t, s, c.visit)(), c.want)
			if proto := <-protos; proto != "HTTP/2.0" {
				t.Error(proto)
			}
		})
		t.Run("Listener, "+c.name, func(t *testing.T) {
			s := listenerSite(t, &walve.Listener{TLSConfig: serverTLS()}, loopback(t))
			saw := b.visit(t, s, c.visit)
			conn := s.accept(t)
			if proto := conn.Request().Proto; proto != "HTTP/2.0" {
				t.Error(proto)
			}
			c.handle(t, conn)
			wantSeen(t, saw(), c.want)
		})
	}
}
