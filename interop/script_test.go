package interop_test

import (
	"bytes"
	"fmt"
	"strings"
)

// A script is what the two ends of a connection send and how it ends.
type script struct {
	messages  [2][]message // of the client and of the server
	fragments int          // gorilla's frames have this size
	closer    int          // whose messages end with a Close frame: 0 the client
	code      int
	reason    string
}

// A message is sent in fragments, with Pings before some.
type message struct {
	op    byte
	parts [][]byte
	pings []int // how many before each part, and, last, behind all
}

func (m message) payload() []byte { return bytes.Join(m.parts, nil) }

func (s script) pings(side int) (n int) {
	for _, m := range s.messages[side] {
		for _, k := range m.pings {
			n += k
		}
	}
	return n
}

// What a script decodes to is bounded, so that a run takes no time: Pongs may
// be left out by who has too many to send (RFC 6455, 5.5.3), so there are never
// that many Pings.
const (
	maxMessages = 4 // of a side
	maxParts    = 4
	maxPings    = 16 // of a side
)

var (
	partSizes   = []int{0, 1, 2, 3, 124, 125, 126, 127, 128, 255, 1000, 4095, 4096, 4097, 65535, 65536}
	scriptCodes = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999}
)

// decodeScript makes a script of any bytes. Its grammar is valid and its texts
// are UTF-8, cut anywhere.
func decodeScript(b []byte) script {
	next := func(n int) int {
		if len(b) == 0 {
			return 0
		}
		v := int(b[0]) % n
		b = b[1:]
		return v
	}
	s := script{fragments: 1 + next(256)*16, closer: next(2), code: scriptCodes[next(len(scriptCodes))]}
	s.reason = strings.Repeat("ü", next(62))
	for side := range s.messages {
		pings := maxPings
		ping := func() int {
			n := min(max(next(8)-4, 0), pings)
			pings -= n
			return n
		}
		for range next(maxMessages + 1) {
			m := message{op: byte(opText + next(2))}
			for range 1 + next(maxParts) {
				m.pings = append(m.pings, ping())
				m.parts = append(m.parts, make([]byte, partSizes[next(len(partSizes))]))
			}
			m.pings = append(m.pings, ping())
			m.fill(next(256))
			s.messages[side] = append(s.messages[side], m)
		}
	}
	return s
}

// fill gives the parts their bytes, which depend on seed.
func (m message) fill(seed int) {
	n := len(m.payload())
	var p []byte
	if m.op == opBin {
		p = binaryPayload()[seed<<10:][:n]
	} else {
		runes := []string{"a", "ß", "水", "\U0001F30A"}
		for i := seed; len(p) < n; i = i*5 + 1 {
			r := runes[i>>2&3]
			if len(r) > n-len(p) {
				r = "."
			}
			p = append(p, r...)
		}
	}
	for i := range m.parts {
		p = p[copy(m.parts[i], p):]
	}
}

// A record is what one end has seen.
type record struct {
	messages []string // opcode and payload
	pongs    int      // for its Pings
	code     int      // of the Close frame
	reason   string
	closed   bool   // one was seen
	seen     func() // called for every message and Pong, if not nil
}

func (r *record) message(op byte, p []byte) {
	r.messages = append(r.messages, fmt.Sprint(op, ":", string(p)))
	if r.seen != nil {
		r.seen()
	}
}

func (r *record) pong() {
	r.pongs++
	if r.seen != nil {
		r.seen()
	}
}

// expected is what an end of the script must see: the other side's messages,
// a Pong for each of its Pings, and the close or the reply to it.
func (s script) expected(side int) record {
	r := record{pongs: s.pings(side), code: s.code, closed: true}
	for _, m := range s.messages[1-side] {
		r.message(m.op, m.payload())
	}
	if side != s.closer {
		r.reason = s.reason
	}
	return r
}

// compare says how got differs, or nil.
func (r record) compare(got record) error {
	for i := range max(len(r.messages), len(got.messages)) {
		if i >= len(got.messages) || i >= len(r.messages) {
			return fmt.Errorf("%d messages instead of %d", len(got.messages), len(r.messages))
		}
		if want, have := r.messages[i], got.messages[i]; want != have {
			return fmt.Errorf("message %d is %.20q (%d bytes) instead of %.20q (%d bytes)", i, have, len(have), want, len(want))
		}
	}
	if r.pongs != got.pongs {
		return fmt.Errorf("%d Pongs instead of %d", got.pongs, r.pongs)
	}
	if !got.closed || r.code != got.code || r.reason != got.reason {
		return fmt.Errorf("close %t %d %q instead of %d %q", got.closed, got.code, got.reason, r.code, r.reason)
	}
	return nil
}
