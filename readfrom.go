package walve

import (
	"io"
	"math"
	"os"
	"slices"
)

// ReadFrom writes what it reads from r until io.EOF, each chunk as one binary
// message, and returns how many bytes the peer will get. When the write
// deadline passes, a chunk that was read from r is kept, counted, and sent as
// soon as the peer takes it. Close sends it first, unless it comes inside a
// message of NextWriter or a compressed one that has no end yet.
//
// On a server without TLS the kernel moves the bytes of an *os.File (sendfile)
// and, on Linux, of a *net.TCPConn or *net.UnixConn (splice), also when io.Copy
// calls ReadFrom. What a deadline leaves of a message, at most 1 MiB, is then read
// into memory.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	total, err := c.fromKernel(r)
	if err != nil {
		return total, err
	}
	for {
		if err := c.writeExpired(); err != nil {
			return total, err
		}
		u := newUnit(largeUnit)
		n, rerr := r.Read(u.fillRoom()[:c.pieceLimit()])
		if n > 0 {
			err := c.writeChunk(u, n)
			if err == nil || isTimeout(err) {
				total += int64(n)
			}
			if err != nil {
				return total, err
			}
		} else {
			u.free()
		}
		if rerr == io.EOF {
			return total, nil
		}
		if rerr != nil {
			return total, rerr
		}
	}
}

// writeExpired returns the error of a write that would start now, if that is
// certain: ReadFrom then takes nothing from its reader.
func (c *Conn) writeExpired() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.unwritableLocked(); err != nil {
		return err
	}
	if passed(c.writeBy) {
		return c.opError("write", os.ErrDeadlineExceeded)
	}
	return nil
}

// writeChunk writes the n bytes that ReadFrom has gathered in u, and takes u
// over. They cannot go back to where they came from: after a timeout they are
// in line.
func (c *Conn) writeChunk(u *unit, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.takeForWriteLocked(&c.msgTurn)
	if isTimeout(err) {
		// In line behind those who wait, before what this caller writes next.
		var w *waiter
		if !c.msgTurn.take() {
			w = c.msgTurn.enqueue()
		}
		c.writeLaterLocked(w, chunk{u, n})
		return err
	}
	if err != nil {
		return err
	}
	err = c.takeWireLocked()
	if isTimeout(err) {
		c.writeLaterLocked(nil, chunk{u, n})
		return err
	}
	if err == nil {
		c.mu.Unlock()
		err = c.writeKept(u, n)
		c.mu.Lock()
		c.releaseWireLocked()
	}
	c.msgTurn.release()
	return err
}

// A chunk is n bytes that ReadFrom has gathered in u and counted.
type chunk struct {
	u *unit
	n int
}

// writeLaterLocked has k written when w gets the turn, or nil has it.
func (c *Conn) writeLaterLocked(w *waiter, k chunk) {
	r := c.rareLocked()
	r.late = append(r.late, k)
	go c.writeLate(w)
}

// writeLate waits for its turn, without a deadline, on behalf of a ReadFrom
// that has returned, and without w has it. Close, if it comes, does not wait:
// see keepLate. A message begun with NextWriter comes to its end first, and
// frameWriter.Close then to this.
func (c *Conn) writeLate(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w != nil && c.waitLocked(&c.msgTurn, w, &never, true) != nil {
		return
	}
	defer c.msgTurn.release()
	if c.overLocked() != nil || c.out.msg == msgFrames || c.takeLocked(&c.wireTurn, &never, true) != nil {
		return
	}
	c.liftLocked()
	for {
		c.mu.Unlock()
		err := c.ready()
		c.mu.Lock()
		if err != nil || c.closed || len(c.late) == 0 {
			break
		}
		k := c.late[0]
		c.late = slices.Delete(c.late, 0, 1)
		c.mu.Unlock()
		c.writeFilled(k.u, k.n, OpBinary, true)
		c.mu.Lock()
	}
	c.releaseWireLocked()
}

// keepLate puts the chunks whose turn had not come when Close did before the
// Close frame. Who has the turn will write no more but may still compress, so
// this does not, nor does it go on with a message that may be compressed.
// Inside a message of NextWriter there is no place for them: the peer sees that
// it has no end.
func (c *Conn) keepLate() {
	c.mu.Lock()
	late := c.late
	if len(late) > 0 {
		c.late = nil
	}
	c.mu.Unlock()
	o := &c.out
	if o.closed || o.msg == msgFrames || o.msg == msgStream && c.z != nil {
		return
	}
	for _, k := range late {
		k.u.fillHeader(c.nextHeader(OpBinary, true, int64(k.n)))
		o.keep(k.u.rest())
		k.u.free()
		if o.msg == msgStream {
			o.msg = msgNone
		}
	}
}

// writeKept writes a chunk of ReadFrom. The caller holds both turns.
func (c *Conn) writeKept(u *unit, n int) error {
	if c.out.msg == msgFrames {
		return c.opError("write", errMessageOpen)
	}
	err := c.ready()
	if err == nil {
		return c.writeFilled(u, n, OpBinary, true)
	}
	if isTimeout(err) {
		c.appendKept(u, n)
	}
	return err
}

// appendKept puts a chunk of ReadFrom, or the end of a message, behind what is
// pending.
func (c *Conn) appendKept(u *unit, n int) {
	if !c.out.closed {
		u = c.filled(u, n, OpBinary, true)
		c.out.keep(u.rest())
		c.out.noteFrame(true)
	}
	u.free()
}

// writeFilled writes what filled makes of u, and takes u over. A timeout can
// delay it, not take it back.
func (c *Conn) writeFilled(u *unit, n int, op Opcode, fin bool) error {
	u = c.filled(u, n, op, fin)
	c.out.unit = u
	_, err := u.writeTo(c.s)
	sent, err := c.settle(true, err)
	if sent {
		c.out.noteFrame(fin)
	}
	return err
}

// filled makes a frame, which has to be sent, of the n bytes that lie in u's
// fillRoom. It takes u over, and returns the unit that the frame lies in.
func (c *Conn) filled(u *unit, n int, op Opcode, fin bool) *unit {
	size := n
	if !fin {
		size = math.MaxInt // nobody knows
	}
	if p := u.fillRoom()[:n]; c.deflates(size) {
		if d := c.deflate(op, p, fin); d != nil {
			c.z.sent(p, fin)
			u.free()
			return d
		}
	}
	u.fillHeader(c.nextHeader(op, fin, int64(n)))
	return u
}

// fillHeader makes a frame of header h of what lies in u's fillRoom.
func (u *unit) fillHeader(h Header) {
	n := int(h.Length)
	p := u.fillRoom()[:n]
	if h.Masked {
		maskCopy(p, p, h.MaskKey)
	}
	var a [maxHeaderSize]byte
	hdr, _ := h.AppendBinary(a[:0]) // h is ours
	u.r, u.w = maxHeaderSize-len(hdr), maxHeaderSize+n
	copy(u.b[u.r:], hdr)
}
