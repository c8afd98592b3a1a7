package walve_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bodokaiser/walve"
)

// readerFrom is a writer that takes from readers and remembers which.
type readerFrom struct {
	bytes.Buffer
	from []io.Reader
	max  int64 // of bytes taken at a time, if not 0
}

func (w *readerFrom) ReadFrom(r io.Reader) (int64, error) {
	lr, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, fmt.Errorf("ReadFrom of %T", r)
	}
	w.from = append(w.from, lr.R)
	if w.max > 0 && lr.N > w.max {
		n, err := w.Buffer.ReadFrom(io.LimitReader(r, w.max))
		if err == nil {
			err = iotest.ErrTimeout
		}
		return n, err
	}
	return w.Buffer.ReadFrom(r)
}

// Unmasked payload never passes through the FrameReader if the writer can take
// it from the stream.
func TestFrameReaderWriteToDelegates(t *testing.T) {
	for i, f := range testFrames {
		b, _ := wire([]testFrame{f})
		r := bytes.NewReader(append(b, "next"...))
		fr := walve.NewFrameReader(r)
		fr.Next()
		w := &readerFrom{max: 100}
		var n int64
		_, err := again(func() (int64, error) {
			m, err := io.Copy(w, fr)
			n += m
			return n, err
		})
		if n != f.h.Length || err != nil || !bytes.Equal(w.Bytes(), f.payload) {
			t.Errorf("frame %d: %d, %v", i, n, err)
		}
		if r.Len() != len("next") {
			t.Errorf("frame %d: %d bytes left", i, r.Len())
		}
		want := int((f.h.Length + 99) / 100)
		if f.h.Masked {
			want = 0
		}
		if len(w.from) != want {
			t.Errorf("frame %d: %d bytes taken in %d calls, want %d", i, n, len(w.from), want)
		}
		for _, from := range w.from {
			if from != r {
				t.Errorf("frame %d: taken from %T", i, from)
			}
		}
	}
}

// A writer that fails gets the blame, with the bytes it took.
func TestFrameReaderWriteToFails(t *testing.T) {
	for _, masked := range []bool{false, true} {
		f := testFrame{walve.Header{Opcode: walve.OpBinary, Masked: masked, MaskKey: testKey, Length: 100}, randomBytes(100)}
		b, _ := wire([]testFrame{f})
		fr := walve.NewFrameReader(bytes.NewReader(b))
		fr.Next()
		w := &shortWriter{cut: []int{40}, err: iotest.ErrTimeout}
		if n, err := fr.WriteTo(w); n != 40 || err != iotest.ErrTimeout || !bytes.Equal(w.b, f.payload[:40]) {
			t.Errorf("masked %t: %d, %v", masked, n, err)
		}
	}
}

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
		w := &shortWriter{cut: []int{at, at + 1}, err: iotest.ErrTimeout}
		fw := walve.NewFrameWriter(w)
		fw.WriteHeader(f.h)
		var written int64
		if _, err := again(func() (int64, error) {
			n, err := fw.ReadFrom(bytes.NewReader(f.payload[written:]))
			written += n
			if header := int64(len(want)) - f.h.Length; err != nil && written != max(int64(len(w.b))-header, 0) {
				t.Fatalf("cut at %d: %d of payload, of all %d", at, written, len(w.b))
			}
			return n, err
		}); err != nil || written != f.h.Length || !bytes.Equal(w.b, want) {
			t.Fatalf("cut at %d: %d, %v", at, written, err)
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
