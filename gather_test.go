package walve_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
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

// TestGatherRefuses has WriteMessage fail where it would gather: nothing is
// sent, and what was gathered before leaves.
func TestGatherRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, c *walve.Conn)
		check func(t testing.TB, what string, err error)
	}{
		{"closed", func(t *testing.T, c *walve.Conn) { c.Close() },
			func(t testing.TB, what string, err error) { checkOpError(t, what, err, net.ErrClosed) }},
		{"deadline", func(t *testing.T, c *walve.Conn) { c.SetWriteDeadline(past) }, checkTimeout},
		{"message open", func(t *testing.T, c *walve.Conn) {
			if err := writeNext(c, walve.Header{Opcode: bin, Length: 4}, []byte("open")); err != nil {
				t.Fatal(err)
			}
		}, func(t testing.TB, what string, err error) { wantOpError(t, what, err, nil) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
				c, own, peer := memConn(cfg)
				peer.Write(newScript(!cfg.Client, scriptFrame{bin, true, "1"}, scriptFrame{bin, true, "2"}, scriptFrame{bin, true, "3"}).wire)
				for i := range 2 {
					op, p, err := c.ReadMessage()
					if err != nil {
						t.Fatal(err)
					}
					if i == 1 {
						tt.spoil(t, c)
					}
					if err := c.WriteMessage(op, p); i == 0 && err != nil {
						t.Fatal(err)
					} else if i == 1 {
						tt.check(t, "WriteMessage", err)
					}
				}
				synctest.Wait()
				if got := decode(t, take(t, own, peer), cfg.Client); got[0] != (scriptFrame{bin, true, "1"}) || strings.Contains(fmt.Sprint(got[1:]), `"2"`) {
					t.Errorf("the peer got %v", got)
				}
				peer.Close()
				c.Close()
			})
		})
	}
}

// TestGatherFull answers more than is gathered while nothing leaves: WriteMessage
// then waits, and all answers come, in order.
func TestGatherFull(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		const n = 20
		c, own, peer := memConn(cfg)
		own.SetWriteLimit(0)
		var in, want []scriptFrame
		for i := range n {
			in = append(in, scriptFrame{bin, true, "?"})
			want = append(want, scriptFrame{bin, true, strings.Repeat(string(rune('a'+i)), 2<<10)})
		}
		peer.Write(newScript(!cfg.Client, in...).wire)
		answered := begin(func() (i int, err error) {
			for ; i < n && err == nil; i++ {
				if _, _, err = c.ReadMessage(); err == nil {
					err = c.WriteMessage(bin, []byte(want[i].payload))
				}
			}
			return i, err
		})
		synctest.Wait()
		pending(t, "the answers", answered)
		own.SetWriteLimit(-1)
		if r := <-answered; r.n != n || r.err != nil {
			t.Fatalf("%d answers, %v", r.n, r.err)
		}
		synctest.Wait()
		checkFrames(t, "answers", decode(t, take(t, own, peer), cfg.Client), want...)
		closeBoth(t, c, peer)
	})
}
