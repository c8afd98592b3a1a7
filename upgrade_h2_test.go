package walve_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/h2enabled"
	"github.com/bodokaiser/walve/internal/memconn"
)

// A handlerStream is what net/http gives a handler on HTTP/2: an
// http.ResponseWriter that must not be touched behind the handler, and the body
// of the request, which may be.
type handlerStream struct {
	t        testing.TB
	own      *memconn.Conn
	header   http.Header
	returned atomic.Bool
	cancel   context.CancelFunc
	closed   atomic.Bool // the body
}

// extendedConnect returns a handler's arguments, and the client's end.
func extendedConnect(t testing.TB, opts ...memconn.Option) (s *handlerStream, r *http.Request, peer *memconn.Conn) {
	own, peer := memconn.Pipe(opts...)
	ctx, cancel := context.WithCancel(context.Background())
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, own.LocalAddr())
	s = &handlerStream{t: t, own: own, header: make(http.Header), cancel: cancel}
	r = (&http.Request{
		Method: http.MethodConnect, Proto: "HTTP/2.0", ProtoMajor: 2, Body: handlerBody{s}, RemoteAddr: "192.0.2.1:1234",
		Header: http.Header{":protocol": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Extensions": {"walve.half-close"}},
	}).WithContext(ctx)
	return s, r, peer
}

// handlerReturns is what the server does behind the handler.
func (s *handlerStream) handlerReturns() {
	s.cancel()
	s.returned.Store(true)
	handlerBody{s}.Close()
	s.own.CloseWrite()
}

func (s *handlerStream) used(what string) {
	if s.returned.Load() {
		s.t.Errorf("%s behind the handler", what)
	}
}

func (s *handlerStream) Header() http.Header { s.used("Header"); return s.header }
func (s *handlerStream) WriteHeader(int)     { s.used("WriteHeader") }
func (s *handlerStream) FlushError() error   { s.used("Flush"); return nil }

func (s *handlerStream) Write(p []byte) (int, error) {
	s.used("Write")
	n, err := s.own.Write(p)
	s.used("Write")
	return n, err
}

func (s *handlerStream) SetReadDeadline(t time.Time) error {
	s.used("SetReadDeadline")
	return nil
}

func (s *handlerStream) SetWriteDeadline(t time.Time) error {
	s.used("SetWriteDeadline")
	if !t.IsZero() {
		s.own.Reset()
	}
	return nil
}

type handlerBody struct{ *handlerStream }

func (b handlerBody) Read(p []byte) (int, error) {
	n, err := b.own.Read(p)
	if err != nil && b.closed.Load() {
		err = http.ErrBodyReadAfterClose
	}
	return n, err
}

func (b handlerBody) Close() error {
	if !b.closed.Swap(true) {
		b.own.SetReadDeadline(past)
	}
	return nil
}

// TestHTTP2HandlerReturns has handlers return in every way; nothing may touch
// the http.ResponseWriter from then on, and nothing may be left behind.
func TestHTTP2HandlerReturns(t *testing.T) {
	const second = time.Second
	closing := newScript(true, closeFrame(1000, "")).wire
	for _, tt := range []struct {
		name  string
		opts  []memconn.Option
		f     func(t *testing.T, c *walve.Conn, peer *memconn.Conn)
		takes time.Duration
	}{
		{"peer answers", nil, func(t *testing.T, c *walve.Conn, peer *memconn.Conn) {
			time.AfterFunc(second/4, func() { peer.Write(closing) })
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}, second / 4},
		{"peer does not answer", nil, func(t *testing.T, c *walve.Conn, _ *memconn.Conn) {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}, second},
		{"peer takes nothing", []memconn.Option{memconn.Buffer(1)}, func(t *testing.T, c *walve.Conn, _ *memconn.Conn) {
			c.Write(make([]byte, 50_000))
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}, second},
		{"Write blocked", []memconn.Option{memconn.Buffer(1)}, func(t *testing.T, c *walve.Conn, _ *memconn.Conn) {
			wait := background(func() error { _, err := c.Write(make([]byte, 500_000)); return err })
			synctest.Wait()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			checkOpError(t, "Write", wait(), net.ErrClosed)
		}, second},
		{"closed twice", nil, func(t *testing.T, c *walve.Conn, peer *memconn.Conn) {
			first := background(c.Close)
			synctest.Wait()
			time.AfterFunc(second/2, func() { peer.Write(closing) })
			checkOpError(t, "second Close", c.Close(), net.ErrClosed)
			if err := first(); err != nil {
				t.Error(err)
			}
		}, second / 2},
		{"failed", nil, func(t *testing.T, c *walve.Conn, peer *memconn.Conn) {
			peer.Reset()
			if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Error(err)
			}
			c.Close()
		}, 0},
		{"half-closed", nil, func(t *testing.T, c *walve.Conn, peer *memconn.Conn) {
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			peer.Write(closing)
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Error(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r, peer := extendedConnect(t, tt.opts...)
				begun := time.Now()
				c, err := walve.Upgrade(s, r)
				if err != nil {
					t.Fatal(err)
				}
				tt.f(t, c, peer)
				if d := time.Since(begun); d != tt.takes {
					t.Errorf("took %v, want %v", d, tt.takes)
				}
				s.handlerReturns()
				time.Sleep(time.Minute) // whatever is in the background shows
				c.Read(make([]byte, 1))
				c.Write([]byte("x"))
				c.Close()
				peer.Close()
			})
		})
	}
}

// TestHTTP2HandlerReturnsTooEarly breaks the rules of Upgrade: the Conn fails,
// for whoever still has it.
func TestHTTP2HandlerReturnsTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, closes := range []bool{true, false} {
			s, r, peer := extendedConnect(t)
			c, err := (&walve.Upgrader{KeepAlive: -1}).Upgrade(s, r)
			if err != nil {
				t.Fatal(err)
			}
			read := background(func() error { _, err := c.Read(make([]byte, 1)); return err })
			synctest.Wait()
			s.handlerReturns()
			if err := read(); err == nil || err == io.EOF {
				t.Errorf("Read: %v", err)
			}
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("Write succeeded")
			}
			var wg sync.WaitGroup
			if closes {
				wg.Go(func() { c.Close() })
				wg.Go(func() { c.Close() })
			}
			wg.Wait()
			peer.Close()
			// In the end the bubble wants to see that nothing is left, Close or not.
		}
	})
}

// TestHTTP2Date: the answer says when it was made (RFC 9110, 6.6.1), unless the
// handler has set the field, or taken it out.
func TestHTTP2Date(t *testing.T) {
	answer := func(t *testing.T, set func(http.Header)) []string {
		s, r, peer := extendedConnect(t)
		set(s.header)
		c, err := (&walve.Upgrader{KeepAlive: -1}).Upgrade(s, r)
		if err != nil {
			t.Fatal(err)
		}
		date := s.header["Date"]
		peer.Close()
		c.Close()
		s.handlerReturns()
		return date
	}
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			for range 2 { // the second one finds it formatted
				want := time.Now().UTC().Format(http.TimeFormat)
				if date := answer(t, func(http.Header) {}); len(date) != 1 || date[0] != want {
					t.Errorf("Date is %q, not %q", date, want)
				}
			}
			time.Sleep(time.Second)
		}
		if date := answer(t, func(h http.Header) { h.Set("Date", "mine") }); len(date) != 1 || date[0] != "mine" {
			t.Errorf("Date is %q", date)
		}
		if date := answer(t, func(h http.Header) { h["Date"] = nil }); len(date) != 0 {
			t.Errorf("Date is %q", date)
		}
	})
}

// TestHTTP2BodyFails: a reset by the client ends a Conn as it does on TCP.
func TestHTTP2BodyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, peer := extendedConnect(t)
		c, err := walve.Upgrade(s, r)
		if err != nil {
			t.Fatal(err)
		}
		if nc := c.NetConn(); nc != nil {
			t.Errorf("NetConn is %v", nc)
		}
		peer.Reset()
		_, err = c.Read(make([]byte, 1))
		var ne net.Error
		if !errors.As(err, &ne) || ne.Timeout() {
			t.Errorf("Read: %v", err)
		}
		c.Close()
		s.handlerReturns()
		peer.Close()
	})
}

// TestHTTP2StreamReset: a stream that the client has ended and then reset frees
// its handler, whatever the user of the Conn does, who still gets what has come.
func TestHTTP2StreamReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, peer := extendedConnect(t)
		ln := &walve.Listener{Upgrader: walve.Upgrader{KeepAlive: -1}}
		served := background(func() error { ln.ServeHTTP(s, r); return nil })
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		peer.Write(newScript(true, scriptFrame{bin, true, "x"}).wire)
		peer.CloseWrite()
		synctest.Wait()
		s.cancel()
		served()
		s.handlerReturns()
		if _, err := c.Write([]byte("y")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Write: %v", err)
		}
		b, err := io.ReadAll(c)
		if string(b) != "x" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q, %v", b, err)
		}
		c.Close()
		peer.Close()
	})
}

// A brokenStream is a handlerStream with an http.ResponseWriter that is not as
// net/http's.
type brokenStream struct {
	*handlerStream
	flush error
	panic bool // Write does
}

func (s *brokenStream) FlushError() error { return s.flush }

func (s *brokenStream) Write(p []byte) (int, error) {
	if s.panic {
		panic("the stream is gone")
	}
	return s.handlerStream.Write(p)
}

// TestHTTP2ResponseWriter: an http.ResponseWriter that cannot do what a Conn
// needs fails the Upgrade, or the Conn, and nothing else.
func TestHTTP2ResponseWriter(t *testing.T) {
	t.Run("no deadlines", func(t *testing.T) {
		s, r, _ := extendedConnect(t)
		_, err := walve.Upgrade(struct{ http.ResponseWriter }{s}, r)
		he, ok := err.(*walve.HandshakeError)
		if !ok || he.StatusCode != http.StatusInternalServerError || !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("%v", err)
		}
	})
	t.Run("Flush fails", func(t *testing.T) {
		s, r, _ := extendedConnect(t)
		if _, err := walve.Upgrade(&brokenStream{s, syscall.EPIPE, false}, r); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%v", err)
		}
	})
	t.Run("Write panics", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, r, peer := extendedConnect(t)
			c, err := (&walve.Upgrader{KeepAlive: -1}).Upgrade(&brokenStream{s, nil, true}, r)
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("x")) // into the queue
			synctest.Wait()
			_, err = c.Write([]byte("x"))
			if _, ok := err.(*net.OpError); !ok {
				t.Errorf("Write: %v", err)
			}
			c.Close()
			s.handlerReturns()
			peer.Close()
		})
	})
}

// TestHTTP2Addresses: those of a request that names none, and of a unix socket.
func TestHTTP2Addresses(t *testing.T) {
	for _, test := range []struct {
		local         net.Addr
		remote        string // the request's
		network, want string
	}{
		{nil, "", "tcp", ":0"},
		{nil, "192.0.2.1:1234", "tcp", "192.0.2.1:1234"},
		{&net.UnixAddr{Net: "unix", Name: "/s"}, "@", "unix", ""},
		{&net.UnixAddr{Net: "unix", Name: "/s"}, "192.0.2.1:1234", "tcp", "192.0.2.1:1234"},
	} {
		s, r, peer := extendedConnect(t)
		r.RemoteAddr = test.remote
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, test.local))
		c, err := walve.Upgrade(s, r)
		if err != nil {
			t.Fatal(err)
		}
		if a := c.RemoteAddr(); a.Network() != test.network || a.String() != test.want {
			t.Errorf("%v, %q: RemoteAddr is %s %v", test.local, test.remote, a.Network(), a)
		}
		if a := c.LocalAddr(); a.Network() != "tcp" && a != test.local {
			t.Errorf("%v: LocalAddr is %s %v", test.local, a.Network(), a)
		}
		peer.Close()
		c.Close()
		s.handlerReturns()
	}
}

// TestHTTP2ServerDeadline: a read deadline that somebody else has set ends the
// Conn. It is none of the Conn's, after which one could go on.
func TestHTTP2ServerDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, peer := extendedConnect(t)
		c, err := walve.Upgrade(s, r)
		if err != nil {
			t.Fatal(err)
		}
		s.own.SetReadDeadline(past)
		_, err = c.Read(make([]byte, 1))
		var ne net.Error
		if !errors.As(err, &ne) || ne.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Read: %v", err)
		}
		c.Close()
		s.handlerReturns()
		peer.Close()
	})
}

// TestHTTP2NotEnabled: without package enable a Listener's own server leaves
// HTTP/2 alone, by prior knowledge too.
func TestHTTP2NotEnabled(t *testing.T) {
	defer func(was bool) { h2enabled.Server = was }(h2enabled.Server)
	for _, enabled := range []bool{false, true} {
		h2enabled.Server = enabled
		ln, err := walve.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		d := &walve.Dialer{HTTP2: walve.HTTP2Always, Proxy: noProxy}
		c, err := d.DialURL(t.Context(), "ws://"+ln.Addr().String())
		if (err == nil) != enabled {
			t.Errorf("enabled is %t, and a dial by HTTP/2 gives %v", enabled, err)
		}
		if err == nil {
			c.NetConn().Close()
		}
		ln.Close()
	}
}

// TestMiddlewareContext: a Listener behind middleware that bounds the context of
// requests (chi's middleware.Timeout): rule 12, "Conn never hangs on it".
func TestMiddlewareContext(t *testing.T) {
	for _, mode := range []walve.HTTP2Mode{walve.HTTP2Never, walve.HTTP2Always} {
		var ln walve.Listener
		defer ln.Close()
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
			defer cancel()
			ln.ServeHTTP(w, r.WithContext(ctx))
		})}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(inner)
		defer server.Close()
		d := &walve.Dialer{HTTP2: mode}
		c, err := d.DialURL(t.Context(), "ws://"+inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if _, err := s.Write([]byte("x")); err != nil {
			t.Errorf("mode %d: Write: %v", mode, err)
		}
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Errorf("mode %d: Read: %v", mode, err)
		}
		c.Close()
		s.Close()
	}
}
