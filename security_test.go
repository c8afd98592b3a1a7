package walve_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestSecurityDialerSendsNoOtherRequest puts what ends a line, a header or a
// request into every string that Dialer sends: nothing is sent, or exactly one
// request with no field that was not meant.
func TestSecurityDialerSendsNoOtherRequest(t *testing.T) {
	requests := 0
	for _, evil := range []string{"\r\nX-Evil: 1", "\nX-Evil: 1", "\rX-Evil: 1", "\r\n\r\nGET /evil HTTP/1.1\r\nX-Evil: 1\r\n", " HTTP/1.1\r\nX-Evil: 1", "\x00", "\u2028X-Evil: 1", "\u560a\u560dX-Evil: 1", "\x7f"} {
		escaped := url.QueryEscape(evil)
		for name, tt := range map[string]struct {
			url    string
			dialer *walve.Dialer
		}{
			"header value":     {"ws://h/", &walve.Dialer{Header: http.Header{"X": {"a" + evil}}}},
			"header name":      {"ws://h/", &walve.Dialer{Header: http.Header{"X" + evil: {"a"}}}},
			"Host":             {"ws://h/", &walve.Dialer{Header: http.Header{"Host": {"h" + evil}}}},
			"Origin":           {"ws://h/", &walve.Dialer{Header: http.Header{"Origin": {"http://h" + evil}}}},
			"Cookie":           {"ws://h/", &walve.Dialer{Header: http.Header{"Cookie": {"a=b" + evil}}}},
			"subprotocol":      {"ws://h/", &walve.Dialer{Subprotocols: []string{"a" + evil}}},
			"host":             {"ws://h" + evil + "/", &walve.Dialer{}},
			"host escaped":     {"ws://h" + escaped + "/", &walve.Dialer{}},
			"zone":             {"ws://[fe80::1%25" + escaped + "]/", &walve.Dialer{}},
			"port":             {"ws://h:80" + evil + "/", &walve.Dialer{}},
			"path":             {"ws://h/p" + evil, &walve.Dialer{}},
			"path escaped":     {"ws://h/p" + escaped, &walve.Dialer{}},
			"query":            {"ws://h/?q=" + evil, &walve.Dialer{}},
			"query escaped":    {"ws://h/?q=" + escaped, &walve.Dialer{}},
			"user":             {"ws://u" + evil + ":p@h/", &walve.Dialer{}},
			"user escaped":     {"ws://u" + escaped + ":p" + escaped + "@h/", &walve.Dialer{}},
			"unix path":        {"ws+unix:///run/s:/p" + evil, &walve.Dialer{}},
			"unix escaped":     {"ws+unix:///run/s:/p" + escaped, &walve.Dialer{}},
			"unix socket path": {"ws+unix:///run/s" + escaped + ":/p", &walve.Dialer{}},
		} {
			sent := sentBy(t, func(nc net.Conn) error {
				_, err := tt.dialer.Handshake(context.Background(), nc, tt.url)
				return err
			})
			checkOneRequest(t, name+" "+evil, sent)
			if len(sent) > 0 {
				requests++
			}
		}
	}
	if requests == 0 {
		t.Error("everything is refused, escaped or not")
	}
}

// TestSecurityProxyGetsNoOtherRequest is the same for what a proxy is told.
func TestSecurityProxyGetsNoOtherRequest(t *testing.T) {
	for _, evil := range []string{"\r\nX-Evil: 1", "\r\n\r\nGET /evil HTTP/1.1\r\nX-Evil: 1\r\n", "\x00"} {
		for name, tt := range map[string]struct {
			target string
			proxy  url.URL
		}{
			"user":     {"ws://h/", url.URL{Scheme: "http", Host: "proxy:1", User: url.UserPassword("u"+evil, "p"+evil)}},
			"path":     {"ws://h/", url.URL{Scheme: "http", Host: "proxy:1", Path: "/" + evil}},
			"host":     {"ws://h/", url.URL{Scheme: "http", Host: "proxy" + evil + ":1"}},
			"target":   {"ws://h" + evil + "/", url.URL{Scheme: "http", Host: "proxy:1"}},
			"escaped":  {"ws://h" + url.QueryEscape(evil) + "/", url.URL{Scheme: "http", Host: "proxy:1"}},
			"url path": {"ws://h/" + url.PathEscape(evil), url.URL{Scheme: "http", Host: "proxy:1"}},
		} {
			sent := sentBy(t, func(nc net.Conn) error {
				d := walve.Dialer{
					Proxy:   func(*http.Request) (*url.URL, error) { return &tt.proxy, nil },
					NetDial: func(context.Context, string, string) (net.Conn, error) { return nc, nil },
				}
				_, err := d.DialURL(context.Background(), tt.target)
				return err
			})
			checkOneRequest(t, name+" "+evil, sent)
		}
	}
}

// sentBy returns what dial has sent when it waits for an answer, or gives up.
func sentBy(t *testing.T, dial func(net.Conn) error) (sent []byte) {
	bubble(t, func(t *testing.T) {
		own, peer := memconn.Pipe()
		err := background(func() error { return dial(own) })
		synctest.Wait()
		sent = take(t, own, peer)
		peer.Close()
		if err() == nil {
			t.Error("a handshake without an answer succeeds")
		}
		own.Close()
	})
	return sent
}

// checkOneRequest checks that sent is nothing or one request, with no byte in it
// that a server could take for the end of a line or a string.
func checkOneRequest(t *testing.T, what string, sent []byte) {
	t.Helper()
	if len(sent) == 0 {
		return
	}
	head, ok := strings.CutSuffix(string(sent), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if !ok || len(strings.Fields(lines[0])) != 3 {
		t.Errorf("%q: sent %q", what, sent)
	}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		if strings.ContainsAny(line, "\r\n\x00\x7f") || line == "" || strings.EqualFold(strings.TrimSpace(name), "X-Evil") || strings.HasPrefix(line, "GET /evil") {
			t.Errorf("%q: sent %q", what, sent)
		}
	}
	if _, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent))); err != nil {
		t.Errorf("%q: sent %q: %v", what, sent, err)
	}
}

// hostileBytes are bytes that cost a peer little, as it may send them for ever.
var hostileBytes = []struct {
	name string
	wire func(client bool) []byte // one round
}{
	{"1-byte frames", sends(fin|bin, "x")},
	{"1-byte fragments", sends(bin, "x", cont, "x", fin|cont, "x")},
	{"empty fragments", sends(bin, "", cont, "", fin|cont, "")},
	{"empty messages", sends(fin|bin, "", fin|text, "")},
	{"Ping flood", sends(fin|ping, "")},
	{"large Ping flood", sends(fin|ping, strings.Repeat("p", 125))},
	{"Pong flood", sends(fin|pong, "12345678")},
}

// TestSecurityAllocatedPerHostileByte has a peer that answers nothing send
// frames of each kind: what a Conn allocates for a byte of it is bounded, and
// what it keeps at the end is too.
func TestSecurityAllocatedPerHostileByte(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const total = 4 << 20
	for _, h := range hostileBytes {
		t.Run(h.name, func(t *testing.T) {
			round := h.wire(true)
			flood := bytes.Repeat(round, total/len(round))
			own, peer := memconn.Pipe(memconn.Buffer(64 << 10))
			c := walve.NewTestConn(own, walve.TestConfig{})
			defer peer.Close()
			defer c.Close()
			own.SetWriteLimit(0) // it reads no Pong
			fed := background(func() error { _, err := peer.Write(flood); peer.CloseWrite(); return err })
			var before, after runtime.MemStats
			buf := make([]byte, 4096)
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			for {
				if _, err := c.Read(buf); err != nil {
					break
				}
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err := fed(); err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			var left runtime.MemStats
			runtime.ReadMemStats(&left)
			runtime.KeepAlive(flood)
			own.SetWriteLimit(-1) // for Close
			per := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(flood))
			kept := int64(left.HeapAlloc) - int64(before.HeapAlloc)
			t.Logf("%.4f bytes allocated and %.1f ns per byte, %d kept", per, float64(took.Nanoseconds())/float64(len(flood)), kept)
			if per > 64 || kept > 256<<10 {
				t.Errorf("%.2f bytes allocated per hostile byte, %d kept", per, kept)
			}
		})
	}
}

// TestSecurityMaskKeyPerFrame: every frame of a client, of data and control, has
// a masking key of its own.
func TestSecurityMaskKeyPerFrame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, own, peer := memConn(walve.TestConfig{Client: true}, memconn.Buffer(1<<20))
		defer closeBoth(t, c, peer)
		p := []byte(filler(100))
		for range 500 {
			c.Write(p)
			c.WriteMessage(text, p[:1])
			writeNext(c, walve.Header{Opcode: bin, Length: 1}, p[:1])
			writeNext(c, walve.Header{Fin: true, Opcode: cont, Length: -1}, p)
			c.ReadFrom(bytes.NewReader(p))
		}
		peer.Write(bytes.Repeat(rawFrame(false, fin|ping, "p"), 20))
		c.SetReadDeadline(soon())
		c.Read(p)
		synctest.Wait()
		fr := walve.NewFrameReader(bytes.NewReader(take(t, own, peer)))
		seen := map[[4]byte]int{}
		frames := 0
		for h, err := fr.Next(); err == nil; h, err = fr.Next() {
			seen[h.MaskKey]++
			frames++
		}
		if frames < 2520 || frames-len(seen) > 2 { // 0.0007 pairs are equal on average
			t.Errorf("%d frames, %d keys", frames, len(seen))
		}
	})
}

// TestSecurityNamesTests: the tests that SECURITY.md names are there.
func TestSecurityNamesTests(t *testing.T) {
	doc, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, b...)
	}
	names := regexp.MustCompile("`(Test[A-Za-z0-9]+)`(\\.\\.\\.)?").FindAllSubmatch(doc, -1)
	for _, m := range names {
		name := "\nfunc " + string(m[1]) + "("
		if len(m[2]) > 0 {
			name = name[:len(name)-1]
		}
		if !bytes.Contains(tests, []byte(name)) {
			t.Errorf("there is no %s", m[1])
		}
	}
	if len(names) < 10 {
		t.Errorf("only %d tests found in SECURITY.md", len(names))
	}
}

// TestUnfinishedBody: a refused request whose body never comes holds no
// connection.
func TestUnfinishedBody(t *testing.T) {
	for _, test := range []struct{ name, head string }{
		{"POST", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"},
		{"GET", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"},
		{"GET chunked", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"upgrade with a body", "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 100\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newMemListener()
				l := walve.NewListener(inner)
				start := time.Now()
				p := inner.dial(t)
				p.send(test.head)
				p.SetReadDeadline(time.Now().Add(time.Hour))
				_, err := io.ReadAll(p)
				if d := time.Since(start); err != nil || d > 90*time.Second {
					t.Errorf("open for %v: %v", d, err)
				}
				p.Close()
				l.Close()
				time.Sleep(time.Second)
			})
		})
	}
}

// TestManySubprotocols: their number costs no quadratic time, which would be
// minutes here.
func TestManySubprotocols(t *testing.T) {
	for _, size := range []int{60_000, 1 << 20} {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, "%x,", i)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {b.String()}}
		start := time.Now()
		_, err := walve.Upgrade(httptest.NewRecorder(), r)
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%d bytes of Sec-WebSocket-Protocol took %v (%v)", size, d, err)
		}
	}
}
