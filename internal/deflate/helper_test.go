package deflate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"testing"

	"github.com/bodokaiser/walve/internal/deflate"
)

// tail is what RFC 7692, 7.2.1, takes off a message.
var tail = []byte{0x00, 0x00, 0xff, 0xff}

// jsonMessages returns count JSON documents of about size bytes that have their
// keys in common and little else.
func jsonMessages(size, count int) [][]byte {
	rnd := rand.New(rand.NewSource(int64(size)))
	pick := func(list ...string) string { return list[rnd.Intn(len(list))] }
	messages := make([][]byte, count)
	for i := range messages {
		b := fmt.Appendf(nil, `{"id":%d,"events":[`, rnd.Int31())
		for len(b) < size-2 {
			if b[len(b)-1] == '}' {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"user":"%s","action":"%s","amount":%.2f,"session":"%08x","note":"%s %s %s"}`,
				pick("anna", "bertram", "chloe", "dimitri", "elena", "farouk", "greta", "hannes"),
				pick("login", "logout", "purchase", "view", "share", "upload"), rnd.Float64()*1000, rnd.Uint32(),
				pick("order", "parcel", "letter"), pick("shipped", "arrives", "is late"), pick("today", "tomorrow", "in two days"))
		}
		messages[i] = append(b, "]}"...)
	}
	return messages
}

// compress compresses message whole, as Conn would.
func compress(d *deflate.Deflater, message []byte) []byte {
	out := d.Append(nil, message, true)
	d.Commit(message, true)
	return out
}

// inflate inflates a message whose payload comes in pieces of at most in bytes
// into a buffer of at most out bytes.
func inflate(z *deflate.Inflater, payload []byte, in, out int) ([]byte, error) {
	var message []byte
	dst := make([]byte, out)
	for {
		src := payload[:min(in, len(payload))]
		n, used, done, err := z.Inflate(dst, src, len(src) == len(payload))
		message = append(message, dst[:n]...)
		payload = payload[used:]
		switch {
		case err != nil || done:
			return message, err
		case n == 0 && used == 0 && out > 0 && len(src) > 0:
			return message, errors.New("no progress")
		case n < out && used < len(src):
			return message, errors.New("neither end was reached")
		}
	}
}

func mustInflate(t testing.TB, z *deflate.Inflater, payload, want []byte) {
	t.Helper()
	got, err := inflate(z, payload, len(payload), len(want)+1)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("inflated %d bytes, other than the %d that were compressed", len(got), len(want))
	}
}

// reference reads all that a flate reader of the standard library gives.
func reference(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(r)
	if err == io.ErrUnexpectedEOF {
		err = nil // there never is a last block
	}
	return b, err
}
