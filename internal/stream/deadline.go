package stream

import (
	"net"
	"time"
)

// What Streams whose deadlines are made of a lock and a channel have in
// common, those of package h2 too: a channel that holds a token when whoever
// waits has to look again, and a timer that puts one there.

// Signal puts a token into wake, unless there is one.
func Signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// IsPast reports whether t is a deadline that has passed; the zero time is none.
func IsPast(t time.Time) bool { return !t.IsZero() && time.Until(t) <= 0 }

// ResetTimer has whoever waits for wake look again now and at the deadline t,
// by timer, which is nil before the first deadline. It returns the timer.
func ResetTimer(timer *time.Timer, t time.Time, wake chan struct{}) *time.Timer {
	Signal(wake)
	switch d := time.Until(t); {
	case t.IsZero() || d <= 0:
		if timer != nil {
			timer.Stop()
		}
	case timer == nil:
		timer = time.AfterFunc(d, func() { Signal(wake) })
	default:
		timer.Reset(d)
	}
	return timer
}

// OpError returns err as the error of op on c, as package net does.
func OpError(c interface {
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}, op string, err error) error {
	local := c.LocalAddr()
	network := "tcp"
	if local != nil { // net.Conn: "if known"
		network = local.Network()
	}
	return &net.OpError{Op: op, Net: network, Source: local, Addr: c.RemoteAddr(), Err: err}
}
