package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// greeter says name and ends.
func greeter(name string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, name) }
}

// greeting is what a server behind url says, or the status of its refusal.
func greeting(t *testing.T, url string, header http.Header) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d := walve.Dialer{Header: header}
	conn, err := d.DialURL(ctx, url)
	var refused *walve.HandshakeError
	if errors.As(err, &refused) {
		return "", refused.StatusCode
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("%s: %v", url, err)
	}
	return string(b), 101
}

func TestMappings(t *testing.T) {
	socket := filepath.Join(shortTempDir(t), "s")
	one := serveOn(t, "tcp", "127.0.0.1:0", greeter("one"))
	two := serveOn(t, "unix", socket, greeter("two"))
	three := serveOn(t, "tcp", "127.0.0.1:0", greeter("three"))
	inner := filepath.Join(shortTempDir(t), "w")
	_, urls := startListen(t, 4, "-allow", "third="+three,
		"ws://127.0.0.1:0/a", one, "ws://127.0.0.1:0/a/b", two, "ws://127.0.0.1:0/to",
		"ws+unix://"+inner+":/x", one)
	base := strings.TrimSuffix(urls[0], "/a")
	for _, test := range []struct {
		url, want string
		status    int
	}{
		{urls[0], "one", 101},
		{urls[1], "two", 101},
		{urls[2], "three", 101},
		{urls[3], "one", 101},
		{base + "/a/", "", 404},
		{base + "/", "", 404},
		{base + "/to/", "", 404},
		{base + "/to/" + strings.TrimPrefix(one, "tcp://"), "", 404},
		{base + "/to/third/", "", 404},
		{base + "/to/../a", "", 404},
	} {
		if got, status := greeting(t, test.url, nil); got != test.want || status != test.status {
			t.Errorf("%s: %q, %d, want %q, %d", test.url, got, status, test.want, test.status)
		}
	}
	resp, err := http.Get(strings.Replace(urls[0], "ws:", "http:", 1))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("a request without an upgrade: %d, want 426", resp.StatusCode)
	}
}

func TestTargetDown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	p, urls := startListen(t, 1, "ws://127.0.0.1:0/", "tcp://"+ln.Addr().String())
	if _, status := greeting(t, urls[0], nil); status != http.StatusBadGateway {
		t.Errorf("status %d, want 502", status)
	}
	if line := p.next("the target cannot be reached"); line["try"] == nil {
		t.Errorf("logged %v, want what to try", line)
	}
}

func TestMaxConnections(t *testing.T) {
	target := serveTCP(t, echo)
	_, urls := startListen(t, 1, "-max", "1", "ws://127.0.0.1:0/", target)
	conn, err := walve.Dial(t.Context(), urls[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, status := greeting(t, urls[0], nil); status != http.StatusServiceUnavailable {
		t.Errorf("the second connection: status %d, want 503", status)
	}
}

func TestAuth(t *testing.T) {
	file := writeFile(t, "auth", []byte("# who may\n\nsecret-token\nme:pass:word\n"))
	target := serveOn(t, "tcp", "127.0.0.1:0", greeter("hello"))
	_, urls := startListen(t, 1, "-auth-file", file, "ws://127.0.0.1:0/x", target)
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, test := range []struct {
		path, authorization string
		status              int
	}{
		{"", "", 401},
		{"/nothing-here", "", 401},
		{"", "Bearer secret-token", 101},
		{"", "bearer  secret-token", 101},
		{"", "Bearer secret-toke", 401},
		{"", "Bearer secret-token2", 401},
		{"", "Bearer me:pass:word", 401},
		{"", "Bearer ", 401},
		{"", "secret-token", 401},
		{"", basic("me:pass:word"), 101},
		{"", basic("me:pass"), 401},
		{"", basic("secret-token"), 401},
		{"", "Basic !", 401},
		{"", "Digest secret-token", 401},
		{"/nothing-here", "Bearer secret-token", 404},
	} {
		header := http.Header{}
		if test.authorization != "" {
			header.Set("Authorization", test.authorization)
		}
		if _, status := greeting(t, urls[0]+test.path, header); status != test.status {
			t.Errorf("%q %q: status %d, want %d", test.path, test.authorization, status, test.status)
		}
	}

	resp, err := http.Get(strings.Replace(urls[0], "ws:", "http:", 1))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want := []string{`Basic realm="walve", charset="UTF-8"`, `Bearer realm="walve"`}
	if got := resp.Header.Values("WWW-Authenticate"); !reflect.DeepEqual(got, want) {
		t.Errorf("WWW-Authenticate: %q, want %q", got, want)
	}

	for _, test := range []struct {
		line string
		code int
	}{{"secret-token", exitOK}, {"me:pass:word", exitOK}, {"wrong", exitRefused}} {
		r := runWalve(t, strings.NewReader(""), "dial", "-auth-file", writeFile(t, "a", []byte(test.line)), urls[0])
		if r.code != test.code || test.code == exitRefused && !strings.Contains(r.stderr, "try: -auth-file") {
			t.Errorf("dial with %q: %+v, want exit code %d", test.line, r, test.code)
		}
	}
}

func TestReadAuthFileErrors(t *testing.T) {
	for _, content := range []string{"", "# only\n\n", "two words\n"} {
		if _, err := readAuthFile(writeFile(t, "auth", []byte(content))); exitCode(err) != exitUsage {
			t.Errorf("%q: %v, want a usage error", content, err)
		}
	}
}

func TestOrigin(t *testing.T) {
	target := serveOn(t, "tcp", "127.0.0.1:0", greeter("hello"))
	_, urls := startListen(t, 1, "-origin", "https://app.example", "ws://127.0.0.1:0/", target)
	for origin, want := range map[string]int{"": 101, "https://app.example": 101, "https://other.example": 403} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if _, status := greeting(t, urls[0], header); status != want {
			t.Errorf("origin %q: status %d, want %d", origin, status, want)
		}
	}
}

func TestClientAddr(t *testing.T) {
	for _, test := range []struct {
		trusted, remote string
		forwarded       []string
		want            string
	}{
		{"", "10.0.0.1:80", []string{"1.2.3.4"}, "10.0.0.1:80"},
		{"10.0.0.0/8", "10.0.0.1:80", nil, "10.0.0.1:80"},
		{"10.0.0.0/8", "11.0.0.1:80", []string{"1.2.3.4"}, "11.0.0.1:80"},
		{"10.0.0.0/8", "10.0.0.1:80", []string{"1.2.3.4"}, "1.2.3.4"},
		{"10.0.0.0/8", "[::ffff:10.0.0.1]:80", []string{"1.2.3.4"}, "1.2.3.4"},
		{"10.0.0.0/8", "10.0.0.1:80", []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
		{"10.0.0.0/8", "10.0.0.1:80", []string{"6.6.6.6", "1.2.3.4, 10.9.9.9"}, "1.2.3.4"},
		{"10.0.0.0/8", "10.0.0.1:80", []string{"10.2.2.2, 10.9.9.9"}, "10.2.2.2"},
		{"10.0.0.0/8", "10.0.0.1:80", []string{"1.2.3.4, unknown"}, "10.0.0.1:80"},
		{"10.0.0.0/8", "10.0.0.1:80", []string{"unknown, 10.9.9.9"}, "10.9.9.9"},
		{"10.0.0.0/8", "10.0.0.1:80", []string{"1.2.3.4:5678"}, "1.2.3.4"},
		{"::1, 2001:db8::/32", "[::1]:80", []string{"[2001:db9::1]:9, 2001:db8::2"}, "2001:db9::1"},
		{"127.0.0.1", "127.0.0.2:80", []string{"1.2.3.4"}, "127.0.0.2:80"},
		{"10.0.0.0/8", "@", []string{"1.2.3.4"}, "@"},
		{"unix", "@", []string{"1.2.3.4"}, "1.2.3.4"},
		{"unix", "", []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
	} {
		var proxies trustedProxies
		if test.trusted != "" {
			if err := proxies.parse(test.trusted); err != nil {
				t.Fatal(err)
			}
		}
		r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		if got := proxies.clientAddr(r); got != test.want {
			t.Errorf("%q %q %q: %q, want %q", test.trusted, test.remote, test.forwarded, got, test.want)
		}
	}
	if err := new(trustedProxies).parse("10.0.0.0/8,host"); err == nil {
		t.Error("a name is taken for a network")
	}
}

func TestTrustedProxy(t *testing.T) {
	target := serveOn(t, "tcp", "127.0.0.1:0", greeter("hello"))
	p, urls := startListen(t, 1, "-trusted-proxy", "127.0.0.0/8", "ws://127.0.0.1:0/", target)
	greeting(t, urls[0], http.Header{"X-Forwarded-For": {"192.0.2.7"}})
	if line := p.next("connected"); line["client"] != "192.0.2.7" {
		t.Errorf("logged %v, want client 192.0.2.7", line)
	}
}

func TestParseMappingsErrors(t *testing.T) {
	allow := map[string]target{"a": {"tcp", "127.0.0.1:1"}}
	for _, test := range []struct {
		args  string
		allow map[string]target
		want  string
	}{
		{"", nil, "what is to be forwarded"},
		{"ws://:1/a", nil, "no target"},
		{"ws://:1/a tcp://:2", allow, "not used"},
		{"ws://:1/a 127.0.0.1:22", nil, "is not a target"},
		{"ws://:1/a tcp://127.0.0.1", nil, "is not a target"},
		{"ws://:1/a unix://", nil, "is not a target"},
		{"tcp://:2 ws://:1/a", nil, "is not a URL to listen on"},
		{"ws:///a tcp://:2", nil, "neither host nor port"},
		{"ws://:1/a?b tcp://:2", nil, "is not a URL to listen on"},
		{"ws+unix:// tcp://:2", nil, "no path of a socket"},
		{"ws://:1/a tcp://:2 ws://:1/a tcp://:3", nil, "twice"},
		{"ws://:1/a tcp://:2 wss://:1/b tcp://:3", nil, "both ws and wss"},
	} {
		_, err := parseMappings(strings.Fields(test.args), test.allow)
		if err == nil || !strings.Contains(err.Error(), test.want) || exitCode(err) != exitUsage {
			t.Errorf("%q: %v, want a usage error with %q", test.args, err, test.want)
		}
	}
}

func TestUpgradeList(t *testing.T) {
	target := serveTCP(t, echo)
	_, urls := startListen(t, 1, "-max", "2", "ws://127.0.0.1:0/", target)
	address := strings.TrimSuffix(strings.TrimPrefix(urls[0], "ws://"), "/")
	for _, upgrade := range []string{"websocket, foo", "foo\r\nUpgrade: websocket"} {
		t.Run(upgrade, func(t *testing.T) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(3 * time.Second))
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+address+"\r\nConnection: Upgrade\r\nUpgrade: "+upgrade+
				"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			br := bufio.NewReader(c)
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(resp, err)
			}
			// "hi", masked with zeroes, comes back.
			c.Write([]byte{0x82, 0x82, 0, 0, 0, 0, 'h', 'i'})
			b := make([]byte, 4)
			if _, err := io.ReadFull(br, b); err != nil {
				t.Errorf("no target behind the 101: %v", err)
			} else {
				t.Logf("%q", b)
			}
			c.Write([]byte{0x88, 0x80, 0, 0, 0, 0})
			io.ReadAll(br)
		})
	}
}

// TestUnfinishedBody: a refused request whose body never comes is closed.
func TestUnfinishedBody(t *testing.T) {
	target := serveTCP(t, echo)
	_, urls := startListen(t, 1, "ws://127.0.0.1:0/", target)
	address := strings.TrimSuffix(strings.TrimPrefix(urls[0], "ws://"), "/")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(75 * time.Second))
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: "+address+"\r\nContent-Length: 100\r\n\r\n")
	start := time.Now()
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("open for %v: %v", time.Since(start), err)
	}
}

// TestConnectTimeoutZero: that is no limit.
func TestConnectTimeoutZero(t *testing.T) {
	target := serveOn(t, "tcp", "127.0.0.1:0", greeter("hello"))
	_, urls := startListen(t, 1, "-connect-timeout", "0", "ws://127.0.0.1:0/", target)
	if got, status := greeting(t, urls[0], nil); status != 101 {
		t.Errorf("%q, %d", got, status)
	}
}
