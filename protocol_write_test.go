package walve_test

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestRule10ViolationUnderWrite: a Write that is stuck when the peer breaks the
// protocol ends at a frame boundary, where the Close frame leaves, and its n is
// what the peer gets.
func TestRule10ViolationUnderWrite(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client}, memconn.Buffer(1000))
			write := begin(func() (int, error) { return c.Write(make([]byte, 3*walve.PieceSize)) })
			synctest.Wait()
			p.send(15, "")
			_, err := c.Read(make([]byte, 1))
			wantProtocolError(t, "Read", err, walve.StatusProtocolError)
			pending(t, "Write", write)
			h, got, err := p.next()
			if err != nil || firstByte(h) != bin {
				t.Fatalf("%+v, %v; want the first fragment", h, err)
			}
			p.wantClose(walve.StatusProtocolError)
			p.wantEnd()
			r := <-write
			wantProtocolError(t, "Write", r.err, walve.StatusProtocolError)
			if r.n != len(got) {
				t.Errorf("Write: %d bytes, the peer got %d", r.n, len(got))
			}
			p.Close()
			c.Close()
		})
	})
}

// TestRule10ViolationInsideFrame: a Close frame never gets into a frame of
// NextWriter that is not finished.
func TestRule10ViolationInsideFrame(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, finished := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client})
				w := nextWriter(t, c, walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 6})
				writeN(t, w, "abc")
				p.send(15, "")
				_, err := c.Read(make([]byte, 1))
				wantProtocolError(t, "Read", err, walve.StatusProtocolError)
				synctest.Wait()
				if finished {
					if n, err := io.WriteString(w, "def"); n == 3 && err == nil {
						p.want(fin|bin, "abcdef")
						p.wantClose(walve.StatusProtocolError)
					} else {
						wantProtocolError(t, "Write", err, walve.StatusProtocolError)
						finished = false
					}
				}
				w.Close()
				p.CloseWrite()
				c.Close()
				if finished {
					p.wantEnd()
				} else if h, got, err := p.next(); err == nil || err == io.EOF {
					t.Errorf("%+v %q, %v; want the frame cut", h, got, err)
				}
				p.Close()
			})
		}
	})
}
