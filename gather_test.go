package walve_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// countingConn counts the writes that reach the connection.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (w *countingConn) Write(p []byte) (int, error) {
	w.writes.Add(1)
	return w.Conn.Write(p)
}

// TestGather sends many small messages in one write to an echo of messages:
// the answers keep their boundaries and order, leave in few writes, and none
// is held back, whatever ends the exchange.
func TestGather(t *testing.T) {
	const n = 500
	ends := map[string]func(c *walve.Conn, last bool) bool{
		"echo only": func(*walve.Conn, bool) bool { return false },
		"Close": func(c *walve.Conn, last bool) bool {
			if last {
				c.Close()
			}
			return last
		},
		"CloseWrite": func(c *walve.Conn, last bool) bool {
			if last {
				c.CloseWrite()
			}
			return last
		},
		"NextWriter": func(c *walve.Conn, last bool) bool {
			if last {
				w, err := c.NextWriter(walve.Header{Fin: true, Opcode: walve.OpBinary, Length: 3})
				if err != nil {
					t.Error(err)
					return true
				}
				io.WriteString(w, "end")
				w.Close()
			}
			return last
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				raw, nc := memconn.Pipe()
				counter := &countingConn{Conn: nc}
				server := walve.NewTestConn(counter, walve.TestConfig{HalfClose: true})
				var in bytes.Buffer
				fw := walve.NewFrameWriter(&in)
				for i := range n {
					m := fmt.Sprint("message ", i)
					fw.WriteFrame(walve.Header{Fin: true, Opcode: walve.OpText, Masked: true, Length: int64(len(m))}, []byte(m))
					if i%50 == 0 {
						fw.WriteFrame(walve.Header{Fin: true, Opcode: walve.OpPing, Masked: true}, nil)
					}
				}
				nc.SetWriteLimit(0) // so that the scheduler has no say in what is gathered
				raw.Write(in.Bytes())
				echoed := make(chan struct{})
				go func() {
					defer close(echoed)
					for i := 0; ; i++ {
						op, p, err := server.ReadMessage()
						if err != nil {
							return
						}
						if err := server.WriteMessage(op, p); err != nil {
							t.Error(err)
							return
						}
						if end(server, i == n-1) {
							return
						}
					}
				}()
				synctest.Wait()
				nc.SetWriteLimit(-1)
				fr := walve.NewFrameReader(raw)
				for i, pongs := 0, 0; i < n || pongs < n/50; {
					h, err := fr.Next()
					if err != nil {
						t.Fatalf("after %d messages and %d Pongs: %v", i, pongs, err)
					}
					p, _ := io.ReadAll(fr)
					if h.Opcode == walve.OpPong {
						pongs++
						continue
					}
					if want := fmt.Sprint("message ", i); string(p) != want || h.Opcode != walve.OpText || !h.Fin {
						t.Fatalf("got %+v %q, want %q", h, p, want)
					}
					i++
				}
				if w := counter.writes.Load(); w > n/4 {
					t.Errorf("%d messages took %d writes", n, w)
				}
				// The last answer is here before what ends the exchange is over.
				raw.CloseWrite()
				<-echoed
				raw.Close()
				server.Close()
			})
		})
	}
}
