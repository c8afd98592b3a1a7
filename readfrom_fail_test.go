package walve_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestReadFromFileFails: what goes wrong inside the frame of a file fails the
// connection, since the frame cannot be finished, and n says what the peer has.
func TestReadFromFileFails(t *testing.T) {
	const size, headerSize, onWire = 100 << 10, 10, 40000
	shorten := func(t *testing.T, c *walve.Conn, f *os.File, peer *memconn.Conn) {
		if err := os.Truncate(f.Name(), onWire/2); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name      string
		meanwhile func(t *testing.T, c *walve.Conn, f *os.File, peer *memconn.Conn)
		cut       bool // by a deadline behind that
		want      error
	}{
		{"file becomes shorter", shorten, false, io.ErrUnexpectedEOF},
		{"file becomes shorter, deadline", shorten, true, io.ErrUnexpectedEOF},
		{"file is closed, deadline", func(t *testing.T, c *walve.Conn, f *os.File, peer *memconn.Conn) { f.Close() }, true, os.ErrClosed},
		{"peer resets", func(t *testing.T, c *walve.Conn, f *os.File, peer *memconn.Conn) { peer.Reset() }, false, syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := randomFile(t, size)
			bubble(t, func(t *testing.T) {
				_, own, peer := memConn(walve.TestConfig{})
				c := walve.NewWritevConn(own, walve.TestConfig{})
				own.SetWriteLimit(onWire)
				r := begin(func() (int, error) { n, err := c.ReadFrom(f); return int(n), err })
				synctest.Wait()
				pending(t, "ReadFrom", r)
				tt.meanwhile(t, c, f, peer)
				if tt.cut {
					c.SetWriteDeadline(past)
				}
				own.SetWriteLimit(-1)
				got := <-r
				checkOpError(t, "ReadFrom", got.err, tt.want)
				if sent := int(own.Written()) - headerSize; got.n != sent {
					t.Errorf("ReadFrom = %d, want what was sent: %d", got.n, sent)
				}
				checkWriteFailed(t, c, tt.want)
				c.Close()
				peer.Close()
			})
		})
	}
}

// TestReadFromInsideMessage: inside a message of NextWriter ReadFrom fails, as
// Write does, with nothing sent.
func TestReadFromInsideMessage(t *testing.T) {
	checkLeaks(t)
	for _, p := range rawPairs() {
		t.Run(p.name, func(t *testing.T) {
			for name, open := range map[string]func() io.Reader{
				"file":  func() io.Reader { return openFile(t, "late") },
				"plain": func() io.Reader { return struct{ io.Reader }{strings.NewReader("late")} },
				"socket": func() io.Reader {
					a, b := tcpSockets(t)
					io.WriteString(a, "late")
					a.Close()
					return b
				},
			} {
				t.Run(name, func(t *testing.T) {
					nc1, nc2 := p.make(t)
					r, w := pair(nc1, nc2, true)
					got := begin(func() (int, error) { b, err := io.ReadAll(r); return len(b), err })
					if err := writeNext(w, walve.Header{Opcode: bin, Length: 2}, []byte("be")); err != nil {
						t.Fatal(err)
					}
					from := open()
					n, err := w.ReadFrom(from)
					wantOpError(t, "ReadFrom", err, nil)
					if n != 0 {
						t.Errorf("ReadFrom = %d", n)
					}
					if err := writeNext(w, walve.Header{Opcode: cont, Length: 3, Fin: true}, []byte("gin")); err != nil {
						t.Error(err)
					}
					w.CloseWrite()
					if r := <-got; r.n != len("begin") || r.err != nil {
						t.Errorf("the peer got %d bytes, %v", r.n, r.err)
					}
					if c, ok := from.(io.Closer); ok {
						c.Close()
					}
					go r.Close() // on a net.Pipe it waits for the other
					w.Close()
				})
			}
		})
	}
}

// TestReadFromSourceFails: ReadFrom of a socket says what a Read of it would,
// with and without the kernel's help, and can go on after a timeout there.
func TestReadFromSourceFails(t *testing.T) {
	checkLeaks(t)
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			nc1, nc2 := tcpSockets(t)
			w, r := pair(nc1, nc2, true)
			if role == "server" {
				w, r = r, w
			}
			wantLikeRead := func(what string, from net.Conn, target error) {
				t.Helper()
				n, err := w.ReadFrom(from)
				_, want := from.Read(make([]byte, 1))
				if n != 0 || err == nil || err.Error() != want.Error() || !errors.Is(err, target) {
					t.Errorf("%s: %d, %v, want %v", what, n, err, want)
				}
			}
			source, from := tcpSockets(t)
			from.SetReadDeadline(past)
			wantLikeRead("deadline", from, os.ErrDeadlineExceeded)
			from.SetReadDeadline(time.Time{})

			io.WriteString(source, "data")
			source.Close()
			w.SetWriteDeadline(past)
			n, err := w.ReadFrom(from)
			checkTimeout(t, "write deadline", err)
			if n != 0 {
				t.Errorf("ReadFrom = %d, want it to take nothing that it cannot write", n)
			}
			w.SetWriteDeadline(time.Time{})
			if n, err := w.ReadFrom(from); n != 4 || err != nil {
				t.Errorf("ReadFrom = %d, %v", n, err)
			}
			from.Close()
			wantLikeRead("closed", from, net.ErrClosed)
			if n, err := w.ReadFrom(new(net.TCPConn)); n != 0 || !errors.Is(err, syscall.EINVAL) {
				t.Errorf("of no connection: %d, %v", n, err)
			}
			if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
				t.Error(err)
			}
			r.Close()
			w.Close()
		})
	}
}

// TestRule5CloseInsideHeaderOfFile: a Close that cuts a file's header has its
// frame finished before the Close frame goes out.
func TestRule5CloseInsideHeaderOfFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := bytes.Repeat([]byte("x"), 300)
		name := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		own, peer := memconn.Pipe()
		c := walve.NewWritevConn(own, walve.TestConfig{})
		own.SetWriteLimit(1) // one byte of the header
		read := make(chan int64, 1)
		go func() {
			n, err := c.ReadFrom(f)
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("ReadFrom: %v", err)
			}
			read <- n
		}()
		synctest.Wait()
		go func() {
			peer.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			<-read
			own.SetWriteLimit(-1)
		}()
		c.Close()
		got, _ := io.ReadAll(peer)
		fr := walve.NewFrameReader(bytes.NewReader(got))
		fr.Next()
		if p, err := io.ReadAll(fr); !bytes.Equal(p, data) || err != nil {
			t.Errorf("the payload is %x, %v", p, err)
		}
		if h, err := fr.Next(); h.Opcode != walve.OpClose || err != nil {
			t.Errorf("then %+v, %v", h, err)
		}
		peer.Close()
	})
}
