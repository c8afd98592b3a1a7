package interop_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/bodokaiser/walve"
)

// Close codes that both send and take, and those that RFC 6455, 7.4, forbids
// in a Close frame. 1014 stands in the list of differences.
var (
	goodCodes = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3001, 3999, 4000, 4001, 4999}
	badCodes  = []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535}
	reasons   = []string{"", "bye", "πάντα ῥεῖ", strings.Repeat("x", 123)}
)

// eachClose runs f on a new connection for every code, by turns with one of
// the reasons, both ways round.
func eachClose(t *testing.T, codes []int, f func(t *testing.T, w *walve.Conn, g *websocket.Conn, code int, reason string)) {
	for i, code := range codes {
		for j := range reasons {
			reason := reasons[(i+j)%len(reasons)]
			t.Run(fmt.Sprintf("%d/%.10q", code, reason), func(t *testing.T) {
				bothWays(t, memory, handshake{}, func(t *testing.T, w *walve.Conn, g *websocket.Conn) {
					f(t, w, g, code, reason)
				})
			})
		}
	}
}

// TestCloseFromWalve closes walve's end: gorilla must see code and reason.
func TestCloseFromWalve(t *testing.T) {
	eachClose(t, goodCodes, func(t *testing.T, w *walve.Conn, g *websocket.Conn, code int, reason string) {
		if err := w.CloseWithStatus(walve.StatusCode(code), reason); err != nil {
			t.Fatal(err)
		}
		wantGorillaClose(t, g, code, reason)
	})
}

func wantGorillaClose(t *testing.T, g *websocket.Conn, code int, reason string) {
	t.Helper()
	_, _, err := g.ReadMessage()
	var ce *websocket.CloseError
	if !errors.As(err, &ce) || ce.Code != code || ce.Text != reason {
		t.Fatalf("gorilla saw %v instead of %d %q", err, code, reason)
	}
}

// closeGorilla sends a Close frame, by gorilla, with whatever code.
func closeGorilla(t *testing.T, g *websocket.Conn, code int, reason string) {
	t.Helper()
	if err := g.WriteControl(websocket.CloseMessage, closing(code, reason).payload, time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
}

// TestCloseFromGorilla closes gorilla's end: walve must see code and reason,
// and gorilla the code again.
func TestCloseFromGorilla(t *testing.T) {
	eachClose(t, goodCodes, func(t *testing.T, w *walve.Conn, g *websocket.Conn, code int, reason string) {
		closeGorilla(t, g, code, reason)
		_, _, err := w.ReadMessage()
		var ce *walve.CloseError
		switch {
		case code == 1000 && err != io.EOF:
			t.Errorf("walve returned %v instead of io.EOF", err)
		case code != 1000 && (!errors.As(err, &ce) || int(ce.Code) != code || ce.Reason != reason):
			t.Errorf("walve returned %v instead of a CloseError of %d %q", err, code, reason)
		}
		if gotCode, gotReason, ok := w.CloseStatus(); int(gotCode) != code || gotReason != reason || !ok {
			t.Errorf("CloseStatus: %v, %q, %t", gotCode, gotReason, ok)
		}
		wantGorillaClose(t, g, code, "")
	})
}

// TestCloseRefused has walve refuse codes that may not be sent, in both
// directions.
func TestCloseRefused(t *testing.T) {
	eachClose(t, badCodes, func(t *testing.T, w *walve.Conn, g *websocket.Conn, code int, reason string) {
		if err := w.CloseWithStatus(walve.StatusCode(code), reason); err == nil {
			t.Fatal("walve sends it")
		}
		go w.WriteMessage(walve.OpText, []byte("unchanged"))
		if _, p, err := g.ReadMessage(); string(p) != "unchanged" {
			t.Fatalf("then gorilla read %q, %v", p, err)
		}
		closeGorilla(t, g, code, reason)
		_, _, err := w.ReadMessage()
		var pe *walve.ProtocolError
		if !errors.As(err, &pe) || pe.Code != walve.StatusProtocolError {
			t.Errorf("walve returned %v", err)
		}
		wantGorillaClose(t, g, 1002, pe.Reason)
	})
}

// TestCloseWithout closes gorilla's end without a code, and without a Close
// frame at all.
func TestCloseWithout(t *testing.T) {
	bothWays(t, memory, handshake{}, func(t *testing.T, w *walve.Conn, g *websocket.Conn) {
		if err := g.WriteControl(websocket.CloseMessage, nil, time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.ReadMessage(); err != io.EOF {
			t.Errorf("walve returned %v instead of io.EOF", err)
		}
		if code, reason, ok := w.CloseStatus(); code != walve.StatusNoStatusReceived || reason != "" || !ok {
			t.Errorf("CloseStatus: %v, %q, %t", code, reason, ok)
		}
		wantGorillaClose(t, g, websocket.CloseNoStatusReceived, "")
	})
	bothWays(t, memory, handshake{}, func(t *testing.T, w *walve.Conn, g *websocket.Conn) {
		g.NetConn().Close()
		if _, _, err := w.ReadMessage(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("walve returned %v instead of io.ErrUnexpectedEOF", err)
		}
	})
}

// TestClean closes either end without more: the other must see the end.
func TestClean(t *testing.T) {
	for _, byWalve := range []bool{true, false} {
		t.Run(fmt.Sprintf("by walve %t", byWalve), func(t *testing.T) {
			eachPairing(t, memory, func(t *testing.T, w, other closer) {
				ends, sees := other, w
				if byWalve {
					ends, sees = w, other
				}
				if err := ends.Close(); err != nil {
					t.Fatal(err)
				}
				_, _, err := sees.read()
				switch _, gorilla := other.(gorillaEnd); {
				case gorilla && byWalve && websocket.IsCloseError(err, 1000):
				case gorilla && !byWalve && errors.Is(err, io.ErrUnexpectedEOF): // gorilla's Close sends no Close frame
				case !gorilla && err == io.EOF:
				default:
					t.Errorf("the end was seen as %v", err)
				}
			})
		})
	}
}
