package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

var gobwasPeer = &Peer{
	Name:   "gobwas",
	Module: "github.com/gobwas/ws",
	Usage: "UpgradeHTTP; ReadHeaderBuffer and Cipher on buffers that are kept, above a bufio.Reader; WriteHeaderBuffer, and the payload in " +
		"the same Write or writev; idle: without the bufio.Reader; a file: WriteHeader, then io.Copy to the net.Conn",
	Serve: func(s *Server, ln net.Listener) error {
		return serveHTTP(s, ln, func(w http.ResponseWriter, r *http.Request) {
			c, _, _, err := ws.UpgradeHTTP(r, w)
			if err != nil {
				s.fail("upgrade", err)
				return
			}
			s.Go(gobwasLink(c, nil, s.Work, ws.StateServerSide))
		})
	},
	Dial: func(ctx context.Context, c *Client) (Link, error) {
		d := ws.Dialer{TLSConfig: c.TLS}
		conn, br, _, err := d.Dial(ctx, c.url())
		if err != nil {
			return Link{}, err
		}
		return gobwasLink(conn, br, c.Work, ws.StateClientSide), nil
	},
}

// gobwasListenerPeer is what the README calls zero-copy upgrade, which is not
// on net/http.
var gobwasListenerPeer = &Peer{
	Name:   "gobwas-listener",
	Module: "github.com/gobwas/ws",
	Usage:  "ws.Upgrade on what a net.Listener accepts: without net/http",
	Only:   func(w Work) bool { return w.Kind == Handshake && w.Role == AsServer },
	Serve: func(s *Server, ln net.Listener) error {
		return acceptLoop(ln, func(c net.Conn) {
			if _, err := ws.Upgrade(c); err != nil {
				s.fail("upgrade", err)
				c.Close()
				return
			}
			s.Here(gobwasLink(c, nil, s.Work, ws.StateServerSide))
		})
	},
}

// gobwasConn reads and writes frames as the README's lower-level examples,
// with buffers that are kept.
type gobwasConn struct {
	net.Conn
	state  ws.State
	r      io.Reader
	out    bytes.Buffer // a frame, or its beginning
	header []byte
	h      ws.Header // of the current frame
	read   int64     // of its payload
	buf    []byte    // of whole messages
	writev bool      // Conn has it
	vec    [2][]byte // of writev
	bufs   net.Buffers
}

// gobwasLink makes a connection of c; br has what came behind the handshake,
// or is nil.
func gobwasLink(c net.Conn, br *bufio.Reader, w Work, state ws.State) Link {
	g := &gobwasConn{Conn: c, state: state, r: c, header: make([]byte, 0, ws.MaxHeaderSize), writev: !w.TLS}
	if w.Kind == Idle || w.Kind == Handshake {
		if br != nil {
			ws.PutReader(br)
		}
		return Link{Stream: g}
	}
	size := bufferSize(w)
	if br != nil && br.Buffered() > 0 {
		g.r = bufio.NewReaderSize(io.MultiReader(br, c), size)
	} else {
		g.r = bufio.NewReaderSize(c, size)
	}
	if w.Kind == Echo && w.API != Stream {
		return Link{Message: gobwasMessages{g}}
	}
	return Link{Stream: g}
}

// next reads headers up to that of the next data frame.
func (g *gobwasConn) next() error {
	for {
		h, err := ws.ReadHeaderBuffer(g.r, g.header)
		if err != nil {
			return err
		}
		g.h, g.read = h, 0
		if err := ws.CheckHeader(h, g.state); err != nil {
			return err
		}
		if !h.OpCode.IsControl() {
			return nil
		}
		if err := wsutil.ControlFrameHandler(g.Conn, g.state)(h, g.r); err != nil {
			return err
		}
		g.h = ws.Header{}
	}
}

func (g *gobwasConn) Read(p []byte) (int, error) {
	for g.read == g.h.Length {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	n, err := g.r.Read(p[:min(int64(len(p)), g.h.Length-g.read)])
	if g.h.Masked {
		ws.Cipher(p[:n], g.h.Mask, int(g.read))
	}
	g.read += int64(n)
	return n, err
}

func (g *gobwasConn) Write(p []byte) (int, error) {
	err := g.write(p)
	return len(p), err
}

// Sizes of what is written at a time.
const (
	gobwasPiece  = 64 << 10 // masked
	gobwasWritev = 8 << 10  // from where a copy costs more than a second buffer
)

func (g *gobwasConn) write(p []byte) error {
	h := ws.Header{Fin: true, OpCode: ws.OpBinary, Length: int64(len(p))}
	masked := g.state.ClientSide()
	if masked {
		h.Masked, h.Mask = true, ws.NewMask()
	}
	g.out.Reset()
	if err := ws.WriteHeaderBuffer(&g.out, h, g.header); err != nil {
		return err
	}
	if !masked && g.writev && len(p) >= gobwasWritev {
		g.vec = [2][]byte{g.out.Bytes(), p}
		g.bufs = g.vec[:]
		_, err := g.bufs.WriteTo(g.Conn)
		return err
	}
	for offset := 0; ; {
		k := min(len(p)-offset, gobwasPiece)
		n := g.out.Len()
		g.out.Write(p[offset : offset+k])
		if masked {
			ws.Cipher(g.out.Bytes()[n:], h.Mask, offset)
		}
		if _, err := g.Conn.Write(g.out.Bytes()); err != nil {
			return err
		}
		if offset += k; offset == len(p) {
			return nil
		}
		g.out.Reset()
	}
}

func (g *gobwasConn) SendFile(f *os.File, size int64) error {
	if err := ws.WriteHeader(g.Conn, ws.Header{Fin: true, OpCode: ws.OpBinary, Length: size}); err != nil {
		return err
	}
	n, err := io.Copy(g.Conn, f)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

type gobwasMessages struct{ *gobwasConn }

func (m gobwasMessages) ReadMessage() ([]byte, error) {
	m.buf = m.buf[:0]
	for {
		if err := m.next(); err != nil {
			return nil, err
		}
		n := len(m.buf)
		if int64(n)+m.h.Length > 64<<20 {
			return nil, errors.New("the message is too long")
		}
		if need := n + int(m.h.Length); need > cap(m.buf) {
			m.buf = append(make([]byte, 0, need), m.buf...)
		}
		m.buf = m.buf[:n+int(m.h.Length)]
		if _, err := io.ReadFull(m.r, m.buf[n:]); err != nil {
			return nil, err
		}
		if m.h.Masked {
			ws.Cipher(m.buf[n:], m.h.Mask, 0)
		}
		m.read = m.h.Length
		if m.h.Fin {
			return m.buf, nil
		}
	}
}

func (m gobwasMessages) WriteMessage(p []byte) error { return m.write(p) }
