package main

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/bodokaiser/walve"
)

// tunnels are those that are open.
type tunnels struct {
	metrics *metrics

	mu      sync.Mutex
	open    map[*tunnel]struct{}
	closed  bool          // no more are taken
	idle    chan struct{} // closed when none is open any more; made by drain
	pending int           // admitted, and neither open nor given up
	max     int           // 0: no limit
}

func newTunnels(m *metrics, max int) *tunnels {
	return &tunnels{metrics: m, open: make(map[*tunnel]struct{}), max: max}
}

// admit reserves a place, which run or giveUp takes back. It reports false if
// there is none.
func (ts *tunnels) admit() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed || ts.max > 0 && len(ts.open)+ts.pending >= ts.max {
		return false
	}
	ts.pending++
	return true
}

func (ts *tunnels) giveUp() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.pending--
	ts.idleLocked()
}

// run runs t in a place that admit has reserved.
func (ts *tunnels) run(t *tunnel) error {
	ts.mu.Lock()
	ts.pending--
	ts.open[t] = struct{}{}
	ts.mu.Unlock()
	ts.metrics.total.Add(1)

	err := t.run()

	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
	ts.metrics.sent.Add(t.sent.Load())
	ts.metrics.received.Add(t.received.Load())
	ts.metrics.countClose(t.ws)
	ts.idleLocked()
	return err
}

func (ts *tunnels) idleLocked() {
	if ts.idle != nil && len(ts.open) == 0 && ts.pending == 0 {
		close(ts.idle)
		ts.idle = nil
	}
}

func (ts *tunnels) list() []*tunnel {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	list := make([]*tunnel, 0, len(ts.open))
	for t := range ts.open {
		list = append(list, t)
	}
	return list
}

// count returns how many are open and what all have carried so far.
// With it comes what those have that have ended: at the same moment, or one that
// ends meanwhile would be in both or in neither.
func (ts *tunnels) count() (open int, sent, received int64) {
	for _, t := range ts.list() {
		t.interrupt() // what it adds shows in this count or in the next one
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	sent, received = ts.metrics.sent.Value(), ts.metrics.received.Value()
	for t := range ts.open {
		sent += t.sent.Load()
		received += t.received.Load()
	}
	return len(ts.open), sent, received
}

// drain takes no more, waits until all have ended or ctx does, cuts the rest
// with 1001 and returns how many that were. The process may end then: nothing
// that was sent is lost.
func (ts *tunnels) drain(ctx context.Context) int {
	ts.mu.Lock()
	ts.closed = true
	idle := make(chan struct{})
	ts.idle = idle
	ts.idleLocked()
	ts.mu.Unlock()

	select {
	case <-idle:
		return 0
	case <-ctx.Done():
	}
	rest := ts.list()
	var wg sync.WaitGroup
	for _, t := range rest {
		wg.Go(func() {
			t.cut()
			awaitClosed(t.ws)
		})
	}
	wg.Wait()
	return len(rest)
}

// awaitClosed waits, after Close, until the closing handshake in the background
// is over: if the process ended before, input that nobody has read would reset
// the connection, and the peer might lose what was sent last. There is no event
// for it, so the descriptor is asked.
func awaitClosed(ws *walve.Conn) {
	inner := ws.NetConn()
	if tc, ok := inner.(*tls.Conn); ok {
		inner = tc.NetConn()
	}
	// walve's own layer below TLS.
	if below, ok := inner.(interface{ NetConn() net.Conn }); ok {
		inner = below.NetConn()
	}
	sc, ok := inner.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	until := time.Now().Add(lingerTime)
	for raw.Control(func(uintptr) {}) == nil && time.Now().Before(until) {
		<-tick.C
	}
}
