package walve_test

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// A Pong may stand for earlier Pings (RFC 6455, 5.5.3).
func TestRule3PongStandsForEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{})
		read := readOn(c)
		var done []<-chan opResult
		var payloads []string
		for range 5 {
			done = append(done, beginErr(func() error { return c.Ping(context.Background()) }))
			_, payload, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, payload)
		}
		p.send(fin|pong, payloads[2])
		synctest.Wait()
		for i, ch := range done {
			if i > 2 {
				pending(t, "Ping", ch)
			} else if r := <-ch; r.err != nil {
				t.Error(r.err)
			}
		}
		p.send(fin|pong, payloads[4])
		for _, ch := range done[3:] {
			if r := <-ch; r.err != nil {
				t.Error(r.err)
			}
		}
		p.Close()
		<-read
		c.Close()
	})
}

// TestRule3Ping: answered between any two Conns, by many callers at once and after
// CloseWrite between walve ends.
func TestRule3Ping(t *testing.T) {
	bothRoles(t, func(t *testing.T, pingsClient bool) {
		for _, halfClose := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe()
				c, other := pair(a, b, halfClose)
				if !pingsClient {
					c, other = other, c
				}
				read, otherRead := readOn(c), readOn(other)
				var wg sync.WaitGroup
				for range 2 * walve.MaxControl {
					wg.Go(func() {
						if err := c.Ping(t.Context()); err != nil {
							t.Errorf("Ping: %v", err)
						}
					})
				}
				wg.Wait()
				if !halfClose {
					c.Close()
					other.Close()
					<-read
					<-otherRead
					return
				}
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if r := <-otherRead; r.err != io.EOF {
					t.Fatal(r.err)
				}
				// The other may still write, so c may still ask whether it is there,
				// though its user has no reason to read any more.
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				pinged := beginErr(func() error { return c.Ping(ctx) })
				synctest.Wait()
				if n, err := other.Write([]byte("x")); n != 1 || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
				if r := <-pinged; r.err != nil {
					t.Errorf("Ping after CloseWrite: %v", r.err)
				}
				other.Close()
				<-read
				c.Close()
			})
		}
	})
}

// TestRule3PingEnds: Ping returns when its context or the Conn ends.
func TestRule3PingEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(c *walve.Conn, p *wirePeer)
		want error
	}{
		{"Close", func(c *walve.Conn, p *wirePeer) { c.Close() }, net.ErrClosed},
		{"Close frame of the peer", func(c *walve.Conn, p *wirePeer) { p.send(fin|cls, closePayload(1000, "")) }, net.ErrClosed},
		{"Close frame of 1001", func(c *walve.Conn, p *wirePeer) { p.send(fin|cls, closePayload(1001, "")) }, nil},
		{"FIN", func(c *walve.Conn, p *wirePeer) { p.CloseWrite() }, io.ErrUnexpectedEOF},
		{"RST", func(c *walve.Conn, p *wirePeer) { p.Reset() }, syscall.ECONNRESET},
		{"violation", func(c *walve.Conn, p *wirePeer) { p.send(15, "") }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: true})
				read := readOn(c)
				done := beginErr(func() error { return c.Ping(context.Background()) })
				synctest.Wait()
				pending(t, "Ping", done)
				tt.end(c, p)
				synctest.Wait()
				r := <-done
				wantOpError(t, "Ping", r.err, tt.want)
				wantOpError(t, "Ping afterwards", c.Ping(context.Background()), nil)
				p.Close()
				<-read
				c.Close()
				wantOpError(t, "Ping after Close", c.Ping(context.Background()), net.ErrClosed)
			})
		})
	}
}

// TestRule3PingContext: the context bounds the wait and harms nothing.
func TestRule3PingContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{})
		read := readOn(c)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantOpError(t, "Ping", c.Ping(ctx), context.Canceled)
		p.wantNothing()

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		wantOpError(t, "Ping", c.Ping(ctx), context.DeadlineExceeded)
		if d := time.Since(start); d != time.Second {
			t.Errorf("after %v", d)
		}
		_, late, _ := p.next()
		p.send(fin|pong, late)

		// A Ping that cannot leave, since the peer takes nothing.
		p.near.SetWriteLimit(0)
		ctx, cancel = context.WithCancel(t.Context())
		done := beginErr(func() error { return c.Ping(ctx) })
		synctest.Wait()
		pending(t, "Ping", done)
		cancel()
		wantOpError(t, "Ping", (<-done).err, context.Canceled)
		p.near.SetWriteLimit(-1)
		p.next()

		done = beginErr(func() error { return c.Ping(t.Context()) })
		_, payload, _ := p.next()
		p.send(fin|pong, payload)
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
		p.Close()
		<-read
		c.Close()
	})
}

// TestRule3PingAfterCloseWriteForeign: a foreign peer gets nothing behind a Close
// frame.
func TestRule3PingAfterCloseWriteForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{Client: true})
		read := readOn(c)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		p.wantClose(walve.StatusNormalClosure)
		wantOpError(t, "Ping", c.Ping(t.Context()), net.ErrClosed)
		p.send(fin|ping, "x")
		synctest.Wait()
		p.wantNothing()
		p.Close()
		<-read
		c.Close()
	})
}
