package h2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve/internal/memconn"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// hold returns a DialFunc that gives c once, and then errDialedTwice.
func hold(c *Conn) DialFunc {
	return func(context.Context) (*Conn, error) {
		d := c
		if c = nil; d == nil {
			return nil, errDialedTwice
		}
		return d, nil
	}
}

var errDialedTwice = errors.New("a second connection is wanted")

// empty fails t unless p knows no connection.
func (p *Pool) empty(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.hosts) != 0 {
		t.Errorf("%d hosts are left", len(p.hosts))
	}
}

// TestPoolNoStreams: a server that allows no streams is told goodbye.
func TestPoolNoStreams(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		var p Pool
		begun := time.Now()
		if _, _, err := p.Open(t.Context(), "key", request, hold(c)); err != errNoStreams {
			t.Error(err)
		}
		if code := s.goAway(); code != http2.ErrCodeNo {
			t.Error(code)
		}
		<-c.closed
		if d := time.Since(begun); d > 0 {
			t.Errorf("after %v", d)
		}
		p.empty(t)
	}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
}

// TestPoolEndsEarly: a connection may end when it has joined the Pool and the
// Pool does not know it yet, which then finds nothing to forget.
func TestPoolEndsEarly(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		var p Pool
		dial := hold(c)
		_, _, err := p.Open(t.Context(), "key", request, func(ctx context.Context) (*Conn, error) {
			got, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			p.mu.Lock() // what dial takes to make c known
			go func() {
				defer p.mu.Unlock()
				for {
					c.mu.Lock()
					joined := c.pool == &p
					if joined {
						c.pool = nil // which finds nothing
						c.endLocked(net.ErrClosed)
						c.pool = &p
					}
					c.mu.Unlock()
					if joined {
						return
					}
					runtime.Gosched()
				}
			}()
			return got, nil
		})
		if err != errDialedTwice { // nothing was sent: it is tried elsewhere
			t.Error(err)
		}
		p.empty(t)
	})
}

// TestLastStream: a connection whose stream identifiers run out takes no more
// streams, and ends with the last.
func TestLastStream(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		c.mu.Lock()
		c.nextID = 1<<31 - 1
		c.mu.Unlock()
		var p Pool
		opening := make(chan opened, 1)
		dial := hold(c)
		go func() {
			var o opened
			o.s, o.resp, o.err = p.Open(t.Context(), "key", request, dial)
			opening <- o
		}()
		id := s.next().(*http2.HeadersFrame).StreamID
		if id != 1<<31-1 {
			t.Errorf("stream %d", id)
		}
		s.headers(id, false, ":status", "200")
		o := <-opening
		if o.err != nil {
			t.Fatal(o.err)
		}
		p.empty(t)
		if _, _, err := p.Open(t.Context(), "key", request, dial); err != errDialedTwice {
			t.Error(err)
		}
		s.fr.WriteData(id, false, []byte("x"))
		if n, err := o.s.Read(make([]byte, 2)); n != 1 || err != nil {
			t.Error(n, err)
		}
		if c.reserve() {
			t.Error("there is a place")
		}
		begun := time.Now()
		o.s.Close()
		<-c.closed
		if d := time.Since(begun); d > 0 {
			t.Errorf("after %v", d)
		}
	})
}

// TestGoAwayAtOnce: a server that is about to end sends GOAWAY right behind its
// SETTINGS. The request was not looked at, and is tried on the next connection,
// as it is if GOAWAY comes a moment later.
func TestGoAwayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		dial := func(ctx context.Context) (*Conn, error) {
			dials++
			first := dials == 1
			a, b := memconn.Pipe(memconn.Buffer(1 << 20))
			go func() {
				defer b.Close()
				io.ReadFull(b, make([]byte, len(http2.ClientPreface)))
				var burst bytes.Buffer
				fr := http2.NewFramer(&burst, b)
				fr.WriteSettings(rfc8441)
				if first {
					fr.WriteGoAway(0, http2.ErrCodeNo, nil)
				}
				b.Write(burst.Bytes())
				for {
					f, err := fr.ReadFrame()
					if err != nil {
						return
					}
					if _, ok := f.(*http2.HeadersFrame); ok {
						burst.Reset()
						var block bytes.Buffer
						hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
						fr.WriteHeaders(http2.HeadersFrameParam{StreamID: f.Header().StreamID, EndHeaders: true, BlockFragment: block.Bytes()})
						b.Write(burst.Bytes())
					}
				}
			}()
			c, err := New(ctx, a, Config{})
			synctest.Wait() // GOAWAY is read
			return c, err
		}
		var p Pool
		s, _, err := p.Open(t.Context(), "key", request, dial)
		if err != nil {
			t.Fatalf("after %d dials: %v", dials, err)
		}
		s.c.fail(io.EOF)
	})
}
