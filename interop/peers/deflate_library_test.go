package peers_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/wiretap"
	"github.com/coder/websocket"
	"github.com/lxzan/gws"
)

// every has walve compress messages of any size.
var every = walve.Compression{Threshold: -1}

// deflatePeers are libraries with an option each, and what is agreed on with
// them.
var deflatePeers = []struct {
	name          string
	peer          library
	serves, dials string // permessage-deflate's parameters where the library does
}{
	{name: "coder, takeover", peer: coderWith(websocket.CompressionContextTakeover)},
	{
		name: "coder, no takeover", peer: coderWith(websocket.CompressionNoContextTakeover),
		serves: "client_no_context_takeover; server_no_context_takeover",
		dials:  "server_no_context_takeover; client_no_context_takeover",
	},
	{
		name: "gws, defaults", peer: gwsWith(gws.PermessageDeflate{Enabled: true}),
		serves: "server_no_context_takeover; client_no_context_takeover",
		dials:  "server_no_context_takeover; client_no_context_takeover",
	},
	{
		name: "gws, takeover", peer: gwsWith(gws.PermessageDeflate{Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true}),
		serves: "server_max_window_bits=12; client_max_window_bits=12",
	},
	{
		name: "gws, windows", peer: gwsWith(gws.PermessageDeflate{Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true, ServerMaxWindowBits: 9, ClientMaxWindowBits: 10}),
		serves: "server_max_window_bits=9; client_max_window_bits=10",
		dials:  "server_max_window_bits=9; client_max_window_bits=10",
	},
}

// deflateAnswer is the extension with its parameters.
func deflateAnswer(params string) string {
	return strings.TrimSuffix("permessage-deflate; "+params, "; ")
}

func TestLibraryDeflate(t *testing.T) {
	t.Parallel()
	for _, l := range deflatePeers {
		t.Run(l.name+" serves", func(t *testing.T) {
			t.Parallel()
			ends := make(chan end, 1)
			at := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				e, err := l.peer.upgrade(w, r)
				if err != nil {
					t.Error(err)
					return
				}
				ends <- e
			}), nil)
			url, taps := tapped(t, at)
			c := dial(t, &walve.Dialer{URL: url, Compression: &every})
			e := <-ends
			exchangeSamples(t, pair{l.peer, c, e})
			wantDeflated(t, <-taps, l.serves)
		})
		t.Run(l.name+" dials", func(t *testing.T) {
			t.Parallel()
			ln, d := listen(t, nil)
			ln.Upgrader.Compression = &every
			url, taps := tapped(t, d.URL)
			e, err := l.peer.dial(bound(t), url, nil)
			if err != nil {
				t.Fatal(err)
			}
			exchangeSamples(t, pair{l.peer, accept(t, ln), e})
			wantDeflated(t, <-taps, l.dials)
		})
	}
}

// exchangeSamples sends the samples both ways, and ends the connection.
func exchangeSamples(t *testing.T, p pair) {
	defer p.release()
	for _, s := range wiretap.Samples() {
		parts := s.Parts()
		send := func() error { return p.send(walve.OpText, parts[0]) }
		if s.Fragmented {
			send = func() error { return p.sendFragments(walve.OpText, parts...) }
		}
		sent := make(chan error, 1)
		go func() { sent <- send() }()
		op, got, err := p.walve.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		want(t, op, got, walve.OpText, []byte(s.Text))
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if err := s.Write(p.walve); err != nil {
			t.Fatal(err)
		}
		p.wantReceived(t, walve.OpText, []byte(s.Text))
	}
	if err := p.walve.Close(); err != nil {
		t.Error(err)
	}
	p.receive(t) // the Close frame
}

// tapped returns a URL where what is at another can be reached, and a Tap for
// each connection that is made there.
func tapped(t testing.TB, url string) (string, <-chan *wiretap.Tap) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	host := strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/")
	taps := make(chan *wiretap.Tap, 10)
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", host)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			taps <- wiretap.Relay(client, server)
		}
	}()
	return "ws://" + ln.Addr().String(), taps
}

// wantDeflated holds that the samples went compressed both ways, as the
// parameters that were agreed on say.
func wantDeflated(t *testing.T, tap *wiretap.Tap, params string) {
	t.Helper()
	r, err := tap.Record()
	if err != nil {
		t.Fatal(err)
	}
	if want := deflateAnswer(params); r.Answer != want {
		t.Errorf("offer %q is answered by %q, not %q", r.Offer, r.Answer, want)
	}
	takeover := func(side string) bool { return !strings.Contains(params, side+"_no_context_takeover") }
	if err := wiretap.Check(wiretap.Samples(), r.Client, takeover("client")); err != nil {
		t.Errorf("from the client: %v", err)
	}
	if err := wiretap.Check(wiretap.Samples(), r.Server, takeover("server")); err != nil {
		t.Errorf("from the server: %v", err)
	}
}
