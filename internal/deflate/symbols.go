package deflate

import "encoding/binary"

// Inside these margins symbols needs to look at neither end, but for the room
// that a match takes.
const (
	fastInput  = 16
	fastOutput = 3 // literals
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
				// Only fixed codes have distances that may not occur; they are short.
				e = dist[int(e>>16)+int(hold&(1<<(e>>4&15)-1))]
			}
			hold >>= e & 15
			count -= uint(e & 15)
			extra = e >> 4 & 15
			distance := int(e>>16) + int(hold&(1<<extra-1))
			hold >>= extra
			count -= uint(extra)

			if distance > n || distance > w.size || length > len(dst)-n-matchRoom {
				if distance > n+len(w.b) || distance > w.size {
					return n, src, corrupt
				}
				m.length, m.distance = length, distance
				if n = m.match(dst, n, w); m.length > 0 {
					m.hold, m.count = hold&(1<<count-1), count
					m.step = stepMatch
					return n, src, full
				}
				continue
			}
			n = copyMatch(dst, n, length, distance)
		}
		hold &= 1<<count - 1

		for count < 56 && len(src) > 0 {
			hold |= uint64(src[0]) << count
			count += 8
			src = src[1:]
		}
		h, c := hold, int(count)
		e := lit[h&(1<<litBits-1)]
		if e&isTable == isTable {
			h >>= litBits
			c -= litBits
			e = lit[int(e>>16)+int(h&(1<<(e>>4&15)-1))]
		}
		h >>= e & 15
		c -= int(e & 15)
		if e&(isLiteral|isSpecial) == 0 {
			extra := e >> 4 & 15
			m.length = int(e>>16) + int(h&(1<<extra-1))
			h >>= extra
			c -= int(extra)
			d := dist[h&(1<<distBits-1)]
			if d&isTable == isTable {
				h >>= distBits
				c -= distBits
				d = dist[int(d>>16)+int(h&(1<<(d>>4&15)-1))]
			}
			h >>= d & 15
			c -= int(d & 15)
			extra = d >> 4 & 15
			m.distance = int(d>>16) + int(h&(1<<extra-1))
			h >>= extra
			c -= int(extra)
			e |= d & isSpecial
		}
		m.hold, m.count = hold, count
		switch {
		case c < 0:
			return n, src, starved
		case e&isLiteral != 0:
			if n == len(dst) {
				return n, src, full
			}
			dst[n] = byte(e >> 16)
			n++
		case e&isEnd == isEnd:
			m.hold, m.count = h, uint(c)
			m.endBlock()
			return n, src, goOn
		case e&isSpecial != 0, m.distance > n+len(w.b), m.distance > w.size:
			return n, src, corrupt
		default:
			if n = m.match(dst, n, w); m.length > 0 {
				m.hold, m.count = h, uint(c)
				m.step = stepMatch
				return n, src, full
			}
		}
		hold, count = h, uint(c)
	}
}

// match copies what is left of a match, as much of it as dst has room for.
func (m *message) match(dst []byte, n int, w *window) int {
	end := min(n+m.length, len(dst))
	m.length -= end - n
	from := n - m.distance
	if from < 0 {
		n += w.back(dst[n:end], -from)
		from = 0
	}
	for n < end {
		// What was copied is itself copied, so that it doubles each time.
		n += copy(dst[n:end], dst[from:n])
	}
	return n
}

// matchRoom is how many bytes more than a match copyMatch may write.
const matchRoom = 7

// copyMatch is match where the match lies in dst, which has that much room.
func copyMatch(dst []byte, n, length, distance int) int {
	end := n + length
	from := n - distance
	if distance >= 8 {
		for n < end {
			binary.LittleEndian.PutUint64(dst[n:], binary.LittleEndian.Uint64(dst[from:]))
			n += 8
			from += 8
		}
		return end
	}
	for n < end {
		n += copy(dst[n:end], dst[from:n])
	}
	return end
}
