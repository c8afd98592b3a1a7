package walve

import "sync"

const (
	// gatherSize bounds the messages that leave together.
	gatherSize = 16 << 10
	// maxGathered is the largest payload worth the copy.
	maxGathered = 2 << 10
)

// A gathering is whole messages, framed, that leave together. Like the control
// frames it waits under Conn.mu for whoever writes next, and counts as written.
type gathering struct {
	n int
	b [gatherSize]byte
}

var gatherings = sync.Pool{New: func() any { return new(gathering) }}

// gather takes a small message in while messages that came in together are
// still unread: their answers then leave in one write. It reports false if the
// message has to be written, which sends what was gathered before first.
//
// No timer is needed: the goroutine that flushes is started with the first
// message and runs as soon as this one waits, or another processor is idle.
func (c *Conn) gather(op Opcode, p []byte) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.takeMessageLocked(); err != nil {
		return true, err
	}
	defer c.msgTurn.release()
	g := c.gathered
	if c.out.msg != msgNone || g != nil && g.n+maxHeaderSize+len(p) > gatherSize {
		return false, nil
	}
	if g == nil {
		g = gatherings.Get().(*gathering)
		g.n = 0
		c.gathered = g
	}
	h := c.nextHeader(op, true, len(p))
	hdr, _ := h.AppendBinary(g.b[:g.n]) // h is ours
	g.n = len(c.appendUnit(hdr, nil, h.MaskKey, p))
	c.wakeFlushLocked()
	return true, nil
}

// noteMore notes whether messages that have come in are still unread.
func (c *Conn) noteMore(more bool) {
	if c.more.Load() != more {
		c.more.Store(more)
	}
}
