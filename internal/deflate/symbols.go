package deflate

import "encoding/binary"

// Inside these margins symbols needs to look at neither end.
const (
	fastInput  = 16
	fastOutput = 258 + 8
)

// symbols takes the literals and matches of a block. A symbol with all that
// belongs to it has at most 48 bits, so what has come of one fits into hold:
// there is nothing else to keep when the input ends inside it.
func (m *message) symbols(dst []byte, n int, src []byte, w *window) (int, []byte, stop) {
	if m.step == stepMatch {
		if n = m.match(dst, n, w); m.length > 0 {
			return n, src, full
		}
		m.step = stepSymbols
	}
	hold, count := m.hold, m.count
	lit, dist := m.lit, m.dist
	for {
		for len(src) >= fastInput && len(dst)-n >= fastOutput {
			hold |= binary.LittleEndian.Uint64(src) << (count & 63)
			src = src[(63-count)>>3:]
			count |= 56
			e := lit[hold&(1<<litBits-1)]
			if e&isLiteral != 0 {
				hold >>= e & 15
				count -= uint(e & 15)
				dst[n] = byte(e >> 16)
				n++
				e = lit[hold&(1<<litBits-1)]
				if e&isLiteral != 0 {
					hold >>= e & 15
					count -= uint(e & 15)
					dst[n] = byte(e >> 16)
					n++
					e = lit[hold&(1<<litBits-1)]
					if e&isLiteral != 0 {
						hold >>= e & 15
						count -= uint(e & 15)
						dst[n] = byte(e >> 16)
						n++
						continue
					}
				}
				hold |= binary.LittleEndian.Uint64(src) << (count & 63)
				src = src[(63-count)>>3:]
				count |= 56
			}
			if e&isTable == isTable {
				hold >>= litBits
				count -= litBits
				e = lit[int(e>>16)+int(hold&(1<<(e>>4&15)-1))]
			}
			hold >>= e & 15
			count -= uint(e & 15)
			if e&(isLiteral|isSpecial) != 0 {
				if e&isLiteral != 0 {
					dst[n] = byte(e >> 16)
					n++
					continue
				}
				if e&isEnd == isEnd {
					m.hold, m.count = hold&(1<<count-1), count
					m.endBlock()
					return n, src, goOn
				}
				return n, src, corrupt
			}
			extra := e >> 4 & 15
			length := int(e>>16) + int(hold&(1<<extra-1))
			hold >>= extra
			count -= uint(extra)
			e = dist[hold&(1<<distBits-1)]
			if e&isSpecial != 0 {
				if e&isTable != isTable {
					return n, src, corrupt
				}
				hold >>= distBits
				count -= distBits
				e = dist[int(e>>16)+int(hold&(1<<(e>>4&15)-1))]
				if e&isSpecial != 0 {
					return n, src, corrupt
				}
			}
			hold >>= e & 15
			count -= uint(e & 15)
			extra = e >> 4 & 15
			distance := int(e>>16) + int(hold&(1<<extra-1))
			hold >>= extra
			count -= uint(extra)

			if distance > n || distance > w.size {
				if distance > n+len(w.b) || distance > w.size {
					return n, src, corrupt
				}
				m.length, m.distance = length, distance
				n = m.match(dst, n, w)
				continue
			}
			n = copyMatch(dst, n, length, distance)
		}
		hold &= 1<<count - 1

		for count <= 56 && len(src) > 0 {
			hold |= uint64(src[0]) << count
			count += 8
			src = src[1:]
		}
		s, ok := next(hold, lit, dist)
		if !ok {
			return n, src, corrupt
		}
		...
	}
}
