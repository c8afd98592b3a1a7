package walve

import (
	"io"
	"net"
	"sync"

	"github.com/bodokaiser/walve/internal/frames"
	"github.com/bodokaiser/walve/internal/stream"
)

const (
	// maxWritev bounds a frame that goes out by writev, and so what has to be
	// copied when a deadline cuts it.
	maxWritev = 256 << 10
	// minWritev is the payload from which writev costs less than a copy, which a
	// pooled unit has room for below: the kernel takes longer over a header and
	// a payload in two pieces, 5 us at 16 KiB where it was measured.
	minWritev = largeUnit - maxHeaderSize + 1
)

// outbound is the writing half of a Conn.
type outbound struct {
	// unit is what must leave before anything else: what is being written, the
	// rest of a frame that a deadline has cut, and what was queued.
	unit *unit

	left   int64 // payload bytes that NextWriter's current frame still lacks
	msg    msgState
	closed bool // the Close frame is in unit or gone
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
	if c.out.msg == msgFrames {
		c.endWrite()
		return 0, c.opError("write", errMessageOpen)
	}
	n, err := c.writeFrames(OpBinary, p, msgStream)
	c.endWrite()
	return n, err
}

// writeFrames writes p as frames of a message of op, the last one with FIN, and
// returns how many bytes of p are as good as sent. Between them the message is
// in state open.
func (c *Conn) writeFrames(op Opcode, p []byte, open msgState) (n int, err error) {
	for {
		if err := c.ready(); err != nil {
			return n, err
		}
		chunk, deflated := c.chunk(p[n:])
		fin := n+len(chunk) == len(p)
		var sent bool
		var err error
		if deflated {
			sent, err = c.writeDeflated(op, chunk, fin)
		} else {
			// In no function of its own with the above: see writeUnit.
			sent, err = c.writeFrame(c.nextHeader(op, fin, int64(len(chunk))), chunk)
		}
		if sent {
			n += len(chunk)
			c.out.msg = open
		}
		if sent && fin {
			c.out.msg = msgNone
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// chunk returns as much of p, the rest of a message, as goes into one frame,
// and whether that is to be compressed.
func (c *Conn) chunk(p []byte) (chunk []byte, deflated bool) {
	limit := c.pieceLimit()
	switch {
	case c.deflates(len(p)):
		deflated = true
	case !c.hs.client && c.canWritev():
		limit = maxWritev
	}
	return p[:min(len(p), limit)], deflated
}

// nextHeader returns the header of the next frame of the message in progress,
// or of a new one of op.
func (c *Conn) nextHeader(op Opcode, fin bool, length int64) Header {
	frames.CountSent()
	h := Header{Fin: fin, Opcode: op, Length: length, Masked: c.hs.client}
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
	err := c.takeForWriteLocked(&c.msgTurn)
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
		c.giveBackLocked(t)
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
	left := c.out.unit != nil || c.queuedLocked() || c.finDueLocked()
	c.userWrite, c.wrote = false, true
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
func (c *Conn) writeFrame(h Header, p []byte) (sent bool, err error) {
	var b [maxHeaderSize]byte
	hdr, _ := h.AppendBinary(b[:0]) // h is ours
	return c.writeUnit(hdr, h.MaskKey, p)
}

// writeUnit writes hdr, which may be empty, and the payload p, masked with key
// by a client, in one write. If the write deadline cuts it, the rest is kept
// and sent reports true: it is as good as written. If not a byte was on the
// wire it is dropped and sent reports false.
func (c *Conn) writeUnit(hdr []byte, key [4]byte, p []byte) (sent bool, err error) {
	if !c.hs.client && len(p) >= minWritev {
		if w, ok := c.s.(stream.BuffersWriter); ok {
			return c.writev(w, hdr, p)
		}
	}
	c.out.unit = newUnit(len(hdr) + len(p))
	c.out.unit.append(hdr)
	c.appendPayload(c.out.unit, p, key)
	// Not by writeTo: its frame on the stack below Write would double, to 4 KiB,
	// the stack of every goroutine that answers and then waits in Read.
	n, err := c.s.Write(c.out.unit.rest())
	c.out.unit.r += n
	return c.settle(n > 0, err)
}

// appendPayload appends p to u, masked with key by a client.
func (c *Conn) appendPayload(u *unit, p []byte, key [4]byte) {
	if c.hs.client {
		u.appendMasked(p, key)
	} else {
		u.append(p)
	}
}

// settle says what becomes of out.unit after a write that has failed unless it
// is empty: whether it counts as sent, in which case what is left of it leaves
// before anything else. It does if some of it is gone, as begun says, and only
// a deadline, or Close, has cut it.
func (c *Conn) settle(begun bool, err error) (sent bool, _ error) {
	u := c.out.unit
	if u.r < u.w {
		cut := begun && isTimeout(err)
		err = c.writeError(err)
		if cut {
			return true, err
		}
	} else {
		sent, err = true, nil
	}
	c.out.unit = nil
	u.free()
	return sent, err
}

func (c *Conn) writev(w stream.BuffersWriter, hdr, p []byte) (bool, error) {
	v := vecs.Get().(*vec)
	v.arr = [2][]byte{v.hdr[:copy(v.hdr[:], hdr)], p}
	v.bufs = v.arr[:]
	if len(hdr) == 0 {
		v.bufs = v.arr[1:]
	}
	n, err := w.WriteBuffers(&v.bufs)
	sent := int(n) == len(hdr)+len(p)
	if sent {
		err = nil
	} else {
		c.out.unit = newUnit(len(hdr) + len(p) - int(n)) // outlives p
		for _, b := range v.bufs {
			c.out.unit.append(b)
		}
		sent, err = c.settle(n > 0, err)
	}
	v.arr, v.bufs = [2][]byte{}, nil
	vecs.Put(v)
	return sent, err
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
