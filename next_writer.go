package walve

import (
	"errors"
	"io"
	"math"
)

var (
	errMessageOpen  = errors.New("websocket: a message is in progress")
	errNoMessage    = errors.New("websocket: continuation without a message")
	errNotData      = errors.New("websocket: not the opcode of a data frame")
	errReserved     = errors.New("websocket: reserved bit without its extension")
	errCutMessage   = errors.New("websocket: a write deadline has cut a message")
	errShortFrame   = errors.New("websocket: writer closed before the end of its frame")
	errWriterClosed = errors.New("websocket: writer is closed")
)

// NextWriter begins a data frame with the given header, of which Fin, Opcode
// and Length count; whether and with what the payload is masked follows from
// the Conn's role (RFC 6455, 5.3).
//
// With h.Length >= 0 the writer streams exactly that many bytes: more fail with
// ErrWriteTooLong, and closing it before fails the connection, since the frame
// cannot be finished. With h.Length < 0 the length is not known: the writer
// sends what it gathers as fragments of at most 64 KiB, and the last one, with
// h.Fin, when it is closed. So does one whose message is compressed, whatever
// h.Length.
//
// A frame without h.Fin leaves its message open: its next frames come from
// NextWriter with OpContinuation, and until one has Fin, Write and WriteMessage
// fail. Control opcodes, reserved bits and a continuation without a message are
// refused with nothing sent.
//
// While the writer is open, Write, WriteMessage and NextWriter wait, up to the
// write deadline; Pongs pass between its frames. Close of the Conn does not
// wait. The writer is used by one goroutine at a time. Write deadlines govern
// it as they govern Write; a Close that timed out is to be called again.
func (c *Conn) NextWriter(h Header) (io.WriteCloser, error) {
	switch {
	case h.Opcode != OpContinuation && h.Opcode != OpText && h.Opcode != OpBinary:
		return nil, c.opError("write", errNotData)
	case h.RSV1 || h.RSV2 || h.RSV3:
		return nil, c.opError("write", errReserved)
	}
	if err := c.beginWrite(); err != nil {
		return nil, err
	}
	err := c.beginFrames(h.Opcode)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseWireLocked()
	if err != nil {
		c.msgTurn.release()
		return nil, err
	}
	c.framing = true
	w := &frameWriter{c: c, h: h, left: h.Length, gathers: h.Length < 0}
	if !w.gathers {
		w.gathers = c.deflates(int(min(h.Length, math.MaxInt)))
	}
	return w, nil
}

// beginFrames holds op against the message in progress. One that a deadline
// has cut is ended first.
func (c *Conn) beginFrames(op Opcode) error {
	switch {
	case op == OpContinuation && c.out.msg == msgNone:
		return c.opError("write", errNoMessage)
	case op != OpContinuation && c.out.msg == msgFrames:
		return c.opError("write", errMessageOpen)
	case op != OpContinuation:
		return c.endMessage()
	}
	return nil
}

// endMessage ends a message that a deadline has cut by an empty last frame.
func (c *Conn) endMessage() error {
	if c.out.msg != msgStream {
		return nil
	}
	_, err := c.writeFrames(OpContinuation, nil, msgStream)
	return err
}

// A frameWriter writes one frame or, if its length is not known, a frame's
// worth of fragments. It holds the Conn's msgTurn.
type frameWriter struct {
	c       *Conn
	h       Header
	begun   bool    // the header is gone
	left    int64   // payload still to come, if the length is known
	gathers bool    // it becomes fragments: its length on the wire is not known
	key     [4]byte // masks the next byte of it
	closed  bool
	buf     *unit // gathers a fragment of n bytes, see fillRoom
	n       int
}

func (w *frameWriter) Write(p []byte) (n int, err error) {
	if w.closed {
		return 0, w.c.opError("write", errWriterClosed)
	}
	if w.h.Length < 0 {
		return w.gather(p)
	}
	var tooLong error
	if int64(len(p)) > w.left {
		p, tooLong = p[:w.left], ErrWriteTooLong
	}
	if w.gathers {
		n, err = w.gather(p)
		w.left -= int64(n)
	}
	for n < len(p) && err == nil {
		var k int
		k, err = w.stream(p[n:])
		n += k
	}
	if n == len(p) && isTimeout(err) {
		err = nil
	}
	if err == nil && tooLong != nil {
		err = w.c.opError("write", tooLong)
	}
	return n, err
}

// stream writes a piece of p as payload of a frame whose length is known, the
// first piece with the header.
func (w *frameWriter) stream(p []byte) (int, error) {
	c := w.c
	if err := c.beginWire(); err != nil {
		return 0, err
	}
	defer c.endWire()
	if err := c.ready(); err != nil {
		return 0, err
	}
	var b [maxHeaderSize]byte
	var hdr []byte
	if !w.begun {
		h := c.nextHeader(w.h.Opcode, w.h.Fin, w.h.Length)
		hdr, _ = h.AppendBinary(b[:0])
		w.key = h.MaskKey
	}
	p, _ = c.chunk(p)
	sent, err := c.writeUnit(hdr, w.key, p)
	if !sent {
		return 0, err
	}
	w.begun = true
	w.left -= int64(len(p))
	w.key = rotateKey(w.key, len(p))
	c.out.left = w.left
	c.out.noteFrame(w.h.Fin && w.left == 0)
	return len(p), err
}

// gather puts p into fragments of a frame whose length is not known, and sends
// those that are full.
func (w *frameWriter) gather(p []byte) (n int, err error) {
	for {
		if w.buf == nil {
			w.buf = newUnit(largeUnit)
		}
		k := copy(w.buf.fillRoom()[w.n:w.c.pieceLimit()], p[n:])
		w.n += k
		n += k
		if n == len(p) {
			return n, nil
		}
		if err := w.send(false); err != nil {
			return n, err
		}
	}
}

// send sends the gathered fragment, which the caller of Write knows as
// written: a timeout can delay it, not take it back.
func (w *frameWriter) send(fin bool) error {
	c := w.c
	if err := c.beginWire(); err != nil {
		return err
	}
	defer c.endWire()
	if err := c.ready(); err != nil {
		return err
	}
	if w.buf == nil {
		w.buf = newUnit(maxHeaderSize)
	}
	u, n := w.buf, w.n
	w.buf, w.n = nil, 0
	if err := c.writeFilled(u, n, w.h.Opcode, fin); !isTimeout(err) {
		return err
	}
	return nil // kept
}

func (w *frameWriter) Close() error {
	c := w.c
	if w.closed {
		return c.opError("close", errWriterClosed)
	}
	var err error
	switch {
	case w.left > 0:
		err = c.opError("close", errShortFrame)
		c.fail("write", errShortFrame)
	case w.gathers:
		err = w.send(w.h.Fin)
	case !w.begun: // an empty frame
		_, err = w.stream(nil)
	}
	if isTimeout(err) {
		return err
	}
	w.closed = true
	c.mu.Lock()
	defer c.mu.Unlock()
	c.framing = false
	if len(c.late) > 0 && c.out.msg == msgNone {
		go c.writeLate(nil)
	} else {
		c.msgTurn.release()
	}
	return err
}

// noteFrame notes that a frame, which only those with the message's own turn
// can continue, is on the wire.
func (o *outbound) noteFrame(fin bool) {
	o.msg = msgFrames
	if fin {
		o.msg = msgNone
	}
}

func (c *Conn) beginWire() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takeWireLocked()
}

func (c *Conn) endWire() {
	c.mu.Lock()
	c.releaseWireLocked()
	c.mu.Unlock()
}
