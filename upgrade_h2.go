package walve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

// answerConnect answers r, an extended CONNECT, with 200 and returns the Conn,
// whose Pump nobody runs yet.
func (u *Upgrader) answerConnect(w http.ResponseWriter, r *http.Request, hs *handshake, accepted []extension) (*Conn, error) {
	rc := http.NewResponseController(w)
	// Those that the http.Server has set would end the stream; and a w that
	// does not know them is not the server's own.
	err := rc.SetReadDeadline(time.Time{})
	if err == nil {
		err = rc.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		return nil, reply(w, r, &HandshakeError{StatusCode: http.StatusInternalServerError, Reason: "the http.ResponseWriter has no deadlines", Err: err})
	}
	h := w.Header()
	for name := range h {
		if ownHeader(name) {
			delete(h, name)
		}
	}
	if hs.subprotocol != "" {
		h.Set("Sec-WebSocket-Protocol", hs.subprotocol)
	}
	if len(accepted) > 0 {
		h.Set("Sec-WebSocket-Extensions", string(appendExtensions(nil, accepted...)))
	}
	if _, ok := h["Date"]; !ok {
		h["Date"] = []string{httpDate(time.Now())}
	}
	w.WriteHeader(http.StatusOK)
	if err := rc.Flush(); err != nil {
		return nil, err
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		local = &net.TCPAddr{}
	}
	remote := rewrittenAddr(r.RemoteAddr, nil)
	if remote == nil {
		remote = unknownAddr(local)
	}
	hs.limits(u.MaxMessageSize, u.KeepAlive)
	b := &bodies{w: w, rc: rc, body: r.Body, ctx: r.Context(), local: local, remote: remote}
	p := stream.NewPump(b)
	context.AfterFunc(b.ctx, func() {
		if b.over() != nil {
			p.Lose()
		}
	})
	return newConn(p, hs, nil), nil
}

// lastDate is what httpDate has formatted last.
var lastDate atomic.Pointer[dateText]

type dateText struct {
	second int64
	text   string
}

// httpDate returns what net/http puts into the field Date otherwise, formatted
// once a second: it takes more stack than all else that an idle Conn's handler
// calls, which then keeps 8 KiB of it instead of 4.
func httpDate(now time.Time) string {
	last := lastDate.Load()
	if last == nil || last.second != now.Unix() {
		last = &dateText{now.Unix(), now.UTC().Format(http.TimeFormat)}
		lastDate.Store(last)
	}
	return last.text
}

// unknownAddr is the address of a peer that has none, as on a unix socket.
func unknownAddr(local net.Addr) net.Addr {
	if local.Network() == "unix" {
		return &net.UnixAddr{Net: "unix"}
	}
	return &net.TCPAddr{}
}

// runPump runs what a Conn over HTTP/2 needs of its handler, until the Conn is
// closed and the closing handshake over. On HTTP/1.1 it returns at once.
func (c *Conn) runPump() {
	if p, ok := c.s.(*stream.Pump); ok {
		p.Run()
	}
}

// pumpUntilClose has a goroutine do it, for a handler that goes on. Every Close
// waits for its end, a second one during the first too: the handler may return
// then, and behind it w may not be used.
func (c *Conn) pumpUntilClose() {
	p, ok := c.s.(*stream.Pump)
	if !ok {
		return
	}
	c.hs.release = func(by time.Time) {
		timer := time.NewTimer(time.Until(by))
		defer timer.Stop()
		select {
		case <-p.Done():
		case <-timer.C:
			p.Abort()
			<-p.Done()
		}
	}
	go p.Run()
}

// bodies are the two bodies of a request, as a stream.Duplex. Behind the
// handler body may be used, and fails; w may not, which net/http uses for
// another stream by then. If the handler breaks the rules of Upgrade and returns
// before its Conn is closed, ctx tells, as early as net/http can; what is left
// to the handler is to have no Write in progress in that moment.
type bodies struct {
	w             http.ResponseWriter
	rc            *http.ResponseController // of w
	body          io.ReadCloser
	ctx           context.Context // done when the stream is over or the handler has returned
	local, remote net.Addr
}

// over is ctx.Err, unless that is a deadline, which is never net/http's own but
// that of some middleware, for its requests.
func (b *bodies) over() error {
	if err := b.ctx.Err(); err != context.DeadlineExceeded {
		return err
	}
	return nil
}

func (b *bodies) LocalAddr() net.Addr  { return b.local }
func (b *bodies) RemoteAddr() net.Addr { return b.remote }

func (b *bodies) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil {
		err = bodyError(err)
	}
	return n, err
}

var errHandlerReturned = errors.New("walve: the handler has returned")

func (b *bodies) Write(p []byte) (n int, err error) {
	defer func() {
		if recover() != nil { // w is gone after all
			n, err = 0, errHandlerReturned
		}
	}()
	if err := b.over(); err != nil {
		return 0, bodyError(err)
	}
	if n, err = b.w.Write(p); err == nil {
		err = b.rc.Flush()
	}
	if err != nil {
		err = bodyError(err)
	}
	return n, err
}

// StopRead gets Read out of body; that of net/http allows it at any time.
func (b *bodies) StopRead() { b.body.Close() }

func (b *bodies) StopWrite() {
	defer func() { recover() }()
	if b.over() == nil {
		b.rc.SetWriteDeadline(longAgo)
	}
}

// A streamError is a stream that the client, or its connection, has ended. It
// is the system's ECONNRESET to errors.Is, and never a timeout: a deadline
// that net/http has met is no deadline of the Conn.
type streamError struct{ error }

func (e streamError) Unwrap() []error {
	if errors.Is(e.error, os.ErrDeadlineExceeded) {
		return []error{syscall.ECONNRESET}
	}
	return []error{syscall.ECONNRESET, e.error}
}

func (streamError) Timeout() bool { return false }

func bodyError(err error) error {
	if err == io.EOF { // the client has ended its side
		return err
	}
	return streamError{err}
}
