package peers_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
)

// sizes are at and around the steps of the header's length, and beyond what
// walve, its buffers and the system move at once.
var sizes = []int{0, 1, 125, 126, 127, 4096, 65535, 65536, 1<<20 + 1}

// text returns valid UTF-8 of about n bytes with runes of every length.
func text(n int) []byte {
	const runes = "aé€😀"
	return []byte(strings.Repeat(runes, n/len(runes)) + strings.Repeat("a", n%len(runes)))
}

// want fails the test unless a message is the one expected.
func want(t testing.TB, op walve.Opcode, p []byte, wantOp walve.Opcode, wantP []byte) {
	t.Helper()
	if op != wantOp || !bytes.Equal(p, wantP) {
		t.Errorf("got a %v message of %d bytes, want the %v message of %d bytes", op, len(p), wantOp, len(wantP))
	}
}

func (p pair) wantReceived(t testing.TB, op walve.Opcode, payload []byte) {
	t.Helper()
	e := p.receive(t)
	if e.err != nil {
		t.Fatal(e.err)
	}
	want(t, e.op, e.p, op, payload)
}

func TestLibraryMessages(t *testing.T) {
	t.Parallel()
	overLibraries(t, func(t *testing.T, connect func(testing.TB) pair) {
		p := connect(t)
		for _, n := range sizes {
			for op, payload := range map[walve.Opcode][]byte{walve.OpBinary: pattern(n), walve.OpText: text(n)} {
				var sent sync.WaitGroup
				sent.Go(func() {
					if err := p.send(op, payload); err != nil {
						t.Error(err)
					}
				})
				gotOp, got, err := p.walve.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				want(t, gotOp, got, op, payload)
				sent.Wait()
				if err := p.walve.WriteMessage(op, payload); err != nil {
					t.Fatal(err)
				}
				p.wantReceived(t, op, payload)
			}
		}
	})
}

// TestLibraryFragments cuts messages anywhere, inside runes too (RFC 6455, 5.4
// and 5.6).
func TestLibraryFragments(t *testing.T) {
	t.Parallel()
	messages := []struct {
		op    walve.Opcode
		parts [][]byte
	}{
		{walve.OpText, [][]byte{[]byte("a\xf0"), []byte("\x9f"), []byte("\x98\x80\xe2\x82"), []byte("\xac")}},
		{walve.OpBinary, [][]byte{pattern(126), pattern(200 << 10), pattern(1)}},
		{walve.OpText, [][]byte{text(131072 - 1), text(65536)}},
	}
	overLibraries(t, func(t *testing.T, connect func(testing.TB) pair) {
		p := connect(t)
		for _, m := range messages {
			whole := bytes.Join(m.parts, nil)
			var sent sync.WaitGroup
			sent.Go(func() {
				if err := p.sendFragments(m.op, m.parts...); err != nil {
					t.Error(err)
				}
			})
			op, got, err := p.walve.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			want(t, op, got, m.op, whole)
			sent.Wait()

			h := walve.Header{Opcode: m.op}
			for i, part := range m.parts {
				h.Length, h.Fin = int64(len(part)), i == len(m.parts)-1
				w, err := p.walve.NextWriter(h)
				if err != nil {
					t.Fatal(err)
				}
				w.Write(part)
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				h.Opcode = walve.OpContinuation
			}
			p.wantReceived(t, m.op, whole)
		}
	})
}

// TestLibraryStream sends as Write does and reads as Read does.
func TestLibraryStream(t *testing.T) {
	t.Parallel()
	const chunk, chunks = 100_000, 20
	overLibraries(t, func(t *testing.T, connect func(testing.TB) pair) {
		p := connect(t)
		all := pattern(chunk * chunks)
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range chunks {
				if err := p.send(walve.OpBinary, all[i*chunk:(i+1)*chunk]); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			if n, err := p.walve.ReadFrom(bytes.NewReader(all)); err != nil || n != int64(len(all)) {
				t.Errorf("ReadFrom: %d, %v", n, err)
			}
		})
		wg.Go(func() {
			got := make([]byte, len(all))
			if _, err := io.ReadFull(p.walve, got); err != nil || !bytes.Equal(got, all) {
				t.Errorf("walve read something else (%v)", err)
			}
		})
		var got []byte
		for len(got) < len(all) {
			e := p.receive(t)
			if e.err != nil {
				t.Fatal(e.err)
			}
			got = append(got, e.p...)
		}
		if !bytes.Equal(got, all) {
			t.Error("the library read something else")
		}
		wg.Wait()
	})
}

func TestLibraryPings(t *testing.T) {
	t.Parallel()
	overLibraries(t, func(t *testing.T, connect func(testing.TB) pair) {
		p := connect(t)
		var wg sync.WaitGroup
		wg.Go(func() { // control frames are seen while a read waits
			op, got, err := p.walve.ReadMessage()
			if err != nil {
				t.Error(err)
				return
			}
			want(t, op, got, walve.OpText, []byte("done"))
		})
		for range 3 {
			if err := p.walve.Ping(bound(t)); err != nil {
				t.Error(err)
			}
			if err := p.ping(bound(t)); err != nil {
				t.Error(err)
			}
		}
		if err := p.send(walve.OpText, []byte("done")); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

// The codes that all libraries send and take; those they disagree about are
// the subject of the tests against gorilla/websocket.
var codes = []walve.StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4000, 4999}

func TestLibraryCloses(t *testing.T) {
	t.Parallel()
	overLibraries(t, func(t *testing.T, connect func(testing.TB) pair) {
		for _, code := range codes {
			t.Run(fmt.Sprint(uint16(code)), func(t *testing.T) {
				p := connect(t)
				if err := p.send(walve.OpBinary, []byte("last")); err != nil {
					t.Fatal(err)
				}
				var closed sync.WaitGroup
				closed.Go(func() {
					if err := p.close(code, "grün"); err != nil {
						t.Error(err)
					}
				})
				got, err := io.ReadAll(p.walve)
				if string(got) != "last" {
					t.Errorf("read %q", got)
				}
				wantClose(t, err, code, "grün")
				closed.Wait()
				if got, reason, ok := p.walve.CloseStatus(); got != code || reason != "grün" || !ok {
					t.Errorf("CloseStatus: %v %q %v", got, reason, ok)
				}
			})
		}
	})
}

// wantClose checks the error of a walve Conn whose peer has closed; err is that
// of io.ReadAll, which is nil where Read's is io.EOF.
func wantClose(t testing.TB, err error, code walve.StatusCode, reason string) {
	t.Helper()
	if code == walve.StatusNormalClosure {
		if err != nil {
			t.Errorf("after Close 1000: %v", err)
		}
		return
	}
	var closed *walve.CloseError
	if !errors.As(err, &closed) || closed.Code != code || closed.Reason != reason {
		t.Errorf("got %v, want CloseError %v %q", err, code, reason)
	}
}

func TestLibraryIsClosed(t *testing.T) {
	t.Parallel()
	overLibraries(t, func(t *testing.T, connect func(testing.TB) pair) {
		for _, code := range codes {
			t.Run(fmt.Sprint(uint16(code)), func(t *testing.T) {
				p := connect(t)
				if _, err := p.walve.Write([]byte("last")); err != nil {
					t.Fatal(err)
				}
				if err := p.walve.CloseWithStatus(code, "grün"); err != nil {
					t.Fatal(err)
				}
				p.wantReceived(t, walve.OpBinary, []byte("last"))
				var closed *walve.CloseError
				if e := p.receive(t); !errors.As(e.err, &closed) || closed.Code != code || closed.Reason != "grün" {
					t.Errorf("the library got %v, want %v", e.err, code)
				}
			})
		}
	})
}

// TestLibraryHalfClose: a foreign peer answers a Close frame at once, and what
// it sent before is still read.
func TestLibraryHalfClose(t *testing.T) {
	t.Parallel()
	overLibraries(t, func(t *testing.T, connect func(testing.TB) pair) {
		p := connect(t)
		if err := p.send(walve.OpBinary, []byte("before")); err != nil {
			t.Fatal(err)
		}
		if err := p.walve.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(p.walve); err != nil || string(got) != "before" {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

func TestLibraryInvalidText(t *testing.T) {
	t.Parallel()
	overLibraries(t, func(t *testing.T, connect func(testing.TB) pair) {
		t.Run("to walve", func(t *testing.T) {
			p := connect(t)
			if err := p.send(walve.OpText, []byte("\xed\xa0\x80")); err != nil {
				return // gws checks what it sends, too
			}
			var broken *walve.ProtocolError
			if _, _, err := p.walve.ReadMessage(); !errors.As(err, &broken) || broken.Code != walve.StatusInvalidFramePayloadData {
				t.Errorf("walve got %v", err)
			}
			var closed *walve.CloseError
			if e := p.receive(t); !errors.As(e.err, &closed) || closed.Code != walve.StatusInvalidFramePayloadData {
				t.Errorf("the library got %v", e.err)
			}
		})
		t.Run("from walve", func(t *testing.T) {
			p := connect(t)
			if err := p.walve.WriteMessage(walve.OpText, []byte("\xed\xa0\x80")); err != nil {
				t.Fatal(err)
			}
			if !p.checksText {
				p.wantReceived(t, walve.OpText, []byte("\xed\xa0\x80"))
				return
			}
			_, err := io.ReadAll(p.walve)
			var closed *walve.CloseError
			if !errors.As(err, &closed) || closed.Code != walve.StatusInvalidFramePayloadData {
				t.Errorf("walve got %v", err)
			}
		})
	})
}
