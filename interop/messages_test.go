package interop_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/bodokaiser/walve"
)

// sizes are around where the form of the length changes, and large.
func (k kind) sizes() []int {
	sizes := []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20}
	if k.op == opBin {
		sizes = append(sizes, 16<<20) // once is enough for the race detector's speed
	}
	return sizes
}

// TestMessages sends messages of every kind and size from walve to the others
// and back, and the other way round.
func TestMessages(t *testing.T) {
	for _, begins := range []string{"walve", "the other"} {
		t.Run(begins+" begins", func(t *testing.T) {
			eachPairing(t, tcp, func(t *testing.T, w, other closer) {
				near, far := w, other
				if begins != "walve" {
					near, far = far, near
				}
				go echo(far)
				for _, k := range kinds {
					for _, n := range k.sizes() {
						checkEcho(t, near, k.op, k.message(n))
					}
				}
			})
		})
	}
}

func checkEcho(t *testing.T, m messenger, op byte, p []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() { sent <- m.write(op, p) }()
	gotOp, got, err := m.read()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if gotOp != op || !bytes.Equal(got, p) {
		t.Fatalf("opcode %#x with %d bytes became %#x with %d", op, len(p), gotOp, len(got))
	}
}

// fragmentSizes make frames of every form of the length, and cut characters of
// three bytes at each of their bytes.
var fragmentSizes = []int{1, 2, 3, 0, 125, 126, 127, 1000, 65535, 65536, 7, 0}

// TestFragmentsFromWalve has gorilla read messages that walve sends in
// frames of chosen sizes, Pings between them.
func TestFragmentsFromWalve(t *testing.T) {
	bothWays(t, tcp, handshake{}, func(t *testing.T, w *walve.Conn, g *websocket.Conn) {
		go echo(gorillaEnd{g})
		text := bytes.Repeat([]byte("水"), 50000)
		for _, known := range []bool{true, false} {
			got := make(chan []byte, 1)
			go func() { // Ping needs a read in progress
				_, p, err := w.ReadMessage()
				if err != nil {
					t.Error(err)
				}
				got <- p
			}()
			op, rest := walve.OpText, text
			for i := 0; op == walve.OpText || len(rest) > 0; i++ {
				n := min(fragmentSizes[i%len(fragmentSizes)], len(rest))
				h := walve.Header{Opcode: op, Fin: n == len(rest), Length: -1}
				if known {
					h.Length = int64(n)
				}
				fw, err := w.NextWriter(h)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := fw.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				if err := fw.Close(); err != nil {
					t.Fatal(err)
				}
				if n != len(rest) {
					if err := w.Ping(withLimit(t)); err != nil {
						t.Fatal(err)
					}
				}
				op, rest = walve.OpContinuation, rest[n:]
			}
			if p := <-got; !bytes.Equal(p, text) {
				t.Fatalf("%d bytes came back as %d", len(text), len(p))
			}
		}
	})
}

// TestFragmentsFromGorilla has walve read messages that gorilla sends in
// frames of chosen sizes, Pings between them, by each of its ways to read.
func TestFragmentsFromGorilla(t *testing.T) {
	for _, size := range []int{1, 2, 125, 126, 127, 1000, 65535} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			bothWays(t, tcp, handshake{fragments: size}, func(t *testing.T, w *walve.Conn, g *websocket.Conn) {
				text := bytes.Repeat([]byte("水"), 100+3*size)
				pongs := make(chan string, 64)
				g.SetPongHandler(func(s string) error { pongs <- s; return nil })
				go func() {
					for range 3 {
						if err := writePinged(g, text, size); err != nil {
							t.Error(err)
							return
						}
					}
				}()
				go g.ReadMessage() // reads the Pongs

				op, got, err := w.ReadMessage()
				if err != nil || op != walve.OpText || !bytes.Equal(got, text) {
					t.Fatalf("ReadMessage: %v with %d bytes, %v", op, len(got), err)
				}
				checkFrames(t, w, text, size)
				got = make([]byte, len(text))
				for n := 0; n < len(got); {
					m, err := w.Read(got[n:])
					if err != nil {
						t.Fatal(err)
					}
					n += m
				}
				if !bytes.Equal(got, text) {
					t.Fatal("Read: other bytes")
				}
				for i := range 3 * pingsPerMessage {
					if got, want := <-pongs, fmt.Sprint("ping ", i%pingsPerMessage); got != want {
						t.Fatalf("Pong %q instead of %q", got, want)
					}
				}
			})
		})
	}
}

const pingsPerMessage = 4

// writePinged writes text as a message in frames of the given size, in four
// parts with a Ping behind each.
func writePinged(g *websocket.Conn, text []byte, size int) error {
	mw, err := g.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	for i := range pingsPerMessage {
		part := text[len(text)*i/pingsPerMessage : len(text)*(i+1)/pingsPerMessage]
		// A server of gorilla's sends what is much more than a frame as one.
		for piece := range slices.Chunk(part, size) {
			if _, err := mw.Write(piece); err != nil {
				return err
			}
		}
		if err := g.WriteControl(websocket.PingMessage, fmt.Append(nil, "ping ", i), time.Now().Add(limit)); err != nil {
			return err
		}
	}
	return mw.Close()
}

// checkFrames reads text as gorilla's frames of the given size.
func checkFrames(t *testing.T, w *walve.Conn, text []byte, size int) {
	t.Helper()
	for op, rest := walve.OpText, text; ; op = walve.OpContinuation {
		h, r, err := w.NextReader()
		if err != nil {
			t.Fatal(err)
		}
		n := len(rest)
		if !h.Fin {
			n = size
		}
		got := make([]byte, n)
		m, err := io.ReadFull(r, got)
		if h.Opcode != op || h.Length != int64(n) || err != nil || m != n || !bytes.Equal(got, rest[:n]) {
			t.Fatalf("frame %+v with %d bytes, %v, instead of %v with %d", h, m, err, op, n)
		}
		if rest = rest[n:]; h.Fin {
			return
		}
	}
}

// TestConcurrent has many goroutines write to and read from walve, with
// gorilla at the other end, Pings both ways at the same time.
func TestConcurrent(t *testing.T) {
	const writers, each = 4, 40
	bothWays(t, tcp, handshake{}, func(t *testing.T, w *walve.Conn, g *websocket.Conn) {
		go echo(gorillaEnd{g})
		message := func(writer, i int) []byte {
			return bytes.Repeat(fmt.Appendf(nil, "%d/%d;", writer, i), 1+i*i*3)
		}
		var wg sync.WaitGroup
		for n := range writers {
			wg.Go(func() {
				for i := range each {
					if err := w.WriteMessage(walve.OpBinary, message(n, i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			for range each {
				if err := g.WriteControl(websocket.PingMessage, []byte("?"), time.Now().Add(limit)); err != nil {
					t.Error(err)
				}
				if err := w.Ping(withLimit(t)); err != nil {
					t.Error(err)
				}
			}
		})
		var readers sync.WaitGroup
		var mu sync.Mutex
		seen, all := make(map[string]bool), make(chan struct{})
		for range 2 {
			readers.Go(func() {
				for {
					_, p, err := w.ReadMessage()
					if err != nil {
						if err != io.EOF {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					if seen[string(p)] {
						t.Errorf("%.10q came back twice", p)
					}
					if seen[string(p)] = true; len(seen) == writers*each {
						close(all)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		<-all
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		readers.Wait()
		for n := range writers {
			for i := range each {
				if !seen[string(message(n, i))] {
					t.Errorf("message %d of writer %d did not come back", i, n)
				}
			}
		}
	})
}

// TestSubprotocols holds walve and gorilla to the same choice.
func TestSubprotocols(t *testing.T) {
	for _, test := range []struct{ offered, spoken []string }{
		{nil, nil},
		{[]string{"a"}, nil},
		{nil, []string{"a"}},
		{[]string{"a", "b"}, []string{"b", "a"}}, // the server's preference counts
		{[]string{"a", "b"}, []string{"c", "b"}},
		{[]string{"a"}, []string{"A"}},
	} {
		h := handshake{offered: test.offered, spoken: test.spoken}
		want := ""
		for i := len(h.spoken) - 1; i >= 0; i-- {
			for _, o := range h.offered {
				if o == h.spoken[i] {
					want = o
				}
			}
		}
		t.Run(fmt.Sprintf("%v to %v", h.offered, h.spoken), func(t *testing.T) {
			bothWays(t, memory, h, func(t *testing.T, w *walve.Conn, g *websocket.Conn) {
				if w.Subprotocol() != want || g.Subprotocol() != want {
					t.Errorf("walve %q, gorilla %q instead of %q", w.Subprotocol(), g.Subprotocol(), want)
				}
			})
		})
	}
}
