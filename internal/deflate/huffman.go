package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	litBits  = 9 // bits that the first look-up of a literal or length takes
	distBits = 6 // of a distance
	clenBits = 7 // of a code length: its longest code

	// The most entries that a complete code of 286 or 30 symbols of up to 15
	// bits needs behind a first look-up of that many bits: zlib's
	// examples/enough.c.
	litEntries  = 852
	distEntries = 592

	maxLit  = 286 // RFC 1951, 3.2.7: HLIT + 257
	maxDist = 30  // HDIST + 1
)

// An entry of a table says what the next bits of the input are. From the low
// end: 4 bits, how many of them to take; 4 bits, how many extra bits follow;
// the kind; from bit 16 a literal, the base of a length or distance, or the
// index of a second table, which the extra bits then look into.
const (
	isLiteral = 1 << 15
	isSpecial = 1 << 14 // one of the next two, or nothing that may occur
	isEnd     = isSpecial | 1<<13
	isTable   = isSpecial | 1<<12
)

var (
	litValues  [288]uint32
	distValues [32]uint32
	clenValues [19]uint32

	fixedLit  [litEntries]uint32
	fixedDist [distEntries]uint32
)

func init() {
	for i := range litValues[:256] {
		litValues[i] = isLiteral | uint32(i)<<16
	}
	litValues[256] = isEnd
	// RFC 1951, 3.2.5.
	base := uint32(3)
	for i := range 28 {
		extra := uint32(max(0, i/4-1))
		litValues[257+i] = base<<16 | extra<<4
		base += 1 << extra
	}
	litValues[285] = 258 << 16
	litValues[286], litValues[287] = isSpecial, isSpecial // "will never actually occur"
	base = 1
	for i := range 30 {
		extra := uint32(max(0, i/2-1))
		distValues[i] = base<<16 | extra<<4
		base += 1 << extra
	}
	distValues[30], distValues[31] = isSpecial, isSpecial
	for i := range clenValues {
		clenValues[i] = uint32(i) << 16
	}
	// RFC 1951, 3.2.7.
	clenValues[16] |= 2 << 4
	clenValues[17] |= 3 << 4
	clenValues[18] |= 7 << 4

	// RFC 1951, 3.2.6.
	var lens [288]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	build(fixedLit[:], litBits, lens[:], litValues[:])
	for i := range lens[:32] {
		lens[i] = 5
	}
	build(fixedDist[:], distBits, lens[:32], distValues[:])
}

// build fills t, whose first look-up takes root bits, for the code whose
// lengths are lens, and reports whether it is one: neither over-subscribed nor
// incomplete, but for no code at all or a single one of one bit, as zlib and
// compress/flate have it.
func build(t []uint32, root uint, lens []uint8, values []uint32) bool {
	var count [16]int
	var found [288]uint16 // symbols that have codes: few, mostly
	used := 0
	for i := 0; i < len(lens); {
		next := min(i+8, len(lens))
		if next == i+8 && binary.LittleEndian.Uint64(lens[i:]) == 0 {
			i = next
			continue
		}
		for ; i < next; i++ {
			l := lens[i] & 15
			count[l]++
			found[used] = uint16(i)
			if l > 0 {
				used++
			}
		}
	}
	count[0] = 0
	longest := 15
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	var offset [16]int
	left := 1
	for l := 1; l <= longest; l++ {
		if left = left<<1 - count[l]; left < 0 {
			return false
		}
		offset[l] = offset[l-1] + count[l-1]
	}
	if left > 0 {
		if used > 1 || longest > 1 {
			return false
		}
		t[0] = isSpecial
	}
	// Symbols by the length of their codes, and so by their codes.
	var sorted [288]uint16
	for _, i := range found[:used] {
		l := lens[i] & 15
		sorted[offset[l]] = i
		offset[l]++
	}
	symbols := sorted[:used]

	var code uint         // of the next symbol, first bit lowest
	next := 1 << root     // where the next second table goes
	prefix := ^uint(0)    // of the second table that is being filled
	var sub, subBits uint // where it is, and its look-up
	for l := uint(1); l <= root || l <= uint(longest); l++ {
		if l <= root {
			// A table for codes of up to l bits is two for l-1 bits. This
			// is faster than to put every entry wherever it belongs.
			half := 1 << (l - 1)
			copy(t[half:2*half], t[:half])
		}
		for left := count[l&15]; left > 0; left-- {
			entry := values[symbols[0]]
			symbols = symbols[1:]
			if l <= root {
				t[code] = entry | uint32(l)
			} else {
				if code&(1<<root-1) != prefix {
					prefix = code & (1<<root - 1)
					// As many bits as the codes with this prefix take.
					subBits = l - root
					count[l&15] = left
					for room := 1 << subBits; root+subBits < uint(longest); room <<= 1 {
						if room -= count[root+subBits]; room <= 0 {
							break
						}
						subBits++
					}
					sub = uint(next)
					if next += 1 << subBits; next > len(t) {
						return false
					}
					t[prefix] = isTable | uint32(sub)<<16 | uint32(subBits)<<4 | uint32(root)
				}
				for i := code >> root; i < 1<<subBits; i += 1 << (l - root) {
					t[sub+i] = entry | uint32(l-root)
				}
			}
			// Add one to a number whose first bit is lowest: the highest 0 of
			// its l bits becomes 1, the ones above it 0.
			bit := uint(1) << (bits.Len(code^(1<<l-1)) & 31) >> 1
			code = code&(bit-1) | bit
		}
	}
	return true
}
