package walve

import (
	"net"
	"time"
)

// HoldWire has c's writers wait.
func HoldWire(c *Conn) {
	c.mu.Lock()
	c.wireTurn.take()
	c.mu.Unlock()
}

// PassWire hands the wire on to the one who waits for it, after a time in which
// c does nothing, and queues a Close frame before that one has looked.
func PassWire(c *Conn, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	time.Sleep(after)
	c.wireTurn.release()
	c.pushCloseLocked(StatusNormalClosure, "", net.ErrClosed)
}
