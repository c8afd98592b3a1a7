package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

var gorillaPeer = &Peer{
	Name:   "gorilla",
	Module: "github.com/gorilla/websocket",
	Usage: "NextReader into a buffer that is kept, WriteMessage; buffers as large as a message, up to 64 KiB; " +
		"idle: 256 bytes and WriteBufferPool; as a stream: NextReader's readers one after another; EnableCompression",

	Compresses: true,
	Lacks: func(w Work) string {
		if w.Compression == ContextTakeover {
			return "it has no context takeover"
		}
		return ""
	},
	Serve: func(s *Server, ln net.Listener) error {
		size := bufferSize(s.Work)
		u := &websocket.Upgrader{ReadBufferSize: size, WriteBufferSize: size, EnableCompression: s.Work.Compression != Uncompressed}
		if s.Work.Kind == Idle || s.Work.Kind == Handshake {
			u.WriteBufferPool = new(sync.Pool)
		}
		return serveHTTP(s, ln, func(w http.ResponseWriter, r *http.Request) {
			c, err := u.Upgrade(w, r, nil)
			if err != nil {
				s.fail("upgrade", err)
				return
			}
			s.Go(gorillaLink(c, s.Work))
		})
	},
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		size := bufferSize(c.Work)
		d := websocket.Dialer{ReadBufferSize: size, WriteBufferSize: size, TLSClientConfig: c.TLS, EnableCompression: c.Work.Compression != Uncompressed}
		if c.Work.Kind == Handshake {
			d.WriteBufferPool = c.Shared(func() any { return new(sync.Pool) }).(*sync.Pool)
		}
		conn, _, err := d.DialContext(ctx, c.url(), nil)
		if err != nil {
			return Link{}, err
		}
		return gorillaLink(conn, c.Work), nil
	},
}

func gorillaLink(c *websocket.Conn, w Work) Link {
	if w.Kind == Echo && w.API != Stream || w.Compression != Uncompressed {
		return Link{Message: &gorillaMessages{Conn: c, buf: make([]byte, w.Size)}}
	}
	return Link{Stream: &gorillaStream{Conn: c}}
}

type gorillaMessages struct {
	*websocket.Conn
	buf []byte
}

func (m *gorillaMessages) ReadMessage() ([]byte, error) {
	_, r, err := m.Conn.NextReader()
	if err != nil {
		return nil, err
	}
	m.buf, err = readInto(m.buf, r)
	return m.buf, err
}

func (m *gorillaMessages) WriteMessage(p []byte) error {
	return m.Conn.WriteMessage(websocket.BinaryMessage, p)
}

// readInto is io.ReadAll into a buffer that is used again.
func readInto(b []byte, r io.Reader) ([]byte, error) {
	b = b[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// gorillaStream is the usual adapter.
type gorillaStream struct {
	*websocket.Conn
	r io.Reader
}

func (s *gorillaStream) Read(p []byte) (int, error) {
	for {
		if s.r == nil {
			var err error
			if _, s.r, err = s.NextReader(); err != nil {
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

func (s *gorillaStream) Write(p []byte) (int, error) {
	if err := s.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
