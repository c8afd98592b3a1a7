package walve_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bodokaiser/walve"
)

var utf8Texts = []string{
	"", "a", "Hello", "\x00\x7f", "é", "κόσμε", "€", "日本語", "𝄞", "a𝄞b€cé",
	"\u0080\u07ff\u0800\uffff\U00010000\U0010ffff", "\ud7ff\ue000\ufffd", "\ufffe\ufeff",
	strings.Repeat("a", 70) + "é" + strings.Repeat("b", 70) + "𝄞",
	"\x80", "\xbf", "a\x80", "\xc0", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2a", "\xc2\xc2", "é\x80",
	"\xe0\x80\x80", "\xe0\x9f\xbf", "\xe2\x82", "\xe2\x82a", "\xe2a", "\xed\xa0\x80", "\xed\xbf\xbf", "\xef\xbf",
	"\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9d\x84", "\xf0\x9d\x84a", "\xf0\x9da", "\xf0a",
	"\xf4\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf", "\xf5", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xfe",
	"κόσμε\xed\xa0\x80edited", "κόσμε\xf4\x90\x80\x80edited", // Autobahn 6.3, 6.4
}

// beginsValid reports, by the definition, whether some UTF-8 text begins with
// p: what is cut of the last rune can be mended.
func beginsValid(p string) bool {
	for len(p) > 0 {
		r, n := utf8.DecodeRuneInString(p)
		if r != utf8.RuneError || n > 1 {
			p = p[n:]
			continue
		}
		if utf8.FullRuneInString(p) {
			return false
		}
		return true
	}
	return true
}

// All texts in up to three pieces are as in one, and fail with the first piece
// that cannot be right.
func TestUTF8Splits(t *testing.T) {
	for _, text := range utf8Texts {
		for i := 0; i <= len(text); i++ {
			for j := i; j <= len(text); j++ {
				var c walve.UTF8Checker
				ok := true
				for _, end := range []struct{ from, to int }{{0, i}, {i, j}, {j, len(text)}} {
					ok = c.Valid([]byte(text[end.from:end.to]))
					if want := beginsValid(text[:end.to]); ok != want {
						t.Fatalf("%q, cut at %d and %d: valid of the first %d = %t, want %t", text, i, j, end.to, ok, want)
					}
					if !ok {
						break
					}
				}
				if ok = ok && c.Complete(); ok != utf8.ValidString(text) {
					t.Fatalf("%q, cut at %d and %d: %t", text, i, j, ok)
				}
			}
		}
	}
}

// Byte by byte, the text fails with its first byte that no text has there.
func TestUTF8FailsFast(t *testing.T) {
	tests := []struct {
		name, text string
		at         int // the byte that fails
	}{
		{"lone continuation", "\x80", 0},
		{"last continuation byte", "\xbf", 0},
		{"continuation behind a rune", "é\x80", 2},
		{"overlong of two, C0", "\xc0\x80", 0},
		{"overlong of two, C1", "\xc1\xbf", 0},
		{"overlong of three", "\xe0\x80\x80", 1},
		{"overlong of three, highest", "\xe0\x9f\xbf", 1},
		{"overlong of four", "\xf0\x80\x80\x80", 1},
		{"overlong of four, highest", "\xf0\x8f\xbf\xbf", 1},
		{"first surrogate", "\xed\xa0\x80", 1},
		{"last surrogate", "\xed\xbf\xbf", 1},
		{"over U+10FFFF, F4 90", "\xf4\x90\x80\x80", 1},
		{"F5", "\xf5\x80\x80\x80", 0},
		{"F8, five bytes", "\xf8\x88\x80\x80\x80", 0},
		{"FE", "\xfe", 0},
		{"FF", "\xff", 0},
		{"ASCII in a rune of two", "\xc3a", 1},
		{"ASCII in a rune of three", "\xe2\x82a", 2},
		{"ASCII in a rune of four", "\xf0\x9d\x84a", 3},
		{"first byte in a rune", "\xe2\x82\xe2", 2},
		{"Autobahn 6.4.1", "κόσμε\xf4\x90\x80\x80edited", len("κόσμε") + 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c walve.UTF8Checker
			for i := range len(test.text) {
				ok := c.Valid([]byte{test.text[i]})
				if ok != (i < test.at) {
					t.Fatalf("byte %d: %t, want the failure at %d", i, ok, test.at)
				}
				if !ok {
					break
				}
			}
			// And not later in one piece that ends there.
			c = walve.UTF8Checker{}
			if c.Valid([]byte(test.text[:test.at+1])) {
				t.Error("valid in one piece")
			}
		})
	}
}

func TestUTF8Complete(t *testing.T) {
	var c walve.UTF8Checker
	for _, step := range []struct {
		piece    string
		complete bool
	}{{"", true}, {"a", true}, {"\xf0", false}, {"", false}, {"\x9d", false}, {"\x84", false}, {"\x9eb", true}, {"é\xc3", false}, {"\xa9", true}} {
		if !c.Valid([]byte(step.piece)) || c.Complete() != step.complete {
			t.Fatalf("after %q: complete %t", step.piece, c.Complete())
		}
	}
}

func TestUTF8Allocs(t *testing.T) {
	p := []byte("a𝄞b€cé\xe2\x82")
	if n := testing.AllocsPerRun(100, func() {
		var c walve.UTF8Checker
		c.Valid(p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzUTF8(f *testing.F) {
	for i, text := range utf8Texts {
		f.Add([]byte(text), uint16(i))
	}
	f.Fuzz(func(t *testing.T, text []byte, cut uint16) {
		i := 0
		if len(text) > 0 {
			i = int(cut) % len(text)
		}
		var c walve.UTF8Checker
		first := c.Valid(text[:i])
		if first != beginsValid(string(text[:i])) {
			t.Fatalf("%q: %t", text[:i], first)
		}
		if ok := first && c.Valid(text[i:]) && c.Complete(); ok != utf8.Valid(text) {
			t.Fatalf("%q, cut at %d: %t", text, i, ok)
		}
	})
}

func BenchmarkUTF8(b *testing.B) {
	for _, bench := range []struct{ name, text string }{
		{"ASCII/64B", strings.Repeat("Hello, world. 16", 4)},
		{"ASCII/16KiB", strings.Repeat("Hello, world. 16", 1<<10)},
		{"Greek/16KiB", strings.Repeat("κόσμοςκό", 1<<10)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p := []byte(bench.text)
			b.SetBytes(int64(len(p)))
			var c walve.UTF8Checker
			for b.Loop() {
				c.Valid(p)
			}
		})
	}
}
