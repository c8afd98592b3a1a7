package walve_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bodokaiser/walve"
)

// both is what is agreed on if nobody asks for anything.
var both = walve.Deflate{SendBits: 15, ReceiveBits: 15, SendTakeover: true, ReceiveTakeover: true}

func agreed(change func(*walve.Deflate)) *walve.Deflate {
	d := both
	if change != nil {
		change(&d)
	}
	return &d
}

func checkDeflate(t *testing.T, got, want *walve.Deflate) {
	t.Helper()
	if (got == nil) != (want == nil) || got != nil && *got != *want {
		t.Errorf("agreed on %+v, want %+v", got, want)
	}
}

func TestAcceptDeflate(t *testing.T) {
	none := &walve.Compression{NoSendTakeover: true, NoReceiveTakeover: true}
	for _, tt := range []struct {
		name   string
		c      *walve.Compression
		offer  string // header lines, with | between them
		answer string
		want   *walve.Deflate
	}{
		{"off", nil, "permessage-deflate", "", nil},
		{"nothing offered", &walve.Compression{}, "", "", nil},
		{"something else offered", &walve.Compression{}, "permessage-bzip2, x-webkit-deflate-frame, Permessage-Deflate-2", "", nil},
		{"plain", &walve.Compression{}, "permessage-deflate", "permessage-deflate", agreed(nil)},
		{"as browsers do", &walve.Compression{}, "permessage-deflate; client_max_window_bits", "permessage-deflate", agreed(nil)},
		{"server without takeover", &walve.Compression{}, "permessage-deflate; server_no_context_takeover",
			"permessage-deflate; server_no_context_takeover", agreed(func(d *walve.Deflate) { d.SendTakeover = false })},
		{"client without takeover", &walve.Compression{}, "permessage-deflate; client_no_context_takeover",
			"permessage-deflate; client_no_context_takeover", agreed(func(d *walve.Deflate) { d.ReceiveTakeover = false })},
		{"neither wanted here", none, "permessage-deflate",
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
			agreed(func(d *walve.Deflate) { d.SendTakeover, d.ReceiveTakeover = false, false })},
		{"neither wanted by anybody", none, "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
			agreed(func(d *walve.Deflate) { d.SendTakeover, d.ReceiveTakeover = false, false })},
		{"client's window", &walve.Compression{}, "permessage-deflate; client_max_window_bits=10",
			"permessage-deflate; client_max_window_bits=10", agreed(func(d *walve.Deflate) { d.ReceiveBits = 10 })},
		{"both windows", &walve.Compression{}, `permessage-deflate; server_max_window_bits="9" ;client_max_window_bits= 8`,
			"permessage-deflate; server_max_window_bits=9; client_max_window_bits=8",
			agreed(func(d *walve.Deflate) { d.SendBits, d.ReceiveBits = 9, 8 })},
		{"all four", &walve.Compression{}, "permessage-deflate; client_max_window_bits; server_max_window_bits=12; client_no_context_takeover; server_no_context_takeover",
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
			&walve.Deflate{SendBits: 12, ReceiveBits: 15}},

		{"the first of several", &walve.Compression{}, "foo, permessage-deflate; server_max_window_bits=10, permessage-deflate",
			"permessage-deflate; server_max_window_bits=10", agreed(func(d *walve.Deflate) { d.SendBits = 10 })},
		{"the first that is valid", &walve.Compression{}, "permessage-deflate; server_max_window_bits=16|permessage-deflate; client_max_window_bits=7, permessage-deflate; server_no_context_takeover, permessage-deflate",
			"permessage-deflate; server_no_context_takeover", agreed(func(d *walve.Deflate) { d.SendTakeover = false })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, got := walve.AcceptDeflate(tt.c, strings.Split(tt.offer, "|")...)
			if answer != tt.answer {
				t.Errorf("answered %q, want %q", answer, tt.answer)
			}
			checkDeflate(t, got, tt.want)
		})
	}
}

// TestWindowBits: every window there is can be agreed on, and no other.
func TestWindowBits(t *testing.T) {
	for bits := range 20 {
		valid := bits >= 8 && bits <= 15
		_, server := walve.AcceptDeflate(&walve.Compression{}, fmt.Sprintf("permessage-deflate; server_max_window_bits=%d", bits))
		client := walve.ConfirmDeflate(&walve.Compression{}, fmt.Sprintf("permessage-deflate; client_max_window_bits=%d", bits))
		if !valid {
			checkDeflate(t, server, nil)
			checkDeflate(t, client, nil)
			continue
		}
		want := agreed(func(d *walve.Deflate) { d.SendBits = bits })
		checkDeflate(t, server, want)
		checkDeflate(t, client, want)
	}
}

// TestDeclinedDeflate has parameters that are not valid: RFC 7692, 7. A server
// declines the offer, a client fails the handshake.
func TestDeclinedDeflate(t *testing.T) {
	for _, params := range []string{
		"foo", "foo=1", "server_no_context_takeove", "Server_No_Context_Takeover",
		"server_no_context_takeover=1", `client_no_context_takeover="x"`,
		"server_max_window_bits", "server_max_window_bits=x", "server_max_window_bits=08", "server_max_window_bits=+8",
		"server_max_window_bits=8.0", "server_max_window_bits=0x8", "server_max_window_bits=-8", "server_max_window_bits=99999999999999999999",
		"client_max_window_bits=7", "client_max_window_bits=16", "client_max_window_bits=015", "client_max_window_bits=1e1",
		"server_no_context_takeover; server_no_context_takeover",
		"client_no_context_takeover; foo; client_no_context_takeover",
		"server_max_window_bits=10; server_max_window_bits=10",
		"client_max_window_bits; client_max_window_bits=15",
	} {
		t.Run(params, func(t *testing.T) {
			c := &walve.Compression{}
			answer, got := walve.AcceptDeflate(c, "permessage-deflate; "+params)
			if answer != "" || got != nil {
				t.Errorf("accepted by %q", answer)
			}
			if answer, _ := walve.AcceptDeflate(c, "permessage-deflate; "+params+", permessage-deflate"); answer != "permessage-deflate" {
				t.Errorf("the offer behind it is answered by %q", answer)
			}
			checkDeflate(t, walve.ConfirmDeflate(c, "permessage-deflate; "+params), nil)
		})
	}
}

func TestOfferDeflate(t *testing.T) {
	for _, tt := range []struct {
		c    walve.Compression
		want string
	}{
		{walve.Compression{}, "permessage-deflate; client_max_window_bits"},
		{walve.Compression{NoReceiveTakeover: true}, "permessage-deflate; server_no_context_takeover; client_max_window_bits"},
		{walve.Compression{NoSendTakeover: true}, "permessage-deflate; client_no_context_takeover; client_max_window_bits"},
		{walve.Compression{NoSendTakeover: true, NoReceiveTakeover: true}, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"},
	} {
		if got := walve.OfferDeflate(&tt.c); got != tt.want {
			t.Errorf("%+v offers %q, want %q", tt.c, got, tt.want)
		}
	}
}

func TestConfirmDeflate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      walve.Compression
		answer string
		want   *walve.Deflate
	}{
		{"plain", walve.Compression{}, "permessage-deflate", agreed(nil)},
		{"another extension", walve.Compression{}, "permessage-bzip2", nil},
		{"windows", walve.Compression{}, "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10",
			agreed(func(d *walve.Deflate) { d.SendBits, d.ReceiveBits = 9, 10 })},
		{"a window without a value", walve.Compression{}, "permessage-deflate; client_max_window_bits", nil},
		{"no takeover, unasked", walve.Compression{}, "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
			&walve.Deflate{SendBits: 15, ReceiveBits: 15}},
		{"no takeover, asked", walve.Compression{NoReceiveTakeover: true}, "permessage-deflate; server_no_context_takeover",
			agreed(func(d *walve.Deflate) { d.ReceiveTakeover = false })},
		{"no takeover, asked in vain", walve.Compression{NoReceiveTakeover: true}, "permessage-deflate; client_no_context_takeover", nil},
		{"a hint, not taken up", walve.Compression{NoSendTakeover: true}, "permessage-deflate",
			agreed(func(d *walve.Deflate) { d.SendTakeover = false })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkDeflate(t, walve.ConfirmDeflate(&tt.c, tt.answer), tt.want)
		})
	}
}

// TestDeflateBothEnds: the two ends come to the same, whatever they want.
func TestDeflateBothEnds(t *testing.T) {
	for i := range 16 {
		client := &walve.Compression{NoSendTakeover: i&1 != 0, NoReceiveTakeover: i&2 != 0}
		server := &walve.Compression{NoSendTakeover: i&4 != 0, NoReceiveTakeover: i&8 != 0}
		answer, s := walve.AcceptDeflate(server, walve.OfferDeflate(client))
		c := walve.ConfirmDeflate(client, answer)
		if s == nil || c == nil {
			t.Fatalf("%+v and %+v do not agree: %q", client, server, answer)
		}
		checkDeflate(t, c, &walve.Deflate{
			SendBits: s.ReceiveBits, SendTakeover: s.ReceiveTakeover,
			ReceiveBits: s.SendBits, ReceiveTakeover: s.SendTakeover,
		})
	}
}

func TestCompressionZeroValues(t *testing.T) {
	for _, tt := range []struct {
		c                walve.Compression
		level, threshold int
	}{
		{walve.Compression{}, 1, 256},
		{walve.Compression{Level: 9, Threshold: 1000}, 9, 1000},
		{walve.Compression{Level: -2, Threshold: -1}, 1, 0},
		{walve.Compression{Level: 10}, 9, 256},
	} {
		if level, threshold := walve.CompressionChoices(&tt.c); level != tt.level || threshold != tt.threshold {
			t.Errorf("%+v: level %d, threshold %d", tt.c, level, threshold)
		}
	}
}
