package walve_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// TestSharedTimers: outside of a bubble Conns share timers, each is called once
// by each run, also when others come and go, and the last one takes its timer
// away.
func TestSharedTimers(t *testing.T) {
	const interval = 100 * time.Hour // nobody else's, and none of its timers fires
	check := func(conns, most int) {
		t.Helper()
		timers, n := walve.SharedTimers(interval)
		if n != conns || timers > most || conns == 0 && timers > 0 {
			t.Errorf("%d timers for %d Conns, want at most %d for %d", timers, n, most, conns)
		}
	}
	type end struct {
		c *walve.Conn
		p *wirePeer
	}
	open := func(n int) (ends []end) {
		for i := range n {
			c, p := newWirePeer(t, walve.TestConfig{Client: i%2 == 0, KeepAlive: interval})
			ends = append(ends, end{c, p})
		}
		return ends
	}
	shut := func(ends []end) {
		for _, e := range ends {
			e.p.Close()
			e.c.Close()
		}
	}
	check(0, 0)
	// Two if a 64th of half an interval passes meanwhile.
	early := open(300)
	check(300, 2)
	if d := walve.NextSharedTimer(interval); d > interval/2 || d < interval/2-interval/64 {
		t.Errorf("the next run is in %v", d)
	}
	walve.RunSharedTimers(interval)
	gone := early[100:200]
	early = append(early[:100:100], early[200:]...)
	shut(gone)
	check(200, 2)
	late := open(50)
	check(250, 2)
	for _, e := range early {
		e.p.wantNothing()
	}
	walve.RunSharedTimers(interval)
	for _, e := range early { // an interval without anything read
		e.p.want(fin|ping, "")
		e.p.wantNothing()
	}
	for _, e := range late { // half of one
		e.p.wantNothing()
	}
	shut(early)
	check(50, 2)
	shut(late)
	check(0, 0)
}

// TestSharedTimersConcurrent has Conns come and go while their timers run.
func TestSharedTimersConcurrent(t *testing.T) {
	const interval = 101 * time.Hour
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				c, p := newWirePeer(t, walve.TestConfig{KeepAlive: interval})
				p.Close()
				c.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
			walve.RunSharedTimers(interval)
		}
	}
	if timers, n := walve.SharedTimers(interval); timers != 0 || n != 0 {
		t.Errorf("%d timers for %d Conns are left", timers, n)
	}
}

// TestSharedTimersRealTime is the one test of them that takes time: an idle peer
// is sent a Ping, and one that does not answer is given up, at any interval.
func TestSharedTimersRealTime(t *testing.T) {
	tiny, _ := newWirePeer(t, walve.TestConfig{KeepAlive: 1})
	if _, err := tiny.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("Read: %v", err)
	}
	tiny.Close()
	c, p := newWirePeer(t, walve.TestConfig{KeepAlive: 20 * time.Millisecond})
	go c.Read(make([]byte, 1))
	for range 3 {
		p.want(fin|ping, "")
		p.send(fin|pong, "")
	}
	p.Close()
	c.Close()
}

// TestSharedTimerWait: one that runs a little early or late runs half an interval
// after its time all the same, wherever in the interval that is.
func TestSharedTimerWait(t *testing.T) {
	const half, late = 400 * time.Millisecond, 20 * time.Millisecond
	for phase := time.Duration(0); phase < half; phase += half / 64 {
		for _, d := range []time.Duration{-late, 0, late, half/2 - 1} {
			if got := walve.SharedTimerWait(half, phase, phase+d); got != half-d {
				t.Errorf("phase %v, %v late: %v, want %v", phase, d, got, half-d)
			}
		}
	}
}
