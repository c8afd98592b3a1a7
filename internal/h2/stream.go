package h2

import (
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/net/http2"

	"github.com/bodokaiser/walve/internal/stream"
)

// A Stream is a stream.Stream that shares its connection with others. What was
// handed to the connection's queue counts as written: it leaves whatever
// becomes of the write deadline, and of the Stream unless that is aborted.
type Stream struct {
	c  *Conn
	id uint32

	rwake chan struct{} // holds a token when Read has to look again
	wwake chan struct{} // the same for Write

	// The rest is guarded by c.mu.
	resp     *Response
	interim  int // interim responses
	readErr  error
	writeErr error

	recv     recvQueue
	into     []byte // of a Read that waits
	got      int    // bytes in into
	inWindow int64  // what the server may send
	unacked  int64  // what was read and is not given back to inWindow yet
	lent     int64  // part of inWindow that is more than the window: see lendLocked
	window   int64  // what may be sent
	starved  bool   // a Write waits for it
	lending  bool   // lend is about to be called

	queued, granted bool // see waiters
	next            *Stream

	closed      bool // by Close or Abort
	localEnded  bool // END_STREAM was sent
	remoteEnded bool // END_STREAM has come
	gone        bool // no longer among the streams of c

	readBy, writeBy       time.Time
	readTimer, writeTimer *time.Timer
}

var (
	_ stream.Stream  = (*Stream)(nil)
	_ stream.Flusher = (*Stream)(nil)
)

// waitLocked gives up c.mu until there is something new for one direction.
func (s *Stream) waitLocked(wake chan struct{}) {
	s.c.mu.Unlock()
	<-wake
	s.c.mu.Lock()
}

// readyLocked waits until there is something to read; err says why not.
func (s *Stream) readyLocked(p []byte) error {
	defer func() { s.into = nil }()
	for {
		switch {
		case s.closed:
			return s.opError("read", net.ErrClosed)
		case s.got > 0:
			return nil
		case stream.IsPast(s.readBy):
			return s.opError("read", os.ErrDeadlineExceeded)
		case !s.recv.empty():
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

func (s *Stream) Read(p []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.readyLocked(p); err != nil {
		return 0, err
	}
	n := s.got
	s.got = 0
	if n < len(p) {
		n += s.recv.take(p[n:])
	}
	s.consumedLocked(n)
	return n, nil
}

// ReadBuffer is what stream.ReadBuffer does: nothing is held while it waits.
func (s *Stream) ReadBuffer() (*stream.Buffer, int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if err := s.readyLocked(nil); err != nil {
		return nil, 0, err
	}
	b := stream.GetBuffer()
	n := s.recv.take(b[:])
	s.consumedLocked(n)
	return b, n, nil
}

// putLocked takes payload: right into the buffer of a Read that waits, as far
// as it goes.
func (s *Stream) putLocked(p []byte) {
	if s.gone {
		return
	}
	if s.recv.empty() && s.got < len(s.into) {
		n := copy(s.into[s.got:], p)
		s.got += n
		p = p[n:]
	}
	s.recv.put(p)
	stream.Signal(s.rwake)
}

// consumedLocked gives n bytes back to the server's window, in large pieces.
func (s *Stream) consumedLocked(n int) {
	back := min(int64(n), s.lent)
	s.lent -= back
	s.unacked += int64(n) - back
	if s.unacked >= int64(s.c.cfg.Window)/4 {
		s.grantLocked(s.unacked)
		s.unacked = 0
	}
}

// grantLocked lets the server send n more bytes.
func (s *Stream) grantLocked(n int64) {
	if s.gone || s.remoteEnded {
		return
	}
	s.inWindow += n
	s.c.control(func(fr *http2.Framer) { fr.WriteWindowUpdate(s.id, uint32(n)) })
}

const (
	// lendStep is what net/http's server has in its queue for a stream at a
	// time, with walve: one Write of its handler.
	lendStep = 64 << 10
	// lendDelay is the time for the server to read what it has allowed: the
	// WINDOW_UPDATEs for all of that then pass at once, for one step.
	lendDelay = 10 * time.Millisecond
	// minLent bounds what is lent if the window is smaller. It is enough to
	// write 256 MiB to a server whose window is 1 MiB.
	minLent = 16 << 20
)

// lendLocked keeps a Write that has no window from waiting for a Read: the
// server of net/http queues the WINDOW_UPDATE of a stream behind the DATA of
// that stream, so that, when the client has not read all that its own window
// allows, what the server reads is never told. A little more window lets the
// DATA, and with it the WINDOW_UPDATE, pass. At most a second window is lent, or
// minLent, and taken back as the client reads.
func (s *Stream) lendLocked() {
	switch {
	case s.inWindow > 0:
	case s.unacked > 0:
		s.grantLocked(s.unacked)
		s.unacked = 0
	case s.lending || s.lent >= max(int64(s.c.cfg.Window), minLent):
	default:
		s.lending = true
		time.AfterFunc(lendDelay, s.lend)
	}
}

// lend is lendLocked, later, unless something has come in between.
func (s *Stream) lend() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.lending = false
	if s.window <= 0 && s.inWindow <= 0 && !s.gone {
		s.lent += lendStep
		s.grantLocked(lendStep)
	}
}

func (s *Stream) Write(p []byte) (n int, err error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(p) {
		if err = s.writableLocked(); err != nil {
			break
		}
		switch {
		case s.window <= 0:
			s.yieldLocked()
			s.starved = true
			s.lendLocked()
			s.waitLocked(s.wwake)
			s.starved = false
		case c.window <= 0 || !c.roomLocked() || !s.granted && !c.waiting.empty():
			s.granted = false
			c.waiting.push(s)
			c.grantLocked()
			s.waitLocked(s.wwake)
		default:
			k := min(len(p)-n, maxWriteFrame, int(c.maxFrame), int(min(s.window, c.window)))
			c.data(s.id, p[n:n+k], false)
			s.window -= int64(k)
			c.window -= int64(k)
			n += k
			s.granted = false
		}
	}
	s.yieldLocked()
	return n, err
}

// yieldLocked leaves what the connection has to give to the other streams.
func (s *Stream) yieldLocked() {
	s.granted = false
	s.c.waiting.remove(s)
	s.c.grantLocked()
}

func (s *Stream) writableLocked() error {
	switch {
	case s.closed || s.localEnded:
		return s.opError("write", net.ErrClosed)
	case s.writeErr != nil:
		return s.opError("write", s.writeErr)
	case stream.IsPast(s.writeBy):
		return s.opError("write", os.ErrDeadlineExceeded)
	}
	return nil
}

// Flush waits until what was written is with the connection below, or until the
// write deadline.
func (s *Stream) Flush() error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for queued := c.queuedLocked(); c.sent < queued; {
		switch {
		case s.closed:
			return s.opError("write", net.ErrClosed)
		case s.writeErr != nil:
			return s.opError("write", s.writeErr)
		case c.failed:
			return s.opError("write", c.err)
		case stream.IsPast(s.writeBy):
			return s.opError("write", os.ErrDeadlineExceeded)
		}
		if c.flushed == nil {
			c.flushed = make(chan struct{})
		}
		flushed := c.flushed
		c.mu.Unlock()
		select {
		case <-flushed:
		case <-s.wwake:
		}
		c.mu.Lock()
	}
	return nil
}

func (s *Stream) CloseWrite() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.closed:
		return s.opError("close", net.ErrClosed)
	case s.writeErr != nil:
		return s.opError("close", s.writeErr)
	}
	s.endLocked()
	return nil
}

// endLocked sends END_STREAM, behind all that was written.
func (s *Stream) endLocked() {
	if s.localEnded || s.gone {
		return
	}
	s.localEnded = true
	s.c.data(s.id, nil, true)
	stream.Signal(s.wwake)
	if s.remoteEnded {
		s.removeLocked()
	}
}

// Close ends the Stream. Unless the server has ended its side, it is told that
// nobody reads any more.
func (s *Stream) Close() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed {
		return s.opError("close", net.ErrClosed)
	}
	s.endLocked()
	s.closeLocked()
	return nil
}

// Abort resets the Stream: RFC 8441, 5, "RST exceptions are represented with
// the RST_STREAM frame with a CANCEL error code".
func (s *Stream) Abort() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.closed {
		s.closeLocked()
	}
}

func (s *Stream) closeLocked() {
	s.closed = true
	if !s.gone {
		s.c.frame(func(fr *http2.Framer) { fr.WriteRSTStream(s.id, http2.ErrCodeCancel) })
		s.removeLocked()
	}
	s.recv.reset()
	for _, t := range [...]*time.Timer{s.readTimer, s.writeTimer} {
		if t != nil {
			t.Stop()
		}
	}
	stream.Signal(s.rwake)
	stream.Signal(s.wwake)
}

// remoteEndLocked acts on END_STREAM.
func (s *Stream) remoteEndLocked() {
	if s.gone {
		return
	}
	s.remoteEnded = true
	s.readErr = io.EOF
	stream.Signal(s.rwake)
	if s.localEnded {
		s.removeLocked()
	}
}

// resetLocked resets the Stream, which is among those of c, because of what the
// server did on it.
func (s *Stream) resetLocked(code http2.ErrCode, reason string) {
	s.c.frame(func(fr *http2.Framer) { fr.WriteRSTStream(s.id, code) })
	s.overLocked(&StreamError{Code: code, Reason: reason})
}

// overLocked ends both directions of the Stream, which is among those of c, with
// err. What has come can still be read, and a clean end before a reset stays
// one: RFC 9113, 8.1, a server may ask by NO_ERROR not to be sent the rest of a
// request, and "Clients MUST NOT discard responses as a result".
func (s *Stream) overLocked(err error) {
	s.failLocked(err)
	s.removeLocked()
}

func (s *Stream) failLocked(err error) {
	s.gone = true
	if s.readErr == nil {
		s.readErr = err
	}
	s.writeErr = err
	stream.Signal(s.rwake)
	stream.Signal(s.wwake)
}

// removeLocked takes the Stream, which is over, from the connection.
func (s *Stream) removeLocked() {
	s.gone = true
	s.c.waiting.remove(s)
	if s.c.streams[s.id] == s {
		delete(s.c.streams, s.id)
		s.c.releaseLocked()
	}
}

func (s *Stream) SetReadDeadline(t time.Time) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed {
		return s.opError("set", net.ErrClosed)
	}
	s.readBy = t
	s.readTimer = stream.ResetTimer(s.readTimer, t, s.rwake)
	return nil
}

func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed {
		return s.opError("set", net.ErrClosed)
	}
	s.writeBy = t
	s.writeTimer = stream.ResetTimer(s.writeTimer, t, s.wwake)
	return nil
}

func (s *Stream) LocalAddr() net.Addr  { return s.c.nc.LocalAddr() }
func (s *Stream) RemoteAddr() net.Addr { return s.c.nc.RemoteAddr() }

// NetConn returns the connection that the Stream shares.
func (s *Stream) NetConn() net.Conn { return s.c.nc }

func (s *Stream) opError(op string, err error) error { return opError(s.c.nc, op, err) }
