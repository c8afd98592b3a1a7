//go:build unix

package stream

import (
	"io"
	"net"
	"os"
	"syscall"
)

// waiter reads from a socket without holding a buffer while there is nothing
// to read. It is a part of every idle connection, so it is kept at 48 bytes
// (56 with the socket's pointer, one size class with 64).
type waiter struct {
	raw   syscall.RawConn       // of the socket; nil until the first wait
	try   func(fd uintptr) bool // w.read, made once: a method value allocates
	buf   *Buffer               // what read has found, if n > 0; or
	large *Large                // if that was asked for
	n     int32                 // 0: end of input
	errno uint16                // syscall.Errno of a read that failed
	much  bool                  // a Large is asked for
}

// socket is what net.TCPConn and net.UnixConn have in common here.
type socket interface {
	net.Conn
	syscall.Conn
}

func (w *waiter) wait(c socket) (*Buffer, int, error) {
	if err := w.wait1(c, false); err != nil {
		return nil, 0, err
	}
	b := w.buf
	w.buf = nil
	return b, int(w.n), nil
}

func (w *waiter) waitLarge(c socket) (*Large, int, error) {
	if err := w.wait1(c, true); err != nil {
		return nil, 0, err
	}
	b := w.large
	w.large = nil
	return b, int(w.n), nil
}

func (w *waiter) wait1(c socket, much bool) error {
	if w.raw == nil {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		w.raw, w.try = raw, w.read
	}
	w.much = much
	if err := w.raw.Read(w.try); err != nil {
		return asRead(err)
	}
	if w.errno != 0 {
		return OpError(c, "read", os.NewSyscallError("read", syscall.Errno(w.errno)))
	}
	if w.n == 0 {
		return io.EOF
	}
	return nil
}

// read makes one attempt, as the net package does before it waits. It reports
// false when there is nothing yet.
func (w *waiter) read(fd uintptr) bool {
	if w.much {
		b := GetLarge()
		if !w.readInto(int(fd), b[:]) {
			PutLarge(b)
			return w.n == 0
		}
		w.large = b
		return true
	}
	b := GetBuffer()
	if !w.readInto(int(fd), b[:]) {
		PutBuffer(b)
		return w.n == 0
	}
	w.buf = b
	return true
}

// readInto reports whether it has read something. If not, n is negative when
// there is nothing yet.
func (w *waiter) readInto(fd int, b []byte) bool {
	n, err := syscall.Read(fd, b)
	for err == syscall.EINTR {
		n, err = syscall.Read(fd, b)
	}
	w.n, w.errno = 0, 0
	switch errno, _ := err.(syscall.Errno); {
	case err == nil:
		w.n = int32(n)
	case errno == syscall.EAGAIN:
		w.n = -1
	default:
		w.errno = uint16(errno)
	}
	return w.n > 0
}

// asRead names the operation as a plain Read would.
func asRead(err error) error {
	if e, ok := err.(*net.OpError); ok && e.Op == "raw-read" {
		e.Op = "read"
	}
	return err
}
