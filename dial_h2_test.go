package walve_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/testcert"
)

// h2Dials are the connections that a Dialer makes, in memory.
type h2Dials struct {
	mu   sync.Mutex
	alpn [][]string // what each offered
	ends []net.Conn
}

func (d *h2Dials) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ends)
}

// dialer returns a Dialer whose connections are given to serve, after TLS with
// ALPN for one of protos or, without protos, plain.
func (d *h2Dials) dialer(mode walve.HTTP2Mode, serve func(n int, c net.Conn), protos ...string) *walve.Dialer {
	return &walve.Dialer{
		HTTP2: mode, KeepAlive: -1, Proxy: noProxy, TLSConfig: &tls.Config{InsecureSkipVerify: true},
		NetDial: func(context.Context, string, string) (net.Conn, error) {
			a, b := memconn.Pipe()
			d.mu.Lock()
			d.ends = append(d.ends, b)
			n := len(d.ends)
			d.mu.Unlock()
			if protos == nil {
				go serve(n, b)
				return a, nil
			}
			config := &tls.Config{Certificates: []tls.Certificate{testcert.Get()}, NextProtos: protos}
			config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.alpn = append(d.alpn, slices.Clone(hello.SupportedProtos))
				return nil, nil
			}
			go serve(n, tls.Server(b, config))
			return a, nil
		},
	}
}

// dialing runs f in a bubble and ends what the Dialers in it have connected.
func dialing(t *testing.T, f func(t *testing.T, d *h2Dials)) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		d := new(h2Dials)
		f(t, d)
		for _, c := range d.ends {
			c.Close()
		}
		time.Sleep(time.Minute)
	})
}

// serveHTTP1 answers one handshake, and then every Close frame.
func serveHTTP1(t testing.TB, c net.Conn) {
	inner := newMemListener()
	ln := walve.NewListener(inner)
	inner.conns <- c
	conn, err := ln.Accept()
	if err != nil {
		t.Error(err)
		return
	}
	ln.Close()
	io.Copy(io.Discard, conn)
	conn.Close()
}

func proto(c *walve.Conn) int { return c.Response().ProtoMajor }

// TestHTTP2NotChosen: a server that chooses HTTP/1.1 gets the handshake on the
// same connection, unless it is HTTP/2 or nothing.
func TestHTTP2NotChosen(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		serve := func(_ int, c net.Conn) { serveHTTP1(t, c) }
		dialer := d.dialer(walve.HTTP2Offered, serve, "http/1.1")
		for n := range 2 {
			c, err := dialer.DialURL(t.Context(), "wss://host/")
			if err != nil {
				t.Fatal(err)
			}
			if proto(c) != 1 || d.count() != n+1 || !slices.Equal(d.alpn[n], []string{"h2", "http/1.1"}) {
				t.Errorf("HTTP/%d, %d connections, %q", proto(c), d.count(), d.alpn)
			}
			c.Close()
		}
	})
	dialing(t, func(t *testing.T, d *h2Dials) {
		refuse := func(_ int, c net.Conn) { c.Read(make([]byte, 1)) }
		_, err := d.dialer(walve.HTTP2Always, refuse, "http/1.1", "h2c").DialURL(t.Context(), "wss://host/")
		if oe, ok := err.(*net.OpError); !ok || oe.Op != "dial" || d.count() != 1 || !slices.Equal(d.alpn[0], []string{"h2"}) {
			t.Errorf("%v, %q", err, d.alpn)
		}
		// ALPN without h2 is none at all to a server that is not asked for it.
		_, err = d.dialer(walve.HTTP2Always, refuse, []string{}...).DialURL(t.Context(), "wss://host/")
		if err == nil {
			t.Error("no error")
		}
	})
}

// TestHTTP2NotChosenTwice: who waits for the connection of another, for which the
// server then chooses HTTP/1.1, makes one for HTTP/1.1.
func TestHTTP2NotChosenTwice(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		chosen := make(chan struct{})
		dialer := d.dialer(walve.HTTP2Offered, func(_ int, c net.Conn) {
			<-chosen
			serveHTTP1(t, c)
		}, "http/1.1")
		var waits [2]func() error
		for i := range waits {
			waits[i] = background(func() error {
				c, err := dialer.DialURL(t.Context(), "wss://host/")
				if err == nil {
					if proto(c) != 1 {
						t.Errorf("HTTP/%d", proto(c))
					}
					c.Close()
				}
				return err
			})
		}
		synctest.Wait()
		if n := d.count(); n != 1 {
			t.Errorf("%d connections before the server has chosen", n)
		}
		close(chosen)
		for _, wait := range waits {
			if err := wait(); err != nil {
				t.Error(err)
			}
		}
		if n := d.count(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestHTTP2WithoutWebSocket: a server that chooses HTTP/2 and does not take
// WebSockets there is not asked again, and others are.
func TestHTTP2WithoutWebSocket(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		dialer := d.dialer(walve.HTTP2Offered, func(_ int, c net.Conn) {
			tc := c.(*tls.Conn)
			if tc.Handshake(); tc.ConnectionState().NegotiatedProtocol == "h2" {
				newH2Peer(c).serve()
				return
			}
			serveHTTP1(t, c)
		}, "h2", "http/1.1")
		for _, test := range []struct {
			host  string
			conns int
			alpn  string
		}{
			{"a", 2, "h2 http/1.1,http/1.1"}, {"a", 1, "http/1.1"}, {"b", 2, "h2 http/1.1,http/1.1"}, {"a", 1, "http/1.1"},
		} {
			before := d.count()
			c, err := dialer.DialURL(t.Context(), "wss://"+test.host+"/")
			if err != nil {
				t.Fatal(err)
			}
			var alpn []string
			for _, offered := range d.alpn[before:] {
				alpn = append(alpn, strings.Join(offered, " "))
			}
			if got := strings.Join(alpn, ","); proto(c) != 1 || d.count()-before != test.conns || got != test.alpn {
				t.Errorf("%s: HTTP/%d, %d connections that offer %q", test.host, proto(c), d.count()-before, got)
			}
			c.Close()
		}
	})
	dialing(t, func(t *testing.T, d *h2Dials) {
		for _, test := range []struct {
			target string
			protos []string
		}{{"ws://host/", nil}, {"wss://host/", []string{"h2"}}} {
			dialer := d.dialer(walve.HTTP2Always, func(_ int, c net.Conn) { newH2Peer(c).serve() }, test.protos...)
			_, err := dialer.DialURL(t.Context(), test.target)
			if he, ok := err.(*walve.HandshakeError); !ok || he.StatusCode != 0 || !strings.Contains(he.Error(), "HTTP/2") {
				t.Errorf("%s: %v", test.target, err)
			}
		}
	})
}

// TestHTTP2Modes: which protocol a Dialer uses with a server that has both.
func TestHTTP2Modes(t *testing.T) {
	checkLeaks(t)
	plain, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := &walve.Listener{TLSConfig: &tls.Config{Certificates: []tls.Certificate{testcert.Get()}}}
	if err := secure.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	for _, ln := range []*walve.Listener{plain, secure} {
		defer ln.Close()
		target := "ws://" + ln.Addr().String()
		want := []int{1, 1, 2}
		if ln == secure {
			target = "wss://" + ln.Addr().String()
			want = []int{1, 2, 2}
		}
		for i, mode := range []walve.HTTP2Mode{walve.HTTP2Never, walve.HTTP2Offered, walve.HTTP2Always} {
			d := &walve.Dialer{HTTP2: mode, Proxy: noProxy, TLSConfig: &tls.Config{InsecureSkipVerify: true}}
			c, err := d.DialURL(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			server := accept(t, ln)
			if proto(c) != want[i] || server.Request().ProtoMajor != want[i] {
				t.Errorf("%s, mode %d: HTTP/%d and %d, want %d", target, mode, proto(c), server.Request().ProtoMajor, want[i])
			}
			server.CloseWrite()
			c.Close()
			server.Close()
			c.NetConn().Close() // it would end in 30 s
		}
	}
}

// TestHTTP2Refusals: what a handler answers is a *HandshakeError with the first
// KiB of the body, and the connection goes on.
func TestHTTP2Refusals(t *testing.T) {
	long := strings.Repeat("x", 5000)
	mux := http.NewServeMux()
	for path, status := range map[string]int{"/403": 403, "/404": 404, "/503": 503, "/302": 302} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "why "+r.URL.Path+" "+long, status)
		})
	}
	mux.HandleFunc("/101", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sec-WebSocket-Protocol", "never offered")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("GET /405", func(w http.ResponseWriter, r *http.Request) { t.Error("GET /405 took a CONNECT") })
	ln := &walve.Listener{Upgrader: walve.Upgrader{CheckOrigin: func(*http.Request) bool { return false }}}
	mux.Handle("/origin", ln)
	closed := new(walve.Listener)
	closed.Close()
	mux.Handle("/closed", closed)

	dialing(t, func(t *testing.T, d *h2Dials) {
		inner := newMemListener()
		server := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(inner)
		defer server.Close()
		dialer := d.dialer(walve.HTTP2Always, func(_ int, c net.Conn) { inner.conns <- c })
		for path, status := range map[string]int{
			"/403": 403, "/404": 404, "/503": 503, "/302": 302, "/405": 405, "/101": 200, "/nowhere": 404, "/origin": 403, "/closed": 503,
		} {
			_, err := dialer.DialURL(t.Context(), "ws://host"+path)
			he, ok := err.(*walve.HandshakeError)
			if !ok || he.StatusCode != status || he.Response.StatusCode != status || he.Response.ProtoMajor != 2 {
				t.Errorf("%s: %v", path, err)
				continue
			}
			body, _ := io.ReadAll(he.Response.Body)
			if want := "why " + path + " " + long; bytes.HasPrefix(body, []byte("why")) && string(body) != want[:1024] || len(body) == 0 && status != 200 {
				t.Errorf("%s: body of %d bytes, %.20q", path, len(body), body)
			}
			if status != 200 && path != "/origin" && path != "/nowhere" && path != "/405" && he.Response.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %v", path, he.Response.Header)
			}
		}
		if n := d.count(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestHTTP2SlowRefusal: the body of a refusal is waited for a second, or as long
// as the context allows.
func TestHTTP2SlowRefusal(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		inner := newMemListener()
		server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(403)
			io.WriteString(w, "because")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})}
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(inner)
		defer server.Close()
		dialer := d.dialer(walve.HTTP2Always, func(_ int, c net.Conn) { inner.conns <- c })
		for _, limit := range []time.Duration{time.Minute, time.Second / 2} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			begun := time.Now()
			_, err := dialer.DialURL(ctx, "ws://host/")
			cancel()
			if d, want := time.Since(begun), min(limit, time.Second); d != want {
				t.Errorf("after %v, want %v", d, want)
			}
			he, ok := err.(*walve.HandshakeError)
			if !ok || he.StatusCode != 403 {
				t.Errorf("%v", err)
				continue
			}
			if b, err := io.ReadAll(he.Response.Body); string(b) != "because" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		}
	})
}

// TestHTTP2Request: the request has what the Dialer was given, and nothing that
// belongs to HTTP/1.1 or to another handshake.
func TestHTTP2Request(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		inner := newMemListener()
		ln := &walve.Listener{Upgrader: walve.Upgrader{Subprotocols: []string{"b"}, CheckOrigin: func(*http.Request) bool { return true }}}
		server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "set", Value: "here"})
			w.Header().Set("Connection", "close") // not the user's to say
			ln.ServeHTTP(w, r)
		})}
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(inner)
		defer server.Close()
		dialer := d.dialer(walve.HTTP2Always, func(_ int, c net.Conn) { inner.conns <- c })
		u, _ := url.Parse("http://host/")
		dialer.Jar, _ = cookiejar.New(nil)
		dialer.Jar.SetCookies(u, []*http.Cookie{{Name: "had", Value: "before"}})
		dialer.Header = http.Header{"Origin": {"https://o"}, "Host": {"other"}, "X": {"1", "2"}, "User-Agent": {""}}
		dialer.Subprotocols = []string{"a", "b"}
		c, err := dialer.DialURL(t.Context(), "ws://user:pw@host/path?query")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		server1 := conn.(*walve.Conn)
		r := server1.Request()
		if r.Host != "other" || r.URL.String() != "/path?query" || !slices.Equal(r.Header["X"], []string{"1", "2"}) {
			t.Errorf("%s %v %v", r.Host, r.URL, r.Header)
		}
		for name, want := range map[string]string{
			"Origin": "https://o", "Cookie": "had=before", "Authorization": "Basic dXNlcjpwdw==", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "", "Connection": "", "Upgrade": "", "Host": "", "User-Agent": "",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if c.Subprotocol() != "b" || server1.Subprotocol() != "b" {
			t.Errorf("subprotocols %q and %q", c.Subprotocol(), server1.Subprotocol())
		}
		if got := dialer.Jar.Cookies(u); len(got) != 2 {
			t.Errorf("cookies %v", got)
		}
		if resp := c.Response(); resp.Header.Get("Connection") != "" || resp.Request.Method != "CONNECT" {
			t.Errorf("%v of %v", resp.Header, resp.Request.Method)
		}
		server1.Close()
		c.Close()
	})
}

// TestRefusalShared: Dials that wait for one connection each get a refusal of
// their own, whose body they can read.
func TestRefusalShared(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(200 * time.Millisecond)
		http.Error(w, "log in first", http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	pu, _ := url.Parse(proxy.URL)
	d := &walve.Dialer{HTTP2: walve.HTTP2Always, Proxy: http.ProxyURL(pu)}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := d.DialURL(t.Context(), "ws://example.com/")
			var refused *walve.HandshakeError
			if !errors.As(err, &refused) {
				t.Error(err)
				return
			}
			if b, _ := io.ReadAll(refused.Response.Body); string(b) != "log in first\n" {
				t.Errorf("the body is %q", b)
			}
		})
	}
	wg.Wait()
}
