package interop_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bodokaiser/walve"
)

// A negotiation is what a row has the two ends say about permessage-deflate in
// the opening handshake, and the option at walve's.
type negotiation struct {
	walve    *walve.Compression
	asServer terms // walve is the server
	asClient terms
}

// terms are the values of Sec-WebSocket-Extensions. One of them is walve's, and
// must be that.
type terms struct{ offer, answer string }

func (n *negotiation) terms(server bool) terms {
	switch {
	case n == nil:
		return terms{}
	case server:
		return n.asServer
	}
	return n.asClient
}

func (n *negotiation) compression() *walve.Compression {
	if n == nil {
		return nil
	}
	return n.walve
}

const (
	fullWindow = 32 << 10
	deflateEnd = "\x00\x00\xff\xff" // RFC 7692, 7.2.1: taken off every message
)

// A deflatePeer compresses and inflates a raw peer's messages by the standard
// library, and counts how they came out.
type deflatePeer struct {
	level int
	pack  deflateTerms // this side's
	walve deflateTerms // walve's

	w       *flate.Writer
	out     bytes.Buffer
	packed  []byte // what was compressed, at least as far back as the window
	r       io.ReadCloser
	history []byte // what was inflated, as far back as the window
}

// deflateTerms are those of one direction.
type deflateTerms struct {
	takeover bool
	window   int
}

// newDeflatePeer returns nil if the answer of an opening handshake agrees on no
// compression. server says who walve is.
func newDeflatePeer(answer string, server bool) *deflatePeer {
	if !strings.Contains(answer, "permessage-deflate") {
		return nil
	}
	of := func(side string) deflateTerms {
		d := deflateTerms{!strings.Contains(answer, side+"_no_context_takeover"), fullWindow}
		if _, value, ok := strings.Cut(answer, side+"_max_window_bits="); ok {
			var bits int
			fmt.Sscan(strings.Trim(strings.Fields(value)[0], `;,"`), &bits)
			d.window = 1 << bits
		}
		return d
	}
	z := &deflatePeer{level: flate.DefaultCompression, pack: of("client"), walve: of("server")}
	if !server {
		z.pack, z.walve = z.walve, z.pack
	}
	return z
}

// compress returns the payload of a message.
func (z *deflatePeer) compress(message []byte) []byte {
	z.out.Reset()
	if z.pack.window == fullWindow {
		z.compressFull(message)
	} else {
		z.compressPieces(message)
	}
	return bytes.TrimSuffix(z.out.Bytes(), []byte(deflateEnd))
}

func (z *deflatePeer) compressFull(message []byte) {
	switch {
	case z.w == nil:
		z.w, _ = flate.NewWriter(&z.out, z.level)
	case !z.pack.takeover:
		z.w.Reset(&z.out)
	}
	z.w.Write(message)
	z.w.Flush()
}

// compressPieces compresses half a window at a time, with the half before as
// dictionary: so no distance is longer than the window.
func (z *deflatePeer) compressPieces(message []byte) {
	half := z.pack.window / 2
	if !z.pack.takeover {
		z.packed = nil
	}
	for first := true; first || len(message) > 0; first = false {
		piece := message[:min(half, len(message))]
		w, _ := flate.NewWriterDict(&z.out, z.level, z.packed[max(0, len(z.packed)-half):])
		w.Write(piece)
		w.Flush()
		z.packed = append(z.packed, piece...)
		message = message[len(piece):]
	}
}

// inflate returns the message of a payload, which refers back no further than
// was agreed.
func (z *deflatePeer) inflate(payload []byte) (message []byte, err error) {
	whole := append(bytes.Clone(payload), deflateEnd...)
	if z.walve.window < fullWindow {
		message, err = slowInflate(whole, z.history, z.walve.window)
	} else {
		in := bytes.NewReader(append(whole, "\x01\x00\x00\xff\xff"...)) // the last block there never is
		if z.r == nil {
			z.r = flate.NewReader(nil)
		}
		z.r.(flate.Resetter).Reset(in, z.history)
		if message, err = io.ReadAll(z.r); err == nil && in.Len() > 0 {
			err = errors.New("there is a last block, and more")
		}
	}
	if z.walve.takeover {
		z.history = append(z.history, message...)
		z.history = z.history[max(0, len(z.history)-fullWindow):]
	}
	return message, err
}

// packed returns the frames of a compressed message with size bytes of payload
// in each; 0: one frame.
func packed(op byte, payload []byte, size int) (frames []frame) {
	if size == 0 {
		size = max(len(payload), 1)
	}
	f := frame{rsv: rsv1, op: op}
	for !f.fin {
		n := min(size, len(payload))
		f.fin, f.payload = n == len(payload), payload[:n]
		payload = payload[n:]
		frames = append(frames, f)
		f = frame{fin: f.fin, op: opCont}
	}
	return frames
}

// rsv1 is RSV1 as frame has it. RFC 7692, 6: it says that the message is
// compressed.
const rsv1 = 4

// wantPacked reads a message in any number of frames, compressed or, if plain
// allows it, as it is, and returns how many bytes of payload it had.
func (p *rawPeer) wantPacked(op byte, message []byte, plain bool) (n int) {
	var payload []byte
	var compressed bool
	for due := op; p.err == nil; due = opCont {
		f := p.next()
		if p.err == nil && f.op != due {
			p.failf("opcode %#x instead of %#x", f.op, due)
		}
		if due == op {
			compressed = f.rsv == rsv1
		}
		payload = append(payload, f.payload...)
		if f.fin {
			break
		}
	}
	got := payload
	if p.err == nil && compressed {
		var err error
		if got, err = p.z.inflate(payload); err != nil {
			p.failf("message of %d bytes: %v", len(message), err)
		}
	}
	switch {
	case p.err != nil:
	case !compressed && !plain:
		p.failf("a message of %d bytes is not compressed", len(message))
	case compressed && plain && len(payload) > len(message)+32:
		p.failf("%d bytes were compressed to %d", len(message), len(payload))
	case compressed && !plain && len(payload) >= len(message):
		p.failf("%d bytes were compressed to %d", len(message), len(payload))
	case !bytes.Equal(got, message):
		p.failf("%d other bytes than the %d sent", len(got), len(message))
	}
	return len(payload)
}

// refusesAnswer wants walve to have taken the server's answer for an error,
// and to have ended the connection.
func (p *rawPeer) refusesAnswer() {
	if b, err := p.in.ReadByte(); err != io.EOF {
		p.failf("read %#x, %v instead of the end", b, err)
	}
	var he *walve.HandshakeError
	if err := <-p.ended; !errors.As(err, &he) {
		p.failf("walve returned %v instead of a *HandshakeError", err)
	}
}
