package walve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
	"unicode/utf8"
)

// maxControl bounds the control frames that wait to be sent.
const maxControl = 32

// A controlFrame is a control frame coming in or waiting to go out.
type controlFrame struct {
	op Opcode
	n  uint8
	p  [maxControlPayload]byte
}

func (f *controlFrame) payload() []byte { return f.p[:f.n] }

func newControlFrame(op Opcode, payload []byte) controlFrame {
	f := controlFrame{op: op}
	f.n = uint8(copy(f.p[:], payload))
	return f
}

func newCloseFrame(code StatusCode, reason string) controlFrame {
	f := controlFrame{op: OpClose}
	if code == StatusNoStatusReceived {
		return f
	}
	f.n = 2 + uint8(copy(f.p[2:], reason))
	binary.BigEndian.PutUint16(f.p[:], uint16(code))
	return f
}

// controlPayload gathers payload of the current control frame from src.
func (c *Conn) controlPayload(src []byte) int {
	in := &c.in
	if in.ctl == nil {
		in.ctl = new(controlFrame)
	}
	k := min(len(src), int(in.left))
	c.unmask(in.ctl.p[in.ctl.n:], src[:k])
	in.ctl.n += uint8(k)
	if in.left == 0 {
		c.endFrame()
	}
	return k
}

// endControl acts on a control frame that is complete.
func (c *Conn) endControl() {
	var payload []byte
	if f := c.in.ctl; f != nil {
		payload = f.payload()
		c.in.ctl = nil
	}
	switch c.in.op {
	case OpPing:
		c.mu.Lock()
		c.pushControlLocked(newControlFrame(OpPong, payload))
		c.mu.Unlock()
	case OpPong:
		c.endPing(payload)
	case OpClose:
		c.peerClosed(payload)
	}
}

// peerClosed acts on the peer's Close frame: the stream has ended, cleanly or
// not, and a reply is due.
func (c *Conn) peerClosed(payload []byte) {
	code, reason, err := parseClose(payload)
	if err != nil {
		pe := err.(*ProtocolError)
		c.failProtocol(pe.Code, pe.Reason)
		return
	}
	switch {
	case code != StatusNormalClosure && code != StatusNoStatusReceived:
		c.in.err = c.opError("read", &CloseError{Code: code, Reason: reason})
	case c.in.msg != 0:
		c.in.err = c.opError("read", io.ErrUnexpectedEOF)
	default:
		c.in.err = io.EOF
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peerDone = true
	r := c.rareLocked()
	r.status, r.reason = code, reason
	if c.in.err == io.EOF && c.hs.halfClose && !c.ended {
		c.halfClosed, c.in.half = true, true // and no reply: this side may write on
		c.stopTimerLocked()
		go c.hearControl()
		return
	}
	c.deafLocked(c.in.err)
	// RFC 6455, 5.5.1: "If an endpoint receives a Close frame and did not
	// previously send a Close frame, the endpoint MUST send a Close frame in
	// response", echoing the status.
	c.pushCloseLocked(code, "", net.ErrClosed)
}

// failProtocol fails the connection (RFC 6455, 7.1.7): the peer is told by a
// Close frame, reads and writes return a *ProtocolError.
func (c *Conn) failProtocol(code StatusCode, reason string) {
	err := &ProtocolError{Code: code, Reason: reason}
	c.in.err = c.opError("read", err)
	c.mu.Lock()
	c.broken = true
	c.deafLocked(c.in.err)
	c.pushCloseLocked(code, reason, err)
	c.mu.Unlock()
}

// pushCloseLocked ends this side's writing with err and queues the Close frame
// that says so, unless one was already.
func (c *Conn) pushCloseLocked(code StatusCode, reason string, err error) {
	if c.ended {
		c.wakeFlushLocked() // to end the stream, now that both have closed
		return
	}
	c.ended = true
	if c.writeErr == nil {
		c.rareLocked().writeErr = c.opError("write", err)
	}
	c.pushLocked(newCloseFrame(code, reason))
	c.wakeFlushLocked()
}

// pushControlLocked queues a Ping or Pong. The reader calls it and never waits:
// the frame leaves at a frame boundary with whoever writes, or with flush.
func (c *Conn) pushControlLocked(f controlFrame) {
	if c.closed || c.failed != nil || c.ended && !(c.hs.halfClose && !c.deaf) {
		// RFC 6455, 5.5.1, forbids only data frames behind a Close frame, but
		// a foreign peer has no use for anything.
		return
	}
	c.pushLocked(f)
	c.wakeFlushLocked()
}

func (c *Conn) pushLocked(f controlFrame) {
	q := c.queueLocked()
	if len(q.control) >= maxControl && f.op == OpPong {
		// RFC 6455, 5.5.3: "If an endpoint receives a Ping frame and has not
		// yet sent Pong frame(s) in response to previous Ping frame(s), the
		// endpoint MAY elect to send a Pong frame for only the most recently
		// processed Ping frame."
		q.control = slices.DeleteFunc(q.control, func(g controlFrame) bool { return g.op == OpPong })
	}
	q.control = append(q.control, f)
}

// wakeFlushLocked sees to it that what is queued leaves: with the one who
// writes at its next frame boundary, else with a goroutine that ends when
// there is nothing left.
func (c *Conn) wakeFlushLocked() {
	if !c.wireTurn.held() && !c.flushing && !c.closed && c.failed == nil {
		c.flushing = true
		go c.flushLeft()
	}
}

// A ping is a call of Ping that waits.
type ping struct {
	id   uint64
	done chan struct{} // closed by the Pong, or by the end of the Conn
	ok   bool
}

// Ping sends a Ping frame and waits for its Pong. Control frames are only seen
// while a read is in progress, so some other goroutine must be reading.
//
// It returns ctx's error when ctx ends first. When the Conn ends it returns
// what Read does, and net.ErrClosed in place of io.EOF and, unless the peer is
// walve too, after CloseWrite.
func (c *Conn) Ping(ctx context.Context) error {
	c.mu.Lock()
	err := c.overLocked()
	if err == nil {
		err = c.pinglessLocked()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.mu.Unlock()
		return c.opError("ping", err)
	}
	r := c.rareLocked()
	r.lastID++
	p := &ping{id: r.lastID, done: make(chan struct{})}
	r.pings = append(r.pings, p)
	c.pushControlLocked(newControlFrame(OpPing, binary.BigEndian.AppendUint64(nil, p.id)))
	c.mu.Unlock()
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.ok {
		return nil
	}
	for i, q := range c.pings {
		if q == p {
			c.pings = append(c.pings[:i], c.pings[i+1:]...)
			return c.opError("ping", ctx.Err())
		}
	}
	if err := c.overLocked(); err != nil {
		return c.opError("ping", err)
	}
	return c.opError("ping", c.pinglessLocked())
}

// pinglessLocked says why a Pong can no longer come.
func (c *Conn) pinglessLocked() error {
	if c.halfClosed && c.ended && !c.broken {
		return net.ErrClosed // by both ends: nobody answers, and reads return io.EOF
	}
	if c.deaf && c.readErr != io.EOF {
		return c.readErr
	}
	if c.deaf || c.ended && !c.hs.halfClose {
		return net.ErrClosed
	}
	return nil
}

// endPing ends the Ping that a Pong answers, and those before it (RFC 6455,
// 5.5.3: a Pong may stand for earlier Pings). A Pong nobody asked for is
// ignored.
func (c *Conn) endPing(payload []byte) {
	if len(payload) != 8 {
		return
	}
	id := binary.BigEndian.Uint64(payload)
	c.mu.Lock()
	defer c.mu.Unlock()
	if id > c.lastID {
		return
	}
	n := 0
	for n < len(c.pings) && c.pings[n].id <= id {
		c.pings[n].ok = true
		close(c.pings[n].done)
		n++
	}
	if n > 0 {
		c.pings = append(c.pings[:0:0], c.pings[n:]...)
	}
}

// hearControl reads on for a user who has got io.EOF and may write on: the
// peer, which has only closed its direction, still sends Pings and wants them
// answered, or takes this side for dead. It ends with the stream.
func (c *Conn) hearControl() {
	c.mu.Lock()
	if c.takeLocked(&c.readTurn, &never, true) != nil {
		c.mu.Unlock()
		return
	}
	defer c.endRead()
	if !c.closed {
		c.s.SetReadDeadline(time.Time{})
	}
	c.mu.Unlock()
	in := &c.in
	in.err, in.half = nil, false
	for in.err == nil {
		n, err := c.skim(c.consume)
		if err != nil {
			return
		}
		if n > 0 || in.msg != 0 {
			// RFC 6455, 5.5.1: "The application MUST NOT send any more data
			// frames after sending a Close frame."
			c.failProtocol(StatusProtocolError, "data behind a Close frame")
		}
	}
}

// deafLocked notes that nothing more will be read, and why.
func (c *Conn) deafLocked(err error) {
	c.deaf, c.rareLocked().readErr = true, err
	c.stopTimerLocked()
	c.endPingsLocked()
}

// endPingsLocked ends the calls of Ping that will get no Pong.
func (c *Conn) endPingsLocked() {
	if len(c.pings) == 0 {
		return
	}
	for _, p := range c.pings {
		close(p.done)
	}
	c.pings = nil
}

// checkClose says whether code and reason may be sent in a Close frame.
func checkClose(code StatusCode, reason string) error {
	if !code.sendable() {
		return fmt.Errorf("websocket: status %d may not be sent", uint16(code))
	}
	if len(reason) > maxControlPayload-2 || !utf8.ValidString(reason) {
		return errors.New("websocket: close reason over 123 bytes or not UTF-8")
	}
	return nil
}
