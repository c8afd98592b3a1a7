package interop_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// A wire is an end of a connection where the test has walve's FrameReader and
// FrameWriter; another library echoes at the other.
type wire struct {
	fr     *walve.FrameReader
	fw     *walve.FrameWriter
	client bool         // this end is
	got    bytes.Buffer // what the FrameReader was fed with
}

// wires runs f with a library as server and as client.
func wires(t *testing.T, lib library, f func(t *testing.T, w *wire)) {
	for _, client := range []bool{true, false} {
		t.Run(fmt.Sprintf("%s/server %t", lib.name, client), func(t *testing.T) {
			t.Parallel()
			near, far := memory(t)
			defer near.Close()
			near.SetDeadline(time.Now().Add(limit))
			if client {
				defer serve(far, http.HandlerFunc(lib.echo))()
			} else {
				go func() {
					if c, err := lib.dial(far); err == nil {
						defer c.Close()
						echo(c)
					}
				}()
			}
			p := &rawPeer{conn: near, server: !client}
			if err := p.shakeHands(); err != nil {
				t.Fatal(err)
			}
			w := &wire{fw: walve.NewFrameWriter(near), client: client}
			w.fr = walve.NewFrameReader(io.TeeReader(p.in, &w.got))
			f(t, w)
		})
	}
}

func (w *wire) header(op walve.Opcode, fin bool, n int) walve.Header {
	h := walve.Header{Fin: fin, Opcode: op, Length: int64(n), Masked: w.client}
	if h.Masked {
		rand.Read(h.MaskKey[:])
	}
	return h
}

// The ways in which FrameWriter can write a message.
var wireForms = []struct {
	name   string
	framed bool // as one frame
	write  func(w *wire, op walve.Opcode, p []byte) error
}{
	{"WriteFrame", true, func(w *wire, op walve.Opcode, p []byte) error {
		return w.fw.WriteFrame(w.header(op, true, len(p)), p)
	}},
	{"Write", true, func(w *wire, op walve.Opcode, p []byte) error {
		if err := w.fw.WriteHeader(w.header(op, true, len(p))); err != nil {
			return err
		}
		for _, part := range [][]byte{p[:len(p)/3], p[len(p)/3:]} {
			if _, err := w.fw.Write(part); err != nil {
				return err
			}
		}
		return nil
	}},
	{"ReadFrom", true, func(w *wire, op walve.Opcode, p []byte) error {
		if err := w.fw.WriteHeader(w.header(op, true, len(p))); err != nil {
			return err
		}
		_, err := io.Copy(w.fw, bytes.NewReader(p))
		return err
	}},
	{"fragments", false, func(w *wire, op walve.Opcode, p []byte) error {
		const n = 4
		for i := range n {
			part := p[len(p)*i/n : len(p)*(i+1)/n]
			if err := w.fw.WriteFrame(w.header(op, i == n-1, len(part)), part); err != nil {
				return err
			}
			if err := w.fw.WriteFrame(w.header(walve.OpPing, true, i), p[:min(i, len(p))]); err != nil {
				return err
			}
			op = walve.OpContinuation
		}
		return nil
	}},
}

// message reads the frames of a message, between which Pongs may stand, and
// holds them against the bytes that came: written again with the same headers
// by FrameWriter, which masks as they say, they must be the same.
func (w *wire) message(t *testing.T) (op walve.Opcode, payload []byte) {
	t.Helper()
	var again bytes.Buffer
	fw := walve.NewFrameWriter(&again)
	for n := 0; ; {
		h, err := w.fr.Next()
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(w.fr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Masked == w.client || int64(len(p)) != h.Length {
			t.Fatalf("%+v with %d bytes", h, len(p))
		}
		if err := fw.WriteFrame(h, p); err != nil {
			t.Fatal(err)
		}
		if h.Opcode == walve.OpPong {
			continue
		}
		if n++; n == 1 {
			op = h.Opcode
		} else if h.Opcode != walve.OpContinuation {
			t.Fatalf("%v inside a message", h.Opcode)
		}
		payload = append(payload, p...)
		if !h.Fin {
			continue
		}
		if !bytes.Equal(again.Bytes(), w.got.Bytes()) {
			t.Fatalf("%d bytes came, written again they are %d others", w.got.Len(), again.Len())
		}
		w.got.Reset()
		return op, payload
	}
}

// TestWire feeds FrameReader with the bytes that the other libraries write, and
// them with FrameWriter's.
func TestWire(t *testing.T) {
	for _, lib := range []library{handshake{}.gorilla(), handshake{fragments: 1000}.gorilla(), xnetLibrary} {
		wires(t, lib, func(t *testing.T, w *wire) {
			for _, form := range wireForms {
				if lib.name == xnetLibrary.name && !form.framed {
					continue // a fragment is a message to it
				}
				for _, k := range kinds {
					for _, n := range k.sizes() {
						if n > mib && form.name != "Write" {
							continue
						}
						want := k.message(n)
						if err := form.write(w, walve.Opcode(k.op), want); err != nil {
							t.Fatal(err)
						}
						op, got := w.message(t)
						if op != walve.Opcode(k.op) || !bytes.Equal(got, want) {
							t.Fatalf("%s: %s message of %d bytes came back as %v with %d", form.name, k.name, n, op, len(got))
						}
					}
				}
			}
		})
	}
}
