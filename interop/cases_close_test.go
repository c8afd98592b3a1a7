package interop_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/bodokaiser/walve"
)

// Section 7: the closing handshake.

func closeSections() []section {
	return []section{
		{"7.1 Closing", closingRows()},
		{"7.3 Payloads of a Close frame", closePayloadRows()},
		{"7.5 A close reason that is not text", []row{{
			id: "7.5.1", does: "Close with a reason that is not UTF-8: failed with 1007",
			play: refused(1007, closing(1000, greek+"\xed\xa0\x80edited")),
		}}},
		{"7.7 Close codes that may be sent", acceptedCodeRows()},
		{"7.9 Close codes that may not be sent", refusedCodeRows()},
		{"7.13 Close codes beyond the registry", []row{beyondRow("7.13.1", 5000), beyondRow("7.13.2", 65535)}},
	}
}

// answered sends a Close frame, and what it says comes back.
func answered(code int, reason string) func(*rawPeer) {
	return func(p *rawPeer) {
		p.send(closing(code, reason))
		p.wantClose(code)
		if code == 1000 {
			p.closed(io.EOF)
		} else {
			p.closed(&walve.CloseError{Code: walve.StatusCode(code), Reason: reason})
		}
	}
}

func closingRows() []row {
	// trailed sends frames behind a Close frame, which nobody may answer.
	trailed := func(frames ...frame) func(*rawPeer) {
		return func(p *rawPeer) {
			p.send(append([]frame{closing(1000, "")}, frames...)...)
			p.wantClose(1000)
			p.closed(io.EOF)
		}
	}
	const size = 256 << 10
	return []row{
		{id: "7.1.1", does: "text, then Close: the text, then Close 1000", play: echoed(whole(opText, hello))},
		{id: "7.1.2", does: "Close twice: one Close 1000", play: trailed(closing(1000, ""))},
		{id: "7.1.3", does: "Close, then a Ping: Close 1000, no Pong", play: trailed(whole(opPing, ""))},
		{id: "7.1.4", does: "Close, then text: Close 1000, the text does not come back", play: trailed(whole(opText, hello))},
		{
			id: "7.1.5", does: "a first fragment, Close, the last fragment: Close 1000, and walve's end does not take that for the end of the stream",
			play: func(p *rawPeer) {
				p.send(first(opText, "fragment1"), closing(1000, ""), last("fragment2"))
				p.wantClose(1000)
				p.closed(io.ErrUnexpectedEOF)
			},
		},
		{
			id: "7.1.6", does: "text of 256 KiB, text, Close, Ping: both texts, then Close 1000, no Pong",
			play: func(p *rawPeer) {
				p.send(whole(opText, string(textPayload()[:size])), whole(opText, hello), closing(1000, ""), whole(opPing, ""))
				p.wantMessage(opText, textPayload()[:size])
				p.wantMessage(opText, []byte(hello))
				p.wantClose(1000)
				p.closed(io.EOF)
			},
			verdict: "informational", reason: "the testsuite leaves open whether the texts come back; from an echo that reads message by message both do",
		},
	}
}

func closePayloadRows() []row {
	return []row{
		{id: "7.3.1", does: "Close without payload: Close without payload", play: func(p *rawPeer) {
			p.send(whole(opClose, ""))
			p.wantClose(0)
			p.closed(io.EOF)
		}},
		{id: "7.3.2", does: "Close with a payload of 1 byte: failed with 1002", play: refused(1002, whole(opClose, "a"))},
		{id: "7.3.3", does: "Close with a code: Close 1000", play: answered(1000, "")},
		{id: "7.3.4", does: "Close with a code and a reason: Close 1000", play: answered(1000, hello)},
		{id: "7.3.5", does: "Close with a reason of 123 bytes: Close 1000", play: answered(1000, strings.Repeat("*", 123))},
		{id: "7.3.6", does: "Close with a reason of 124 bytes: failed with 1002", play: refused(1002, closing(1000, strings.Repeat("*", 124)))},
	}
}

func acceptedCodeRows() (rows []row) {
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		rows = append(rows, row{
			id: fmt.Sprintf("7.7.%d", i+1), does: fmt.Sprintf("Close %d: Close %[1]d", code),
			play: answered(code, ""),
		})
	}
	return rows
}

// refusedCodeRows are numbered as in the releases of the testsuite with 13 of
// them; later ones have left four out.
func refusedCodeRows() (rows []row) {
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1012, 1013, 1014, 1015, 1016, 1100, 2000, 2999} {
		r := row{
			id: fmt.Sprintf("7.9.%d", i+1), does: fmt.Sprintf("Close %d: failed with 1002", code),
			play: refused(1002, closing(code, "")),
		}
		switch {
		case code >= 1012 && code <= 1014:
			r.does = fmt.Sprintf("Close %d: Close %[1]d", code)
			r.play = answered(code, "")
			r.verdict, r.reason = "differs", "IANA has registered the code since: accepted; later releases of the testsuite have no such case"
		case code == 1015:
			r.reason = "left out by later releases of the testsuite, whose 7.9.6 to 7.9.9 are 7.9.10 to 7.9.13 here"
		}
		rows = append(rows, r)
	}
	return rows
}

func beyondRow(id string, code int) row {
	return row{
		id: id, does: fmt.Sprintf("Close %d: failed with 1002", code), play: refused(1002, closing(code, "")),
		verdict: "informational", reason: "RFC 6455, 7.4.2, knows codes up to 4999 and says nothing of those above",
	}
}
