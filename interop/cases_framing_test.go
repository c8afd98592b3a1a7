package interop_test

import (
	"fmt"
	"strings"
)

// Sections 1 to 5: frames, control frames, reserved bits and opcodes,
// fragments.

const hello = "Hello, world!"

func framingSections() []section {
	return []section{
		{"1.1 Text messages", sizeRows("1.1", "text", opText)},
		{"1.2 Binary messages", sizeRows("1.2", "binary", opBin)},
		{"2 Pings and Pongs", pingRows()},
		{"3 Reserved bits", reservedRows()},
		{"4.1 Reserved opcodes of data frames", opcodeRows("4.1", 3)},
		{"4.2 Reserved opcodes of control frames", opcodeRows("4.2", 11)},
		{"5 Fragmentation", fragmentRows()},
	}
}

func sizeRows(id, kind string, op byte) (rows []row) {
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
		r := row{
			id:   fmt.Sprintf("%s.%d", id, i+1),
			does: fmt.Sprintf("%s message of %d bytes", kind, n),
			play: echoed(whole(op, strings.Repeat("*", n))),
		}
		if i == 7 {
			r.chop = 997
			r.does += ", sent 997 at a time"
		}
		rows = append(rows, r)
	}
	return rows
}

// ponged sends frames and wants a Pong for every Ping, in order.
func ponged(frames ...frame) func(*rawPeer) {
	return func(p *rawPeer) {
		p.send(frames...)
		for _, f := range frames {
			if f.op == opPing {
				p.wantPong(string(f.payload))
			}
		}
		p.clean()
	}
}

func pingRows() []row {
	long := strings.Repeat("\xfe", 125)
	var ten []frame
	for i := range 10 {
		ten = append(ten, whole(opPing, fmt.Sprintf("payload-%d", i)))
	}
	const unsolicited = "unsolicited pong payload"
	return []row{
		{id: "2.1", does: "Ping without payload: a Pong without", play: ponged(whole(opPing, ""))},
		{id: "2.2", does: "Ping with text: the same in the Pong", play: ponged(whole(opPing, hello))},
		{id: "2.3", does: "Ping with bytes that are not text: the same in the Pong", play: ponged(whole(opPing, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))},
		{id: "2.4", does: "Ping with 125 bytes: the same in the Pong", play: ponged(whole(opPing, long))},
		{id: "2.5", does: "Ping with 126 bytes: failed with 1002", play: refused(1002, whole(opPing, long+"\xfe"))},
		{id: "2.6", does: "Ping with 125 bytes, sent byte by byte: the same in the Pong", chop: 1, play: ponged(whole(opPing, long))},
		{id: "2.7", does: "Pong nobody asked for, without payload: nothing", play: ponged(whole(opPong, ""))},
		{id: "2.8", does: "Pong nobody asked for, with payload: nothing", play: ponged(whole(opPong, unsolicited))},
		{id: "2.9", does: "Pong nobody asked for, then a Ping: a Pong for the Ping", play: ponged(whole(opPong, unsolicited), whole(opPing, "ping payload"))},
		{id: "2.10", does: "ten Pings: ten Pongs in the same order", play: ponged(ten...)},
		{id: "2.11", does: "ten Pings, sent byte by byte: ten Pongs in the same order", chop: 1, play: ponged(ten...)},
	}
}

func reserved(rsv byte, op byte, payload string) frame { return frame{true, rsv, op, []byte(payload)} }

func reservedRows() []row {
	text, ping := whole(opText, hello), whole(opPing, "")
	behind := func(rsv byte) func(*rawPeer) {
		return echoedThenRefused(1002, text, reserved(rsv, opText, hello), ping)
	}
	return []row{
		{id: "3.1", does: "text with RSV3: failed with 1002", play: refused(1002, reserved(1, opText, hello))},
		{id: "3.2", does: "text, text with RSV2, Ping, in one piece: the first back, then failed with 1002, no Pong", play: behind(2)},
		{id: "3.3", does: "text, text with RSV2 and RSV3, Ping, frame by frame: the first back, then failed with 1002, no Pong", chop: frameWise, play: behind(3)},
		{id: "3.4", does: "text, text with RSV1, Ping, byte by byte: the first back, then failed with 1002, no Pong", chop: 1, play: behind(4)},
		{id: "3.5", does: "binary with RSV1 and RSV3: failed with 1002", play: refused(1002, reserved(5, opBin, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))},
		{id: "3.6", does: "Ping with RSV1 and RSV2: failed with 1002, no Pong", play: refused(1002, reserved(6, opPing, hello))},
		{id: "3.7", does: "Close with all three: failed with 1002", play: refused(1002, frame{true, 7, opClose, closing(1000, "").payload})},
	}
}

// opcodeRows are those of five reserved opcodes, from op on.
func opcodeRows(id string, op byte) (rows []row) {
	text, ping := whole(opText, hello), whole(opPing, "")
	for i := range byte(5) {
		bad, with := whole(op+i, ""), ""
		if i%2 == 1 || i == 4 {
			bad, with = whole(op+i, hello), " and payload"
		}
		r := row{id: fmt.Sprintf("%s.%d", id, i+1)}
		if i < 2 {
			r.does = fmt.Sprintf("frame with opcode %d%s: failed with 1002", op+i, with)
			r.play = refused(1002, bad)
		} else {
			r.does = fmt.Sprintf("text, then a frame with opcode %d%s, then a Ping: the text back, then failed with 1002, no Pong", op+i, with)
			r.play = echoedThenRefused(1002, text, bad, ping)
		}
		if i == 4 {
			r.chop = 1
			r.does = "byte by byte: " + r.does
		}
		rows = append(rows, r)
	}
	return rows
}

func fragmentRows() (rows []row) {
	const one, two, three, four = "fragment1", "fragment2", "fragment3", "fragment4"
	add := func(id, does string, play func(*rawPeer)) {
		rows = append(rows, row{id: id, does: does, play: play})
	}
	// chopped adds rows that differ in how the frames are sent.
	chopped := func(no int, does string, play func(*rawPeer)) {
		for i, how := range []struct {
			chop int
			name string
		}{{0, "in one piece"}, {frameWise, "frame by frame"}, {1, "byte by byte"}} {
			rows = append(rows, row{id: fmt.Sprintf("5.%d", no+i), does: how.name + ": " + does, chop: how.chop, play: play})
		}
	}
	add("5.1", "Ping in two fragments: failed with 1002", refused(1002, first(opPing, one), last(two)))
	add("5.2", "Pong in two fragments: failed with 1002", refused(1002, first(opPong, one), last(two)))
	chopped(3, "text in two fragments", echoed(first(opText, one), last(two)))
	chopped(6, "text in two fragments with a Ping between them: the Pong, then the text", func(p *rawPeer) {
		p.send(first(opText, one), whole(opPing, "ping payload"), last(two))
		p.wantPong("ping payload")
		p.wantMessage(opText, []byte(one+two))
		p.clean()
	})
	const stray = "non-continuation payload"
	chopped(9, "last fragment of no message, then text: failed with 1002", refused(1002, last(stray), whole(opText, hello)))
	chopped(12, "fragment of no message, then text: failed with 1002", refused(1002, more(stray), whole(opText, hello)))
	add("5.15", "text in two fragments, then a fragment of no message, then text, in one piece: the first back, then failed with 1002", func(p *rawPeer) {
		p.send(first(opText, one), last(two), more(three), whole(opText, four))
		p.wantMessage(opText, []byte(one+two))
		p.failed(1002)
	})
	twice := func(stray frame) func(*rawPeer) {
		frames := []frame{stray, first(opText, two), last(three)}
		return refused(1002, append(frames, frames...)...)
	}
	add("5.16", "twice a fragment of no message and text in two fragments: failed with 1002", twice(more(one)))
	add("5.17", "twice a last fragment of no message and text in two fragments: failed with 1002", twice(last(one)))
	add("5.18", "text in two fragments of which both are begun as text: failed with 1002", refused(1002, first(opText, one), whole(opText, two)))
	pinged := func(p *rawPeer) {
		p.send(first(opText, one), more(two), whole(opPing, "ping 1"))
		p.wantPong("ping 1") // before anything else is sent
		p.wantQuiet()
		p.send(more(three), more(four), whole(opPing, "ping 2"), last("fragment5"))
		p.wantPong("ping 2")
		p.wantMessage(opText, []byte(one+two+three+four+"fragment5"))
		p.clean()
	}
	const does = "text in five fragments, a Ping behind the second and, after a while, one behind the fourth: the first Pong at once, the second, the text"
	add("5.19", does, pinged)
	rows = append(rows, row{id: "5.20", does: "frame by frame: " + does, chop: frameWise, play: pinged})
	return rows
}
