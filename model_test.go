package walve_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/deflate"
)

// A modelFrame is a data frame as NextReader shows it: a compressed message is
// one, of unknown length.
type modelFrame struct {
	op     walve.Opcode
	fin    bool
	length int64
	data   []byte
	cut    bool // the wire ends inside it
}

// A modelQueue is what one end has put on the wire: the queue of which the
// other end reads.
type modelQueue struct {
	frames []modelFrame
	closed bool // a Close frame follows
	code   walve.StatusCode
	inside bool // it, or the end of the wire, is inside a message
	mixed  int  // messages with bytes of more than one writer
}

// newModelQueue takes wire, of the side of role masked, apart. Where it ends in
// the midst of a frame, what has come counts.
func newModelQueue(wire []byte, masked bool, agreed *walve.Deflate) (*modelQueue, error) {
	q := &modelQueue{}
	var z *deflate.Inflater
	if agreed != nil {
		z = deflate.NewInflater(agreed.SendBits, agreed.SendTakeover)
	}
	deflated := false
	fr := walve.NewFrameReader(bytes.NewReader(wire))
	for {
		h, err := fr.Next()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return q, nil
		}
		if err != nil {
			return q, err
		}
		p, err := io.ReadAll(fr)
		if err != nil && err != io.ErrUnexpectedEOF {
			return q, err
		}
		switch {
		case h.Masked != masked:
			return q, fmt.Errorf("frame %+v, want masked %v", h, masked)
		case h.Opcode == walve.OpClose && err == nil:
			if q.closed {
				return q, fmt.Errorf("two Close frames")
			}
			q.closed, q.code = true, walve.StatusNoStatusReceived
			if len(p) >= 2 {
				q.code = walve.StatusCode(binary.BigEndian.Uint16(p))
			}
			continue
		case h.Opcode.IsControl():
			continue
		case q.closed:
			return q, fmt.Errorf("frame %+v behind a Close frame", h)
		case (h.Opcode == cont) != q.inside:
			return q, fmt.Errorf("frame %+v, inside a message: %v", h, q.inside)
		}
		q.inside = !h.Fin
		if h.Opcode != cont {
			deflated = h.RSV1
		}
		f := modelFrame{h.Opcode, h.Fin, h.Length, p, err != nil}
		if !deflated {
			q.frames = append(q.frames, f)
			continue
		}
		last := h.Fin && err == nil
		dst := make([]byte, 1<<20)
		n, _, _, err := z.Inflate(dst, p, last)
		if err != nil {
			return q, err
		}
		if h.Opcode != cont {
			q.frames = append(q.frames, modelFrame{op: h.Opcode, fin: true, length: -1})
		}
		m := &q.frames[len(q.frames)-1]
		m.data, m.cut = append(m.data, dst[:n]...), !last
	}
}

// modelByte is byte i of a writer: it says whose it is and, in part, where it
// belongs, and is ASCII, so that it may be text.
func modelByte(writer, i int) byte {
	return byte(writer<<5 | (i*7+i>>5*11+i>>10*3)&31)
}

// perWriter holds the bytes of each writer against what it writes and returns
// how many there are.
func (q *modelQueue) perWriter() (n [4]int, err error) {
	whose := -1
	for i, f := range q.frames {
		if f.op != cont {
			whose = -1
		}
		for _, b := range f.data {
			w := int(b >> 5 & 3)
			if b != modelByte(w, n[w]) {
				return n, fmt.Errorf("frame %d on the wire: byte %#x of writer %d is not its byte %d", i, b, w, n[w])
			}
			if whose >= 0 && whose != w {
				q.mixed++
			}
			whose = w
			n[w]++
		}
	}
	return n, nil
}

func (q *modelQueue) data() (all []byte) {
	for _, f := range q.frames {
		all = append(all, f.data...)
	}
	return all
}

// A modelCall is what a reading call has returned.
type modelCall struct {
	method  string
	op      walve.Opcode
	fin     bool
	length  int64
	data    []byte
	message bool // of a payload reader
	err     error
}

func (m modelCall) String() string {
	return fmt.Sprintf("%s: %v fin=%v length=%d, %d bytes, %v", m.method, m.op, m.fin, m.length, len(m.data), m.err)
}

// A modelPos is where a Conn's reading may stand: at byte o of frame f, which
// is the current one. Before all it is at the end of frame -1.
type modelPos struct {
	f, o  int
	whole bool // ReadMessage has begun f's message: the current frame may be a later one of it
	fresh bool // and Read has taken nothing of it
	ahead bool // Read has looked past empty frames at the start of a message
}

type modelSet map[modelPos]bool

func (q *modelQueue) size(f int) int {
	if f < 0 {
		return 0
	}
	return len(q.frames[f].data)
}

// last returns the last frame of f's message, or len(q.frames) if it is not
// there.
func (q *modelQueue) last(f int) int {
	for ; f >= 0 && f < len(q.frames) && !q.frames[f].fin; f++ {
	}
	return f
}

// ended reports whether nothing of frame f is to come behind byte o.
func (q *modelQueue) ended(f, o int) bool {
	return f < 0 || o == len(q.frames[f].data) && !q.frames[f].cut
}

// nextMessages returns where the message begins that is the next one at s.
func (q *modelQueue) nextMessage(s modelPos) int {
	if s.ahead {
		for f := s.f; f <= min(q.last(s.f), len(q.frames)-1); f++ {
			if q.size(f) > 0 {
				for f = s.f; q.frames[f].op == cont; f-- {
				}
				return f // not empty: it must not be skipped
			}
		}
	}
	return q.last(s.f) + 1
}

// skipped adds every position up to the end of frame last.
func (q *modelQueue) skipped(to modelSet, s modelPos, last int) {
	if s.ahead {
		to[s] = true
	}
	last = min(last, len(q.frames)-1)
	if to[modelPos{f: s.f, o: s.o}] && to[modelPos{f: last, o: q.size(last)}] {
		return // from before s, and so all
	}
	for f, o := s.f, s.o; f <= last; f, o = f+1, 0 {
		for ; o <= q.size(f); o++ {
			to[modelPos{f: f, o: o}] = true
		}
	}
}

// take moves s by p, no further than frame last, and reports whether those are
// the bytes there.
func (q *modelQueue) take(s modelPos, p []byte, last int) (modelPos, bool) {
	for len(p) > 0 {
		for s.o == q.size(s.f) {
			if s.f >= last || !q.ended(s.f, s.o) || s.f+1 >= len(q.frames) {
				return s, false
			}
			begins := q.frames[s.f+1].op != cont
			s = modelPos{f: s.f + 1, whole: s.whole && !begins}
		}
		n := min(len(p), q.size(s.f)-s.o)
		if !bytes.Equal(p[:n], q.frames[s.f].data[s.o:s.o+n]) {
			return s, false
		}
		p, s.o, s.fresh = p[n:], s.o+n, false
	}
	return s, true
}

// look adds the positions that a look ahead from s may have come to.
func (q *modelQueue) look(to modelSet, s modelPos, message bool) {
	to[s] = true
	for q.ended(s.f, s.o) && s.f+1 < len(q.frames) {
		next := &q.frames[s.f+1]
		if message && next.op != cont {
			return
		}
		if !message && (len(next.data) > 0 || next.cut) {
			return
		}
		s = modelPos{f: s.f + 1, whole: s.whole && next.op == cont, ahead: !message && (s.ahead || next.op != cont)}
		to[s] = true
		if len(next.data) > 0 {
			return
		}
	}
}

// replay holds the calls of one reader against the queue.
func (q *modelQueue) replay(calls []modelCall) error {
	states := modelSet{{f: -1}: true}
	for i, m := range calls {
		next := modelSet{}
		for s := range states {
			q.step(next, s, m)
		}
		if len(next) == 0 && (m.err == nil || m.err == io.EOF || isTimeout(m.err)) {
			return fmt.Errorf("call %d, %v: not what comes at %v", i, m, states)
		}
		if states = next; len(states) == 0 {
			return nil
		}
	}
	return nil
}

// step adds where call m may lead to from s.
func (q *modelQueue) step(to modelSet, s modelPos, m modelCall) {
	end := len(q.frames)
	late := m.err != nil && m.err != io.EOF // with a timeout; else nothing follows
	switch m.method {
	case "Read":
		if len(m.data) == 0 && s.fresh {
			to[s] = true // or ReadMessage is over
			s.fresh = false
		}
		if s, ok := q.take(s, m.data, end); ok && (m.err != io.EOF || q.clean() && q.only(s, end)) {
			q.look(to, s, false)
		}
	case "payload":
		last := s.f
		if m.message {
			last = q.last(s.f)
		}
		s, ok := q.take(s, m.data, last)
		switch {
		case !ok:
		case m.err != io.EOF && m.message:
			q.look(to, s, true)
		case m.err != io.EOF:
			to[s] = true
		case q.only(s, last+1) && last < end:
			to[modelPos{f: last, o: q.size(last)}] = true
		}
	case "NextReader":
		first, last := s.f, s.f
		if s.whole {
			last = min(q.last(s.f), end-1)
		}
		if late {
			q.skipped(to, s, last)
			to[s] = true // a deadline in the past
			return
		}
		for f := first + 1; f <= last+1; f++ {
			if m.err == io.EOF && f == end && q.clean() {
				to[s] = true
			}
			if m.err == nil && f < end && q.frames[f].op == m.op && q.frames[f].fin == m.fin && q.frames[f].length == m.length {
				to[modelPos{f: f}] = true
			}
		}
	case "NextMessage", "ReadMessage":
		f := q.nextMessage(s)
		if s.fresh && m.method == "ReadMessage" {
			f = s.f
		}
		if late && !(s.fresh && f == s.f) {
			q.skipped(to, s, q.last(s.f))
		}
		if late {
			to[s] = true // a deadline in the past
		}
		if late && m.method == "ReadMessage" && f < end {
			to[modelPos{f: f, whole: true, fresh: true}] = true
		}
		switch {
		case late:
		case m.err == io.EOF:
			if f == end && q.clean() {
				to[s] = true
			}
		case f >= end || q.frames[f].op != m.op:
		case m.method == "NextMessage":
			to[modelPos{f: f}] = true
		default:
			if s, ok := q.take(modelPos{f: f}, m.data, q.last(f)); ok && q.last(f) < end && q.only(s, q.last(f)+1) {
				to[modelPos{f: q.last(f), o: q.size(q.last(f))}] = true
			}
		}
	}
}

// clean reports whether the queue ends with io.EOF.
func (q *modelQueue) clean() bool {
	return q.closed && !q.inside && (q.code == walve.StatusNormalClosure || q.code == walve.StatusNoStatusReceived)
}

// only reports whether nothing but empty frames is to come from s up to frame
// end.
func (q *modelQueue) only(s modelPos, end int) bool {
	if !q.ended(s.f, s.o) {
		return false
	}
	for f := s.f + 1; f < min(end, len(q.frames)); f++ {
		if !q.ended(f, 0) {
			return false
		}
	}
	return true
}

// merged reports whether the bytes that two readers have got, in pieces, can be
// what all is: the state is how many pieces of each are used.
func merged(all []byte, a, b [][]byte) bool {
	type state struct{ i, j int }
	at := map[state]int{{}: 0}
	for len(at) > 0 {
		next := map[state]int{}
		for s, n := range at {
			if s.i == len(a) && s.j == len(b) {
				return true
			}
			if s.i < len(a) && bytes.HasPrefix(all[n:], a[s.i]) {
				next[state{s.i + 1, s.j}] = n + len(a[s.i])
			}
			if s.j < len(b) && bytes.HasPrefix(all[n:], b[s.j]) {
				next[state{s.i, s.j + 1}] = n + len(b[s.j])
			}
		}
		at = next
	}
	return false
}
