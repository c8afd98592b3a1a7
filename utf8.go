package walve

import "unicode/utf8"

// utf8Checker checks text that comes in pieces, wherever they are cut. The
// zero value is ready. Its state is that of a rune begun and not ended.
type utf8Checker struct {
	missing uint8 // bytes of the rune still to come
	lo, hi  uint8 // bounds of the next of them
}

// valid takes the next piece and reports whether the text so far is the
// beginning of some UTF-8 text. It is false with the very first byte that no
// text could have there; what it returns after that means nothing.
func (u *utf8Checker) valid(p []byte) bool {
	for u.missing > 0 {
		if len(p) == 0 {
			return true
		}
		if !u.next(p[0]) {
			return false
		}
		p = p[1:]
	}
	n := len(p) - unfinishedRune(p)
	if !utf8.Valid(p[:n]) {
		return false
	}
	if n == len(p) {
		return true
	}
	u.begin(p[n])
	for _, c := range p[n+1:] {
		if !u.next(c) {
			return false
		}
	}
	return true
}

// complete reports whether the text may end here: not inside a rune.
func (u *utf8Checker) complete() bool { return u.missing == 0 }

// unfinishedRune returns how many bytes at the end of p begin a rune that p
// does not end.
func unfinishedRune(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		c := p[len(p)-n]
		if c&0xC0 == 0x80 {
			continue // not its first byte
		}
		if runeLen(c) > n {
			return n
		}
		break
	}
	return 0
}

// runeLen returns the length of a rune by its first byte, 0 if no rune begins
// so: RFC 3629 section 4.
func runeLen(c byte) int {
	switch {
	case c < 0x80:
		return 1
	case c < 0xC2: // continuation bytes, overlong forms of ASCII
		return 0
	case c < 0xE0:
		return 2
	case c < 0xF0:
		return 3
	case c < 0xF5: // beyond: over U+10FFFF
		return 4
	}
	return 0
}

// begin takes the first byte of a rune of more than one.
func (u *utf8Checker) begin(c byte) {
	u.missing = uint8(runeLen(c) - 1)
	u.lo, u.hi = 0x80, 0xBF
	switch c {
	case 0xE0: // below: overlong
		u.lo = 0xA0
	case 0xED: // above: surrogates
		u.hi = 0x9F
	case 0xF0: // below: overlong
		u.lo = 0x90
	case 0xF4: // above: over U+10FFFF
		u.hi = 0x8F
	}
}

// next takes one of the bytes that are missing.
func (u *utf8Checker) next(c byte) bool {
	if c < u.lo || c > u.hi {
		return false
	}
	u.missing--
	u.lo, u.hi = 0x80, 0xBF
	return true
}

// prefix returns how many bytes of p, which is not valid, come before the one
// that makes it so.
func (u *utf8Checker) prefix(p []byte) int {
	n := 0
	for u.valid(p[n : n+1]) {
		n++
	}
	return n
}
