package walve

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/bodokaiser/walve/internal/stream"
)

// A relayPipe is what splice(2) moves bytes through: what it holds after a fill
// gives the length of a frame before its header is written.
type relayPipe struct{ r, w int }

// relayPipes are the pipes that are not in use: a relay holds one only while
// it has something to move.
var relayPipes struct {
	sync.Mutex
	free []relayPipe
}

const (
	maxFreePipes = 16
	// maxPipe is what a pipe holds, and so a frame of a relay: by default the
	// most that Linux gives everybody.
	maxPipe = 1 << 20
)

func getRelayPipe() (relayPipe, error) {
	relayPipes.Lock()
	defer relayPipes.Unlock()
	if n := len(relayPipes.free); n > 0 {
		p := relayPipes.free[n-1]
		relayPipes.free = relayPipes.free[:n-1]
		return p, nil
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return relayPipe{}, err
	}
	// If this fails the pipe stays at 64 KiB and frames are smaller.
	syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[1]), syscall.F_SETPIPE_SZ, maxPipe)
	return relayPipe{r: fds[0], w: fds[1]}, nil
}

// put gives back a pipe that is empty.
func (p relayPipe) put() {
	relayPipes.Lock()
	defer relayPipes.Unlock()
	if len(relayPipes.free) < maxFreePipes {
		relayPipes.free = append(relayPipes.free, p)
		return
	}
	p.close()
}

func (p relayPipe) close() {
	syscall.Close(p.r)
	syscall.Close(p.w)
}

// Read reads what is in the pipe, which is not empty.
func (p relayPipe) Read(b []byte) (int, error) {
	n, err := syscall.Read(p.r, b)
	return max(n, 0), err
}

const spliceFlags = 0x1 | 0x2 // SPLICE_F_MOVE, SPLICE_F_NONBLOCK

// splice moves at most n bytes, going on when a signal interrupts it.
func splice(from, to, n int) (int, error) {
	for {
		k, err := syscall.Splice(from, nil, to, nil, n, spliceFlags)
		if err != syscall.EINTR {
			return int(max(k, 0)), err
		}
	}
}

// fromSocket sends what comes in on src until its end, without a copy through
// this process, each fill of a pipe as one message.
func (c *Conn) fromSocket(src socket) (total int64, err error) {
	dst, ok := c.s.(syscall.Conn)
	if !ok {
		return 0, nil
	}
	in, err := src.SyscallConn()
	out, oerr := dst.SyscallConn()
	if err != nil || oerr != nil {
		return 0, nil
	}
	for {
		if err := c.writeExpired(); err != nil {
			return total, err
		}
		p, n, err := fillPipe(in)
		if errors.Is(err, errNoSplice) {
			return total, nil // copying goes on from here, and meets the end too
		}
		if err != nil {
			if oe, ok := err.(*net.OpError); ok {
				err = oe.Err
			}
			return total, stream.OpError(src, "read", err) // as a Read of src says it
		}
		moved, err := c.relay(p, out, int64(n))
		total += moved
		if err != nil {
			return total, err
		}
	}
}

var errNoSplice = errors.New("nothing to splice")

// fillPipe waits for input and moves what there is into a pipe. At the end of
// the input, and where splice cannot help, it returns errNoSplice. What has
// happened to the socket is returned as it is: the kernel tells it once, and a
// read that went on from there would see a clean end.
func fillPipe(in syscall.RawConn) (p relayPipe, n int, err error) {
	var noPipe error
	rerr := in.Read(func(fd uintptr) bool {
		if p, noPipe = getRelayPipe(); noPipe != nil {
			return true
		}
		if n, err = splice(int(fd), p.w, maxPipe); n > 0 {
			return true
		}
		p.put()
		return err != syscall.EAGAIN
	})
	switch {
	case rerr != nil:
		return p, 0, rerr
	case n > 0:
		return p, n, nil
	case noPipe != nil, err == nil, err == syscall.EINVAL, err == syscall.ENOSYS, err == syscall.EPERM:
		return p, 0, errNoSplice
	}
	return p, 0, os.NewSyscallError("splice", err)
}

// relay sends the n bytes that p holds as one message, and gives p back.
func (c *Conn) relay(p relayPipe, out syscall.RawConn, n int64) (int64, error) {
	moved, begun, err := c.relayFrame(p, out, n)
	if !begun && isTimeout(err) {
		moved, err = c.relayLate(p, n)
	}
	if moved == n {
		p.put()
	} else {
		p.close()
	}
	return moved, err
}

func (c *Conn) relayFrame(p relayPipe, out syscall.RawConn, n int64) (_ int64, begun bool, _ error) {
	if err := c.beginWrite(); err != nil {
		return 0, false, err
	}
	defer c.endWrite()
	if c.out.msg == msgFrames {
		return 0, false, c.opError("write", errMessageOpen)
	}
	if err := c.ready(); err != nil {
		return 0, false, err
	}
	var b [maxHeaderSize]byte
	hdr, _ := c.nextHeader(OpBinary, true, n).AppendBinary(b[:0]) // the header is ours
	left, moved, err := drainPipe(out, hdr, p, n)
	if len(left) == len(hdr) {
		return 0, false, c.writeError(err)
	}
	c.out.noteFrame(true)
	switch {
	case moved == n:
		return n, true, nil
	case isTimeout(err):
		c.out.keep(left)
		moved, err = c.keepRest(p, moved, n, err)
		return moved, true, err
	}
	return moved, true, c.writeError(err)
}

// drainPipe sends hdr and the n bytes that p holds to the socket out, and
// returns what is left of hdr and how many of the bytes were moved.
func drainPipe(out syscall.RawConn, hdr []byte, p relayPipe, n int64) (left []byte, moved int64, err error) {
	werr := out.Write(func(fd uintptr) bool {
		for len(hdr) > 0 {
			// MSG_MORE: the header is no segment of its own.
			k, serr := syscall.SendmsgN(int(fd), hdr, nil, nil, syscall.MSG_MORE|syscall.MSG_NOSIGNAL)
			if serr == syscall.EINTR {
				continue
			}
			if err = serr; err != nil {
				return err != syscall.EAGAIN
			}
			hdr = hdr[k:]
		}
		for moved < n {
			var k int
			if k, err = splice(p.r, int(fd), int(n-moved)); k <= 0 {
				return err != syscall.EAGAIN
			}
			moved += int64(k)
		}
		return true
	})
	if moved < n && werr != nil {
		err = werr
	} else if err != nil {
		err = os.NewSyscallError("splice", err)
	}
	return hdr, moved, err
}

// relayLate puts the n bytes that p holds in line behind a deadline that has
// passed: they cannot go back to the socket they came from.
func (c *Conn) relayLate(p relayPipe, n int64) (total int64, err error) {
	for total < n {
		u := newUnit(largeUnit)
		k, rerr := p.Read(u.fillRoom())
		if rerr != nil {
			u.free()
			return total, c.opError("write", rerr)
		}
		if err = c.writeChunk(u, k); err != nil && !isTimeout(err) {
			return total, err
		}
		total += int64(k)
	}
	return total, err
}
