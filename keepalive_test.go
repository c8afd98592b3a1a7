package walve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

const interval = 30 * time.Second

// A wireEvent is a frame of a Conn and when it came.
type wireEvent struct {
	at      time.Duration // since the peer began to watch
	op      walve.Opcode
	payload string
}

// watch reads what the Conn sends, in the background, hands each frame to
// answer, and sends them all when the stream has ended.
func (p *wirePeer) watch(answer func(wireEvent)) <-chan []wireEvent {
	ch := make(chan []wireEvent, 1)
	start := time.Now()
	go func() {
		var events []wireEvent
		for {
			h, payload, err := p.next()
			if err != nil {
				ch <- events
				return
			}
			e := wireEvent{time.Since(start), h.Opcode, payload}
			events = append(events, e)
			if answer != nil {
				answer(e)
			}
		}
	}()
	return ch
}

// pongAfter answers Pings after d.
func (p *wirePeer) pongAfter(d time.Duration) func(wireEvent) {
	return func(e wireEvent) {
		if e.op == ping {
			time.AfterFunc(d, func() { p.Conn.Write(rawFrame(p.client, fin|pong, e.payload)) })
		}
	}
}

// wantKeepAliveError checks that err is the failure of rule 13.
func wantKeepAliveError(t testing.TB, what string, err error) {
	t.Helper()
	wantOpError(t, what, err, nil)
	ne, ok := err.(net.Error)
	if !ok || !ne.Timeout() || ne.Temporary() || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		t.Errorf("%s: %#v, want a timeout that is not temporary and not a deadline", what, err)
	}
}

// TestKeepAliveFails is rule 13: an idle Conn sends a Ping at exactly the
// interval, and fails a whole one later, both ways and for good.
func TestKeepAliveFails(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, m := range readMethods {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client, KeepAlive: interval})
				events := p.watch(nil)
				start := time.Now()
				_, err := m.read(c)
				wantKeepAliveError(t, m.name, err)
				if d := time.Since(start); d != 2*interval {
					t.Errorf("%s failed after %v, want two intervals", m.name, d)
				}
				if got := <-events; len(got) != 1 || got[0].op != ping || got[0].at != interval {
					t.Errorf("on the wire: %v, want one Ping after the interval", got)
				}
				wantStickyKeepAlive(t, c)
				if _, err := p.Read(make([]byte, 1)); err == nil || err == io.EOF {
					t.Errorf("the peer sees %v, want a reset", err)
				}
				c.Close()
				_, err = c.Read(make([]byte, 1))
				wantOpError(t, "Read after Close", err, net.ErrClosed)
			})
		}
	})
}

// wantStickyKeepAlive checks that everything fails as the keep-alive does.
func wantStickyKeepAlive(t *testing.T, c *walve.Conn) {
	t.Helper()
	for range 2 {
		for _, m := range readMethods {
			_, err := m.read(c)
			wantKeepAliveError(t, m.name, err)
		}
		_, err := c.Write([]byte("x"))
		wantKeepAliveError(t, "Write", err)
		wantKeepAliveError(t, "WriteMessage", c.WriteMessage(walve.OpText, nil))
		wantKeepAliveError(t, "CloseWrite", c.CloseWrite())
		wantKeepAliveError(t, "Ping", c.Ping(context.Background()))
		_, err = c.NextWriter(walve.Header{Opcode: walve.OpBinary})
		wantKeepAliveError(t, "NextWriter", err)
	}
}

// TestKeepAliveUnblocksWrite: a Write that is stuck at a dead peer ends with
// the same error, those in line behind it and Ping too.
func TestKeepAliveUnblocksWrite(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := newWirePeer(t, walve.TestConfig{Client: client, KeepAlive: interval})
			start := time.Now()
			calls := map[string]<-chan opResult{
				"Read":  readOn(c),
				"Write": begin(func() (int, error) { return c.Write(make([]byte, 1<<20)) }),
			}
			synctest.Wait()
			calls["Write in line"] = begin(func() (int, error) { return c.Write([]byte("x")) })
			calls["Read in line"] = readOn(c)
			calls["Ping"] = beginErr(func() error { return c.Ping(context.Background()) })
			for what, ch := range calls {
				wantKeepAliveError(t, what, (<-ch).err)
			}
			if d := time.Since(start); d != 2*interval {
				t.Errorf("after %v, want two intervals", d)
			}
			c.Close()
		})
	})
}

// TestKeepAliveNobodyReads: without a Read nobody can tell whether the peer is
// there, so the Conn is not failed, but Pings go on, for the proxies on the way.
func TestKeepAliveNobodyReads(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{Client: client, KeepAlive: interval})
			events := p.watch(nil)
			time.Sleep(20*interval + time.Second)
			p.send(fin|bin, "late")
			q := make([]byte, 4)
			if n, err := c.Read(q); n != 4 || err != nil {
				t.Errorf("Read: %d, %v", n, err)
			}
			if n, err := c.Write(q); n != 4 || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			// Now the Read waits, and the peer is found dead.
			start := time.Now()
			_, err := c.Read(q)
			wantKeepAliveError(t, "Read", err)
			if d := time.Since(start); d < interval || d > 3*interval {
				t.Errorf("found after %v", d)
			}
			c.Close()
			got := <-events
			var last time.Duration
			pings := 0
			for _, e := range got {
				if e.op == ping {
					pings++
					if e.at-last > interval+interval/2 {
						t.Errorf("no Ping between %v and %v", last, e.at)
					}
					last = e.at
				}
			}
			if pings < 20 {
				t.Errorf("%d Pings in 21 intervals", pings)
			}
		})
	})
}

// TestKeepAlivePollingReader: a dead peer is found as well by a caller that
// reads with short deadlines.
func TestKeepAlivePollingReader(t *testing.T) {
	for _, poll := range []time.Duration{time.Millisecond * 100, time.Second, 1100 * time.Millisecond, 7 * time.Second, interval / 2, interval - 1, interval + 1} {
		t.Run(poll.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{KeepAlive: interval})
				events := p.watch(nil)
				start := time.Now()
				for {
					c.SetReadDeadline(time.Now().Add(poll))
					_, err := c.Read(make([]byte, 10))
					if errors.Is(err, os.ErrDeadlineExceeded) && time.Since(start) < 10*interval {
						continue
					}
					wantKeepAliveError(t, "Read", err)
					break
				}
				if d := time.Since(start); d < 2*interval || d > 4*interval {
					t.Errorf("found after %v", d)
				}
				wantStickyKeepAlive(t, c)
				c.Close()
				<-events
			})
		})
	}
}

// TestKeepAliveSparesTheLiving: a peer that answers within the interval is
// never failed, however its answers and the reads lie in time.
func TestKeepAliveSparesTheLiving(t *testing.T) {
	for _, delay := range []time.Duration{0, interval / 3, interval - time.Millisecond} {
		for _, first := range []time.Duration{0, interval / 4, interval - 1, interval, interval + interval/2 - 1, 2*interval - 1, 3*interval + time.Second} {
			for _, reads := range []time.Duration{time.Second, 7 * time.Second, 0} {
				for _, gap := range []time.Duration{0, interval / 7, interval - time.Second, 3*interval + 1} {
					name := fmt.Sprintf("answer after %v, reads of %v from %v on every %v", delay, reads, first, gap)
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							c, p := newWirePeer(t, walve.TestConfig{Client: true, KeepAlive: interval})
							events := p.watch(p.pongAfter(delay))
							start := time.Now()
							time.Sleep(first)
							for time.Since(start) < 20*interval {
								by := time.Now().Add(reads)
								if reads == 0 {
									by = start.Add(20 * interval)
								}
								c.SetReadDeadline(by)
								if _, err := c.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
									t.Fatalf("after %v: %v", time.Since(start), err)
								}
								time.Sleep(gap)
							}
							if n, err := c.Write([]byte("x")); n != 1 || err != nil {
								t.Errorf("Write: %d, %v", n, err)
							}
							c.Close()
							<-events
							p.Close()
						})
					})
				}
			}
		}
	}
}

// TestKeepAlivePostponed: what comes in postpones the Ping, Pongs included, and
// the answer to a Ping begins a new interval.
func TestKeepAlivePostponed(t *testing.T) {
	for _, f := range []struct {
		name string
		b0   walve.Opcode
	}{{"data", fin | bin}, {"empty data", fin | bin}, {"Pong", fin | pong}, {"Ping", fin | ping}} {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{KeepAlive: interval})
				events := p.watch(nil)
				read := readOn(c)
				payload := "x"
				if f.name == "empty data" {
					payload = ""
				}
				start := time.Now()
				for range 30 {
					time.Sleep(interval * 2 / 3)
					p.send(f.b0, payload)
				}
				last := time.Since(start)
				r := <-read
				wantKeepAliveError(t, "Read", r.err)
				c.Close()
				var pings []time.Duration
				for _, e := range <-events {
					if e.op == ping {
						pings = append(pings, e.at-last)
					}
				}
				// The timer looks every half interval.
				if len(pings) != 1 || pings[0] < interval || pings[0] > interval*3/2 {
					t.Errorf("Pings %v behind the last frame", pings)
				}
			})
		})
	}
}

// TestKeepAliveHalfClosed: between walve ends KeepAlive goes on behind our
// Close frame; with a foreign peer it stops there.
func TestKeepAliveHalfClosed(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for _, halfClose := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: halfClose, KeepAlive: interval})
				events := p.watch(nil)
				read := readOn(c)
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if halfClose {
					r := <-read
					wantKeepAliveError(t, "Read", r.err)
					if got := <-events; len(got) != 2 || got[0].op != cls || got[1].op != ping || got[1].at != interval {
						t.Errorf("on the wire: %v, want a Close frame and a Ping", got)
					}
					c.Close()
					return
				}
				time.Sleep(20 * interval)
				pending(t, "Read", read)
				p.send(fin|bin, "late")
				p.send(fin|cls, "")
				if r := <-read; r.n != 4 || r.err != io.EOF {
					t.Errorf("read %d, %v", r.n, r.err)
				}
				p.Close()
				c.Close()
				if got := <-events; len(got) != 1 || got[0].op != cls {
					t.Errorf("on the wire: %v, want a Close frame only", got)
				}
			})
		}
	})
}

// TestKeepAliveHalfClosedPeer: a walve end that has read the other's Close
// frame, and takes its time to answer, is not found dead.
func TestKeepAliveHalfClosedPeer(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		synctest.Test(t, func(t *testing.T) {
			near, far := memconn.Pipe()
			c := walve.NewTestConn(near, walve.TestConfig{Client: client, HalfClose: true, KeepAlive: interval})
			other := walve.NewTestConn(far, walve.TestConfig{Client: !client, HalfClose: true, KeepAlive: interval})
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			read := begin(func() (int, error) { got, err := readToError(c, 100); return len(got), err })
			if n, err := other.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("Read: %d, %v", n, err)
			}
			time.Sleep(10 * interval)
			if n, err := other.Write([]byte("answer")); n != 6 || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			other.Close()
			if r := <-read; r.n != 6 || r.err != io.EOF {
				t.Errorf("read %d, %v; want the answer", r.n, r.err)
			}
			c.Close()
		})
	})
}

// TestKeepAliveNever: KeepAlive < 0 sends nothing and fails nothing.
func TestKeepAliveNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{KeepAlive: -1})
		read := readOn(c)
		time.Sleep(1000 * time.Hour)
		pending(t, "Read", read)
		p.wantNothing()
		p.send(fin|cls, "")
		<-read
		p.Close()
		c.Close()
	})
}

// TestKeepAliveEndsWithConn: the timer of a Conn that is closed sends nothing
// more, and one whose peer has closed neither.
func TestKeepAliveEndsWithConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, byPeer := range []bool{false, true} {
			c, p := newWirePeer(t, walve.TestConfig{KeepAlive: interval})
			events := p.watch(nil)
			if byPeer {
				p.send(fin|cls, "")
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Error(err)
				}
			} else {
				c.Close()
			}
			time.Sleep(5 * interval)
			if byPeer {
				c.Close()
			}
			p.Close()
			if got := <-events; len(got) != 1 || got[0].op != cls {
				t.Errorf("on the wire: %v, want a Close frame only", got)
			}
		}
	})
}

// TestKeepAliveDefault: 30 s, for Upgrade and Dial alike.
func TestKeepAliveDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := handshaken(t)
		near, far := client.NetConn().(*memconn.Conn), server.NetConn().(*memconn.Conn)
		time.Sleep(30*time.Second - 1)
		synctest.Wait()
		sent, answered := near.Written(), far.Written()
		time.Sleep(1)
		synctest.Wait()
		if n, m := near.Written()-sent, far.Written()-answered; n != 6 || m != 2 {
			t.Errorf("%d and %d bytes after 30 s, want the 6 and 2 of a Ping", n, m)
		}
		client.Close()
		server.Close()
	})
}

// TestKeepAliveNoGoroutine: idle Conns have a timer each and no goroutine, also
// after their Pings.
func TestKeepAliveNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		before := runtime.NumGoroutine()
		var conns []io.Closer
		for range n {
			c, p := newWirePeer(t, walve.TestConfig{KeepAlive: interval})
			conns = append(conns, c, p)
		}
		for range 5 {
			synctest.Wait()
			if got := runtime.NumGoroutine(); got > before+n/100 {
				t.Fatalf("%d goroutines, %d before", got, before)
			}
			time.Sleep(interval)
		}
		for _, c := range conns {
			c.Close()
		}
	})
}
