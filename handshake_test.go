package walve_test

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/bodokaiser/walve"
)

// RFC 6455, 1.2 and 1.3: the example of the opening handshake.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// upgradeRequest returns a request that asks for an upgrade, with its header
// changed: "Name: value" replaces a field, "+Name: value" adds one and "-Name"
// takes one away. A change with a space before any colon is the request line.
func upgradeRequest(changes ...string) string {
	lines := []string{
		"GET /chat HTTP/1.1",
		"Host: example.com",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Key: " + sampleKey,
		"Sec-WebSocket-Version: 13",
	}
	remove := func(name string) {
		kept := lines[:1]
		for _, l := range lines[1:] {
			if !strings.HasPrefix(l, name+":") {
				kept = append(kept, l)
			}
		}
		lines = kept
	}
	for _, c := range changes {
		name, _, isField := strings.Cut(c, ":")
		switch {
		case strings.HasPrefix(c, "+"):
			lines = append(lines, c[1:])
		case strings.HasPrefix(c, "-"):
			remove(c[1:])
		case isField && !strings.Contains(name, " "):
			remove(name)
			lines = append(lines, c)
		default:
			lines[0] = c
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// A rawPeer is one end of a connection that is spoken byte by byte.
type rawPeer struct {
	net.Conn
	*bufio.Reader
	t testing.TB
}

func newRawPeer(t testing.TB, conn net.Conn) *rawPeer {
	t.Cleanup(func() { conn.Close() })
	return &rawPeer{conn, bufio.NewReader(conn), t}
}

// dialRaw connects to a TCP address.
func dialRaw(t testing.TB, addr string) *rawPeer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newRawPeer(t, conn)
}

func (p *rawPeer) Read(b []byte) (int, error) { return p.Reader.Read(b) }

func (p *rawPeer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *rawPeer) response() *http.Response {
	p.t.Helper()
	resp, err := http.ReadResponse(p.Reader, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp
}

// upgrade sends a request and wants 101.
func (p *rawPeer) upgrade(changes ...string) *http.Response {
	p.t.Helper()
	p.send(upgradeRequest(changes...))
	resp := p.response()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("answer %s", resp.Status)
	}
	return resp
}

// request reads the client's part of a handshake and returns it with the
// value of Sec-WebSocket-Accept that answers it.
func (p *rawPeer) request() (*http.Request, string) {
	p.t.Helper()
	req, err := http.ReadRequest(p.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	return req, walve.Accept(req.Header.Get("Sec-WebSocket-Key"))
}

// switched is the server's part of a handshake, with more header lines.
func switched(accept string, lines ...string) string {
	s := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n"
	for _, l := range lines {
		s += l + "\r\n"
	}
	return s + "\r\n"
}

// frameBytes returns a frame with a payload of at most 125 bytes, masked with
// zeros if it comes from a client.
func frameBytes(client bool, op walve.Opcode, payload string) string {
	h := walve.Header{Fin: true, Opcode: op, Masked: client, Length: int64(len(payload))}
	b, err := h.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return string(b) + payload
}

func TestAccept(t *testing.T) {
	if got := walve.Accept(sampleKey); got != sampleAccept {
		t.Errorf("Accept = %q", got)
	}
}

func TestValidKey(t *testing.T) {
	for key, want := range map[string]bool{
		sampleKey:                      true,
		"AAAAAAAAAAAAAAAAAAAAAA==":     true,
		"++++////azAZ09azAZ09aw==":     true,
		"":                             false,
		"dGhlIHNhbXBsZSBub25jZQ":       false, // no padding
		"dGhlIHNhbXBsZSBub25jZQ= ":     false,
		"dGhlIHNhbXBsZSBub25jZQA=":     false, // 17 bytes
		"dGhlIHNhbXBsZSBub25j":         false, // 15 bytes
		"dGhlIHNhbXBsZSBub25jZQ==AAAA": false,
		"dGhlIHNhbXBsZSBub25j-_==":     false, // the other base64
		"dGhlIHNhbXBsZSBub25j\xc1A==":  false,
	} {
		if got := walve.ValidKey(key); got != want {
			t.Errorf("ValidKey(%q) = %v", key, got)
		}
	}
}

func TestHasToken(t *testing.T) {
	for _, tt := range []struct {
		values string // lines, separated by |
		want   bool
	}{
		{"upgrade", true},
		{"Upgrade", true},
		{"UPGRADE", true},
		{"keep-alive, Upgrade", true},
		{"keep-alive,Upgrade", true},
		{"keep-alive|Upgrade", true},
		{" \tupgrade\t ,x", true},
		{",,upgrade,", true},
		{"a@b, upgrade", true}, // the others are not ours
		{"", false},
		{",", false},
		{"upgrades", false},
		{"not upgrade", false},
		{"up,grade", false},
		{"u\u0070grad\u00e9", false},
		{`"upgrade"`, false},
	} {
		if got := walve.HasToken(strings.Split(tt.values, "|"), "upgrade"); got != tt.want {
			t.Errorf("HasToken(%q) = %v", tt.values, got)
		}
	}
	if walve.HasToken([]string{"web\u017focket", "webso\u212aet"}, "websocket") {
		t.Error("what Unicode folds to ASCII was taken for it")
	}
}

func TestExtensions(t *testing.T) {
	for _, tt := range []struct {
		values string // lines, separated by |
		want   string
		ok     bool
	}{
		{"", "", true},
		{" , ,", "", true},
		{"foo", "foo", true},
		{"foo, bar", "foo, bar", true},
		{"foo|bar,baz", "foo, bar, baz", true},
		{"foo;a;b=c , bar ; d = \"e\"", "foo; a; b=c, bar; d=e", true},
		{`foo; a="b\c"`, "foo; a=bc", true},
		{"permessage-deflate; client_max_window_bits; server_max_window_bits=10", "permessage-deflate; client_max_window_bits; server_max_window_bits=10", true},
		{"foo; a=1; a=2", "foo; a=1; a=2", true}, // whether that may be is the extension's to say
		// What is malformed is left out.
		{"a, foo bar, b", "a, b", false},
		{`a, foo; b="c, \" d" e, f`, "a, f", false},
		{"a, foo; b=\"c, d", "a", false},
		{"a, foo;|b", "a, b", false},
		{"foo bar", "", false},
		{"foo;", "", false},
		{"foo; ;a", "", false},
		{"foo; a=", "", false},
		{"foo; =b", "", false},
		{`foo; a=""`, "", false}, // unescaped, it must be a token
		{`foo; a="b`, "", false},
		{`foo; a="b\`, "", false},
		{`foo; a="b c"`, "", false},
		{`foo; a="b,c"`, "", false},
		{`foo; a="b"c`, "", false},
		{"foo; a=b=c", "", false},
		{"=foo", "", false},
		{";", "", false},
		{"foo@bar", "", false},
		{"foo\x00", "", false},
		{"f\u00f6\u00f6", "", false},
	} {
		got, ok := walve.Extensions(strings.Split(tt.values, "|")...)
		if ok != tt.ok || got != tt.want {
			t.Errorf("Extensions(%q) = %q, %v, want %q, %v", tt.values, got, ok, tt.want, tt.ok)
		}
	}
}

func TestHalfCloseExtension(t *testing.T) {
	for _, tt := range []struct {
		values             string
		server, client, ok bool
	}{
		{"", false, false, true},
		{"walve.half-close", true, true, true},
		{"foo, walve.half-close", true, false, false},
		{"walve.half-close, walve.half-close", true, false, false},
		{"walve.half-close; a", false, false, false}, // a parameter we do not know
		{"walve.half-close; a, walve.half-close", true, false, false},
		{"permessage-deflate", false, false, false},
	} {
		server, client, ok := walve.AgreeHalfClose(tt.values)
		if server != tt.server || client != tt.client && ok || ok != tt.ok {
			t.Errorf("%q: server %v, client %v, %v", tt.values, server, client, ok)
		}
	}
}

func TestChooseSubprotocol(t *testing.T) {
	for _, tt := range []struct {
		server, client string
		want           string
		ok             bool
	}{
		{"", "", "", true},
		{"a b", "", "", true},
		{"", "a, b", "", true},
		{"a b", "a", "a", true},
		{"a b", "b,a", "a", true}, // the server's preference
		{"a b", "c|b", "b", true},
		{"a", "A", "", true},
		{"a", "a b", "", false},
		{"a", "a;b", "", false},
		{"a", "a, a", "", false},
		{"a", "\u00e4", "", false},
	} {
		var header []string
		if tt.client != "" {
			header = strings.Split(tt.client, "|")
		}
		got, ok := walve.ChooseSubprotocol(strings.Fields(tt.server), header)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%q, %q: %q, %v", tt.server, tt.client, got, ok)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, tt := range []struct {
		host   string
		origin string // lines, separated by |; "": none
		want   bool
	}{
		{"example.com", "", true},
		{"example.com", "http://example.com", true},
		{"example.com", "https://example.com", true},
		{"example.com", "https://EXAMPLE.com", true},
		{"example.com:443", "https://example.com", true},
		{"example.com:80", "http://example.com", true},
		{"example.com:8080", "http://example.com:8080", true},
		{"[::1]:8080", "http://[::1]:8080", true},
		{"[::1]:80", "http://[::1]", true},
		{"example.com:80", "https://example.com", false},
		{"example.com", "http://example.com:8080", false},
		{"example.com:8080", "http://example.com", false},
		{"example.com", "http://example.org", false},
		{"example.com", "http://evil.example.com", false},
		{"example.com", "http://example.com.evil.org", false},
		{"example.com", "http://example.com@evil.org", false},
		{"example.com", "http://evil.org/://example.com", false},
		{"example.com", "null", false},
		{"example.com", "example.com", false},
		{"example.com", "http://example.com|http://example.com", false},
		{"example.com", "http://example.com/", false}, // an origin has no path
		{"", "http://", true},                         // no Host: net/http lets none through
	} {
		r := &http.Request{Host: tt.host, Header: http.Header{}}
		if tt.origin != "" {
			r.Header["Origin"] = strings.Split(tt.origin, "|")
		}
		if got := walve.SameOrigin(r); got != tt.want {
			t.Errorf("host %q, origin %q: %v", tt.host, tt.origin, got)
		}
	}
}

func TestRewrittenAddr(t *testing.T) {
	v4 := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234}
	v6 := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1234}
	zoned := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1234, Zone: "eth0"}
	unix := &net.UnixAddr{Net: "unix"}
	for _, tt := range []struct {
		text   string
		socket net.Addr
		want   string // "": the socket's
	}{
		{v4.String(), v4, ""},
		{v6.String(), v6, ""},
		{zoned.String(), zoned, ""},
		{"[::ffff:192.0.2.1]:1234", v4, ""},
		{"192.0.2.1:1235", v4, "192.0.2.1:1235"},
		{"198.51.100.7:1234", v4, "198.51.100.7:1234"},
		{"198.51.100.7", v4, "198.51.100.7:0"},
		{"[2001:db8::2]:1", v4, "[2001:db8::2]:1"},
		{"2001:db8::2", v6, "[2001:db8::2]:0"},
		{"[fe80::1%eth1]:1234", zoned, "[fe80::1%eth1]:1234"},
		{"198.51.100.7:1234", unix, "198.51.100.7:1234"},
		{"@", unix, ""},
		{"", unix, ""},
		{"", v4, ""},
		{"unknown", v4, ""},
		{"198.51.100.7, 10.0.0.1", v4, ""},
		{"example.com:80", v4, ""},
	} {
		got := walve.RewrittenAddr(tt.text, tt.socket)
		switch {
		case tt.want == "":
			if got != nil {
				t.Errorf("%q, %v: %v", tt.text, tt.socket, got)
			}
		default:
			if tcp, ok := got.(*net.TCPAddr); !ok || tcp.String() != tt.want {
				t.Errorf("%q, %v: %v, want %s", tt.text, tt.socket, got, tt.want)
			}
		}
	}
}

func TestHandshakeErrorText(t *testing.T) {
	for _, tt := range []struct {
		err  *walve.HandshakeError
		want string
	}{
		{&walve.HandshakeError{StatusCode: 403, Reason: "the origin is not allowed"}, "websocket: handshake refused: 403 Forbidden: the origin is not allowed"},
		{&walve.HandshakeError{StatusCode: 299, Reason: "r", Err: io.EOF}, "websocket: handshake refused: 299: r: EOF"},
		{&walve.HandshakeError{Reason: "the answer is not HTTP"}, "websocket: handshake refused: the answer is not HTTP"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		if errors.Is(tt.err, io.EOF) != (tt.err.Err != nil) {
			t.Errorf("%v does not unwrap", tt.err)
		}
	}
}

// quiet keeps what net/http logs out of the test's output.
func quiet(t testing.TB) {
	w := log.Writer()
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(w) })
}
