package walve

import (
	"errors"
	"io"

	"github.com/bodokaiser/walve/internal/stream"
)

var errLeftBehind = errors.New("websocket: another read has gone on from here")

// NextReader waits for the next data FRAME, not message, and returns its header
// and a reader of its payload, unmasked, that ends with the frame. A fragmented
// message shows as several frames, those behind the first with OpContinuation;
// use [Conn.NextMessage] or [Conn.ReadMessage] for messages. A compressed message
// shows as one frame of unknown Length, -1, and is inflated.
//
// It skips what is left of the current frame, whoever began it. The reader is
// left behind by the next call of any reading method of the Conn and then
// returns an error, unless it has returned io.EOF before. A deadline that cuts
// NextReader or the reader loses nothing.
func (c *Conn) NextReader() (Header, io.Reader, error) {
	if err := c.beginRead(); err != nil {
		return Header{}, nil, err
	}
	defer c.endRead()
	c.in.gen++
	c.in.whole = nil
	var h Header
	var err error
	if c.in.inflating {
		h, err = c.nextMessage()
	} else if err = c.skipFrame(); err == nil {
		h, err = c.nextFrame()
	}
	if err != nil {
		return Header{}, nil, err
	}
	r := &payloadReader{c: c, gen: c.in.gen}
	if c.in.inflating {
		h = Header{Fin: true, Opcode: h.Opcode, Masked: h.Masked, Length: -1}
		r.message = true
	}
	return h, r, nil
}

// nextFrame reads up to the payload of the next data frame, acting on control
// frames before it.
func (c *Conn) nextFrame() (Header, error) {
	in := &c.in
	if in.fresh {
		in.fresh, in.untouched = false, false
		return Header{Fin: in.fin, Opcode: in.op, Masked: !c.hs.client, MaskKey: in.key, Length: in.left}, nil
	}
	for {
		for in.buf != nil && in.err == nil {
			if in.left > 0 { // a control frame
				in.discard(c.controlPayload(in.buf[in.r:in.w]))
				continue
			}
			h, used, ok := c.header(in.buf[in.r:in.w])
			in.discard(used)
			if ok && in.err == nil {
				in.fresh, in.untouched = false, false
				return h, nil
			}
		}
		if in.err != nil {
			return Header{}, in.err
		}
		if err := c.fill(); err != nil {
			return Header{}, err
		}
	}
}

// inPayload reports whether payload of a data frame is still to come.
func (in *inbound) inPayload() bool { return in.left > 0 && !in.op.IsControl() }

// skipFrame reads past the rest of the current data frame, unless Read has
// only come to it.
func (c *Conn) skipFrame() error {
	for c.in.inPayload() && !c.in.fresh {
		if c.in.err != nil {
			return c.in.err
		}
		if _, err := c.skim(c.payload); err != nil {
			return err
		}
	}
	return nil
}

// framePayload reads payload of the current data frame into p, at least one
// byte unless the message is compressed and there is none in the frame's rest.
func (c *Conn) framePayload(p []byte) (int, error) {
	in := &c.in
	for {
		if in.err != nil {
			return 0, in.err
		}
		if in.buf != nil {
			n, used := c.payload(p, in.buf[in.r:in.w])
			in.discard(used)
			if n > 0 || !in.inPayload() {
				return n, nil
			}
			continue
		}
		direct := p[:min(int64(len(p)), in.left)]
		if c.z != nil {
			direct = c.plainPayload(p)
		}
		if len(direct) < len(stream.Buffer{}) || in.behind != nil {
			if err := c.fill(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := c.s.Read(direct)
		if n > 0 {
			c.noteActive()
			if n, _ = c.payload(direct, direct[:n]); n > 0 {
				return n, nil
			}
			continue
		}
		if err != nil {
			if err = c.readError(err); err != nil {
				return 0, err
			}
		}
	}
}

// A payloadReader reads the payload of one frame or, with message set, of all
// frames of a message.
type payloadReader struct {
	c       *Conn
	gen     uint32
	message bool
	ended   bool
}

func (r *payloadReader) Read(p []byte) (int, error) {
	c := r.c
	if err := c.beginRead(); err != nil {
		if err == io.EOF && !r.ended {
			err = c.opError("read", errLeftBehind)
		}
		return 0, err
	}
	defer c.endRead()
	if r.ended {
		return 0, io.EOF
	}
	if r.gen != c.in.gen {
		return 0, c.opError("read", errLeftBehind)
	}
	for {
		for !c.in.inPayload() {
			if !r.message || c.in.msg == 0 {
				if c.in.err != nil {
					return 0, c.in.err
				}
				r.ended = true
				return 0, io.EOF
			}
			if _, err := c.nextFrame(); err != nil {
				return 0, err
			}
		}
		if len(p) == 0 {
			return 0, nil
		}
		if n, err := c.framePayload(p); n > 0 || err != nil {
			return n, err
		}
	}
}
