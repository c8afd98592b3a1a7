package interop_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/bodokaiser/walve"
)

// Opcodes of RFC 6455, 5.2.
const (
	opCont  = 0x0
	opText  = 0x1
	opBin   = 0x2
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// A frame is a frame of a raw peer, which may be one that RFC 6455 forbids.
// Neither its encoding nor its decoding has anything of walve's.
type frame struct {
	fin     bool
	rsv     byte // RSV1 to RSV3 as a number of three bits
	op      byte
	payload []byte
}

func whole(op byte, payload string) frame { return frame{true, 0, op, []byte(payload)} }
func first(op byte, payload string) frame { return frame{false, 0, op, []byte(payload)} }
func more(payload string) frame           { return frame{false, 0, opCont, []byte(payload)} }
func last(payload string) frame           { return frame{true, 0, opCont, []byte(payload)} }

func closing(code int, reason string) frame {
	return frame{true, 0, opClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)}
}

// append appends the frame to b, masked with a key of its own or not.
func (f frame) append(b []byte, masked bool) []byte {
	var flags, mask byte
	if f.fin {
		flags = 0x80
	}
	if masked {
		mask = 0x80
	}
	b = append(b, flags|f.rsv<<4|f.op)
	switch n := len(f.payload); {
	case n <= 125:
		b = append(b, mask|byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	if !masked {
		return append(b, f.payload...)
	}
	var key [4]byte
	rand.Read(key[:])
	b = append(b, key[:]...)
	n := len(b)
	b = append(b, f.payload...)
	mask4(b[n:], key)
	return b
}

// mask4 masks p in place.
func mask4(p []byte, key [4]byte) {
	keys := bytes.Repeat(key[:], min(len(p)/4+1, 1<<12))
	for len(p) > 0 {
		p = p[subtle.XORBytes(p, p, keys[:len(keys)&^3]):]
	}
}

// A rawPeer plays one side of a connection to walve by hand and holds walve to
// RFC 6455. It keeps the first thing that was not as it must be; what is
// called after that does nothing.
type rawPeer struct {
	conn   net.Conn
	in     *bufio.Reader
	server bool // walve is the client
	chop   int  // sends at most so many bytes by one write; 0: all of a call; frameWise
	quiet  func(*rawPeer) error
	ended  chan error   // how walve's echo ended
	terms  terms        // what the opening handshake says of compression
	z      *deflatePeer // nil if that agrees on none
	out    []byte
	buf    []byte
	keys   map[[4]byte]bool // the masking keys seen
	err    error
}

const (
	frameWise = -1
	maxOut    = 256 << 10 // what is gathered at most for one write
)

func (p *rawPeer) failf(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// shakeHands plays p's side of the opening handshake.
func (p *rawPeer) shakeHands() error {
	p.in = bufio.NewReader(p.conn)
	p.keys = make(map[[4]byte]bool)
	if !p.server {
		const key = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455, 1.3
		fmt.Fprintf(p.conn, "GET / HTTP/1.1\r\nHost: peer.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n", key, extensions(p.terms.offer))
		res, err := http.ReadResponse(p.in, nil)
		if err != nil {
			return err
		}
		if got := res.Header.Get("Sec-WebSocket-Accept"); res.StatusCode != 101 || got != accept(key) {
			return fmt.Errorf("answer %d with Sec-WebSocket-Accept %q", res.StatusCode, got)
		}
		p.z = newDeflatePeer(p.terms.answer, true)
		return wantExtensions(res.Header, p.terms.answer)
	}
	req, err := http.ReadRequest(p.in)
	if err != nil {
		return err
	}
	if p.terms.offer != "" {
		if err := wantExtensions(req.Header, p.terms.offer); err != nil {
			return err
		}
	}
	p.z = newDeflatePeer(p.terms.answer, false)
	return answerHandshake(p.conn, req, p.terms.answer)
}

func answerHandshake(w io.Writer, req *http.Request, agreed string) error {
	_, err := fmt.Fprintf(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n%s\r\n", accept(req.Header.Get("Sec-WebSocket-Key")), extensions(agreed))
	return err
}

// extensions is the header line for value, if there is one.
func extensions(value string) string {
	if value == "" {
		return ""
	}
	return "Sec-WebSocket-Extensions: " + value + "\r\n"
}

func wantExtensions(h http.Header, want string) error {
	if got := strings.Join(h["Sec-Websocket-Extensions"], ", "); got != want {
		return fmt.Errorf("Sec-WebSocket-Extensions: %q instead of %q", got, want)
	}
	return nil
}

func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// send sends frames, in the pieces that p.chop asks for.
func (p *rawPeer) send(frames ...frame) {
	p.out = p.out[:0]
	for _, f := range frames {
		p.out = f.append(p.out, !p.server)
		if p.chop == frameWise || len(p.out) > maxOut {
			p.write(p.out)
			p.out = p.out[:0]
		}
	}
	p.write(p.out)
}

func (p *rawPeer) write(b []byte) {
	for len(b) > 0 && p.err == nil {
		n := len(b)
		if p.chop > 0 {
			n = min(n, p.chop)
		}
		if _, err := p.conn.Write(b[:n]); err != nil {
			p.failf("write: %v", err)
		}
		b = b[n:]
	}
}

// next reads a frame, whose payload is good until the next call.
func (p *rawPeer) next() frame {
	f, err := p.readFrame()
	if err != nil {
		p.failf("read: %v", err)
	}
	return f
}

func (p *rawPeer) readFrame() (frame, error) {
	if p.err != nil {
		return frame{}, p.err
	}
	var h [2]byte
	if _, err := io.ReadFull(p.in, h[:]); err != nil {
		return frame{}, err
	}
	f := frame{fin: h[0]&0x80 != 0, rsv: h[0] >> 4 & 7, op: h[0] & 0xF}
	masked, n := h[1]&0x80 != 0, uint64(h[1]&0x7F)
	if n > 125 {
		size, shortest := 2, uint64(126)
		if n == 127 {
			size, shortest = 8, 0x10000
		}
		var b [8]byte
		if _, err := io.ReadFull(p.in, b[8-size:]); err != nil {
			return f, err
		}
		if n = binary.BigEndian.Uint64(b[:]); n < shortest {
			return f, fmt.Errorf("length %d in %d bytes", n, size)
		}
	}
	switch {
	case f.rsv != 0 && (f.rsv != rsv1 || p.z == nil || f.op != opText && f.op != opBin):
		return f, fmt.Errorf("reserved bits %d", f.rsv)
	case masked != p.server:
		return f, fmt.Errorf("masked: %t", masked)
	case f.op >= 8 && (!f.fin || n > 125):
		return f, fmt.Errorf("control frame %#x with FIN %t and %d bytes", f.op, f.fin, n)
	case n > 1<<20:
		return f, fmt.Errorf("frame of %d bytes", n) // walve's are bounded
	}
	var key [4]byte
	if masked {
		if _, err := io.ReadFull(p.in, key[:]); err != nil {
			return f, err
		}
		// RFC 6455, 5.3: a fresh key for every frame. Looked at are the first
		// hundred, where chance makes no two the same.
		if len(p.keys) < 100 {
			if p.keys[key] {
				return f, fmt.Errorf("masking key %x used again", key)
			}
			p.keys[key] = true
		}
	}
	if uint64(cap(p.buf)) < n {
		p.buf = make([]byte, n)
	}
	f.payload = p.buf[:n]
	if _, err := io.ReadFull(p.in, f.payload); err != nil {
		return f, err
	}
	if masked {
		mask4(f.payload, key)
	}
	return f, nil
}

// wantMessage reads a message in any number of frames and nothing else.
func (p *rawPeer) wantMessage(op byte, payload []byte) {
	rest, due := payload, op
	for p.err == nil {
		f := p.next()
		switch n := len(f.payload); {
		case p.err != nil:
		case f.op != due || f.rsv != 0:
			p.failf("opcode %#x, reserved bits %d, instead of %#x (%d of %d bytes are there)", f.op, f.rsv, due, len(payload)-len(rest), len(payload))
		case n > len(rest) || !bytes.Equal(f.payload, rest[:n]):
			p.failf("other bytes than those sent, from %d on", len(payload)-len(rest))
		case f.fin && n < len(rest):
			p.failf("%d of %d bytes", len(payload)-len(rest)+n, len(payload))
		case f.fin:
			return
		default:
			rest, due = rest[n:], opCont
		}
	}
}

func (p *rawPeer) wantPong(payload string) {
	if f := p.next(); p.err == nil && (f.op != opPong || string(f.payload) != payload) {
		p.failf("opcode %#x with %q instead of a Pong with %q", f.op, f.payload, payload)
	}
}

// wantClose reads a Close frame with one of the codes; 0 is one without.
func (p *rawPeer) wantClose(code int) {
	f := p.next()
	if p.err != nil {
		return
	}
	got := 0
	if f.op == opClose && len(f.payload) >= 2 {
		got = int(binary.BigEndian.Uint16(f.payload))
		if !utf8.Valid(f.payload[2:]) {
			p.failf("close reason %q", f.payload[2:])
		}
	}
	if f.op != opClose || len(f.payload) == 1 || got != code {
		p.failf("opcode %#x with %d bytes, code %d, instead of a Close frame with %d", f.op, len(f.payload), got, code)
	}
}

// wantQuiet holds that walve has nothing to say and does not close. That can
// only be told where the clock is the test's own.
func (p *rawPeer) wantQuiet() {
	if p.err != nil || p.quiet == nil {
		return
	}
	if err := p.quiet(p); err != nil {
		p.failf("%v", err)
	}
}

// wantEnd reads to the end of the stream, and then ends this side too.
func (p *rawPeer) wantEnd() {
	if p.err == nil {
		if f, err := p.readFrame(); err == nil {
			p.failf("opcode %#x behind the Close frame", f.op)
		} else if err != io.EOF {
			p.failf("%v instead of the end", err)
		}
	}
	p.conn.Close()
}

// fin ends this side's writing on TCP's level.
func (p *rawPeer) fin() {
	if err := p.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		p.failf("%v", err)
	}
}

// clean closes and wants that answered, as RFC 6455, 5.5.1, says.
func (p *rawPeer) clean() {
	p.send(closing(1000, ""))
	p.wantClose(1000)
	p.closed(io.EOF)
}

// closed plays the rest of a closing handshake: RFC 6455, 7.1.1, the server
// closes the TCP connection and the client waits for that. The program at
// walve's end must have got want.
func (p *rawPeer) closed(want error) {
	if p.server {
		p.wantQuiet()
		p.fin()
	}
	p.wantEnd()
	p.wantError(want)
}

// failed wants the connection failed with code (RFC 6455, 7.1.7): the Close
// frame, the end, whoever is the server, and nothing else.
func (p *rawPeer) failed(code int) {
	p.wantClose(code)
	p.wantEnd()
	p.wantError(&walve.ProtocolError{Code: walve.StatusCode(code)})
}

// wantError wants walve's end to have returned want, or one of its type and
// code.
func (p *rawPeer) wantError(want error) {
	if p.err != nil {
		return
	}
	got := <-p.ended
	ok := errors.Is(got, want)
	switch want := want.(type) {
	case *walve.ProtocolError:
		var pe *walve.ProtocolError
		ok = errors.As(got, &pe) && pe.Code == want.Code
	case *walve.CloseError:
		var ce *walve.CloseError
		ok = errors.As(got, &ce) && *ce == *want
	}
	if !ok {
		p.failf("walve returned %v", got)
	}
}
