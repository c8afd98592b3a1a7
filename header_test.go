package walve_test

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/bodokaiser/walve"
)

var _ encoding.BinaryAppender = walve.Header{}

func TestParseHeaderRefuses(t *testing.T) {
	type test struct {
		name string
		b    []byte
		at   int // how many bytes show it
	}
	tests := []test{
		{"fragmented close", []byte{0x08, 0x00}, 1},
		{"fragmented ping", []byte{0x09, 0x00}, 1},
		{"fragmented pong", []byte{0x0A, 0x00}, 1},
		{"close of 126", []byte{0x88, 126, 0, 126}, 2},
		{"ping of 126, masked", []byte{0x89, 0x80 | 126, 0, 126, 1, 2, 3, 4}, 2},
		{"pong of 65536", []byte{0x8A, 127, 0, 0, 0, 0, 0, 1, 0, 0}, 2},
		{"ping of 1 in two bytes", []byte{0x89, 126, 0, 1}, 2},
		{"0 in two bytes", []byte{0x82, 126, 0, 0}, 4},
		{"125 in two bytes", []byte{0x82, 126, 0, 125}, 4},
		{"125 in two bytes, masked", []byte{0x82, 0x80 | 126, 0, 125, 1, 2, 3, 4}, 4},
		{"0 in eight bytes", []byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0}, 8},
		{"125 in eight bytes", []byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 125}, 8},
		{"65535 in eight bytes", []byte{0x00, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 8},
		{"65535 in eight bytes, masked", []byte{0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1, 2, 3, 4}, 8},
		{"2^63", []byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, 3},
		{"2^64-1, masked", []byte{0x82, 0xFF, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4}, 3},
	}
	for op := range byte(16) {
		if op >= 3 && op <= 7 || op >= 11 {
			tests = append(tests,
				test{fmt.Sprintf("opcode %d", op), []byte{0x80 | op, 0}, 1},
				test{fmt.Sprintf("opcode %d without FIN", op), []byte{op, 0}, 1},
				test{fmt.Sprintf("opcode %d with RSV", op), []byte{0xF0 | op, 0}, 1})
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i := range len(test.b) + 1 {
				h, n, err := walve.ParseHeader(test.b[:i])
				if n != 0 || h != (walve.Header{}) {
					t.Fatalf("of %x: %+v, %d", test.b[:i], h, n)
				}
				if i < test.at {
					if err != nil {
						t.Fatalf("of %x: %v, want no error before byte %d", test.b[:i], err, test.at)
					}
					continue
				}
				var pe *walve.ProtocolError
				if !errors.As(err, &pe) || pe.Code != walve.StatusProtocolError || pe.Reason == "" {
					t.Fatalf("of %x: %v, want a ProtocolError", test.b[:i], err)
				}
			}
		})
	}
}

func TestAppendBinaryRefuses(t *testing.T) {
	tests := []struct {
		name string
		h    walve.Header
	}{
		{"negative length", walve.Header{Fin: true, Opcode: walve.OpBinary, Length: -1}},
		{"most negative length", walve.Header{Fin: true, Opcode: walve.OpText, Length: math.MinInt64}},
		{"negative length of a control frame", walve.Header{Fin: true, Opcode: walve.OpPing, Length: -1}},
		{"fragmented close", walve.Header{Opcode: walve.OpClose}},
		{"fragmented ping", walve.Header{Opcode: walve.OpPing}},
		{"fragmented pong", walve.Header{Opcode: walve.OpPong, Length: 1}},
		{"long close", walve.Header{Fin: true, Opcode: walve.OpClose, Length: 126}},
		{"long ping", walve.Header{Fin: true, Opcode: walve.OpPing, Length: 1 << 20}},
		{"long pong", walve.Header{Fin: true, Opcode: walve.OpPong, Length: math.MaxInt64}},
		{"opcode of five bits", walve.Header{Fin: true, Opcode: 16}},
		{"opcode of eight bits", walve.Header{Fin: true, Opcode: 255}},
		{"binary and a FIN bit", walve.Header{Opcode: 0x80 | walve.OpBinary}},
	}
	for op := range walve.Opcode(16) {
		if op >= 3 && op <= 7 || op >= 11 {
			tests = append(tests, struct {
				name string
				h    walve.Header
			}{op.String(), walve.Header{Fin: true, Opcode: op}})
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := test.h.AppendBinary([]byte("before"))
			if err == nil || string(b) != "before" {
				t.Fatalf("AppendBinary = %q, %v", b, err)
			}
			// The fault is the caller's, not the peer's.
			if pe := (*walve.ProtocolError)(nil); errors.As(err, &pe) {
				t.Fatalf("a ProtocolError: %v", err)
			}
		})
	}
}

// The examples of RFC 6455 section 5.7.
func TestHeaderRFCExamples(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	tests := []struct {
		name string
		h    walve.Header
		b    []byte
	}{
		{"unmasked text", walve.Header{Fin: true, Opcode: walve.OpText, Length: 5}, []byte{0x81, 0x05}},
		{"masked text", walve.Header{Fin: true, Opcode: walve.OpText, Masked: true, MaskKey: key, Length: 5},
			[]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d}},
		{"first fragment", walve.Header{Opcode: walve.OpText, Length: 3}, []byte{0x01, 0x03}},
		{"last fragment", walve.Header{Fin: true, Length: 2}, []byte{0x80, 0x02}},
		{"ping", walve.Header{Fin: true, Opcode: walve.OpPing, Length: 5}, []byte{0x89, 0x05}},
		{"masked pong", walve.Header{Fin: true, Opcode: walve.OpPong, Masked: true, MaskKey: key, Length: 5},
			[]byte{0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d}},
		{"256 bytes", walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 256}, []byte{0x82, 0x7E, 0x01, 0x00}},
		{"64 KiB", walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 65536},
			[]byte{0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if b, err := test.h.AppendBinary(nil); err != nil || !bytes.Equal(b, test.b) {
				t.Errorf("AppendBinary = %x, %v, want %x", b, err, test.b)
			}
			if h, n, err := walve.ParseHeader(test.b); h != test.h || n != len(test.b) || err != nil {
				t.Errorf("parseHeader = %+v, %d, %v", h, n, err)
			}
		})
	}
}

// Every header that is allowed, at every bound of its length.
func TestHeaderRoundTrip(t *testing.T) {
	lengths := []int64{0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537,
		1 << 30, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64 - 1, math.MaxInt64}
	opcodes := []walve.Opcode{walve.OpContinuation, walve.OpText, walve.OpBinary, walve.OpClose, walve.OpPing, walve.OpPong}
	for _, op := range opcodes {
		for _, length := range lengths {
			for bits := range 32 {
				h := walve.Header{
					Fin: bits&1 != 0, RSV1: bits&2 != 0, RSV2: bits&4 != 0, RSV3: bits&8 != 0,
					Opcode: op, Masked: bits&16 != 0, Length: length,
				}
				if h.Masked {
					h.MaskKey = [4]byte{0x80, 0x7F, 0xFF, byte(bits)}
				}
				if op.IsControl() && (!h.Fin || length > 125) {
					continue
				}
				b, err := h.AppendBinary(nil)
				if err != nil {
					t.Fatalf("%+v: %v", h, err)
				}
				used := walve.Header{Fin: true, RSV1: true, RSV2: true, RSV3: true, Opcode: 15, Masked: true, MaskKey: [4]byte{9}, Length: 9}
				if n, err := used.Parse(b); used != h || n != len(b) || err != nil {
					t.Fatalf("parse of %x = %+v, %d, %v, want %+v", b, used, n, err, h)
				}
				for i := range b {
					if got, n, err := walve.ParseHeader(b[:i]); got != (walve.Header{}) || n != 0 || err != nil {
						t.Fatalf("parseHeader of %x, cut: %+v, %d, %v", b[:i], got, n, err)
					}
				}
				got, n, err := walve.ParseHeader(append(b, 0xFF)) // whatever follows
				if got != h || n != len(b) || err != nil {
					t.Fatalf("parseHeader of %x = %+v, %d, %v, want %+v", b, got, n, err, h)
				}
			}
		}
	}
}

// A key that is not on the wire is not looked at.
func TestHeaderUnmaskedKey(t *testing.T) {
	h := walve.Header{Fin: true, Opcode: walve.OpBinary, MaskKey: [4]byte{1, 2, 3, 4}, Length: 1}
	if b, err := h.AppendBinary(nil); err != nil || len(b) != 2 {
		t.Errorf("AppendBinary = %x, %v", b, err)
	}
}

func TestOpcode(t *testing.T) {
	tests := []struct {
		op      walve.Opcode
		name    string
		control bool
	}{
		{walve.OpContinuation, "continuation", false},
		{walve.OpText, "text", false},
		{walve.OpBinary, "binary", false},
		{walve.OpClose, "close", true},
		{walve.OpPing, "ping", true},
		{walve.OpPong, "pong", true},
		{3, "reserved opcode 3", false},
		{7, "reserved opcode 7", false},
		{11, "reserved opcode 11", true},
		{15, "reserved opcode 15", true},
	}
	for _, test := range tests {
		if test.op.String() != test.name || test.op.IsControl() != test.control {
			t.Errorf("opcode %d: %q, control %t", test.op, test.op, test.op.IsControl())
		}
	}
}

func TestHeaderAllocs(t *testing.T) {
	h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: true, Length: math.MaxInt64}
	buf := make([]byte, 0, 14)
	if n := testing.AllocsPerRun(100, func() {
		b, _ := h.AppendBinary(buf)
		walve.ParseHeader(b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x81, 0x05})
	f.Add([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f})
	f.Add([]byte{0x82, 0x7E, 0x01, 0x00})
	f.Add([]byte{0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4})
	f.Add([]byte{0x02, 127, 0x7F, 255, 255, 255, 255, 255, 255, 255})
	f.Add([]byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x82, 126, 0, 125})
	f.Add([]byte{0x83, 0})
	f.Add([]byte{0x09, 0})
	f.Add([]byte{0x88, 126, 0, 126})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := walve.ParseHeader(b)
		switch {
		case err != nil:
			if pe, ok := err.(*walve.ProtocolError); !ok || pe.Code != walve.StatusProtocolError {
				t.Fatalf("of %x: %v", b, err)
			}
		case n == 0:
			if len(b) >= 14 {
				t.Fatalf("of %x: more than 14 bytes wanted", b)
			}
		default:
			// There is one form of every header, and it was this.
			if again, err := h.AppendBinary(nil); err != nil || !bytes.Equal(again, b[:n]) {
				t.Fatalf("of %x: %+v, %d, which is written as %x, %v", b, h, n, again, err)
			}
		}
		// With fewer bytes the answer is the same, or that they are too few.
		for i := range min(len(b), 14) {
			h2, n2, err2 := walve.ParseHeader(b[:i])
			if n2 == 0 && err2 == nil {
				continue
			}
			if h2 != h || n2 != n || fmt.Sprint(err2) != fmt.Sprint(err) {
				t.Fatalf("of %x: %+v, %d, %v; of %x: %+v, %d, %v", b, h, n, err, b[:i], h2, n2, err2)
			}
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	for _, bench := range []struct {
		name string
		h    walve.Header
	}{
		{"64B", walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 64}},
		{"64B masked", walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: true, Length: 64}},
		{"1KiB masked", walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: true, Length: 1 << 10}},
		{"1MiB masked", walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: true, Length: 1 << 20}},
	} {
		wire, _ := bench.h.AppendBinary(nil)
		b.Run("append/"+bench.name, func(b *testing.B) {
			buf := make([]byte, 0, 14)
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				bench.h.AppendBinary(buf)
			}
		})
		b.Run("parse/"+bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				walve.ParseHeader(wire)
			}
		})
		b.Run("parse in place/"+bench.name, func(b *testing.B) {
			var h walve.Header
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				h.Parse(wire)
			}
		})
	}
}
