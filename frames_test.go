package walve_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/bodokaiser/walve"
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
