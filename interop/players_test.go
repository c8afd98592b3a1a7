package interop_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"

	"github.com/bodokaiser/walve"
)

// A messenger is an end of a connection as all libraries have it: whole
// messages, and opcodes as RFC 6455 numbers them.
type messenger interface {
	write(op byte, p []byte) error
	read() (op byte, p []byte, err error)
}

// A closer is a messenger that somebody closes.
type closer interface {
	messenger
	Close() error
	SetDeadline(time.Time) error
}

func (e gorillaEnd) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

type walveEnd struct{ *walve.Conn }

func (e walveEnd) write(op byte, p []byte) error { return e.WriteMessage(walve.Opcode(op), p) }

func (e walveEnd) read() (byte, []byte, error) {
	op, p, err := e.ReadMessage()
	return byte(op), p, err
}

// A framedEnd is a walveEnd that sends every message as one frame.
type framedEnd struct{ walveEnd }

func (e framedEnd) write(op byte, p []byte) error {
	w, err := e.NextWriter(walve.Header{Fin: true, Opcode: walve.Opcode(op), Length: int64(len(p))})
	if err != nil {
		return err
	}
	if _, err := w.Write(p); err != nil {
		return err
	}
	return w.Close()
}

type gorillaEnd struct{ *websocket.Conn }

func (e gorillaEnd) write(op byte, p []byte) error { return e.WriteMessage(int(op), p) }

func (e gorillaEnd) read() (byte, []byte, error) {
	op, p, err := e.ReadMessage()
	return byte(op), p, err
}

// An xnetEnd is an end by golang.org/x/net/websocket. It takes every frame for
// a message (RFC 6455, 5.4: "A fragmented message is conceptually equivalent to
// a single larger message"), so what it is sent goes through a framedEnd.
type xnetEnd struct {
	*xnet.Conn
	release func() // lets the handler return, which closes the Conn
}

type xnetFrame struct {
	op byte
	p  []byte
}

var xnetCodec = xnet.Codec{
	Marshal: func(v any) ([]byte, byte, error) {
		f := v.(xnetFrame)
		return f.p, f.op, nil
	},
	Unmarshal: func(p []byte, op byte, v any) error {
		*v.(*xnetFrame) = xnetFrame{op, p}
		return nil
	},
}

func (e xnetEnd) write(op byte, p []byte) error { return xnetCodec.Send(e.Conn, xnetFrame{op, p}) }

func (e xnetEnd) read() (byte, []byte, error) {
	var f xnetFrame
	err := xnetCodec.Receive(e.Conn, &f)
	return f.op, f.p, err
}

func (e xnetEnd) Close() error {
	err := e.Conn.Close()
	if e.release != nil {
		e.release()
	}
	return err
}

func dialXnet(nc net.Conn) (closer, error) {
	at, _ := url.Parse(peerURL)
	from := &url.URL{Scheme: "http", Host: at.Host}
	c, err := xnet.NewClient(&xnet.Config{Location: at, Origin: from, Version: xnet.ProtocolVersionHybi13}, nc)
	return xnetEnd{Conn: c}, err
}

func upgradeXnet(w http.ResponseWriter, r *http.Request) (closer, error) {
	ended := make(chan struct{})
	made := make(chan xnetEnd)
	go xnet.Server{Handler: func(c *xnet.Conn) {
		made <- xnetEnd{c, sync.OnceFunc(func() { close(ended) })}
		<-ended
	}}.ServeHTTP(w, r)
	return <-made, nil
}

// A library makes ends of connections by its own opening handshake.
type library struct {
	name    string
	dial    func(net.Conn) (closer, error)
	upgrade func(http.ResponseWriter, *http.Request) (closer, error)
}

func (h handshake) walve() library {
	return library{
		"walve",
		func(nc net.Conn) (closer, error) { c, err := h.dialWalve(nc); return walveEnd{c}, err },
		func(w http.ResponseWriter, r *http.Request) (closer, error) {
			c, err := h.upgradeWalve(w, r)
			return walveEnd{c}, err
		},
	}
}

// framed is walve, sending every message as one frame.
func (h handshake) framed() library {
	l := h.walve()
	return library{
		l.name,
		func(nc net.Conn) (closer, error) { c, err := l.dial(nc); return framedEnd{c.(walveEnd)}, err },
		func(w http.ResponseWriter, r *http.Request) (closer, error) {
			c, err := l.upgrade(w, r)
			return framedEnd{c.(walveEnd)}, err
		},
	}
}

func (h handshake) gorilla() library {
	name := "gorilla"
	if h.fragments > 0 {
		name += fmt.Sprint(" in frames of ", h.fragments)
	}
	return library{
		name,
		func(nc net.Conn) (closer, error) { c, err := h.dialGorilla(nc); return gorillaEnd{c}, err },
		func(w http.ResponseWriter, r *http.Request) (closer, error) {
			c, err := h.upgradeGorilla(w, r)
			return gorillaEnd{c}, err
		},
	}
}

var xnetLibrary = library{"xnet", dialXnet, upgradeXnet}

// echo answers a request with an echo.
func (l library) echo(w http.ResponseWriter, r *http.Request) {
	if c, err := l.upgrade(w, r); err == nil {
		defer c.Close()
		echo(c)
	}
}

// pairings have walve at one end.
var pairings = []struct {
	walve, other library
	server       bool // walve is
}{
	{handshake{}.walve(), handshake{}.gorilla(), true},
	{handshake{}.walve(), handshake{}.gorilla(), false},
	{handshake{}.framed(), xnetLibrary, true},
	{handshake{}.framed(), xnetLibrary, false},
}

// eachPairing runs f with the ends of a new connection over tr.
func eachPairing(t *testing.T, tr transport, f func(t *testing.T, w, other closer)) {
	for _, p := range pairings {
		name := p.other.name + " server"
		if p.server {
			name = p.other.name + " client"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w, other closer
			if p.server {
				other, w = connect(t, tr, p.other.dial, p.walve.upgrade)
			} else {
				w, other = connect(t, tr, p.walve.dial, p.other.upgrade)
			}
			defer other.Close()
			defer w.Close()
			w.SetDeadline(time.Now().Add(limit))
			other.SetDeadline(time.Now().Add(limit))
			f(t, w, other)
		})
	}
}

// echo sends back what comes, until that ends.
func echo(m messenger) error {
	for {
		op, p, err := m.read()
		if err != nil {
			return err
		}
		if err := m.write(op, p); err != nil {
			return err
		}
	}
}

// withLimit returns a context for what would otherwise hang.
func withLimit(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}
