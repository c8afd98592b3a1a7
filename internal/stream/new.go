package stream

import "net"

// New returns the Stream that runs on c. From then on only the Stream may be
// used to read, write, set deadlines and close.
//
// Over TLS the handshake must be complete, and a write deadline that was set
// before is lifted; any other deadline stays as it is.
//
// The deadlines of a net.Conn of another package are taken to be recoverable,
// unless it looks like a *tls.Conn (HandshakeContext, NetConn, CloseWrite).
func New(c net.Conn) Stream {
	switch c := c.(type) {
	case *net.TCPConn:
		return &tcp{TCPConn: c}
	case tlsConn:
		return newTLS(c)
	case *net.UnixConn:
		// The other kinds keep message boundaries.
		if c.LocalAddr().Network() == "unix" {
			return &unix{UnixConn: c}
		}
	}
	return &generic{c}
}

// NetConn returns the conn that was given to New, or nil.
func NetConn(s Stream) net.Conn {
	if s, ok := s.(interface{ NetConn() net.Conn }); ok {
		return s.NetConn()
	}
	return nil
}
