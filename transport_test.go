package walve_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// A transport makes connections by real opening handshakes.
type transport struct {
	name string
	// start begins to accept and returns how to connect.
	start func(t *testing.T) (accept func() (net.Conn, error), dial func(ctx context.Context) (*walve.Conn, error))
}

var transports = []transport{
	{"ws", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		ln := listen(t, new(walve.Listener), "tcp", "127.0.0.1:0")
		return ln.Accept, dialer(new(walve.Dialer), "ws://"+ln.Addr().String())
	}},
	{"ws compressed", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		compression := &walve.Compression{Threshold: -1}
		ln := listen(t, &walve.Listener{Upgrader: walve.Upgrader{Compression: compression}}, "tcp", "127.0.0.1:0")
		return ln.Accept, dialer(&walve.Dialer{Compression: compression}, "ws://"+ln.Addr().String())
	}},
	{"wss by Listener.TLSConfig", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		server, client := exampleTLS()
		ln := listen(t, &walve.Listener{TLSConfig: server}, "tcp", "127.0.0.1:0")
		return ln.Accept, dialer(&walve.Dialer{TLSConfig: client}, "wss://"+ln.Addr().String())
	}},
	{"wss hijacked", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		conns := make(chan net.Conn, 1)
		srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, err := walve.Upgrade(w, r); err == nil {
				conns <- c
			}
		}))
		t.Cleanup(srv.Close)
		accept := func() (net.Conn, error) { return <-conns, nil }
		return accept, dialer(&walve.Dialer{TLSConfig: srv.Client().Transport.(*http.Transport).TLSClientConfig}, srv.URL)
	}},
	{"wss by tls.Listener", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		server, client := exampleTLS()
		inner, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.Certificates})
		if err != nil {
			t.Fatal(err)
		}
		ln := serve(t, new(walve.Listener), inner)
		return ln.Accept, dialer(&walve.Dialer{TLSConfig: client}, "https://"+ln.Addr().String())
	}},
	{"wss hijacked by a Listener", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		ln := new(walve.Listener)
		t.Cleanup(func() { ln.Close() })
		srv := httptest.NewTLSServer(ln)
		t.Cleanup(srv.Close)
		return ln.Accept, dialer(&walve.Dialer{TLSConfig: srv.Client().Transport.(*http.Transport).TLSClientConfig}, srv.URL)
	}},
	{"wss through an https proxy", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		server, client := exampleTLS()
		client = client.Clone()
		client.ServerName = "example.com"
		ln := listen(t, &walve.Listener{TLSConfig: server}, "tcp", "127.0.0.1:0")
		proxy := httptest.NewUnstartedServer(&connectProxy{target: ln.Addr().String(), asked: make(chan *http.Request, 1000)})
		proxy.TLS = server.Clone()
		proxy.StartTLS()
		t.Cleanup(proxy.Close)
		via := &url.URL{Scheme: "https", Host: proxy.Listener.Addr().String(), User: url.UserPassword("user", "secret")}
		return ln.Accept, dialer(&walve.Dialer{TLSConfig: client, Proxy: http.ProxyURL(via)}, "wss://example.com")
	}},
	{"unix", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		path := filepath.Join(t.TempDir(), "s")
		ln := listen(t, new(walve.Listener), "unix", path)
		return ln.Accept, dialer(new(walve.Dialer), "ws+unix://"+path+":/chat")
	}},
	{"net.Pipe", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		return inMemory(t, net.Pipe)
	}},
	{"memory", func(t *testing.T) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
		return inMemory(t, func() (net.Conn, net.Conn) { return memconn.Pipe() })
	}},
}

func listen(t *testing.T, ln *walve.Listener, network, address string) *walve.Listener {
	t.Helper()
	if err := ln.Listen(network, address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func serve(t *testing.T, ln *walve.Listener, inner net.Listener) *walve.Listener {
	t.Helper()
	if err := ln.Serve(inner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dialer(d *walve.Dialer, url string) func(ctx context.Context) (*walve.Conn, error) {
	return func(ctx context.Context) (*walve.Conn, error) { return d.DialURL(ctx, url) }
}

// inMemory has a Dialer's Handshake on one end of what pipe makes, and a
// Listener on the other.
func inMemory(t *testing.T, pipe func() (net.Conn, net.Conn)) (func() (net.Conn, error), func(context.Context) (*walve.Conn, error)) {
	inner := newMemListener()
	ln := walve.NewListener(inner)
	t.Cleanup(func() { ln.Close() })
	return ln.Accept, func(ctx context.Context) (*walve.Conn, error) {
		near, far := pipe()
		inner.conns <- far
		return new(walve.Dialer).Handshake(ctx, near, "ws://in.memory/chat")
	}
}

// connect makes one connection.
func connect(ctx context.Context, accept func() (net.Conn, error), dial func(context.Context) (*walve.Conn, error)) (client, server net.Conn, err error) {
	if client, err = dial(ctx); err != nil {
		return nil, nil, err
	}
	if server, err = accept(); err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, server, nil
}

// TestTransports is golang.org/x/net/nettest over every transport, after real
// opening handshakes, both ways round.
func TestTransports(t *testing.T) {
	checkLeaks(t)
	for _, tr := range transports {
		for _, order := range []string{"client as c1", "server as c1"} {
			t.Run(tr.name+"/"+order, func(t *testing.T) {
				t.Parallel()
				accept, dial := tr.start(t)
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					c1, c2, err = connect(context.Background(), accept, dial)
					if order == "server as c1" {
						c1, c2 = c2, c1
					}
					return c1, c2, func() { c1.Close(); c2.Close() }, err
				})
			})
		}
	}
}
