package walve

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

// A Conn is a WebSocket connection and a net.Conn.
//
// Read and Write carry a byte stream: message boundaries of the peer do not
// show, and each Write is one binary message. NextReader, NextMessage,
// ReadMessage, NextWriter and WriteMessage carry frames and messages on the
// same connection; the two kinds may be mixed.
//
// Every method may be called concurrently with every other. Concurrent Writes
// never interleave and concurrent Reads never lose or duplicate a byte. A
// control frame from the peer is only seen while some read is in progress:
// a Conn that nobody reads answers no Ping.
//
// Deadlines never harm the connection: after a timeout the next Read goes on
// where the last one stopped, and going on with p[n:] after Write returned n
// gives the peer every byte once. The exceptions are WriteMessage, which fails
// the write side if the deadline cuts it after its first frame, and nothing
// else.
//
// Errors other than a bare io.EOF are *net.OpError. io.EOF means that the
// peer has sent a Close frame with status 1000 or without one, outside any
// message. Below the *net.OpError, for errors.Is and errors.As, are:
//
//   - os.ErrDeadlineExceeded: a deadline has passed; the Conn can be used on
//   - net.ErrClosed: this side has closed
//   - *CloseError: the peer closed with another status
//   - *ProtocolError: the peer broke RFC 6455; it has been told
//   - io.ErrUnexpectedEOF: the stream ended without a Close frame, or with one
//     inside a message
//   - the system's error, such as ECONNRESET
//
// The zero Conn is not valid: Conns come from a Listener, Upgrade or a Dialer.
type Conn struct {
	s  stream.Stream
	hs *handshake

	in  inbound       // guarded by readTurn
	out outbound      // guarded by wireTurn
	z   *deflateState // nil without permessage-deflate

	active atomic.Bool // something was read since the keep-alive timer last looked
	more   atomic.Bool // messages are in the buffer of in, see gather

	mu         sync.Mutex // guards what follows; never held across I/O
	readTurn   turn       // held by the one who reads
	msgTurn    turn       // held by the one who writes a message or, by NextWriter, a frame
	wireTurn   turn       // held by the one who writes to the stream: a user's call or flush
	readBy     time.Time
	writeBy    time.Time
	closed     bool            // Close was called
	ended      bool            // a Close frame was queued, or can no longer be: nothing may be written
	applied    bool            // the stream's write deadline is writeBy
	timed      bool            // the stream has a write deadline
	userWrite  bool            // wireTurn is held by a user's call, whom writeBy governs
	flushing   bool            // the goroutine that sends what is left over is there
	framing    bool            // NextWriter's writer is open
	broken     bool            // the peer broke the protocol
	peerDone   bool            // the peer's Close frame was read
	deaf       bool            // nothing will be read any more, readErr says why
	halfClosed bool            // reads return io.EOF, hearControl reads
	reads      uint8           // counts reads, for the keep-alive timer
	seen       uint8           // reads when it sent its Ping
	idle       uint8           // its half intervals without anything read
	silent     uint8           // and those without a Write or a Ping of its own
	wrote      bool            // there was a Write since it last looked
	queued     *queue          // waits for whoever writes next; nil: nothing
	timerRound uint8           // for timer, see run
	timerAt    int32           // where it is among timer's
	timer      *keepAliveTimer // nil: no KeepAlive, or no more
	*rare
}

// rare holds what most Conns never need, so that an idle one stays small.
type rare struct {
	failed   error // *net.OpError that ended both directions
	writeErr error // *net.OpError that ended this side's writing
	readErr  error // why the Conn is deaf

	done    chan struct{} // closed when the Conn is, or fails; made by doneLocked
	changed chan struct{} // closed when a deadline is set; nil while nobody waits

	status StatusCode // of the peer's Close frame
	reason string
	pings  []*ping
	lastID uint64

	late []chunk // of ReadFrom, whose turn has not come; none while rare is shared
}

var noRare = &rare{} // shared until something is to be stored; never written

var (
	_ net.Conn      = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
)

// newConn returns a Conn on s, whose opening handshake is over; buffered is
// what came behind it and is copied.
func newConn(s stream.Stream, hs *handshake, buffered []byte) *Conn {
	c := &Conn{s: s, hs: hs, rare: noRare, applied: true}
	if hs.deflate != nil {
		c.z, hs.deflate = newDeflateState(hs.deflate), nil
	}
	c.in.stash(buffered)
	if hs.keepAlive > 0 {
		c.mu.Lock() // the interval may be short
		c.startTimerLocked()
		c.mu.Unlock()
	}
	return c
}

func (c *Conn) rareLocked() *rare {
	if c.rare == noRare {
		c.rare = &rare{}
	}
	return c.rare
}

// doneLocked returns the channel that ends every wait for a turn.
func (c *Conn) doneLocked() <-chan struct{} {
	r := c.rareLocked()
	if r.done == nil {
		r.done = make(chan struct{})
		if c.closed || c.failed != nil {
			close(r.done)
		}
	}
	return r.done
}

// wakeLocked ends the waits, once.
func (c *Conn) wakeLocked() {
	if c.done != nil {
		select {
		case <-c.done:
		default:
			close(c.done)
		}
	}
	c.stopTimerLocked()
	c.endPingsLocked()
}

// overLocked returns why nothing can be read or written any more.
func (c *Conn) overLocked() error {
	if c.closed {
		return net.ErrClosed
	}
	return c.failed
}

// fail ends both directions with err, at once and for good.
func (c *Conn) fail(op string, err error) {
	c.mu.Lock()
	if c.closed || c.failed != nil {
		c.mu.Unlock()
		return
	}
	c.rareLocked().failed = c.opError(op, err)
	c.wakeLocked()
	c.mu.Unlock()
	c.s.Abort()
}

// LocalAddr returns the socket's own address, a *net.TCPAddr on TCP.
func (c *Conn) LocalAddr() net.Addr { return c.s.LocalAddr() }

// RemoteAddr returns the peer's address, a *net.TCPAddr on TCP. On a server it
// is what http.Request.RemoteAddr said at the upgrade, so that middleware that
// knows the client's address behind a proxy is honoured.
func (c *Conn) RemoteAddr() net.Addr {
	if c.hs.remoteAddr != nil {
		return c.hs.remoteAddr
	}
	return c.s.RemoteAddr()
}

// NetConn returns the connection below: the *net.TCPConn, *net.UnixConn,
// *tls.Conn or what else the handshake ran on. Reading, writing or closing it
// breaks the framing; it is there for socket options and connection states.
// Over HTTP/2 other Conns share it, and on a server it is nil: net/http keeps
// it to itself.
func (c *Conn) NetConn() net.Conn { return stream.NetConn(c.s) }

// Subprotocol returns the subprotocol agreed on in the opening handshake, or
// the empty string (RFC 6455, 1.9).
func (c *Conn) Subprotocol() string { return c.hs.subprotocol }

// SetDeadline sets the read and the write deadline, see [Conn.SetReadDeadline]
// and [Conn.SetWriteDeadline].
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the time after which reads, those in progress included,
// fail with os.ErrDeadlineExceeded. Nothing is lost: the next read goes on. The
// zero time means never. It governs readers of NextReader and NextMessage too.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.overLocked(); err != nil {
		return c.opError("set", err)
	}
	c.readBy = t
	c.deadlineLocked()
	if c.halfClosed {
		return nil // hearControl knows no deadline
	}
	return c.s.SetReadDeadline(t)
}

// SetWriteDeadline sets the time after which writes, those in progress and
// those that wait for another to end included, fail with
// os.ErrDeadlineExceeded. The zero time means never. It does not govern the
// Pongs and Close frames that the Conn sends by itself, nor the rest of a frame
// that a deadline has cut: that leaves when the peer takes it.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.overLocked(); err != nil {
		return c.opError("set", err)
	}
	c.writeBy = t
	c.deadlineLocked()
	c.applied = false
	if !c.userWrite {
		return nil
	}
	return c.applyLocked()
}

// opError wraps err, of the stream or of the Conn, as net does: once, and
// around os.ErrDeadlineExceeded itself, since crypto/tls takes any timeout
// that is not Temporary for the end.
func (c *Conn) opError(op string, err error) error {
	if isTimeout(err) {
		err = os.ErrDeadlineExceeded
	} else if oe, ok := err.(*net.OpError); ok {
		if oe.Op == op {
			return oe
		}
		err = oe.Err
	}
	return stream.OpError(c, op, err)
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
