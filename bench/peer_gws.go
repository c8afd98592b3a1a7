package main

import (
	"context"
	"io"
	"net"
	"net/http"

	"github.com/lxzan/gws"
)

var gwsPeer = &Peer{
	Name:   "gws",
	Module: "github.com/lxzan/gws",
	Usage:  "event handler, ReadLoop in a goroutine of its own, WriteMessage; files and relays: WriteFile; PermessageDeflate with its defaults",

	Compresses: true,
	Lacks: func(w Work) string {
		if w.Kind == Echo && w.API == Stream {
			return "it has no Read and Write"
		}
		return ""
	},
	Serve: func(s *Server, ln net.Listener) error {
		u := gws.NewUpgrader(&gwsHandler{events: s}, &gws.ServerOption{
			ReadBufferSize: bufferSize(s.Work), PermessageDeflate: gwsCompression(s.Work),
		})
		return serveHTTP(s, ln, func(w http.ResponseWriter, r *http.Request) {
			c, err := u.Upgrade(w, r)
			if err != nil {
				s.fail("upgrade", err)
				return
			}
			go c.ReadLoop()
		})
	},
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		conn, _, err := gws.NewClient(&gwsHandler{events: c}, &gws.ClientOption{
			Addr: c.url(), TlsConfig: c.TLS, ReadBufferSize: bufferSize(c.Work), PermessageDeflate: gwsCompression(c.Work),
		})
		if err != nil {
			return Link{}, err
		}
		go conn.ReadLoop()
		return Link{Event: gwsConn{conn}}, nil
	},
}

func gwsCompression(w Work) gws.PermessageDeflate {
	takeover := w.Compression == ContextTakeover
	return gws.PermessageDeflate{
		Enabled: w.Compression != Uncompressed, ServerContextTakeover: takeover, ClientContextTakeover: takeover,
	}
}

type gwsConn struct{ *gws.Conn }

func (c gwsConn) WriteMessage(p []byte) error { return c.Conn.WriteMessage(gws.OpcodeBinary, p) }

func (c gwsConn) Close() error { return c.NetConn().Close() }

func (c gwsConn) ReadFrom(r io.Reader) (int64, error) {
	counted := &countingReader{Reader: r}
	err := c.WriteFile(gws.OpcodeBinary, counted)
	return counted.n, err
}

type countingReader struct {
	io.Reader
	n int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	return n, err
}

type gwsHandler struct {
	gws.BuiltinEventHandler
	events Events
}

func (h *gwsHandler) OnOpen(c *gws.Conn) { h.events.Opened(gwsConn{c}) }

func (h *gwsHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	h.events.Message(gwsConn{c}, m.Bytes())
}
