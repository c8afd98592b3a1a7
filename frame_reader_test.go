package walve_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/bodokaiser/walve"
)

var (
	_ io.Reader   = (*walve.FrameReader)(nil)
	_ io.WriterTo = (*walve.FrameReader)(nil)
)

// testFrame is a frame with its payload, unmasked.
type testFrame struct {
	h       walve.Header
	payload []byte
}

// testFrames are one of each: kinds, masked and not, sizes of the length.
var testFrames = func() []testFrame {
	frames := []testFrame{
		{h: walve.Header{Fin: true, Opcode: walve.OpText}, payload: []byte("Hello")},
		{h: walve.Header{Fin: true, Opcode: walve.OpText, Masked: true, MaskKey: testKey}, payload: []byte("Hello")},
		{h: walve.Header{Opcode: walve.OpBinary}},
		{h: walve.Header{Fin: true, Opcode: walve.OpPing, Masked: true, MaskKey: [4]byte{1}}},
		{h: walve.Header{Opcode: walve.OpContinuation, RSV2: true}, payload: randomBytes(126)},
		{h: walve.Header{Fin: true, Opcode: walve.OpPong}, payload: randomBytes(125)},
		{h: walve.Header{Fin: true, RSV1: true, Masked: true, MaskKey: [4]byte{1, 2, 3, 4}}, payload: randomBytes(203)},
		{h: walve.Header{Fin: true, Opcode: walve.OpClose}, payload: []byte{3, 232}},
	}
	for i := range frames {
		frames[i].h.Length = int64(len(frames[i].payload))
	}
	return frames
}()

// wire returns frames as they are on the wire, and where each ends.
func wire(frames []testFrame) (b []byte, ends []int) {
	for _, f := range frames {
		b, _ = f.h.AppendBinary(b)
		if f.h.Masked {
			b = append(b, maskBytewise(f.payload, f.h.MaskKey)...)
		} else {
			b = append(b, f.payload...)
		}
		ends = append(ends, len(b))
	}
	return b, ends
}

// again calls f until it returns no test timeout.
func again[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if err != iotest.ErrTimeout {
			return v, err
		}
	}
}

// readFrames reads frames to the end of fr, going on after timeouts, with a
// buffer of size bytes, or by WriteTo if size is 0.
func readFrames(fr *walve.FrameReader, size int) (frames []testFrame, err error) {
	for {
		h, err := again(fr.Next)
		if err != nil {
			return frames, err
		}
		frames = append(frames, testFrame{h: h})
		payload := &frames[len(frames)-1].payload
		if size == 0 {
			var w bytes.Buffer
			_, err = again(func() (int64, error) { return fr.WriteTo(&w) })
			*payload = w.Bytes()
		}
		for p := make([]byte, size); size > 0 && err == nil; {
			var n int
			n, err = again(func() (int, error) {
				n, err := fr.Read(p)
				if n > 0 && err == iotest.ErrTimeout {
					err = nil
				}
				return n, err
			})
			*payload = append(*payload, p[:n]...)
		}
		if err != nil && err != io.EOF {
			return frames, err
		}
	}
}

func equalFrames(a, b []testFrame) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].h != b[i].h || !bytes.Equal(a[i].payload, b[i].payload) {
			return false
		}
	}
	return true
}

// cutReader returns err once, after each of the bytes that cut says.
type cutReader struct {
	b    []byte
	pos  int
	cut  func(pos int) bool
	err  error
	told int // the position of the last err, plus one
}

func (r *cutReader) Read(p []byte) (int, error) {
	if r.cut(r.pos) && r.told != r.pos+1 {
		r.told = r.pos + 1
		return 0, r.err
	}
	if r.pos == len(r.b) {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && r.pos < len(r.b) && (n == 0 || !r.cut(r.pos)) {
		p[n] = r.b[r.pos]
		r.pos++
		n++
	}
	return n, nil
}

func cutAt(b []byte, at int) *cutReader {
	return &cutReader{b: b, cut: func(pos int) bool { return pos == at }, err: iotest.ErrTimeout}
}

func cutEverywhere(b []byte) *cutReader {
	return &cutReader{b: b, cut: func(int) bool { return true }, err: iotest.ErrTimeout}
}

func TestFrameReader(t *testing.T) {
	b, _ := wire(testFrames)
	readers := map[string]func(r io.Reader) io.Reader{
		"plain":    func(r io.Reader) io.Reader { return r },
		"bufio":    func(r io.Reader) io.Reader { return bufio.NewReaderSize(r, 16) },
		"one byte": iotest.OneByteReader,
		"half":     iotest.HalfReader,
		"data err": iotest.DataErrReader,
	}
	for name, reader := range readers {
		for _, size := range []int{0, 1, 3, 7, 64, 512} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				fr := walve.NewFrameReader(reader(bytes.NewReader(b)))
				frames, err := readFrames(fr, size)
				if err != io.EOF || !equalFrames(frames, testFrames) {
					t.Fatalf("%d frames, %v", len(frames), err)
				}
			})
		}
	}
	t.Run("iotest", func(t *testing.T) {
		f := testFrames[6]
		b, _ := wire([]testFrame{f})
		fr := walve.NewFrameReader(bytes.NewReader(b))
		if _, err := fr.Next(); err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(fr, f.payload); err != nil {
			t.Fatal(err)
		}
	})
}

// A timeout after every byte, one at a time and all of them, loses nothing.
func TestFrameReaderTimeouts(t *testing.T) {
	b, _ := wire(testFrames)
	for _, size := range []int{0, 5, 512} {
		for at := range len(b) + 1 {
			frames, err := readFrames(walve.NewFrameReader(cutAt(b, at)), size)
			if err != io.EOF || !equalFrames(frames, testFrames) {
				t.Fatalf("buffer %d, timeout after %d bytes: %d frames, %v", size, at, len(frames), err)
			}
		}
		frames, err := readFrames(walve.NewFrameReader(cutEverywhere(b)), size)
		if err != io.EOF || !equalFrames(frames, testFrames) {
			t.Fatalf("buffer %d, timeouts after all bytes: %d frames, %v", size, len(frames), err)
		}
	}
}

// Nor does one while Next skips what was not read.
func TestFrameReaderSkipTimeouts(t *testing.T) {
	b, _ := wire(testFrames)
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"plain": func(r io.Reader) io.Reader { return r },
		"bufio": func(r io.Reader) io.Reader { return bufio.NewReaderSize(r, 16) },
	} {
		for _, read := range []int{0, 1, 6} {
			for at := range len(b) + 1 {
				r := cutAt(b, at)
				if at == len(b) {
					r = cutEverywhere(b)
				}
				fr := walve.NewFrameReader(reader(r))
				for i, f := range testFrames {
					h, err := fr.Next()
					for err == iotest.ErrTimeout {
						if n, err := fr.Read(make([]byte, 9)); n != 0 || err != io.EOF {
							t.Fatalf("Read after Next failed = %d, %v", n, err)
						}
						h, err = fr.Next()
					}
					if h != f.h || err != nil {
						t.Fatalf("%s, %d bytes read of each, timeout at %d: frame %d: %+v, %v", name, read, at, i, h, err)
					}
					p := make([]byte, min(read, len(f.payload)))
					for n := 0; n < len(p); {
						m, err := fr.Read(p[n:])
						if err != nil && err != iotest.ErrTimeout {
							t.Fatal(err)
						}
						n += m
					}
					if !bytes.Equal(p, f.payload[:len(p)]) {
						t.Fatalf("%s, %d bytes read of each, timeout at %d: frame %d begins with %x", name, read, at, i, p)
					}
				}
				if _, err := again(fr.Next); err != io.EOF {
					t.Fatalf("at the end: %v", err)
				}
			}
		}
	}
}

// The end of the stream is io.EOF between two frames and nowhere else.
func TestFrameReaderEOF(t *testing.T) {
	b, ends := wire(testFrames)
	clean := map[int]bool{0: true}
	for _, end := range ends {
		clean[end] = true
	}
	skip := func(fr *walve.FrameReader) error {
		for {
			if _, err := fr.Next(); err != nil {
				return err
			}
		}
	}
	for at := range len(b) + 1 {
		want := io.ErrUnexpectedEOF
		if clean[at] {
			want = io.EOF
		}
		for name, r := range map[string]io.Reader{
			"plain":    bytes.NewReader(b[:at]),
			"one byte": iotest.OneByteReader(bytes.NewReader(b[:at])),
			"data err": iotest.DataErrReader(bytes.NewReader(b[:at])),
			"bufio":    bufio.NewReader(bytes.NewReader(b[:at])),
		} {
			if err := skip(walve.NewFrameReader(r)); err != want {
				t.Errorf("%s: %d bytes, skipping: %v, want %v", name, at, err, want)
			}
		}
		for _, size := range []int{0, 1, 512} {
			fr := walve.NewFrameReader(bytes.NewReader(b[:at]))
			if _, err := readFrames(fr, size); err != want {
				t.Errorf("%d bytes, with buffer %d: %v, want %v", at, size, err, want)
			}
			// It goes on to say so.
			if _, err := fr.Next(); err != want {
				t.Errorf("%d bytes, the next time: %v, want %v", at, err, want)
			}
		}
	}
}

// The stream's own errors pass as they are.
func TestFrameReaderError(t *testing.T) {
	b, _ := wire(testFrames)
	reset := errors.New("reset")
	for at := range len(b) {
		for _, size := range []int{0, 7} {
			fr := walve.NewFrameReader(io.MultiReader(bytes.NewReader(b[:at]), iotest.ErrReader(reset)))
			if _, err := readFrames(fr, size); err != reset {
				t.Errorf("after %d bytes: %v", at, err)
			}
		}
	}
}

// No byte past the current frame is read.
func TestFrameReaderReadsNoFurther(t *testing.T) {
	b, ends := wire(testFrames)
	for _, size := range []int{0, 512} {
		r := bytes.NewReader(b)
		fr := walve.NewFrameReader(r)
		for i, end := range ends {
			h, err := fr.Next()
			if err != nil {
				t.Fatal(err)
			}
			if got := len(b) - r.Len() + int(h.Length); got != end {
				t.Errorf("the header of frame %d: %d bytes too many", i, got-end)
			}
			if size == 0 {
				fr.WriteTo(io.Discard)
			} else {
				io.ReadFull(fr, make([]byte, h.Length))
				fr.Read(make([]byte, size))
			}
			if got := len(b) - r.Len(); got != end {
				t.Errorf("frame %d: %d bytes too many", i, got-end)
			}
		}
	}
}

// What one header shows to be wrong is refused as soon as it shows, for good.
func TestFrameReaderRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		b    []byte
	}{
		{"reserved opcode", []byte{0x83}},
		{"reserved control opcode", []byte{0x8B}},
		{"fragmented control", []byte{0x09}},
		{"long control", []byte{0x89, 126}},
		{"not minimal", []byte{0x82, 126, 0, 125}},
		{"not minimal, eight bytes", []byte{0x82, 127, 0, 0, 0, 0, 0, 0}},
		{"top bit", []byte{0x82, 127, 0x80}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, _ := wire(testFrames[:1])
			for name, r := range map[string]io.Reader{
				"plain":    bytes.NewReader(append(before, test.b...)),
				"one byte": iotest.OneByteReader(bytes.NewReader(append(before, test.b...))),
				"data err": iotest.DataErrReader(bytes.NewReader(append(before, test.b...))),
			} {
				fr := walve.NewFrameReader(r)
				frames, err := readFrames(fr, 512)
				var pe *walve.ProtocolError
				if !errors.As(err, &pe) || pe.Code != walve.StatusProtocolError || !equalFrames(frames, testFrames[:1]) {
					t.Fatalf("%s: %d frames, %v", name, len(frames), err)
				}
				if _, again := fr.Next(); again != err {
					t.Errorf("%s: the next Next: %v", name, again)
				}
				if _, again := fr.Read(make([]byte, 1)); again != err {
					t.Errorf("%s: Read: %v", name, again)
				}
				if _, again := fr.WriteTo(io.Discard); again != err {
					t.Errorf("%s: WriteTo: %v", name, again)
				}
			}
		})
	}
}

func TestFrameReaderWithoutFrame(t *testing.T) {
	fr := walve.NewFrameReader(bytes.NewReader([]byte{0x81, 1, 'a'}))
	if n, err := fr.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, err := fr.WriteTo(io.Discard); n != 0 || err != nil {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	fr.Next()
	if n, err := fr.Read(nil); n != 0 || err != nil {
		t.Errorf("Read of nothing = %d, %v", n, err)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

func TestFrameReaderNoProgress(t *testing.T) {
	for i := range 6 {
		b := []byte{0x81, 0x81, 1, 2, 3, 4}
		fr := walve.NewFrameReader(io.MultiReader(bytes.NewReader(b[:i]), emptyReader{}))
		if _, err := fr.Next(); err != io.ErrNoProgress {
			t.Errorf("after %d bytes: %v", i, err)
		}
	}
}

// A length is nothing but a number: no memory for it, read, written or
// skipped.
func TestFrameReaderHugeLength(t *testing.T) {
	for _, length := range []int64{1 << 30, math.MaxInt64} {
		for _, masked := range []bool{false, true} {
			h := walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: masked, Length: length}
			b, _ := h.AppendBinary(nil)
			b = append(b, "abc"...)
			r := bytes.NewReader(b)
			p := make([]byte, 16)
			var fr walve.FrameReader
			use := map[string]func() error{
				"read": func() error { fr.Read(p); _, err := fr.Read(p); return err },
				"skip": func() error { _, err := fr.Next(); return err },
				"copy": func() error { _, err := fr.WriteTo(io.Discard); return err },
			}
			for name, f := range use {
				allocs := testing.AllocsPerRun(100, func() {
					r.Reset(b)
					fr = *walve.NewFrameReader(r)
					if got, err := fr.Next(); got != h || err != nil {
						t.Fatalf("Next = %+v, %v", got, err)
					}
					if err := f(); err != io.ErrUnexpectedEOF {
						t.Fatalf("%s: %v", name, err)
					}
				})
				if allocs > 0 && !raceEnabled {
					t.Errorf("length %d, masked %t, %s: %v allocations", length, masked, name, allocs)
				}
			}
		}
	}
}

func TestFrameReaderAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool forgets at random with -race")
	}
	b, _ := wire(testFrames)
	r := bytes.NewReader(b)
	fr := walve.NewFrameReader(r)
	p := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset(b)
		for range testFrames {
			fr.Next()
			fr.Read(p)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

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

// describe is all that can be seen of a stream of frames.
func describe(fr *walve.FrameReader, size int) string {
	frames, err := readFrames(fr, size)
	var s bytes.Buffer
	for _, f := range frames {
		fmt.Fprintf(&s, "%+v %x\n", f.h, f.payload)
	}
	fmt.Fprint(&s, err)
	return s.String()
}

// randomReader cuts a stream into random reads, some of them timeouts, some
// with the error beside the last bytes.
type randomReader struct {
	b    []byte
	rand *rand.Rand
}

func (r *randomReader) Read(p []byte) (int, error) {
	if r.rand.IntN(4) == 0 {
		return 0, iotest.ErrTimeout
	}
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+r.rand.IntN(8))], r.b)
	r.b = r.b[n:]
	switch {
	case len(r.b) == 0 && r.rand.IntN(2) == 0:
		return n, io.EOF
	case r.rand.IntN(8) == 0:
		return n, iotest.ErrTimeout
	}
	return n, nil
}

// Any stream cut into random reads gives the same frames as in one piece.
func FuzzFrameReader(f *testing.F) {
	b, ends := wire(testFrames)
	f.Add(b, uint64(1))
	f.Add(b[:ends[3]+5], uint64(2))
	f.Add([]byte{}, uint64(3))
	f.Add([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, uint64(4))
	f.Add([]byte{0x81, 1, 'a', 0x83}, uint64(5))
	f.Add([]byte{0x82, 127, 0x7F, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3}, uint64(6))
	f.Add([]byte{0x82, 126, 0, 125}, uint64(7))
	f.Add([]byte{0x00, 0x00, 0x80, 0x80, 1, 2, 3, 4}, uint64(8))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		want := describe(walve.NewFrameReader(bytes.NewReader(b)), 1<<10)
		random := rand.New(rand.NewPCG(seed, 0))
		for _, size := range []int{0, 1 + random.IntN(20)} {
			if got := describe(walve.NewFrameReader(&randomReader{b, random}), size); got != want {
				t.Fatalf("with a buffer of %d:\n%s\nwant:\n%s", size, got, want)
			}
		}
		// Skipped, the headers are the same.
		fr := walve.NewFrameReader(&randomReader{b, random})
		whole := walve.NewFrameReader(bytes.NewReader(b))
		for {
			h, err := again(fr.Next)
			wantH, wantErr := whole.Next()
			if h != wantH || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("skipped: %+v, %v, want %+v, %v", h, err, wantH, wantErr)
			}
			if err != nil {
				break
			}
		}
		// And written again they are the same bytes, as far as they go.
		var w bytes.Buffer
		if relay(walve.NewFrameWriter(&w), walve.NewFrameReader(bytes.NewReader(b))); !bytes.HasPrefix(b, w.Bytes()) {
			t.Fatalf("relayed: %x, want %x", w.Bytes(), b)
		}
	})
}

func BenchmarkFrameReader(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"64B", 64}, {"1KiB", 1 << 10}, {"16KiB", 16 << 10}} {
		for _, masked := range []bool{false, true} {
			name := "unmasked/" + size.name
			if masked {
				name = "masked/" + size.name
			}
			b.Run(name, func(b *testing.B) {
				stream, _ := wire([]testFrame{{
					walve.Header{Fin: true, Opcode: walve.OpBinary, Masked: masked, MaskKey: testKey, Length: int64(size.n)},
					make([]byte, size.n)}})
				r := bytes.NewReader(stream)
				fr := walve.NewFrameReader(r)
				p := make([]byte, size.n)
				b.SetBytes(int64(size.n))
				b.ReportAllocs()
				for b.Loop() {
					r.Reset(stream)
					fr.Next()
					fr.Read(p)
				}
			})
		}
	}
}
