package walve_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// fuzzLimit bounds the messages of FuzzConnRead.
const fuzzLimit = 300

// FuzzConnRead: any byte stream, cut into random reads, gives the same payload,
// the same error and the same replies as in one piece, in both roles.
func FuzzConnRead(f *testing.F) {
	for _, masked := range []bool{true, false} {
		s := exchange(masked, false)
		f.Add(s.wire, uint64(1), !masked)
		f.Add(s.wire[:len(s.wire)*2/3], uint64(2), !masked)
		f.Add(s.wire, uint64(3), masked) // with the mask of the wrong role
		for i, v := range violations() {
			f.Add(append(rawFrame(masked, fin|text, "first"), v.wire(masked)...), uint64(i), !masked)
		}
		for _, code := range []walve.StatusCode{1000, 1001, 1004, 4000} {
			f.Add(sends(text, "caf", fin|ping, "p", fin|cont, "\u00e9", fin|cls, closePayload(code, "why"), fin|bin, "behind")(masked), uint64(code), !masked)
		}
		f.Add(sends(bin, strings.Repeat("x", fuzzLimit), fin|cont, "", fin|bin, strings.Repeat("y", fuzzLimit+1))(masked), uint64(4), !masked)
		f.Add(sends(fin|bin, strings.Repeat("z", 5000), fin|pong, strings.Repeat("q", 125), fin|text, "end")(masked), uint64(5), !masked)
		f.Add(append(rawFrame(masked, fin|ping, ""), longHeader(masked, fin|bin, 1<<40)...), uint64(6), !masked)
	}
	f.Fuzz(func(t *testing.T, wire []byte, seed uint64, client bool) {
		if len(wire) > memconn.DefaultBuffer {
			return
		}
		for _, m := range readMethods {
			want := readOutcome(t, m, wire, client, func(*memconn.Conn) {})
			for what, cut := range map[string]func(*memconn.Conn){
				"random":  func(c *memconn.Conn) { c.SetReadSeed(seed) },
				"bytes":   func(c *memconn.Conn) { c.SetMaxRead(1) },
				"by some": func(c *memconn.Conn) { c.SetMaxRead(int(seed%300) + 1) },
			} {
				if got := readOutcome(t, m, wire, client, cut); got != want {
					t.Errorf("%s, %s:\n%s\nin one piece:\n%s", m.name, what, got, want)
				}
			}
		}
	})
}

// readOutcome tells what a Conn that gets wire, and then FIN, reads and sends.
func readOutcome(t *testing.T, m readMethod, wire []byte, client bool, cut func(*memconn.Conn)) (outcome string) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{Client: client, MaxMessageSize: fuzzLimit})
		cut(p.near)
		p.write(wire)
		p.CloseWrite()
		got, err := m.read(c)
		if err == nil {
			t.Fatal("no error")
		}
		if code, reason, ok := c.CloseStatus(); ok {
			err = fmt.Errorf("%v, and %v %q", err, code, reason)
		}
		if n, werr := c.Write([]byte("last")); n != 4 && werr == nil || n == 4 && err == io.EOF {
			t.Errorf("Write behind %v: %d, %v", err, n, werr)
		}
		c.Close()
		var sent strings.Builder
		for {
			h, payload, err := p.next()
			if err != nil {
				fmt.Fprint(&sent, err)
				break
			}
			fmt.Fprintf(&sent, "%#x %q\n", byte(firstByte(h)), payload)
		}
		if bytes.Count(wire, []byte{byte(fin | ping)}) > walve.MaxControl {
			// Of more Pings than the queue holds the time decides which are
			// answered.
			sent.Reset()
		}
		p.Close()
		outcome = fmt.Sprintf("read %q, then %v\nsent %s", got, err, sent.String())
	})
	return outcome
}
