package walve

import (
	"net"
	"os"
	"time"
)

// A turn is what one caller at a time holds across I/O: Conn.mu guards its
// fields and is never held there. Those who wait get it in the order they
// came, and their wait ends with a deadline or with the Conn.
type turn struct {
	held  bool
	first *waiter
}

type waiter struct {
	granted chan struct{}
	next    *waiter
}

func (t *turn) enqueue() *waiter {
	w := &waiter{granted: make(chan struct{})}
	p := &t.first
	for *p != nil {
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
			*p = w.next
			return true
		}
	}
	return false
}

// release hands the turn to whoever waits longest.
func (t *turn) release() {
	if w := t.first; w != nil {
		t.first = w.next
		close(w.granted)
		return
	}
	t.held = false
}

// A deadline is what SetReadDeadline or SetWriteDeadline set last. The stream
// enforces it on calls in progress, take on those that wait for a turn.
type deadline struct {
	t       time.Time
	changed chan struct{} // closed by set; nil while nobody waits
}

func (d *deadline) set(t time.Time) {
	d.t = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

func (d *deadline) passed() bool {
	return !d.t.IsZero() && !time.Now().Before(d.t)
}

// takeLocked takes t, waiting for it until d passes or, with untilOver, the
// Conn is over. It gives c.mu up while it waits, so the caller looks at the
// Conn's state again.
func (c *Conn) takeLocked(t *turn, d *deadline, untilOver bool) error {
	if d.passed() {
		return os.ErrDeadlineExceeded
	}
	if !t.held {
		t.held = true
		return nil
	}
	return c.waitLocked(t, t.enqueue(), d, untilOver)
}

func (c *Conn) waitLocked(t *turn, w *waiter, d *deadline, untilOver bool) error {
	var done <-chan struct{}
	if untilOver {
		done = c.doneLocked()
	}
	for {
		if d.changed == nil {
			d.changed = make(chan struct{})
		}
		changed := d.changed
		var expired <-chan time.Time
		var timer *time.Timer
		if !d.t.IsZero() {
			timer = time.NewTimer(time.Until(d.t))
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
			t.release() // granted in the same moment
		}
		return err
	}
}
