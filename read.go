package walve

import (
	"io"

	"github.com/bodokaiser/walve/internal/frames"
	"github.com/bodokaiser/walve/internal/stream"
)

// minInPlace is the smallest buffer that Read has the stream fill directly.
// Below, a read per header and a read per payload would cost more than the
// copy out of a pooled buffer.
const minInPlace = 4096

// inbound is the reading half of a Conn: where in the peer's frames it stands.
type inbound struct {
	err  error  // sticky: io.EOF or a *net.OpError
	left int64  // payload bytes of the current frame that are still to come
	gen  uint32 // counts who reads: a reader of an earlier one is left behind

	key       [4]byte // masking key, rotated to the next byte of payload
	op        Opcode  // of the current frame
	fin       bool    // of the current frame
	fresh     bool    // Read has come to the current frame and taken nothing of it
	untouched bool    // Read has come to the current message and given nothing of it
	msg       Opcode  // of the current message; 0 between messages
	hn        uint8   // bytes of a header in hdr
	hdr       [maxHeaderSize]byte
	text      utf8Checker
	inflating bool           // the current message is compressed
	buf       *stream.Buffer // bytes read and not yet looked at: buf[r:w]; nil when there are none
	r, w      uint16
	half      bool          // err is the peer's half-close: the rest of buf is for hearControl
	ctl       *controlFrame // the control frame that is coming in
	behind    *[]byte       // what came behind the handshake and did not fit into buf
	whole     *partial      // what ReadMessage has of the message a deadline cut
}

// Read reads the next bytes of the stream that the payloads of the peer's data
// frames make, text and binary alike. It returns as soon as it has one byte,
// goes on across frames and messages, and skips empty ones. It may use all of
// p as scratch space.
//
// Read goes on inside a frame or message begun by NextReader or NextMessage,
// and takes what a ReadMessage that timed out had. The message behind the last
// byte that Read returned is the next one to NextMessage and ReadMessage, unless
// it is empty.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.beginRead(); err != nil {
		return 0, err
	}
	n, err := c.read(p)
	c.endRead()
	return n, err
}

func (c *Conn) beginRead() error {
	c.mu.Lock()
	err := c.overLocked()
	if err == nil && c.halfClosed {
		c.mu.Unlock()
		return io.EOF
	}
	if err == nil {
		c.reads++
		err = c.takeLocked(&c.readTurn, &c.readBy, true)
		if over := c.overLocked(); over != nil { // things change during a wait
			if err == nil {
				c.readTurn.release()
			}
			err = over
		}
	}
	c.mu.Unlock()
	if err != nil {
		return c.opError("read", err)
	}
	return nil
}

func (c *Conn) endRead() {
	c.mu.Lock()
	c.readTurn.release()
	c.mu.Unlock()
}

func (c *Conn) read(p []byte) (int, error) {
	in := &c.in
	in.gen++
	if len(p) == 0 {
		return 0, nil
	}
	if in.whole != nil {
		if n := in.whole.take(p); n > 0 {
			return n, nil
		}
		if in.whole.r == 0 { // ReadMessage had nothing of it yet
			in.fresh, in.untouched = in.inPayload(), true
		}
		in.whole = nil
	}
	for {
		if in.buf != nil {
			n, used := c.consume(p, in.buf[in.r:in.w])
			in.discard(used)
			if n > 0 {
				return n, nil
			}
		}
		if in.err != nil {
			return 0, in.err
		}
		direct := p
		if c.z != nil {
			direct = c.plainPayload(p)
		}
		if len(direct) < minInPlace || in.behind != nil {
			if err := c.fill(); err != nil {
				return 0, err
			}
			continue
		}
		// Headers and all go straight into p; consume moves the payload down.
		m, err := c.s.Read(direct)
		if m > 0 {
			c.noteActive()
			n, used := c.consume(p, p[:m])
			in.keepHalf(p[used:m])
			if n > 0 {
				return n, nil
			}
		}
		if err != nil {
			if err = c.readError(err); err != nil {
				return 0, err
			}
		}
	}
}

// consume takes frames apart: it moves payload of data frames from src to dst,
// which may begin where src does if no message is compressed, and acts on
// control frames. It stops at the end of src, with dst full, or with in.err set.
func (c *Conn) consume(dst, src []byte) (n, used int) {
	in := &c.in
	for used < len(src) && n < len(dst) && in.err == nil {
		switch {
		case in.left == 0:
			_, k, _ := c.header(src[used:])
			used += k
		case in.op.IsControl():
			used += c.controlPayload(src[used:])
		default:
			given, k := c.payload(dst[n:], src[used:])
			n += given
			used += k
		}
	}
	return n, used
}

// payload moves payload of the current data frame from src to dst, unmasked and
// inflated. It returns how many bytes are in dst and how many it has used: fewer
// are given, of what is not compressed, only if the text went wrong there.
func (c *Conn) payload(dst, src []byte) (given, used int) {
	in := &c.in
	if c.in.inflating {
		return c.inflate(dst, src)
	}
	k := int(min(int64(len(src)), int64(len(dst)), in.left))
	c.unmask(dst, src[:k])
	in.fresh, in.untouched = false, false
	if in.msg == OpText {
		if valid, ok := c.checkText(dst[:k]); !ok {
			return valid, k
		}
	}
	if in.left == 0 {
		c.endFrame()
	}
	return k, k
}

// checkText goes on with the text of the current message by p. If that is not
// UTF-8 it fails the connection and returns how much of p comes before.
func (c *Conn) checkText(p []byte) (valid int, ok bool) {
	before := c.in.text
	if c.in.text.valid(p) {
		return len(p), true
	}
	c.failProtocol(StatusInvalidFramePayloadData, "text is not UTF-8")
	return before.prefix(p), false
}

// unmask moves src, payload of the current frame, to dst.
func (c *Conn) unmask(dst, src []byte) {
	if c.hs.client {
		copy(dst, src)
	} else {
		c.in.key = maskCopy(dst, src, c.in.key)
	}
	c.in.left -= int64(len(src))
}

// header takes a frame's header from src, going on in one that an earlier read
// has cut, and begins the frame. ok reports a whole header of a data frame.
func (c *Conn) header(src []byte) (h Header, used int, ok bool) {
	in := &c.in
	var size int
	var err error
	if in.hn == 0 {
		h, size, err = parseHeader(src)
		used = size
		if size == 0 && err == nil {
			used = copy(in.hdr[:], src)
			in.hn = uint8(used)
		}
	} else {
		k := copy(in.hdr[in.hn:], src)
		h, size, err = parseHeader(in.hdr[:int(in.hn)+k])
		if size == 0 && err == nil {
			in.hn += uint8(k)
			return h, k, false
		}
		used = size - int(in.hn)
		in.hn = 0
	}
	if err == nil && size > 0 {
		err = checkFrame(h, !c.hs.client, in.msg, c.z != nil)
	}
	if err != nil {
		pe := err.(*ProtocolError)
		c.failProtocol(pe.Code, pe.Reason)
		return h, len(src), false
	}
	if size == 0 {
		return h, used, false
	}
	frames.CountReceived()
	in.op, in.fin, in.left, in.key = h.Opcode, h.Fin, h.Length, h.MaskKey
	if h.Opcode == OpText || h.Opcode == OpBinary {
		in.msg, in.untouched = h.Opcode, true
		in.text = utf8Checker{}
		in.inflating = h.RSV1
	}
	in.fresh = in.left > 0 && !h.Opcode.IsControl()
	if in.left == 0 {
		c.endFrame()
	}
	return h, used, !h.Opcode.IsControl()
}

// endFrame acts on the end of the current frame.
func (c *Conn) endFrame() {
	in := &c.in
	switch {
	case in.op.IsControl():
		c.endControl()
	case in.fin:
		if c.in.inflating && !c.endInflating() {
			return
		}
		if in.msg == OpText && !in.text.complete() {
			c.failProtocol(StatusInvalidFramePayloadData, "text ends inside a character")
			return // inside the message: ReadMessage must not take it for whole
		}
		in.msg = 0
	}
}

// fill reads what has come into a pooled buffer, of which none is held while
// nothing has.
func (c *Conn) fill() error {
	in := &c.in
	if in.behind != nil {
		in.stash(*in.behind)
		return nil
	}
	c.noteMore(false)
	b, n, err := stream.ReadBuffer(c.s)
	if n > 0 {
		// What crypto/tls returns with data, its end in TLS 1.2, comes again.
		in.buf, in.r, in.w = b, 0, uint16(n)
		c.noteActive()
		return nil
	}
	if err != nil {
		return c.readError(err)
	}
	return nil
}

// skim has take, which is consume or payload, go through what has come in, or
// comes next, and drops the payload, of which it returns the length.
func (c *Conn) skim(take func(dst, src []byte) (n, used int)) (int, error) {
	in := &c.in
	for in.buf == nil {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	rest := in.buf[in.r:in.w]
	dst := rest
	if c.z != nil {
		b := stream.GetBuffer() // what is inflated may be longer
		defer stream.PutBuffer(b)
		dst = b[:]
	}
	n, used := take(dst, rest)
	in.discard(used)
	return n, nil
}

// stash puts a copy of b where the next read looks first.
func (in *inbound) stash(b []byte) {
	in.behind = nil
	if len(b) == 0 {
		return
	}
	in.buf = stream.GetBuffer()
	n := copy(in.buf[:], b)
	in.r, in.w = 0, uint16(n)
	if n < len(b) {
		rest := append([]byte(nil), b[n:]...)
		in.behind = &rest
	}
}

// keepHalf keeps what came behind the peer's half-close.
func (in *inbound) keepHalf(b []byte) {
	if in.half {
		in.stash(b)
	}
}

// discard drops the first n bytes of the buffer, and the buffer when it is
// empty.
func (in *inbound) discard(n int) {
	in.r += uint16(n)
	if in.r == in.w || in.err != nil && !in.half {
		stream.PutBuffer(in.buf)
		in.buf = nil
	}
}

// readError says what a read returns after the stream's Read has failed, and
// keeps it unless it is a timeout.
func (c *Conn) readError(err error) error {
	c.mu.Lock()
	over := c.overLocked()
	c.mu.Unlock()
	switch {
	case over != nil:
		return c.opError("read", over)
	case c.in.err != nil:
		return c.in.err
	case isTimeout(err):
		return c.opError("read", err)
	case err == io.EOF:
		// RFC 6455, 7.1.5: without a Close frame the connection has not ended
		// cleanly, whatever the frame boundary.
		err = io.ErrUnexpectedEOF
	}
	c.in.err = c.opError("read", err)
	c.mu.Lock()
	c.deafLocked(c.in.err)
	c.mu.Unlock()
	return c.in.err
}

func (c *Conn) noteActive() {
	if !c.active.Load() {
		c.active.Store(true)
	}
}

// WriteTo writes the stream that Read reads to w until the peer ends it, and
// returns how many bytes w took. The error is nil after a clean end. While
// nothing comes in it holds no buffer.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		b, n, err := c.readLarge()
		if n > 0 {
			m, werr := w.Write(b[:n])
			total += int64(m)
			if werr == nil && m < n {
				werr = io.ErrShortWrite
			}
			err = werr
		}
		if b != nil {
			stream.PutLarge(b)
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// buffered reports whether Read has something to begin with.
func (in *inbound) buffered() bool {
	return in.whole != nil || in.buf != nil || in.behind != nil || in.err != nil
}

// readLarge is Read into a buffer that it brings along, if there is one: n may
// be 0 without an error.
func (c *Conn) readLarge() (b *stream.Large, n int, err error) {
	if err := c.beginRead(); err != nil {
		return nil, 0, err
	}
	defer c.endRead()
	if c.z != nil && !c.in.buffered() {
		// What is inflated needs a buffer of its own, but none to wait with.
		if err := c.fill(); err != nil || !c.in.buffered() {
			return nil, 0, err
		}
	}
	if c.in.buffered() {
		b = stream.GetLarge()
		n, err = c.read(b[:])
		return b, n, err
	}
	c.in.gen++
	b, m, err := stream.ReadLarge(c.s)
	if m > 0 {
		c.noteActive()
		var used int
		n, used = c.consume(b[:], b[:m])
		c.in.keepHalf(b[used:m])
	}
	if err != nil {
		err = c.readError(err)
	}
	return b, n, err
}
