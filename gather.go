package walve

const (
	// gatherSize bounds the messages that leave together.
	gatherSize = 16 << 10
	// maxGathered is the largest payload worth the copy.
	maxGathered = 2 << 10
)

// A queue is what waits under Conn.mu for whoever writes next: whole messages
// that leave together, which count as written, and control frames behind them.
type queue struct {
	gathered *unit
	control  []controlFrame
}

func (c *Conn) queueLocked() *queue {
	if c.queued == nil {
		c.queued = new(queue)
	}
	return c.queued
}

// gather takes a small message in while messages that came in together are
// still unread: their answers then leave in one write. It reports false if the
// message has to be written, which sends what was gathered before first.
//
// No timer is needed: the goroutine that flushes is started with the first
// message and runs as soon as this one waits, or another processor is idle.
func (c *Conn) gather(op Opcode, p []byte) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.takeForWriteLocked(&c.msgTurn); err != nil {
		return true, err
	}
	defer c.msgTurn.release()
	if c.out.msg != msgNone {
		return false, nil
	}
	var deflated *unit
	size := maxHeaderSize + len(p)
	if c.deflates(len(p)) {
		c.mu.Unlock() // what msgTurn guards is enough
		deflated = c.deflate(op, p, true)
		c.mu.Lock()
		if deflated != nil {
			defer deflated.free()
			size = len(deflated.rest())
		}
		if err := c.unwritableLocked(); err != nil {
			return true, err
		}
	}
	q := c.queueLocked()
	if q.gathered == nil {
		q.gathered = newUnit(gatherSize)
	}
	u := q.gathered
	if u.w+size > gatherSize {
		return false, nil
	}
	if deflated != nil {
		u.append(deflated.rest())
		c.z.sent(p, true)
	} else {
		h := c.nextHeader(op, true, int64(len(p)))
		u.appendHeader(h)
		c.appendPayload(u, p, h.MaskKey)
	}
	c.wakeFlushLocked()
	return true, nil
}

// noteMore notes whether messages that have come in are still unread.
func (c *Conn) noteMore(more bool) {
	if c.more.Load() != more {
		c.more.Store(more)
	}
}
