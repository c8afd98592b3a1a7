package faults_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A proxy carries TCP connections from a client to a server, and does to them
// what their plan says.
type proxy struct {
	addr    string
	ln      net.Listener
	dial    func() (net.Conn, error)
	plan    func(i int) plan // of the i-th connection
	ended   chan struct{}
	running sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	// partitioned swallows what comes from now on, in both directions.
	partitioned atomic.Bool
	// underWay is how many directions have carried 512 KiB.
	underWay atomic.Int64
}

// A plan says what happens to a connection, by direction.
type plan struct{ up, down fault }

// unhurried leaves the machine some time for others.
func unhurried(int) plan {
	f := fault{delay: func() time.Duration { return 5 * time.Millisecond }}
	return plan{f, f}
}

// A fault is what happens to a direction of a connection. The zero value hands
// everything on as it comes.
type fault struct {
	split func() int           // the bytes of the next piece; nil: all that is there
	delay func() time.Duration // before each piece
	at    int64                // the bytes behind which the action happens
	do    action
	pause time.Duration // of stall
}

type action int

const (
	nothing   action = iota
	stall            // pauses, reading no more, and goes on
	halfClose        // sends FIN instead of the rest
	reset            // sends RST, to both ends
	corrupt          // changes one bit
	swallow          // drops the rest without a word, as a partition does
)

func newProxy(t testing.TB, network, server string, plan func(i int) plan) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{addr: ln.Addr().String(), ln: ln, plan: plan, ended: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.dial = func() (net.Conn, error) { return net.Dial(network, server) }
	p.running.Go(func() {
		for i := 0; ; i++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.carry(c, plan(i)) })
		}
	})
	t.Cleanup(p.close)
	return p
}

func (p *proxy) close() {
	close(p.ended)
	p.ln.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// hold has c closed with p, at the latest.
func (p *proxy) hold(c net.Conn) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	select {
	case <-p.ended:
		c.Close()
	default:
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		c.Close()
	}
}

func (p *proxy) carry(client net.Conn, how plan) {
	defer p.hold(client)()
	server, err := p.dial()
	if err != nil {
		return
	}
	defer p.hold(server)()
	var both sync.WaitGroup
	both.Go(func() { p.pump(server, client, how.up) })
	both.Go(func() { p.pump(client, server, how.down) })
	both.Wait()
}

// pump carries one direction to its end.
func (p *proxy) pump(dst, src net.Conn, f fault) {
	buf := make([]byte, 32<<10)
	var seen int64
	for {
		n, err := src.Read(buf)
		if p.partitioned.Load() {
			p.drop(src)
			return
		}
		piece := buf[:n]
		if f.do != nothing && seen <= f.at && f.at < seen+int64(n) {
			cut := int(f.at - seen)
			if f.do == corrupt {
				piece[cut] ^= 1
			} else {
				if p.send(dst, piece[:cut], f) != nil || !p.act(dst, src, f) {
					return
				}
				piece = piece[cut:]
			}
		}
		if seen < 512<<10 && seen+int64(n) >= 512<<10 {
			p.underWay.Add(1)
		}
		seen += int64(n)
		if p.send(dst, piece, f) != nil {
			reset.both(dst, src) // dst is gone, which src is told
			return
		}
		if err == io.EOF {
			dst.(interface{ CloseWrite() error }).CloseWrite()
			return
		}
		if err != nil {
			if !p.partitioned.Load() {
				reset.both(dst, src)
			}
			return
		}
	}
}

// act does what f says, and reports whether the direction goes on.
func (p *proxy) act(dst, src net.Conn, f fault) bool {
	switch f.do {
	case stall:
		return p.wait(f.pause)
	case halfClose:
		dst.(interface{ CloseWrite() error }).CloseWrite()
		io.Copy(io.Discard, src)
	case reset:
		reset.both(dst, src)
	case swallow:
		p.drop(src)
	}
	return false
}

// drop reads src and tells nobody, until p ends: no FIN passes either.
func (p *proxy) drop(src net.Conn) {
	io.Copy(io.Discard, src)
	<-p.ended
}

func (action) both(conns ...net.Conn) {
	for _, c := range conns {
		if c, ok := c.(*net.TCPConn); ok {
			c.SetLinger(0)
		}
		c.Close()
	}
}

func (p *proxy) send(dst net.Conn, b []byte, f fault) error {
	for len(b) > 0 {
		n := len(b)
		if f.split != nil {
			n = min(n, f.split())
		}
		if f.delay != nil && !p.wait(f.delay()) {
			return net.ErrClosed
		}
		if _, err := dst.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// wait reports whether p has lived for d longer.
func (p *proxy) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ended:
		return false
	}
}
