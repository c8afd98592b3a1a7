package stream

import "net"

// New returns the Stream that runs on c. From then on only the Stream may be
// used to read, write, set deadlines and close.
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
