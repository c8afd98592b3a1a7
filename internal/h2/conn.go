package h2

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A Conn is the client's end of an HTTP/2 connection.
type Conn struct {
	nc   net.Conn
	cfg  Config
	pool *Pool // told when the Conn can take no more streams; nil: none

	in     inbound       // of the goroutine that reads
	ready  chan struct{} // closed when the first SETTINGS were read, or at the end
	wake   chan struct{} // of the goroutine that writes
	closed chan struct{} // closed when it has ended, and nc with it

	mu      sync.Mutex // guards what follows and the streams; never held across I/O
	err     error      // why it is over; nil: it is not
	streams map[uint32]*Stream
	nextID  uint32 // of the next stream; odd
	open    int    // streams, and places reserved for some
	failed  bool   // the writer has ended before its work was done
	away    bool   // no more streams: GOAWAY was read or sent, or IDs have run out
	lastID  uint32 // that the server has looked at, once it has said GOAWAY
	settled bool   // the first SETTINGS were read

	// What the server's SETTINGS say.
	maxStreams uint32
	maxFrame   uint32
	initWindow int64 // of streams
	connect    bool  // SETTINGS_ENABLE_CONNECT_PROTOCOL

	window  int64 // what may be sent on all streams together
	unacked int64 // what has come and was not given back to the server's window yet

	out     []byte        // frames that wait for the writer, in order
	ctl     []byte        // those that overtake them: WINDOW_UPDATE, PING and its answers
	acks    int           // answers in both
	waiting waiters       // streams that wait for window or for room in out
	taken   uint64        // times that the writer has taken out and ctl
	sent    uint64        // of those, how many are with nc
	flushed chan struct{} // closed when sent changes; nil while nobody waits
	framer  *http2.Framer
	target  *[]byte // where framer writes to: out or ctl
	enc     *hpack.Encoder
	encBuf  bytes.Buffer

	idle    *time.Timer // runs while there is no stream
	ping    *time.Timer
	heard   bool // since ping last looked
	pinging bool // a PING waits for its answer
	rate    rate
}

// New begins HTTP/2 on nc, which belongs to the Conn from then on, and waits
// for the server's SETTINGS. If those do not allow WebSockets the error is
// ErrNoWebSocket. On error nc is closed.
func New(ctx context.Context, nc net.Conn, cfg Config) (*Conn, error) {
	c := newConn(nc, cfg)
	go c.readLoop()
	go c.writeLoop()
	stop := context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })
	<-c.ready
	inTime := stop()
	c.mu.Lock()
	err := c.err
	if err == nil && !c.connect {
		err = ErrNoWebSocket
	}
	if err == nil && !inTime {
		err = ctx.Err()
	}
	if err == nil {
		c.idle = time.AfterFunc(c.cfg.IdleTimeout, c.idleTooLong)
	}
	c.mu.Unlock()
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		c.shut(err)
		<-c.closed
		if err == errIdle { // GOAWAY right behind SETTINGS
			err = errUnused
		}
		return nil, err
	}
	return c, nil
}

func newConn(nc net.Conn, cfg Config) *Conn {
	cfg = cfg.resolved()
	c := &Conn{
		nc: nc, cfg: cfg,
		ready: make(chan struct{}), closed: make(chan struct{}), wake: make(chan struct{}, 1),
		streams: make(map[uint32]*Stream), nextID: 1,
		// RFC 9113, 6.5.2: without SETTINGS the number of streams has no
		// bound, and a frame has 16,384 bytes.
		maxStreams: 1<<32 - 1, maxFrame: 16 << 10,
		initWindow: minWindow, window: minWindow,
	}
	c.in.r = bufio.NewReaderSize(nc, 32<<10)
	c.in.framer = http2.NewFramer(nil, c.in.r)
	c.in.framer.SetMaxReadFrameSize(readFrameSize)
	c.in.initDecoder()
	c.framer = http2.NewFramer(queueWriter{c}, nil)
	c.enc = hpack.NewEncoder(&c.encBuf)
	c.target = &c.out
	// In ctl, since nothing may overtake it: the server's SETTINGS and a PING can
	// come, and be answered, before this is sent.
	c.ctl = append(c.ctl, http2.ClientPreface...)
	c.control(func(fr *http2.Framer) {
		fr.WriteSettings(
			http2.Setting{ID: http2.SettingEnablePush, Val: 0},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(cfg.Window)},
			http2.Setting{ID: http2.SettingMaxFrameSize, Val: readFrameSize},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList},
		)
		fr.WriteWindowUpdate(0, uint32(cfg.connWindow()-minWindow))
	})
	if cfg.PingInterval > 0 {
		c.ping = time.AfterFunc(cfg.PingInterval, c.keepAlive)
	}
	return c
}

// fail ends the connection and all its streams with err, at once.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	c.endLocked(err)
	c.mu.Unlock()
	closeNow(c.nc)
}

// shut ends the connection and all its streams with err, and tells the server
// why before it closes.
func (c *Conn) shut(err error) {
	c.mu.Lock()
	c.shutLocked(err)
	c.mu.Unlock()
}

func (c *Conn) shutLocked(err error) {
	if c.err != nil {
		return
	}
	code := http2.ErrCodeNo
	if ce, ok := err.(*ConnError); ok {
		code = ce.Code
	}
	c.control(func(fr *http2.Framer) { fr.WriteGoAway(0, code, nil) })
	c.endLocked(err)
}

func (c *Conn) endLocked(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.away = true
	c.nc.SetWriteDeadline(time.Now().Add(goodbyeTimeout))
	for _, s := range c.streams {
		s.failLocked(err)
	}
	clear(c.streams)
	c.waiting = waiters{}
	if c.ping != nil {
		c.ping.Stop()
	}
	if c.idle != nil {
		c.idle.Stop()
	}
	if !c.settled {
		close(c.ready)
	}
	if c.pool != nil {
		c.pool.forget(c)
	}
	c.signalWriter()
}

// closeNow closes nc without a word: that of TLS would wait for a peer that
// may not read.
func closeNow(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		if below := t.NetConn(); below != nil {
			nc = below
		}
	}
	nc.Close()
}

// reserve takes a place for a stream, and reports whether there was one.
func (c *Conn) reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.away || uint32(c.open) >= c.maxStreams {
		return false
	}
	c.open++
	c.idle.Stop()
	return true
}

// join takes a place for a stream and makes c a part of p, which does not know
// it yet.
func (c *Conn) join(p *Pool) bool {
	if !c.reserve() {
		return false
	}
	c.mu.Lock()
	c.pool = p
	c.mu.Unlock()
	return true
}

// releaseLocked gives a place back. The Conn ends some time after its last
// stream, or with it if it can take no more.
func (c *Conn) releaseLocked() {
	c.open--
	switch {
	case c.err != nil:
	case c.open == 0 && c.away:
		c.shutLocked(errIdle)
	case c.open == 0:
		c.idle.Reset(c.cfg.IdleTimeout)
	}
}

func (c *Conn) idleTooLong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == 0 {
		c.shutLocked(errIdle)
	}
}

// keepAlive runs on the Conn's timer: silence for a whole interval sends a
// PING, silence after that ends the Conn.
func (c *Conn) keepAlive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.cfg.PingInterval
	switch {
	case c.err != nil:
		return
	case c.heard:
		c.heard, c.pinging = false, false
	case c.pinging:
		c.endLocked(timeoutError{errNoAnswer})
		go closeNow(c.nc)
		return
	case c.open > 0:
		c.pinging = true
		c.control(func(fr *http2.Framer) { fr.WritePing(false, [8]byte{'w', 'a', 'l', 'v', 'e'}) })
		next = c.cfg.PingTimeout
	}
	c.ping.Reset(next)
}

// A timeoutError is a timeout, but not one to go on after.
type timeoutError struct{ error }

func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return false }

// eof says what the end of nc means to streams that have not ended.
func eof(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
