package walve

import (
	"io"
	"net"
	"os"
	"reflect"
	"syscall"
)

// maxFileFrame bounds a frame whose payload is sent by sendfile, and so what is
// read into memory when a deadline cuts it. It is a message, which a browser
// gives a page only as a whole. In frames of 1 MiB a file costs the server a
// tenth more than without frames, in those of 64 KiB half as much again.
const maxFileFrame = 1 << 20

// fromKernel moves what r holds with the kernel's help, where r is a file or a
// socket and the frames are neither masked nor compressed, and returns how much
// that was. What remains, all of it where the kernel cannot help, is left to
// copying.
func (c *Conn) fromKernel(r io.Reader) (int64, error) {
	if c.hs.client || c.z != nil {
		return 0, nil
	}
	if lr, ok := r.(*io.LimitedReader); ok {
		n, err := c.fromKernelLimited(lr.R, max(lr.N, 0))
		lr.N -= n
		return n, err
	}
	return c.fromKernelLimited(r, -1)
}

// fromKernelLimited is fromKernel of limit bytes, or of all if it is negative.
func (c *Conn) fromKernelLimited(r io.Reader, limit int64) (int64, error) {
	if f, ok := r.(file); ok && isStd(r, "os", "File", "fileWithoutWriteTo") {
		return c.fromFile(f, limit)
	}
	if s, ok := r.(socket); ok && limit < 0 && isStd(r, "net", "TCPConn", "UnixConn", "tcpConnWithoutWriteTo") {
		return c.fromSocket(s)
	}
	return 0, nil
}

// file is what an *os.File is, and what io.Copy passes on in its place.
type file interface {
	io.ReadSeeker
	Stat() (os.FileInfo, error)
}

// socket is what a *net.TCPConn and a *net.UnixConn are, and what io.Copy passes
// on in their place.
type socket interface {
	net.Conn
	syscall.Conn
}

// isStd reports whether r is of one of the named types of the standard library
// itself: a type that embeds one may have a Read of its own, which the kernel
// would not call.
func isStd(r io.Reader, pkg string, names ...string) bool {
	t := reflect.TypeOf(r)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, name := range names {
		if t.PkgPath() == pkg && t.Name() == name {
			return true
		}
	}
	return false
}

// fromFile sends a regular file from where it stands to its end, or limit
// bytes if limit is not negative: by sendfile, where the system has it.
func (c *Conn) fromFile(f file, limit int64) (total int64, err error) {
	rf, ok := c.s.(io.ReaderFrom)
	pos, serr := f.Seek(0, io.SeekCurrent)
	info, err := f.Stat()
	if !ok || serr != nil || err != nil || !info.Mode().IsRegular() {
		return 0, nil
	}
	size := info.Size() - pos
	if limit >= 0 {
		size = min(size, limit)
	}
	for total < size && err == nil {
		var n int64
		n, err = c.sendFile(rf, f, pos+total, min(size-total, maxFileFrame))
		total += n
	}
	return total, err
}

// sendFile sends n bytes of f, which stands at pos, as one message.
func (c *Conn) sendFile(rf io.ReaderFrom, f file, pos, n int64) (int64, error) {
	if err := c.beginWrite(); err != nil {
		return 0, err
	}
	defer c.endWrite()
	if c.out.msg == msgFrames {
		return 0, c.opError("write", errMessageOpen)
	}
	if err := c.ready(); err != nil {
		return 0, err
	}
	sent, err := c.writeFrame(c.nextHeader(OpBinary, true, n), nil)
	if !sent {
		return 0, err
	}
	var moved int64
	cut := err != nil // the header was, by a deadline or by Close
	if !cut {
		moved, err = rf.ReadFrom(&io.LimitedReader{R: f, N: n})
	}
	c.out.noteFrame(true)
	switch {
	case moved == n:
		return n, nil
	case err == nil:
		// the file has become shorter than it was
		err = io.ErrUnexpectedEOF
		c.fail("write", err)
		return moved, c.opError("write", err)
	case !cut && !isTimeout(err):
		return moved, c.writeError(err)
	}
	if _, serr := f.Seek(pos+moved, io.SeekStart); serr != nil {
		c.fail("write", serr)
		return moved, c.opError("write", serr)
	}
	return c.keepRest(f, moved, n, err)
}

// keepRest keeps the rest of a frame of n bytes, of which moved are gone, that
// a deadline has cut: it is read from r now.
func (c *Conn) keepRest(r io.Reader, moved, n int64, timeout error) (int64, error) {
	rest := make([]byte, n-moved)
	if _, err := io.ReadFull(r, rest); err != nil {
		if err == io.EOF { // of a file that has become shorter: no end of this
			err = io.ErrUnexpectedEOF
		}
		c.fail("write", err)
		return moved, c.opError("write", err)
	}
	c.out.keep(rest)
	return n, c.writeError(timeout)
}
