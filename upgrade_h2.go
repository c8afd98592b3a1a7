package walve

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

// handlerWait bounds how long Close on a Conn of Upgrade over HTTP/2 waits for
// the closing handshake, since the handler that returns next ends the stream.
const handlerWait = time.Second

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
	return newConn(stream.NewPump(&bodies{w: w, rc: rc, r: r, local: local, remote: remote}), hs, nil), nil
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

// pumpUntilClose has a goroutine do it, for a handler that goes on. Close then
// waits for it: behind the handler w may not be used.
func (c *Conn) pumpUntilClose() {
	p, ok := c.s.(*stream.Pump)
	if !ok {
		return
	}
	c.hs.onClose = func(*Conn) {
		timer := time.NewTimer(handlerWait)
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

// bodies are the two bodies of a request, as a stream.Duplex.
type bodies struct {
	w             http.ResponseWriter
	rc            *http.ResponseController
	r             *http.Request
	local, remote net.Addr
}

func (b *bodies) LocalAddr() net.Addr  { return b.local }
func (b *bodies) RemoteAddr() net.Addr { return b.remote }

func (b *bodies) Read(p []byte) (int, error) {
	n, err := b.r.Body.Read(p)
	if err != nil {
		err = bodyError(err)
	}
	return n, err
}

var errHandlerReturned = errors.New("walve: the handler has returned")

// Write sends p. A handler that returns before its Conn is closed takes w away;
// that breaks the rules of Upgrade, but must not end the program.
func (b *bodies) Write(p []byte) (n int, err error) {
	defer func() {
		if recover() != nil {
			n, err = 0, errHandlerReturned
		}
	}()
	if b.r.Context().Err() != nil {
		return 0, bodyError(b.r.Context().Err())
	}
	if n, err = b.w.Write(p); err == nil {
		err = b.rc.Flush()
	}
	if err != nil {
		err = bodyError(err)
	}
	return n, err
}

func (b *bodies) StopRead() {
	defer func() { recover() }()
	b.rc.SetReadDeadline(longAgo)
}

func (b *bodies) StopWrite() {
	defer func() { recover() }()
	b.rc.SetWriteDeadline(longAgo)
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
