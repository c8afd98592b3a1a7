package walve_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// rawDialer is a Dialer for h2Peers, each with settings and given to opened.
func (d *h2Dials) rawDialer(opened chan<- *h2Peer, settings ...http2.Setting) *walve.Dialer {
	return d.dialer(walve.HTTP2Always, func(_ int, c net.Conn) {
		p := newH2Peer(c)
		opened <- p
		p.serve(append(settings, enableConnect)...)
	})
}

// TestHTTP2IdleConnection: a connection closes 30 s after its last Conn.
func TestHTTP2IdleConnection(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		peers := make(chan *h2Peer, 10)
		dialer := d.rawDialer(peers)
		var peer *h2Peer
		for i, test := range []struct {
			idle time.Duration
			want int
		}{{0, 1}, {29 * time.Second, 1}, {29 * time.Second, 1}, {31 * time.Second, 2}} {
			time.Sleep(test.idle)
			c, err := dialer.DialURL(t.Context(), "ws://host/")
			if err != nil {
				t.Fatal(err)
			}
			if test.want == 2 {
				<-peer.ended
			}
			if len(peers) > 0 {
				peer = <-peers
			}
			if d.count() != test.want {
				t.Errorf("Conn %d: %d connections, want %d", i, d.count(), test.want)
			}
			far := <-peer.opened
			time.Sleep(10 * time.Minute)
			closeBoth(t, c, far)
			synctest.Wait()
		}
	})
}

// TestHTTP2Streams: a server that allows two streams on a connection gets as
// many connections as it takes, and none for what fits into those.
func TestHTTP2Streams(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		peers := make(chan *h2Peer, 10)
		dialer := d.rawDialer(peers, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
		var conns []*walve.Conn
		var fars []*h2Far
		var current []*h2Peer
		dial := func() {
			t.Helper()
			c, err := dialer.DialURL(t.Context(), "ws://host/")
			if err != nil {
				t.Fatal(err)
			}
			for len(peers) > 0 {
				current = append(current, <-peers)
			}
			for _, p := range current {
				select {
				case far := <-p.opened:
					conns, fars = append(conns, c), append(fars, far)
				default:
				}
			}
		}
		for n := 1; n <= 5; n++ {
			dial()
			if want := (n + 1) / 2; d.count() != want {
				t.Errorf("%d connections for %d Conns, want %d", d.count(), n, want)
			}
		}
		closeBoth(t, conns[0], fars[0])
		synctest.Wait()
		dial()
		dial()
		if d.count() != 3 {
			t.Errorf("%d connections for 6 Conns", d.count())
		}
		for i, c := range conns[1:] {
			closeBoth(t, c, fars[i+1])
		}
	})
}

// TestHTTP2GoAway: the streams of a connection that the server ends live on,
// those it has not seen are tried elsewhere, and so is what comes later.
func TestHTTP2GoAway(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		peers := make(chan *h2Peer, 10)
		dialer := d.rawDialer(peers)
		c1, err := dialer.DialURL(t.Context(), "ws://host/")
		if err != nil {
			t.Fatal(err)
		}
		first := <-peers
		far1 := <-first.opened
		first.write(func() { first.fr.WriteGoAway(far1.id, http2.ErrCodeNo, nil) })
		synctest.Wait()
		c2, err := dialer.DialURL(t.Context(), "ws://host/")
		if err != nil || d.count() != 2 {
			t.Fatalf("%d connections, %v", d.count(), err)
		}
		far2 := <-(<-peers).opened
		far1.Write(newScript(false, scriptFrame{bin, true, "on"}).wire)
		got := make([]byte, 2)
		if _, err := io.ReadFull(c1, got); string(got) != "on" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := c1.Write([]byte("and on")); err != nil {
			t.Error(err)
		}
		checkFrames(t, "data", decode(t, far1.take(), true), scriptFrame{bin, true, "and on"})
		closeBoth(t, c1, far1)
		synctest.Wait()
		select {
		case <-first.ended:
		default:
			t.Error("the connection outlives its last stream")
		}
		closeBoth(t, c2, far2)
	})
}

// TestHTTP2RefusedStream: RFC 9113, 8.7, a stream that the server has not
// looked at is tried again, on another connection, and not for ever.
func TestHTTP2RefusedStream(t *testing.T) {
	for _, refusals := range []int{1, 100} {
		dialing(t, func(t *testing.T, d *h2Dials) {
			peers := make(chan *h2Peer, 10)
			dialer := d.dialer(walve.HTTP2Always, func(n int, c net.Conn) {
				p := newH2Peer(c)
				p.refuses = n <= refusals
				peers <- p
				p.serve(enableConnect)
			})
			c, err := dialer.DialURL(t.Context(), "ws://host/")
			if refusals == 100 {
				var oe *net.OpError
				if !errors.As(err, &oe) || d.count() > 3 {
					t.Errorf("%d connections, %v", d.count(), err)
				}
				return
			}
			if err != nil || d.count() != refusals+1 {
				t.Fatalf("%d connections, %v", d.count(), err)
			}
			for range refusals {
				<-peers
			}
			closeBoth(t, c, <-(<-peers).opened)
		})
	}
}

// TestHTTP2SilentServer: a server that answers no PING any more is given up, and
// the next Conn gets a connection of its own.
func TestHTTP2SilentServer(t *testing.T) {
	dialing(t, func(t *testing.T, d *h2Dials) {
		peers := make(chan *h2Peer, 10)
		dialer := d.rawDialer(peers)
		c, err := dialer.DialURL(t.Context(), "ws://host/")
		if err != nil {
			t.Fatal(err)
		}
		<-(<-peers).opened
		d.ends[0].(*memconn.Conn).Stall()
		begun := time.Now()
		_, err = c.Read(make([]byte, 1))
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() || ne.(*net.OpError).Temporary() {
			t.Errorf("Read: %v", err)
		}
		if d := time.Since(begun); d > 76*time.Second {
			t.Errorf("after %v", d)
		}
		c.Close()
		c, err = dialer.DialURL(t.Context(), "ws://host/")
		if err != nil {
			t.Fatal(err)
		}
		closeBoth(t, c, <-(<-peers).opened)
	})
}

// TestHTTP2DialEnds: a context ends a dial at each of its stages, alone.
func TestHTTP2DialEnds(t *testing.T) {
	for _, stage := range []string{"TLS", "SETTINGS", "response", "body"} {
		t.Run(stage, func(t *testing.T) {
			dialing(t, func(t *testing.T, d *h2Dials) {
				var protos []string
				target := "ws://host/"
				if stage == "TLS" {
					protos, target = []string{"h2"}, "wss://host/"
				}
				dialer := d.dialer(walve.HTTP2Always, func(_ int, c net.Conn) {
					p := newH2Peer(c)
					switch stage {
					case "TLS":
					case "SETTINGS":
						io.Copy(io.Discard, c)
					case "response":
						p.silent = true
						p.serve(enableConnect)
					case "body":
						p.answer = []byte{0x8d} // :status: 404
						p.serve(enableConnect)
					}
				}, protos...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				_, err := dialer.DialURL(ctx, target)
				var he *walve.HandshakeError
				if stage == "body" && !errors.As(err, &he) || stage != "body" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				if d := time.Since(begun); d != time.Second {
					t.Errorf("after %v", d)
				}
			})
		})
	}
}
