package walve

import (
	"io"
	"net"
	"sync"

	"github.com/bodokaiser/walve/internal/stream"
)

const (
	// pieceSize is what a masked frame, or one that cannot be written by
	// writev, is put together in. 16 KiB is slower, 1 MiB as well: it leaves
	// the cache before the system has copied it.
	pieceSize = len(stream.Large{})
	// maxWritev bounds a frame that goes out by writev, and so what has to be
	// copied when a deadline cuts it.
	maxWritev = 256 << 10
	// minWritev is the payload from which writev costs less than a copy.
	minWritev = 4 << 10
)

// outbound is the writing half of a Conn.
type outbound struct {
	// pending is what must leave before anything else: the rest of a frame
	// that a deadline has cut, and what was queued. It lies in owner or
	// gathered, if any.
	pending  []byte
	owner    *stream.Large
	gathered *gathering

	left   int64 // payload bytes that NextWriter's current frame still lacks
	msg    msgState
	closed bool // the Close frame is in pending or gone
	fin    bool // the stream's write side was ended
}

// msgState says who began the message that is not finished yet.
type msgState uint8

const (
	msgNone   msgState = iota
	msgStream          // a Write or ReadFrom that a deadline has cut: the next goes on
	msgFrames          // frames of NextWriter without Fin
)

// vec is what a writev needs on the heap.
type vec struct {
	hdr  [maxHeaderSize]byte
	arr  [2][]byte
	bufs net.Buffers
}

var vecs = sync.Pool{New: func() any { return new(vec) }}

// Write writes p as one binary message, in frames of at most 256 KiB; an empty
// p puts nothing on the wire. Concurrent Writes do not interleave.
//
// When the write deadline passes, n counts exactly the bytes that the peer will
// get: the frame that was cut is finished by itself as soon as the peer takes
// it, those behind it are not sent, and going on with p[n:] continues the same
// message. After a Close frame of either side, Write fails with net.ErrClosed
// (but see [Conn.CloseWrite]).
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return 0, c.unwritableLocked()
	}
	if err := c.beginWrite(); err != nil {
		return 0, err
	}
	n, err := c.write(p)
	c.endWrite()
	return n, err
}

func (c *Conn) write(p []byte) (n int, err error) {
	if c.out.msg == msgFrames {
		return 0, c.opError("write", errMessageOpen)
	}
	for {
		if err := c.ready(); err != nil {
			return n, err
		}
		chunk := c.chunk(p[n:])
		h := c.nextHeader(OpBinary, n+len(chunk) == len(p), len(chunk))
		sent, err := c.writeFrame(h, chunk, false)
		if sent {
			n += len(chunk)
			c.out.msg = msgStream
			if h.Fin {
				c.out.msg = msgNone
			}
		}
		if n == len(p) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// chunk returns as much of p as goes into one frame.
func (c *Conn) chunk(p []byte) []byte {
	limit := pieceSize - maxHeaderSize
	if !c.hs.client && c.canWritev() {
		limit = maxWritev
	}
	return p[:min(len(p), limit)]
}

// nextHeader returns the header of the next frame of the message in progress,
// or of a new one of op.
func (c *Conn) nextHeader(op Opcode, fin bool, length int) Header {
	h := Header{Fin: fin, Opcode: op, Length: int64(length), Masked: c.hs.client}
	if c.out.msg != msgNone {
		h.Opcode = OpContinuation
	}
	if h.Masked {
		h.MaskKey = newMaskKey()
	}
	return h
}

// beginWrite takes the turns of a user's call that writes a message.
func (c *Conn) beginWrite() error {
	c.mu.Lock()
	err := c.takeMessageLocked()
	if err == nil {
		if err = c.takeWireLocked(); err != nil {
			c.msgTurn.release()
		}
	}
	c.mu.Unlock()
	return err
}

func (c *Conn) endWrite() {
	c.mu.Lock()
	c.msgTurn.release()
	c.releaseWireLocked()
	c.mu.Unlock()
}

func (c *Conn) takeMessageLocked() error { return c.takeForWriteLocked(&c.msgTurn) }

// takeWireLocked takes the wire for a user's call, whom the write deadline
// governs.
func (c *Conn) takeWireLocked() error {
	if err := c.takeForWriteLocked(&c.wireTurn); err != nil {
		return err
	}
	c.userWrite = true
	c.applyLocked()
	return nil
}

func (c *Conn) takeForWriteLocked(t *turn) error {
	if err := c.unwritableLocked(); err != nil {
		return err
	}
	if err := c.takeLocked(t, &c.writeBy, true); err != nil {
		if over := c.overLocked(); over != nil {
			err = over
		}
		return c.opError("write", err)
	}
	if err := c.unwritableLocked(); err != nil { // things change during a wait
		t.release()
		return err
	}
	return nil
}

// unwritableLocked returns the *net.OpError with which every write fails.
func (c *Conn) unwritableLocked() error {
	if err := c.overLocked(); err != nil {
		return c.opError("write", err)
	}
	return c.writeErr
}

// releaseWireLocked gives the wire back, to the goroutine that sends what is
// left if something is.
func (c *Conn) releaseWireLocked() {
	left := len(c.out.pending) > 0 || c.queuedLocked() || c.finDueLocked()
	c.userWrite = false
	c.wireTurn.release()
	if left {
		c.wakeFlushLocked()
	}
}

// canWritev reports whether header and payload can leave by one writev, which
// costs what the payload alone costs.
func (c *Conn) canWritev() bool {
	_, ok := c.s.(stream.BuffersWriter)
	return ok
}

// writeFrame writes the frame of header h and payload p.
func (c *Conn) writeFrame(h Header, p []byte, keep bool) (sent bool, err error) {
	var b [maxHeaderSize]byte
	hdr, _ := h.AppendBinary(b[:0]) // h is ours
	return c.writeUnit(hdr, h.MaskKey, p, keep)
}

// writeUnit writes hdr, which may be empty, and the payload p, masked with key
// by a client, in one write. If the write deadline cuts it, the rest is kept
// and sent reports true: it is as good as written. If not a byte was on the
// wire it is dropped, unless keep says otherwise, and sent reports false.
func (c *Conn) writeUnit(hdr []byte, key [4]byte, p []byte, keep bool) (sent bool, err error) {
	if !c.hs.client && len(p) >= minWritev {
		if w, ok := c.s.(stream.BuffersWriter); ok {
			return c.writev(w, hdr, p, keep)
		}
	}
	if len(p) > len(stream.Buffer{})-maxHeaderSize {
		b := stream.GetLarge()
		return c.writePiece(b, c.appendUnit(b[:0], hdr, key, p), keep)
	}
	b := stream.GetBuffer()
	unit := c.appendUnit(b[:0], hdr, key, p)
	n, err := c.s.Write(unit)
	sent, cut, err := c.settle(n, len(unit), keep, err)
	if cut {
		c.out.pending = append([]byte(nil), unit[n:]...)
	}
	stream.PutBuffer(b)
	return sent, err
}

// writePiece writes unit, which lies in b, and gives b back when all of it is
// gone.
func (c *Conn) writePiece(b *stream.Large, unit []byte, keep bool) (bool, error) {
	n, err := c.s.Write(unit)
	sent, cut, err := c.settle(n, len(unit), keep, err)
	if cut {
		c.out.pending, c.out.owner = unit[n:], b
	} else {
		stream.PutLarge(b)
	}
	return sent, err
}

func (c *Conn) writev(w stream.BuffersWriter, hdr, p []byte, keep bool) (bool, error) {
	v := vecs.Get().(*vec)
	v.arr = [2][]byte{v.hdr[:copy(v.hdr[:], hdr)], p}
	v.bufs = v.arr[:]
	if len(hdr) == 0 {
		v.bufs = v.arr[1:]
	}
	n, err := w.WriteBuffers(&v.bufs)
	size := len(hdr) + len(p)
	sent, cut, err := c.settle(int(n), size, keep, err)
	if cut {
		rest := make([]byte, 0, size-int(n))
		for _, b := range v.bufs {
			rest = append(rest, b...)
		}
		c.out.pending = rest
	}
	v.arr, v.bufs = [2][]byte{}, nil
	vecs.Put(v)
	return sent, err
}

// settle says what becomes of a unit of size bytes of which n went out: sent
// if it counts as written, cut if its rest has to be kept.
func (c *Conn) settle(n, size int, keep bool, err error) (sent, cut bool, _ error) {
	if n == size {
		return true, false, nil
	}
	if !isTimeout(err) {
		return false, false, c.writeError(err)
	}
	cut = n > 0 || keep
	return cut, cut, c.writeError(err)
}

// writeError says what a write returns after the stream's Write has failed,
// and keeps it unless it is a timeout.
func (c *Conn) writeError(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if over := c.overLocked(); over != nil {
		return c.opError("write", over)
	}
	if err == nil {
		err = io.ErrShortWrite
	}
	oe := c.opError("write", err)
	if !isTimeout(err) && (c.writeErr == nil || !c.ended) {
		c.ended, c.rareLocked().writeErr = true, oe
	}
	return oe
}

// appendUnit appends hdr and p, masked with key by a client, to b.
func (c *Conn) appendUnit(b, hdr []byte, key [4]byte, p []byte) []byte {
	b = append(b, hdr...)
	n := len(b)
	b = b[:n+len(p)]
	if c.hs.client {
		maskCopy(b[n:], p, key)
	} else {
		copy(b[n:], p)
	}
	return b
}
