package stream

import (
	"context"
	"net"
	"time"
)

// tlsConn is a *tls.Conn, or what embeds or imitates one.
type tlsConn interface {
	net.Conn
	CloseWrite() error
	NetConn() net.Conn
	HandshakeContext(context.Context) error
}

// tlsStream is what both Streams over TLS have in common: all but Write.
// Reads are direct: to crypto/tls a read that times out is not an error that
// stays, and no byte is lost.
type tlsStream struct {
	sender
}

// newTLS returns the Stream over c, whose handshake is complete. It takes the
// write deadline of c over, as one that is not set.
func newTLS(c tlsConn) Stream {
	below := c.NetConn()
	var lost error
	if st, ok := below.(*ServerTransport); ok {
		lost = st.settle()
		below = &st.Transport
	}
	if t, ok := below.(*Transport); ok {
		s := &recordStream{tlsStream{sender{conn: c, raw: t.Conn, out: t.Conn, below: true, err: lost}}}
		t.adopt(&s.sender)
		return s
	}
	c.SetWriteDeadline(time.Time{})
	return &pumpStream{tlsStream{sender{conn: c, raw: c.NetConn(), out: c}}}
}

func (s *tlsStream) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, s.opError("read", net.ErrClosed)
	}
	n, err := s.conn.Read(p)
	if err != nil {
		err = s.readError(n, err)
	}
	return n, err
}

func (s *tlsStream) readError(n int, err error) error {
	switch {
	case s.closed.Load():
		return s.opError("read", net.ErrClosed)
	case n > 0 && isTimeout(err):
		return nil // crypto/tls looked for an alert behind the data
	}
	return err
}

func (s *tlsStream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return s.opError("set", net.ErrClosed)
	}
	return s.raw.SetReadDeadline(t)
}

func (s *tlsStream) LocalAddr() net.Addr  { return s.raw.LocalAddr() }
func (s *tlsStream) RemoteAddr() net.Addr { return s.raw.RemoteAddr() }
func (s *tlsStream) NetConn() net.Conn    { return s.conn }
