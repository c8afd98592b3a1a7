package walve

import (
	"github.com/bodokaiser/walve/internal/deflate"
)

// maxDeflated is how much is compressed into one frame, which fits into a unit
// whatever comes of it.
const maxDeflated = min(deflate.MaxPiece, largeUnit-maxHeaderSize-deflate.MaxOverhead)

// deflateState is what permessage-deflate adds to a Conn: RFC 7692.
type deflateState struct {
	// Guarded by readTurn.
	inflater *deflate.Inflater
	whole    bool // the current message has been inflated to its end
	held     bool // the byte of payload that is next was inflated: dst was full
	unmasked int  // bytes of payload that are next and are unmasked already

	// Guarded by msgTurn.
	deflater  *deflate.Deflater
	deflating bool // the message in progress is compressed
	threshold int
}

func newDeflateState(a *deflateAgreement) *deflateState {
	return &deflateState{
		inflater:  deflate.NewInflater(a.receive.bits, a.receive.takeover),
		deflater:  deflate.NewDeflater(a.level, a.send.bits, a.send.takeover),
		threshold: a.threshold,
	}
}

// inflate is payload for a compressed message. src is unmasked where it lies.
//
// If dst is full there may be more in what was taken of src. Its last byte then
// stays, so that to everyone else there is payload left.
func (c *Conn) inflate(dst, src []byte) (n, used int) {
	in, z := &c.in, c.z
	src = src[:min(int64(len(src)), in.left)]
	if !c.hs.client {
		in.key = maskCopy(src[z.unmasked:], src[z.unmasked:], in.key)
	}
	z.unmasked = len(src)
	if z.held {
		used = 1
	}
	n, k, done, err := z.inflater.Inflate(dst, src[used:], in.fin && int64(len(src)) == in.left)
	used += k
	if n > 0 {
		in.fresh, in.untouched = false, false
	}
	if in.msg == OpText {
		if valid, ok := c.checkText(dst[:n]); !ok {
			return valid, used
		}
	}
	if err != nil {
		c.failInflating()
		return n, used
	}
	z.whole = done
	z.held = used == len(src) && n == len(dst) && !done
	if z.held {
		used--
	}
	z.unmasked -= used
	if in.left -= int64(used); in.left == 0 {
		in.fresh = false
		c.endFrame()
	}
	return n, used
}

// endInflating acts on the end of a compressed message, and reports whether all
// is well.
func (c *Conn) endInflating() bool {
	z := c.z
	if !z.whole { // its last frame is empty
		if _, _, done, _ := z.inflater.Inflate(nil, nil, true); !done {
			c.failInflating()
			return false
		}
	}
	c.in.inflating, z.whole = false, false
	return true
}

// failInflating fails the connection for a payload that RFC 7692 does not allow,
// which leaves open how. RFC 6455, 7.4.1, has 1007 for "data within a message
// that was not consistent with the type of the message".
func (c *Conn) failInflating() {
	c.failProtocol(StatusInvalidFramePayloadData, "payload cannot be inflated")
}

// plainPayload returns as much of p as the stream can fill directly: the rest
// of a frame that is not compressed, since what is inflated needs another
// buffer, and so may what comes behind.
func (c *Conn) plainPayload(p []byte) []byte {
	if c.in.inflating || !c.in.inPayload() {
		return nil
	}
	return p[:min(int64(len(p)), c.in.left)]
}

// inflatedLeft guesses how many more bytes there are in the current frame of a
// message of which there are have: JSON gets up to 8 times smaller. One more
// than MaxMessageSize is enough.
func (c *Conn) inflatedLeft(have int) int64 {
	return min(max(8*c.in.left, int64(have), 64)-1, c.hs.maxMessageSize-int64(have)) + 1
}

// pieceLimit bounds the payload that becomes one frame in a unit.
func (c *Conn) pieceLimit() int {
	if c.z != nil {
		return maxDeflated
	}
	return largeUnit - maxHeaderSize
}

// deflates reports whether the next frame is compressed: as the message in
// progress is, or if a new one has size bytes.
func (c *Conn) deflates(size int) bool {
	switch {
	case c.z == nil:
		return false
	case c.out.msg != msgNone:
		return c.z.deflating
	}
	return size >= c.z.threshold
}

// deflate makes a frame of p, of at most maxDeflated bytes, compressed; or
// returns nil if p is the whole message and does not get smaller. Once it is
// certain that the frame will be sent, the caller says so to c.z.sent.
func (c *Conn) deflate(op Opcode, p []byte, fin bool) *unit {
	u := newUnit(maxHeaderSize + len(p) + deflate.MaxOverhead)
	first := c.out.msg == msgNone
	out := c.z.deflater.Append(u.fillRoom()[:0], p, fin)
	n := len(out)
	if first && fin && n >= len(p) {
		u.free()
		return nil
	}
	if n > len(u.fillRoom()) { // more than was ever seen: Append has made room
		u.free()
		u = newUnit(maxHeaderSize + n)
		copy(u.fillRoom(), out)
	}
	h := c.nextHeader(op, fin, int64(n))
	h.RSV1 = first // RFC 7692, 6.1
	u.fillHeader(h)
	return u
}

// sent notes that the frame made of p last is on its way.
func (z *deflateState) sent(p []byte, fin bool) {
	z.deflater.Commit(p, fin)
	z.deflating = !fin
}

// writeDeflated writes p as the next frame of the message in progress, or the
// first of one of opcode op, compressed.
func (c *Conn) writeDeflated(op Opcode, p []byte, fin bool) (sent bool, err error) {
	u := c.deflate(op, p, fin)
	if u == nil {
		return c.writeFrame(c.nextHeader(op, fin, int64(len(p))), p)
	}
	c.out.unit = u
	n, err := u.writeTo(c.s)
	if sent, err = c.settle(n > 0, err); sent {
		c.z.sent(p, fin)
	}
	return sent, err
}
