package memconn

import "math/rand/v2"

// Stall holds back what c writes: Write goes on until the buffer is full, and
// the peer reads nothing of it, not even the end, until Resume.
func (c *Conn) Stall() { c.change(func() { c.stalled = true }) }

// Resume ends a Stall.
func (c *Conn) Resume() { c.change(func() { c.stalled = false }) }

// Cut cuts the direction behind byte n, counted from the first one that c
// wrote: the peer reads n bytes and then what by says. Where more than n bytes
// were written already, it cuts at once, behind those. With FIN, c may
// go on writing and never learns that it is in vain; with RST, its Read and
// Write fail from there on too.
func (c *Conn) Cut(n int64, by Cut) {
	c.change(func() {
		c.cut, c.cutBy = n, by
		c.cutLocked()
	})
}

// SetWriteLimit makes Write take n more bytes in all and then wait, until the
// limit is set anew or the write deadline comes. n < 0: no limit.
func (c *Conn) SetWriteLimit(n int64) { c.change(func() { c.limit = n }) }

// Grow makes room for n bytes in each direction, if there is less.
func (c *Conn) Grow(n int) { c.change(func() { c.size = max(c.size, n) }) }

// SetMaxRead makes Read return at most n bytes. 0: as many as there are.
func (c *Conn) SetMaxRead(n int) { c.change(func() { c.maxRead = n }) }

// SetReadSeed makes Read return a random part, of at least one byte, of what
// it could return. The same seed gives the same parts.
func (c *Conn) SetReadSeed(seed uint64) {
	c.change(func() { c.rand = rand.New(rand.NewPCG(seed, seed)) })
}

// Written returns how many bytes Write has taken so far.
func (c *Conn) Written() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written
}

// Unread returns how many bytes that c has written the peer has not read.
func (c *Conn) Unread() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.buf) - c.off
}
