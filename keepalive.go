package walve

// keepAliveError is what a Conn fails with whose peer answers no more. It is a
// timeout, but not one to go on after: a *net.OpError around it is a net.Error
// with Timeout true and Temporary false.
type keepAliveError struct{}

func (keepAliveError) Error() string   { return "websocket: peer does not answer" }
func (keepAliveError) Timeout() bool   { return true }
func (keepAliveError) Temporary() bool { return false }

// Half intervals without anything read, see keepAlive.
const (
	pingAfter = 2
	failAfter = 4
	// And without anything written, while things are read: more than pingAfter,
	// so that of two idle ends none pings twice.
	speakAfter = 3
)

// keepAlive is called every half interval; that is fine enough for a Ping well
// within the 60 s that proxies allow, at no cost to Read. An interval without
// anything read sends a Ping; a whole further one, in which a read waited, and
// the Conn fails. One that reads all the time and writes nothing sends a Ping
// each one and a half intervals. It does not wait for anything.
func (c *Conn) keepAlive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.overLocked() != nil || c.deaf || c.ended && !c.hs.halfClose {
		c.stopTimerLocked()
		return
	}
	c.idle++
	if c.active.Swap(false) {
		c.idle = 0
	}
	c.silent++
	if c.wrote {
		c.silent, c.wrote = 0, false
	}
	waiting, same := c.readTurn.held(), c.reads == c.seen
	switch {
	case c.idle < pingAfter:
		// The peer sends, and its Ping may be a long way behind what it has
		// sent: what it hears of us must not depend on that.
		if c.silent >= speakAfter && c.idle == 0 {
			c.pingLocked()
		}
	case c.idle == pingAfter || c.idle >= failAfter && !waiting:
		// Without a read in progress nobody can tell whether the peer has
		// answered: ask again, for the sake of proxies on the way.
		c.idle = pingAfter
		c.seen = c.reads
		c.pingLocked()
	case c.idle > failAfter || c.idle == failAfter && same:
		// A caller that reads with short deadlines has another read in
		// progress by now and gets half an interval more, so that a read that
		// has just begun is not taken for one that waited.
		c.stopTimerLocked()
		go c.fail("read", keepAliveError{})
	}
}

// pingLocked sends a Ping, unless something that the peer will hear is on its
// way already.
func (c *Conn) pingLocked() {
	c.silent = 0
	if c.queued == nil {
		c.pushControlLocked(newControlFrame(OpPing, nil))
	}
}
