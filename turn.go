package walve

import (
	"net"
	"os"
	"time"
)

// A turn is what one caller at a time holds across I/O: Conn.mu guards it and
// is never held there. Those who wait get it in the order they came, and their
// wait ends with a deadline or with the Conn.
type turn struct {
	first *waiter // who waits longest; heldAlone if nobody does; nil if nobody holds it
}

type waiter struct {
	granted chan struct{}
	next    *waiter
}

var heldAlone = new(waiter)

func (t *turn) held() bool { return t.first != nil }

// take takes the turn unless somebody holds it.
func (t *turn) take() bool {
	if t.first != nil {
		return false
	}
	t.first = heldAlone
	return true
}

// enqueue puts a new waiter in the line for a turn that is held.
func (t *turn) enqueue() *waiter {
	w := &waiter{granted: make(chan struct{})}
	p := &t.first
	for *p != nil && *p != heldAlone {
		p = &(*p).next
	}
	*p = w
	return w
}

// leave takes w out of the line and reports whether it was still there: if
// not, the turn has been granted to it.
func (t *turn) leave(w *waiter) bool {
	for p := &t.first; *p != nil; p = &(*p).next {
		if *p == w {
			if *p = w.next; t.first == nil {
				t.first = heldAlone
			}
			return true
		}
	}
	return false
}

// release hands the turn to whoever waits longest.
func (t *turn) release() {
	w := t.first
	if w == heldAlone {
		t.first = nil
		return
	}
	if t.first = w.next; t.first == nil {
		t.first = heldAlone
	}
	close(w.granted)
}

// takeLocked takes t, waiting for it until *by passes or, with untilOver, the
// Conn is over. It gives c.mu up while it waits, so the caller looks at the
// Conn's state again.
func (c *Conn) takeLocked(t *turn, by *time.Time, untilOver bool) error {
	if passed(*by) {
		return os.ErrDeadlineExceeded
	}
	if t.take() {
		return nil
	}
	return c.waitLocked(t, t.enqueue(), by, untilOver)
}

// never is the deadline of those who have none.
var never time.Time

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (c *Conn) waitLocked(t *turn, w *waiter, by *time.Time, untilOver bool) error {
	var done <-chan struct{}
	if untilOver {
		done = c.doneLocked()
	}
	for {
		r := c.rareLocked()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		var expired <-chan time.Time
		var timer *time.Timer
		if !by.IsZero() {
			timer = time.NewTimer(time.Until(*by))
			expired = timer.C
		}
		c.mu.Unlock()
		var err error
		again := false
		select {
		case <-w.granted:
		case <-changed:
			again = true
		case <-expired:
			err = os.ErrDeadlineExceeded
		case <-done:
			err = net.ErrClosed
		}
		if timer != nil {
			timer.Stop()
		}
		c.mu.Lock()
		if again {
			continue
		}
		if err != nil && !t.leave(w) {
			c.giveBackLocked(t) // granted in the same moment
		}
		return err
	}
}

// giveBackLocked releases t for one who has got it and does not want it any
// more. What was queued meanwhile was left to whoever holds the wire.
func (c *Conn) giveBackLocked(t *turn) {
	if t == &c.wireTurn {
		c.releaseWireLocked()
	} else {
		t.release()
	}
}

// deadlineLocked has those who wait for a turn look at the deadlines again.
func (c *Conn) deadlineLocked() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}
