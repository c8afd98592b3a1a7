package walve_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// A route is a way to make the two ends of a connection through the opening
// handshake.
type route struct {
	name string
	open func(t *testing.T) (dial func() (*walve.Conn, error), l *walve.Listener)
}

func routes() []route {
	serverTLS, clientTLS := exampleTLS()
	clientTLS = clientTLS.Clone()
	clientTLS.ServerName = "example.com"
	listen := func(t *testing.T, l *walve.Listener, network, addr string) *walve.Listener {
		if err := l.Listen(network, addr); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	dialer := func(d *walve.Dialer, url string) func() (*walve.Conn, error) {
		return func() (*walve.Conn, error) { return d.DialURL(context.Background(), url) }
	}
	return []route{
		{"ws", func(t *testing.T) (func() (*walve.Conn, error), *walve.Listener) {
			l := listen(t, &walve.Listener{}, "tcp", "127.0.0.1:0")
			return dialer(&walve.Dialer{}, "ws://"+l.Addr().String()), l
		}},
		{"wss, TLSConfig", func(t *testing.T) (func() (*walve.Conn, error), *walve.Listener) {
			l := listen(t, &walve.Listener{TLSConfig: serverTLS}, "tcp", "127.0.0.1:0")
			return dialer(&walve.Dialer{TLSConfig: clientTLS}, "wss://"+l.Addr().String()), l
		}},
		{"wss, hijacked", func(t *testing.T) (func() (*walve.Conn, error), *walve.Listener) {
			l := new(walve.Listener)
			srv := httptest.NewUnstartedServer(l)
			srv.TLS = serverTLS.Clone()
			srv.StartTLS()
			t.Cleanup(func() {
				srv.Close()
				l.Close()
			})
			return dialer(&walve.Dialer{TLSConfig: clientTLS}, srv.URL), l
		}},
		{"wss through an https proxy", func(t *testing.T) (func() (*walve.Conn, error), *walve.Listener) {
			l := listen(t, &walve.Listener{TLSConfig: serverTLS}, "tcp", "127.0.0.1:0")
			p := &connectProxy{target: l.Addr().String(), asked: make(chan *http.Request, 1000)}
			srv := httptest.NewUnstartedServer(p)
			srv.TLS = serverTLS.Clone()
			srv.StartTLS()
			t.Cleanup(srv.Close)
			via := &url.URL{Scheme: "https", Host: srv.Listener.Addr().String(), User: url.UserPassword("user", "secret")}
			return dialer(&walve.Dialer{TLSConfig: clientTLS, Proxy: http.ProxyURL(via)}, "wss://example.com"), l
		}},
		{"unix", func(t *testing.T) (func() (*walve.Conn, error), *walve.Listener) {
			l := listen(t, &walve.Listener{}, "unix", t.TempDir()+"/s")
			return dialer(&walve.Dialer{}, "ws+unix://"+l.Addr().String()), l
		}},
		{"memory", func(t *testing.T) (func() (*walve.Conn, error), *walve.Listener) {
			inner := newMemListener()
			l := walve.NewListener(inner)
			t.Cleanup(func() { l.Close() })
			return func() (*walve.Conn, error) {
				a, b := memconn.Pipe()
				inner.conns <- b
				return new(walve.Dialer).Handshake(context.Background(), a, "ws://example.com")
			}, l
		}},
	}
}

// TestNetConnHandshake is golang.org/x/net/nettest over Conns of Dialer and
// Listener, both ways round.
func TestNetConnHandshake(t *testing.T) {
	checkLeaks(t)
	for _, r := range routes() {
		for _, clientFirst := range []bool{true, false} {
			name := r.name + "/server as c1"
			if clientFirst {
				name = r.name + "/client as c1"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel() // they wait more than they work
				dial, l := r.open(t)
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					client, err := dial()
					if err != nil {
						return nil, nil, nil, err
					}
					server, err := l.Accept()
					if err != nil {
						client.Close()
						return nil, nil, nil, err
					}
					stop = func() {
						go client.Close()
						server.Close()
					}
					if clientFirst {
						return client, server, stop, nil
					}
					return server, client, stop, nil
				})
			})
		}
	}
}
