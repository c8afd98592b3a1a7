package walve

import (
	"time"

	"github.com/bodokaiser/walve/internal/frames"
)

// flush sends what must leave before the next frame: the rest of one that was
// cut, then, at a frame boundary, what is queued. The caller holds wireTurn.
// What an error leaves stays where it is; the error is the stream's.
func (c *Conn) flush() error {
	o := &c.out
	for o.unit != nil || c.takeQueued() {
		_, err := o.unit.writeTo(c.s)
		if err != nil && o.unit.r < o.unit.w {
			return err
		}
		o.unit.free()
		o.unit = nil
	}
	if o.closed {
		c.endStream()
	}
	return nil
}

// keep puts b behind what must leave before anything else.
func (o *outbound) keep(b []byte) {
	u := o.unit
	if u == nil || u.room() < len(b) {
		var left []byte
		if u != nil {
			left = u.rest()
		}
		o.unit = newUnit(len(left) + len(b))
		o.unit.append(left)
		if u != nil {
			u.free()
		}
	}
	o.unit.append(b)
}

// ready flushes on behalf of a user's call that is about to write a frame.
func (c *Conn) ready() error {
	if err := c.flush(); err != nil {
		return c.writeError(err)
	}
	if c.out.closed {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.unwritableLocked()
	}
	return nil
}

// takeQueued moves gathered messages and control frames to unit, at a frame
// boundary; before Close's own also what still waits for its turn.
func (c *Conn) takeQueued() bool {
	if c.out.left > 0 {
		return false
	}
	c.mu.Lock()
	q := c.queued
	c.queued = nil
	closed := c.closed
	c.mu.Unlock()
	if q == nil {
		return false
	}
	c.out.unit = q.gathered
	if closed {
		c.keepLate()
	}
	for i := range q.control {
		c.keepControl(&q.control[i])
	}
	return true
}

// queuedLocked reports whether there is something for takeQueued, now.
func (c *Conn) queuedLocked() bool { return c.out.left == 0 && c.queued != nil }

func (c *Conn) keepControl(f *controlFrame) {
	frames.CountSent()
	h := Header{Fin: true, Opcode: f.op, Length: int64(f.n), Masked: c.hs.client}
	if f.op == OpClose {
		c.out.closed = true
	}
	var frame [maxHeaderSize + maxControlPayload]byte
	b := frame[:0]
	if h.Masked {
		h.MaskKey = newMaskKey()
		maskCopy(f.p[:], f.payload(), h.MaskKey)
	}
	b, _ = h.AppendBinary(b) // h is ours
	c.out.keep(append(b, f.payload()...))
}

// finDueLocked reports whether the stream's write side is to be ended: the
// Close frames of both sides are over (RFC 6455, 7.1.1: the server closes the
// TCP connection first), or the connection has failed (7.1.7).
func (c *Conn) finDueLocked() bool {
	return c.out.closed && !c.out.fin && (c.broken || c.peerDone && !c.hs.client)
}

func (c *Conn) endStream() {
	c.mu.Lock()
	due := c.finDueLocked()
	c.mu.Unlock()
	if due {
		c.out.fin = true
		c.s.CloseWrite()
	}
}

// flushLeft is the goroutine that sends what no user's call is there to send.
// There is at most one, it lives as long as there is something to send, and no
// deadline governs it.
func (c *Conn) flushLeft() {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.flushing = false }()
	if c.takeLocked(&c.wireTurn, &never, true) != nil {
		return
	}
	for c.overLocked() == nil {
		c.liftLocked()
		c.mu.Unlock()
		err := c.flush()
		if err != nil {
			c.writeError(err)
		}
		c.mu.Lock()
		if err != nil || !c.queuedLocked() && !c.finDueLocked() {
			break
		}
	}
	c.wireTurn.release()
}

// applyLocked gives the stream the user's write deadline.
func (c *Conn) applyLocked() error {
	if c.applied {
		return nil
	}
	c.applied, c.timed = true, !c.writeBy.IsZero()
	return c.s.SetWriteDeadline(c.writeBy)
}

// liftLocked takes it off the stream again.
func (c *Conn) liftLocked() {
	if c.timed {
		c.applied, c.timed = false, false
		c.s.SetWriteDeadline(time.Time{})
	}
}
