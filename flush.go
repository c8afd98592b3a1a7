package walve

import (
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

// flush sends what must leave before the next frame: the rest of one that was
// cut, then, at a frame boundary, what is queued. The caller holds wireTurn.
// What an error leaves stays where it is; the error is the stream's.
func (c *Conn) flush() error {
	o := &c.out
	for len(o.pending) > 0 || c.takeQueued() {
		n, err := c.s.Write(o.pending)
		o.pending = o.pending[n:]
		if err != nil && len(o.pending) > 0 {
			return err
		}
	}
	o.drop()
	if o.closed {
		c.endStream()
	}
	return nil
}

// keep puts b behind what is pending, which may lie in memory of another size.
func (o *outbound) keep(b []byte) {
	o.pending = append(o.pending[:len(o.pending):len(o.pending)], b...)
}

// drop lets go of what was pending.
func (o *outbound) drop() {
	o.pending = nil
	if o.owner != nil {
		stream.PutLarge(o.owner)
		o.owner = nil
	}
	if o.gathered != nil {
		gatherings.Put(o.gathered)
		o.gathered = nil
	}
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

// takeQueued moves gathered messages and control frames to pending, at a frame
// boundary.
func (c *Conn) takeQueued() bool {
	if c.out.left > 0 {
		return false
	}
	c.mu.Lock()
	frames, g := c.control, c.gathered
	c.control, c.gathered = nil, nil
	c.mu.Unlock()
	if len(frames) == 0 && g == nil {
		return false
	}
	c.out.drop()
	if g != nil {
		c.out.pending, c.out.gathered = g.b[:g.n:g.n], g
	}
	for i := range frames {
		c.appendControl(&frames[i])
	}
	return true
}

// queuedLocked reports whether there is something for takeQueued, now.
func (c *Conn) queuedLocked() bool {
	return c.out.left == 0 && (len(c.control) > 0 || c.gathered != nil)
}

func (c *Conn) appendControl(f *controlFrame) {
	h := Header{Fin: true, Opcode: f.op, Length: int64(f.n), Masked: c.hs.client}
	if h.Masked {
		h.MaskKey = newMaskKey()
	}
	if f.op == OpClose {
		c.out.closed = true
	}
	b, _ := h.AppendBinary(c.out.pending) // h is ours
	b = append(b, f.payload()...)
	if h.Masked {
		p := b[len(b)-int(f.n):]
		maskCopy(p, p, h.MaskKey)
	}
	c.out.pending = b
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
	if c.takeLocked(&c.wireTurn, &deadline{}, true) != nil {
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
		if err != nil || !c.queuedLocked() {
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
	c.applied, c.timed = true, !c.writeBy.t.IsZero()
	return c.s.SetWriteDeadline(c.writeBy.t)
}

// liftLocked takes it off the stream again.
func (c *Conn) liftLocked() {
	if c.timed {
		c.applied, c.timed = false, false
		c.s.SetWriteDeadline(time.Time{})
	}
}
