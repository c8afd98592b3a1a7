package stream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// closeTimeout bounds how long Close waits for a peer to take what Write had
// taken and the close_notify alert. It is the time crypto/tls allows the latter.
const closeTimeout = 5 * time.Second

// sender is the write side of a Stream over TLS: it stands between write
// deadlines and crypto/tls, to which an error of a write is permanent, since
// a record that was sent in part cannot be taken back.
//
// What was taken and could not be sent yet waits in a queue, and a goroutine,
// run, sends it without regard to the deadline. The goroutine is there only
// while it has something to do.
type sender struct {
	conn tlsConn
	raw  net.Conn  // what conn runs on
	out  io.Writer // where run writes: raw (behind a Transport) or conn (pump)
	// below tells that the queue is of records, below conn. The write deadline
	// of raw is then that of the Stream, except while run is sending.
	below bool

	closed atomic.Bool // by Close or Abort; set under mu

	mu       sync.Mutex
	aborted  bool
	queue    queue
	sending  bool   // run is there
	writing  bool   // Write is handing records to conn
	records  []byte // and they are kept here until it has them all; nil: they are not
	flushing bool   // and it is sending them
	ending   bool   // CloseWrite or Close was called: no more Writes
	ended    bool   // and close_notify (and FIN) have left
	err      error
	deadline time.Time     // of writes
	wake     chan struct{} // closed at the next change of all this; nil: nobody waits
}

// waitLocked waits for a change, or until t unless it is zero. It gives up the
// lock while it waits.
func (s *sender) waitLocked(t time.Time) {
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	wake := s.wake
	s.mu.Unlock()
	defer s.mu.Lock()
	if t.IsZero() {
		<-wake
		return
	}
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

func (s *sender) changedLocked() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// writableLocked returns why a Write must not go on now, if anything.
func (s *sender) writableLocked() error {
	switch {
	case s.closed.Load() || s.ending:
		return s.opError("write", net.ErrClosed)
	case s.err != nil:
		return s.err
	case IsPast(s.deadline):
		return s.opError("write", os.ErrDeadlineExceeded)
	}
	return nil
}

// startLocked starts run unless it is there already.
func (s *sender) startLocked() {
	if s.sending {
		return
	}
	s.sending = true
	if s.below {
		s.raw.SetWriteDeadline(time.Time{})
	}
	go s.run()
}

// run sends the queue and then, if the stream is to end, its end.
func (s *sender) run() {
	s.mu.Lock()
	defer s.mu.Unlock()
	alerted := false
	for s.err == nil {
		var err error
		switch {
		case !s.queue.empty():
			p := s.queue.next()
			s.mu.Unlock()
			var n int
			n, err = s.out.Write(p)
			s.mu.Lock()
			s.queue.drop(n)
		case !s.ending || s.ended:
			s.idleLocked()
			return
		case !alerted:
			alerted = true
			s.mu.Unlock()
			err = s.conn.CloseWrite() // behind a Transport the alert goes to the queue
			s.mu.Lock()
		default:
			if !s.closed.Load() {
				s.mu.Unlock()
				err = closeWrite(s.raw)
				s.mu.Lock()
			}
			s.ended = true
		}
		if err != nil && s.err == nil {
			s.err = err
		}
		s.changedLocked()
	}
	s.queue.reset()
	s.idleLocked()
}

func (s *sender) idleLocked() {
	s.sending = false
	if s.below && !s.ending {
		s.raw.SetWriteDeadline(s.deadline)
	}
	s.changedLocked()
}

// endLocked begins to end the stream behind what was taken. A Write in
// progress stops at the next record.
func (s *sender) endLocked() {
	if s.ending {
		return
	}
	s.ending = true
	s.changedLocked()
	switch {
	case !s.writing:
		s.startLocked()
	case !s.sending:
		// Cut the record that Write may be waiting to send, into the queue.
		s.raw.SetWriteDeadline(aLongTimeAgo)
	}
}

// Flush waits until all that Write took is with the system, or until the write
// deadline.
func (s *sender) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && !s.queue.empty() {
		if IsPast(s.deadline) {
			return s.opError("write", os.ErrDeadlineExceeded)
		}
		s.waitLocked(s.deadline)
	}
	return s.err
}

func (s *sender) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked()
	for {
		switch {
		case s.closed.Load():
			return s.opError("close", net.ErrClosed)
		case s.err != nil:
			return s.err
		case s.ended:
			return nil
		case IsPast(s.deadline):
			return s.opError("close", os.ErrDeadlineExceeded)
		}
		s.waitLocked(s.deadline)
	}
}

func (s *sender) Close() error {
	s.mu.Lock()
	if s.closed.Load() {
		s.mu.Unlock()
		return s.opError("close", net.ErrClosed)
	}
	s.closed.Store(true)
	s.raw.SetReadDeadline(aLongTimeAgo) // a Read in progress returns
	s.endLocked()
	s.changedLocked()
	limit := time.Now().Add(closeTimeout)
	for !s.ended && s.err == nil && !IsPast(limit) {
		s.waitLocked(limit)
	}
	ended, err, aborted := s.ended, s.err, s.aborted
	s.mu.Unlock()
	if aborted { // what closes conn is Abort: closed the ordinary way, it would send no reset
		return nil
	}
	if !ended && err == nil {
		s.Abort()
		return s.opError("close", os.ErrDeadlineExceeded)
	}
	cerr := s.conn.Close()
	if err != nil {
		return nil // the peer was gone before: to TCP no error of Close either
	}
	return cerr
}

func (s *sender) Abort() {
	s.mu.Lock()
	s.closed.Store(true)
	s.aborted = true
	if s.err == nil {
		s.err = s.opError("write", net.ErrClosed)
	}
	s.changedLocked()
	s.mu.Unlock()
	abort(s.conn)
}

func (s *sender) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return s.opError("set", net.ErrClosed)
	}
	s.deadline = t
	s.changedLocked()
	if s.below && !s.sending && !s.ending {
		return s.raw.SetWriteDeadline(t)
	}
	return nil
}

func (s *sender) opError(op string, err error) error { return OpError(s.raw, op, err) }

// aLongTimeAgo is a deadline that interrupts at once.
var aLongTimeAgo = time.Unix(1, 0)

// isTimeout tells whether a deadline caused err. ETIMEDOUT calls itself a
// timeout too, but it is the end of the connection.
func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return false
	}
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
