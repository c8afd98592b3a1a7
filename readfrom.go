package walve

import (
	"io"
	"math"
	"os"
)

// ReadFrom writes what it reads from r until io.EOF, each chunk as one binary
// message, and returns how many bytes the peer will get. When the write
// deadline passes, a chunk that was read from r is kept, counted, and sent as
// soon as the peer takes it.
//
// On a server without TLS the kernel moves the bytes of an *os.File (sendfile)
// and, on Linux, of a *net.TCPConn or *net.UnixConn (splice), also when io.Copy
// calls ReadFrom.
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
		go c.writeLate(w, chunk{u, n})
		return err
	}
	if err != nil {
		return err
	}
	err = c.takeWireLocked()
	if isTimeout(err) {
		go c.writeLate(nil, chunk{u, n})
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

// writeLate waits for its turn, without a deadline, on behalf of a ReadFrom
// that has returned, and without w has it. Close, if it comes, finds the chunks
// among what is pending; a message begun with NextWriter comes to its end first.
func (c *Conn) writeLate(w *waiter, chunks ...chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w != nil && c.waitLocked(&c.msgTurn, w, &never, true) != nil {
		return
	}
	defer c.msgTurn.release()
	if c.out.msg == msgFrames {
		r := c.rareLocked()
		r.late = append(r.late, chunks...) // for frameWriter.Close
		return
	}
	c.takeLocked(&c.wireTurn, &never, false)
	over := c.overLocked() != nil
	c.liftLocked()
	c.mu.Unlock()
	for _, k := range chunks {
		if over || c.ready() != nil {
			c.appendKept(k.u, k.n)
		} else {
			c.writeFilled(k.u, k.n, OpBinary, true)
		}
	}
	c.mu.Lock()
	c.releaseWireLocked()
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
