package stream

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Duplex is a byte stream without deadlines that can be recovered from, such
// as the two bodies that an HTTP/2 handler has. One goroutine calls Read and
// one Write at a time. Errors of Read and Write are final.
type Duplex interface {
	io.Reader
	io.Writer   // sends p at once
	StopRead()  // makes Read, in progress or later, return an error
	StopWrite() // the same for Write; the peer sees a reset
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// smallRead is what a Pump that waits for input holds.
const smallRead = 512

// A Pump is a Stream over a Duplex: deadlines govern the waiting for two
// bounded queues. One goroutine, which the caller lends it by Run, reads; one
// that is there only while there is something to send writes.
type Pump struct {
	d Duplex

	mu       sync.Mutex
	in, out  queue
	into     []byte // of a Read that waits
	got      int    // bytes in into
	readErr  error  // why no more comes
	writeErr error
	sending  bool // the goroutine that writes is there
	ending   bool // CloseWrite was called: no more Writes
	closed   bool // Close or Abort was called
	lost     bool // Lose was called
	left     bool // Run has returned: d is not touched any more
	readBy   time.Time
	writeBy  time.Time
	timers   [2]*time.Timer
	rwake    chan struct{} // holds a token when Read has to look again
	wwake    chan struct{} // the same for Write
	pwake    chan struct{} // the same for Run
	cwake    chan struct{} // the same for Close
	done     chan struct{} // closed when Run returns
	small    [smallRead]byte
}

// NewPump returns the Pump over d. Nothing is read before Run.
func NewPump(d Duplex) *Pump {
	wake := func() chan struct{} { return make(chan struct{}, 1) }
	return &Pump{d: d, rwake: wake(), wwake: wake(), pwake: wake(), cwake: wake(), done: make(chan struct{})}
}

var (
	_ Stream  = (*Pump)(nil)
	_ Flusher = (*Pump)(nil)
)

// Run reads, and returns when the Stream has ended: after Close, CloseWrite or
// Abort, when what was written before is with d or cannot be, when d's Read fails
// and after Lose. From then on d is not used.
func (s *Pump) Run() {
	s.read()
	s.mu.Lock()
	for !s.overLocked() && !s.deadLocked() {
		s.waitLocked(s.pwake)
	}
	s.left = true
	switch {
	case s.overLocked():
		s.failWriteLocked(net.ErrClosed)
	case s.readErr != io.EOF:
		s.failWriteLocked(s.readErr)
	default: // the end came first
		s.failWriteLocked(syscall.ECONNRESET)
	}
	close(s.done)
	s.mu.Unlock()
}

// Done is closed when Run returns.
func (s *Pump) Done() <-chan struct{} { return s.done }

// overLocked reports whether nothing is left for Run to do.
func (s *Pump) overLocked() bool { return (s.closed || s.ending) && !s.sending }

// Lose tells that d has failed, with or without a Read or Write that shows it:
// Run need not wait for Close, which may never come.
func (s *Pump) Lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = true
	Signal(s.pwake)
}

// deadLocked reports whether d has failed in both directions.
func (s *Pump) deadLocked() bool {
	return (s.lost || s.readErr != nil && s.readErr != io.EOF) && !s.sending
}

// read is the loop of Run. It holds a small buffer while nothing comes.
func (s *Pump) read() {
	p := s.small[:]
	var large *Large
	for {
		n, err := s.d.Read(p)
		s.mu.Lock()
		ok := s.takeLocked(p[:n])
		switch {
		case !ok: // err, if any, is the work of StopRead
			s.readErr = net.ErrClosed
		case err != nil:
			s.readErr = err
		}
		Signal(s.rwake)
		s.mu.Unlock()
		if !ok || err != nil {
			break
		}
		switch {
		case n < len(p) && large != nil: // there is no more now
			PutLarge(large)
			large, p = nil, s.small[:]
		case n == len(p) && large == nil:
			large = GetLarge()
			p = large[:]
		}
	}
	if large != nil {
		PutLarge(large)
	}
}

// takeLocked takes what was read, waiting for room, and reports whether more is
// wanted.
func (s *Pump) takeLocked(p []byte) bool {
	for {
		if s.closed || s.overLocked() {
			return false
		}
		if s.in.empty() && s.got < len(s.into) {
			n := copy(s.into[s.got:], p)
			s.got += n
			p = p[n:]
			Signal(s.rwake)
		}
		p = p[s.in.put(p):]
		if len(p) == 0 {
			return true
		}
		Signal(s.rwake)
		s.waitLocked(s.pwake)
	}
}

func (s *Pump) waitLocked(wake chan struct{}) {
	s.mu.Unlock()
	<-wake
	s.mu.Lock()
}

// readyLocked waits until there is something to read; err says why not.
func (s *Pump) readyLocked(p []byte) error {
	defer func() { s.into = nil }()
	for {
		switch {
		case s.closed:
			return s.opError("read", net.ErrClosed)
		case s.got > 0:
			return nil
		case IsPast(s.readBy):
			return s.opError("read", os.ErrDeadlineExceeded)
		case !s.in.empty():
			return nil
		case s.readErr == io.EOF:
			return io.EOF
		case s.readErr != nil:
			return s.opError("read", s.readErr)
		}
		s.into = p
		s.waitLocked(s.rwake)
	}
}

func (s *Pump) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.readyLocked(p); err != nil {
		return 0, err
	}
	n := s.got
	s.got = 0
	return n + s.fromQueueLocked(p[n:]), nil
}

func (s *Pump) readBuffer() (*Buffer, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readyLocked(nil); err != nil {
		return nil, 0, err
	}
	b := GetBuffer()
	return b, s.fromQueueLocked(b[:]), nil
}

func (s *Pump) fromQueueLocked(p []byte) (n int) {
	n = s.in.take(p)
	Signal(s.pwake)
	return n
}

func (s *Pump) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		switch {
		case s.closed || s.ending:
			return n, s.opError("write", net.ErrClosed)
		case s.writeErr != nil:
			return n, s.opError("write", s.writeErr)
		case IsPast(s.writeBy):
			return n, s.opError("write", os.ErrDeadlineExceeded)
		}
		k := s.out.put(p[n:])
		n += k
		switch {
		case k == 0:
			s.waitLocked(s.wwake)
		case !s.sending:
			s.sending = true
			go s.send()
		}
	}
	return n, nil
}

// Flush waits until what was written is with d, or until the write deadline.
func (s *Pump) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.sending && s.writeErr == nil {
		switch {
		case s.closed:
			return s.opError("write", net.ErrClosed)
		case IsPast(s.writeBy):
			return s.opError("write", os.ErrDeadlineExceeded)
		}
		s.waitLocked(s.wwake)
	}
	if s.writeErr != nil {
		return s.opError("write", s.writeErr)
	}
	return nil
}

// send is the goroutine that writes. It is there while there is something.
func (s *Pump) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var large *Large
	for !s.out.empty() && s.writeErr == nil {
		p, copied := s.out.next(), s.out.n > 1
		if copied {
			// What d does for each Write costs more than a copy.
			if large == nil {
				large = GetLarge()
			}
			p = large[:s.out.take(large[:])]
			Signal(s.wwake)
		}
		s.mu.Unlock()
		n, err := s.d.Write(p)
		s.mu.Lock()
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		if err != nil {
			s.failWriteLocked(err)
			break
		}
		if !copied {
			s.out.drop(n)
			Signal(s.wwake)
		}
	}
	if large != nil {
		PutLarge(large)
	}
	s.out.reset()
	s.sending = false
	s.stopReadLocked()
	Signal(s.cwake)
	Signal(s.wwake)
	Signal(s.pwake)
}

func (s *Pump) failWriteLocked(err error) {
	if s.writeErr == nil {
		s.writeErr = err
	}
	Signal(s.wwake)
}

// stopReadLocked gets Run out of d.Read once there is nothing left to do.
func (s *Pump) stopReadLocked() {
	if s.overLocked() && !s.left {
		s.d.StopRead()
		Signal(s.pwake)
	}
}

// CloseWrite has Run end behind what was written. It does not wait, and it ends
// the other direction too: a Duplex has no end of its own for one.
func (s *Pump) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.opError("close", net.ErrClosed)
	}
	s.ending = true
	Signal(s.wwake)
	s.stopReadLocked()
	return nil
}

// Close waits until what was written is with d, at most closeTimeout.
func (s *Pump) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.opError("close", net.ErrClosed)
	}
	s.closeLocked()
	timer := time.AfterFunc(closeTimeout, func() { Signal(s.cwake) })
	defer timer.Stop()
	for limit := time.Now().Add(closeTimeout); s.sending; {
		if IsPast(limit) {
			s.abortLocked()
			return s.opError("close", os.ErrDeadlineExceeded)
		}
		s.waitLocked(s.cwake)
	}
	return nil
}

func (s *Pump) closeLocked() {
	s.closed = true
	for _, t := range s.timers {
		if t != nil {
			t.Stop()
		}
	}
	s.in.reset()
	Signal(s.rwake)
	Signal(s.wwake)
	Signal(s.pwake)
	s.stopReadLocked()
}

// Abort ends both directions; the peer sees a reset.
func (s *Pump) Abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closeLocked()
	}
	s.abortLocked()
}

func (s *Pump) abortLocked() {
	s.failWriteLocked(net.ErrClosed)
	if !s.left {
		s.d.StopWrite()
		s.d.StopRead()
	}
}

func (s *Pump) SetReadDeadline(t time.Time) error {
	return s.setDeadline(&s.readBy, &s.timers[0], s.rwake, t)
}

func (s *Pump) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(&s.writeBy, &s.timers[1], s.wwake, t)
}

func (s *Pump) setDeadline(by *time.Time, timer **time.Timer, wake chan struct{}, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.opError("set", net.ErrClosed)
	}
	*by = t
	*timer = ResetTimer(*timer, t, wake)
	return nil
}

func (s *Pump) LocalAddr() net.Addr  { return s.d.LocalAddr() }
func (s *Pump) RemoteAddr() net.Addr { return s.d.RemoteAddr() }

func (s *Pump) opError(op string, err error) error { return OpError(s, op, err) }
