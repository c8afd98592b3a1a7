package deflate_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bodokaiser/walve/internal/deflate"
)

// TestExamples has the messages of RFC 7692, 7.2.3, and what else a sender may
// do.
func TestExamples(t *testing.T) {
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	for _, tt := range []struct {
		name     string
		takeover bool
		payloads []string
		want     string // of each
	}{
		{"7.2.3.1 one block", false, []string{hello, hello}, "Hello"},
		{"7.2.3.2 window taken over", true, []string{hello, "\xf2\x00\x11\x00\x00", "\xf2\x00\x11\x00\x00"}, "Hello"},
		{"7.2.3.3 no compression", false, []string{"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"}, "Hello"},
		{"7.2.3.4 BFINAL", false, []string{"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", hello}, "Hello"},
		{"7.2.3.5 two blocks", false, []string{"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"}, "Hello"},
		{"7.2.3.6 empty", false, []string{"\x00", "\x00"}, ""},
		{"BFINAL without an empty block", false, []string{"\xf3\x48\xcd\xc9\xc9\x07\x00"}, "Hello"},
		{"BFINAL, then another block", false, []string{"\xf3\x48\x05\x00" + "\xca\xc9\xc9\x07\x00"}, "Hello"},
		{"BFINAL, window taken over", true, []string{"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\xf2\x00\x11\x00\x00"}, "Hello"},
		{"empty blocks before and behind", false, []string{"\x00\x00\x00\xff\xff" + "\xf2\x48\xcd\xc9\xc9\x07\x00" + "\x00\x00\xff\xff\x00"}, "Hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, step := range []int{1, 2, 100} {
				z := deflate.NewInflater(15, tt.takeover)
				for i, p := range tt.payloads {
					got, err := inflate(z, []byte(p), step, step)
					if string(got) != tt.want || err != nil {
						t.Errorf("message %d in steps of %d: %q, %v", i, step, got, err)
					}
				}
			}
		})
	}
}

// A bitWriter writes what DEFLATE packs from the lowest bit on.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) bits(v, n int) *bitWriter {
	for i := range n {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v >> i & 1 << (w.n % 8))
		w.n++
	}
	return w
}

// code writes a Huffman code, which is packed from its first bit on.
func (w *bitWriter) code(v, n int) *bitWriter {
	for i := n - 1; i >= 0; i-- {
		w.bits(v>>i, 1)
	}
	return w
}

func TestCorrupt(t *testing.T) {
	block := func(kind int) *bitWriter { return new(bitWriter).bits(0, 1).bits(kind, 2) }
	// A literal, a length of 3 and a distance by fixed codes.
	match := func(code, extra, extraBits int) []byte {
		return block(1).code(0x30+'a', 8).code(1, 7).code(code, 5).bits(extra, extraBits).code(0, 7).b
	}
	early := func(w *bitWriter) []byte {
		for range 40 {
			w.code(0x30+'!', 8)
		}
		return w.b
	}
	clens := func(nlit, ndist int, lengths ...int) *bitWriter {
		w := block(2).bits(nlit-257, 5).bits(ndist-1, 5).bits(19-4, 4)
		order := []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
		for _, sym := range order {
			w.bits(lengths[sym], 3)
		}
		return w
	}
	one := make([]int, 19) // every length is 1, in one bit
	one[1], one[18] = 1, 1
	eight := make([]int, 19)
	eight[16], eight[8] = 1, 1
	for _, tt := range []struct {
		name    string
		payload []byte
	}{
		{"nothing at all", nil},
		{"reserved block type", block(3).bits(0, 13).b},
		{"stored lengths differ", []byte("\x00\x05\x00\xfa\xfeHello\x00")},
		{"stored block cut", []byte("\x00\x05\x00\xfa\xffHel")},
		{"stored length cut", []byte("\x00\x05")},
		{"fixed block cut", []byte("\xf2\x48\xcd")},
		{"ends inside a symbol", []byte("\xf2\x48\xcd\xc9\xc9")},
		{"trailing garbage", []byte("\xf2\x48\xcd\xc9\xc9\x07\x00\xff")},
		{"distance before the beginning", match(1, 0, 0)},
		{"distance of 32768 before the beginning", match(29, 1<<13-1, 13)},
		{"fixed distance code 30", match(30, 0, 13)},
		{"fixed length code 286", block(1).code(0x30+'a', 8).code(0xc6, 8).code(0, 5).code(0, 7).b},
		{"287 literal codes", block(2).bits(30, 5).bits(0, 5).bits(0, 4).bits(0, 100).b},
		{"31 distance codes", block(2).bits(0, 5).bits(30, 5).bits(0, 4).bits(0, 100).b},
		{"code lengths over-subscribed", block(2).bits(0, 5).bits(0, 5).bits(0, 4).bits(0o1111, 12).bits(0, 100).b},
		{"code lengths incomplete", block(2).bits(0, 5).bits(0, 5).bits(0, 4).bits(0o22, 12).bits(0, 100).b},
		{"no code for lengths", block(2).bits(0, 5).bits(0, 5).bits(0, 4).bits(0, 100).b},
		{"repeat at the beginning", clens(257, 1, eight...).bits(1, 1).bits(0, 2).bits(0, 100).b},
		{"repeat beyond the end", clens(257, 1, one...).bits(1, 1).bits(127, 7).bits(1, 1).bits(127, 7).bits(0, 100).b},
		// With so much behind it that symbols looks at neither end.
		{"fixed length code 286, early", early(block(1).code(0x30+'a', 8).code(0xc6, 8).code(0, 5))},
		{"fixed distance code 30, early", early(block(1).code(0x30+'a', 8).code(1, 7).code(30, 5))},
		{"distance before the beginning, early", early(block(1).code(0x30+'a', 8).code(1, 7).code(1, 5))},
		{"literals over-subscribed", clens(257, 1, one...).bits(0, 300).b},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, step := range []int{1, 100, 1000} {
				z := deflate.NewInflater(15, true)
				if got, err := inflate(z, tt.payload, step, step); err != deflate.ErrCorrupt || strings.HasSuffix(tt.name, "early") && string(got) != "a" {
					t.Errorf("in steps of %d: %q, %v", step, got, err)
				}
				if n, _, _, err := z.Inflate(make([]byte, 10), []byte("\x00"), true); n != 0 || err != deflate.ErrCorrupt {
					t.Errorf("afterwards: %d bytes, %v", n, err)
				}
			}
		})
	}
}

// TestWindow: a distance reaches back as far as the window and no further,
// across messages if the context is taken over.
func TestWindow(t *testing.T) {
	for bits := 8; bits <= 15; bits++ {
		size := 1 << bits
		text := make([]byte, size+3)
		for i := range text {
			text[i] = byte(i * i >> 3)
		}
		length := []byte{byte(len(text)), byte(len(text) >> 8)}
		stored := slices.Concat([]byte{0}, length, []byte{^length[0], ^length[1]}, text)
		for _, distance := range []int{size - 1, size, size + 1, size + 3} {
			code, extra, extraBits := distanceCode(distance)
			if code > 29 {
				continue
			}
			for _, out := range []int{1, 100, 2 * size} {
				for _, split := range []bool{false, true} {
					z := deflate.NewInflater(bits, split)
					match := new(bitWriter).bits(0, 1).bits(1, 2).code(1, 7).code(code, 5).bits(extra, extraBits).code(0, 7).bits(0, 3).b
					var got []byte
					var err error
					if split {
						if _, err := inflate(z, slices.Concat(stored, []byte{0}), 1000, out); err != nil {
							t.Fatal(err)
						}
						got, err = inflate(z, match, 1000, out)
					} else {
						got, err = inflate(z, slices.Concat(stored, match), 1000, out)
						got = got[min(len(text), len(got)):]
					}
					if distance > size {
						if err != deflate.ErrCorrupt {
							t.Errorf("bits %d, distance %d: %v", bits, distance, err)
						}
						continue
					}
					from := len(text) - distance
					if want := append(text[from:from:from], append(text[from:], text[from:]...)[:3]...); err != nil || !bytes.Equal(got, want) {
						t.Errorf("bits %d, distance %d, split %v: %x, %v, want %x", bits, distance, split, got, err, want)
					}
				}
			}
		}
	}
}

// distanceCode encodes a distance: RFC 1951, 3.2.5.
func distanceCode(distance int) (code, extra, extraBits int) {
	base := 1
	for code = range 32 {
		extraBits = max(0, code/2-1)
		if distance < base+1<<extraBits {
			return code, distance - base, extraBits
		}
		base += 1 << extraBits
	}
	return 30, 0, 0
}

// TestForeignStreams inflates what the standard library's compressor makes of
// several kinds of text, cut everywhere.
func TestForeignStreams(t *testing.T) {
	texts := map[string][]byte{
		"json":    bytes.Join(jsonMessages(3000, 10), nil),
		"zeros":   make([]byte, 100000),
		"long":    []byte(strings.Repeat(strings.Repeat("x", 300)+"yz", 300)),
		"letters": bytes.Repeat([]byte("abcdefg"), 9000),
	}
	var skewed []byte // codes of up to 15 bits
	for i := range 22 {
		skewed = append(skewed, bytes.Repeat([]byte{byte(i * 7)}, 1<<max(0, i-6))...)
	}
	texts["skewed"] = skewed
	for name, text := range texts {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
			t.Run(fmt.Sprintf("%s/level=%d", name, level), func(t *testing.T) {
				var b bytes.Buffer
				w, _ := flate.NewWriter(&b, level)
				w.Write(text)
				w.Flush()
				payload := bytes.TrimSuffix(b.Bytes(), tail)
				for _, step := range [][2]int{{1, 1 << 20}, {len(payload), 1}, {7, 300}, {4096, 4096}, {len(payload), len(text)}} {
					z := deflate.NewInflater(15, step[0] != 7)
					got, err := inflate(z, payload, step[0], step[1])
					if err != nil || !bytes.Equal(got, text) {
						t.Fatalf("pieces of %d into %d: %d bytes of %d, %v", step[0], step[1], len(got), len(text), err)
					}
				}
			})
		}
	}
}
