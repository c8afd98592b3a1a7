package interop_test

import (
	"errors"
	"fmt"
)

// slowInflate inflates whole blocks of RFC 1951, bit by bit and with nothing of
// walve's or another library's, and refuses distances beyond window bytes or
// what there is: the libraries' own windows are 32 KiB. history is what came
// before.
func slowInflate(payload, history []byte, window int) (out []byte, err error) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("slowInflate: %v", e)
		}
	}()
	z := &slowInflater{in: payload, out: append([]byte(nil), history...), window: window}
	for z.at < 8*len(payload) {
		if z.block(); z.final {
			return nil, errors.New("slowInflate: a last block")
		}
	}
	return z.out[len(history):], nil
}

type slowInflater struct {
	in     []byte
	at     int // in bits
	out    []byte
	window int
	final  bool
}

func (z *slowInflater) bits(n int) (v int) {
	for i := range n {
		v |= int(z.in[z.at>>3]>>(z.at&7)&1) << i
		z.at++
	}
	return v
}

// A slowCode has the number of codes of each length, and the symbols in the
// order of their codes: RFC 1951, 3.2.2.
type slowCode struct {
	count   [16]int
	symbols []int
}

func newSlowCode(lengths []int) *slowCode {
	c := new(slowCode)
	for n := 1; n < len(c.count); n++ {
		for symbol, length := range lengths {
			if length == n {
				c.count[n]++
				c.symbols = append(c.symbols, symbol)
			}
		}
	}
	return c
}

func (z *slowInflater) symbol(c *slowCode) int {
	code, first, index := 0, 0, 0
	for n := 1; n < len(c.count); n++ {
		code |= z.bits(1)
		if code-first < c.count[n] {
			return c.symbols[index+code-first]
		}
		index += c.count[n]
		first = (first + c.count[n]) << 1
		code <<= 1
	}
	panic("no such code")
}

var (
	slowLengths   = slowValues(3, 4, 28) // and 258
	slowDistances = slowValues(1, 2, 30)
	slowFixed     = [2]*slowCode{newSlowCode(slowFixedLengths()), newSlowCode(slowRepeat(nil, 30, 5))}
)

// slowValues returns the smallest value and the number of extra bits of each
// symbol: RFC 1951, 3.2.5. The extra bits grow by one every few symbols.
func slowValues(value, every, n int) (values [][2]int) {
	for i := range n {
		extra := max(i/every-1, 0)
		values = append(values, [2]int{value, extra})
		value += 1 << extra
	}
	return values
}

func slowRepeat(lengths []int, n, length int) []int {
	for range n {
		lengths = append(lengths, length)
	}
	return lengths
}

func slowFixedLengths() []int {
	lengths := slowRepeat(nil, 144, 8)
	lengths = slowRepeat(lengths, 112, 9)
	lengths = slowRepeat(lengths, 24, 7)
	return slowRepeat(lengths, 8, 8)
}

func (z *slowInflater) block() {
	z.final = z.bits(1) == 1
	switch z.bits(2) {
	case 0:
		z.at = (z.at + 7) &^ 7
		n, inverse := z.bits(16), z.bits(16)
		if n != inverse^0xffff {
			panic("stored length")
		}
		z.out = append(z.out, z.in[z.at>>3:][:n]...)
		z.at += 8 * n
	case 1:
		z.codes(slowFixed[0], slowFixed[1])
	case 2:
		z.codes(z.dynamic())
	default:
		panic("type of block")
	}
}

func (z *slowInflater) dynamic() (literals, distances *slowCode) {
	nlit, ndist, nclen := z.bits(5)+257, z.bits(5)+1, z.bits(4)+4
	lengths := make([]int, 19)
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:nclen] {
		lengths[symbol] = z.bits(3)
	}
	c := newSlowCode(lengths)
	lengths = nil
	for len(lengths) < nlit+ndist {
		switch symbol := z.symbol(c); symbol {
		case 16:
			lengths = slowRepeat(lengths, 3+z.bits(2), lengths[len(lengths)-1])
		case 17:
			lengths = slowRepeat(lengths, 3+z.bits(3), 0)
		case 18:
			lengths = slowRepeat(lengths, 11+z.bits(7), 0)
		default:
			lengths = append(lengths, symbol)
		}
	}
	return newSlowCode(lengths[:nlit]), newSlowCode(lengths[nlit:])
}

func (z *slowInflater) codes(literals, distances *slowCode) {
	for {
		symbol := z.symbol(literals)
		switch {
		case symbol < 256:
			z.out = append(z.out, byte(symbol))
			continue
		case symbol == 256:
			return
		}
		length := 258
		if symbol < 285 {
			v := slowLengths[symbol-257]
			length = v[0] + z.bits(v[1])
		}
		v := slowDistances[z.symbol(distances)]
		distance := v[0] + z.bits(v[1])
		if distance > min(z.window, len(z.out)) {
			panic(fmt.Sprintf("distance %d in a window of %d", distance, z.window))
		}
		for range length {
			z.out = append(z.out, z.out[len(z.out)-distance])
		}
	}
}
