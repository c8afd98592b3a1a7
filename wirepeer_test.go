package walve_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// The first byte of a frame is an opcode, fin or not.
const (
	fin walve.Opcode = 0x80
	cls              = walve.OpClose
)

// A wirePeer is the other end of a Conn, spoken frame by frame.
type wirePeer struct {
	*memconn.Conn               // the peer's end
	near          *memconn.Conn // the Conn's
	fr            *walve.FrameReader
	client        bool // the peer's role
	t             testing.TB
}

// newWirePeer returns a Conn in memory and its peer.
func newWirePeer(t testing.TB, cfg walve.TestConfig, opts ...memconn.Option) (*walve.Conn, *wirePeer) {
	near, far := memconn.Pipe(opts...)
	p := &wirePeer{Conn: far, near: near, fr: walve.NewFrameReader(far), client: !cfg.Client, t: t}
	return walve.NewTestConn(near, cfg), p
}

// rawFrame returns a frame as an end of that role sends it, but with b0 for its
// first byte, valid or not.
func rawFrame(client bool, b0 walve.Opcode, payload string) []byte {
	h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: client, Length: int64(len(payload))}
	if client {
		h.MaskKey = testKey
	}
	b, _ := wire([]testFrame{{h, []byte(payload)}})
	b[0] = byte(b0)
	return b
}

// rawHeader returns a header with the given bytes of length.
func rawHeader(client bool, b0 walve.Opcode, length ...byte) []byte {
	b := append([]byte{byte(b0)}, length...)
	if client {
		b[1] |= 0x80
		b = append(b, 0, 0, 0, 0) // masks nothing
	}
	return b
}

// longHeader returns the header of a frame of length bytes, at least 65536,
// whose payload is not masked or masked with zeros.
func longHeader(client bool, b0 walve.Opcode, length int64) []byte {
	return rawHeader(client, b0, binary.BigEndian.AppendUint64([]byte{127}, uint64(length))...)
}

func (p *wirePeer) write(b []byte) {
	p.t.Helper()
	if _, err := p.Conn.Write(b); err != nil {
		p.t.Errorf("peer writes: %v", err)
	}
}

func (p *wirePeer) send(b0 walve.Opcode, payload string) {
	p.t.Helper()
	p.write(rawFrame(p.client, b0, payload))
}

// next returns the next frame of the Conn, masked as its role asks.
func (p *wirePeer) next() (walve.Header, string, error) {
	h, err := p.fr.Next()
	if err != nil {
		return h, "", err
	}
	if h.Masked == p.client {
		p.t.Errorf("frame %+v: masked %v", h, h.Masked)
	}
	b, err := io.ReadAll(p.fr)
	return h, string(b), err
}

// want checks that the next frame of the Conn is this one.
func (p *wirePeer) want(b0 walve.Opcode, payload string) {
	p.t.Helper()
	h, got, err := p.next()
	if err != nil {
		p.t.Fatalf("peer reads: %v; want %#x %q", err, byte(b0), payload)
	}
	if firstByte(h) != b0 || got != payload {
		p.t.Errorf("frame %#x %.40q, want %#x %.40q", byte(firstByte(h)), got, byte(b0), payload)
	}
}

// wantClose checks that the next frame of the Conn is a Close frame of code;
// code 0 stands for none. It returns the reason.
func (p *wirePeer) wantClose(code walve.StatusCode) string {
	p.t.Helper()
	h, got, err := p.next()
	if err != nil {
		p.t.Errorf("peer reads: %v; want a Close frame", err)
		return ""
	}
	if firstByte(h) != fin|cls || len(got) < 2 && code != 0 || code == 0 && got != "" {
		p.t.Errorf("frame %#x %.40q, want a Close frame of %d", byte(firstByte(h)), got, code)
		return ""
	}
	if code == 0 {
		return ""
	}
	if sent := walve.StatusCode(binary.BigEndian.Uint16([]byte(got))); sent != code {
		p.t.Errorf("Close frame of %v, want %v", sent, code)
	}
	return got[2:]
}

// wantEnd checks that the Conn has ended its side and sent nothing more.
func (p *wirePeer) wantEnd() {
	p.t.Helper()
	if h, got, err := p.next(); err != io.EOF {
		p.t.Errorf("frame %+v %.40q, %v; want the end of the stream", h, got, err)
	}
}

// wantNothing checks that the Conn has sent nothing that was not read.
func (p *wirePeer) wantNothing() {
	p.t.Helper()
	if n := p.near.Unread(); n != 0 {
		p.t.Errorf("%d bytes on the wire, want none", n)
	}
}

// firstByte returns the first byte of a frame.
func firstByte(h walve.Header) walve.Opcode {
	h.Masked, h.Length = false, 0
	b, err := h.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return walve.Opcode(b[0])
}

func closePayload(code walve.StatusCode, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// A readMethod reads a Conn until there is an error, and returns the payload
// that it got.
type readMethod struct {
	name string
	read func(c *walve.Conn) ([]byte, error)
}

var readMethods = []readMethod{
	{"Read/1", func(c *walve.Conn) ([]byte, error) { return readToError(c, 1) }},
	{"Read", func(c *walve.Conn) ([]byte, error) { return readToError(c, 64<<10) }},
	{"WriteTo", func(c *walve.Conn) ([]byte, error) {
		var w bytes.Buffer
		_, err := c.WriteTo(&w)
		if err == nil {
			err = io.EOF
		}
		return w.Bytes(), err
	}},
	{"NextReader", func(c *walve.Conn) (got []byte, err error) {
		for {
			_, r, err := c.NextReader()
			if err != nil {
				return got, err
			}
			b, err := readToError(r, 512)
			if got = append(got, b...); err != io.EOF {
				return got, err
			}
		}
	}},
	{"NextMessage", func(c *walve.Conn) (got []byte, err error) {
		for {
			_, r, err := c.NextMessage()
			if err != nil {
				return got, err
			}
			b, err := readToError(r, 512)
			if got = append(got, b...); err != io.EOF {
				return got, err
			}
		}
	}},
	{"ReadMessage", readMessages},
}

func readMessages(c *walve.Conn) (got []byte, err error) {
	for {
		_, b, err := c.ReadMessage()
		if err != nil {
			return got, err
		}
		got = append(got, b...)
	}
}

// readToError reads r until an error, size bytes at a time.
func readToError(r io.Reader, size int) (got []byte, err error) {
	p := make([]byte, size)
	for {
		n, err := r.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			return got, err
		}
	}
}

// An opResult is what a call has returned.
type opResult struct {
	n   int
	err error
}

// begin calls f in a goroutine.
func begin(f func() (int, error)) <-chan opResult {
	ch := make(chan opResult, 1)
	go func() {
		n, err := f()
		ch <- opResult{n, err}
	}()
	return ch
}

func beginErr(f func() error) <-chan opResult {
	return begin(func() (int, error) { return 0, f() })
}

// pending checks that a call that began has not returned.
func pending(t testing.TB, what string, ch <-chan opResult) {
	t.Helper()
	select {
	case r := <-ch:
		t.Errorf("%s has returned (%d, %v), want it to wait", what, r.n, r.err)
	default:
	}
}

// wantOpError checks that err is a *net.OpError around target.
func wantOpError(t testing.TB, what string, err, target error) {
	t.Helper()
	oe, ok := err.(*net.OpError)
	if !ok || target != nil && !errors.Is(err, target) {
		t.Errorf("%s: %T %v, want a *net.OpError around %v", what, err, err, target)
		return
	}
	if oe.Op == "" || oe.Net == "" || oe.Addr == nil || oe.Source == nil {
		t.Errorf("%s: %#v lacks op, net or addresses", what, oe)
	}
}

// bothRoles runs f as a subtest for a Conn of either role.
func bothRoles(t *testing.T, f func(t *testing.T, client bool)) {
	t.Run("client", func(t *testing.T) { f(t, true) })
	t.Run("server", func(t *testing.T) { f(t, false) })
}
