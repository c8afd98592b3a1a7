package interop_test

import (
	"compress/flate"
	"fmt"
	"slices"

	"github.com/bodokaiser/walve"
)

// Sections 12 and 13: messages compressed by permessage-deflate, of several
// kinds and by several agreements.

func deflateSections() []section {
	return slices.Concat(kindSections(), agreementSections())
}

// everyMessage is walve's option in these rows: it leaves none out for being
// short.
var everyMessage = &walve.Compression{Threshold: -1}

const (
	deflateOffer = "permessage-deflate; client_max_window_bits"
	walveOffer   = "walve.half-close, " + deflateOffer

	// suiteOffer is the testsuite's as client.
	suiteOffer = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
)

var suiteDefault = &negotiation{
	walve:    everyMessage,
	asServer: terms{suiteOffer, "permessage-deflate; client_no_context_takeover"},
	asClient: terms{walveOffer, "permessage-deflate"},
}

func kindSections() (secs []section) {
	for i, d := range datasets {
		kind := "binary"
		if d.op == opText {
			kind = "text"
		}
		id := fmt.Sprintf("12.%d", i+1)
		secs = append(secs, section{fmt.Sprintf("%s Compressed messages: %s of %s", id, kind, d.name), deflateRows(id, d, suiteDefault)})
	}
	return secs
}

// agreementSections has the agreements of section 13. As client the raw peer
// asks with its offer, and as server with its answer, for a context that is not
// taken over and a window.
func agreementSections() (secs []section) {
	const (
		answer     = "permessage-deflate"
		noTakeover = "; server_no_context_takeover"
		bits9      = "; server_max_window_bits=9"
		bits15     = "; server_max_window_bits=15"

		hint          = "; client_no_context_takeover" // of suiteOffer
		askNoTakeover = "; client_no_context_takeover"
		ask9, ask15   = "; client_max_window_bits=9", "; client_max_window_bits=15"
	)
	for i, a := range []struct{ what, offer, answer, ask string }{
		{"neither of the parameters", suiteOffer, hint, ""},
		{"no context takeover", suiteOffer + noTakeover, noTakeover + hint, askNoTakeover},
		{"a window of 9 bits", suiteOffer + bits9, hint + bits9, ask9},
		{"a window of 15 bits", suiteOffer + bits15, hint + bits15, ask15},
		{"no context takeover, a window of 9 bits", suiteOffer + noTakeover + bits9, noTakeover + hint + bits9, askNoTakeover + ask9},
		{"no context takeover, a window of 15 bits", suiteOffer + noTakeover + bits15, noTakeover + hint + bits15, askNoTakeover + ask15},
		{"no context takeover and a window of 9 bits, or no context takeover, or neither",
			suiteOffer + noTakeover + bits9 + ", " + suiteOffer + noTakeover + ", " + suiteOffer,
			noTakeover + hint + bits9, askNoTakeover + ask9},
	} {
		n := &negotiation{
			walve:    everyMessage,
			asServer: terms{a.offer, answer + a.answer},
			asClient: terms{walveOffer, answer + a.ask},
		}
		id := fmt.Sprintf("13.%d", i+1)
		secs = append(secs, section{id + " Compressed messages: walve is asked for " + a.what, deflateRows(id, datasets[0], n)})
	}
	return secs
}

// peerLevels are those of the raw peer's compressor. The standard library has
// three kinds of those.
var peerLevels = []int{flate.BestSpeed, 2, 4}

// deflateBytes is how much the rows send at least, so that the window wraps,
// unless that takes too many messages.
const deflateBytes = 2 * fullWindow

func deflateRows(id string, d dataset, n *negotiation) (rows []row) {
	// The testsuite sends 1000 messages in all of its rows. Under the race
	// detector, which has sync.Pool forget every fourth compressor, that takes
	// minutes.
	most := 100
	if id == "12.1" {
		most = 1000
	}
	add := func(size, fragment int) {
		count := min(max(deflateBytes/size, 2), most)
		r := row{
			id: fmt.Sprintf("%s.%d", id, len(rows)+1), big: true, deflate: n,
			does: fmt.Sprintf("%d messages of %d bytes", count, size),
			play: packedTrips(d, size, count, fragment, peerLevels[len(rows)%len(peerLevels)]),
		}
		if fragment > 0 {
			r.does += fmt.Sprintf(", in fragments of %d", fragment)
		}
		rows = append(rows, r)
	}
	for _, size := range []int{16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072} {
		add(size, 0)
	}
	for _, size := range []int{8192, 16384, 32768, 65536, 131072} {
		add(size, 256)
	}
	for _, fragment := range []int{1024, 4096, 32768} {
		add(131072, fragment)
	}
	return rows
}

// packedTrips sends messages compressed at the given level, each when the one
// before is back.
func packedTrips(d dataset, size, count, fragment, level int) func(*rawPeer) {
	return func(p *rawPeer) {
		p.z.level = level
		for i := range count {
			message := d.part(i*size, size)
			p.send(packed(d.op, p.z.compress(message), fragment)...)
			p.wantPacked(d.op, message, d.dense || size < 256)
		}
		p.clean()
	}
}
