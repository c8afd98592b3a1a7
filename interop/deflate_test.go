package interop_test

import (
	"net"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/wiretap"
)

// TestDeflate has gorilla and walve exchange compressed messages. gorilla never
// takes a context over.
func TestDeflate(t *testing.T) {
	for _, tt := range []struct {
		name        string
		compression walve.Compression
	}{
		{"defaults", walve.Compression{}},
		{"all", walve.Compression{Level: 9, Threshold: -1, NoSendTakeover: true, NoReceiveTakeover: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			taps := make(chan *wiretap.Tap, 2)
			tapped := func(t testing.TB) (net.Conn, net.Conn) {
				client, near := tcp(t)
				far, server := tcp(t)
				taps <- wiretap.Relay(near, far)
				return client, server
			}
			samples := wiretap.Samples()
			t.Run("ends", func(t *testing.T) {
				bothWays(t, tapped, handshake{compression: &tt.compression}, func(t *testing.T, w *walve.Conn, g *websocket.Conn) {
					go echo(gorillaEnd{g})
					for _, s := range samples {
						if s.Fragmented {
							checkEcho(t, fragmentedEnd{walveEnd{w}}, opText, []byte(s.Text))
						} else {
							checkEcho(t, walveEnd{w}, opText, []byte(s.Text))
						}
					}
					w.Close()
				})
			})
			for range mixed {
				r, err := (<-taps).Record()
				if err != nil {
					t.Fatal(err)
				}
				const want = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
				if r.Answer != want {
					t.Errorf("agreed on %q, not %q", r.Answer, want)
				}
				if err := wiretap.Check(samples, r.Client, false); err != nil {
					t.Errorf("from the client (%s): %v", r.Offer, err)
				}
				if err := wiretap.Check(samples, r.Server, false); err != nil {
					t.Errorf("from the server (%s): %v", r.Offer, err)
				}
			}
		})
	}
}

// A fragmentedEnd is a walveEnd that sends every message as three frames.
type fragmentedEnd struct{ walveEnd }

func (e fragmentedEnd) write(op byte, p []byte) error {
	third := len(p) / 3
	h := walve.Header{Opcode: walve.Opcode(op), Length: -1}
	for i, part := range [][]byte{p[:third], p[third : 2*third], p[2*third:]} {
		h.Fin = i == 2
		w, err := e.NextWriter(h)
		if err != nil {
			return err
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		h.Opcode = walve.OpContinuation
	}
	return nil
}
