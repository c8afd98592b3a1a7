package walve

import (
	"sync"
	"time"
)

// A keepAliveTimer calls keepAlive of its Conns every half interval. Conns whose
// turn comes at about the same time share one: a timer and its function for each
// would be a quarter of what an idle Conn adds to its socket.
type keepAliveTimer struct {
	timerKey
	own   bool // of one Conn, and not among those that are shared
	timer *time.Timer
	conns []*Conn
	round uint8 // tells the Conns it has called from the others
}

// timerSteps is how many of them there are at most for one interval.
const timerSteps = 64

// A timerKey is half the interval, and when in it, counted from started, a timer
// runs.
type timerKey struct{ half, phase time.Duration }

// keepAliveTimers are those in use. The mutex guards all of theirs, and of their
// Conns what is about them; it is taken with Conn.mu held, never the other way
// round.
var keepAliveTimers = struct {
	sync.Mutex
	shared map[timerKey]*keepAliveTimer
}{shared: make(map[timerKey]*keepAliveTimer)}

var started = time.Now()

// startTimerLocked has keepAlive called from half an interval from now on, or
// up to a 64th of that earlier.
func (c *Conn) startTimerLocked() {
	all := &keepAliveTimers
	all.Lock()
	defer all.Unlock()
	half := max(c.hs.keepAlive/2, 1)
	step := half/timerSteps + 1
	key := timerKey{half, time.Since(started) % half / step * step}
	// In a bubble of testing/synctest it is the year 2000, and what belongs to
	// one may not be shared with others: there each Conn has its own.
	own := time.Now().UnixNano() < started.UnixNano()
	t := all.shared[key]
	if own || t == nil {
		t = &keepAliveTimer{timerKey: key, own: own}
		t.timer = time.AfterFunc(t.wait(), t.run)
		if !own {
			all.shared[key] = t
		}
	}
	c.timer, c.timerAt, c.timerRound = t, int32(len(t.conns)), t.round
	t.conns = append(t.conns, c)
}

// stopTimerLocked ends what startTimerLocked began.
func (c *Conn) stopTimerLocked() {
	if c.timer == nil {
		return
	}
	all := &keepAliveTimers
	all.Lock()
	defer all.Unlock()
	t := c.timer
	c.timer = nil
	last := len(t.conns) - 1
	t.conns[c.timerAt] = t.conns[last]
	t.conns[c.timerAt].timerAt = c.timerAt
	t.conns[last] = nil
	t.conns = t.conns[:last]
	switch {
	case last == 0:
		t.timer.Stop()
		if !t.own {
			delete(all.shared, t.timerKey)
		}
	case last < cap(t.conns)/4:
		t.conns = append(make([]*Conn, 0, 2*last), t.conns...)
	}
}

// wait returns how long it is until t has to run next.
func (t *keepAliveTimer) wait() time.Duration {
	if t.own {
		return t.half
	}
	return t.waitAt(time.Since(started))
}

// waitAt is wait at a time counted from started.
func (t *keepAliveTimer) waitAt(now time.Duration) time.Duration {
	d := t.half + t.phase - now%t.half
	switch {
	case d <= t.half/2: // it has run a little early
		d += t.half
	case d > t.half+t.half/2: // a little late, and at the end of an interval
		d -= t.half
	}
	return d
}

// run calls keepAlive of each Conn, once, from the last to the first: those that
// come to the end or take the place of one that goes have been called, or have
// just begun.
func (t *keepAliveTimer) run() {
	all := &keepAliveTimers
	all.Lock()
	t.round++
	next := len(t.conns)
	var some [64]*Conn // so that the lock is not held for long, nor taken for each
	for {
		n := 0
		next = min(next, len(t.conns))
		for next > 0 && n < len(some) {
			next--
			if c := t.conns[next]; c.timerRound != t.round {
				c.timerRound = t.round
				some[n] = c
				n++
			}
		}
		if n == 0 {
			break
		}
		all.Unlock()
		for _, c := range some[:n] {
			c.keepAlive()
		}
		all.Lock()
	}
	if len(t.conns) > 0 {
		t.timer.Reset(t.wait())
	}
	all.Unlock()
}
