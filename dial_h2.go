package walve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/bodokaiser/walve/internal/h2"
)

// An HTTP2Mode says when a Dialer uses HTTP/2 (RFC 8441), where many Conns to a
// server share one connection.
type HTTP2Mode uint8

const (
	// HTTP2Never is HTTP/1.1, with a connection for each Conn.
	HTTP2Never HTTP2Mode = iota
	// HTTP2Offered offers HTTP/2 and HTTP/1.1 to servers with TLS, by ALPN. If
	// the server chooses HTTP/1.1 the handshake goes on on the same connection.
	// If it chooses HTTP/2 and then does not take WebSockets there, a second
	// connection offers HTTP/1.1 only, as do all later ones to that server.
	// Without TLS it is as HTTP2Never.
	HTTP2Offered
	// HTTP2Always is HTTP/2 or an error; without TLS by prior knowledge (h2c).
	HTTP2Always
)

// shared is what a Dialer has in common for its Conns over HTTP/2.
type shared struct {
	pool h2.Pool

	mu    sync.Mutex
	http1 map[string]bool // hosts that speak HTTP/2 and do not take WebSockets there
}

func (s *shared) isHTTP1(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.http1[key]
}

func (s *shared) setHTTP1(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http1 == nil {
		s.http1 = make(map[string]bool)
	}
	s.http1[key] = true
}

// errHTTP1 says that the server prefers HTTP/1.1.
var errHTTP1 = errors.New("the server does not speak HTTP/2")

// wantsHTTP2 reports whether t is to be connected to by HTTP/2.
func (d *Dialer) wantsHTTP2(t *target) bool {
	return d.HTTP2 == HTTP2Always ||
		d.HTTP2 == HTTP2Offered && t.secure && !d.shared.isHTTP1(t.key())
}

// key names what connections to t have in common.
func (t *target) key() string {
	scheme := "http "
	if t.secure {
		scheme = "https "
	}
	return scheme + t.network + " " + t.addr + " " + t.hostname
}

// dialHTTP2 makes a Conn to t over HTTP/2, or falls back.
func (d *Dialer) dialHTTP2(ctx context.Context, t *target, req *request) (*Conn, error) {
	var http1 net.Conn // connected to t, after TLS
	dialed := false
	s, resp, err := d.shared.pool.Open(ctx, t.key(), req.connect(t), func(ctx context.Context) (c *h2.Conn, err error) {
		dialed = true
		c, http1, err = d.newHTTP2(ctx, t, req)
		return c, err
	})
	switch {
	case err == nil:
		return d.finishHTTP2(ctx, s, resp, t, req)
	case http1 != nil:
		return d.handshake(ctx, http1, false, t, req)
	case err == h2.ErrNoWebSocket && d.HTTP2 != HTTP2Always:
		d.shared.setHTTP1(t.key())
		return d.dialHTTP1(ctx, t, req)
	case err == errHTTP1 && d.HTTP2 != HTTP2Always: // as somebody else has found out
		return d.dialHTTP1(ctx, t, req)
	case err == h2.ErrNoWebSocket:
		return nil, &HandshakeError{Reason: "the server does not take WebSockets over HTTP/2", Err: err}
	}
	if !dialed && errors.As(err, new(*HandshakeError)) {
		return d.dialHTTP2(ctx, t, req) // somebody else's, whose Body can be read once
	}
	if _, ok := err.(*net.OpError); ok {
		return nil, err // of connect or a watcher
	}
	return nil, &net.OpError{Op: "dial", Net: t.network, Err: err}
}

// newHTTP2 connects to t. If the server chooses HTTP/1.1 it returns the
// connection and errHTTP1.
func (d *Dialer) newHTTP2(ctx context.Context, t *target, req *request) (*h2.Conn, net.Conn, error) {
	conn, err := d.connect(ctx, t, req.Request)
	if err != nil {
		return nil, nil, err
	}
	w := watch(ctx, conn)
	if t.secure {
		config := d.tlsConfig(t.hostname)
		config.NextProtos = []string{"h2", "http/1.1"}
		if d.HTTP2 == HTTP2Always {
			config.NextProtos = []string{"h2"}
		}
		tc, err := startTLS(ctx, conn, config)
		if err != nil {
			return nil, nil, w.failed(err)
		}
		conn = tc
		if tc.ConnectionState().NegotiatedProtocol != "h2" {
			if d.HTTP2 == HTTP2Always {
				return nil, nil, w.failed(errHTTP1)
			}
			w.stop()
			return nil, conn, errHTTP1
		}
	}
	c, err := h2.New(ctx, conn, h2.Config{Window: d.HTTP2Window})
	if err != nil && err != h2.ErrNoWebSocket {
		return nil, nil, w.failed(err)
	}
	if !w.stop() && err == nil {
		return nil, nil, w.failed(ctx.Err())
	}
	return c, nil, err
}

// connect returns the request as RFC 8441, 5, has it: without what switches
// protocols on HTTP/1.1, which package h2 leaves out, and without a key.
func (r *request) connect(t *target) *h2.Request {
	header := r.Header.Clone()
	delete(header, "Sec-Websocket-Key")
	if agent := header["User-Agent"]; len(agent) > 0 && agent[0] == "" {
		delete(header, "User-Agent")
	}
	return &h2.Request{Scheme: t.url.Scheme, Authority: r.Host, Path: r.URL.RequestURI(), Header: header}
}

// finishHTTP2 makes a Conn of s, on which the server has answered.
func (d *Dialer) finishHTTP2(ctx context.Context, s *h2.Stream, answer *h2.Response, t *target, req *request) (*Conn, error) {
	asked := *req.Request
	asked.Method, asked.Proto, asked.ProtoMajor, asked.ProtoMinor = http.MethodConnect, "HTTP/2.0", 2, 0
	resp := &http.Response{
		Status: strconv.Itoa(answer.Status) + " " + http.StatusText(answer.Status), StatusCode: answer.Status,
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: answer.Header,
		ContentLength: -1, Body: http.NoBody, Request: &asked,
	}
	d.noteResponse(resp, s.NetConn(), t, req)
	// RFC 8441, 4: "A 2xx (Successful) response"; 5: "the |Sec-WebSocket-Accept|
	// header field [is not] included".
	wrong := "the server does not open a websocket"
	var subprotocol string
	var agreed extensions
	if answer.Status/100 == 2 {
		subprotocol, agreed, wrong = checkAgreed(answer.Header, d.Subprotocols, d.Compression)
	}
	if wrong != "" {
		resp.Body = io.NopCloser(bytes.NewReader(readRefusal(ctx, s)))
		s.Abort()
		return nil, &HandshakeError{Response: resp, StatusCode: answer.Status, Reason: wrong}
	}
	hs := agreed.handshake(subprotocol, resp)
	hs.limits(d.MaxMessageSize, d.KeepAlive)
	return newConn(s, hs, nil), nil
}

// readRefusal returns the first KiB of the body, or what of it comes before
// long.
func readRefusal(ctx context.Context, s *h2.Stream) []byte {
	by := time.Now().Add(bodyTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(by) {
		by = d
	}
	s.SetReadDeadline(by)
	body, _ := io.ReadAll(io.LimitReader(s, keptBody))
	return body
}
