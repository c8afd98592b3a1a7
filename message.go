package walve

import (
	"fmt"
	"io"
)

// NextMessage waits for the next message and returns its opcode, OpText or
// OpBinary, and a reader of its payload across its frames. It skips what is
// left of the current message, whoever began it. What is said of the reader of
// [Conn.NextReader] holds for this one. A message may be of any length:
// MaxMessageSize does not apply.
func (c *Conn) NextMessage() (Opcode, io.Reader, error) {
	if err := c.beginRead(); err != nil {
		return 0, nil, err
	}
	defer c.endRead()
	c.in.gen++
	c.in.whole = nil
	h, err := c.nextMessage()
	if err != nil {
		return 0, nil, err
	}
	return h.Opcode, &payloadReader{c: c, gen: c.in.gen, message: true}, nil
}

// nextMessage reads up to the payload of the next message, past the rest of the
// current one. A message of which Read has given nothing, though it may have
// come to a later frame of it, is the next one.
func (c *Conn) nextMessage() (Header, error) {
	if err := c.skipMessage(); err != nil {
		return Header{}, err
	}
	op := c.in.msg
	h, err := c.nextFrame()
	if op != 0 {
		h.Opcode = op
	}
	return h, err
}

// skipMessage reads past the rest of the current message.
func (c *Conn) skipMessage() error {
	for {
		if err := c.skipFrame(); err != nil {
			return err
		}
		if c.in.msg == 0 || c.in.untouched {
			return nil
		}
		if _, err := c.nextFrame(); err != nil {
			return err
		}
	}
}

// A partial is a message that ReadMessage has begun.
type partial struct {
	op  Opcode
	buf []byte
	r   int // bytes that Read has taken
}

// take moves bytes to p: Read takes over what ReadMessage had.
func (m *partial) take(p []byte) int {
	n := copy(p, m.buf[m.r:])
	m.r += n
	return n
}

// ReadMessage reads the next message whole and returns its opcode, OpText or
// OpBinary, and its payload, which is the caller's. Text has been checked to be
// UTF-8. It skips what another method has left of the current message.
//
// A message of more than MaxMessageSize bytes fails the connection with status
// 1009. What a peer declares costs no memory before it arrives. A deadline that
// cuts ReadMessage loses nothing: the next call goes on with the message.
func (c *Conn) ReadMessage() (Opcode, []byte, error) {
	if err := c.beginRead(); err != nil {
		return 0, nil, err
	}
	defer c.endRead()
	c.in.gen++
	in := &c.in
	if in.whole != nil && in.whole.r > 0 {
		in.whole = nil // Read has taken it over
	}
	var m partial
	if in.whole != nil {
		m, in.whole = *in.whole, nil
	} else {
		h, err := c.nextMessage()
		if err != nil {
			return 0, nil, err
		}
		m.op = h.Opcode
		if err := c.checkSize(0); err != nil {
			return 0, nil, err
		}
	}
	if err := c.readWhole(&m); err != nil {
		if isTimeout(err) {
			kept := m // so that m itself stays on the stack
			in.whole = &kept
		}
		return 0, nil, err
	}
	c.noteMore(in.buf != nil)
	return m.op, m.buf, nil
}

// readWhole reads the rest of the current message into m.
func (c *Conn) readWhole(m *partial) error {
	for {
		for c.in.inPayload() {
			left := c.in.left
			if c.in.inflating {
				left = c.inflatedLeft(len(m.buf))
			}
			m.grow(left, c.in.fin)
			n, err := c.framePayload(m.buf[len(m.buf):cap(m.buf)])
			m.buf = m.buf[:len(m.buf)+n]
			if err != nil {
				return err
			}
			if int64(len(m.buf)) > c.hs.maxMessageSize {
				return c.failTooBig()
			}
		}
		if c.in.msg == 0 {
			return nil
		}
		if _, err := c.nextFrame(); err != nil {
			return err
		}
		if err := c.checkSize(len(m.buf)); err != nil {
			return err
		}
	}
}

// grow makes room for more of the left bytes that the peer has declared for the
// frame: 4 KiB at first, and no more than three times what has come. More
// frames behind it are likely to be as small, and must not cost a copy each.
func (m *partial) grow(left int64, last bool) {
	if len(m.buf) < cap(m.buf) {
		return
	}
	room := min(left, int64(max(4<<10, 3*len(m.buf))))
	if !last {
		room = max(room, int64(len(m.buf)))
	}
	buf := make([]byte, len(m.buf), int64(len(m.buf))+room)
	copy(buf, m.buf)
	m.buf = buf
}

// checkSize holds a message of which there are have bytes, and the frame that
// has begun, against MaxMessageSize.
func (c *Conn) checkSize(have int) error {
	if c.in.inflating {
		return nil // it is not known yet
	}
	if c.in.left > c.hs.maxMessageSize-int64(have) {
		return c.failTooBig()
	}
	return nil
}

func (c *Conn) failTooBig() error {
	c.failProtocol(StatusMessageTooBig, fmt.Sprintf("message over %d bytes", c.hs.maxMessageSize))
	return c.in.err
}

// WriteMessage writes p as one message of opcode op, OpText or OpBinary, in
// frames of at most 256 KiB. Text is not checked to be UTF-8: the peer does.
//
// A write deadline that passes before the first byte is on the wire leaves
// nothing behind and WriteMessage may be called again; when all of the message
// is as good as sent it is no error; in between the write side fails for good,
// since the peer would take what follows for the rest of the message.
func (c *Conn) WriteMessage(op Opcode, p []byte) error {
	if op != OpText && op != OpBinary {
		return c.opError("write", errNotData)
	}
	if len(p) <= maxGathered && c.more.Load() {
		if done, err := c.gather(op, p); done {
			return err
		}
	}
	if err := c.beginWrite(); err != nil {
		return err
	}
	defer c.endWrite()
	if err := c.beginFrames(op); err != nil {
		return err
	}
	n, err := c.writeFrames(op, p, msgFrames)
	if isTimeout(err) && n > 0 {
		c.failWrite()
	}
	return err
}

// failWrite ends this side's writing: a deadline has cut a message whose rest
// cannot follow.
func (c *Conn) failWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writeErr == nil {
		c.rareLocked().writeErr = c.opError("write", errCutMessage)
	}
}
