package peers_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/bodokaiser/walve"
	"github.com/chromedp/chromedp"
)

// A visit is what a page does on a connection: see visit in browser.html.
type visit struct {
	Protocols []string `json:"protocols,omitempty"`
	Send      []int    `json:"send,omitempty"` // the bytes of a message
	Close     []any    `json:"close"`
}

// seen is what a page sees of a connection.
type seen struct {
	Opened, Failed bool
	Protocol       string
	Code           walve.StatusCode
	Reason         string
	WasClean       bool
}

// broken is what a page sees of a connection that its browser has failed: not
// why, but an abnormal closure (RFC 6455, 7.1.5).
var broken = seen{Opened: true, Failed: true, Code: walve.StatusAbnormalClosure}

// visit has a page of s connect to it.
func (b *browser) visit(t testing.TB, s site, v visit) (wait func() seen) {
	t.Helper()
	return begin[seen](t, b.open(t, s.origin), "visit", s.url(), v)
}

func wantSeen(t testing.TB, got, want seen) {
	t.Helper()
	if got != want {
		t.Errorf("the page saw %+v, want %+v", got, want)
	}
}

func (b *browser) testIsClosed(t *testing.T) {
	s := upgradeSite(t, walve.Upgrader{}, nil)
	for _, c := range []struct {
		name  string
		close func(*walve.Conn) error
		want  seen
	}{
		{"Close", (*walve.Conn).Close, seen{Opened: true, Code: 1000, WasClean: true}},
		{"CloseWrite", func(c *walve.Conn) error {
			wrote := c.CloseWrite()
			_, read := io.ReadAll(c)
			return errors.Join(wrote, read, c.Close())
		}, seen{Opened: true, Code: 1000, WasClean: true}},
		{"no handshake", func(c *walve.Conn) error { return c.NetConn().Close() }, seen{Opened: true, Code: 1006}},
	} {
		t.Run(c.name, func(t *testing.T) {
			saw := b.visit(t, s, visit{})
			if err := c.close(s.accept(t)); err != nil {
				t.Error(err)
			}
			wantSeen(t, saw(), c.want)
		})
	}
	for _, code := range []walve.StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999} {
		t.Run(fmt.Sprint(uint16(code)), func(t *testing.T) {
			saw := b.visit(t, s, visit{})
			if err := s.accept(t).CloseWithStatus(code, "grün"); err != nil {
				t.Error(err)
			}
			wantSeen(t, saw(), seen{Opened: true, Code: code, Reason: "grün", WasClean: true})
		})
	}
}

// testCloses has the page close.
func (b *browser) testCloses(t *testing.T) {
	s := upgradeSite(t, walve.Upgrader{}, nil)
	for _, c := range []struct {
		args   []any
		code   walve.StatusCode // that the server sees, and so does the page
		reason string
	}{
		{[]any{}, walve.StatusNoStatusReceived, ""},
		{[]any{1000}, 1000, ""},
		{[]any{1000, "done"}, 1000, "done"},
		{[]any{3000, "grün"}, 3000, "grün"},
		{[]any{4999, "grün"}, 4999, "grün"},
	} {
		t.Run(fmt.Sprint(c.args), func(t *testing.T) {
			saw := b.visit(t, s, visit{Close: c.args})
			conn := s.accept(t)
			_, err := io.ReadAll(conn)
			want := c.code
			if want == walve.StatusNoStatusReceived {
				want = walve.StatusNormalClosure // to Read it is as good
			}
			wantClose(t, err, want, c.reason)
			if code, reason, ok := conn.CloseStatus(); code != c.code || reason != c.reason || !ok {
				t.Errorf("CloseStatus: %v %q %v", code, reason, ok)
			}
			wantSeen(t, saw(), seen{Opened: true, Code: c.code, WasClean: true})
		})
	}
}

// testLeaves: a page that goes away takes its connection with it, which is not
// the end of the stream that it was sending.
func (b *browser) testLeaves(t *testing.T) {
	s := upgradeSite(t, walve.Upgrader{}, nil)
	for name, leave := range map[string]func(*tab) error{
		"reload":        func(tb *tab) error { return chromedp.Do(tb.ctx, chromedp.Navigate(s.origin)) },
		"close the tab": func(tb *tab) error { return chromedp.Cancel(tb.ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			tb := b.open(t, s.origin)
			begin[seen](t, tb, "visit", s.url(), visit{})
			c := s.accept(t)
			if err := leave(tb); err != nil {
				t.Error(err)
			}
			_, err := io.ReadAll(c)
			wantClose(t, err, walve.StatusGoingAway, "")
		})
	}
}

// testBrokenTo has the browser fail the connection (RFC 6455, 7.1.7) for what
// the server sends below walve.
func (b *browser) testBrokenTo(t *testing.T) {
	s := upgradeSite(t, walve.Upgrader{}, nil)
	for _, c := range []struct {
		name, frame string
		code        walve.StatusCode
	}{
		{"reserved opcode", "\x83\x00", walve.StatusProtocolError},
		{"reserved bit", "\xa2\x00", walve.StatusProtocolError},
		{"masked", "\x82\x80\x00\x00\x00\x00", walve.StatusProtocolError},
		{"fragmented Ping", "\x09\x00", walve.StatusProtocolError},
		{"stray continuation", "\x80\x00", walve.StatusProtocolError},
		// Not 1007: RFC 6455, 8.1, asks that the connection fails and names no
		// status, and Chromium fails it with 1002 as for all else.
		{"invalid text", "\x81\x01\xff", walve.StatusProtocolError},
		{"text cut in a rune", "\x81\x01\xc3", walve.StatusProtocolError},
	} {
		t.Run(c.name, func(t *testing.T) {
			saw := b.visit(t, s, visit{})
			conn := s.accept(t)
			if _, err := conn.NetConn().Write([]byte(c.frame)); err != nil {
				t.Fatal(err)
			}
			_, err := io.ReadAll(conn)
			var closed *walve.CloseError
			if !errors.As(err, &closed) || closed.Code != c.code {
				t.Errorf("walve got %v, want %v", err, c.code)
			}
			if code, _, ok := conn.CloseStatus(); code != c.code || !ok {
				t.Errorf("CloseStatus: %v %v", code, ok)
			}
			wantSeen(t, saw(), broken)
		})
	}
}

// testBreaks has walve fail the connection for what the page sends, which is
// broken on its way: no page sends such a frame.
func (b *browser) testBreaks(t *testing.T) {
	for _, c := range []struct {
		name   string
		header byte // of the page's frame
		max    int64
		code   walve.StatusCode
	}{
		{"reserved bit", 0xa2, 0, walve.StatusProtocolError},
		{"reserved opcode", 0x83, 0, walve.StatusProtocolError},
		{"invalid text", 0x81, 0, walve.StatusInvalidFramePayloadData},
		{"too large", 0x82, 1, walve.StatusMessageTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := listenerSite(t, &walve.Listener{Upgrader: walve.Upgrader{MaxMessageSize: c.max}}, tampering{loopback(t), c.header})
			saw := b.visit(t, s, visit{Send: []int{0xed, 0xa0, 0x80}})
			_, _, err := s.accept(t).ReadMessage()
			var broken *walve.ProtocolError
			if !errors.As(err, &broken) || broken.Code != c.code {
				t.Fatalf("walve got %v, want %v", err, c.code)
			}
			wantSeen(t, saw(), seen{Opened: true, Code: c.code, Reason: broken.Reason, WasClean: true})
		})
	}
}

// A tampering listener replaces the first byte of binary frames, if they come
// one by one.
type tampering struct {
	net.Listener
	header byte
}

func (l tampering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tamperingConn{c.(*net.TCPConn), l.header}, nil
}

// A tamperingConn can half-close, as walve does with a connection that it fails.
type tamperingConn struct {
	*net.TCPConn
	header byte
}

func (c tamperingConn) Read(p []byte) (int, error) {
	const binary = 0x82
	n, err := c.TCPConn.Read(p)
	if n > 0 && p[0] == binary {
		p[0] = c.header
	}
	return n, err
}
