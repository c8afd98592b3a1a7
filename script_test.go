package walve_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// A script is a scripted exchange: frames of one side and how they lie on the
// wire.
type script struct {
	frames []scriptFrame
	wire   []byte
	heads  []int // where each frame's payload begins on the wire
	ends   []int // and where it ends
}

type scriptFrame struct {
	op      walve.Opcode
	fin     bool
	payload string
}

func (f scriptFrame) String() string {
	const most = 12
	p := fmt.Sprintf("%.*q", most, f.payload)
	if len(f.payload) > most {
		p += fmt.Sprintf("...(%d)", len(f.payload))
	}
	return fmt.Sprintf("{%v fin=%v %s}", f.op, f.fin, p)
}

// newScript lays frames out as the peer of role masked, the client, sends them.
func newScript(masked bool, frames ...scriptFrame) *script {
	s := &script{frames: frames}
	var wire bytes.Buffer
	fw := walve.NewFrameWriter(&wire)
	for i, f := range frames {
		h := walve.Header{Fin: f.fin, Opcode: f.op, Masked: masked, Length: int64(len(f.payload))}
		if masked {
			h.MaskKey = [4]byte{byte(37*i + 1), 0x80, byte(i), 0xff}
		}
		if err := fw.WriteFrame(h, []byte(f.payload)); err != nil {
			panic(err)
		}
		s.heads = append(s.heads, wire.Len()-len(f.payload))
		s.ends = append(s.ends, wire.Len())
	}
	s.wire = wire.Bytes()
	return s
}

const (
	cont = walve.OpContinuation
	text = walve.OpText
	bin  = walve.OpBinary
	ping = walve.OpPing
	pong = walve.OpPong
)

// filler returns n bytes that show where they are.
func filler(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8*31 + i*7 + 3)
	}
	return string(b)
}

// exchange is the scripted exchange of rules 2 and 4: every kind of frame, at
// every length of header; the 64-bit one only with big.
func exchange(masked, big bool) *script {
	frames := []scriptFrame{
		{bin, true, ""},
		{bin, true, "a"},
		{ping, true, "first"},
		{text, false, "h\xc3"}, // each fragment of this text ends inside a character
		{ping, true, ""},
		{cont, false, "\xa9\xe2\x82"},
		{pong, true, "nobody asked"},
		{cont, true, "\xac\xf0\x9f\x98\x80"},
		{bin, false, ""},
		{cont, false, ""},
		{ping, true, filler(125)},
		{cont, true, ""},
		{bin, true, filler(125)},
		{bin, true, filler(126)},
		{text, false, ""},
		{cont, true, "\u00fcber"},
		{bin, false, filler(300)},
		{cont, true, "z"},
	}
	if big {
		frames = append(frames, scriptFrame{bin, false, filler(65536)}, scriptFrame{ping, true, "last"}, scriptFrame{cont, true, "!"})
	}
	return newScript(masked, append(frames, scriptFrame{walve.OpClose, true, "\x03\xe8bye"})...)
}

// frame returns frame i as it is on the wire.
func (s *script) frame(i int) []byte { return s.wire[s.begin(i):s.ends[i]] }

// begin returns where frame i begins on the wire.
func (s *script) begin(i int) int {
	if i == 0 {
		return 0
	}
	return s.ends[i-1]
}

// answers returns what has to be sent in answer to the script and to the own
// Close: the Pongs, and a Close frame.
func (s *script) answers() []scriptFrame {
	var out []scriptFrame
	for _, f := range s.frames {
		if f.op == ping {
			out = append(out, scriptFrame{pong, true, f.payload})
		}
	}
	return append(out, closeFrame(walve.StatusNormalClosure, ""))
}

func closeFrame(code walve.StatusCode, reason string) scriptFrame {
	return scriptFrame{walve.OpClose, true, string([]byte{byte(code >> 8), byte(code)}) + reason}
}

// A view is what a reading method shows of the frames.
type view int

const (
	asStream   view = iota // Read: one unit
	asFrames               // NextReader: a unit for each frame
	asMessages             // NextMessage: a unit for each message
	asWhole                // ReadMessage: the same, but only when complete
)

// A unit is what a reading method shows as one.
type unit struct {
	op      walve.Opcode
	fin     bool  // of asFrames
	length  int64 // of asFrames
	payload []byte
	ended   bool // io.EOF is due behind payload
}

// seen returns what a reader has got, and must have got, once n bytes of the
// wire are there.
func (s *script) seen(v view, n int) []unit {
	var units []unit
	if v == asStream {
		units = []unit{{}}
	}
	for i, f := range s.frames {
		if n < s.heads[i] {
			break
		}
		if f.op.IsControl() {
			continue
		}
		switch {
		case v == asFrames:
			units = append(units, unit{op: f.op, fin: f.fin, length: int64(len(f.payload))})
		case v != asStream && f.op != cont:
			units = append(units, unit{op: f.op})
		}
		last := &units[len(units)-1]
		last.payload = append(last.payload, f.payload[:min(len(f.payload), n-s.heads[i])]...)
		last.ended = n >= s.ends[i] && (v == asFrames || v > asFrames && f.fin)
	}
	if n := len(units); v == asWhole && n > 0 && !units[n-1].ended {
		units = units[:n-1]
	}
	return units
}

// diffUnits describes the first difference, or returns "".
func diffUnits(got, want []unit) string {
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if g.op != w.op || g.fin != w.fin || g.length != w.length || g.ended != w.ended || !bytes.Equal(g.payload, w.payload) {
			at := 0
			for at < min(len(g.payload), len(w.payload)) && g.payload[at] == w.payload[at] {
				at++
			}
			return fmt.Sprintf("unit %d: got %v fin=%v length=%d ended=%v with %d bytes, want %v fin=%v length=%d ended=%v with %d; equal up to byte %d",
				i, g.op, g.fin, g.length, g.ended, len(g.payload), w.op, w.fin, w.length, w.ended, len(w.payload), at)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("got %d units, want %d", len(got), len(want))
	}
	return ""
}

// A way is a way to read.
type way struct {
	name string
	view view
	size int // of the buffer given to Read
}

var ways = []way{
	{"Read 1", asStream, 1},
	{"Read 7", asStream, 7},
	{"Read 255", asStream, 255},
	{"Read 256", asStream, 256},
	{"Read 4096", asStream, 4096},
	{"Read 70000", asStream, 70000},
	{"NextReader 7", asFrames, 7},
	{"NextReader 70000", asFrames, 70000},
	{"NextMessage 7", asMessages, 7},
	{"NextMessage 70000", asMessages, 70000},
	{"ReadMessage", asWhole, 0},
}

// A reading reads from c in its way and keeps what it got.
type reading struct {
	way
	c     *walve.Conn
	buf   []byte
	units []unit
	r     io.Reader // of the last unit, until io.EOF
	count int       // bytes got
}

func (w way) start(c *walve.Conn) *reading {
	r := &reading{way: w, c: c, buf: make([]byte, w.size)}
	if w.view == asStream {
		r.units = []unit{{}}
		r.r = c
	}
	return r
}

// step makes one call.
func (r *reading) step() error {
	if r.r == nil {
		return r.next()
	}
	n, err := r.r.Read(r.buf)
	r.count += n
	last := &r.units[len(r.units)-1]
	last.payload = append(last.payload, r.buf[:n]...)
	switch {
	case n == 0 && err == nil:
		return errors.New("Read returned 0 and no error")
	case err == io.EOF && r.view != asStream:
		last.ended = true
		r.r = nil
		return nil
	}
	return err
}

func (r *reading) next() error {
	var u unit
	var err error
	switch r.view {
	case asFrames:
		var h walve.Header
		h, r.r, err = r.c.NextReader()
		u = unit{op: h.Opcode, fin: h.Fin, length: h.Length}
	case asMessages:
		u.op, r.r, err = r.c.NextMessage()
	case asWhole:
		u.op, u.payload, err = r.c.ReadMessage()
		u.ended = true
	}
	if err == nil {
		r.units = append(r.units, u)
		r.count += len(u.payload)
	}
	return err
}

// drain reads until there is an error.
func (r *reading) drain() error {
	for {
		if err := r.step(); err != nil {
			return err
		}
	}
}

// checkOpError checks that err is a *net.OpError itself, filled in as those of
// package net are, around target.
func checkOpError(t testing.TB, what string, err, target error) {
	t.Helper()
	oe, ok := err.(*net.OpError)
	switch {
	case !ok:
		t.Fatalf("%s: got %T %v, want a *net.OpError around %v", what, err, err, target)
	case !errors.Is(err, target):
		t.Fatalf("%s: got %v, want %v", what, err, target)
	case oe.Op == "" || oe.Net == "" || oe.Source == nil || oe.Addr == nil:
		t.Fatalf("%s: incomplete %#v", what, oe)
	}
}

// checkTimeout checks that err is what crypto/tls and net/http take for a
// timeout after which they can go on.
func checkTimeout(t testing.TB, what string, err error) {
	t.Helper()
	checkOpError(t, what, err, os.ErrDeadlineExceeded)
	if oe := err.(*net.OpError); oe.Err != os.ErrDeadlineExceeded || !oe.Timeout() || !oe.Temporary() {
		t.Fatalf("%s: got %#v: want os.ErrDeadlineExceeded itself, Timeout and Temporary", what, oe)
	}
}

// decode takes apart what the side of role masked, the client, has sent. It
// must end between two frames, or it fails t.
func decode(t testing.TB, wire []byte, masked bool) []scriptFrame {
	t.Helper()
	var frames []scriptFrame
	fr := walve.NewFrameReader(bytes.NewReader(wire))
	for {
		h, err := fr.Next()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatalf("bad bytes on the wire behind %v: %v", frames, err)
		}
		p, err := io.ReadAll(fr)
		if err != nil || h.Masked != masked {
			t.Fatalf("frame %+v behind %v: error %v, want masked %v", h, frames, err, masked)
		}
		frames = append(frames, scriptFrame{h.Opcode, h.Fin, string(p)})
	}
}

func checkFrames(t testing.TB, what string, got []scriptFrame, want ...scriptFrame) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: the peer got\n%v, want\n%v", what, got, want)
	}
}

// take returns what from has written and to, its peer, has not read.
func take(t testing.TB, from, to *memconn.Conn) []byte {
	t.Helper()
	b := make([]byte, from.Unread())
	if _, err := io.ReadFull(to, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// bubble is synctest.Test. After a failure time goes on, so that what Close does
// in the background ends.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if t.Failed() {
				time.Sleep(10 * time.Second)
			}
		}()
		f(t)
	})
}

// everyConfig runs f in a bubble of its own for both roles, with walve and with
// a foreign peer.
func everyConfig(t *testing.T, f func(t *testing.T, cfg walve.TestConfig)) {
	for _, cfg := range []walve.TestConfig{{}, {Client: true}, {HalfClose: true}, {Client: true, HalfClose: true}} {
		t.Run(configName(cfg), func(t *testing.T) {
			bubble(t, func(t *testing.T) { f(t, cfg) })
		})
	}
}

func configName(cfg walve.TestConfig) string {
	var name strings.Builder
	name.WriteString("server")
	if cfg.Client {
		name.Reset()
		name.WriteString("client")
	}
	if !cfg.HalfClose {
		name.WriteString(" foreign")
	}
	return name.String()
}

// everyWay is everyConfig for every way to read.
func everyWay(t *testing.T, f func(t *testing.T, cfg walve.TestConfig, w way)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			everyConfig(t, func(t *testing.T, cfg walve.TestConfig) { f(t, cfg, w) })
		})
	}
}

// background starts f and returns what waits for it and for its error.
func background(f func() error) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return func() error { return <-done }
}

// sampled reports whether a test of every position passes position i over: the
// race detector makes such tests ten times as long, and gets one in three.
func sampled(i int) bool { return raceEnabled && i%3 != 0 }

// soon is a deadline a moment from now, in the time of a bubble.
func soon() time.Time { return time.Now().Add(time.Millisecond) }

var past = time.Unix(1, 0)
