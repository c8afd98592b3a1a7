package walve_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
)

// mount serves l in an http.Server of its own.
func mount(t testing.TB, l *walve.Listener) *httptest.Server {
	srv := httptest.NewServer(l)
	t.Cleanup(func() {
		srv.Close()
		l.Close()
	})
	return srv
}

func dial(t testing.TB, url string) *walve.Conn {
	t.Helper()
	c, err := walve.Dial(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t testing.TB, l net.Listener) *walve.Conn {
	t.Helper()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c, ok := nc.(*walve.Conn)
	if !ok {
		t.Fatalf("Accept returned a %T", nc)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantEcho sends bytes both ways.
func wantEcho(t testing.TB, a, b net.Conn) {
	t.Helper()
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		if _, err := ends[0].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(ends[1], buf); err != nil || string(buf) != "hello" {
			t.Fatalf("%q, %v", buf, err)
		}
	}
}

// wantStatus wants a refusal.
func wantStatus(t testing.TB, err error, status int) *http.Response {
	t.Helper()
	var refused *walve.HandshakeError
	if !errors.As(err, &refused) || refused.StatusCode != status || refused.Response == nil {
		t.Fatalf("%v, want status %d", err, status)
	}
	return refused.Response
}

// wantGoingAway wants the end of a connection that the server never accepted,
// or that Shutdown has closed.
func wantGoingAway(t testing.TB, c net.Conn) {
	t.Helper()
	var ce *walve.CloseError
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &ce) || ce.Code != walve.StatusGoingAway {
		t.Errorf("Read: %v, want 1001", err)
	}
}

func wantClosed(t testing.TB, err error) {
	t.Helper()
	var oe *net.OpError
	if !errors.As(err, &oe) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want net.ErrClosed in a *net.OpError", err)
	}
}

// TestListenerMounted: the zero value is ready, ServeHTTP returns at once, and
// Accept has only to take what is there.
func TestListenerMounted(t *testing.T) {
	checkLeaks(t)
	var l walve.Listener
	returned := make(chan struct{}, 1)
	type user struct{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), user{}, "jane")))
		returned <- struct{}{}
	}))
	defer srv.Close()
	defer l.Close()
	if a, ok := l.Addr().(*net.TCPAddr); !ok || a.Port != 0 {
		t.Errorf("Addr %v", l.Addr())
	}
	client := dial(t, srv.URL+"/path?query")
	<-returned
	server := accept(t, &l)
	wantEcho(t, client, server)
	r := server.Request()
	if r == nil || r.URL.Path != "/path" || r.Context().Value(user{}) != "jane" {
		t.Errorf("Request %v", r)
	}
	if server.Response() != nil || client.Request() != nil || client.Response() == nil {
		t.Error("Request is the server's, Response is the client's")
	}
	if client.RemoteAddr().String() != server.LocalAddr().String() || client.LocalAddr().String() != server.RemoteAddr().String() {
		t.Error("addresses do not match")
	}
}

func TestListenerFallback(t *testing.T) {
	fallback := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a page") })
	for _, tt := range []struct {
		name     string
		fallback http.Handler
		changes  []string
		status   int
	}{
		{"no upgrade", fallback, []string{"-Upgrade", "-Connection"}, 200},
		{"POST", fallback, []string{"POST / HTTP/1.1", "-Upgrade"}, 200},
		{"other protocol", fallback, []string{"Upgrade: h2c"}, 200},
		// RFC 9110, 7.8: Upgrade is ignored in HTTP/1.0.
		{"HTTP/1.0", fallback, []string{"GET / HTTP/1.0"}, 200},
		{"upgrade", fallback, nil, 101},
		{"POST with upgrade", fallback, []string{"POST / HTTP/1.1"}, 405},
		{"bad key", fallback, []string{"-Sec-WebSocket-Key"}, 400},
		{"no upgrade, no Fallback", nil, []string{"-Upgrade", "-Connection"}, 426},
		{"POST, no Fallback", nil, []string{"POST / HTTP/1.1", "-Upgrade"}, 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := mount(t, &walve.Listener{Fallback: tt.fallback})
			p := dialRaw(t, srv.Listener.Addr().String())
			p.send(upgradeRequest(tt.changes...))
			if resp := p.response(); resp.StatusCode != tt.status {
				t.Errorf("status %s, want %d", resp.Status, tt.status)
			}
		})
	}
}

// TestListenerBacklog: what is upgraded and not accepted is bounded, and more
// is refused before the upgrade.
func TestListenerBacklog(t *testing.T) {
	checkLeaks(t)
	var panics atomic.Bool
	l := &walve.Listener{Backlog: 2}
	l.Upgrader.CheckOrigin = func(*http.Request) bool {
		if panics.Load() {
			panic(http.ErrAbortHandler)
		}
		return true
	}
	srv := mount(t, l)
	addr := srv.Listener.Addr().String()

	// Requests that fail take no place for longer.
	panics.Store(true)
	for range 3 {
		p := dialRaw(t, addr)
		p.send(upgradeRequest())
		if _, err := http.ReadResponse(p.Reader, nil); err == nil {
			t.Error("the handler was to panic")
		}
		p = dialRaw(t, addr)
		p.send(upgradeRequest("-Sec-WebSocket-Key"))
		p.response()
	}
	panics.Store(false)

	dial(t, srv.URL)
	dial(t, srv.URL)
	for range 2 {
		_, err := walve.Dial(context.Background(), srv.URL)
		resp := wantStatus(t, err, http.StatusServiceUnavailable)
		if resp.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	accept(t, l)
	dial(t, srv.URL)
	_, err := walve.Dial(context.Background(), srv.URL)
	wantStatus(t, err, http.StatusServiceUnavailable)
	for range 2 {
		accept(t, l)
	}
}

func TestListenerBacklogDefault(t *testing.T) {
	l := new(walve.Listener)
	srv := mount(t, l)
	for range 128 {
		dialRaw(t, srv.Listener.Addr().String()).upgrade()
	}
	_, err := walve.Dial(context.Background(), srv.URL)
	wantStatus(t, err, http.StatusServiceUnavailable)
}

// TestListenerSlowHandshakes: connections that do not finish their request
// hold up neither Accept nor anybody else.
func TestListenerSlowHandshakes(t *testing.T) {
	checkLeaks(t)
	serverTLS, clientTLS := exampleTLS()
	l := &walve.Listener{Backlog: 1, TLSConfig: serverTLS}
	if err := l.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 100 {
		p := dialRaw(t, l.Addr().String())
		if i%2 == 0 {
			continue // and not even TLS
		}
		clientTLS := clientTLS.Clone()
		clientTLS.ServerName = "example.com"
		tc := tls.Client(p.Conn, clientTLS)
		if _, err := io.WriteString(tc, "GET / HTTP/1.1\r\nHost: "); err != nil {
			t.Fatal(err)
		}
	}
	d := &walve.Dialer{TLSConfig: clientTLS}
	c, err := d.DialURL(context.Background(), "wss://"+l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantEcho(t, c, accept(t, l))
}

// TestListenTimeout: what they hold open ends.
func TestListenTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newMemListener()
		l := walve.NewListener(inner)
		start := time.Now()
		p := inner.dial(t)
		p.send("GET / HTTP/1.1\r\nHost: ")
		io.ReadAll(p)
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("open for %v", d)
		}
		p = inner.dial(t)
		p.send("GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 70_000))
		if resp := p.response(); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %s", resp.Status)
		}
		p.Close()
		l.Close()
		time.Sleep(time.Second) // net/http lingers
	})
}

// TestListenerClose: Accept ends, what was not accepted gets 1001, what was
// accepted lives on.
func TestListenerClose(t *testing.T) {
	checkLeaks(t)
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprintf("own server %v", own), func(t *testing.T) {
			l := new(walve.Listener)
			var url string
			if own {
				if err := l.Listen("tcp", "127.0.0.1:0"); err != nil {
					t.Fatal(err)
				}
				url = "ws://" + l.Addr().String()
			} else {
				url = mount(t, l).URL
			}
			client := dial(t, url)
			server := accept(t, l)
			blocked := make(chan error)
			go func() {
				_, err := l.Accept()
				blocked <- err
			}()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			wantClosed(t, <-blocked)
			_, err := l.Accept()
			wantClosed(t, err)
			wantClosed(t, l.Close())
			wantEcho(t, client, server)
			_, err = walve.Dial(context.Background(), url)
			if own {
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("Dial after Close: %v", err)
				}
			} else {
				wantStatus(t, err, http.StatusServiceUnavailable)
			}
			wantClosed(t, l.Listen("tcp", "127.0.0.1:0"))
		})
	}
}

func TestListenerCloseBacklog(t *testing.T) {
	checkLeaks(t)
	l, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients []*walve.Conn
	for range 5 {
		clients = append(clients, dial(t, "ws://"+l.Addr().String()))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range clients {
		wantGoingAway(t, c)
	}
}

// A request that is being upgraded while the Listener closes is either
// refused or closed with 1001, whatever comes first.
func TestListenerCloseWhileUpgrading(t *testing.T) {
	checkLeaks(t)
	enter, leave := make(chan struct{}), make(chan struct{})
	l := new(walve.Listener)
	l.Upgrader.CheckOrigin = func(*http.Request) bool {
		enter <- struct{}{}
		<-leave
		return true
	}
	srv := mount(t, l)
	results := make(chan *walve.Conn)
	go func() {
		c, err := walve.Dial(context.Background(), srv.URL)
		if err != nil {
			t.Error(err)
		}
		results <- c
	}()
	<-enter
	l.Close()
	ended := make(chan error)
	go func() { ended <- l.Shutdown(context.Background()) }()
	leave <- struct{}{}
	c := <-results
	wantGoingAway(t, c)
	c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestListenerShutdown: it waits for the users, ends with its context, and
// what is left then gets 1001.
func TestListenerShutdown(t *testing.T) {
	checkLeaks(t)
	for _, own := range []bool{true, false} {
		for _, patient := range []bool{true, false} {
			t.Run(fmt.Sprintf("own server %v, users close %v", own, patient), func(t *testing.T) {
				l := new(walve.Listener)
				var url string
				if own {
					if err := l.Listen("tcp", "127.0.0.1:0"); err != nil {
						t.Fatal(err)
					}
					url = "ws://" + l.Addr().String()
				} else {
					url = mount(t, l).URL
				}
				gone := dial(t, url)
				accept(t, l).Close() // no longer counted
				gone.Close()
				client := dial(t, url)
				server := accept(t, l)
				waiting := dial(t, url)

				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				ended := make(chan error, 2)
				for range 2 { // a second caller waits as well
					go func() { ended <- l.Shutdown(ctx) }()
				}
				wantGoingAway(t, waiting)
				_, err := l.Accept()
				wantClosed(t, err)
				if _, err := walve.Dial(context.Background(), url); err == nil {
					t.Error("Dial during Shutdown")
				} else if !own {
					wantStatus(t, err, http.StatusServiceUnavailable)
				}
				wantEcho(t, client, server)
				select {
				case err := <-ended:
					t.Fatalf("Shutdown did not wait: %v", err)
				default:
				}
				var want error
				if patient {
					server.Close()
				} else {
					cancel()
					wantGoingAway(t, client)
					want = context.Canceled
				}
				// The second may have begun when all was over.
				if err, err2 := <-ended, <-ended; err != want && err2 != want || err != want && err != nil || err2 != want && err2 != nil {
					t.Errorf("Shutdown: %v and %v, want %v", err, err2, want)
				}
				if !patient {
					_, err := server.Read(make([]byte, 1))
					wantClosed(t, err)
				}
				if err := l.Shutdown(context.Background()); err != nil {
					t.Errorf("nothing is left, but Shutdown: %v", err)
				}
			})
		}
	}
}

func TestListenerShutdownUnused(t *testing.T) {
	l := new(walve.Listener)
	if err := l.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	_, err := l.Accept()
	wantClosed(t, err)
	wantClosed(t, l.Close())
}

// Shutdown waits for Fallback's answers as well.
func TestListenerShutdownFallback(t *testing.T) {
	checkLeaks(t)
	enter, leave := make(chan struct{}), make(chan struct{})
	l := &walve.Listener{Fallback: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		enter <- struct{}{}
		<-leave
		io.WriteString(w, "done")
	})}
	if err := l.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, l.Addr().String())
	p.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-enter
	ended := make(chan error)
	go func() { ended <- l.Shutdown(context.Background()) }()
	_, err := l.Accept()
	wantClosed(t, err)
	leave <- struct{}{}
	body, err := io.ReadAll(p.response().Body)
	if string(body) != "done" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestListenerServe is every kind of socket.
func TestListenerServe(t *testing.T) {
	checkLeaks(t)
	serverTLS, clientTLS := exampleTLS()
	serverTLS = serverTLS.Clone()
	serverTLS.NextProtos = []string{"h2", "acme-tls/1"}
	listen := func(t *testing.T, network, addr string) net.Listener {
		ln, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	for _, tt := range []struct {
		name, network string
		start         func(t *testing.T, network, addr string) (*walve.Listener, error)
		secure        bool
	}{
		{"Listen", "tcp", func(t *testing.T, network, addr string) (*walve.Listener, error) {
			return walve.Listen(network, addr)
		}, false},
		{"Listen", "unix", func(t *testing.T, network, addr string) (*walve.Listener, error) {
			return walve.Listen(network, addr)
		}, false},
		{"NewListener", "tcp", func(t *testing.T, network, addr string) (*walve.Listener, error) {
			return walve.NewListener(listen(t, network, addr)), nil
		}, false},
		{"NewListener, tls.Listener", "tcp", func(t *testing.T, network, addr string) (*walve.Listener, error) {
			config := serverTLS.Clone()
			config.NextProtos = nil
			return walve.NewListener(tls.NewListener(listen(t, network, addr), config)), nil
		}, true},
		{"TLSConfig", "tcp", func(t *testing.T, network, addr string) (*walve.Listener, error) {
			l := &walve.Listener{TLSConfig: serverTLS}
			return l, l.Listen(network, addr)
		}, true},
		{"TLSConfig", "unix", func(t *testing.T, network, addr string) (*walve.Listener, error) {
			l := &walve.Listener{TLSConfig: serverTLS}
			return l, l.Serve(listen(t, network, addr))
		}, true},
	} {
		t.Run(tt.name+"/"+tt.network, func(t *testing.T) {
			addr, url := "127.0.0.1:0", "ws://"
			if tt.network == "unix" {
				addr = filepath.Join(t.TempDir(), "s")
				url = "ws+unix://"
			}
			l, err := tt.start(t, tt.network, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if l.Addr().Network() != tt.network {
				t.Errorf("Addr %v", l.Addr())
			}
			d := &walve.Dialer{TLSConfig: clientTLS.Clone()}
			d.TLSConfig.ServerName = "example.com"
			if tt.secure {
				url = strings.Replace(url, "ws", "wss", 1)
			}
			client, err := d.DialURL(context.Background(), url+l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server := accept(t, l)
			wantEcho(t, client, server)
			if tt.secure {
				tc, ok := server.NetConn().(*tls.Conn)
				if !ok || server.Request().TLS == nil || client.Response().TLS == nil {
					t.Fatalf("NetConn is a %T, TLS of the request %v, of the response %v", server.NetConn(), server.Request().TLS, client.Response().TLS)
				}
				if tt.name == "TLSConfig" && tc.ConnectionState().NegotiatedProtocol != "http/1.1" {
					t.Errorf("ALPN chose %q", tc.ConnectionState().NegotiatedProtocol)
				}
			}
			for _, c := range []*walve.Conn{client, server} {
				if _, ok := c.LocalAddr().(*net.TCPAddr); ok != (tt.network == "tcp") {
					t.Errorf("LocalAddr is a %T", c.LocalAddr())
				}
				if _, ok := c.RemoteAddr().(*net.TCPAddr); ok != (tt.network == "tcp") {
					t.Errorf("RemoteAddr is a %T", c.RemoteAddr())
				}
			}
		})
	}
	if got := strings.Join(serverTLS.NextProtos, " "); got != "h2 acme-tls/1" {
		t.Errorf("the caller's TLSConfig was changed: %s", got)
	}
}

// Several sockets, mounted as well.
func TestListenerSeveral(t *testing.T) {
	checkLeaks(t)
	l := new(walve.Listener)
	srv := mount(t, l)
	urls := []string{srv.URL}
	for range 2 {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Serve(inner); err != nil {
			t.Fatal(err)
		}
		urls = append(urls, "ws://"+inner.Addr().String())
	}
	if "ws://"+l.Addr().String() != urls[1] {
		t.Errorf("Addr %v, want the first of %v", l.Addr(), urls[1:])
	}
	for _, url := range urls {
		client := dial(t, url)
		wantEcho(t, client, accept(t, l))
	}
}

func TestListenErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, tt := range []struct {
		l             *walve.Listener
		network, addr string
	}{
		{&walve.Listener{}, "tcp", ln.Addr().String()},
		{&walve.Listener{}, "udp", "127.0.0.1:0"},
		{&walve.Listener{}, "unixpacket", filepath.Join(t.TempDir(), "s")},
		{&walve.Listener{}, "", ""},
		{&walve.Listener{TLSConfig: &tls.Config{}}, "tcp", "127.0.0.1:0"},
	} {
		err := tt.l.Listen(tt.network, tt.addr)
		var oe *net.OpError
		if !errors.As(err, &oe) || oe.Op != "listen" {
			t.Errorf("Listen(%q, %q): %v", tt.network, tt.addr, err)
		}
	}
	if l, err := walve.Listen("udp", ""); l != nil || err == nil {
		t.Errorf("%v, %v", l, err)
	}
}

// A failingListener fails to accept with the errors it has, then accepts.
type failingListener struct {
	*memListener
	mu   sync.Mutex
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "mem", Err: err}
	}
	return l.memListener.Accept()
}

// A brokenListener fails to accept with a bare error.
type brokenListener struct {
	*memListener
	err error
}

func (l brokenListener) Accept() (net.Conn, error) { return nil, l.err }

// TestListenerAcceptErrors: a process that is out of descriptors goes on when
// it has some again; what ends the socket for good ends Accept, with the cause.
func TestListenerAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet(t)
		inner := &failingListener{memListener: newMemListener(), errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED}}
		l := walve.NewListener(inner)
		p := inner.dial(t)
		p.upgrade()
		c := accept(t, l)
		p.Close()
		c.Close()
		l.Close()

		broken := errors.New("broken for good")
		other := newMemListener()
		l = walve.NewListener(other)
		inner = &failingListener{memListener: newMemListener(), errs: []error{broken}}
		if err := l.Serve(inner); err != nil {
			t.Error(err)
		}
		_, err := l.Accept()
		var oe *net.OpError
		if !errors.As(err, &oe) || oe.Op != "accept" || !errors.Is(err, broken) {
			t.Errorf("Accept: %v", err)
		}
		<-other.done
		wantClosed(t, l.Close())

		l = walve.NewListener(brokenListener{newMemListener(), broken})
		if _, err := l.Accept(); !errors.As(err, &oe) || oe.Op != "accept" || oe.Err != broken {
			t.Errorf("Accept: %v", err)
		}
		wantClosed(t, l.Close())
	})
}

// TestListenerMany: a thousand connections at once, accepted as they come.
func TestListenerMany(t *testing.T) {
	checkLeaks(t)
	const n = 1000
	l, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	conns := make(chan *walve.Conn, n)
	limit := make(chan struct{}, 64) // less than the backlog
	for range n {
		limit <- struct{}{}
		go func() {
			defer func() { <-limit }()
			c, err := walve.Dial(context.Background(), "ws://"+l.Addr().String())
			if err != nil {
				t.Error(err)
			}
			conns <- c
		}()
	}
	for range n {
		c := <-conns
		if c == nil {
			continue
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	if err := l.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
