package stream

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxRecord is the payload of the largest TLS record (RFC 8446, 5.1).
	maxRecord = 16 << 10
	// maxRecords is how much payload is handed to crypto/tls at once, for which
	// a Large and the queue have room when it is records.
	maxRecords = 3 * maxRecord
)

// A Transport is a net.Conn to be put below crypto/tls, so that the Stream
// over the tls.Conn has write deadlines that can be recovered from without a
// copy of what it writes: when a deadline cuts a record, the Transport keeps
// the rest, sends it later, and reports success to crypto/tls.
//
// Until New is given the tls.Conn, a Transport is as the conn below it,
// deadlines included. From then on write deadlines are set through the Stream
// only; those that crypto/tls sets of its own (it does to close) do nothing.
//
// One thing is left to crypto/tls: its Read waits for its Write when the peer
// asks for a KeyUpdate while a Write is blocked and no deadline ends it.
type Transport struct {
	net.Conn
	sender atomic.Pointer[sender] // nil until New

	mu   sync.Mutex // until New: held by the one who writes
	held []byte     // by WriteRecords; nil: nothing is
}

// NewTransport returns a Transport over c.
func NewTransport(c net.Conn) *Transport { return &Transport{Conn: c} }

// NetConn returns the conn below.
func (t *Transport) NetConn() net.Conn { return t.Conn }

func (t *Transport) adopt(s *sender) {
	t.sender.Store(s)
	t.Conn.SetWriteDeadline(time.Time{})
}

// Write sends a record, or several. crypto/tls calls it from Write, from Read
// (KeyUpdate, alerts) and to close, never concurrently with itself.
func (t *Transport) Write(p []byte) (int, error) {
	if s := t.sender.Load(); s != nil {
		return s.writeRecord(p)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held != nil {
		t.held = append(t.held, p...)
		return len(p), nil
	}
	return t.Conn.Write(p)
}

// WriteRecords is c.Write. If c is a tls.Conn on a Transport, and not a Stream's,
// its records leave together, maxRecords at a time.
func WriteRecords(c net.Conn, p []byte) (n int, err error) {
	var t *Transport
	if tc, ok := c.(tlsConn); ok {
		t, _ = tc.NetConn().(*Transport)
	}
	for n < len(p) && err == nil {
		q := p[n:min(len(p), n+maxRecords)]
		var k int
		if t == nil || len(q) <= maxRecord {
			k, err = c.Write(q)
		} else {
			k, err = t.together(c, q)
		}
		n += k
	}
	return n, err
}

func (t *Transport) together(c net.Conn, p []byte) (n int, err error) {
	b := GetLarge()
	defer PutLarge(b)
	t.mu.Lock()
	t.held = b[:0]
	t.mu.Unlock()
	n, err = c.Write(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	held := t.held
	t.held = nil
	if _, werr := t.Conn.Write(held); werr != nil {
		return 0, werr // after which c is not to be used
	}
	return n, err
}

func (t *Transport) SetWriteDeadline(d time.Time) error {
	if t.sender.Load() != nil {
		return nil
	}
	return t.Conn.SetWriteDeadline(d)
}

func (t *Transport) SetDeadline(d time.Time) error {
	if t.sender.Load() != nil {
		return t.Conn.SetReadDeadline(d)
	}
	return t.Conn.SetDeadline(d)
}

// errQueueFull cannot come from Write, which waits for the queue to be empty.
var errQueueFull = errors.New("stream: too many TLS messages for a peer that does not read")

// writeRecord sends p, or as much as the deadline allows, and queues the rest.
// What crypto/tls sends from inside Read and to close is queued at once: the
// reader never waits for the peer to read.
func (s *sender) writeRecord(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records != nil && s.err == nil {
		s.records = append(s.records, p...)
		return len(p), nil
	}
	for s.flushing && s.err == nil {
		s.waitLocked(time.Time{})
	}
	return s.sendLocked(p)
}

// sendLocked is writeRecord of what is to leave now.
func (s *sender) sendLocked(p []byte) (n int, err error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.writing && !s.sending {
		s.mu.Unlock()
		n, err = s.raw.Write(p)
		s.mu.Lock()
		if err == nil || !isTimeout(err) {
			return n, err
		}
	}
	n += s.queue.put(p[n:])
	s.startLocked()
	if n < len(p) {
		s.err = errQueueFull
		return n, s.err
	}
	return n, nil
}

// recordStream is a Stream over a tls.Conn over a Transport.
type recordStream struct {
	tlsStream
}

// Write hands p to crypto/tls in pieces, so that what a deadline leaves to the
// queue is at most one, and so that n says exactly what was handed.
func (s *recordStream) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.begin(); err != nil {
		return 0, err
	}
	for {
		var k int
		k, err = s.writeRecords(p[n:min(len(p), n+maxRecords)])
		n += k
		if err != nil || n == len(p) {
			break
		}
		if err = s.begin(); err != nil {
			break
		}
	}
	if ferr := s.finish(err); n < len(p) {
		err = ferr
	}
	return n, err
}

// writeRecords hands p to crypto/tls and has all its records leave in one write,
// where crypto/tls would make one of each: also of the last, which is short if
// there is a frame's header before a payload of whole records.
func (s *recordStream) writeRecords(p []byte) (n int, err error) {
	if len(p) <= maxRecord {
		return s.conn.Write(p)
	}
	b := GetLarge()
	defer PutLarge(b)
	s.mu.Lock()
	s.records = b[:0]
	s.mu.Unlock()
	n, err = s.conn.Write(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.records
	s.records = nil
	s.flushing = true
	_, ferr := s.sendLocked(records)
	s.flushing = false
	s.changedLocked()
	if ferr != nil {
		if s.err == nil {
			s.err = ferr // crypto/tls has not seen it
		}
		return 0, ferr
	}
	return n, err
}

// begin waits, at most until the deadline, until a record can be handed to
// crypto/tls and sent by it.
func (s *recordStream) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.writableLocked(); err != nil {
			return err
		}
		if !s.sending {
			s.writing = true
			return nil
		}
		s.waitLocked(s.deadline)
	}
}

// finish ends a Write that stopped with err, and returns what to say of it.
func (s *recordStream) finish(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	if s.ending {
		s.startLocked()
		if err != nil {
			return s.opError("write", net.ErrClosed)
		}
	}
	return err
}
