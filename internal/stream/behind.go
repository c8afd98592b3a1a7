package stream

import (
	"net"
	"sync"
	"time"
)

// A ServerTransport is a Transport for an http.Server. Until New is given the
// tls.Conn, which for HTTP/2 never happens, it writes behind: crypto/tls writes
// every record by itself, 16 KiB at most, and encrypts the next one while a
// goroutine sends what has come together.
type ServerTransport struct {
	Transport

	mu      sync.Mutex
	changed sync.Cond
	next    *Large // what waits for the goroutine; nil: nothing
	n       int    // bytes of it
	sending bool   // the goroutine is there
	waiting bool   // Write waits for room
	closing bool
	err     error // of the goroutine, for the next Write
}

// NewServerTransport returns a ServerTransport over c.
func NewServerTransport(c net.Conn) *ServerTransport {
	t := &ServerTransport{Transport: Transport{Conn: c}}
	t.changed.L = &t.mu
	return t
}

// Write is as that of a Transport. An error of what it has taken is the next
// one's.
func (t *ServerTransport) Write(p []byte) (int, error) {
	if t.sender.Load() != nil {
		return t.Transport.Write(p)
	}
	t.mu.Lock()
	for len(p) > len(t.next) && t.sending { // a flight of the handshake, with many certificates
		t.changed.Wait()
	}
	if (len(p) < maxRecord || len(p) > len(t.next)) && !t.sending && t.err == nil {
		t.mu.Unlock()
		return t.Conn.Write(p) // the last record of a message: there is nothing to wait for
	}
	defer t.mu.Unlock()
	t.waiting = true
	for t.n+len(p) > len(t.next) && t.err == nil && !t.closing {
		t.changed.Wait()
	}
	t.waiting = false
	if t.err != nil {
		return 0, t.err
	}
	if t.closing {
		return 0, net.ErrClosed
	}
	if t.next == nil {
		t.next = GetLarge()
	}
	t.n += copy(t.next[t.n:], p)
	if !t.sending {
		t.sending = true
		go t.send()
	}
	return len(p), nil
}

func (t *ServerTransport) send() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.n > 0 && t.err == nil {
		b, n := t.next, t.n
		t.next, t.n = nil, 0
		t.changed.Broadcast()
		t.mu.Unlock()
		_, err := t.Conn.Write(b[:n])
		PutLarge(b)
		t.mu.Lock()
		t.err = err
	}
	t.sending = false
	t.changed.Broadcast()
}

// settle waits until nothing is left to be sent.
func (t *ServerTransport) settle() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.sending {
		t.changed.Wait()
	}
	return t.err
}

// Close sends what Write has taken, for at most the time that crypto/tls has for
// close_notify, unless a Write is waiting, which it ends.
func (t *ServerTransport) Close() error {
	t.mu.Lock()
	t.closing = true
	if t.sending && !t.waiting {
		t.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		for t.sending {
			t.changed.Wait()
		}
	}
	t.mu.Unlock()
	return t.Conn.Close()
}
