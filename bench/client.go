package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Client is the client process of a trial.
type Client struct {
	Work  Work
	Addr  string // the server's
	Relay string // where the server takes the bytes of Relay from
	TLS   *tls.Config

	peer     *Peer
	payloads [][]byte     // of the messages
	links    []Link       // of the library
	raw      []*rawConn   // of the counterpart
	up       net.Conn     // to Relay
	received *meter       // of a library with events: bytes, or round trips
	toSend   atomic.Int64 // messages that its events have still to send
	failed   chan error

	sharedOnce sync.Once
	shared     any
}

// Shared returns what make returned the first time: what a peer's dials have
// in common.
func (c *Client) Shared(make func() any) any {
	c.sharedOnce.Do(func() { c.shared = make() })
	return c.shared
}

// startClient connects, and checks that messages come back as they were sent.
func startClient(ctx context.Context, c *Client) error {
	c.received, c.failed = newMeter(), make(chan error, 1)
	c.payloads = c.Work.payloads()
	if c.Work.Kind == Handshake || c.Work.Kind == Idle {
		return nil
	}
	err := c.open(ctx, c.Work.Conns)
	if err != nil || c.Work.dials() {
		return err
	}
	if c.Work.Kind == Echo {
		return c.raw[0].checkEcho()
	}
	if c.Work.Kind == Relay {
		c.up, err = dialTCP(ctx, c.Relay)
	}
	return err
}

// checkEcho makes sure that the library is used in a way that works.
func (r *rawConn) checkEcho() error {
	if err := r.send(); err != nil {
		return err
	}
	want := payload(len(r.wire))
	var got []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := r.c.Read(buf)
		got = append(got, buf[:n]...)
		k, cerr := r.count(buf[:n])
		r.ready += k
		if err = errors.Join(err, cerr); err != nil {
			return fmt.Errorf("first echo: %w", err)
		}
		if size := r.payloadSize(); r.ready >= size {
			r.ready -= size
			// The peer may have sent fragments: then only the end is compared.
			tail := want[:size]
			tail = tail[size-min(size, 16):]
			if r.ready != 0 || !bytes.HasSuffix(got, tail) {
				return errors.New("the echo differs from what was sent")
			}
			return nil
		}
	}
}

// payloadSize is that of a message.
func (r *rawConn) payloadSize() int {
	if r.plain {
		return len(r.wire)
	}
	n, _ := frameLength(r.wire)
	return int(n)
}

// open connects n connections more.
func (c *Client) open(ctx context.Context, n int) error {
	var mu sync.Mutex
	return c.parallel(int64(n), func() error {
		var l Link
		var r *rawConn
		var err error
		if c.Work.dials() {
			l, err = c.peer.Dial(ctx, c)
		} else {
			r, err = dialRaw(ctx, c, !c.peer.Raw)
		}
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if r != nil {
			c.raw = append(c.raw, r)
		} else {
			c.links = append(c.links, l)
		}
		return nil
	})
}

// parallel calls f n times, from as many goroutines as there are connections
// at a time, 16 at most.
func (c *Client) parallel(n int64, f func() error) error {
	var next atomic.Int64
	return each(min(max(c.Work.Conns, 1), 16), func(int) error {
		for next.Add(1) <= n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})
}

// each calls f for 0 to n-1 at the same time and returns the first error.
func each(n int, f func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	var first error
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Run does the client's part of n operations.
func (c *Client) Run(ctx context.Context, n int64) (time.Duration, error) {
	start := time.Now()
	var err error
	switch {
	case c.Work.Kind == Handshake:
		err = c.parallel(n, func() error { return c.handshake(ctx) })
	case c.Work.Kind == Idle:
		err = c.open(ctx, int(n))
	case !c.Work.dials():
		err = c.runRaw(n)
	case c.links[0].Event != nil:
		err = c.runEvents(n)
	default:
		err = each(len(c.links), func(i int) error {
			n := n / int64(len(c.links))
			if l := c.links[i]; l.Stream != nil {
				return c.runStream(l.Stream, n)
			}
			return c.runMessages(c.links[i].Message, i, n)
		})
	}
	return time.Since(start), err
}

// Poke sends a message on every connection, and waits for it to come back if
// it asks for that.
func (c *Client) Poke(answer bool) error {
	p := bytes.Clone(c.payloads[0])
	if answer {
		p[0] = answerMe
	}
	if c.Work.dials() {
		return c.pokeLinks(p, answer)
	}
	wire := wireMessage(p, !c.peer.Raw, true)
	return each(min(16, len(c.raw)), func(i int) error {
		for ; i < len(c.raw); i += 16 {
			r := c.raw[i]
			if _, err := r.c.Write(wire); err != nil {
				return err
			}
			if !answer {
				continue
			}
			if r.buf == nil {
				r.buf = make([]byte, 2*smallBuffer)
			}
			if err := r.receive(int64(c.Work.Size)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Client) pokeLinks(p []byte, answer bool) error {
	if answer {
		c.received.expect(int64(len(c.links)))
	}
	err := each(min(16, len(c.links)), func(i int) error {
		for ; i < len(c.links); i += 16 {
			if err := c.pokeLink(c.links[i], p, answer); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || c.links[0].Event == nil {
		return err
	}
	return c.received.wait(c.failed)
}

func (c *Client) pokeLink(l Link, p []byte, answer bool) error {
	if l.Event != nil {
		return l.Event.WriteMessage(p)
	}
	err := l.Message.WriteMessage(p)
	if err == nil && answer {
		_, err = l.Message.ReadMessage()
	}
	return err
}

func (c *Client) handshake(ctx context.Context) error {
	if c.Work.Role == AsServer {
		// What is asked for is the same for raw TCP.
		conn, err := connect(ctx, c, true)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	l, err := c.peer.Dial(ctx, c)
	if err != nil {
		return err
	}
	l.Close() // its error may be that the peer has gone
	return nil
}

func (c *Client) runRaw(n int64) error {
	size := int64(c.Work.Size)
	switch c.Work.Kind {
	case Echo:
		return c.pipeline(n)
	case Upload:
		for ; n > 0; n -= size {
			if err := c.raw[0].send(); err != nil {
				return err
			}
		}
		return nil
	case Relay:
		failed := make(chan error, 1)
		p := payload(c.Work.Size)
		go func() { failed <- writeBytes(c.up.Write, p, n) }()
		if err := c.raw[0].receive(n); err != nil {
			return err
		}
		return <-failed
	default:
		return c.raw[0].receive(n)
	}
}

// pipeline sends Depth messages at once on each connection, waits until all
// have come back, and goes on until there were n in all.
func (c *Client) pipeline(n int64) error {
	depth := int64(max(c.Work.Depth, 1))
	rounds := n / depth / int64(len(c.raw))
	return each(len(c.raw), func(i int) error {
		r := c.raw[i]
		burst := bytes.Repeat(r.wire, int(depth))
		for range rounds {
			if _, err := r.c.Write(burst); err != nil {
				return err
			}
			if err := r.receive(depth * int64(c.Work.Size)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Client) runStream(s StreamConn, n int64) error {
	p := payload(c.Work.Size)
	switch c.Work.Kind {
	case Echo:
		buf := make([]byte, c.Work.Size)
		for range n {
			if _, err := s.Write(p); err != nil {
				return err
			}
			if _, err := io.ReadFull(s, buf); err != nil {
				return err
			}
		}
		return nil
	case Upload:
		return writeBytes(s.Write, p, n)
	default:
		for n > 0 {
			m, err := s.Read(p)
			n -= int64(m)
			if err != nil && n > 0 {
				return err
			}
		}
		return nil
	}
}

// runMessages has n messages come back, beginning with the first one's number.
func (c *Client) runMessages(m MessageConn, first int, n int64) error {
	for i := range n {
		p := c.payload(int64(first) + i)
		if err := m.WriteMessage(p); err != nil {
			return err
		}
		got, err := m.ReadMessage()
		if err != nil {
			return err
		}
		if len(got) != len(p) {
			return fmt.Errorf("a message of %d bytes came back with %d", len(p), len(got))
		}
	}
	return nil
}

func (c *Client) payload(i int64) []byte { return c.payloads[i%int64(len(c.payloads))] }

// runEvents starts what Message goes on with.
func (c *Client) runEvents(n int64) error {
	if c.Work.Kind == Upload {
		e := c.links[0].Event
		return writeBytes(func(p []byte) (int, error) { return len(p), e.WriteMessage(p) }, c.payloads[0], n)
	}
	c.received.expect(n)
	if c.Work.Kind == Echo {
		c.toSend.Store(n)
		for _, l := range c.links {
			if err := c.sendNext(l.Event); err != nil {
				return err
			}
		}
	}
	return c.received.wait(c.failed)
}

// sendNext sends a message on e unless enough were sent.
func (c *Client) sendNext(e EventConn) error {
	left := c.toSend.Add(-1)
	if left < 0 {
		return nil
	}
	return e.WriteMessage(c.payload(left))
}

func (c *Client) Opened(EventConn) {}

func (c *Client) Message(e EventConn, p []byte) {
	switch c.Work.Kind {
	case Echo:
	case Idle:
		c.received.add(1)
		return
	default:
		c.received.add(len(p))
		return
	}
	c.received.add(1)
	if err := c.sendNext(e); err != nil {
		select {
		case c.failed <- err:
		default:
		}
	}
}

// Close closes the connections.
func (c *Client) Close() {
	for _, l := range c.links {
		l.Close()
	}
	if c.up != nil {
		c.up.Close()
	}
	for _, r := range c.raw {
		r.Close()
	}
}
