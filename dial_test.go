package walve_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestDialRequest is what goes over the wire, and where to.
func TestDialRequest(t *testing.T) {
	basic := "Basic " + "dXNlcjpwYTpzcw==" // user:pa:ss
	for _, tt := range []struct {
		url           string
		network, addr string
		secure        bool
		line, host    string
		authorization string
	}{
		{"ws://example.com", "tcp", "example.com:80", false, "/", "example.com", ""},
		{"http://example.com/", "tcp", "example.com:80", false, "/", "example.com", ""},
		{"wss://example.com/a/b?c=d&e", "tcp", "example.com:443", true, "/a/b?c=d&e", "example.com", ""},
		{"https://example.com?x", "tcp", "example.com:443", true, "/?x", "example.com", ""},
		{"WS://Example.com:8080/", "tcp", "Example.com:8080", false, "/", "Example.com:8080", ""},
		// RFC 6455, 4.1, item 4: the port is sent "if not using the default port".
		{"ws://example.com:80/", "tcp", "example.com:80", false, "/", "example.com", ""},
		{"wss://example.com:443/", "tcp", "example.com:443", true, "/", "example.com", ""},
		{"wss://example.com:80/", "tcp", "example.com:80", true, "/", "example.com:80", ""},
		{"ws://example.com:/", "tcp", "example.com:80", false, "/", "example.com", ""},
		{"ws://[::1]/", "tcp", "[::1]:80", false, "/", "[::1]", ""},
		{"ws://[fe80::1%25eth0]:81/", "tcp", "[fe80::1%eth0]:81", false, "/", "[fe80::1]:81", ""},
		{"ws://b\u00fccher.example/\u00fc?\u00fc b", "tcp", "xn--bcher-kva.example:80", false, "/%C3%BC?%C3%BC%20b", "xn--bcher-kva.example", ""},
		{"ws://example.com/a%20b%2Fc", "tcp", "example.com:80", false, "/a%20b%2Fc", "example.com", ""},
		{"ws://example.com//x", "tcp", "example.com:80", false, "//x", "example.com", ""},
		{"ws://user:pa%3Ass@example.com/", "tcp", "example.com:80", false, "/", "example.com", basic},
		{"ws+unix:///run/s", "unix", "/run/s", false, "/", "localhost", ""},
		{"ws+unix:///run/s:", "unix", "/run/s", false, "/", "localhost", ""},
		{"ws+unix:///run/s:/a?b", "unix", "/run/s", false, "/a?b", "localhost", ""},
		{"ws+unix:///run/s?b", "unix", "/run/s", false, "/?b", "localhost", ""},
		{"ws+unix:///run/s:a:b", "unix", "/run/s", false, "/a:b", "localhost", ""},
		{"ws+unix:/run/s:/a", "unix", "/run/s", false, "/a", "localhost", ""},
		{"ws+unix:///run/a%3A%20b:/c%20d", "unix", "/run/a: b", false, "/c%20d", "localhost", ""},
		{"wss+unix://user:pa%3Ass@/run/s:/", "unix", "/run/s", true, "/", "localhost", basic},
	} {
		wire, network, addr, secure, req, err := walve.Request(&walve.Dialer{}, tt.url)
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if network != tt.network || addr != tt.addr || secure != tt.secure {
			t.Errorf("%s: %s %s, secure %v", tt.url, network, addr, secure)
		}
		fields := []string{"GET " + tt.line + " HTTP/1.1", "Host: " + tt.host}
		if tt.authorization != "" {
			fields = append(fields, "Authorization: "+tt.authorization)
		}
		fields = append(fields, "User-Agent: walve", "Upgrade: websocket", "Connection: Upgrade",
			"Sec-WebSocket-Key: "+req.Header.Get("Sec-WebSocket-Key"), "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Extensions: walve.half-close")
		if want := strings.Join(fields, "\r\n") + "\r\n\r\n"; wire != want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.url, wire, want)
		}
		if !walve.ValidKey(req.Header.Get("Sec-WebSocket-Key")) || req.URL.User != nil {
			t.Errorf("%s: key %q, user %v", tt.url, req.Header.Get("Sec-WebSocket-Key"), req.URL.User)
		}
	}
}

func TestDialRequestHeader(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	site, _ := url.Parse("https://example.com/")
	jar.SetCookies(site, []*http.Cookie{{Name: "jar", Value: "1", Secure: true}, {Name: "jar2", Value: "2"}})
	d := &walve.Dialer{
		Header: http.Header{
			"Origin": {"https://example.com"}, "x-lower": {"1", "2"}, "Host": {"other.example:81"},
			"Authorization": {"Bearer t"}, "Cookie": {"own=1", "own2=2"}, "User-Agent": {""},
		},
		Jar:          jar,
		Subprotocols: []string{"v2.chat", "v1.chat"},
	}
	before := d.Header.Clone()
	wire, _, _, _, req, err := walve.Request(d, "wss://user:pass@example.com/")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"GET / HTTP/1.1", "Host: other.example:81", "Authorization: Bearer t",
		"Cookie: own=1; own2=2; jar=1; jar2=2", "Origin: https://example.com", "X-Lower: 1", "X-Lower: 2",
		"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + req.Header.Get("Sec-WebSocket-Key"),
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: v2.chat, v1.chat", "Sec-WebSocket-Extensions: walve.half-close",
	}, "\r\n") + "\r\n\r\n"
	if wire != want {
		t.Errorf("%s\nwant\n%s", wire, want)
	}
	if !reflect.DeepEqual(before, d.Header) {
		t.Error("Header was changed")
	}
	again, _, _, _, _, _ := walve.Request(d, "wss://example.com/")
	if again == wire {
		t.Error("the same key twice")
	}
}

// TestDialRefusesToSend: what cannot be sent is an error before anything is,
// and does not show passwords.
func TestDialRefusesToSend(t *testing.T) {
	const good = "ws://example.com/"
	for _, tt := range []struct {
		url    string
		dialer *walve.Dialer
	}{
		{url: ""},
		{url: "example.com"},
		{url: "/path"},
		{url: "ws:example.com"},
		{url: "ws://"},
		{url: "ws:///path"},
		{url: "ws://:80/"},
		{url: "ws://user:secret@/"},
		{url: "ftp://user:secret@example.com/"},
		{url: "ws://example.com/#fragment"},
		{url: "ws://example.com/#"},
		{url: "ws://user:sec#ret@example.com/"},
		{url: "ws://user:secret@example.com:port/"},
		{url: "ws://user:secret@exa mple.com/"},
		{url: "ws://user:sec ret@example.com/"},
		{url: "ws://example.com/\r\nX: y"},
		{url: "ws://example.com\r\nX: y/"},
		{url: "ws://example.com/%zz"},
		{url: "ws://exam\"ple.com/"},
		{url: "ws://\u2048.example/"},
		{url: "ws+unix://"},
		{url: "ws+unix://:/path"},
		{url: "ws+unix://host/run/s"},
		{url: "ws+unix:///run/s:/%zz"},
		{good, &walve.Dialer{Header: http.Header{"Upgrade": {"h2c"}}}},
		{good, &walve.Dialer{Header: http.Header{"connection": {"close"}}}},
		{good, &walve.Dialer{Header: http.Header{"Content-Length": {"5"}}}},
		{good, &walve.Dialer{Header: http.Header{"Transfer-Encoding": {"chunked"}}}},
		{good, &walve.Dialer{Header: http.Header{"Sec-WebSocket-Key": {sampleKey}}}},
		{good, &walve.Dialer{Header: http.Header{"sec-websocket-protocol": {"chat"}}}},
		{good, &walve.Dialer{Header: http.Header{"Sec-Websocket-Extensions": nil}}},
		{good, &walve.Dialer{Header: http.Header{"X": {"a\r\nY: secret"}}}},
		{good, &walve.Dialer{Header: http.Header{"X": {"a\nY: secret"}}}},
		{good, &walve.Dialer{Header: http.Header{"X": {"a\x00"}}}},
		{good, &walve.Dialer{Header: http.Header{"X: y\r\nZ": {"a"}}}},
		{good, &walve.Dialer{Header: http.Header{"": {"a"}}}},
		{good, &walve.Dialer{Header: http.Header{"Host": {"a", "b"}}}},
		{good, &walve.Dialer{Header: http.Header{"Host": {""}}}},
		{good, &walve.Dialer{Header: http.Header{"Host": {"a/b c"}}}},
		{good, &walve.Dialer{Header: http.Header{"Host": {"a\r\nX: y"}}}},
		{good, &walve.Dialer{Subprotocols: []string{"a", "a"}}},
		{good, &walve.Dialer{Subprotocols: []string{""}}},
		{good, &walve.Dialer{Subprotocols: []string{"a, b"}}},
		{good, &walve.Dialer{Subprotocols: []string{"a\r\nX: y"}}},
	} {
		d := tt.dialer
		if d == nil {
			d = new(walve.Dialer)
		}
		d.NetDial = func(_ context.Context, network, addr string) (net.Conn, error) {
			t.Errorf("%q, %v: dialled %s", tt.url, d.Header, addr)
			return nil, errors.New("unreachable")
		}
		c, err := d.DialURL(context.Background(), tt.url)
		if c != nil || err == nil || strings.Contains(err.Error(), "sec") && !strings.Contains(strings.ToLower(err.Error()), "sec-websocket") {
			t.Errorf("%q, %v: %v, %v", tt.url, d.Header, c, err)
		}
		a, b := memconn.Pipe()
		if _, err := d.Handshake(context.Background(), a, tt.url); err == nil {
			t.Errorf("%q, %v: no error from Handshake", tt.url, d.Header)
		}
		if sent, err := io.ReadAll(b); len(sent) > 0 || err != nil {
			t.Errorf("%q, %v: Handshake sent %q, %v", tt.url, d.Header, sent, err)
		}
	}
}

// TestDialErrors: those of the system are found, in what net.Dial returns.
func TestDialErrors(t *testing.T) {
	addr := refusingAddr(t)
	d := &walve.Dialer{URL: "ws://" + addr}
	c, err := d.DialContext(context.Background(), "tcp", "ignored:1")
	var oe *net.OpError
	if c != nil || !errors.As(err, &oe) || oe.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := walve.Dial(context.Background(), "ws+unix://"+filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if c, err := new(walve.Dialer).Dial("tcp", addr); c != nil || err == nil {
		t.Errorf("Dial without URL: %v, %v", c, err)
	}
	own := errors.New("own")
	d = &walve.Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) { return nil, own }}
	if _, err := d.DialURL(context.Background(), "ws://h"); err != own {
		t.Error(err)
	}
	d = &walve.Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) { return nil, nil }}
	if _, err := d.DialURL(context.Background(), "ws://h"); err == nil {
		t.Error("no error without a connection")
	}
}

// rawServer accepts connections on TCP and gives each to serve.
func rawServer(t testing.TB, serve func(p *rawPeer)) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			p := newRawPeer(t, conn)
			wg.Go(func() {
				defer conn.Close()
				serve(p)
			})
		}
	})
	return "ws://" + ln.Addr().String()
}

// TestDialResponses is RFC 6455, 4.1, what the client validates, as a table.
func TestDialResponses(t *testing.T) {
	checkLeaks(t)
	long := strings.Repeat("0123456789abcdef", 100)
	for _, tt := range []struct {
		name string
		// ACCEPT stands for the right value; "": the server closes.
		answer string
		status int    // of the HandshakeError; 0: none, 101 with reason "": no error
		reason string // part of it
		body   string
	}{
		{"agreed", switched("ACCEPT"), 101, "", ""},
		{"lower case", "HTTP/1.1 101 x\r\nupgrade: WebSocket\r\nconnection: keep-alive, UPGRADE\r\nsec-websocket-accept:ACCEPT \r\n\r\n", 101, "", ""},
		{"no reason phrase", strings.Replace(switched("ACCEPT"), " Switching Protocols", "", 1), 101, "", ""},
		{"interim responses", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + switched("ACCEPT"), 101, "", ""},
		{"subprotocol", switched("ACCEPT", "Sec-WebSocket-Protocol: a"), 101, "", ""},
		{"half-close", switched("ACCEPT", "Sec-WebSocket-Extensions: walve.half-close"), 101, "", ""},
		{"empty extensions", switched("ACCEPT", "Sec-WebSocket-Extensions:"), 101, "", ""},

		{"wrong accept", switched(sampleAccept), 101, "Sec-WebSocket-Accept", ""},
		{"no accept", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 101, "Sec-WebSocket-Accept", ""},
		{"accept twice", switched("ACCEPT", "Sec-WebSocket-Accept: ACCEPT"), 101, "Sec-WebSocket-Accept", ""},
		{"no Upgrade", "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n", 101, "Upgrade", ""},
		{"other Upgrade", "HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n", 101, "Upgrade", ""},
		{"Upgrade list", "HTTP/1.1 101 x\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n", 101, "Upgrade", ""},
		{"no Connection", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n", 101, "Connection", ""},
		{"other Connection", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n", 101, "Connection", ""},
		{"HTTP/1.0", strings.Replace(switched("ACCEPT"), "1.1", "1.0", 1), 101, "HTTP/1.1", ""},
		{"subprotocol not asked for", switched("ACCEPT", "Sec-WebSocket-Protocol: c"), 101, "Sec-WebSocket-Protocol", ""},
		{"subprotocol in other case", switched("ACCEPT", "Sec-WebSocket-Protocol: A"), 101, "Sec-WebSocket-Protocol", ""},
		{"two subprotocols", switched("ACCEPT", "Sec-WebSocket-Protocol: a, b"), 101, "Sec-WebSocket-Protocol", ""},
		{"subprotocol twice", switched("ACCEPT", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"), 101, "Sec-WebSocket-Protocol", ""},
		{"empty subprotocol", switched("ACCEPT", "Sec-WebSocket-Protocol:"), 101, "Sec-WebSocket-Protocol", ""},
		{"extension not asked for", switched("ACCEPT", "Sec-WebSocket-Extensions: permessage-deflate"), 101, "Sec-WebSocket-Extensions", ""},
		{"half-close with a parameter", switched("ACCEPT", "Sec-WebSocket-Extensions: walve.half-close; x"), 101, "Sec-WebSocket-Extensions", ""},
		{"half-close twice", switched("ACCEPT", "Sec-WebSocket-Extensions: walve.half-close, walve.half-close"), 101, "Sec-WebSocket-Extensions", ""},
		{"malformed extensions", switched("ACCEPT", "Sec-WebSocket-Extensions: walve.half-close;"), 101, "Sec-WebSocket-Extensions", ""},

		{"200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "switch", "hello"},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", 204, "switch", ""},
		{"redirect", "HTTP/1.1 302 Found\r\nLocation: ws://example.com/\r\nContent-Length: 0\r\n\r\n", 302, "switch", ""},
		{"401", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\nno\n", 401, "switch", "no\n"},
		{"403 until the end", "HTTP/1.0 403 Forbidden\r\n\r\n" + long, 403, "switch", long[:1024]},
		{"403 long", "HTTP/1.1 403 Forbidden\r\nContent-Length: 1600\r\n\r\n" + long, 403, "switch", long[:1024]},
		{"403 cut", "HTTP/1.1 403 Forbidden\r\nContent-Length: 1600\r\n\r\n" + long[:100], 403, "switch", long[:100]},
		{"500 chunked", "HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 500, "switch", "abcde"},
		{"only interim responses", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50_000), 0, "1 MiB", ""},
		{"endless header", "HTTP/1.1 101 x\r\n" + strings.Repeat("X: "+long+"\r\n", 1000), 0, "1 MiB", ""},
		{"endless field", "HTTP/1.1 101 x\r\nX: " + strings.Repeat(long, 1000), 0, "1 MiB", ""},
		{"endless status", strings.Repeat(long, 1000), 0, "1 MiB", ""},
		{"not HTTP", "SSH-2.0-OpenSSH_9.6\r\n", 0, "not HTTP", ""},
		{"malformed status", "HTTP/1.1 abc\r\n\r\n", 0, "not HTTP", ""},
		{"malformed header", "HTTP/1.1 101 x\r\n: y\r\n\r\n", 0, "not HTTP", ""},
		{"folded nonsense", "HTTP/1.1 101 x\r\n \r\nno colon\r\n\r\n", 0, "not HTTP", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := rawServer(t, func(p *rawPeer) {
				_, accept := p.request()
				// The client may have closed before all is written.
				io.WriteString(p.Conn, strings.ReplaceAll(tt.answer, "ACCEPT", accept))
				if tt.status == 101 && tt.reason == "" {
					io.Copy(io.Discard, p)
				}
			})
			d := walve.Dialer{Subprotocols: []string{"a", "b"}}
			c, err := d.DialURL(context.Background(), url)
			if tt.status == 101 && tt.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				if want := c.Response().Header.Get("Sec-WebSocket-Protocol"); c.Subprotocol() != want {
					t.Errorf("Subprotocol %q", c.Subprotocol())
				}
				if want := c.Response().Header.Get("Sec-WebSocket-Extensions") != ""; walve.HalfClose(c) != want {
					t.Errorf("half-close %v", !want)
				}
				c.Close()
				return
			}
			var refused *walve.HandshakeError
			if c != nil || !errors.As(err, &refused) {
				t.Fatalf("%v, %v", c, err)
			}
			if refused.StatusCode != tt.status || !strings.Contains(err.Error(), tt.reason) {
				t.Error(err)
			}
			if tt.status == 0 {
				if refused.Response != nil {
					t.Error("there is a Response")
				}
				return
			}
			if refused.Response.StatusCode != tt.status {
				t.Errorf("Response.StatusCode %d", refused.Response.StatusCode)
			}
			body, err := io.ReadAll(refused.Response.Body)
			if string(body) != tt.body || err != nil {
				t.Errorf("body %q, %v", body, err)
			}
			if tt.status == 302 && refused.Response.Header.Get("Location") == "" {
				t.Error("no Location")
			}
		})
	}
}

// A connection that ends during the handshake is the network's error.
func TestDialCut(t *testing.T) {
	checkLeaks(t)
	for _, answer := range []string{"", "HTTP/1.1 101 Switching", "HTTP/1.1 101 x\r\nUpgrade: web", switched("x")[:60]} {
		url := rawServer(t, func(p *rawPeer) {
			p.request()
			p.send(answer)
		})
		_, err := walve.Dial(context.Background(), url)
		var oe *net.OpError
		if !errors.As(err, &oe) || oe.Op != "dial" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", answer, err)
		}
	}
	url := rawServer(t, func(p *rawPeer) {
		p.request()
		p.Conn.(*net.TCPConn).SetLinger(0)
	})
	if _, err := walve.Dial(context.Background(), url); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

// TestDialKeepsBytes: what the server sends right behind its 101 is not lost,
// wherever TCP cuts it.
func TestDialKeepsBytes(t *testing.T) {
	checkLeaks(t)
	frames := frameBytes(false, walve.OpText, "hello") + strings.Repeat(frameBytes(false, walve.OpBinary, strings.Repeat("x", 100)), 100)
	want := "hello" + strings.Repeat("x", 10_000)
	for _, early := range []int{0, 1, 2, 3, 7, 8, 50, 3000, 5000, len(frames)} {
		read := make(chan struct{})
		url := rawServer(t, func(p *rawPeer) {
			_, accept := p.request()
			p.send(switched(accept) + frames[:early])
			<-read
			if early < len(frames) {
				p.send(frames[early:])
			}
			io.Copy(io.Discard, p)
		})
		c, err := walve.Dial(context.Background(), url)
		close(read)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Errorf("%d bytes early: %v, or not the same bytes", early, err)
		}
		c.Close()
	}
}

// TestDialBodyStalls: a refusal whose body does not come is still a refusal,
// and soon.
func TestDialBodyStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe()
		p := newRawPeer(t, b)
		go func() {
			p.request()
			p.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nstall")
		}()
		start := time.Now()
		_, err := new(walve.Dialer).Handshake(context.Background(), a, "ws://h")
		body, _ := io.ReadAll(wantStatus(t, err, 403).Body)
		if string(body) != "stall" || time.Since(start) > 2*time.Second {
			t.Errorf("body %q after %v", body, time.Since(start))
		}
	})
}

// TestDialTimeout: a context without a deadline does not wait forever.
func TestDialTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, url := range []string{"ws://h", "wss://h"} {
			a, b := memconn.Pipe()
			start := time.Now()
			_, err := new(walve.Dialer).Handshake(context.Background(), a, url)
			var ne net.Error
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
				t.Error(err)
			}
			if d := time.Since(start); d != 45*time.Second {
				t.Errorf("after %v", d)
			}
			if _, err := io.ReadAll(b); err != nil { // it ends
				t.Error(err)
			}
		}
	})
}

// TestDialCancel: at every stage the end of the context ends the dial, closes
// the connection and is in the error.
func TestDialCancel(t *testing.T) {
	checkLeaks(t)
	proxyTo := func(proxy string) func(*http.Request) (*url.URL, error) {
		return func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
	}
	for _, tt := range []struct {
		name   string
		url    string // %s: the server's address
		proxy  string
		answer func(*rawPeer)
	}{
		{"request", "ws://ADDR", "", nil},
		{"response", "ws://ADDR", "", func(p *rawPeer) { p.send("HTTP/1.1 101 Switching Protocols\r\n") }},
		{"interim", "ws://ADDR", "", func(p *rawPeer) { p.send("HTTP/1.1 100 Continue\r\n\r\n") }},
		{"tls", "wss://ADDR", "", nil},
		{"http proxy", "ws://h", "http://ADDR", nil},
		{"https proxy", "ws://h", "https://ADDR", nil},
		{"socks5 proxy", "ws://h", "socks5://ADDR", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, deadline := range []bool{true, false} {
				ctx, cancel := context.WithCancel(context.Background())
				want := context.Canceled
				if deadline {
					want = context.DeadlineExceeded
					ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
				}
				defer cancel()
				closed := make(chan error, 1)
				addr := strings.TrimPrefix(rawServer(t, func(p *rawPeer) {
					p.Peek(1) // the client has begun
					if tt.answer != nil {
						tt.answer(p)
					}
					if !deadline {
						cancel()
					}
					_, err := io.Copy(io.Discard, p)
					closed <- err
				}), "ws://")
				var d walve.Dialer
				if tt.proxy != "" {
					d.Proxy = proxyTo(strings.Replace(tt.proxy, "ADDR", addr, 1))
				}
				_, err := d.DialURL(ctx, strings.Replace(tt.url, "ADDR", addr, 1))
				var oe *net.OpError
				if !errors.As(err, &oe) || !errors.Is(err, want) {
					t.Error(err)
				}
				<-closed
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := walve.Dial(ctx, rawServer(t, func(*rawPeer) {})); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestDialContextEnds: the context bounds the handshake, not the Conn.
func TestDialContextEnds(t *testing.T) {
	checkLeaks(t)
	l, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(time.Minute))
	c, err := (&walve.Dialer{URL: "ws://" + l.Addr().String()}).DialContext(ctx, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	wantEcho(t, c, accept(t, l))
}

// A deadline that whoever made the connection has left is cleared.
func TestHandshakeClearsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe()
		p := newRawPeer(t, b)
		go func() {
			_, accept := p.request()
			p.send(switched(accept))
			time.Sleep(20 * time.Second)
			p.send(frameBytes(false, walve.OpBinary, "x"))
		}()
		a.SetDeadline(time.Now().Add(time.Second))
		c, err := (&walve.Dialer{KeepAlive: -1}).Handshake(context.Background(), a, "ws://h")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		b.Close()
		c.Close()
	})
}

// noDeadlines is a net.Conn as x/crypto/ssh has: deadlines are errors.
type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error      { return errors.New("deadline not supported") }
func (noDeadlines) SetReadDeadline(time.Time) error  { return errors.New("deadline not supported") }
func (noDeadlines) SetWriteDeadline(time.Time) error { return errors.New("deadline not supported") }

func TestHandshakeWithoutDeadlines(t *testing.T) {
	l := new(walve.Listener)
	srv := mount(t, l)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := new(walve.Dialer).Handshake(context.Background(), noDeadlines{conn}, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantEcho(t, c, accept(t, l))
}

// TestHandshakeTLS: nothing of a wss handshake goes out in clear, and a
// tls.Conn is used as it is.
func TestHandshakeTLS(t *testing.T) {
	checkLeaks(t)
	serverTLS, clientTLS := exampleTLS()
	clientTLS = clientTLS.Clone()
	clientTLS.ServerName = "example.com"
	l := &walve.Listener{TLSConfig: serverTLS}
	if err := l.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type wrapped struct{ *tls.Conn }
	for _, tt := range []struct {
		name string
		wrap func(net.Conn) net.Conn
	}{
		{"plain conn", func(c net.Conn) net.Conn { return c }},
		{"tls.Conn", func(c net.Conn) net.Conn { return tls.Client(c, clientTLS) }},
		{"wrapped tls.Conn", func(c net.Conn) net.Conn { return wrapped{tls.Client(c, clientTLS)} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			d := &walve.Dialer{TLSConfig: clientTLS}
			c, err := d.Handshake(context.Background(), tt.wrap(conn), "https://user:secret@example.com/")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if s := c.Response().TLS; s == nil || !s.HandshakeComplete {
				t.Errorf("Response.TLS %v", s)
			}
			server := accept(t, l)
			if user, pass, _ := server.Request().BasicAuth(); user != "user" || pass != "secret" {
				t.Errorf("user %q, password %q", user, pass)
			}
			wantEcho(t, c, server)
		})
	}
}

// TestDialTLSVerifies: certificates are checked against the URL.
func TestDialTLSVerifies(t *testing.T) {
	checkLeaks(t)
	quiet(t)
	serverTLS, clientTLS := exampleTLS()
	l := &walve.Listener{TLSConfig: serverTLS}
	if err := l.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	toServer := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
	}
	for _, tt := range []struct {
		host   string
		config *tls.Config
		ok     bool
	}{
		{"127.0.0.1", clientTLS, true},
		{"example.com", clientTLS, true},
		{"example.org", clientTLS, false},
		{"example.com", nil, false},
		{"example.org", &tls.Config{InsecureSkipVerify: true}, true},
	} {
		d := &walve.Dialer{NetDial: toServer, TLSConfig: tt.config, Proxy: noProxy}
		c, err := d.DialURL(context.Background(), "wss://"+tt.host+":"+port)
		if !tt.ok {
			var ve *tls.CertificateVerificationError
			if !errors.As(err, &ve) {
				t.Errorf("%s: %v", tt.host, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.host, err)
			continue
		}
		accept(t, l)
		c.Close()
	}
	// A server that does not speak TLS.
	plain := rawServer(t, func(p *rawPeer) { p.send("HTTP/1.1 400 Bad Request\r\n\r\n") })
	_, err := walve.Dial(context.Background(), strings.Replace(plain, "ws", "wss", 1))
	var re tls.RecordHeaderError
	if !errors.As(err, &re) {
		t.Error(err)
	}
	var unknown x509.UnknownAuthorityError
	_, err = walve.Dial(context.Background(), "wss://"+l.Addr().String())
	if !errors.As(err, &unknown) {
		t.Error(err)
	}
	if clientTLS.ServerName != "" || clientTLS.NextProtos != nil {
		t.Error("the caller's TLSConfig was changed")
	}
}

// TestDialCookies: the Jar has cookies for the request, and gets those of the
// answer, 101 or not.
func TestDialCookies(t *testing.T) {
	l := new(walve.Listener)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: strings.Trim(r.URL.Path, "/"), Value: "1", Path: "/"})
		if r.URL.Path == "/refused" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		l.ServeHTTP(w, r)
	}))
	defer srv.Close()
	defer l.Close()
	jar, _ := cookiejar.New(nil)
	d := &walve.Dialer{Jar: jar}
	_, err := d.DialURL(context.Background(), srv.URL+"/refused")
	wantStatus(t, err, http.StatusForbidden)
	for i, path := range []string{"/a", "/b"} {
		c, err := d.DialURL(context.Background(), srv.URL+path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := len(accept(t, l).Request().Cookies()); got != i+1 {
			t.Errorf("%s: %d cookies", path, got)
		}
	}
}

// TestDialerConcurrent: one Dialer, many dials, with the race detector.
func TestDialerConcurrent(t *testing.T) {
	checkLeaks(t)
	serverTLS, clientTLS := exampleTLS()
	l := &walve.Listener{TLSConfig: serverTLS}
	l.Upgrader.Subprotocols = []string{"b"}
	if err := l.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &walve.Dialer{
		URL: "wss://u:p@" + l.Addr().String(), TLSConfig: clientTLS,
		Header: http.Header{"X": {"y"}}, Subprotocols: []string{"a", "b"},
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			c, err := d.Dial("", "")
			if err != nil {
				t.Error(err)
				return
			}
			if s := c.(*walve.Conn).Subprotocol(); s != "b" {
				t.Errorf("Subprotocol %q", s)
			}
			c.Close()
		})
	}
	for range 16 {
		accept(t, l).Close()
	}
	wg.Wait()
	if len(d.Header) != 1 {
		t.Errorf("Header %v", d.Header)
	}
}

// FuzzClientResponse: whatever the server answers, the client fails or makes a
// Conn that reads on exactly behind the 101.
func FuzzClientResponse(f *testing.F) {
	frame := frameBytes(false, walve.OpText, "hello")
	for _, in := range []string{
		switched("ACCEPT") + frame,
		switched("ACCEPT", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Extensions: walve.half-close") + frame,
		"HTTP/1.1 100 Continue\r\n\r\n" + switched("ACCEPT"),
		switched("ACCEPT", "Sec-WebSocket-Protocol: c"),
		switched("ACCEPT", "Sec-WebSocket-Extensions: a; b=\"c\""),
		switched("ACCEPT", "Content-Length: 5", "Transfer-Encoding: chunked") + frame,
		switched(sampleAccept),
		"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\n",
		"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		conn := &answeringConn{answer: in}
		d := &walve.Dialer{Subprotocols: []string{"a", "b"}, KeepAlive: -1}
		c, err := d.Handshake(context.Background(), conn, "ws://example.com/")
		if err != nil {
			var refused *walve.HandshakeError
			var oe *net.OpError
			if c != nil || !errors.As(err, &refused) && !errors.As(err, &oe) {
				t.Fatalf("%v, %v", c, err)
			}
			if refused != nil && refused.Response != nil {
				if body, err := io.ReadAll(refused.Response.Body); len(body) > 1024 || err != nil {
					t.Fatalf("%d bytes of body, %v", len(body), err)
				}
			}
			return
		}
		if c.Response().StatusCode != 101 {
			t.Fatal(c.Response().Status)
		}
		// The same as on a connection without a handshake.
		src := bufio.NewReader(strings.NewReader(conn.sent))
		for resp := c.Response(); ; {
			if resp, err = http.ReadResponse(src, resp.Request); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode == 101 {
				break
			}
		}
		plain := walve.NewTestConn(&recordedConn{in: src}, walve.TestConfig{Client: true, HalfClose: walve.HalfClose(c)})
		want, wantErr := io.ReadAll(plain)
		got, gotErr := io.ReadAll(c)
		if string(got) != string(want) || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("behind the response: %q, %v, want %q, %v", got, gotErr, want, wantErr)
		}
	})
}

// An answeringConn answers the request that is written to it; ACCEPT stands for
// the right value.
type answeringConn struct {
	recordedConn
	answer, sent string
}

func (c *answeringConn) Write(p []byte) (int, error) {
	if c.in == nil {
		_, key, _ := strings.Cut(string(p), "Sec-WebSocket-Key: ")
		c.sent = strings.ReplaceAll(c.answer, "ACCEPT", walve.Accept(key[:24]))
		c.in = strings.NewReader(c.sent)
	}
	return len(p), nil
}

// TestRefusalStallsWithoutDeadlines: the body of a refusal is not waited for
// where deadlines cannot be set either.
func TestRefusalStallsWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			http.ReadRequest(bufio.NewReader(far))
			io.WriteString(far, "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nstall")
		}()
		start := time.Now()
		_, err := new(walve.Dialer).Handshake(context.Background(), noDeadlines{near}, "ws://h/")
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("took %v: %v", d, err)
		}
		far.Close()
	})
}
