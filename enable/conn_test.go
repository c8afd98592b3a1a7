package enable_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/testcert"
)

// checkLeaks fails t if goroutines of the module outlive it.
func checkLeaks(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		var left string
		for range 800 {
			left = ""
			b := make([]byte, 1<<20)
			for i, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
				if i > 0 && strings.Contains(g, "walve") && !strings.Contains(g, "testing.tRunner") &&
					!strings.Contains(g, "h2.(*Conn).readLoop") && !strings.Contains(g, "h2.(*Conn).writeLoop") {
					left += g + "\n\n"
				}
			}
			if left == "" {
				return
			}
			time.Sleep(10 * time.Millisecond) // polls for the end; no result depends on how long
		}
		t.Errorf("goroutines left:\n%s", left)
	})
}

// A service is a server, and how to dial it.
type service struct {
	url    string
	dialer *walve.Dialer
	dials  *atomic.Int32 // connections made
	accept func() (net.Conn, error)
}

// setups are the ways to a pair of Conns: over TLS and not, through a Listener
// in a server of its own, one mounted in net/http's, and Upgrade.
var setups = []struct {
	name string
	make func(t testing.TB, secure bool) *service
}{
	{"Listen", listenService},
	{"mounted", func(t testing.TB, secure bool) *service {
		ln := new(walve.Listener)
		t.Cleanup(func() { ln.Close() })
		s := httpService(t, secure, ln)
		s.accept = ln.Accept
		return s
	}},
	{"Upgrade", func(t testing.TB, secure bool) *service {
		conns := make(chan net.Conn)
		s := httpService(t, secure, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := walve.Upgrade(w, r)
			if err != nil {
				t.Error(err)
				return
			}
			h := &handled{Conn: c, closed: make(chan struct{})}
			conns <- h
			<-h.closed
		}))
		s.accept = func() (net.Conn, error) { return <-conns, nil }
		return s
	}},
}

// handled is a Conn whose handler returns as soon as some Close has.
type handled struct {
	*walve.Conn
	once   sync.Once
	closed chan struct{}
}

func (h *handled) Close() (err error) {
	err = h.Conn.Close()
	h.once.Do(func() { close(h.closed) })
	return err
}

func newService(secure bool, addr string) *service {
	s := &service{url: "ws://" + addr + "/x", dials: new(atomic.Int32)}
	if secure {
		s.url = "wss://" + addr + "/x"
	}
	s.dialer = &walve.Dialer{
		HTTP2: walve.HTTP2Always, TLSConfig: &tls.Config{InsecureSkipVerify: true},
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			s.dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	return s
}

func listenService(t testing.TB, secure bool) *service {
	ln := new(walve.Listener)
	if secure {
		ln.TLSConfig = &tls.Config{Certificates: []tls.Certificate{testcert.Get()}}
	}
	if err := ln.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	s := newService(secure, ln.Addr().String())
	s.accept = ln.Accept
	return s
}

func httpService(t testing.TB, secure bool, handler http.Handler) *service {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: handler, Protocols: new(http.Protocols),
		ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second, // Upgrade clears them
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	if secure {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{testcert.Get()}}
		go server.ServeTLS(inner, "", "")
	} else {
		go server.Serve(inner)
	}
	t.Cleanup(func() { server.Close() })
	return newService(secure, inner.Addr().String())
}

// pair returns the two ends of a connection.
func (s *service) pair(t testing.TB) (client *walve.Conn, server net.Conn) {
	t.Helper()
	client, err := s.dialer.DialURL(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	if client.Response().ProtoMajor != 2 {
		t.Fatal(client.Response().Proto)
	}
	server, err = s.accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func each(t *testing.T, f func(t *testing.T, s *service)) {
	for _, setup := range setups {
		for _, secure := range []bool{true, false} {
			name := setup.name + "/h2c"
			if secure {
				name = setup.name + "/h2"
			}
			t.Run(name, func(t *testing.T) {
				checkLeaks(t)
				f(t, setup.make(t, secure))
			})
		}
	}
}

// TestNetConn is golang.org/x/net/nettest, both ways round.
func TestNetConn(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		for _, clientFirst := range []bool{true, false} {
			name := "client as c1"
			if !clientFirst {
				name = "server as c1"
			}
			t.Run(name, func(t *testing.T) {
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					client, server := s.pair(t)
					c1, c2 = client, server
					if !clientFirst {
						c1, c2 = c2, c1
					}
					return c1, c2, func() { go c1.Close(); c2.Close() }, nil
				})
			})
		}
		if n := s.dials.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestHalfClose: CloseWrite of one side leaves the other direction alone, and a
// clean end is io.EOF on both.
func TestHalfClose(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		type halfCloser interface {
			net.Conn
			CloseWrite() error
		}
		for _, serverFirst := range []bool{false, true} {
			client, server := s.pair(t)
			first, second := halfCloser(client), server.(halfCloser)
			if serverFirst {
				first, second = second, first
			}
			want := bytes.Repeat([]byte("0123456789"), 100_000)
			first.Write([]byte("question"))
			if err := first.CloseWrite(); err != nil {
				t.Error(err)
			}
			if b, err := io.ReadAll(second); string(b) != "question" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			go func() {
				second.Write(want)
				second.CloseWrite()
			}()
			if b, err := io.ReadAll(first); !bytes.Equal(b, want) || err != nil {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			first.Close()
			second.Close()
		}
	})
}

// TestClose: what was written before Close arrives, with unread input too, and
// then io.EOF; the one that closes gets net.ErrClosed.
func TestClose(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		for _, serverFirst := range []bool{false, true} {
			client, server := s.pair(t)
			first, second := net.Conn(client), server
			if serverFirst {
				first, second = second, first
			}
			second.Write([]byte("unread"))
			want := bytes.Repeat([]byte("x"), 50_000)
			first.Write(want)
			got := make(chan []byte)
			go func() {
				b, err := io.ReadAll(second)
				if err != nil {
					t.Error(err)
				}
				got <- b
			}()
			if err := first.Close(); err != nil {
				t.Error(err)
			}
			if b := <-got; !bytes.Equal(b, want) {
				t.Errorf("%d bytes", len(b))
			}
			if _, err := first.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			second.Close()
		}
	})
}

// TestAddrs: real on both sides.
func TestAddrs(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		client, server := s.pair(t)
		if client.LocalAddr().String() != server.RemoteAddr().String() || client.RemoteAddr().String() != server.LocalAddr().String() {
			t.Errorf("%v %v, %v %v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
		}
		for _, c := range []net.Conn{client, server} {
			if _, ok := c.RemoteAddr().(*net.TCPAddr); !ok {
				t.Errorf("%T", c.RemoteAddr())
			}
		}
		client.Close()
		server.Close()
	})
}

// TestMany opens Conns at once, on one connection, and closes them.
func TestMany(t *testing.T) {
	each(t, func(t *testing.T, s *service) {
		const conns = 100
		var wg sync.WaitGroup
		wg.Go(func() {
			for range conns {
				c, err := s.accept()
				if err != nil {
					t.Error(err)
					return
				}
				wg.Go(func() {
					io.Copy(c, c)
					c.Close()
				})
			}
		})
		for i := range conns {
			wg.Go(func() {
				c, err := s.dialer.DialURL(t.Context(), s.url)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				c.Write([]byte{byte(i)})
				c.CloseWrite()
				if b, err := io.ReadAll(c); len(b) != 1 || b[0] != byte(i) || err != nil {
					t.Error(b, err)
				}
			})
		}
		wg.Wait()
		if n := s.dials.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}
