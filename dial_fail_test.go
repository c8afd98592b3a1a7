package walve_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// A cancellingConn ends a context as soon as something was read.
type cancellingConn struct {
	net.Conn
	cancel context.CancelFunc
}

func (c cancellingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.cancel()
	return n, err
}

// answered returns a connection to a server that answers a handshake, and the
// server's end.
func answered(t *testing.T, answer func(p *rawPeer)) (conn, peer *memconn.Conn) {
	t.Helper()
	conn, peer = memconn.Pipe()
	go answer(newRawPeer(t, peer))
	return conn, peer
}

// TestDialCancelledAtTheEnd ends the context when the answer is here and nothing
// can fail any more, that of the server and that of a proxy: the connection is
// closed all the same, since the context may have closed it already.
func TestDialCancelledAtTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(p *rawPeer)
		proxy  func(*http.Request) (*url.URL, error)
	}{
		{"server", func(p *rawPeer) {
			_, accept := p.request()
			p.send(switched(accept))
		}, noProxy},
		{"proxy", func(p *rawPeer) {
			if _, err := http.ReadRequest(p.Reader); err != nil {
				t.Error(err)
			}
			p.send("HTTP/1.1 200 OK\r\n\r\n")
		}, http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				conn, peer := answered(t, tt.answer)
				d := &walve.Dialer{Proxy: tt.proxy, NetDial: func(context.Context, string, string) (net.Conn, error) {
					return cancellingConn{conn, cancel}, nil
				}}
				c, err := d.DialURL(ctx, "ws://server")
				if c != nil || !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "proxy") != (tt.name == "proxy") {
					t.Errorf("%v, %v", c, err)
				}
				if isOpen(conn) {
					t.Error("the connection is still open")
				}
				peer.Close()
			})
		})
	}
}

// A lateContext has passed its deadline and is about to notice.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return past, true }

// TestDialWriteFails: the request does not get out, to the server and to a
// proxy. A deadline that was made of the context's is the context's.
func TestDialWriteFails(t *testing.T) {
	reset := func(conn, peer *memconn.Conn) { peer.Reset() }
	late := func(conn, peer *memconn.Conn) { conn.SetDeadline(past) }
	for _, tt := range []struct {
		name  string
		fault func(conn, peer *memconn.Conn)
		ctx   context.Context
		want  error
	}{
		{"reset", reset, context.Background(), syscall.ECONNRESET},
		{"reset, late", reset, lateContext{context.Background()}, syscall.ECONNRESET},
		{"deadline", late, context.Background(), os.ErrDeadlineExceeded},
		{"deadline, late", late, lateContext{context.Background()}, context.DeadlineExceeded},
	} {
		for name, proxy := range map[string]func(*http.Request) (*url.URL, error){
			"server": noProxy,
			"proxy":  http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"}),
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				conn, peer := memconn.Pipe()
				tt.fault(conn, peer)
				d := &walve.Dialer{Proxy: proxy, NetDial: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
				c, err := d.DialURL(tt.ctx, "ws://server")
				var oe *net.OpError
				if c != nil || !errors.Is(err, tt.want) || !errors.As(err, &oe) || oe.Op != "dial" {
					t.Errorf("%v, %v, want %v", c, err, tt.want)
				}
				if isOpen(conn) {
					t.Error("the connection is still open")
				}
				peer.Close()
			})
		}
	}
}
