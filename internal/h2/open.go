package h2

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A Request is an extended CONNECT for a WebSocket (RFC 8441, 4).
type Request struct {
	Scheme    string // https or http
	Authority string
	Path      string // with the query
	Header    http.Header
}

// A Response is the header of the server's answer. It is not an interim one.
type Response struct {
	Status int
	Header http.Header
}

// Open opens a stream and waits for the response, which may be a refusal: the
// Stream then reads its body. ctx has no effect on the Stream once there is one.
func (c *Conn) Open(ctx context.Context, req *Request) (*Stream, *Response, error) {
	if !c.reserve() {
		return nil, nil, errUnused
	}
	return c.openReserved(ctx, req)
}

// openReserved is Open with the place that reserve has taken.
func (c *Conn) openReserved(ctx context.Context, req *Request) (*Stream, *Response, error) {
	s, err := c.start(req)
	if err != nil {
		return nil, nil, err
	}
	for {
		c.mu.Lock()
		resp, err := s.resp, s.readErr
		c.mu.Unlock()
		switch {
		case resp != nil:
			return s, resp, nil
		case err != nil:
			s.Abort()
			return nil, nil, err
		}
		select {
		case <-s.rwake:
		case <-ctx.Done():
			s.Abort()
			return nil, nil, ctx.Err()
		}
	}
}

// start sends the request.
func (c *Conn) start(req *Request) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.away {
		c.releaseLocked()
		return nil, errUnused // nothing was sent
	}
	s := &Stream{
		c: c, id: c.nextID, window: c.initWindow, inWindow: int64(c.cfg.Window),
		rwake: make(chan struct{}, 1), wwake: make(chan struct{}, 1),
	}
	c.streams[s.id] = s
	// RFC 9113, 5.1.1: "A client that is unable to establish a new stream
	// identifier can establish a new connection for new streams."
	if c.nextID += 2; c.nextID > 1<<31-1 {
		c.away = true
		if c.pool != nil {
			c.pool.forget(c)
		}
	}
	c.encodeLocked(req)
	block := c.encBuf.Bytes()
	c.frame(func(fr *http2.Framer) {
		size := min(len(block), int(c.maxFrame), maxWriteFrame)
		fr.WriteHeaders(http2.HeadersFrameParam{
			StreamID: s.id, BlockFragment: block[:size], EndHeaders: size == len(block),
		})
		for block = block[size:]; len(block) > 0; block = block[size:] {
			size = min(len(block), size)
			fr.WriteContinuation(s.id, size == len(block), block[:size])
		}
	})
	return s, nil
}

// encodeLocked leaves the header of req in encBuf.
func (c *Conn) encodeLocked(req *Request) {
	c.encBuf.Reset()
	field := func(name, value string) {
		// RFC 7541, 7.1.3: what must not be guessed is not put into the table.
		secret := name == "authorization" || name == "cookie"
		c.enc.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: secret})
	}
	field(":method", "CONNECT")
	field(":protocol", "websocket")
	field(":scheme", req.Scheme)
	field(":authority", req.Authority)
	field(":path", req.Path)
	names := make([]string, 0, len(req.Header))
	for name := range req.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lower := strings.ToLower(name)
		if connectionSpecific(lower) || lower == "host" {
			continue
		}
		for _, v := range req.Header[name] {
			field(lower, v)
		}
	}
}
