package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// serveWebSocket handles WebSockets of the test's own.
func serveWebSocket(t *testing.T, handle func(conn *walve.Conn)) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := walve.Upgrader{Subprotocols: []string{"two"}}
		conn, err := u.Upgrade(w, r)
		if err != nil {
			return
		}
		conn.SetDeadline(time.Now().Add(patience))
		defer conn.Close()
		handle(conn)
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "http:", "ws:", 1)
}

// echoMessages sends back what comes, message by message.
func echoMessages(conn *walve.Conn) {
	for {
		op, p, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(op, p); err != nil {
			return
		}
	}
}

func TestCatLines(t *testing.T) {
	url := serveWebSocket(t, echoMessages)
	r := runWalve(t, strings.NewReader("one\n\nzwölf\r\nlast"), "cat", "-frames", "-subprotocol", "one,two", url)
	if r.code != exitOK || r.stdout != "one\n\nzwölf\nlast\n" {
		t.Errorf("%+v, want the lines and exit code 0", r)
	}
	for _, want := range []string{
		"subprotocol: two\n",
		"> text fin=true masked=true length=3\n",
		"> text fin=true masked=true length=0\n",
		"< text fin=true masked=false length=3\n",
		"< text fin=true masked=false length=6\n",
		"closed by the server: 1000 normal closure\n",
	} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("standard error:\n%swant %q", r.stderr, want)
		}
	}
}

// TestCatLongLine holds that a line of any length is one message.
func TestCatLongLine(t *testing.T) {
	got := make(chan string, 1)
	url := serveWebSocket(t, func(conn *walve.Conn) {
		op, p, err := conn.ReadMessage()
		got <- fmt.Sprint(op, len(p), err)
		io.Copy(io.Discard, conn)
	})
	line := strings.Repeat("ä", maxLine)
	r := runWalve(t, strings.NewReader(line+"\n"), "cat", "-frames", url)
	if g, want := <-got, fmt.Sprint(walve.OpText, len(line), nil); g != want {
		t.Errorf("the server got %s, want %s", g, want)
	}
	for _, want := range []string{"> text fin=false masked=true length=65536\n", "> continuation fin=true"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("standard error:\n%swant %q", r.stderr, want)
		}
	}
}

func TestCatBinary(t *testing.T) {
	url := serveWebSocket(t, echoMessages)
	in, _ := io.ReadAll(stream("binary", 1<<20))
	r := runWalve(t, bytes.NewReader(in), "cat", "-binary", url)
	if r.code != exitOK || r.stdout != string(in) {
		t.Errorf("exit code %d, %d bytes came back, %q; want the %d that were sent", r.code, len(r.stdout), r.stderr, len(in))
	}
}

func TestCatNotText(t *testing.T) {
	url := serveWebSocket(t, echoMessages)
	r := runWalve(t, strings.NewReader("good\nb\xffd\n"), "cat", url)
	if r.code != exitFailed || !strings.Contains(r.stderr, "line 2 is not UTF-8") || !strings.Contains(r.stderr, "try: -binary") {
		t.Errorf("%+v, want an error about line 2", r)
	}
}

func TestCatClosed(t *testing.T) {
	for _, test := range []struct {
		code   walve.StatusCode
		reason string
		exit   int
		want   string
	}{
		{walve.StatusNormalClosure, "", exitOK, "closed by the server: 1000 normal closure\n"},
		{4001, "no more", exitFailed, `closed by the server: 4001, "no more"` + "\n"},
		{walve.StatusTryAgainLater, "", exitFailed, "try: again in a while"},
	} {
		url := serveWebSocket(t, func(conn *walve.Conn) {
			conn.WriteMessage(walve.OpText, []byte("bye"))
			conn.CloseWithStatus(test.code, test.reason)
		})
		r := runWalve(t, strings.NewReader(""), "cat", "-keep", url)
		if r.code != test.exit || r.stdout != "bye\n" || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%d: %+v, want exit code %d and %q", test.code, r, test.exit, test.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	var out bytes.Buffer
	io.WriteString(printable{&out}, "a\x1b[2J\tä\x7f\n")
	if got := out.String(); got != "a^[[2J\tä^?\n" {
		t.Errorf("%q", got)
	}
}

func TestPing(t *testing.T) {
	target := serveTCP(t, echo)
	_, urls := startListen(t, 1, "ws://127.0.0.1:0/", target)
	r := runWalve(t, nil, "ping", "-c", "3", "-i", "1ms", urls[0])
	want := regexp.MustCompile(`^PING ws://\S+ \(127\.0\.0\.1:\d+\): connected in [\d.]+ ms
pong from 127\.0\.0\.1:\d+: seq=1 time=[\d.]+ ms
pong from 127\.0\.0\.1:\d+: seq=2 time=[\d.]+ ms
pong from 127\.0\.0\.1:\d+: seq=3 time=[\d.]+ ms

--- ws://\S+ ping statistics ---
3 pings sent, 3 pongs received, 0% lost
round trip min/avg/max/mdev = [\d.]+/[\d.]+/[\d.]+/[\d.]+ ms
$`)
	if r.code != exitOK || !want.MatchString(r.stdout) {
		t.Errorf("%+v", r)
	}
}

// TestPingNoAnswer has a server that reads nothing, and so answers nothing.
func TestPingNoAnswer(t *testing.T) {
	end := make(chan struct{})
	url := serveWebSocket(t, func(*walve.Conn) { <-end })
	t.Cleanup(func() { close(end) })
	r := runWalve(t, nil, "ping", "-c", "2", "-i", "1ms", "-W", "1ms", url)
	if r.code != exitFailed || !strings.Contains(r.stdout, "2 pings sent, 0 pongs received, 100% lost\n") {
		t.Errorf("%+v", r)
	}
}
