package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// rawBuffer is what the counterpart reads into.
const rawBuffer = 256 << 10

// rawConn is the counterpart's connection: frames that were made once go out
// as they are, and of what comes in only the headers are looked at. Without
// framing it sends and counts the same payload over plain TCP.
type rawConn struct {
	c     net.Conn
	wire  []byte // one message
	in    frameCounter
	plain bool // no frames
	buf   []byte
	ready int // payload bytes counted and not taken yet
}

// newRawConn makes the counterpart's end of c. The buffer is made by read.
func newRawConn(c net.Conn, w Work, framed bool) *rawConn {
	r := &rawConn{c: c, plain: !framed}
	r.wire = wireMessage(payload(w.Size), framed, w.Role == AsServer)
	return r
}

// wireMessage returns p, in a binary frame if framed. It may change p.
func wireMessage(p []byte, framed, masked bool) []byte {
	if !framed {
		return p
	}
	b := []byte{0x82, 0}
	switch size := len(p); {
	case size < 126:
		b[1] = byte(size)
	case size <= 0xffff:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(size))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(size))
	}
	if masked {
		key := [4]byte{0x37, 0xfa, 0x21, 0x3d} // that of the RFC's examples
		b[1] |= 0x80
		b = append(b, key[:]...)
		for i := range p {
			p[i] ^= key[i%4]
		}
	}
	return append(b, p...)
}

// payload returns size bytes that are not all alike.
func payload(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

// send writes one message.
func (r *rawConn) send() error {
	_, err := r.c.Write(r.wire)
	return err
}

// receive reads until n bytes of payload have come.
func (r *rawConn) receive(n int64) error {
	if r.buf == nil {
		r.buf = make([]byte, rawBuffer)
	}
	for {
		if int64(r.ready) >= n {
			r.ready -= int(n)
			return nil
		}
		n -= int64(r.ready)
		r.ready = 0
		m, err := r.c.Read(r.buf)
		if m > 0 {
			k, ferr := r.count(r.buf[:m])
			if ferr != nil {
				return ferr
			}
			r.ready = k
			continue
		}
		if err != nil {
			return err
		}
	}
}

func (r *rawConn) count(p []byte) (int, error) {
	if r.plain {
		return len(p), nil
	}
	return r.in.count(p)
}

func (r *rawConn) Close() error { return r.c.Close() }

// frameCounter counts the payload of data frames, and looks at nothing but
// their headers.
type frameCounter struct {
	left    int64 // payload bytes of the current frame still to come
	control bool  // they are a control frame's
	header  [14]byte
	n       int // bytes in header
}

var errPeerClosed = errors.New("the peer sent a Close frame")

func (f *frameCounter) count(p []byte) (n int, err error) {
	for len(p) > 0 {
		if f.left > 0 {
			k := int(min(f.left, int64(len(p))))
			f.left -= int64(k)
			p = p[k:]
			if !f.control {
				n += k
			}
			continue
		}
		f.header[f.n] = p[0]
		f.n++
		p = p[1:]
		length, ok := frameLength(f.header[:f.n])
		if !ok {
			continue
		}
		if f.header[0]&0xf == 8 {
			return n, errPeerClosed
		}
		f.control = f.header[0]&8 != 0
		f.left, f.n = length, 0
	}
	return n, nil
}

// frameLength returns the payload length in the frame header b, and whether b
// is whole.
func frameLength(b []byte) (length int64, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	size := 2
	length = int64(b[1] & 0x7f)
	switch length {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	whole := size
	if b[1]&0x80 != 0 {
		whole += 4
	}
	if len(b) < whole {
		return 0, false
	}
	switch size {
	case 4:
		length = int64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		length = int64(binary.BigEndian.Uint64(b[2:]))
	}
	return length, true
}

const (
	rawKey     = "dGhlIHNhbXBsZSBub25jZQ==" // that of RFC 6455, 1.3
	rawRequest = "GET /bench HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + rawKey + "\r\nSec-WebSocket-Version: 13\r\n\r\n"
	rawAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: "
	fixedAnswer = rawAnswer + "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// dialTCP connects to addr.
func dialTCP(ctx context.Context, addr string) (*net.TCPConn, error) {
	d := net.Dialer{Control: reuseAddress}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// dialRaw connects the counterpart to c's server.
func dialRaw(ctx context.Context, c *Client, framed bool) (*rawConn, error) {
	conn, err := connect(ctx, c, framed)
	if err != nil {
		return nil, err
	}
	return newRawConn(conn, c.Work, framed), nil
}

// connect connects to c's server, with the opening handshake if upgrade.
func connect(ctx context.Context, c *Client, upgrade bool) (net.Conn, error) {
	tc, err := dialTCP(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	if c.Work.Kind != Handshake {
		tc.SetLinger(0) // thousands of idle connections end at once
	}
	var conn net.Conn = tc
	if c.Work.TLS {
		tlsConn := tls.Client(conn, c.TLS)
		if err := tlsConn.HandshakeContext(ctx); err != nil {
			tc.Close()
			return nil, err
		}
		conn = tlsConn
	}
	if upgrade {
		if err := clientHandshake(conn); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// clientHandshake asks for an upgrade. A server of ours sends nothing on its
// own, so that nothing can lie behind the answer.
func clientHandshake(c net.Conn) error {
	if _, err := io.WriteString(c, rawRequest); err != nil {
		return err
	}
	return readHead(c, func(head []byte) error {
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
			line, _, _ := bytes.Cut(head, []byte("\r\n"))
			return fmt.Errorf("opening handshake: %s", line)
		}
		return nil
	})
}

var heads = sync.Pool{New: func() any { return new([2048]byte) }}

// readHead reads to the empty line behind an HTTP header, and has use look at
// it.
func readHead(c net.Conn, use func(head []byte) error) error {
	b := heads.Get().(*[2048]byte)
	defer heads.Put(b)
	for n := 0; n < len(b); {
		m, err := c.Read(b[n:])
		n += m
		if bytes.HasSuffix(b[:n], []byte("\r\n\r\n")) {
			return use(b[:n])
		}
		if err != nil {
			return fmt.Errorf("opening handshake: %w", err)
		}
	}
	return errors.New("opening handshake: the header is too long")
}

// serverHandshake answers a library's request for an upgrade.
func serverHandshake(c net.Conn) error {
	return readHead(c, func(head []byte) error {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			return fmt.Errorf("opening handshake: %w", err)
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, err = io.WriteString(c, rawAnswer+base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
		return err
	})
}
