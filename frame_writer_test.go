package walve_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bodokaiser/walve"
)

var (
	_ io.Writer     = (*walve.FrameWriter)(nil)
	_ io.ReaderFrom = (*walve.FrameWriter)(nil)
)

// relay copies frames, as DESIGN's example does.
func relay(fw *walve.FrameWriter, fr *walve.FrameReader) error {
	for {
		h, err := fr.Next()
		if err != nil {
			return err
		}
		if err := fw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(fw, fr); err != nil {
			return err
		}
	}
}

// shortWriter returns err once at each position in cut, before it takes a byte
// more.
type shortWriter struct {
	b      []byte
	cut    []int // in ascending order
	err    error
	writes int
}

func (w *shortWriter) Write(p []byte) (int, error) {
	w.writes++
	if len(w.cut) > 0 && len(w.b)+len(p) > w.cut[0] {
		n := w.cut[0] - len(w.b)
		w.b = append(w.b, p[:n]...)
		w.cut = w.cut[1:]
		return n, w.err
	}
	w.b = append(w.b, p...)
	return len(p), nil
}

func positions(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// writeFrames writes frames by WriteHeader and Write, size bytes at a time,
// going on after timeouts by what the two return.
func writeFrames(fw *walve.FrameWriter, frames []testFrame, size int) error {
	for _, f := range frames {
		err := fw.WriteHeader(f.h)
		for err == iotest.ErrTimeout {
			// Either no byte was written or Write goes on.
			if err = fw.WriteHeader(f.h); err != nil && err != iotest.ErrTimeout {
				err = nil
			}
		}
		if err != nil {
			return err
		}
		for p := f.payload; ; {
			piece := p[:min(size, len(p))]
			n, err := fw.Write(piece)
			p = p[n:]
			if err == iotest.ErrTimeout {
				continue
			}
			if err != nil || n < len(piece) {
				return fmt.Errorf("Write of %d = %d, %v", len(piece), n, err)
			}
			if len(p) == 0 {
				break
			}
		}
	}
	return nil
}

func TestFrameWriter(t *testing.T) {
	want, _ := wire(testFrames)
	for _, size := range []int{1, 2, 3, 64, 512} {
		var w bytes.Buffer
		if err := writeFrames(walve.NewFrameWriter(&w), testFrames, size); err != nil || !bytes.Equal(w.Bytes(), want) {
			t.Errorf("by %d: %v", size, err)
		}
	}
	var w bytes.Buffer
	fw := walve.NewFrameWriter(&w)
	for _, f := range testFrames {
		f.h.Length = 12345 // is payload's, whatever it says
		if err := fw.WriteFrame(f.h, f.payload); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(w.Bytes(), want) {
		t.Error("WriteFrame writes something else")
	}
}

// A timeout after every byte, one at a time and all of them: n is exact and
// the stream whole.
func TestFrameWriterTimeouts(t *testing.T) {
	want, _ := wire(testFrames)
	for _, size := range []int{1, 7, 512} {
		for at := range len(want) + 1 {
			w := &shortWriter{cut: []int{at}, err: iotest.ErrTimeout}
			if at == len(want) {
				w.cut = positions(len(want))
			}
			if err := writeFrames(walve.NewFrameWriter(w), testFrames, size); err != nil || !bytes.Equal(w.b, want) {
				t.Fatalf("by %d, timeout after %d bytes: %v", size, at, err)
			}
		}
	}
}

// The same of a frame larger than the buffer it is masked in.
func TestFrameWriterTimeoutsLarge(t *testing.T) {
	f := testFrame{h: walve.Header{Opcode: walve.OpBinary, Masked: true, MaskKey: testKey}, payload: randomBytes(3*walve.FrameBufferSize + 5)}
	f.h.Length = int64(len(f.payload))
	want, _ := wire([]testFrame{f})
	const buf = walve.FrameBufferSize
	w := &shortWriter{cut: []int{3, 15, buf + 13, buf + 14, buf + 15, 2*buf + 17, 3*buf + 14, 3*buf + 18}, err: iotest.ErrTimeout}
	if err := writeFrames(walve.NewFrameWriter(w), []testFrame{f}, len(f.payload)); err != nil || !bytes.Equal(w.b, want) {
		t.Fatal(err)
	}
	if len(w.cut) > 0 {
		t.Fatalf("%d timeouts did not happen", len(w.cut))
	}
}

// WriteFrame is one Write of the stream, whatever the size, and leaves the
// payload as it was.
func TestWriteFrameOneWrite(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 4096, 65535, 65536, walve.MaxPooledFrame - 14, walve.MaxPooledFrame, 1 << 20} {
		for _, masked := range []bool{false, true} {
			f := testFrame{walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: masked, MaskKey: testKey, Length: int64(size)}, randomBytes(size)}
			payload := bytes.Clone(f.payload)
			want, _ := wire([]testFrame{f})
			for range 2 { // with a new buffer and a used one
				var w shortWriter
				if err := walve.NewFrameWriter(&w).WriteFrame(f.h, payload); err != nil {
					t.Fatal(err)
				}
				if w.writes != 1 || !bytes.Equal(w.b, want) {
					t.Errorf("%d bytes, masked %t: %d writes, equal %t", size, masked, w.writes, bytes.Equal(w.b, want))
				}
				if !bytes.Equal(payload, f.payload) {
					t.Errorf("%d bytes, masked %t: the payload was changed", size, masked)
				}
			}
		}
	}
}

// A WriteFrame cut at every byte: cut before the first it may be called again,
// later the FrameWriter stands inside the frame, and Write goes on there.
func TestWriteFrameCut(t *testing.T) {
	for i, f := range testFrames {
		want, _ := wire([]testFrame{f})
		header := len(want) - len(f.payload)
		for at := range want {
			w := &shortWriter{cut: []int{at}, err: iotest.ErrTimeout}
			fw := walve.NewFrameWriter(w)
			if err := fw.WriteFrame(f.h, f.payload); err != iotest.ErrTimeout || !bytes.Equal(w.b, want[:at]) {
				t.Fatalf("frame %d cut at %d: %v, %x", i, at, err, w.b)
			}
			if at == 0 {
				if err := fw.WriteFrame(f.h, f.payload); err != nil {
					t.Fatalf("frame %d, the second time: %v", i, err)
				}
			} else {
				if err := fw.WriteFrame(f.h, f.payload); err == nil || len(w.b) != at {
					t.Fatalf("frame %d cut at %d: another frame inside: %v", i, at, err)
				}
				if _, err := fw.Write(f.payload[max(at-header, 0):]); err != nil {
					t.Fatalf("frame %d cut at %d: %v", i, at, err)
				}
			}
			if !bytes.Equal(w.b, want) {
				t.Fatalf("frame %d cut at %d: %x, want %x", i, at, w.b, want)
			}
		}
	}
}

func TestFrameWriterUntouched(t *testing.T) {
	for _, size := range []int{1, 64, 1000, 3 * walve.FrameBufferSize} {
		p := randomBytes(size)
		want := bytes.Clone(p)
		fw := walve.NewFrameWriter(io.Discard)
		fw.WriteHeader(walve.Header{Opcode: walve.OpBinary, Masked: true, MaskKey: testKey, Length: int64(size)})
		if n, err := fw.Write(p); n != size || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
		if !bytes.Equal(p, want) {
			t.Errorf("%d bytes: p was changed", size)
		}
	}
}

func TestFrameWriterTooLong(t *testing.T) {
	for _, masked := range []bool{false, true} {
		var w bytes.Buffer
		fw := walve.NewFrameWriter(&w)
		if n, err := fw.Write([]byte("a")); n != 0 || err != walve.ErrWriteTooLong {
			t.Errorf("without a frame: %d, %v", n, err)
		}
		if n, err := fw.Write(nil); n != 0 || err != nil {
			t.Errorf("nothing without a frame: %d, %v", n, err)
		}
		f := testFrame{walve.Header{Opcode: walve.OpText, Masked: masked, MaskKey: testKey, Length: 5}, []byte("Hello")}
		if err := fw.WriteHeader(f.h); err != nil {
			t.Fatal(err)
		}
		if n, err := fw.Write([]byte("He")); n != 2 || err != nil {
			t.Errorf("what fits: %d, %v", n, err)
		}
		if n, err := fw.Write([]byte("llo, world")); n != 3 || err != walve.ErrWriteTooLong {
			t.Errorf("too long: %d, %v", n, err)
		}
		if n, err := fw.Write([]byte(", world")); n != 0 || err != walve.ErrWriteTooLong {
			t.Errorf("all too long: %d, %v", n, err)
		}
		if want, _ := wire([]testFrame{f}); !bytes.Equal(w.Bytes(), want) {
			t.Errorf("%x, want %x", w.Bytes(), want)
		}
		if err := fw.WriteFrame(f.h, f.payload); err != nil {
			t.Errorf("the next frame: %v", err)
		}
	}
}

func TestFrameWriterUnfinished(t *testing.T) {
	var w bytes.Buffer
	fw := walve.NewFrameWriter(&w)
	h := walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 2}
	fw.WriteHeader(h)
	fw.Write([]byte("a"))
	before := w.Len()
	if err := fw.WriteHeader(h); err == nil {
		t.Error("WriteHeader inside a frame")
	}
	if err := fw.WriteFrame(h, []byte("ab")); err == nil {
		t.Error("WriteFrame inside a frame")
	}
	if w.Len() != before {
		t.Errorf("%d bytes written", w.Len()-before)
	}
	if n, err := fw.Write([]byte("b")); n != 1 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if err := fw.WriteHeader(h); err != nil {
		t.Error(err)
	}
}

// What AppendBinary refuses is not written.
func TestFrameWriterRefuses(t *testing.T) {
	var w bytes.Buffer
	fw := walve.NewFrameWriter(&w)
	for _, h := range []walve.Header{
		{Fin: true, Opcode: 3},
		{Fin: true, Opcode: 11},
		{Opcode: walve.OpPing},
		{Fin: true, Opcode: walve.OpPing, Length: 126},
		{Fin: true, Opcode: walve.OpBinary, Length: -1},
	} {
		if err := fw.WriteHeader(h); err == nil {
			t.Errorf("WriteHeader of %+v", h)
		}
		if err := fw.WriteFrame(h, make([]byte, max(h.Length, 0))); err == nil && h.Length >= 0 {
			t.Errorf("WriteFrame of %+v", h)
		}
		if _, err := fw.Write([]byte("a")); err != walve.ErrWriteTooLong {
			t.Errorf("Write after %+v: %v", h, err)
		}
	}
	if w.Len() != 2 { // the empty frame of the negative length
		t.Errorf("written: %x", w.Bytes())
	}
}

// countWriter returns what it is told.
type countWriter struct {
	n   int
	err error
}

func (w countWriter) Write([]byte) (int, error) { return w.n, w.err }

func TestFrameWriterCounts(t *testing.T) {
	full := errors.New("disk full")
	for _, test := range []struct {
		w    countWriter
		want error
	}{
		{countWriter{0, nil}, io.ErrShortWrite},
		{countWriter{1, nil}, io.ErrShortWrite},
		{countWriter{1, full}, full},
		{countWriter{-1, nil}, walve.ErrInvalidWrite},
		{countWriter{1 << 20, nil}, walve.ErrInvalidWrite},
	} {
		h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: true, Length: 3}
		fw := walve.NewFrameWriter(test.w)
		if err := fw.WriteHeader(h); err != test.want {
			t.Errorf("%+v: WriteHeader: %v", test.w, err)
		}
		if err := walve.NewFrameWriter(test.w).WriteFrame(h, []byte("abc")); err != test.want {
			t.Errorf("%+v: WriteFrame: %v", test.w, err)
		}
	}
}

// ReadFrom takes from the reader what the frame takes and not a byte more.
func TestFrameWriterReadFrom(t *testing.T) {
	for _, masked := range []bool{false, true} {
		for _, length := range []int{0, 1, 5, 1000, 3*walve.FrameBufferSize + 1} {
			f := testFrame{walve.Header{Opcode: walve.OpBinary, Masked: masked, MaskKey: testKey, Length: int64(length)}, randomBytes(length)}
			want, _ := wire([]testFrame{f})
			for name, w := range map[string]interface {
				io.Writer
				Bytes() []byte
			}{"writer": &plainWriter{}, "reader from": &readerFrom{}} {
				src := bytes.NewReader(append(bytes.Clone(f.payload), "next"...))
				fw := walve.NewFrameWriter(w)
				if err := fw.WriteHeader(f.h); err != nil {
					t.Fatal(err)
				}
				// struct{io.Reader} hides src's WriteTo, which Copy prefers.
				n, err := io.Copy(fw, struct{ io.Reader }{src})
				if n != int64(length) || err != nil || src.Len() != len("next") || !bytes.Equal(w.Bytes(), want) {
					t.Errorf("%s, masked %t, %d bytes: %d, %v, %d left", name, masked, length, n, err, src.Len())
				}
				if n, err := fw.ReadFrom(src); n != 0 || err != nil || src.Len() != len("next") {
					t.Errorf("%s, masked %t, %d bytes: then %d, %v, %d left", name, masked, length, n, err, src.Len())
				}
				if w, ok := w.(*readerFrom); ok && (len(w.from) == 1) != (!masked && length > 0) {
					t.Errorf("%s, masked %t, %d bytes: %d taken from the reader", name, masked, length, len(w.from))
				}
			}
		}
	}
}

type plainWriter struct{ b []byte }

func (w *plainWriter) Write(p []byte) (int, error) { w.b = append(w.b, p...); return len(p), nil }
func (w *plainWriter) Bytes() []byte               { return w.b }

// A reader that ends before the frame leaves the rest due; one that fails
// can go on.
func TestFrameWriterReadFromShort(t *testing.T) {
	for _, masked := range []bool{false, true} {
		for _, w := range []interface {
			io.Writer
			Bytes() []byte
		}{&plainWriter{}, &readerFrom{}} {
			f := testFrame{walve.Header{Opcode: walve.OpBinary, Masked: masked, MaskKey: testKey, Length: 500}, randomBytes(500)}
			want, _ := wire([]testFrame{f})
			fw := walve.NewFrameWriter(w)
			fw.WriteHeader(f.h)
			if n, err := fw.ReadFrom(bytes.NewReader(f.payload[:99])); n != 99 || err != nil {
				t.Fatalf("%T, masked %t: %d, %v", w, masked, n, err)
			}
			if err := fw.WriteHeader(f.h); err == nil {
				t.Fatalf("%T, masked %t: WriteHeader inside a frame", w, masked)
			}
			src, n := cutEverywhere(f.payload[99:]), int64(0)
			if _, err := again(func() (int64, error) {
				m, err := fw.ReadFrom(src)
				n += m
				return n, err
			}); n != 401 || err != nil {
				t.Fatalf("%T, masked %t: %d, %v", w, masked, n, err)
			}
			if !bytes.Equal(w.Bytes(), want) {
				t.Fatalf("%T, masked %t: something else was written", w, masked)
			}
		}
	}
}

// A stream that fails under ReadFrom: n is what it took, and it goes on.
func TestFrameWriterReadFromFails(t *testing.T) {
	f := testFrame{walve.Header{Opcode: walve.OpBinary, Masked: true, MaskKey: testKey, Length: 500}, randomBytes(500)}
	want, _ := wire([]testFrame{f})
	for at := 1; at < len(want); at++ {
		w := &shortWriter{cut: []int{at}, err: iotest.ErrTimeout}
		fw := walve.NewFrameWriter(w)
		fw.WriteHeader(f.h)
		n, err := fw.ReadFrom(bytes.NewReader(f.payload))
		if at >= 8 && (n != int64(at-8) || err != iotest.ErrTimeout) || at < 8 && (n != 500 || err != nil) {
			t.Fatalf("cut at %d: %d, %v", at, n, err)
		}
		if _, err := fw.ReadFrom(bytes.NewReader(f.payload[n:])); err != nil || !bytes.Equal(w.b, want) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
}

// Of a LimitedReader it is known that it would go on.
func TestFrameWriterReadFromLimited(t *testing.T) {
	for _, test := range []struct {
		limit, n int64
		err      error
	}{{0, 0, nil}, {3, 3, nil}, {5, 5, nil}, {6, 5, walve.ErrWriteTooLong}, {-1, 0, nil}} {
		for _, w := range []io.Writer{&plainWriter{}, &readerFrom{}} {
			src := strings.NewReader("Hello, world")
			fw := walve.NewFrameWriter(w)
			fw.WriteHeader(walve.Header{Opcode: walve.OpText, Length: 5})
			lr := &io.LimitedReader{R: src, N: test.limit}
			if n, err := fw.ReadFrom(lr); n != test.n || err != test.err {
				t.Errorf("%T, limit %d: %d, %v", w, test.limit, n, err)
			}
			if lr.N != test.limit-test.n || int64(src.Len()) != 12-test.n {
				t.Errorf("%T, limit %d: %d to go, %d left", w, test.limit, lr.N, src.Len())
			}
			// Two limits would hide the reader from the kernel.
			if w, ok := w.(*readerFrom); ok && len(w.from) > 0 && w.from[0] != io.Reader(src) {
				t.Errorf("limit %d: taken from %T", test.limit, w.from[0])
			}
		}
	}
}

// A relay changes no bit, whatever frames pass.
func TestFrameRelay(t *testing.T) {
	want, _ := wire(testFrames)
	for name, w := range map[string]interface {
		io.Writer
		Bytes() []byte
	}{"writer": &plainWriter{}, "reader from": &readerFrom{}} {
		err := relay(walve.NewFrameWriter(w), walve.NewFrameReader(bytes.NewReader(want)))
		if err != io.EOF || !bytes.Equal(w.Bytes(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Between two sockets, where the kernel moves unmasked payload.
func TestFrameRelayTCP(t *testing.T) {
	inA, inB := tcpPair(t)
	outA, outB := tcpPair(t)
	large := testFrame{walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 1<<20 + 7}, randomBytes(1<<20 + 7)}
	want, _ := wire(append([]testFrame{large}, append(testFrames, large)...))
	go func() {
		inA.Write(want)
		inA.Close()
	}()
	errs := make(chan error, 1)
	go func() {
		errs <- relay(walve.NewFrameWriter(outA), walve.NewFrameReader(inB))
		outA.Close()
	}()
	got, err := io.ReadAll(outB)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
	}
	if err := <-errs; err != io.EOF {
		t.Error(err)
	}
}

func tcpPair(t *testing.T) (a, b net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

func TestFrameWriterAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool forgets at random with -race")
	}
	for _, masked := range []bool{false, true} {
		for _, size := range []int{0, 64, 1 << 10, 40 << 10} {
			p := make([]byte, size)
			h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: masked, MaskKey: testKey, Length: int64(size)}
			fw := walve.NewFrameWriter(struct{ io.Writer }{io.Discard})
			src := bytes.NewReader(p)
			if n := testing.AllocsPerRun(100, func() {
				fw.WriteFrame(h, p)
				fw.WriteHeader(h)
				fw.Write(p)
				fw.WriteHeader(h)
				src.Reset(p)
				fw.ReadFrom(src)
			}); n != 0 {
				t.Errorf("%d bytes, masked %t: %v allocations", size, masked, n)
			}
		}
	}
}

func BenchmarkWriteFrame(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"64B", 64}, {"1KiB", 1 << 10}, {"16KiB", 16 << 10}, {"256KiB", 256 << 10}} {
		for _, masked := range []bool{false, true} {
			name := "unmasked/" + size.name
			if masked {
				name = "masked/" + size.name
			}
			b.Run(name, func(b *testing.B) {
				p := make([]byte, size.n)
				h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: masked, MaskKey: testKey}
				fw := walve.NewFrameWriter(io.Discard)
				b.SetBytes(int64(size.n))
				b.ReportAllocs()
				for b.Loop() {
					fw.WriteFrame(h, p)
				}
			})
		}
	}
}
