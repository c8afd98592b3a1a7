package walve

import (
	"io"
	"net"

	"github.com/bodokaiser/walve/internal/stream"
)

// writevStream has the optional methods of a socket's Stream, by nothing but
// Write, so that what uses them can be cut at every byte.
type writevStream struct{ stream.Stream }

func (s writevStream) WriteBuffers(bufs *net.Buffers) (int64, error) {
	return bufs.WriteTo(s.Stream)
}

func (s writevStream) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s.Stream}, r)
}

// NewWritevConn is NewTestConn with writev and sendfile.
func NewWritevConn(nc net.Conn, cfg TestConfig) *Conn {
	c := NewTestConn(nc, cfg)
	c.s = writevStream{c.s}
	return c
}
