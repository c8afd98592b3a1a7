package stream

import "net"

// tcp is a TCP socket. Everything it does not declare is the socket's own
// method, without a frame in between; ReadFrom (sendfile, splice), WriteTo and
// SyscallConn are among them.
type tcp struct {
	*net.TCPConn
	waiter
}

func (s *tcp) NetConn() net.Conn { return s.TCPConn }

// Abort makes the system drop what is unsent and send a RST.
func (s *tcp) Abort() {
	s.SetLinger(0)
	s.TCPConn.Close()
}

func (s *tcp) WriteBuffers(bufs *net.Buffers) (int64, error) {
	return bufs.WriteTo(s.TCPConn)
}

func (s *tcp) readBuffer() (*Buffer, int, error) { return s.wait(s.TCPConn) }
func (s *tcp) readLarge() (*Large, int, error)   { return s.waitLarge(s.TCPConn) }

// unix is a unix socket of type SOCK_STREAM. It knows no reset: to the peer
// Abort looks like Close.
type unix struct {
	*net.UnixConn
	waiter
}

func (s *unix) NetConn() net.Conn { return s.UnixConn }

func (s *unix) Abort() { s.UnixConn.Close() }

func (s *unix) WriteBuffers(bufs *net.Buffers) (int64, error) {
	return bufs.WriteTo(s.UnixConn)
}

func (s *unix) readBuffer() (*Buffer, int, error) { return s.wait(s.UnixConn) }
func (s *unix) readLarge() (*Large, int, error)   { return s.waitLarge(s.UnixConn) }
