package walve_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// serveUpgrades runs an http.Server whose handler is u.Upgrade, and hands on
// what that returns.
func serveUpgrades(t testing.TB, u *walve.Upgrader) (addr string, results <-chan upgraded) {
	ch := make(chan upgraded, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r)
		ch <- upgraded{c, err}
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String(), ch
}

type upgraded struct {
	conn *walve.Conn
	err  error
}

// TestUpgradeAnswers is RFC 6455, 4.2, as a table.
func TestUpgradeAnswers(t *testing.T) {
	checkLeaks(t)
	addr, results := serveUpgrades(t, &walve.Upgrader{Subprotocols: []string{"b", "a"}})
	addrOf := func(extensions, protocol string) map[string]string {
		return map[string]string{
			"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": sampleAccept,
			"Sec-WebSocket-Extensions": extensions, "Sec-WebSocket-Protocol": protocol,
			"Content-Length": "", "Transfer-Encoding": "", "Content-Type": "",
		}
	}
	plain := addrOf("", "")
	// RFC 9110, 15.5.22: with an Upgrade header field.
	required := map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
	nothing := map[string]string{"Upgrade": "", "Sec-WebSocket-Accept": "", "Sec-WebSocket-Version": ""}
	for _, tt := range []struct {
		name    string
		changes []string
		status  int
		header  map[string]string
	}{
		{"plain", nil, 101, plain},
		{"lower case", []string{"-Upgrade", "upgrade: WebSocket", "-Connection", "connection: UPGRADE"}, 101, plain},
		{"token lists", []string{"Upgrade: foo/1, websocket", "Connection: keep-alive, Upgrade"}, 101, plain},
		{"token lists over lines", []string{"Upgrade: foo", "+Upgrade: websocket", "Connection: keep-alive", "+Connection: , upgrade"}, 101, plain},
		{"spaces", []string{"Sec-WebSocket-Key:   " + sampleKey + "\t", "Sec-WebSocket-Version:13 "}, 101, plain},
		{"query", []string{"GET /?a=b HTTP/1.1"}, 101, plain},
		{"empty body", []string{"+Content-Length: 0"}, 101, plain},
		{"same origin", []string{"+Origin: http://example.com"}, 101, plain},
		{"subprotocol", []string{"+Sec-WebSocket-Protocol: a, b, c"}, 101, addrOf("", "b")},
		{"subprotocol over lines", []string{"+Sec-WebSocket-Protocol: c", "+Sec-WebSocket-Protocol: a"}, 101, addrOf("", "a")},
		{"no subprotocol in common", []string{"+Sec-WebSocket-Protocol: c"}, 101, plain},
		{"half-close", []string{"+Sec-WebSocket-Extensions: walve.half-close"}, 101, addrOf("walve.half-close", "")},
		{"half-close among others", []string{"+Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "+Sec-WebSocket-Extensions: foo, walve.half-close"}, 101, addrOf("walve.half-close", "")},
		{"unknown extension", []string{"+Sec-WebSocket-Extensions: foo; bar=\"baz\""}, 101, plain},
		{"malformed extension", []string{"+Sec-WebSocket-Extensions: foo; bar="}, 101, plain},
		{"malformed extension before half-close", []string{"+Sec-WebSocket-Extensions: foo; bar=\"a,b\\\"\" c, ;, walve.half-close"}, 101, addrOf("walve.half-close", "")},

		{"POST", []string{"POST / HTTP/1.1"}, 405, map[string]string{"Allow": "GET"}},
		{"POST with a body", []string{"POST / HTTP/1.1", "+Content-Length: 0"}, 405, map[string]string{"Allow": "GET"}},
		{"HEAD", []string{"HEAD / HTTP/1.1"}, 405, map[string]string{"Allow": "GET"}},
		{"CONNECT", []string{"CONNECT example.com:80 HTTP/1.1"}, 405, map[string]string{"Allow": "GET"}},
		{"HTTP/1.0", []string{"GET / HTTP/1.0"}, 400, nothing},
		{"no Upgrade", []string{"-Upgrade"}, 426, required},
		{"other Upgrade", []string{"Upgrade: h2c"}, 426, required},
		{"no Connection", []string{"-Connection"}, 426, required},
		{"other Connection", []string{"Connection: keep-alive"}, 426, required},
		{"no Upgrade, no Connection", []string{"-Upgrade", "-Connection"}, 426, required},
		{"version 8", []string{"Sec-WebSocket-Version: 8"}, 426, required},
		{"version 14", []string{"Sec-WebSocket-Version: 14"}, 426, required},
		{"version 013", []string{"Sec-WebSocket-Version: 013"}, 426, required},
		{"versions 13 and 8", []string{"Sec-WebSocket-Version: 13, 8"}, 426, required},
		{"no version", []string{"-Sec-WebSocket-Version"}, 426, required},
		{"version twice", []string{"+Sec-WebSocket-Version: 13"}, 400, nothing},
		{"no key", []string{"-Sec-WebSocket-Key"}, 400, nothing},
		{"empty key", []string{"Sec-WebSocket-Key:"}, 400, nothing},
		{"key twice", []string{"+Sec-WebSocket-Key: " + sampleKey}, 400, nothing},
		{"key list", []string{"Sec-WebSocket-Key: " + sampleKey + ", " + sampleKey}, 400, nothing},
		{"short key", []string{"Sec-WebSocket-Key: AAAA"}, 400, nothing},
		{"key not base64", []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!!=="}, 400, nothing},
		{"body", []string{"+Content-Length: 3"}, 400, nothing},
		{"chunked body", []string{"+Transfer-Encoding: chunked"}, 400, nothing},
		{"foreign origin", []string{"+Origin: http://example.org"}, 403, nothing},
		{"origin null", []string{"+Origin: null"}, 403, nothing},
		{"subprotocol twice", []string{"+Sec-WebSocket-Protocol: a, a"}, 400, nothing},
		{"malformed subprotocol", []string{"+Sec-WebSocket-Protocol: a b"}, 400, nothing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := dialRaw(t, addr)
			p.send(upgradeRequest(tt.changes...))
			resp := p.response()
			got := <-results
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			for name, want := range tt.header {
				if v := resp.Header[http.CanonicalHeaderKey(name)]; strings.Join(v, "|") != want {
					t.Errorf("%s: %q, want %q", name, v, want)
				}
			}
			if tt.status != http.StatusSwitchingProtocols {
				var refused *walve.HandshakeError
				if !errors.As(got.err, &refused) || refused.StatusCode != tt.status || refused.Reason == "" {
					t.Errorf("Upgrade returned %v", got.err)
				}
				if got.conn != nil {
					t.Error("Upgrade returned a Conn as well")
				}
				return
			}
			if got.err != nil {
				t.Fatal(got.err)
			}
			defer got.conn.Close()
			if s, want := got.conn.Subprotocol(), tt.header["Sec-WebSocket-Protocol"]; s != want {
				t.Errorf("Subprotocol %q, want %q", s, want)
			}
			if b, want := walve.HalfClose(got.conn), tt.header["Sec-WebSocket-Extensions"] != ""; b != want {
				t.Errorf("half-close %v, want %v", b, want)
			}
			if got.conn.Request() != nil || got.conn.Response() != nil {
				t.Error("Upgrade's caller has the request, the Conn needs none")
			}
			p.send(frameBytes(true, walve.OpBinary, "x"))
			b := make([]byte, 2)
			if n, err := got.conn.Read(b); n != 1 || b[0] != 'x' || err != nil {
				t.Errorf("Read: %q, %v", b[:n], err)
			}
		})
	}
}

// A connection that was refused goes on as HTTP.
func TestUpgradeRefusedKeepsConnection(t *testing.T) {
	addr, results := serveUpgrades(t, &walve.Upgrader{})
	p := dialRaw(t, addr)
	for _, change := range []string{"Sec-WebSocket-Version: 8", "-Sec-WebSocket-Key", "+Origin: http://example.org", "-Upgrade"} {
		p.send(upgradeRequest(change))
		resp := p.response()
		io.Copy(io.Discard, resp.Body)
		<-results
	}
	p.upgrade()
	(<-results).conn.Close()
}

func TestUpgradeCheckOrigin(t *testing.T) {
	addr, results := serveUpgrades(t, &walve.Upgrader{CheckOrigin: func(r *http.Request) bool {
		return r.Header.Get("Origin") == "http://friend.example"
	}})
	p := dialRaw(t, addr)
	p.send(upgradeRequest("+Origin: http://example.com"))
	if resp := p.response(); resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %s", resp.Status)
	}
	<-results
	dialRaw(t, addr).upgrade("+Origin: http://friend.example")
	(<-results).conn.Close()
}

// TestUpgradeKeepsBytes: what the client sends right behind its request is
// not lost, wherever TCP, or net/http's reading in the background, cuts it.
func TestUpgradeKeepsBytes(t *testing.T) {
	checkLeaks(t)
	enter, leave := make(chan struct{}), make(chan struct{})
	conns := make(chan *walve.Conn, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		enter <- struct{}{}
		<-leave
		c, err := walve.Upgrade(w, r)
		if err != nil {
			t.Error(err)
		}
		conns <- c
	}))
	defer srv.Close()

	frames := frameBytes(true, walve.OpText, "hello") + frameBytes(true, walve.OpBinary, strings.Repeat("x", 100))
	for early := range len(frames) + 1 {
		for _, together := range []bool{true, false} {
			p := dialRaw(t, srv.Listener.Addr().String())
			if together {
				p.send(upgradeRequest() + frames[:early])
				<-enter
			} else {
				p.send(upgradeRequest())
				<-enter
				p.send(frames[:early])
			}
			leave <- struct{}{}
			c := <-conns
			p.send(frames[early:])
			for _, want := range []string{"hello", strings.Repeat("x", 100)} {
				if _, msg, err := c.ReadMessage(); string(msg) != want || err != nil {
					t.Fatalf("%d bytes early: %q, %v", early, msg, err)
				}
			}
			c.Close()
			p.Close()
		}
	}
	// More than fits into net/http's buffer.
	const n = 100
	p := dialRaw(t, srv.Listener.Addr().String())
	p.send(upgradeRequest() + strings.Repeat(frames, n))
	<-enter
	leave <- struct{}{}
	c := <-conns
	defer c.Close()
	got := make([]byte, n*105)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != strings.Repeat("hello"+strings.Repeat("x", 100), n) {
		t.Errorf("%v, or not the same bytes", err)
	}
}

// TestUpgradeHeader: the handler's header fields go into the 101, and cannot
// break it.
func TestUpgradeHeader(t *testing.T) {
	conns := make(chan *walve.Conn, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		h.Set("X-Long", strings.Repeat("x", 10_000))
		h.Set("X-Split", "a\r\nX-Injected: 1\r\n\r\n\x00b")
		h["X-Name\r\nX-Injected"] = []string{"1"}
		h["x-lower"] = []string{"kept"}
		h["X Y"] = []string{"1"}
		h.Set("Upgrade", "h2c")
		h["upgrade"] = []string{"h2c"}
		h.Set("Connection", "close")
		h.Set("Content-Length", "5")
		h.Set("Transfer-Encoding", "chunked")
		h.Set("Trailer", "X")
		h.Set("Sec-WebSocket-Accept", "nonsense")
		h["SEC-WEBSOCKET-ACCEPT"] = []string{"nonsense"}
		h.Set("Sec-WebSocket-Extensions", "permessage-deflate")
		h.Set("Sec-WebSocket-Protocol", "chat")
		c, err := walve.Upgrade(w, r)
		if err != nil {
			t.Error(err)
		}
		conns <- c
	}))
	defer srv.Close()
	p := dialRaw(t, srv.Listener.Addr().String())
	resp := p.upgrade("+Sec-WebSocket-Protocol: chat")
	c := <-conns
	defer c.Close()
	want := http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {sampleAccept},
		"Set-Cookie": {"a=1", "b=2"}, "X-Long": {strings.Repeat("x", 10_000)},
		"X-Split": {"a  X-Injected: 1     b"}, "X-Lower": {"kept"},
	}
	for name, values := range resp.Header {
		if got := strings.Join(values, "|"); got != strings.Join(want[name], "|") {
			t.Errorf("%s: %.100q", name, got)
		}
	}
	if len(resp.Header) != len(want) {
		t.Errorf("%d header fields, want %d", len(resp.Header), len(want))
	}
	if c.Subprotocol() != "" {
		t.Errorf("Subprotocol %q", c.Subprotocol())
	}
	go c.Write([]byte("x"))
	if b, err := p.ReadByte(); b != 0x82 || err != nil {
		t.Errorf("behind the header: %#x, %v", b, err)
	}
}

// A hijacker is a ResponseWriter on a net.Conn of the test's.
type hijacker struct {
	http.ResponseWriter
	conn   net.Conn
	rw     *bufio.ReadWriter
	err    error
	header http.Header
}

func (h *hijacker) Header() http.Header { return h.header }

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.conn, h.rw, h.err }

func newHijacker(conn net.Conn) *hijacker {
	return &hijacker{
		ResponseWriter: httptest.NewRecorder(), conn: conn, header: http.Header{},
		rw: bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)),
	}
}

func parseRequest(t testing.TB, changes ...string) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(upgradeRequest(changes...))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// writeCounter counts writes.
type writeCounter struct {
	net.Conn
	writes [][]byte
}

func (c *writeCounter) Write(p []byte) (int, error) {
	c.writes = append(c.writes, bytes.Clone(p))
	return c.Conn.Write(p)
}

// TestUpgradeOneWrite: the 101 is one write, so that it is one segment, also
// if it is larger than net/http's buffer or that is missing.
func TestUpgradeOneWrite(t *testing.T) {
	for _, size := range []int{0, 10_000} {
		for _, buffers := range []bool{true, false} {
			a, b := memconn.Pipe(memconn.Buffer(1 << 16))
			defer b.Close()
			conn := &writeCounter{Conn: a}
			w := newHijacker(conn)
			if !buffers {
				w.rw = nil
			}
			w.header.Set("X", strings.Repeat("x", size))
			c, err := walve.Upgrade(w, parseRequest(t))
			if err != nil {
				t.Fatal(err)
			}
			if len(conn.writes) != 1 || !bytes.HasSuffix(conn.writes[0], []byte("\r\n\r\n")) {
				t.Errorf("%d writes", len(conn.writes))
			}
			if got := c.NetConn(); got != net.Conn(conn) {
				t.Errorf("NetConn is a %T", got)
			}
			b.Close()
			c.Close()
		}
	}
}

// unwrapper and embedder are what middleware makes of a ResponseWriter.
type unwrapper struct{ w http.ResponseWriter }

func (u unwrapper) Header() http.Header         { return u.w.Header() }
func (u unwrapper) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapper) WriteHeader(status int)      { u.w.WriteHeader(status) }
func (u unwrapper) Unwrap() http.ResponseWriter { return u.w }

type embedder struct {
	http.ResponseWriter
	http.Hijacker
}

type opaque struct{ http.ResponseWriter }

func TestUpgradeWrappedWriter(t *testing.T) {
	for _, tt := range []struct {
		name   string
		wrap   func(http.ResponseWriter) http.ResponseWriter
		status int
	}{
		{"Unwrap", func(w http.ResponseWriter) http.ResponseWriter { return unwrapper{unwrapper{w}} }, 101},
		{"Hijack", func(w http.ResponseWriter) http.ResponseWriter { return embedder{w, w.(http.Hijacker)} }, 101},
		{"neither", func(w http.ResponseWriter) http.ResponseWriter { return opaque{w} }, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			results := make(chan upgraded, 1)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := walve.Upgrade(tt.wrap(w), r)
				results <- upgraded{c, err}
			}))
			defer srv.Close()
			p := dialRaw(t, srv.Listener.Addr().String())
			p.send(upgradeRequest())
			resp := p.response()
			got := <-results
			if resp.StatusCode != tt.status {
				t.Errorf("status %s", resp.Status)
			}
			if tt.status == http.StatusSwitchingProtocols {
				got.conn.Close()
				return
			}
			body, _ := io.ReadAll(resp.Body)
			if !strings.Contains(string(body), "hijack") || !errors.Is(got.err, http.ErrNotSupported) {
				t.Errorf("body %q, error %v", body, got.err)
			}
		})
	}
}

// A request that was hijacked before is an error; there is nothing to answer on.
func TestUpgradeHijacked(t *testing.T) {
	errs := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
		}
		defer c.Close()
		_, err = walve.Upgrade(w, r)
		errs <- err
	}))
	defer srv.Close()
	dialRaw(t, srv.Listener.Addr().String()).send(upgradeRequest())
	if err := <-errs; !errors.Is(err, http.ErrHijacked) {
		t.Error(err)
	}
}

// A memListener accepts the connections that are sent to it.
type memListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newMemListener() *memListener {
	return &memListener{make(chan net.Conn), make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *memListener) Addr() net.Addr { return memconn.Addr("listener") }

func (l *memListener) dial(t testing.TB, opts ...memconn.Option) *rawPeer {
	a, b := memconn.Pipe(opts...)
	l.conns <- b
	return newRawPeer(t, a)
}

// TestUpgradeClearsDeadlines: ReadTimeout and WriteTimeout of an http.Server
// do not reach the Conn.
func TestUpgradeClearsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := make(chan *walve.Conn, 1)
		srv := &http.Server{
			ReadTimeout: time.Second, WriteTimeout: time.Second, IdleTimeout: time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := walve.Upgrade(w, r)
				if err != nil {
					t.Error(err)
				}
				conns <- c
			}),
		}
		ln := newMemListener()
		go srv.Serve(ln)
		p := ln.dial(t)
		p.upgrade()
		c := <-conns
		time.Sleep(20 * time.Second) // in the bubble's time
		p.send(frameBytes(true, walve.OpBinary, "x"))
		b := make([]byte, 1)
		if _, err := c.Read(b); err != nil {
			t.Error(err)
		}
		if _, err := c.Write(b); err != nil {
			t.Error(err)
		}
		p.Close()
		c.Close()
		srv.Close()
	})
}

// TestUpgradeClientReadsNothing: a client that does not take the 101 does not
// hold up the handler.
func TestUpgradeClientReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(memconn.Buffer(16))
		defer a.Close()
		start := time.Now()
		c, err := walve.Upgrade(newHijacker(b), parseRequest(t))
		if c != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, %v", c, err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("it took %v", d)
		}
		if _, err := io.ReadAll(a); err != nil { // it ends
			t.Error(err)
		}
	})
}

// TestUpgradeRemoteAddr: middleware that rewrites RemoteAddr is honoured, and
// nothing is kept where it does not.
func TestUpgradeRemoteAddr(t *testing.T) {
	for _, rewritten := range []string{"", "203.0.113.7:4321", "203.0.113.7"} {
		conns := make(chan *walve.Conn, 1)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rewritten != "" {
				r.RemoteAddr = rewritten
			}
			c, err := walve.Upgrade(w, r)
			if err != nil {
				t.Error(err)
			}
			conns <- c
		}))
		p := dialRaw(t, srv.Listener.Addr().String())
		p.upgrade()
		c := <-conns
		remote, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok {
			t.Fatalf("%T", c.RemoteAddr())
		}
		if rewritten == "" {
			if remote.String() != p.LocalAddr().String() || walve.KeptRemoteAddr(c) != nil {
				t.Errorf("%v, kept %v", remote, walve.KeptRemoteAddr(c))
			}
		} else if !strings.HasPrefix(remote.String(), rewritten) {
			t.Errorf("%v, want %s", remote, rewritten)
		}
		c.Close()
		p.Close()
		srv.Close()
	}
}

// TestUpgradeAllocs counts what Upgrade adds to net/http.
func TestUpgradeAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations differ under the race detector")
	}
	a, b := memconn.Pipe()
	defer a.Close()
	conn := nopConn{b}
	w := newHijacker(conn)
	r := parseRequest(t)
	u := walve.Upgrader{KeepAlive: -1}
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := u.Upgrade(w, r); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v allocations", allocs)
	if allocs > 6 {
		t.Errorf("%v allocations", allocs)
	}
}

// nopConn takes every write and has no deadlines.
type nopConn struct{ net.Conn }

func (nopConn) Write(p []byte) (int, error)      { return len(p), nil }
func (nopConn) SetDeadline(time.Time) error      { return nil }
func (nopConn) SetReadDeadline(time.Time) error  { return nil }
func (nopConn) SetWriteDeadline(time.Time) error { return nil }

// recordedConn is a net.Conn whose peer has sent in and takes everything.
type recordedConn struct {
	nopConn
	in  io.Reader
	out bytes.Buffer
}

func (c *recordedConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *recordedConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *recordedConn) Close() error                { return nil }
func (c *recordedConn) LocalAddr() net.Addr         { return memconn.Addr("local") }
func (c *recordedConn) RemoteAddr() net.Addr        { return memconn.Addr("remote") }

// FuzzServerHandshake: whatever request comes, Upgrade answers it with a status
// that the rules allow, or switches, and then reads on exactly behind it.
func FuzzServerHandshake(f *testing.F) {
	for _, changes := range [][]string{
		{},
		{"Connection: keep-alive, Upgrade", "+Origin: http://example.com"},
		{"+Sec-WebSocket-Protocol: a, b", "+Sec-WebSocket-Extensions: walve.half-close, permessage-deflate; client_max_window_bits"},
		{"POST / HTTP/1.1"}, {"GET / HTTP/1.0"}, {"-Upgrade"}, {"Sec-WebSocket-Version: 8"}, {"-Sec-WebSocket-Key"},
		{"+Sec-WebSocket-Key: " + sampleKey}, {"+Origin: null"}, {"+Content-Length: 5"}, {"+Transfer-Encoding: chunked"},
		{"+Sec-WebSocket-Extensions: a; b=\"c\\d\", \"", "+Sec-WebSocket-Protocol: \""},
	} {
		f.Add([]byte(upgradeRequest(changes...) + frameBytes(true, walve.OpText, "hello")))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		src := bytes.NewReader(in)
		br := bufio.NewReaderSize(src, 64<<10)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		behind, _ := br.Peek(br.Buffered())
		behind = append(bytes.Clone(behind), in[len(in)-src.Len():]...)
		conn := &recordedConn{in: src}
		rec := httptest.NewRecorder()
		w := &hijacker{ResponseWriter: rec, conn: conn, rw: bufio.NewReadWriter(br, bufio.NewWriter(conn)), header: rec.Header()}
		u := walve.Upgrader{Subprotocols: []string{"a", "b"}, KeepAlive: -1}
		c, err := u.Upgrade(w, r)
		if err != nil {
			var refused *walve.HandshakeError
			if !errors.As(err, &refused) || refused.StatusCode != rec.Code || conn.out.Len() > 0 {
				t.Fatalf("%v, answer %d, %d bytes written", err, rec.Code, conn.out.Len())
			}
			switch refused.StatusCode {
			case 400, 403, 405, 426:
			default:
				t.Fatalf("answer %d", refused.StatusCode)
			}
			return
		}
		if r.Method != "GET" || len(r.Header["Sec-Websocket-Key"]) != 1 || len(r.Header["Sec-Websocket-Version"]) != 1 {
			t.Fatal("upgraded against the rules")
		}
		resp, err := http.ReadResponse(bufio.NewReader(&conn.out), r)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != walve.Accept(r.Header.Get("Sec-WebSocket-Key")) {
			t.Fatalf("answer %v, %v", resp, err)
		}
		if s := resp.Header.Get("Sec-WebSocket-Protocol"); s != c.Subprotocol() {
			t.Fatalf("subprotocol %q, sent %q", c.Subprotocol(), s)
		}
		// The same as on a connection without a handshake.
		plain := walve.NewTestConn(&recordedConn{in: bytes.NewReader(behind)}, walve.TestConfig{HalfClose: walve.HalfClose(c)})
		want, wantErr := io.ReadAll(plain)
		got, gotErr := io.ReadAll(c)
		if !bytes.Equal(got, want) || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("behind the request: %q, %v, want %q, %v", got, gotErr, want, wantErr)
		}
	})
}

// Over HTTP/2 there is no Upgrade, and an answer must not name it (RFC 9113,
// 8.2.2).
func TestUpgradeHTTP2(t *testing.T) {
	errs := make(chan error, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := walve.Upgrade(w, r)
		errs <- err
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-errs; resp.ProtoMajor != 2 || resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Upgrade") != "" || err == nil {
		t.Errorf("%s %s, %v, %v", resp.Proto, resp.Status, resp.Header, err)
	}
}
