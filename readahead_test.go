package walve_test

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestReadLeavesTheNextMessage cuts the stream at every byte behind a message,
// so that Read comes to the next one, compressed or begun by empty frames, and
// gives nothing of it: NextMessage, ReadMessage and NextReader then have it
// whole.
func TestReadLeavesTheNextMessage(t *testing.T) {
	second := filler(90)
	wires := map[string][]scriptFrame{
		"empty frame":  {{bin, false, ""}, {cont, true, second}},
		"empty frames": {{bin, false, ""}, {cont, false, ""}, {ping, true, ""}, {cont, false, second[:5]}, {cont, true, second[5:]}},
	}
	next := map[string]func(c *walve.Conn) (walve.Opcode, []byte, error){
		"ReadMessage": (*walve.Conn).ReadMessage,
		"NextMessage": func(c *walve.Conn) (walve.Opcode, []byte, error) {
			op, r, err := c.NextMessage()
			if err != nil {
				return 0, nil, err
			}
			p, err := io.ReadAll(r)
			return op, p, err
		},
	}
	agreed := walve.Deflate{SendBits: 15, ReceiveBits: 15, Threshold: 1}
	for name, read := range next {
		for which, frames := range wires {
			t.Run(name+" "+which, func(t *testing.T) {
				s := newScript(true, append([]scriptFrame{{bin, true, "first"}}, frames...)...)
				leavesNext(t, walve.TestConfig{}, s.wire, s.ends[0], second, read)
			})
		}
		for _, fragments := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s compressed, fragments %v", name, fragments), func(t *testing.T) {
				wire, end := deflatedWire(t, agreed, second, fragments)
				leavesNext(t, walve.TestConfig{Deflate: &agreed}, wire, end, second, read)
			})
		}
	}
	t.Run("NextReader compressed", func(t *testing.T) {
		wire, end := deflatedWire(t, agreed, second, true)
		leavesNext(t, walve.TestConfig{Deflate: &agreed}, wire, end, second, func(c *walve.Conn) (walve.Opcode, []byte, error) {
			h, r, err := c.NextReader()
			if err != nil {
				return 0, nil, err
			}
			p, err := io.ReadAll(r)
			return h.Opcode, p, err
		})
	})
}

// deflatedWire returns the messages "first" and second as a client writes them,
// and where the first ends.
func deflatedWire(t *testing.T, agreed walve.Deflate, second string, fragments bool) (wire []byte, end int) {
	c, own, peer := memConn(walve.TestConfig{Client: true, Deflate: &agreed})
	defer peer.Close()
	defer c.Close()
	if err := c.WriteMessage(bin, []byte("first")); err != nil {
		t.Fatal(err)
	}
	end = own.Unread()
	parts := []string{second}
	if fragments {
		parts = []string{"", second[:3], second[3:]}
	}
	for i, p := range parts {
		h := walve.Header{Fin: i == len(parts)-1, Opcode: cont, Length: -1}
		if i == 0 {
			h.Opcode = bin
		}
		if err := writeNext(c, h, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	return take(t, own, peer), end
}

func leavesNext(t *testing.T, cfg walve.TestConfig, wire []byte, end int, second string, read func(*walve.Conn) (walve.Opcode, []byte, error)) {
	for k := end; k <= len(wire); k++ {
		bubble(t, func(t *testing.T) {
			c, _, peer := memConn(cfg, memconn.Buffer(1<<20))
			defer closeBoth(t, c, peer)
			peer.Write(wire[:k])
			b := make([]byte, 1000)
			n, err := c.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if string(b[:n]) != "first" {
				return // it has given some of the second, which is then skipped
			}
			peer.Write(wire[k:])
			peer.CloseWrite()
			if op, p, err := read(c); op != bin || string(p) != second || err != nil {
				t.Errorf("cut %d bytes behind the first message: got %v, %d bytes, %v", k-end, op, len(p), err)
			}
		})
	}
}

// An emptyReads is a net.Conn whose Read may return 0, nil, as io.Reader allows.
type emptyReads struct {
	net.Conn
	n int // times
}

func (c *emptyReads) Read(p []byte) (int, error) {
	if c.n > 0 {
		c.n--
		return 0, nil
	}
	return c.Conn.Read(p)
}

// TestEmptyRead: nothing is made of it, where a message is skipped neither.
func TestEmptyRead(t *testing.T) {
	own, peer := memconn.Pipe()
	below := &emptyReads{Conn: own}
	c := walve.NewTestConn(below, walve.TestConfig{Client: true})
	peer.Write([]byte{0x82, 5, 'h'})
	if _, _, err := c.NextReader(); err != nil {
		t.Fatal(err)
	}
	below.n = 1
	peer.Write([]byte{'e', 'l', 'l', 'o', 0x82, 1, 'x'})
	if _, p, err := c.ReadMessage(); string(p) != "x" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	peer.Close()
	c.Close()
}
