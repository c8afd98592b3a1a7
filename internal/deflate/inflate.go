package deflate

import (
	"encoding/binary"
	"errors"
	"sync"
)

// ErrCorrupt says that a payload is not what RFC 7692 and RFC 1951 ask for, or
// refers back beyond the window.
var ErrCorrupt = errors.New("deflate: corrupt data")

// tail is what the sender has removed from the end of a message. RFC 7692,
// 7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload
// of the message."
var tail = [4]byte{0x00, 0x00, 0xff, 0xff}

// An Inflater inflates the messages of one direction of a connection, one after
// another, from payload that comes in pieces cut anywhere.
//
// Between messages it holds the window, if the context is taken over, and
// nothing else; inside a message the state of one as well, from a pool. It is
// not safe for concurrent use.
type Inflater struct {
	window   window
	takeover bool
	broken   bool
	m        *message // nil between messages
}

// NewInflater returns an Inflater for a peer whose window is 1 << bits bytes, 8
// to 15, and that takes its context over from one message to the next, or not.
func NewInflater(bits int, takeover bool) *Inflater {
	return &Inflater{window: window{size: 1 << bits}, takeover: takeover}
}

// Inflate goes on with a message: src is the next piece of its payload, of
// which used bytes were taken, and n bytes of the message were put into dst. It
// returns when dst is full, src is used up, or the message has ended.
//
// last says that src, which may be empty, ends the payload. Then done reports
// that all of the message has been returned; before, the caller comes again
// with more room and with src[used:].
//
// An error ends the connection's use: every later call returns it.
func (z *Inflater) Inflate(dst, src []byte, last bool) (n, used int, done bool, err error) {
	if z.broken {
		return 0, 0, false, ErrCorrupt
	}
	if z.m == nil {
		z.m = newMessage()
	}
	m := z.m
	n, rest, why := m.inflate(dst, 0, src, &z.window)
	used = len(src) - len(rest)
	if why == starved && last {
		if m.fed == 0 && m.afterFinal() {
			// RFC 7692, 7.2.1, has an empty block follow one with BFINAL, but
			// not every sender knows.
			m.fed = len(tail)
		} else {
			n, rest, why = m.inflate(dst, n, tail[m.fed:], &z.window)
			m.fed = len(tail) - len(rest)
		}
		if why == starved {
			if done = m.step == stepHeader && m.count == 0; !done {
				why = corrupt // it ends inside a block
			}
		}
	}
	if why == corrupt {
		return n, used, false, z.fail()
	}
	if !done && !z.takeover && n > 0 {
		z.window.borrow()
	}
	if !done || z.takeover {
		z.window.add(dst[:n])
	}
	if done {
		messages.Put(m)
		z.m = nil
		if !z.takeover {
			z.window.giveBack()
		}
	}
	return n, used, done, nil
}

// fail ends all use of z.
func (z *Inflater) fail() error {
	z.broken = true
	messages.Put(z.m)
	z.m = nil
	if !z.takeover {
		z.window.giveBack()
	}
	z.window.b = nil
	return ErrCorrupt
}

// A step is what comes next in the input.
type step uint8

const (
	stepHeader  step = iota // of a block
	stepStored              // LEN and NLEN of a stored block
	stepRaw                 // its bytes
	stepCounts              // HLIT, HDIST, HCLEN
	stepClens               // code lengths for the code lengths
	stepLens                // code lengths
	stepSymbols             // literals, and lengths with distances
	stepMatch               // none: dst had no room for the last of them
)

// A message is the state of a message that has begun.
//
// It is there because no library's inflater can stop at any byte and go on.
// Those of compress/flate and klauspost/compress pull their input from an
// io.Reader, to whose error, a deadline that cuts a frame, they stick; to keep
// them waiting instead takes a goroutine for each message. (A coroutine of
// iter.Pull ends the program if it was made on a locked thread and is resumed
// on another.) It also takes the window as it is, where theirs copy 32 KiB to
// begin with, and its input as a slice. 1 KiB of JSON takes 5.4 us, klauspost's
// 9.9 and the standard library's 12; 64 KiB take 110, 190 and 277 us.
type message struct {
	hold  uint64 // input bits not used yet, the next lowest; none above count
	count uint

	step  step
	final bool // BFINAL of the block
	fed   int  // bytes of the tail that were taken

	length, distance int // what is left of a match; or length of a stored block

	lit                *[litEntries]uint32
	dist               *[distEntries]uint32
	nlit, ndist, nclen int
	i                  int // lengths that were read
	lens               [maxLit + maxDist]uint8

	ownClen [1 << clenBits]uint32
	ownLit  [litEntries]uint32
	ownDist [distEntries]uint32
}

var messages = sync.Pool{New: func() any { return new(message) }}

func newMessage() *message {
	m := messages.Get().(*message)
	m.hold, m.count = 0, 0
	m.step, m.final, m.fed = stepHeader, false, 0
	return m
}

// afterFinal reports whether the input ends with a block with BFINAL.
func (m *message) afterFinal() bool {
	return m.step == stepHeader && m.final && m.count == 0
}

// A stop says why inflating stops.
type stop uint8

const (
	goOn    stop = iota
	starved      // the input is used up
	full         // so is the room for output
	corrupt
)

// inflate goes on with src until it stops, and returns how far dst, which is
// filled up to n, and src have got.
func (m *message) inflate(dst []byte, n int, src []byte, w *window) (int, []byte, stop) {
	for {
		var why stop
		switch m.step {
		case stepSymbols, stepMatch:
			n, src, why = m.symbols(dst, n, src, w)
		case stepRaw:
			n, src, why = m.raw(dst, n, src)
		default:
			src, why = m.header(src)
		}
		if why != goOn {
			return n, src, why
		}
	}
}

// need sees to it that k bits are there, and reports whether they are.
func (m *message) need(k uint, src []byte) ([]byte, bool) {
	for m.count < k {
		if len(src) == 0 {
			return src, false
		}
		m.hold |= uint64(src[0]) << m.count
		m.count += 8
		src = src[1:]
	}
	return src, true
}

// take takes k bits, which are there.
func (m *message) take(k uint) int {
	v := m.hold & (1<<k - 1)
	m.hold >>= k
	m.count -= k
	return int(v)
}

// endBlock goes to the next block. RFC 7692, 7.2.1: "When any DEFLATE block with
// the "BFINAL" bit set to 1 doesn't end at a byte boundary, an endpoint MUST add
// minimal padding bits of 0 to make it end at a byte boundary. The next DEFLATE
// block follows the padded data if any."
func (m *message) endBlock() {
	m.step = stepHeader
	if m.final {
		m.take(m.count & 7)
	}
}

// raw takes the bytes of a stored block.
func (m *message) raw(dst []byte, n int, src []byte) (int, []byte, stop) {
	for m.length > 0 && m.count > 0 && n < len(dst) {
		dst[n] = byte(m.take(8))
		n++
		m.length--
	}
	if m.count == 0 {
		k := copy(dst[n:], src[:min(m.length, len(src))])
		n += k
		m.length -= k
		src = src[k:]
	}
	switch {
	case m.length == 0:
		m.endBlock()
		return n, src, goOn
	case n == len(dst):
		return n, src, full
	}
	return n, src, starved
}

// header takes the next part of what stands before a block's data: RFC 1951,
// 3.2.3 to 3.2.7.
func (m *message) header(src []byte) (_ []byte, why stop) {
	var ok bool
	switch m.step {
	case stepHeader:
		if src, ok = m.need(3, src); !ok {
			return src, starved
		}
		m.final = m.take(1) == 1
		switch m.take(2) {
		case 0:
			// "Any bits of input up to the next byte boundary are ignored."
			m.take(m.count & 7)
			m.step = stepStored
		case 1:
			m.lit, m.dist = &fixedLit, &fixedDist
			m.step = stepSymbols
		case 2:
			m.step = stepCounts
		default:
			return src, corrupt
		}
	case stepStored:
		if src, ok = m.need(32, src); !ok {
			return src, starved
		}
		m.length = m.take(16)
		if m.take(16) != m.length^0xffff {
			return src, corrupt
		}
		m.step = stepRaw
	case stepCounts:
		if src, ok = m.need(14, src); !ok {
			return src, starved
		}
		m.nlit, m.ndist, m.nclen = m.take(5)+257, m.take(5)+1, m.take(4)+4
		if m.nlit > maxLit || m.ndist > maxDist {
			return src, corrupt
		}
		clear(m.lens[:len(clenOrder)])
		m.i = 0
		m.step = stepClens
	case stepClens:
		for ; m.i < m.nclen; m.i++ {
			if src, ok = m.need(3, src); !ok {
				return src, starved
			}
			m.lens[clenOrder[m.i]] = uint8(m.take(3))
		}
		if !build(m.ownClen[:], clenBits, m.lens[:len(clenOrder)], clenValues[:]) {
			return src, corrupt
		}
		m.i = 0
		m.step = stepLens
	case stepLens:
		return m.lengths(src)
	}
	return src, goOn
}

var clenOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// lengths takes the code lengths of both alphabets, and makes their tables.
func (m *message) lengths(src []byte) ([]byte, stop) {
	why := goOn
	hold, count := m.hold, m.count
	i, end := m.i, m.nlit+m.ndist
	for i < end {
		if count < clenBits+7 {
			if len(src) >= 8 {
				hold |= binary.LittleEndian.Uint64(src) << (count & 63)
				src = src[(63-count)>>3:]
				count |= 56
				hold &= 1<<count - 1
			}
			for count < clenBits+7 && len(src) > 0 {
				hold |= uint64(src[0]) << count
				count += 8
				src = src[1:]
			}
		}
		e := m.ownClen[hold&(1<<clenBits-1)]
		bits, extra := uint(e&15), uint(e>>4&15)
		if bits+extra > count || e&isSpecial != 0 && count < clenBits {
			why = starved // e may be another's, by bits that are not there yet
			break
		}
		sym := uint8(e >> 16)
		repeat := int(hold >> bits & (1<<extra - 1))
		hold >>= bits + extra
		count -= bits + extra
		if sym < 16 && e&isSpecial == 0 {
			m.lens[i] = sym
			i++
			continue
		}
		if repeat += 3; sym == 18 {
			repeat += 8
		}
		if e&isSpecial != 0 || i+repeat > end || sym == 16 && i == 0 {
			why = corrupt
			break
		}
		run := m.lens[i : i+repeat]
		if sym != 16 {
			clear(run)
		} else {
			for k := range run {
				run[k] = m.lens[i-1]
			}
		}
		i += repeat
	}
	m.hold, m.count, m.i = hold, count, i
	if why != goOn {
		return src, why
	}
	if !build(m.ownLit[:], litBits, m.lens[:m.nlit], litValues[:]) ||
		!build(m.ownDist[:], distBits, m.lens[m.nlit:end], distValues[:]) {
		return src, corrupt
	}
	m.lit, m.dist = &m.ownLit, &m.ownDist
	m.step = stepSymbols
	return src, goOn
}
