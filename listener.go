package walve

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
)

const defaultBacklog = 128

// A Listener is a net.Listener whose connections come from HTTP requests that
// ask for an upgrade to WebSocket, and the http.Handler for those requests.
// Mount it in any server, or let it run its own with Listen or Serve, or both.
//
// The zero value is ready to be mounted. The exported fields must be set before
// the first use and not change then; all methods may be called concurrently.
type Listener struct {
	// Upgrader says how requests are upgraded.
	Upgrader Upgrader

	// Backlog is the number of connections that may be upgraded, or about to
	// be, and not yet accepted; further requests for an upgrade are answered
	// with 503 and Retry-After. 0 or less means 128.
	Backlog int

	// Fallback answers the requests that ask for no upgrade to WebSocket. Nil
	// answers them as Upgrader.Upgrade does: with 426 Upgrade Required, or with
	// 405 or 400 if the method or the version of HTTP is wrong.
	Fallback http.Handler

	// TLSConfig is for the sockets of Listen and Serve; nil: they are plain.
	// HTTP/1.1 is the only protocol offered for ALPN, or h2 as well in a
	// program that imports package enable.
	TLSConfig *tls.Config

	mu        sync.Mutex
	queue     chan *Conn         // those not yet accepted; its capacity is the backlog
	done      chan struct{}      // closed when nothing can be accepted any more
	closed    bool               // done is closed
	err       error              // why, if it was not Close or Shutdown
	taken     int                // of the backlog: being upgraded or in queue
	upgrading int                // of taken: in ServeHTTP
	pumping   int                // in ServeHTTP, over HTTP/2
	conns     map[*Conn]struct{} // in queue, or accepted and not closed by the user
	idle      chan struct{}      // closed when upgrading and conns get to nothing; made by Shutdown
	onClose   func(*Conn)        // forget, as a value made once
	server    *http.Server       // of Listen and Serve; nil: none yet
	serving   sync.WaitGroup     // the goroutines that accept for server
	addr      net.Addr           // of the first socket; nil: none
	tlsConfig *tls.Config        // what is made of TLSConfig
}

var (
	_ net.Listener = (*Listener)(nil)
	_ http.Handler = (*Listener)(nil)
)

// initLocked readies a zero Listener.
func (l *Listener) initLocked() {
	if l.done != nil {
		return
	}
	n := l.Backlog
	if n <= 0 {
		n = defaultBacklog
	}
	l.queue = make(chan *Conn, n)
	l.done = make(chan struct{})
	l.conns = make(map[*Conn]struct{})
	l.onClose = l.forget
}

func (l *Listener) init() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.initLocked()
}

// Accept waits for the next connection, whose opening handshake is over, and
// returns it; it is a *Conn. After Close or Shutdown the error is a
// *net.OpError around net.ErrClosed, after a failure of the socket of Listen or
// Serve one around the cause.
func (l *Listener) Accept() (net.Conn, error) {
	l.init()
	select {
	case <-l.done:
		return nil, l.closedError("accept")
	default:
	}
	select {
	case c := <-l.queue:
		l.mu.Lock()
		l.taken--
		closed := l.closed
		l.mu.Unlock()
		if closed {
			l.turnAway(c)
			return nil, l.closedError("accept")
		}
		return c, nil
	case <-l.done:
		return nil, l.closedError("accept")
	}
}

// ServeHTTP upgrades r and queues the connection for Accept. On HTTP/1.1 it
// returns at once, and the connection lives on; on HTTP/2 (RFC 8441; see package
// enable) it returns when the connection was closed and the closing handshake
// is over.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.Fallback != nil && !asksForUpgrade(r) {
		l.Fallback.ServeHTTP(w, r)
		return
	}
	if refused := l.reserve(); refused != nil {
		reply(w, r, refused)
		return
	}
	if isExtendedConnect(r) {
		l.pumpConn(w, r)
		return
	}
	l.accept(w, r)
}

// accept upgrades r and uses the place that reserve has taken.
func (l *Listener) accept(w http.ResponseWriter, r *http.Request) (c *Conn) {
	// Also if CheckOrigin panics, which net/http survives, the place in the
	// backlog is given back.
	defer func() { l.enqueue(c) }()
	c, _ = l.Upgrader.upgrade(w, r, &handshake{request: r, onClose: l.onClose})
	return c
}

// reserve takes a place in the backlog, or says why there is none.
func (l *Listener) reserve() *HandshakeError {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.initLocked()
	if l.closed {
		return &HandshakeError{StatusCode: http.StatusServiceUnavailable, Reason: "the server is shutting down"}
	}
	if l.taken == cap(l.queue) {
		return &HandshakeError{StatusCode: http.StatusServiceUnavailable, Reason: "too many connections wait to be accepted"}
	}
	l.taken++
	l.upgrading++
	return nil
}

// enqueue uses the place that reserve has taken, or gives it back if c is nil.
func (l *Listener) enqueue(c *Conn) {
	l.mu.Lock()
	l.upgrading--
	queued := false
	if c != nil {
		l.conns[c] = struct{}{}
		if !l.closed {
			l.queue <- c // never blocks: taken bounds what is in there
			queued = true
		}
	}
	if !queued {
		l.taken--
	}
	l.idleLocked()
	l.mu.Unlock()
	if c != nil && !queued {
		l.turnAway(c)
	}
}

// turnAway closes c, which was never accepted.
func (l *Listener) turnAway(c *Conn) {
	c.CloseWithStatus(StatusGoingAway, "")
	l.forget(c)
}

// forget is called when c has been closed.
func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	l.idleLocked()
}

func (l *Listener) idleLocked() {
	if l.idle != nil && l.upgrading == 0 && len(l.conns) == 0 {
		close(l.idle)
		l.idle = nil
	}
}

// Close ends the sockets of Listen and Serve and closes the connections that
// were never accepted with StatusGoingAway. Accept, in progress too, then fails
// and requests for an upgrade are answered with 503. Connections that were
// accepted live on. After Close or Shutdown, or when a socket has failed, it
// returns net.ErrClosed in a *net.OpError.
func (l *Listener) Close() error {
	first, waiting := l.end(nil)
	l.closeServer()
	eachAtOnce(waiting, l.turnAway)
	if !first {
		return l.closedError("close")
	}
	return nil
}

// end lets nothing be accepted any more; err says why. It reports whether that
// was still to be done, and returns those that are to be turned away.
func (l *Listener) end(err error) (first bool, waiting []*Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.initLocked()
	if l.closed {
		return false, nil
	}
	l.closed, l.err = true, err
	close(l.done)
	for {
		select {
		case c := <-l.queue:
			l.taken--
			waiting = append(waiting, c)
		default:
			return true, waiting
		}
	}
}

// closeServer ends the sockets and the requests that are not upgraded yet.
func (l *Listener) closeServer() {
	l.mu.Lock()
	server := l.server
	l.mu.Unlock()
	if server != nil {
		l.stopServer(server)
		l.serving.Wait()
	}
}

// Shutdown is Close that waits: until the users of the connections that were
// accepted have closed them and, if there is a Fallback, until it has answered
// the requests that came through Listen or Serve. Programs that mount the
// Listener in a server of their own shut down both. When ctx ends before,
// Shutdown closes the rest with StatusGoingAway and returns ctx.Err(). It may
// be called after Close, to wait.
func (l *Listener) Shutdown(ctx context.Context) error {
	_, waiting := l.end(nil)
	l.mu.Lock()
	server := l.server
	idle := l.idle
	if idle == nil {
		idle = make(chan struct{})
		l.idle = idle
		l.idleLocked()
	}
	l.mu.Unlock()

	turned := make(chan struct{})
	go func() {
		eachAtOnce(waiting, l.turnAway)
		close(turned)
	}()
	var err error
	if server != nil && l.Fallback != nil {
		err = server.Shutdown(ctx)
	}
	// What is left are requests that ctx did not wait for, or that would get
	// 503.
	l.closeServer()
	<-turned // within a second or so: see Conn.Close

	select {
	case <-idle:
		return err
	default:
	}
	select {
	case <-idle:
		if ctx.Err() == nil {
			return err
		}
	case <-ctx.Done():
	}
	l.mu.Lock()
	rest := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	eachAtOnce(rest, func(c *Conn) { c.CloseWithStatus(StatusGoingAway, "") })
	return ctx.Err()
}

// eachAtOnce closes conns by f concurrently, since each may take a second if
// its peer is dead, and waits.
func eachAtOnce(conns []*Conn, f func(*Conn)) {
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() { f(c) })
	}
	wg.Wait()
}

// Addr returns the address of the first socket that Listen or Serve was given.
// Without one it is a *net.TCPAddr without IP and port: a Listener that is
// mounted does not know where.
func (l *Listener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addr == nil {
		return &net.TCPAddr{}
	}
	return l.addr
}

// closedError is the error of op after the end.
func (l *Listener) closedError(op string) error {
	addr := l.Addr()
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.err
	if err == nil || op == "close" {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: addr.Network(), Addr: addr, Err: err}
}
