package interop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A difference is a thing that walve and another library do not do alike.
type difference struct {
	what          string
	sent          []byte // by a client behind the opening handshake
	walve         string // what each answers, see answer
	gorilla, xnet string // empty: not asked, it waits for the payload
	word          string // who says so
}

const (
	echoes = "echoes it"
	ends   = "ends without a Close frame"
	noCode = "closes without a code"
	fails  = "closes with "
	rfc    = "RFC 6455, "
)

var differences = []difference{
	{
		what:  "close code 1014",
		sent:  sentBytes(closing(1014, "")),
		walve: fails + "1014", gorilla: fails + "1002", xnet: fails + "1000",
		word: `IANA, WebSocket Close Code Number Registry: "1014 Bad Gateway"`,
	},
	{
		what:  "text that is not UTF-8",
		sent:  sentBytes(whole(opText, "\xff")),
		walve: fails + "1007", gorilla: echoes, xnet: echoes,
		word: rfc + `8.1: "that endpoint MUST _Fail the WebSocket Connection_"`,
	},
	{
		what:  "close reason that is not UTF-8",
		sent:  sentBytes(closing(1000, "\xff")),
		walve: fails + "1007", gorilla: fails + "1002", xnet: fails + "1000",
		word: rfc + `7.4.1: 1007 is for "data within a message that was not consistent with the type of the message (e.g., non-UTF-8 [RFC3629] data within a text message)"`,
	},
	{
		what:  "close payload of one byte",
		sent:  sentBytes(whole(opClose, "\x03")),
		walve: fails + "1002", gorilla: noCode, xnet: fails + "1000",
		word: rfc + `5.5.1: "the first two bytes of the body MUST be a 2-byte unsigned integer"`,
	},
	{
		what:  "length of 5 in two bytes",
		sent:  []byte{0x82, 0xFE, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5},
		walve: fails + "1002", gorilla: echoes, xnet: echoes,
		word: rfc + `5.2: "in all cases, the minimal number of bytes MUST be used to encode the length"`,
	},
	{
		what:  "length of 300 in eight bytes",
		sent:  append([]byte{0x82, 0xFF, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0}, make([]byte, 300)...),
		walve: fails + "1002", gorilla: echoes, xnet: echoes,
		word: rfc + `5.2, as before`,
	},
	{
		what:  "length with the most significant bit set",
		sent:  []byte{0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1},
		walve: fails + "1002", gorilla: ends, xnet: "",
		word: rfc + `5.2: "the most significant bit MUST be 0"`,
	},
	{
		what:  "Close frame inside a fragmented message",
		sent:  sentBytes(first(opText, "a"), closing(1000, "")),
		walve: fails + "1000", gorilla: fails + "1000", xnet: echoes,
		word: rfc + `5.4: x/net takes the fragment for a message`,
	},
}

func sentBytes(frames ...frame) (b []byte) {
	for _, f := range frames {
		b = f.append(b, true)
	}
	return b
}

// TestDifferences holds each library to what the list says of it, so that the
// list cannot grow old.
func TestDifferences(t *testing.T) {
	for _, d := range differences {
		t.Run(strings.ReplaceAll(d.what, " ", "_"), func(t *testing.T) {
			for _, lib := range []struct {
				library
				want string
			}{
				{handshake{}.walve(), d.walve},
				{handshake{}.gorilla(), d.gorilla},
				{xnetLibrary, d.xnet},
			} {
				if lib.want == "" {
					continue
				}
				if got := answer(t, lib.library, d.sent); got != lib.want {
					t.Errorf("%s %s, not %s (%s)", lib.name, got, lib.want, d.word)
				}
			}
		})
	}
}

// answer says what an echo answers first to what a raw client sends.
func answer(t *testing.T, lib library, sent []byte) string {
	t.Helper()
	client, server := memory(t)
	defer serve(server, http.HandlerFunc(lib.echo))()
	defer client.Close()
	client.SetDeadline(time.Now().Add(limit))
	p := &rawPeer{conn: client}
	if err := p.shakeHands(); err != nil {
		t.Fatal(err)
	}
	p.write(sent)
	f, err := p.readFrame()
	switch {
	case errors.Is(err, io.EOF):
		return ends
	case err != nil:
		return err.Error()
	case f.op != opClose:
		return echoes
	case len(f.payload) < 2:
		return noCode
	}
	return fmt.Sprint(fails, int(f.payload[0])<<8|int(f.payload[1]))
}

// TestXnetFragments shows the difference that no single answer shows: x/net
// gives every fragment as a message.
func TestXnetFragments(t *testing.T) {
	w, x := connect(t, memory, handshake{}.walve().dial, upgradeXnet)
	defer x.Close()
	defer w.Close()
	x.SetDeadline(time.Now().Add(limit))
	message := bytes.Repeat([]byte("x"), 600<<10) // more than a frame of walve's
	go w.write(opBin, message)
	frames := 0
	for n := 0; n < len(message); frames++ {
		_, p, err := x.read()
		if err != nil {
			t.Fatal(err)
		}
		n += len(p)
	}
	if frames < 2 {
		t.Errorf("x/net puts fragments together now: %d message", frames)
	}
}
