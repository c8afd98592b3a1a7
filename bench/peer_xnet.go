package main

import (
	"context"
	"net"
	"net/http"

	"golang.org/x/net/websocket"
)

var xnetPeer = &Peer{
	Name:   "x/net",
	Module: "golang.org/x/net",
	Usage:  "Message.Receive and Message.Send, or Read and Write, with PayloadType BinaryFrame; the handler cannot return",
	Serve: func(s *Server, ln net.Listener) error {
		ws := websocket.Server{Handler: func(c *websocket.Conn) { s.Serve(xnetLink(c, s.Work)) }}
		return serveHTTP(s, ln, func(w http.ResponseWriter, r *http.Request) { ws.ServeHTTP(w, r) })
	},
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		cfg, err := websocket.NewConfig(c.url(), "http://localhost/")
		if err != nil {
			return Link{}, err
		}
		cfg.TlsConfig = c.TLS
		conn, err := cfg.DialContext(ctx)
		if err != nil {
			return Link{}, err
		}
		return xnetLink(conn, c.Work), nil
	},
}

func xnetLink(c *websocket.Conn, w Work) Link {
	c.PayloadType = websocket.BinaryFrame
	if w.Kind == Echo && w.API != Stream {
		return Link{Message: &xnetMessages{Conn: c}}
	}
	return Link{Stream: c}
}

type xnetMessages struct {
	*websocket.Conn
	p []byte
}

func (m *xnetMessages) ReadMessage() ([]byte, error) {
	err := websocket.Message.Receive(m.Conn, &m.p)
	return m.p, err
}

func (m *xnetMessages) WriteMessage(p []byte) error { return websocket.Message.Send(m.Conn, p) }
