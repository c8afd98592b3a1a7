// Package interop_test holds walve against code that nobody here wrote:
// gorilla/websocket as the reference peer and golang.org/x/net/websocket, and
// against raw sockets that play RFC 6455 case by case (CONFORMANCE.md).
package interop_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// limit bounds what would otherwise hang; no test waits for it.
const limit = 3 * time.Minute

// peerURL is what is dialled over a connection that is there already.
const peerURL = "ws://peer.test/"

// A transport makes the two ends of a connection.
type transport func(t testing.TB) (client, server net.Conn)

func memory(testing.TB) (net.Conn, net.Conn) {
	a, b := memconn.Pipe()
	return a, b
}

func tcp(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String()) // completes before Accept
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// serve answers the requests that come on nc with net/http, until stop.
func serve(nc net.Conn, h http.Handler) (stop func()) {
	ln := &oneConn{conn: make(chan net.Conn, 1), done: make(chan struct{}), addr: nc.LocalAddr()}
	ln.conn <- nc
	srv := &http.Server{Handler: h, ReadHeaderTimeout: limit}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		srv.Serve(ln)
	}()
	return func() {
		srv.Close() // what was upgraded lives on
		<-ended
	}
}

// oneConn is a net.Listener of one connection.
type oneConn struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
	addr net.Addr
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conn:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.addr }

// connect makes a connection by an opening handshake over tr.
func connect[C, S any](t testing.TB, tr transport, dial func(net.Conn) (C, error), upgrade func(http.ResponseWriter, *http.Request) (S, error)) (C, S) {
	t.Helper()
	near, far := tr(t)
	type upgraded struct {
		conn S
		err  error
	}
	accepted := make(chan upgraded, 1)
	stop := serve(far, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := upgrade(w, r)
		accepted <- upgraded{s, err}
	}))
	defer stop()
	c, err := dial(near)
	if err != nil {
		t.Fatal(err)
	}
	s := <-accepted
	if s.err != nil {
		t.Fatal(s.err)
	}
	return c, s.conn
}

// handshake is what the two ends are told before they shake hands.
type handshake struct {
	offered   []string // subprotocols, by the client
	spoken    []string // subprotocols, by the server
	fragments int      // gorilla writes frames of this size; 0: 4 KiB

	compression *walve.Compression // of walve; gorilla has it if this is not nil
}

func (h handshake) dialWalve(nc net.Conn) (*walve.Conn, error) {
	d := walve.Dialer{Subprotocols: h.offered, KeepAlive: -1, Compression: h.compression}
	return d.Handshake(context.Background(), nc, peerURL)
}

func (h handshake) upgradeWalve(w http.ResponseWriter, r *http.Request) (*walve.Conn, error) {
	u := walve.Upgrader{Subprotocols: h.spoken, KeepAlive: -1, Compression: h.compression}
	return u.Upgrade(w, r)
}

func (h handshake) dialGorilla(nc net.Conn) (*websocket.Conn, error) {
	d := websocket.Dialer{
		NetDial:         func(string, string) (net.Conn, error) { return nc, nil },
		Subprotocols:    h.offered,
		WriteBufferSize: h.fragments,

		EnableCompression: h.compression != nil,
	}
	c, _, err := d.Dial(peerURL, nil)
	return c, err
}

func (h handshake) upgradeGorilla(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	u := websocket.Upgrader{Subprotocols: h.spoken, ReadBufferSize: 4 << 10, WriteBufferSize: h.fragments, EnableCompression: h.compression != nil}
	if h.fragments == 0 {
		u.WriteBufferSize = 4 << 10
	}
	return u.Upgrade(w, r, nil)
}

// mixed are the two ways round to have walve at one end and gorilla at the
// other.
var mixed = []struct {
	name    string
	connect func(testing.TB, transport, handshake) (*walve.Conn, *websocket.Conn)
}{
	{"walve as server", func(t testing.TB, tr transport, h handshake) (*walve.Conn, *websocket.Conn) {
		g, w := connect(t, tr, h.dialGorilla, h.upgradeWalve)
		return w, g
	}},
	{"walve as client", func(t testing.TB, tr transport, h handshake) (*walve.Conn, *websocket.Conn) {
		return connect(t, tr, h.dialWalve, h.upgradeGorilla)
	}},
}

// bothWays runs f with walve as server and as client, over tr.
func bothWays(t *testing.T, tr transport, h handshake, f func(t *testing.T, w *walve.Conn, g *websocket.Conn)) {
	for _, m := range mixed {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w, g := m.connect(t, tr, h)
			defer g.Close()
			defer w.Close()
			w.SetDeadline(time.Now().Add(limit))
			g.SetReadDeadline(time.Now().Add(limit))
			g.SetWriteDeadline(time.Now().Add(limit))
			f(t, w, g)
		})
	}
}

// echoWalve sends back what comes, until that ends, and returns how it did.
func echoWalve(c *walve.Conn) error {
	defer c.Close()
	for {
		op, p, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if err := c.WriteMessage(op, p); err != nil {
			return err
		}
	}
}
