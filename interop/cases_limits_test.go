package interop_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Sections 9 and 10: sizes, fragments, chops and round trips. What comes back
// is compared as it comes.

const maxPayload = 16 << 20

// textPayload is text whose every 16 bytes are different and end with a
// character.
var textPayload = sync.OnceValue(func() []byte {
	b := make([]byte, 0, maxPayload)
	for i := 0; len(b) < maxPayload; i++ {
		b = fmt.Appendf(b, "%07d µ水✓", i)
	}
	return b
})

var binaryPayload = sync.OnceValue(func() []byte {
	b := make([]byte, maxPayload)
	rand.NewChaCha8([32]byte{'w'}).Read(b)
	return b
})

type kind struct {
	name    string
	op      byte
	payload func() []byte
}

var kinds = []kind{{"text", opText, textPayload}, {"binary", opBin, binaryPayload}}

// message returns a payload of n bytes, text with no character cut.
func (k kind) message(n int) []byte {
	whole := n
	if k.op == opText {
		whole = n &^ 15
	}
	return append(k.payload()[:whole:whole], "..............."[:n-whole]...)
}

const mib = 1 << 20

func limitSections() []section {
	var secs []section
	for i, k := range kinds {
		add := func(no int, title string, rows []row) {
			id := fmt.Sprintf("9.%d", no+i)
			for j := range rows {
				rows[j].id = fmt.Sprintf("%s.%d", id, j+1)
				rows[j].big = true
			}
			secs = append(secs, section{fmt.Sprintf("%s %s", id, title), rows})
		}
		title := strings.ToUpper(k.name[:1]) + k.name[1:]
		var sizes, fragments, chops, trips []row
		for _, n := range []int{64 << 10, 256 << 10, mib, 4 * mib, 8 * mib, 16 * mib} {
			sizes = append(sizes, row{does: fmt.Sprintf("%s message of %s", k.name, size(n)), play: limitEcho(k.op, k.payload, n, n)})
		}
		for n := 64; n <= 4*mib; n *= 4 {
			fragments = append(fragments, row{does: fmt.Sprintf("%s message of 4 MiB in fragments of %s", k.name, size(n)), play: limitEcho(k.op, k.payload, 4*mib, n)})
		}
		for n := 64; n <= 2048; n *= 2 {
			chops = append(chops, row{does: fmt.Sprintf("%s message of 1 MiB, sent %d bytes at a time", k.name, n), chop: n, play: limitEcho(k.op, k.payload, mib, mib)})
		}
		for _, n := range []int{0, 16, 64, 256, 1024, 4096} {
			trips = append(trips, row{does: fmt.Sprintf("1000 %s messages of %s, each when the one before is back", k.name, size(n)), play: roundTrips(k.op, k.payload, n)})
		}
		add(1, title+" messages of growing size", sizes)
		add(3, title+" messages in fragments of growing size", fragments)
		add(5, title+" messages in chops of growing size", chops)
		add(7, title+" messages there and back", trips)
	}
	slices.SortStableFunc(secs, func(a, b section) int { return strings.Compare(a.title, b.title) })
	return append(secs, section{"10.1 Fragments that a library makes", []row{{
		id: "10.1.1", does: "text message of 65536 bytes in fragments of 1300", play: limitEcho(opText, textPayload, 65536, 1300),
	}}})
}

// limitEcho sends a message of n bytes in fragments of size bytes.
func limitEcho(op byte, payload func() []byte, n, size int) func(*rawPeer) {
	return func(p *rawPeer) {
		message := payload()[:n]
		var frames []frame
		for rest := message; len(rest) > 0; {
			k := min(size, len(rest))
			f := frame{fin: k == len(rest), op: opCont, payload: rest[:k]}
			if len(frames) == 0 {
				f.op = op
			}
			frames = append(frames, f)
			rest = rest[k:]
		}
		p.send(frames...)
		p.wantMessage(op, message)
		p.clean()
	}
}

func roundTrips(op byte, payload func() []byte, n int) func(*rawPeer) {
	return func(p *rawPeer) {
		for i := range 1000 {
			message := payload()[16*i:][:n]
			p.send(frame{true, 0, op, message})
			p.wantMessage(op, message)
		}
		p.clean()
	}
}

func size(n int) string {
	switch {
	case n >= mib:
		return fmt.Sprintf("%d MiB", n/mib)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
