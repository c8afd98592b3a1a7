package h2

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/net/http2"
)

// A Pool holds the connections of a client: one per host, and a further one
// when a server allows no more streams on it. It needs no closing: connections
// end by themselves some time after their last stream. The zero value is ready;
// a Pool must not be copied after first use.
type Pool struct {
	mu    sync.Mutex // taken with Conn.mu held, never the other way round
	hosts map[string]*host
}

type host struct {
	conns   []*Conn
	dialing *dialing // nil: nobody dials
}

// A dialing is a dial in progress, for which others wait.
type dialing struct {
	done chan struct{}
	err  error // for those who wait; nil: look again
}

// A DialFunc makes a Conn, by New.
type DialFunc func(context.Context) (*Conn, error)

// maxTries bounds how often a stream is tried that servers refuse to look at.
const maxTries = 3

var errNoStreams = errors.New("http2: the server allows no streams")

// Open opens a stream to the host called key, on a connection that is there or
// on one that dial makes. Dials to one host happen one after another, since the
// first one's connection may be enough for all who wait; when one fails, and
// not because its own context has ended, they fail as well.
func (p *Pool) Open(ctx context.Context, key string, req *Request, dial DialFunc) (*Stream, *Response, error) {
	var refused *Conn
	for try := 1; ; {
		c := p.pick(key, refused)
		var err error
		if c == nil {
			if c, err = p.dial(ctx, key, dial); c == nil && err == nil {
				continue
			}
		}
		var s *Stream
		var resp *Response
		if err == nil {
			s, resp, err = c.openReserved(ctx, req)
			refused = c
		}
		// RFC 9113, 8.7: "Requests that have not been processed have not
		// failed; clients MAY automatically retry them".
		if !errors.Is(err, errUnused) {
			return s, resp, err
		}
		if try++; try > maxTries {
			return nil, nil, &StreamError{Code: http2.ErrCodeRefusedStream}
		}
	}
}

// pick takes a place on a connection that is there; nil: there is none.
func (p *Pool) pick(key string, refused *Conn) *Conn {
	p.mu.Lock()
	var conns []*Conn
	if h := p.hosts[key]; h != nil {
		conns = h.conns // never changed in place
	}
	p.mu.Unlock()
	for _, c := range conns {
		if c != refused && c.reserve() {
			return c
		}
	}
	return nil
}

// dial makes a connection and takes a place on it, or waits for somebody else
// who makes one, and then returns nil.
func (p *Pool) dial(ctx context.Context, key string, dial DialFunc) (*Conn, error) {
	p.mu.Lock()
	h := p.hosts[key]
	if h == nil {
		if p.hosts == nil {
			p.hosts = make(map[string]*host)
		}
		h = new(host)
		p.hosts[key] = h
	}
	if d := h.dialing; d != nil {
		p.mu.Unlock()
		select {
		case <-d.done:
			return nil, d.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	d := &dialing{done: make(chan struct{})}
	h.dialing = d
	p.mu.Unlock()

	c, err := dial(ctx)
	if err == nil && !c.join(p) {
		c.mu.Lock()
		err = errNoStreams
		if c.away { // since New
			err = errUnused
		}
		c.shutLocked(err)
		c.mu.Unlock()
	}
	p.mu.Lock()
	h.dialing = nil
	if err == nil {
		h.conns = append(slices.Clip(h.conns), c)
	} else if ctx.Err() == nil && !errors.Is(err, errUnused) {
		d.err = err
	}
	close(d.done)
	p.tidyLocked(key, h)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.away { // since it joined
		p.forget(c)
	}
	c.mu.Unlock()
	return c, nil
}

func (p *Pool) tidyLocked(key string, h *host) {
	if h.dialing == nil && len(h.conns) == 0 {
		delete(p.hosts, key)
	}
}

// forget drops c, which can take no more streams. c.mu is held.
func (p *Pool) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, h := range p.hosts {
		if i := slices.Index(h.conns, c); i >= 0 {
			h.conns = slices.Delete(slices.Clone(h.conns), i, i+1)
			p.tidyLocked(key, h)
			return
		}
	}
}
