package peers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/wiretap"
)

// deflatePrograms are echoes in testdata. An answer holds the parameters of
// permessage-deflate that are agreed on for each of a program's options.
var deflatePrograms = []struct {
	program
	serves, dials []string
}{
	{
		program{name: "node ws", command: nodeScript("testdata/deflate_ws.js")},
		[]string{
			"",
			"server_no_context_takeover; client_no_context_takeover",
			"client_max_window_bits=9; server_max_window_bits=10",
		},
		[]string{
			"",
			"server_no_context_takeover; client_no_context_takeover",
			"server_max_window_bits=10; client_max_window_bits=9",
		},
	},
	{
		program{name: "python websockets", command: pythonScript("websockets", "testdata/deflate_websockets.py")},
		[]string{
			"",
			"server_no_context_takeover; client_no_context_takeover",
			"server_max_window_bits=10; client_max_window_bits=9",
		},
		[]string{
			"",
			"server_no_context_takeover; client_no_context_takeover",
			"server_max_window_bits=10; client_max_window_bits=9",
		},
	},
	{
		program{name: "python autobahn", command: pythonScript("autobahn", "testdata/deflate_autobahn.py")},
		[]string{
			"",
			"client_no_context_takeover",
			"client_max_window_bits=9",
		},
		[]string{
			"client_no_context_takeover",
			"server_no_context_takeover; client_no_context_takeover",
			"client_no_context_takeover; server_max_window_bits=9",
		},
	},
}

func TestProgramDeflateServes(t *testing.T) {
	t.Parallel()
	for _, prog := range deflatePrograms {
		t.Run(prog.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, prog.command(t, "serve"))
			ports := strings.Fields(p.line(t))
			if len(ports) != 1+len(prog.serves) || ports[0] != "listening" {
				t.Fatal(ports)
			}
			for i, params := range prog.serves {
				url, taps := tapped(t, "ws://127.0.0.1:"+ports[1+i])
				c := dial(t, &walve.Dialer{URL: url, Compression: &every})
				echoSamples(t, c)
				wantDeflated(t, <-taps, params)
			}
		})
	}
}

func TestProgramDeflateDials(t *testing.T) {
	t.Parallel()
	for _, prog := range deflatePrograms {
		t.Run(prog.name, func(t *testing.T) {
			t.Parallel()
			ln, d := listen(t, nil)
			ln.Upgrader.Compression = &every
			url, taps := tapped(t, d.URL)
			p := start(t, prog.command(t, "dial", url))
			for i, params := range prog.dials {
				c := accept(t, ln)
				if got := c.Request().URL.Path; got != fmt.Sprint("/", i) {
					t.Fatalf("connection %d asks for %s", i, got)
				}
				echoSamples(t, c)
				wantDeflated(t, <-taps, params)
			}
			for line := range p.lines {
				t.Error(line)
			}
			if err := p.wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// echoSamples sends the samples to an echo, and closes the connection.
func echoSamples(t *testing.T, c *walve.Conn) {
	t.Helper()
	for _, s := range wiretap.Samples() {
		if err := s.Write(c); err != nil {
			t.Fatal(err)
		}
		op, got, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		want(t, op, got, walve.OpText, []byte(s.Text))
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
