//go:build unix

package stream

import (
	"io"
	"net"
	"os"
	"syscall"
)

// waiter reads from a socket without holding a Buffer while there is nothing
// to read. It is a part of every idle connection, so it is kept at 40 bytes
// (48 with the socket's pointer, one size class).
type waiter struct {
	raw   syscall.RawConn       // of the socket; nil until the first wait
	try   func(fd uintptr) bool // w.read, made once: a method value allocates
	buf   *Buffer               // what read has found, if n > 0
	n     int32                 // 0: end of input
	errno int32                 // syscall.Errno of a read that failed
}

// socket is what net.TCPConn and net.UnixConn have in common here.
type socket interface {
	net.Conn
	syscall.Conn
}

func (w *waiter) wait(c socket) (*Buffer, int, error) {
	if w.raw == nil {
		raw, err := c.SyscallConn()
		if err != nil {
			return nil, 0, err
		}
		w.raw, w.try = raw, w.read
	}
	if err := w.raw.Read(w.try); err != nil {
		return nil, 0, asRead(err)
	}
	if w.errno != 0 {
		return nil, 0, readError(c, syscall.Errno(w.errno))
	}
	if w.n == 0 {
		return nil, 0, io.EOF
	}
	b := w.buf
	w.buf = nil
	return b, int(w.n), nil
}

// read makes one attempt, as the net package does before it waits. It reports
// false when there is nothing yet.
func (w *waiter) read(fd uintptr) bool {
	b := GetBuffer()
	n, err := syscall.Read(int(fd), b[:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), b[:])
	}
	w.n, w.errno = int32(n), 0
	if err == nil && n > 0 {
		w.buf = b
		return true
	}
	PutBuffer(b)
	if err == syscall.EAGAIN {
		return false
	}
	if errno, ok := err.(syscall.Errno); ok {
		w.errno = int32(errno)
	}
	return true
}

// asRead names the operation as a plain Read would.
func asRead(err error) error {
	if e, ok := err.(*net.OpError); ok && e.Op == "raw-read" {
		e.Op = "read"
	}
	return err
}

func readError(c net.Conn, errno syscall.Errno) error {
	return &net.OpError{
		Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(),
		Err: os.NewSyscallError("read", errno),
	}
}
