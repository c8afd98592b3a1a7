package walve_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/bodokaiser/walve"
	_ "github.com/bodokaiser/walve/enable"
	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/testcert"
)

// An h2Peer is one end of an HTTP/2 connection, frame by frame: the server that
// a Dialer meets, or the client of net/http's server. It grants no stream a
// window by itself.
type h2Peer struct {
	c      net.Conn
	fr     *http2.Framer // to write with, with mu
	opened chan *h2Far   // streams that have got HEADERS
	ended  chan struct{} // closed when nothing more comes

	// Of a server.
	silent  bool   // it does not answer HEADERS
	refuses bool   // it does not look at them
	answer  []byte // the header it answers with; nil: status 200

	mu      sync.Mutex
	streams map[uint32]*h2Far
	nextID  uint32
}

// An h2Far is the far end of a Conn over HTTP/2.
type h2Far struct {
	*h2Peer
	id   uint32
	conn *walve.Conn
	got  []byte // DATA, with mu
	skip int    // bytes of it that SetWriteLimit had written
	over bool   // END_STREAM or RST_STREAM has come
}

var enableConnect = http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}

func newH2Peer(c net.Conn) *h2Peer {
	return &h2Peer{c: c, fr: http2.NewFramer(c, nil), opened: make(chan *h2Far, 10), ended: make(chan struct{}), streams: make(map[uint32]*h2Far), nextID: 1}
}

// serve is the server.
func (p *h2Peer) serve(settings ...http2.Setting) {
	io.ReadFull(p.c, make([]byte, len(http2.ClientPreface)))
	p.write(func() {
		p.fr.WriteSettings(settings...)
	})
	p.read(func(id uint32) {
		block := p.answer
		if block == nil {
			block = []byte{0x88} // :status: 200
		}
		switch {
		case p.refuses:
			p.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		case !p.silent:
			p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: block})
		}
	})
}

// connect is the client.
func (p *h2Peer) connect() {
	p.write(func() {
		io.WriteString(p.c, http2.ClientPreface)
		p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	})
	go p.read(func(uint32) {})
}

func (p *h2Peer) write(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// read reads to the end, and calls opened when HEADERS have come.
func (p *h2Peer) read(opened func(id uint32)) {
	defer close(p.ended)
	fr := http2.NewFramer(p.c, p.c)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return
		}
		p.mu.Lock()
		far := p.streams[f.Header().StreamID]
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.fr.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				p.fr.WritePing(true, f.Data)
			}
		case *http2.HeadersFrame:
			if far == nil {
				far = &h2Far{h2Peer: p, id: f.StreamID}
				p.streams[f.StreamID] = far
			}
			opened(f.StreamID)
			p.opened <- far
		case *http2.DataFrame:
			far.got = append(far.got, f.Data()...)
			far.over = far.over || f.StreamEnded()
			if n := len(f.Data()); n > 0 {
				p.fr.WriteWindowUpdate(0, uint32(n))
			}
		case *http2.RSTStreamFrame:
			far.over = true
		}
		p.mu.Unlock()
	}
}

// open opens a stream for a WebSocket.
func (p *h2Peer) open() *h2Far {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "in.memory"},
		{":path", "/"}, {"sec-websocket-version", "13"},
	} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	p.write(func() {
		p.streams[p.nextID] = &h2Far{h2Peer: p, id: p.nextID}
		p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: p.nextID, EndHeaders: true, BlockFragment: block.Bytes()})
		p.nextID += 2
	})
	return <-p.opened
}

func (far *h2Far) Write(b []byte) (int, error) {
	n := len(b)
	far.write(func() {
		for len(b) > 0 {
			k := min(len(b), 16<<10)
			far.fr.WriteData(far.id, false, b[:k])
			b = b[k:]
		}
	})
	synctest.Wait() // all of it is there for the next Read
	return n, nil
}

func (far *h2Far) Close() error {
	far.write(func() { far.fr.WriteData(far.id, true, nil) })
	return nil
}

// pumpRoom is what a stream of net/http's server takes without a window, when
// as much is on its way already.
const pumpRoom = 4 * (16<<10 - 24)

// maxLimit bounds the argument of SetWriteLimit on a server: see there.
const maxLimit = pumpRoom - 4 - 126

// SetWriteLimit has the Conn's stream take n bytes more; < 0: all. It is called
// once before the Conn writes, and once more.
func (far *h2Far) SetWriteLimit(n int64) {
	switch {
	case n < 0:
		n = 1 << 30
	case far.conn.Response() == nil:
		// A server's stream takes more than the window, so that two frames fill
		// what is too much.
		for _, size := range []int64{pumpRoom, pumpRoom - n} {
			far.skip += int(size)
			far.conn.Write(make([]byte, size-4))
			synctest.Wait()
		}
		n = 0
	}
	if n > 0 {
		far.write(func() { far.fr.WriteWindowUpdate(far.id, uint32(n)) })
	}
	synctest.Wait()
}

func (far *h2Far) Written() int64 {
	far.mu.Lock()
	defer far.mu.Unlock()
	return int64(len(far.got) - far.skip)
}

// take returns what the Conn has sent since the last call.
func (far *h2Far) take() []byte {
	synctest.Wait()
	far.mu.Lock()
	defer far.mu.Unlock()
	b := far.got[far.skip:]
	far.got, far.skip = nil, 0
	return b
}

// An h2Side makes Conns over one HTTP/2 connection.
type h2Side struct {
	client, secure bool
	open           func() (*walve.Conn, *h2Far)
}

// everyH2 runs f in a bubble for clients and servers, over TLS and without.
func everyH2(t *testing.T, f func(t *testing.T, side h2Side)) {
	for _, side := range []struct {
		name           string
		client, secure bool
		make           func(t *testing.T, secure bool) (open func() (*walve.Conn, *h2Far), stop func())
	}{
		{"client h2c", true, false, h2Clients},
		{"client h2", true, true, h2Clients},
		{"server h2c", false, false, h2Servers},
		{"server h2", false, true, h2Servers},
	} {
		t.Run(side.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				open, stop := side.make(t, side.secure)
				f(t, h2Side{side.client, side.secure, open})
				stop()
				time.Sleep(time.Minute) // what is idle ends
			})
		})
	}
}

func h2Clients(t *testing.T, secure bool) (open func() (*walve.Conn, *h2Far), stop func()) {
	var peer *h2Peer
	d := &walve.Dialer{
		HTTP2: walve.HTTP2Always, KeepAlive: -1, Proxy: noProxy, TLSConfig: &tls.Config{InsecureSkipVerify: true},
		NetDial: func(context.Context, string, string) (net.Conn, error) {
			a, b := memconn.Pipe(memconn.Buffer(4 << 20))
			far := net.Conn(b)
			if secure {
				far = tls.Server(b, &tls.Config{Certificates: []tls.Certificate{testcert.Get()}, NextProtos: []string{"h2"}})
			}
			peer = newH2Peer(far)
			go peer.serve(enableConnect, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			return a, nil
		},
	}
	target := "ws://in.memory/"
	if secure {
		target = "wss://in.memory/"
	}
	open = func() (*walve.Conn, *h2Far) {
		c, err := d.DialURL(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		far := <-peer.opened
		far.conn = c
		return c, far
	}
	return open, func() { peer.c.Close() }
}

func h2Servers(t *testing.T, secure bool) (open func() (*walve.Conn, *h2Far), stop func()) {
	ln := &walve.Listener{Upgrader: walve.Upgrader{KeepAlive: -1}}
	server := &http.Server{Handler: ln, Protocols: new(http.Protocols)}
	inner := newMemListener()
	a, b := memconn.Pipe(memconn.Buffer(4 << 20))
	near := net.Conn(a)
	if secure {
		near = tls.Client(a, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		server.Protocols.SetHTTP2(true)
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{testcert.Get()}}
		go server.ServeTLS(inner, "", "")
	} else {
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(inner)
	}
	inner.conns <- b
	peer := newH2Peer(near)
	peer.connect()
	open = func() (*walve.Conn, *h2Far) {
		far := peer.open()
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		far.conn = c.(*walve.Conn)
		return far.conn, far
	}
	return open, func() {
		near.Close()
		server.Close()
	}
}
