package main

import (
	"context"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

var coderPeer = &Peer{
	Name:   "coder",
	Module: "github.com/coder/websocket",
	Usage:  "Reader into a buffer that is kept, Write; as a stream: Reader's readers one after another; CompressionMode",
	Only:   func(w Work) bool { return w.API != Stream || w.Kind != Echo },

	Compresses: true,
	Serve: func(s *Server, ln net.Listener) error {
		return serveCoder(s, ln, func(c *websocket.Conn) Link { return coderLink(c, s.Work) })
	},
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		conn, err := dialCoder(ctx, c)
		if err != nil {
			return Link{}, err
		}
		return coderLink(conn, c.Work), nil
	},
}

var coderNetConnPeer = &Peer{
	Name:   "coder-netconn",
	Module: "github.com/coder/websocket",
	Usage:  "NetConn",
	Only:   func(w Work) bool { return w.API != Messages && w.Kind != Handshake },
	Serve: func(s *Server, ln net.Listener) error {
		return serveCoder(s, ln, func(c *websocket.Conn) Link {
			return Link{Stream: newCoderNetConn(c)}
		})
	},
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		conn, err := dialCoder(ctx, c)
		if err != nil {
			return Link{}, err
		}
		return Link{Stream: newCoderNetConn(conn)}, nil
	},
}

func serveCoder(s *Server, ln net.Listener, link func(*websocket.Conn) Link) error {
	return serveHTTP(s, ln, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: coderCompression(s.Work)})
		if err != nil {
			s.fail("accept", err)
			return
		}
		c.SetReadLimit(-1)
		s.Go(link(c))
	})
}

func dialCoder(ctx context.Context, c *Client) (*websocket.Conn, error) {
	client := c.Shared(func() any {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: c.TLS}}
	}).(*http.Client)
	conn, _, err := websocket.Dial(ctx, c.url(), &websocket.DialOptions{HTTPClient: client, CompressionMode: coderCompression(c.Work)})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	return conn, nil
}

func coderCompression(w Work) websocket.CompressionMode {
	switch w.Compression {
	case ContextTakeover:
		return websocket.CompressionContextTakeover
	case NoTakeover:
		return websocket.CompressionNoContextTakeover
	}
	return websocket.CompressionDisabled
}

func coderLink(c *websocket.Conn, w Work) Link {
	if w.Kind == Echo || w.Compression != Uncompressed {
		return Link{Message: &coderMessages{c: c, buf: make([]byte, w.Size)}}
	}
	return Link{Stream: &coderStream{c: c}}
}

type coderMessages struct {
	c   *websocket.Conn
	buf []byte
}

func (m *coderMessages) ReadMessage() ([]byte, error) {
	_, r, err := m.c.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	m.buf, err = readInto(m.buf, r)
	return m.buf, err
}

func (m *coderMessages) WriteMessage(p []byte) error {
	return m.c.Write(context.Background(), websocket.MessageBinary, p)
}

// Close does without the closing handshake: Close waits 5 s for a peer that
// does not answer, as the counterpart.
func (m *coderMessages) Close() error { return m.c.CloseNow() }

type coderStream struct {
	c *websocket.Conn
	r io.Reader
}

func (s *coderStream) Read(p []byte) (int, error) {
	for {
		if s.r == nil {
			var err error
			if _, s.r, err = s.c.Reader(context.Background()); err != nil {
				return 0, err
			}
		}
		n, err := s.r.Read(p)
		if err == io.EOF {
			s.r = nil
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (s *coderStream) Write(p []byte) (int, error) {
	if err := s.c.Write(context.Background(), websocket.MessageBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *coderStream) Close() error { return s.c.CloseNow() }

// coderNetConn closes as the others do.
type coderNetConn struct {
	net.Conn
	c *websocket.Conn
}

func newCoderNetConn(c *websocket.Conn) *coderNetConn {
	return &coderNetConn{websocket.NetConn(context.Background(), c, websocket.MessageBinary), c}
}

func (c *coderNetConn) Close() error { return c.c.CloseNow() }
