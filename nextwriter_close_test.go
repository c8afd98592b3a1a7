package walve_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestRule9NextWriterCloseWrite: CloseWrite while a writer is open is an error and
// changes nothing; afterwards it works.
func TestRule9NextWriterCloseWrite(t *testing.T) {
	for _, length := range []int64{4, -1} {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{HalfClose: true})
			w := nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpText, Length: length})
			wantOpError(t, "CloseWrite", c.CloseWrite(), nil)
			writeN(t, w, "ab")
			start := time.Now()
			wantOpError(t, "CloseWrite", c.CloseWrite(), nil)
			if d := time.Since(start); d != 0 {
				t.Errorf("CloseWrite has waited for %v", d)
			}
			writeN(t, w, "cd")
			wantOpError(t, "CloseWrite", c.CloseWrite(), nil)
			closeW(t, w)
			if err := c.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
			p.want(fin|text, "abcd")
			p.wantClose(walve.StatusNormalClosure)
			p.Close()
			c.Close()
		})
	}
}

// TestRule9NextWriterConnClose: Close of the Conn does not wait for a writer. Inside
// an unfinished frame it sends no Close frame, at a boundary it does, and the
// writer then fails with net.ErrClosed.
func TestRule9NextWriterConnClose(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, tt := range []struct {
			name    string
			length  int64
			written int
			begun   int // bytes of an unfinished frame on the wire
		}{
			{"not begun", 5, 0, 0},
			{"inside the frame", 5, 3, 3},
			{"at its end", 5, 5, 0},
			{"fragment not sent", -1, 3, 0},
		} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: client})
					w := nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpBinary, Length: tt.length})
					writeN(t, w, filler(tt.written))
					start := time.Now()
					if err := c.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					if d := time.Since(start); d != 0 {
						t.Errorf("Close has waited for %v", d)
					}
					if tt.written < int(tt.length) {
						_, err := w.Write([]byte("x"))
						wantOpError(t, "Write of the writer", err, net.ErrClosed)
					}
					if tt.written != int(tt.length) {
						wantOpError(t, "Close of the writer", w.Close(), nil)
					}
					switch {
					case tt.begun > 0:
						if h, got, err := p.next(); err != io.ErrUnexpectedEOF || len(got) != tt.begun {
							t.Errorf("the peer reads %+v %q, %v; want the frame cut", h, got, err)
						}
					default:
						if tt.written == int(tt.length) {
							p.want(fin|bin, filler(tt.written))
						}
						p.wantClose(walve.StatusNormalClosure)
					}
					p.Close()
				})
			})
		}
	})
}

// TestRule9NextWriterCloseInsideMessage: Close of the Conn between two fragments
// sends its Close frame there, and a peer that is walve takes the message for
// cut.
func TestRule9NextWriterCloseInsideMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe()
		client, server := pair(a, b, true)
		w := nextWriter(t, client, walve.Header{Opcode: walve.OpText, Length: 2})
		writeN(t, w, "ab")
		closeW(t, w)
		client.Close()
		got, err := readToError(server, 100)
		if string(got) != "ab" {
			t.Errorf("read %q", got)
		}
		wantOpError(t, "Read", err, io.ErrUnexpectedEOF)
		server.Close()
	})
}

// TestRule9NextWriterPongs: Pongs pass between the fragments of a message while its
// writer is open, and never inside a frame.
func TestRule9NextWriterPongs(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client}, memconn.Buffer(1<<20))
			read := readOn(c)

			w := nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpText, Length: -1})
			p.send(fin|ping, "before")
			p.want(fin|pong, "before")
			writeN(t, w, filler(walve.PieceSize + 1000)[:walve.PieceSize+1000])
			if h, _, err := p.next(); err != nil || firstByte(h) != text {
				t.Fatalf("%+v, %v", h, err)
			}
			p.send(fin|ping, "between")
			p.want(fin|pong, "between")
			closeW(t, w)
			if h, _, err := p.next(); err != nil || firstByte(h) != fin|cont {
				t.Fatalf("%+v, %v", h, err)
			}

			w = nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 6})
			for i := range 3 {
				writeN(t, w, "ab")
				p.send(fin|ping, fmt.Sprint(i))
				synctest.Wait()
			}
			// The frame is complete, its writer still open.
			p.want(fin|bin, "ababab")
			for i := range 3 {
				p.want(fin|pong, fmt.Sprint(i))
			}
			closeW(t, w)
			synctest.Wait()
			p.wantNothing()
			p.Close()
			<-read
			c.Close()
		})
	})
}

// TestRule9WriteMessage: a message is one of its opcode, in frames of at most a
// piece, and may be empty.
func TestRule9WriteMessage(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, op := range []walve.Opcode{text, bin} {
			for _, size := range []int{0, 1, 125, 126, 65535, 65536, 200000} {
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: client}, memconn.Buffer(1<<20))
					payload := filler(size)
					if err := c.WriteMessage(op, []byte(payload)); err != nil {
						t.Fatal(err)
					}
					var got string
					want := op
					for {
						h, sent, err := p.next()
						if err != nil || h.Opcode != want || h.Length > int64(walve.PieceSize) {
							t.Fatalf("%d bytes: %+v, %v", size, h, err)
						}
						got += sent
						want = cont
						if h.Fin {
							break
						}
					}
					if got != payload {
						t.Errorf("%d bytes, want %d", len(got), size)
					}
					p.wantNothing()
					p.Close()
					c.Close()
				})
			}
		}
	})
}
