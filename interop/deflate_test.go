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
						checkEcho(t, sampleEnd{walveEnd{w}, s}, opText, []byte(s.Text))
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

// A sampleEnd is a walveEnd that sends its sample, whatever it is given.
type sampleEnd struct {
	walveEnd
	sample wiretap.Sample
}

func (e sampleEnd) write(byte, []byte) error { return e.sample.Write(e.Conn) }
