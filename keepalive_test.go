package walve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	ne, ok := err.(interface {
		Timeout() bool
		Temporary() bool
	}) // net.Error, whose Temporary is deprecated; crypto/tls asks for it
	if !ok || !ne.Timeout() || ne.Temporary() || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || !errorIn(err, "does not answer") {
		t.Errorf("%s: %#v, want a timeout that is not temporary and not a deadline", what, err)
	}
}

// TestRule13Fails: an idle Conn sends a Ping at exactly the
// interval, and fails a whole one later, both ways and for good.
func TestRule13Fails(t *testing.T) {
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

// TestRule13UnblocksWrite: a Write that is stuck at a dead peer ends with
// the same error, those in line behind it and Ping too.
func TestRule13UnblocksWrite(t *testing.T) {
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

// TestRule13NobodyReads: without a Read nobody can tell whether the peer is
// there, so the Conn is not failed, but Pings go on, for the proxies on the way.
func TestRule13NobodyReads(t *testing.T) {
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

// TestRule13PollingReader: a dead peer is found as well by a caller that
// reads with short deadlines.
func TestRule13PollingReader(t *testing.T) {
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

// TestRule13SparesTheLiving: a peer that answers within the interval is
// never failed, however its answers and the reads lie in time.
func TestRule13SparesTheLiving(t *testing.T) {
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

// TestRule13Postponed: what comes in postpones the Ping, Pongs included, and
// the answer to a Ping begins a new interval.
func TestRule13Postponed(t *testing.T) {
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
					c.Write([]byte("y")) // see TestRule13Silent
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

// TestRule13Silent: a side that reads all the time and writes nothing sends a
// Ping now and then, whatever the peer's own Ping lies behind.
func TestRule13Silent(t *testing.T) {
	for _, writes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, p := newWirePeer(t, walve.TestConfig{KeepAlive: interval})
			events := p.watch(nil)
			go io.Copy(io.Discard, c)
			for range 40 {
				time.Sleep(interval / 4)
				p.send(fin|bin, "x")
				if writes {
					c.Write([]byte("y"))
				}
			}
			c.Close()
			var pings []time.Duration
			for _, e := range <-events {
				if e.op == ping {
					pings = append(pings, e.at)
				}
			}
			want := 6 // each one and a half intervals
			if writes {
				want = 0
			}
			if len(pings) != want {
				t.Errorf("in 10 intervals, writing %v: Pings at %v, want %d", writes, pings, want)
			}
		})
	}
}

// TestRule13SlowUpload: one who sends a lot to a peer that takes it slowly does
// not take it for dead, though its Pings are a long way behind.
func TestRule13SlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(memconn.Buffer(1 << 20))
		client := walve.NewTestConn(a, walve.TestConfig{Client: true, KeepAlive: interval})
		server := walve.NewTestConn(b, walve.TestConfig{KeepAlive: interval})
		go io.Copy(io.Discard, client)
		go func() {
			for {
				if _, err := client.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}()
		for range 60 { // a MiB lasts for 16 intervals
			time.Sleep(interval / 4)
			if _, err := io.ReadFull(server, make([]byte, 16<<10)); err != nil {
				t.Fatal(err)
			}
		}
		client.Close()
		server.Close()
	})
}
