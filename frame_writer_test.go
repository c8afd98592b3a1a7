package walve_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bodokaiser/walve"
)

var (
	_ io.Writer     = (*walve.FrameWriter)(nil)
	_ io.ReaderFrom = (*walve.FrameWriter)(nil)
)

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

// countReaderFrom writes, and takes from a reader as many bytes as it is told.
type countReaderFrom struct {
	plainWriter
	n int64
}

func (w *countReaderFrom) ReadFrom(io.Reader) (int64, error) { return w.n, nil }

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
	for _, n := range []int64{-1, 4} {
		fw := walve.NewFrameWriter(&countReaderFrom{n: n})
		fw.WriteHeader(walve.Header{Opcode: walve.OpBinary, Length: 3})
		if n, err := fw.ReadFrom(strings.NewReader("abc")); n != 0 || err != walve.ErrInvalidWrite {
			t.Errorf("ReadFrom = %d, %v", n, err)
		}
	}
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
