package walve_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"github.com/bodokaiser/walve"
)

var (
	_ io.Reader   = (*walve.FrameReader)(nil)
	_ io.WriterTo = (*walve.FrameReader)(nil)
)

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
