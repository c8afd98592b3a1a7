package interop_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"

	"github.com/bodokaiser/walve"
)

// Compression where the testsuite does not look.

// ownDefault is what two ends agree on of which neither asks for anything.
var ownDefault = agreed("", "")

// agreed has a client's parameters, as offered to walve and as answered to
// it, and a server's.
func agreed(client, server string) *negotiation {
	offer := deflateOffer
	if client != "" {
		offer = strings.Replace(offer, "; client_max_window_bits", client, 1)
	}
	return &negotiation{
		walve:    everyMessage,
		asServer: terms{offer + server, "permessage-deflate" + server + client},
		asClient: terms{walveOffer, "permessage-deflate" + server + client},
	}
}

func ownDeflateSections() []section {
	return []section{
		{"D.1 Compressed messages, in all forms", ownRows("D.1", ownDefault, formRows())},
		{"D.2 Windows", ownRows("D.2", nil, windowRows())},
		{"D.3 RSV1 where it must not be", ownRows("D.3", ownDefault, rsv1Rows())},
		{"D.4 Payloads that cannot be inflated", ownRows("D.4", ownDefault, corruptRows())},
		{"D.5 Messages that get too big", ownRows("D.5", ownDefault, bombRows())},
		{"D.6 Offers to decline and answers to refuse", ownRows("D.6", nil, declinedRows())},
	}
}

// ownRows numbers rows, whose negotiation is n unless they have another.
func ownRows(id string, n *negotiation, rows []row) []row {
	for i := range rows {
		rows[i].id = fmt.Sprintf("%s.%d", id, i+1)
		if rows[i].deflate == nil {
			rows[i].deflate = n
		}
	}
	return rows
}

const (
	packedHello  = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692, 7.2.3.1
	packedAgain  = "\xf2\x00\x11\x00\x00"         // 7.2.3.2: all of it from the window
	packedStored = "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"
	packedFinal  = "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
	packedBlocks = "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
)

// inflated sends payloads, each as one compressed message, and wants text back
// for every one.
func inflated(text string, payloads ...string) func(*rawPeer) {
	return func(p *rawPeer) {
		for _, payload := range payloads {
			p.send(packed(opText, []byte(payload), 0)...)
			p.wantPacked(opText, []byte(text), true)
		}
		p.clean()
	}
}

func formRows() []row {
	d := datasets[0]
	return []row{
		{does: "RFC 7692, 7.2.3.1: one block", play: inflated("Hello", packedHello)},
		{does: "7.2.3.2: the second and the third message are in the window of the first", play: inflated("Hello", packedHello, packedAgain, packedAgain)},
		{does: "7.2.3.3: a block that is stored", play: inflated("Hello", packedStored)},
		{does: "7.2.3.4: a block with BFINAL, and another message", play: inflated("Hello", packedFinal, packedAgain)},
		{does: "7.2.3.5: two blocks", play: inflated("Hello", packedBlocks)},
		{does: "7.2.3.6: an empty message, twice", play: inflated("", "\x00", "\x00")},
		{does: "stored blocks of 65535 bytes", play: func(p *rawPeer) {
			p.z.level = flate.NoCompression
			p.trip(d, 0, 150000, 0)
			p.trip(d, 150000, 150000, 1000)
			p.clean()
		}},
		{does: "50 messages of 1 KiB, every third as it is: compressed, that leaves no trace in the window", play: func(p *rawPeer) {
			for i := range 50 {
				message := d.part(i*1024, 1024)
				if i%3 == 2 {
					p.send(whole(opText, string(message)))
					p.wantPacked(opText, message, false)
				} else {
					p.trip(d, i*1024, 1024, 0)
				}
			}
			p.clean()
		}},
		{does: "each byte of the payload in a frame, a Ping behind each: a Pong for each, then the message", play: func(p *rawPeer) {
			message := d.part(0, 500)
			frames := packed(opText, p.z.compress(message), 1)
			for _, f := range frames {
				p.send(f, whole(opPing, "!"))
				if !f.fin {
					p.wantPong("!")
				}
			}
			p.wantPacked(opText, message, false)
			p.wantPong("!")
			p.clean()
		}},
		{does: "compressed messages byte by byte", chop: 1, play: func(p *rawPeer) {
			p.trip(d, 0, 2000, 0)
			p.trip(d, 2000, 2000, 100)
			p.clean()
		}},
		{does: "the first frame, which has RSV1, one within and the last are empty", play: func(p *rawPeer) {
			p.send(frame{rsv: rsv1, op: opText}, more(packedHello[:3]), more(""), more(packedHello[3:]), last(""))
			p.wantPacked(opText, []byte("Hello"), true)
			p.clean()
		}},
		{does: "messages of 255 and 256 bytes: the second alone comes compressed, the Threshold being 256", deflate: &negotiation{
			walve: &walve.Compression{}, asServer: ownDefault.asServer, asClient: ownDefault.asClient,
		}, play: func(p *rawPeer) {
			p.send(packed(opText, p.z.compress(d.part(0, 255)), 0)...)
			p.wantMessage(opText, d.part(0, 255))
			p.trip(d, 300, 256, 0)
			p.clean()
		}},
	}
}

// trip sends the part of d and wants it back, both compressed.
func (p *rawPeer) trip(d dataset, at, size, fragment int) {
	message := d.part(at, size)
	p.send(packed(d.op, p.z.compress(message), fragment)...)
	p.wantPacked(d.op, message, false)
}

func windowRows() (rows []row) {
	d := datasets[0]
	for bits := 8; bits <= 15; bits++ {
		n := agreed(fmt.Sprint("; client_max_window_bits=", bits), fmt.Sprint("; server_max_window_bits=", bits))
		rows = append(rows, row{
			does: fmt.Sprintf("both windows are of %d bits, both taken over: no distance is longer, in any of 12 messages", bits), deflate: n,
			play: func(p *rawPeer) {
				for i := range 12 {
					p.trip(d, i*1500, 400+i*97, 100*(i%3))
				}
				p.clean()
			},
		})
	}
	for bits := 8; bits < 15; bits++ {
		n := agreed(fmt.Sprint("; client_max_window_bits=", bits), fmt.Sprint("; server_max_window_bits=", bits))
		rows = append(rows, row{
			does: fmt.Sprintf("windows of %d bits: a distance of just that, the message back, then one longer by one: failed with 1007", bits), deflate: n,
			play: func(p *rawPeer) {
				p.z.pack.window = fullWindow // more than is allowed
				const start = "once upon a time"
				for beyond := range 2 {
					message := append([]byte(start), filler(1<<bits-len(start)+beyond)...)
					message = append(message, start...)
					p.z.w = nil
					p.send(packed(opBin, p.z.compress(message), 0)...)
					if beyond == 0 {
						p.wantPacked(opBin, message, true)
					}
				}
				p.failed(1007)
			},
		})
	}
	return rows
}

// filler returns n bytes in which no text occurs, and that get smaller.
func filler(n int) []byte {
	b := bytes.Clone(binaryPayload()[:n])
	for i := range b {
		b[i] &= 0xf
	}
	return b
}

func rsv1Rows() []row {
	cut := func(op byte) (frame, frame) {
		return frame{rsv: rsv1, op: op, payload: []byte(packedHello[:3])}, last(packedHello[3:])
	}
	one, two := cut(opText)
	two.rsv = rsv1
	hello := frame{true, rsv1, opText, []byte(packedHello)}
	offered := &negotiation{walve: everyMessage, asClient: terms{offer: walveOffer}}
	return []row{
		{does: "in a continuation: failed with 1002", play: refused(1002, one, two)},
		{does: "in a continuation of a message that is not compressed: failed with 1002", play: refused(1002, first(opText, "Hel"), frame{true, rsv1, opCont, []byte("lo")})},
		{does: "in a Ping: failed with 1002, no Pong", play: refused(1002, reserved(rsv1, opPing, ""))},
		{does: "in a Pong: failed with 1002", play: refused(1002, reserved(rsv1, opPong, ""))},
		{does: "in a Close frame: failed with 1002", play: refused(1002, frame{true, rsv1, opClose, closing(1000, "").payload})},
		{does: "in a Ping within a compressed message: failed with 1002, no Pong", play: refused(1002, one, reserved(rsv1, opPing, ""))},
		{does: "along with RSV2: failed with 1002", play: refused(1002, frame{true, 6, opText, []byte(packedHello)})},
		{does: "along with RSV3: failed with 1002", play: refused(1002, frame{true, 5, opText, []byte(packedHello)})},
		{does: "RSV2 alone: failed with 1002", play: refused(1002, frame{true, 2, opText, []byte("Hello")})},
		{does: "the other end does not compress: failed with 1002", deflate: offered, play: refused(1002, hello)},
		{does: "walve does not compress, though it was offered to it: failed with 1002", deflate: &negotiation{
			asServer: terms{offer: deflateOffer}, asClient: terms{offer: "walve.half-close"},
		}, play: refused(1002, hello)},
	}
}

func corruptRows() []row {
	hello := frame{true, rsv1, opText, []byte(packedHello)}
	fails := func(does, payload string) row {
		return row{does: does + ": failed with 1007", play: refused(1007, frame{true, rsv1, opBin, []byte(payload)})}
	}
	noTakeover := agreed("; client_no_context_takeover", "; server_no_context_takeover")
	return []row{
		fails("no payload", ""),
		fails("text as it is", "Hello"),
		fails("a type of block that there is not", "\x06"),
		fails("a stored block whose lengths differ", "\x00\x05\x00\xfa\xfeHello\x00"),
		fails("a stored block that ends too early", "\x00\x05\x00\xfa\xffHel"),
		fails("a block that ends too early", packedHello[:4]),
		fails("a distance that begins before the first message", packedAgain),
		fails("codes for more distances than there are", "\x04\xfe\xff\xff"),
		{does: "Hello, then what is not to be inflated, then a Ping: Hello back, then failed with 1007, no Pong", play: func(p *rawPeer) {
			p.send(hello, frame{true, rsv1, opText, []byte("\x06")}, whole(opPing, ""))
			p.wantPacked(opText, []byte("Hello"), true)
			p.failed(1007)
		}},
		{does: "a first fragment that is not to be inflated: failed with 1007 without the second", play: refused(1007, frame{rsv: rsv1, op: opText, payload: []byte("\x06")})},
		{does: "without takeover, a message that is in the window of the one before: Hello back, then failed with 1007", deflate: noTakeover, play: func(p *rawPeer) {
			p.send(hello, frame{true, rsv1, opText, []byte(packedAgain)})
			p.wantPacked(opText, []byte("Hello"), true)
			p.failed(1007)
		}},
		{does: "text that is not UTF-8 once it is inflated: failed with 1007", play: func(p *rawPeer) {
			p.send(packed(opText, p.z.compress([]byte("caf\xe9 au lait")), 0)...)
			p.failed(1007)
		}},
		{does: "text that is not UTF-8 in the first of two fragments: failed with 1007 without the second", play: func(p *rawPeer) {
			p.send(frame{rsv: rsv1, op: opText, payload: p.z.compress([]byte("caf\xe9 au lait"))})
			p.failed(1007)
		}},
		{does: "text that ends within a character: failed with 1007", play: func(p *rawPeer) {
			p.send(packed(opText, p.z.compress([]byte("caf\xc3")), 0)...)
			p.failed(1007)
		}},
	}
}

// bombRows have messages of about 16 MiB, which is MaxMessageSize's default.
func bombRows() []row {
	bomb := func(p *rawPeer, n int) ([]byte, []byte) {
		message := make([]byte, n)
		p.z.level = flate.BestSpeed
		return message, p.z.compress(message)
	}
	return []row{
		{does: "zeros, 16 MiB in 16 KiB of payload", big: true, play: func(p *rawPeer) {
			message, payload := bomb(p, maxPayload)
			p.send(packed(opBin, payload, 0)...)
			p.wantPacked(opBin, message, false)
			p.clean()
		}},
		{does: "one byte more: failed with 1009", big: true, play: func(p *rawPeer) {
			_, payload := bomb(p, maxPayload+1)
			p.send(packed(opBin, payload, 0)...)
			p.failed(1009)
		}},
		{does: "one byte more, and never the last fragment: failed with 1009", big: true, play: func(p *rawPeer) {
			_, payload := bomb(p, maxPayload+4*mib)
			frames := packed(opBin, payload, 1000)
			p.send(frames[:len(frames)-1]...)
			p.failed(1009)
		}},
	}
}

// declinedRows have parameters that RFC 7692, 7, forbids, in the client's offer
// and in the server's answer.
func declinedRows() (rows []row) {
	// Each end is held to the same: as server walve goes on without compression,
	// as client it refuses the answer.
	either := func(does string, n *negotiation) {
		rows = append(rows, row{
			does: does + ": as server walve agrees on no compression, as client it fails the handshake", deflate: n,
			play: func(p *rawPeer) {
				if p.server {
					p.refusesAnswer()
					return
				}
				echoed(whole(opText, strings.Repeat(hello, 100)))(p)
			},
		})
	}
	for _, params := range []string{
		"unknown", "unknown=1", "Server_No_Context_Takeover",
		"server_no_context_takeover=1", "client_no_context_takeover=true",
		"server_no_context_takeover; server_no_context_takeover", "client_no_context_takeover; client_no_context_takeover",
		"server_max_window_bits", "server_max_window_bits=7", "server_max_window_bits=16", "server_max_window_bits=010",
		"server_max_window_bits=+9", "server_max_window_bits=9x", "server_max_window_bits=10; server_max_window_bits=10",
		"client_max_window_bits=7", "client_max_window_bits=16", "client_max_window_bits=09", "client_max_window_bits=0x9",
		"client_max_window_bits=10; client_max_window_bits=10",
	} {
		wrong := "permessage-deflate; " + params
		either(params, &negotiation{walve: everyMessage, asServer: terms{offer: wrong}, asClient: terms{walveOffer, wrong}})
	}
	either("what walve was not told to use", &negotiation{asServer: terms{offer: deflateOffer}, asClient: terms{"walve.half-close", "permessage-deflate"}})
	either("another extension", &negotiation{walve: everyMessage, asServer: terms{offer: "x-webkit-deflate-frame"}, asClient: terms{walveOffer, "x-webkit-deflate-frame"}})
	return append(rows,
		row{
			does:    "as server: the third of three offers is the first that is valid, and agreed on; as client: two answers, which fail the handshake",
			deflate: &negotiation{everyMessage, terms{"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=16, " + deflateOffer + ", permessage-deflate; server_max_window_bits=9", "permessage-deflate"}, terms{walveOffer, "permessage-deflate, permessage-deflate"}},
			play:    declinedOr(true),
		},
		row{
			does:    "walve wants no takeover: as server it says so, as client it refuses an answer that does not",
			deflate: &negotiation{&walve.Compression{Threshold: -1, NoReceiveTakeover: true}, terms{deflateOffer, "permessage-deflate; client_no_context_takeover"}, terms{"walve.half-close, permessage-deflate; server_no_context_takeover; client_max_window_bits", "permessage-deflate"}},
			play:    declinedOr(true),
		},
		row{
			does:    "client_max_window_bits without a value: all right in an offer, in an answer it fails the handshake",
			deflate: &negotiation{everyMessage, terms{deflateOffer, "permessage-deflate"}, terms{walveOffer, deflateOffer}},
			play:    declinedOr(true),
		},
		row{
			does:    "values in quotes, as RFC 7692, 7, and RFC 6455, 9.1, allow: agreed on",
			deflate: &negotiation{everyMessage, terms{`permessage-deflate; server_max_window_bits="10"`, "permessage-deflate; server_max_window_bits=10"}, terms{walveOffer, `permessage-deflate;client_max_window_bits="10"`}},
			play:    declinedOr(false),
		},
	)
}

// declinedOr plays a handshake that ends well, but not with walve as client if
// refused says so.
func declinedOr(refused bool) func(*rawPeer) {
	return func(p *rawPeer) {
		if p.server && refused {
			p.refusesAnswer()
			return
		}
		for i := range 5 {
			p.trip(datasets[0], i*2000, 2000, 0)
		}
		p.clean()
	}
}
