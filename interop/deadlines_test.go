package interop_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// inBubble is bothWays in memory, where the clock is the test's.
func inBubble(t *testing.T, f func(t *testing.T, w *walve.Conn, g *websocket.Conn, wn, gn *memconn.Conn)) {
	for i, m := range mixed {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var wn, gn *memconn.Conn
				tr := func(t testing.TB) (client, server net.Conn) {
					client, server = memory(t)
					wn, gn = server.(*memconn.Conn), client.(*memconn.Conn)
					if i == 1 {
						wn, gn = gn, wn
					}
					return client, server
				}
				w, g := m.connect(t, tr, handshake{})
				defer g.Close()
				defer w.Close()
				f(t, w, g, wn, gn)
			})
		})
	}
}

// TestReadDeadline cuts walve's read at every byte of a frame of gorilla's
// header and payload, and goes on.
func TestReadDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, w *walve.Conn, g *websocket.Conn, _, gn *memconn.Conn) {
		for _, size := range []int{3, 300, 70000} {
			message := binaryPayload()[:size]
			for cut := range int64(20) {
				gn.SetWriteLimit(cut)
				wrote := make(chan error, 1)
				go func() { wrote <- g.WriteMessage(websocket.BinaryMessage, message) }()
				w.SetReadDeadline(time.Now().Add(time.Second))
				op, p, err := w.ReadMessage()
				if int64(size) > cut && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("%d bytes cut behind %d: %d bytes, %v", size, cut, len(p), err)
				}
				gn.SetWriteLimit(-1)
				w.SetReadDeadline(time.Time{})
				if err != nil {
					op, p, err = w.ReadMessage()
				}
				if err != nil || op != walve.OpBinary || !bytes.Equal(p, message) {
					t.Fatalf("%d bytes cut behind %d: then %v with %d bytes, %v", size, cut, op, len(p), err)
				}
				if err := <-wrote; err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestWriteDeadline cuts walve's write at every byte of a frame's header and
// on, and goes on with what n says was not written: gorilla must get every byte
// once.
func TestWriteDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, w *walve.Conn, g *websocket.Conn, wn, _ *memconn.Conn) {
		var got, want []byte
		read := make(chan error, 1)
		go func() {
			for {
				_, p, err := g.ReadMessage()
				if err != nil {
					read <- err
					return
				}
				got = append(got, p...)
			}
		}()
		for _, size := range []int{3, 300, 400_000} {
			for cut := range int64(20) {
				message := binaryPayload()[len(want)%mib:][:size]
				want = append(want, message...)
				wn.SetWriteLimit(cut)
				w.SetWriteDeadline(time.Now().Add(time.Second))
				n, err := w.Write(message)
				if n < size && !errors.Is(err, os.ErrDeadlineExceeded) || n == size && err != nil {
					t.Fatalf("%d bytes cut behind %d: %d, %v", size, cut, n, err)
				}
				wn.SetWriteLimit(-1)
				w.SetWriteDeadline(time.Time{})
				if m, err := w.Write(message[n:]); m != size-n || err != nil {
					t.Fatalf("%d bytes cut behind %d: %d, then %d, %v", size, cut, n, m, err)
				}
			}
		}
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-read; !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes instead of %d", len(got), len(want))
		}
	})
}
